"""SQL over HTTP for visitors with keys: ids, cancelling, streams, limits, the audit log."""

from __future__ import annotations

import contextlib
import io
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.settings import Settings
from tests.conftest import isolated_settings
from tests.warehouse.lake import Lake
from tests.warehouse.serving import Running, start
from tests.warehouse.test_sandbox import BUSY
from warehouse.access.keys import KeyFile, Scope


@dataclass
class Service:
    """A server that asks for keys, and visitors who have them."""

    running: Running
    settings: Settings
    keys: KeyFile
    visitors: dict[str, httpx.Client]

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.settings.query_log.read_text().splitlines()]

    def listed(self, who: str = "admin") -> list[dict[str, Any]]:
        queries: list[dict[str, Any]] = self.visitors[who].get("/v1/sql").json()["queries"]
        return queries

    def busy_child(self) -> psutil.Process:
        """The query's process that computes."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            for process in psutil.Process(self.running.process.pid).children(recursive=True):
                if process.ppid() != self.running.process.pid and process.cpu_times().user > 0.3:
                    return process
            time.sleep(0.05)
        pytest.fail("no query computes")

    def wait_until_listed(self, query_id: str, is_listed: bool = True) -> None:
        end = time.monotonic() + 15
        while any(one["id"] == query_id for one in self.listed()) is not is_listed:
            assert time.monotonic() < end, f"{query_id}: {self.listed()}"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = isolated_settings(tmp_path_factory.mktemp("service") / "home")
    settings = replace(
        settings,
        kafka_bootstrap=f"127.0.0.1:{settings.kafka_port}",
        server_keys="always",
        query_timeout_s=20.0,
        query_stall_s=1.5,
    )
    Lake(settings).publish("p1")
    keys = KeyFile(settings.server_keys_file)
    scopes = {"ana": Scope.query, "bert": Scope.query, "viewer": Scope.view, "admin": Scope.admin}
    texts = {name: keys.add(name, scope, at_once=3)[1] for name, scope in scopes.items()}
    texts["slow"] = keys.add("slow", Scope.query, per_minute=2)[1]
    running = Running(settings, texts["ana"])
    yield Service(running, settings, keys, {name: running.client(text) for name, text in texts.items()})
    running.stop()


def in_background(visitor: httpx.Client, **body: object) -> tuple[threading.Thread, list[httpx.Response]]:
    answers: list[httpx.Response] = []

    def ask() -> None:
        with contextlib.suppress(httpx.HTTPError):
            answers.append(visitor.post("/v1/sql", json=body))

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, answers


def test_an_answer_has_its_id_in_header_and_body(service: Service) -> None:
    answer = service.running.sql("SELECT 1")
    assert len(answer.json()["query_id"]) == 16
    assert answer.headers["x-playlake-query"] == answer.json()["query_id"]
    chosen = service.running.sql("SELECT 1", query_id="my-own-id-1", format="csv")
    assert chosen.headers["x-playlake-query"] == "my-own-id-1"
    failed = service.running.sql("SELECT nope FROM gold.quality_minute", query_id="my-own-id-2")
    assert failed.json()["error"]["query_id"] == failed.headers["x-playlake-query"] == "my-own-id-2"
    assert failed.json()["error"]["position"] == 7
    assert service.running.sql("SELECT 1", query_id="no spaces").json()["error"]["reason"] == "bad_id"


def test_a_query_is_listed_and_cancelled(service: Service) -> None:
    thread, answers = in_background(service.visitors["ana"], sql=BUSY, query_id="cancel-me")
    service.wait_until_listed("cancel-me")
    [shown] = [one for one in service.listed("ana") if one["id"] == "cancel-me"]
    assert (shown["key"], shown["sql"]) == ("ana", BUSY)
    assert service.listed("bert") == [], "a key sees its own queries only"
    again = service.visitors["bert"].post("/v1/sql", json={"sql": "SELECT 1", "query_id": "cancel-me"})
    assert (again.status_code, again.json()["error"]["reason"]) == (409, "id_in_use")
    assert service.visitors["bert"].delete("/v1/sql/cancel-me").status_code == 404
    busy = service.busy_child()
    started = time.monotonic()
    assert service.visitors["ana"].delete("/v1/sql/cancel-me").json() == {"query_id": "cancel-me", "state": "cancelled"}
    thread.join(10)
    assert time.monotonic() - started < 2
    assert (answers[0].status_code, answers[0].json()["error"]["reason"]) == (409, "cancelled")
    assert answers[0].json()["error"]["message"] == "the query was cancelled"
    busy.wait(5)
    assert service.listed() == []
    assert service.visitors["ana"].delete("/v1/sql/cancel-me").status_code == 404


def test_an_admin_cancels_anybodys_query(service: Service) -> None:
    thread, answers = in_background(service.visitors["bert"], sql=BUSY, query_id="of-somebody")
    service.wait_until_listed("of-somebody")
    assert service.visitors["admin"].delete("/v1/sql/of-somebody").status_code == 200
    thread.join(10)
    assert answers[0].status_code == 409


def test_a_query_ends_when_its_client_hangs_up(service: Service) -> None:
    with pytest.raises(httpx.ReadTimeout):
        service.visitors["ana"].post("/v1/sql", json={"sql": BUSY, "query_id": "given-up"}, timeout=1.0)
    service.wait_until_listed("given-up", is_listed=False)
    assert [line["outcome"] for line in service.log() if line["id"] == "given-up"] == ["cancelled"]


def test_a_big_answer_comes_as_a_stream(service: Service) -> None:
    sql = "SELECT range, repeat('x', 500) AS text FROM range(80000)"
    with service.visitors["ana"].stream("POST", "/v1/sql", json={"sql": sql, "format": "arrow"}) as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in answer.headers and "x-playlake-truncated" not in answer.headers
        assert answer.headers["x-playlake-publish"] == "p1"
        query_id = answer.headers["x-playlake-query"]
        content = answer.read()
    assert pa.ipc.open_stream(content).read_all()["range"].to_pylist() == list(range(80_000))
    service.wait_until_listed(query_id, is_listed=False)
    [line] = [line for line in service.log() if line["id"] == query_id]
    assert (line["outcome"], line["rows"]) == ("answered", 80_000)


def test_big_answers_in_other_forms(service: Service) -> None:
    sql = "SELECT range, repeat('x', 100) AS text FROM range(50000)"
    answer = service.running.sql(sql)
    assert answer.headers["transfer-encoding"] == "chunked" and answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert [row[0] for row in body["rows"]] == list(range(50_000))
    assert (body["row_count"], body["truncated"], body["publish_id"]) == (50_000, False, "p1")
    assert service.running.sql(sql, max_rows=20_000).json()["truncated"] is True
    csv = service.running.sql(sql, format="csv", max_rows=20_000)
    assert csv.headers["x-playlake-truncated"] == "true"
    assert csv.text.count("\n") == 20_001 and csv.text.startswith("range,text\n0,xxx")
    parquet = service.running.sql(sql, format="parquet", max_rows=20_000)
    assert parquet.headers["x-playlake-truncated"] == "true"
    assert pq.read_table(io.BytesIO(parquet.content)).num_rows == 20_000


@pytest.mark.parametrize("form", ["json", "arrow"])
def test_a_query_that_fails_on_its_way_gives_no_answer(service: Service, form: str) -> None:
    sql = "SELECT CASE WHEN range < 90000 THEN repeat('x', 500) ELSE error('boom') END AS text FROM range(100000)"
    try:
        answer = service.running.sql(sql, format=form, query_id=f"fails-late-{form}")
        assert answer.status_code == 400, "or it has failed before it was sent"
    except httpx.RemoteProtocolError as error:
        assert "incomplete" in str(error)
    service.wait_until_listed(f"fails-late-{form}", is_listed=False)
    assert [line["outcome"] for line in service.log() if line["id"] == f"fails-late-{form}"] == ["failed"]


def test_a_small_stream_has_all_headers(service: Service) -> None:
    answer = service.running.sql("FROM range(5)", format="arrow", max_rows=3)
    assert answer.headers["x-playlake-truncated"] == "true"
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_a_stream_that_is_cancelled_is_not_whole(service: Service) -> None:
    sql = "SELECT range, repeat('x', 500) AS text FROM range(100000)"
    body = {"sql": sql, "format": "arrow", "query_id": "cut-stream"}
    with (
        pytest.raises(httpx.RemoteProtocolError),
        service.visitors["ana"].stream("POST", "/v1/sql", json=body) as answer,
    ):
        pieces = answer.iter_bytes(1000)
        next(pieces)
        assert service.visitors["bert"].delete("/v1/sql/cut-stream").status_code == 404
        assert service.visitors["admin"].delete("/v1/sql/cut-stream").status_code == 200
        for _ in pieces:
            pass
    service.wait_until_listed("cut-stream", is_listed=False)
    assert [line["outcome"] for line in service.log() if line["id"] == "cut-stream"] == ["cancelled"]


def test_a_slow_reader_is_cut_off_and_keeps_nobody_waiting(service: Service) -> None:
    body = {"sql": "SELECT repeat('x', 600) FROM range(100000)", "format": "arrow", "query_id": "slow-reader"}
    with service.visitors["ana"].stream("POST", "/v1/sql", json=body) as answer:
        assert answer.status_code == 200
        assert service.visitors["bert"].post("/v1/sql", json={"sql": "SELECT 1"}).status_code == 200
        service.wait_until_listed("slow-reader", is_listed=False)
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()
    assert [line["outcome"] for line in service.log() if line["id"] == "slow-reader"] == ["unread"]


@pytest.mark.parametrize(
    ("who", "path", "status"),
    [
        (None, "/healthz", 200), (None, "/metrics", 200), (None, "/", 401), (None, "/v1/catalog", 401),
        (None, "/v1/live", 401), (None, "/v1/sql", 401), (None, "/quality/", 401), (None, "/openapi.json", 401),
        (None, "/v1/dashboard/parity", 401), ("viewer", "/v1/catalog", 200), ("viewer", "/v1/sql", 403),
        ("ana", "/v1/sql", 200), ("ana", "/openapi.json", 200),
    ],
)  # fmt: skip
def test_what_each_scope_may_see(service: Service, who: str | None, path: str, status: int) -> None:
    visitor = service.visitors[who] if who else service.running.client()
    answer = visitor.get(path)
    assert answer.status_code == status
    if status == 401:
        assert "Basic" in answer.headers["www-authenticate"]
    if status == 403:
        assert answer.json()["error"]["message"] == "this needs a key of scope query, and viewer has one of scope view"


def test_a_key_that_is_revoked_opens_nothing_from_then_on(service: Service) -> None:
    visitor = service.running.client(service.keys.add("gone", Scope.query)[1])
    assert visitor.post("/v1/sql", json={"sql": "SELECT 1"}).status_code == 200
    service.keys.revoke("gone")
    answer = visitor.post("/v1/sql", json={"sql": "SELECT 1"})
    assert (answer.status_code, answer.json()["error"]["reason"]) == (401, "unknown_key")


def test_a_key_may_not_ask_too_often(service: Service) -> None:
    answers = [service.visitors["slow"].post("/v1/sql", json={"sql": "SELECT 1"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["error"]["reason"] == "too_fast"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 60
    assert service.running.sql("SELECT 1").status_code == 200
    assert service.log()[-2]["outcome"] == "too_fast"


def test_a_key_may_not_ask_too_much_at_once(service: Service) -> None:
    asked = [in_background(service.visitors["ana"], sql=BUSY, query_id=f"at-once-{n}") for n in range(3)]
    for number in range(3):
        service.wait_until_listed(f"at-once-{number}")
    refused = service.running.sql("SELECT 1")
    assert (refused.status_code, refused.json()["error"]["reason"]) == (429, "too_many")
    assert refused.headers["retry-after"] == "1"
    assert service.visitors["bert"].post("/v1/sql", json={"sql": "SELECT 1"}).status_code == 200
    for number, (thread, _) in enumerate(asked):
        service.visitors["ana"].delete(f"/v1/sql/at-once-{number}")
        thread.join(10)
    assert service.running.sql("SELECT 1").status_code == 200


def test_every_query_leaves_a_line(service: Service) -> None:
    ask = service.running.sql
    ask("SELECT $day, $user", parameters={"day": "2026-01-15", "user": "u-1234"}, secret_parameters=["user"])
    ask("SELECT ?::INTEGER", parameters=["hidden-5678"], secret_parameters=True)
    ask("DROP TABLE gold.quality_minute")
    first, second, third = service.log()[-3:]
    assert (first["key"], first["outcome"], first["rows"], first["publish_id"]) == ("ana", "answered", 1, "p1")
    assert first["parameters"] == {"day": "2026-01-15", "user": "(secret)"}
    assert (second["outcome"], second["parameters"]) == ("failed", ["(secret)"])
    assert (third["outcome"], third["sql"]) == ("refused", "DROP TABLE gold.quality_minute")
    assert first["elapsed_ms"] > 0 and first["ts"].endswith("Z")
    for secret in ("u-1234", "hidden-5678"):
        assert secret not in service.settings.query_log.read_text()
        assert secret not in service.running.log.read_text()


def test_a_server_open_to_the_world_does_not_start(settings: Settings) -> None:
    process = start(replace(settings, host="0.0.0.0"))
    try:
        assert process.wait(60) == 1
    finally:
        process.kill()
    [line] = [json.loads(line) for line in (settings.home / "server.log").read_text().splitlines()]
    assert line["level"] == "CRITICAL"
    assert "make one with `playlake key add NAME`" in line["msg"]
