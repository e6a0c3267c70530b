"""The list of parts follows from the settings, and every part can be told healthy from dead."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from infra import broker, preflight
from infra.errors import ProcessError, SettingsError
from infra.health import AirflowHeartbeat, GrpcAnswers, Http, KafkaAnswers, NoWitnessError
from infra.processes import parts
from infra.settings import Settings
from infra.spark import connect


def names(settings: Settings, *without: str) -> list[str]:
    return [part.name for part in parts(settings, without)]


def test_settings_say_which_parts_there_are(settings: Settings) -> None:
    every = names(settings)
    assert {"broker", "topics", "spark", "collector", "stream-0", "sink", "server", "airflow-scheduler"} <= set(every)
    elsewhere = replace(settings, kafka_bootstrap="kafka:9092", spark_remote="sc://spark:15002")
    assert set(every) - set(names(elsewhere)) == {"broker", "spark"}
    assert names(replace(settings, stream_workers=3)).count("stream-2") == 1
    assert set(every) - set(names(settings, "airflow", "sink")) == {n for n in every if n[:7] == "airflow"} | {"sink"}
    with pytest.raises(SettingsError, match="no part airfow; there are broker, topics"):
        parts(settings, ["airfow"])


def test_what_a_part_needs_exists_and_every_lasting_part_has_a_health_check(settings: Settings) -> None:
    every = {part.name: part for part in parts(replace(settings, simulated_viewers=5))}
    for part in every.values():
        assert set(part.needs) <= set(every)
        assert part.health or part.once or part.name == "audience"


def test_ports_are_distinct_and_clashes_are_named(settings: Settings) -> None:
    clash = replace(settings, stream_workers=2, sink_metrics_port=settings.stream_metrics_port + 10)
    with pytest.raises(ProcessError, match=f"port {clash.sink_metrics_port} is given to several parts"):
        preflight.check_ports(clash, parts(clash))
    preflight.check_ports(settings, parts(settings))


def test_bound_everywhere_others_are_told_a_name_and_the_controller_stays_here(settings: Settings) -> None:
    config = broker.server_properties(replace(settings, host="0.0.0.0"))
    assert config["listeners"].startswith("PLAINTEXT://0.0.0.0:")
    assert f",CONTROLLER://127.0.0.1:{settings.kafka_controller_port}" in config["listeners"]
    assert config["advertised.listeners"] == f"PLAINTEXT://{socket.gethostname()}:{settings.kafka_port}"
    assert connect.environment(replace(settings, host="0.0.0.0"))["SPARK_LOCAL_IP"] == "127.0.0.1"


@pytest.fixture
def odd_server() -> Iterator[int]:
    """Answers 200 to /airflow with an old heartbeat, 503 to the rest."""

    class Odd(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            health = self.path == "/api/v2/monitor/health"
            body = b'{"scheduler": {"status": "healthy", "latest_scheduler_heartbeat": "2026-01-01T00:00:00+00:00"}}'
            self.send_response(200 if health else 503)
            self.end_headers()
            self.wfile.write(body if health else b"no")

        def log_message(self, *_: object) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Odd)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


def test_checks_tell_a_stranger_from_the_part(odd_server: int) -> None:
    assert Http(f"http://127.0.0.1:{odd_server}/healthz")(0) == f"http://127.0.0.1:{odd_server}/healthz answered 503"
    assert KafkaAnswers("127.0.0.1", odd_server)(0) is not None
    beat = AirflowHeartbeat(f"http://127.0.0.1:{odd_server}", "scheduler")
    assert beat(0) is None
    assert beat(time.time()) == "scheduler has not beaten yet"
    with pytest.raises(NoWitnessError):
        AirflowHeartbeat(f"http://127.0.0.1:{odd_server}", "triggerer")(0)


def test_checks_of_a_closed_port_say_so(settings: Settings) -> None:
    for check in (KafkaAnswers, GrpcAnswers):
        assert check("127.0.0.1", settings.kafka_port)(0) == f"127.0.0.1:{settings.kafka_port}: Connection refused"
