"""docker-compose.yml names the parts of `infra/processes.py`, all of them, as they are there, on loopback only."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from infra import broker
from infra.processes import parts
from infra.settings import ROOT, Settings

COMPOSE = ROOT / "docker-compose.yml"
PYTHON = [".venv/bin/python", "-m", "infra.part"]
SETTINGS = Settings(kafka_bootstrap="kafka:9092")
PARTS = {part.name: part for part in parts(SETTINGS)}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    loaded = yaml.safe_load(COMPOSE.read_text())["services"]
    assert isinstance(loaded, dict)
    return loaded


def test_every_part_is_a_service_and_the_broker_is_kafkas_own_image(services: dict[str, Any]) -> None:
    assert set(services) == {*PARTS, "kafka"}


@pytest.mark.parametrize("name", PARTS)
def test_a_service_runs_checks_and_awaits_what_its_part_does(name: str, services: dict[str, Any]) -> None:
    part, service = PARTS[name], services[name]
    assert service["command"] == ["run", name]
    if part.health:
        assert service["healthcheck"]["test"] == ["CMD", *PYTHON, "check", name]
    awaited = {other: condition["condition"] for other, condition in service.get("depends_on", {}).items()}
    conditions = {True: "service_completed_successfully", False: "service_healthy"}
    expected = {need: conditions[PARTS[need].once] for need in part.needs}
    if name == "topics":  # its broker is the other image
        expected["kafka"] = "service_healthy"
    if service.get("network_mode"):  # whose network it shares must be there
        expected[service["network_mode"].removeprefix("service:")] = "service_started"
    assert awaited == expected


def test_a_part_with_a_page_is_published_on_loopback_and_nothing_else_is(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(published) == {"kafka", "collector", "server", "airflow-api-server"}
    for name, ports in published.items():
        wanted = (SETTINGS.kafka_port,) if name == "kafka" else PARTS[name].ports
        assert ports == [f"127.0.0.1:{port}:{port}" for port in wanted]


def test_every_setting_is_one(services: dict[str, Any]) -> None:
    for name in PARTS:
        settings = Settings.from_env(services[name]["environment"])
        assert settings.kafka_bootstrap == "kafka:9092"
        assert bool(settings.spark_remote) == (name != "spark")
        assert name in {part.name for part in parts(settings)}


def test_kafka_is_the_version_and_has_the_configuration_of_the_embedded_broker(services: dict[str, Any]) -> None:
    (kafka,) = (
        dependency.attrib["rev"]
        for dependency in ElementTree.parse(ROOT / "infra" / "ivy.xml").iter("dependency")
        if dependency.attrib["name"] == "kafka_2.13"
    )
    assert services["kafka"]["image"] == f"apache/kafka:{kafka}"
    given = services["kafka"]["environment"]
    wanted = {
        "KAFKA_" + key.replace(".", "_").upper(): value for key, value in broker.server_properties(Settings()).items()
    }
    assert set(given) == set(wanted)
    where = re.compile("LISTENER|VOTERS|LOG_DIRS")  # containers have other addresses and folders
    assert {key: given[key] for key in given if not where.search(key)} == {
        key: value for key, value in wanted.items() if not where.search(key)
    }


def test_the_image_holds_nothing_that_a_machine_made() -> None:
    def folders(path: Path) -> set[str]:
        lines = (line.strip().strip("/").removeprefix("**/") for line in path.read_text().splitlines())
        return {line for line in lines if line and not line.startswith("#")}

    assert folders(ROOT / ".gitignore") <= folders(ROOT / ".dockerignore")


def test_docker_itself_accepts_the_file() -> None:
    if not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("no docker compose on this machine")
    done = subprocess.run(["docker", "compose", "-f", COMPOSE, "config", "--quiet"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
