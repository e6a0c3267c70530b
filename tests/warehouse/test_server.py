"""The server as a process, over HTTP. Its Kafka is not there: published tables are answered all the same."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx
import psutil
import pyarrow as pa
import pytest

from infra.settings import ROOT
from tests.conftest import isolated_settings
from tests.warehouse.lake import Lake
from tests.warehouse.serving import Running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = isolated_settings(tmp_path_factory.mktemp("server") / "home")
    settings = replace(settings, kafka_bootstrap=f"127.0.0.1:{settings.kafka_port}", query_timeout_s=3.0)
    Lake(settings).publish("p1")
    running = Running(settings)
    yield running
    running.stop()


def test_json(server: Running) -> None:
    sql = (
        "SELECT rollup, sum(plays) AS plays FROM gold.quality_minute WHERE minute >= $from GROUP BY ALL ORDER BY rollup"
    )
    answer = server.sql(sql, parameters={"from": "2026-01-15T11:30:00Z"})
    assert answer.status_code == 200
    assert answer.json()["rows"] == [["title", 300], ["total", 300]]
    assert answer.headers["x-playlake-publish"] == "p1"


def test_arrow_and_csv(server: Running) -> None:
    sql = "SELECT session_id, started_at FROM silver.sessions ORDER BY 1"
    table = pa.ipc.open_stream(server.sql(sql, format="arrow").content).read_all()
    assert table["session_id"].to_pylist() == ["s2", "s3"]
    assert table.schema.field("started_at").type == pa.timestamp("us", tz="UTC")
    text = server.sql(sql, format="csv").text
    assert text.splitlines()[:2] == ["session_id,started_at", "s2,2026-01-15T10:00:00Z"]


def test_a_cut_answer_says_so(server: Running) -> None:
    answer = server.sql("FROM range(100)", max_rows=7)
    assert (answer.json()["row_count"], answer.json()["truncated"]) == (7, True)
    assert answer.headers["x-playlake-truncated"] == "true"


@pytest.mark.parametrize(
    ("body", "status", "reason", "words"),
    [
        ({"sql": "DROP TABLE gold.quality_minute"}, 400, "refused", "this is DROP"),
        ({"sql": "FROM read_text('/etc/passwd')"}, 400, "refused", "read_text"),
        ({"sql": "SELECT nope FROM gold.quality_minute"}, 400, "failed", "nope"),
        ({"sql": "SELEC 1"}, 400, "failed", "syntax error"),
        ({"sql": "SELECT sum(hash(a.range)) FROM range(100000000) a, range(1000) b", "timeout_s": 0.5}, 408, "timeout",
         "longer than 0.5 s"),
        ({"sql": "SELECT ?", "parameters": []}, 400, "failed", "parameter"),
        ({"sq": "SELECT 1"}, 422, "invalid", "sql: Field required"),
        ({"sql": "SELECT 1", "format": "xml"}, 422, "invalid", "'json', 'arrow', 'csv' or 'parquet'"),
        ([], 422, "invalid", "expected {"),
    ],
)  # fmt: skip
def test_errors_are_json_and_help(server: Running, body: object, status: int, reason: str, words: str) -> None:
    answer = server.http.post("/v1/sql", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["reason"] == reason
    assert words in answer.json()["error"]["message"]


def test_catalog(server: Running) -> None:
    catalog = server.http.get("/v1/catalog").json()
    tables = {f"{table['schema']}.{table['name']}": table for table in catalog["tables"]}
    assert {"gold.quality_minute", "silver.sessions", "live.now", "metrics.quality_minute"} <= set(tables)
    assert "history and the present" in tables["metrics.quality_minute"]["comment"]
    assert "grain" in tables["gold.quality_minute"]["comment"]
    macro = next(macro for macro in catalog["macros"] if macro["name"] == "stalled_share")
    assert macro["parameters"] == ["stall_ms", "watched_ms"]
    assert "Unit: share, 0..1" in macro["comment"]


def test_health_metrics_and_pages(server: Running) -> None:
    health = server.http.get("/healthz").json()
    assert (health["status"], health["publish_id"]) == ("ok", "p1")
    assert 'playlake_server_queries_total{outcome="answered"}' in server.http.get("/metrics").text
    assert server.http.get("/quality/").status_code == 404
    assert "playlake quality" in server.http.get("/quality/").text


def test_it_does_not_load_what_only_compiling_needs() -> None:
    """numba is a tenth of the memory that the server may have."""
    look = "import sys, warehouse.server; print('numba' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", look], cwd=ROOT, text=True) == "False\n"


def test_other_names_of_this_machine_are_refused(server: Running) -> None:
    answer = server.http.post("/v1/sql", json={"sql": "SELECT 1"}, headers={"Host": "rebound.example"})
    assert answer.status_code == 400
    assert server.http.get("/healthz", headers={"Host": "localhost:1"}).status_code == 200


def test_only_loopback_is_listened_on(server: Running) -> None:
    sockets = psutil.Process(server.process.pid).net_connections()
    assert {s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_sigterm_ends_it_soon_with_open_streams_and_a_running_query(published: Lake) -> None:
    settings = replace(published.settings, kafka_bootstrap=f"127.0.0.1:{published.settings.kafka_port}")
    running = Running(settings)
    slow = "SELECT sum(hash(a.range)) FROM range(100000000) a, range(1000) b"

    def ask() -> None:
        with contextlib.suppress(httpx.HTTPError):
            running.sql(slow)

    asking = threading.Thread(target=ask)
    with httpx.stream("GET", f"{running.url}/v1/live", timeout=30) as stream:
        assert next(line for line in stream.iter_lines() if line.startswith("data:"))
        asking.start()
        time.sleep(1)
        children = psutil.Process(running.process.pid).children(recursive=True)
        assert len(children) > 1
        started = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - started < 10
    asking.join(20)
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
