"""Every known hole of a read-only DuckDB, and every way to wear a server out, tried against the running service.

Each hole is a case with its name. What one layer of the sandbox does alone is in test_sandbox_attacks.py.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx
import psutil
import pytest

from tests.conftest import isolated_settings
from tests.warehouse.lake import Lake
from tests.warehouse.serving import Running
from tests.warehouse.test_sandbox_attacks import Target
from warehouse.access.body_limit import MAX_BYTES

# {file}: the published file with the views, {part}: one with rows, {folder}: where they lie, {live}: the live file.
ATTACKS = {
    # What the obvious recipe (READ_ONLY, enable_external_access = false, lock_configuration) lets through.
    "detach, attach again to write, delete, checkpoint": (
        "DETACH warehouse; ATTACH '{file}' AS g (READ_WRITE); DELETE FROM g.main.meta; CHECKPOINT g"
    ),
    "attach again to write": "ATTACH '{file}' AS g (READ_WRITE)",
    "attach a month again to write": "DETACH current; ATTACH '{part}' AS g (READ_WRITE)",
    "copy over a month": "COPY (SELECT 1) TO '{part}' (USE_TMP_FILE false)",
    "attach the write-ahead log": "ATTACH '{file}.wal' AS g",
    "attach the live file to write": "ATTACH '{live}' AS g (READ_WRITE)",
    "attach to read": "ATTACH '{file}' AS g (READ_ONLY)",
    "copy over the published file": "COPY (SELECT 1) TO '{file}' (USE_TMP_FILE false)",
    "copy over its write-ahead log": "COPY (SELECT 1) TO '{file}.wal' (USE_TMP_FILE false)",
    "copy over the live file": "COPY (SELECT 1) TO '{live}' (USE_TMP_FILE false)",
    "copy into the folder of published files": "COPY (SELECT 1) TO '{folder}/stolen.csv'",
    "copy elsewhere": "COPY gold.quality_minute TO '/dev/shm/playlake-stolen.csv'",
    "copy a file in": "COPY gold.quality_minute FROM '/etc/passwd'",
    "export": "EXPORT DATABASE '{folder}/export'",
    # Statements whose type says SELECT.
    "delete in a common table expression": (
        "WITH gone AS (DELETE FROM gold.quality_minute RETURNING *) SELECT * FROM gone"
    ),
    "update in a common table expression": (
        "WITH done AS (UPDATE gold.quality_minute SET plays = 0 RETURNING *) SELECT * FROM done"
    ),
    "explain analyze delete": "EXPLAIN ANALYZE DELETE FROM gold.quality_minute",
    "explain analyze copy": "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}' (USE_TMP_FILE false)",
    "explain behind a nested comment": "/* /* */ EXPLAIN SELECT 1 --*/ EXPLAIN ANALYZE DELETE FROM gold.quality_minute",
    "SQL in a string": "SELECT * FROM query('DELETE FROM gold.quality_minute')",
    "a table by a string": "SELECT * FROM query_table('gold.quality_minute')",
    "serialized SQL": "SELECT * FROM json_execute_serialized_sql('{{}}')",
    "a second statement": "SELECT 1; DELETE FROM gold.quality_minute",
    "a second statement behind a NUL": "SELECT 1 \0; DELETE FROM gold.quality_minute",
    "pivot that makes a type": "PIVOT gold.quality_minute ON rollup USING sum(plays)",
    # Plain writes.
    "delete": "DELETE FROM gold.quality_minute",
    "truncate": "TRUNCATE gold.quality_minute",
    "update": "UPDATE gold.quality_minute SET plays = 0",
    "insert": "INSERT INTO warehouse.main.meta SELECT * FROM warehouse.main.meta",
    "merge": "MERGE INTO gold.quality_minute USING gold.quality_minute AS s ON false WHEN NOT MATCHED THEN INSERT",
    "drop": "DROP TABLE gold.quality_minute",
    "alter": "ALTER TABLE gold.quality_minute ADD COLUMN a INTEGER",
    "create table": "CREATE TABLE warehouse.gold.a AS SELECT 1",
    "create temp table": "CREATE TEMP TABLE a AS SELECT 1",
    "create trigger": "CREATE TRIGGER t AFTER INSERT ON gold.quality_minute EXECUTE DELETE FROM gold.quality_minute",
    "create secret": "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "create macro": "CREATE OR REPLACE MACRO metrics.stalled_share(a, b) AS 0",
    "replace a view": "CREATE OR REPLACE VIEW metrics.main.quality_minute AS SELECT 1",
    "drop a view": "DROP VIEW metrics.main.quality_minute",
    "detach": "DETACH live",
    "use": "USE live",
    "begin": "BEGIN TRANSACTION",
    "prepare": "PREPARE p AS SELECT 1",
    "checkpoint": "CHECKPOINT warehouse",
    "vacuum": "VACUUM",
    "set variable": "SET VARIABLE a = 1",
    # Files, network, code.
    "read a text file": "SELECT * FROM read_text('/etc/passwd')",
    "read a file by its name": "SELECT * FROM '/etc/passwd'",
    "read a file as CSV": "SELECT * FROM read_csv('/etc/passwd', delim = ':')",
    "sniff a file": "SELECT * FROM sniff_csv('/etc/passwd')",
    "read the published file's bytes": "SELECT * FROM read_blob('{file}')",
    "read another DuckDB file": "SELECT * FROM read_duckdb('{file}')",
    "read a Parquet file's head": "SELECT * FROM parquet_metadata('{folder}/a.parquet')",
    "list files": "SELECT * FROM glob('/etc/*')",
    "read by HTTP": "SELECT * FROM read_csv('http://127.0.0.1:9/a.csv')",
    "read by HTTP by its name": "SELECT * FROM 'http://127.0.0.1:9/a.parquet'",
    "install an extension": "INSTALL httpfs",
    "load an extension": "LOAD '{folder}/evil.duckdb_extension'",
    "read through a pointer": "SELECT * FROM arrow_scan_dumb(1::POINTER, 1::POINTER, 1::POINTER)",
    "read a variable of the process": "SELECT * FROM settings",
    "read an environment variable": "SELECT getenv('PATH')",
    # Settings and what they show.
    "unlock the configuration": "SET lock_configuration = false",
    "allow files again": "SET disabled_filesystems = ''",
    "reset what is disabled": "RESET disabled_filesystems",
    "allow access again": "SET enable_external_access = true",
    "spill into a folder": "SET temp_directory = '{folder}'",
    "more memory": "SET memory_limit = '100GB'",
    "log to standard output": "CALL enable_logging(level => 'debug', storage => 'stdout')",
    "log to a file": "CALL enable_logging(storage => 'file', storage_config => {{'path': '{folder}/log'}})",
    "logging as a table": "SELECT * FROM enable_logging()",
    "profile to a file": "PRAGMA profiling_output = '{folder}/profile.json'",
    "write to the log": "SELECT write_log('x')",
    "paths by pragma": "PRAGMA database_list",
    "paths by table function": "SELECT * FROM duckdb_databases()",
    "paths by view": "SELECT * FROM duckdb_databases",
    "paths by the pragma's view": "SELECT * FROM pragma_database_list",
    "settings by table function": "SELECT * FROM duckdb_settings()",
    "settings by view": "SELECT * FROM pg_catalog.pg_settings",
    "settings by scalar": "SELECT current_setting('allowed_paths')",
    "secrets": "SELECT * FROM duckdb_secrets()",
    "checkpoint as a table": "SELECT * FROM checkpoint('warehouse')",
    # Time that no clock of the processor counts.
    "sleep": "SELECT sleep_ms(60000)",
    "sleep in a window": "SELECT max(sleep_ms(60000)) OVER () FROM range(2)",
    "sleep in a lambda": "SELECT list_transform([1], lambda x: sleep_ms(60000))",
}

GREEDY = {
    "10 GB of sorted rows": (
        "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY hash(range)) AS n FROM range(1000000000))"
    ),
    "10 GB of groups": "SELECT count(*) FROM (SELECT DISTINCT hash(range) FROM range(1000000000))",
    "10 GB in one text": "SELECT length(string_agg(repeat('x', 10000000), '')) FROM range(1000)",
    "two big scalars": "SELECT length(repeat('x', 2000000000)) + length(repeat('y', 2000000000))",
    "a long printf": "SELECT length(printf('%2000000000d', 1))",
    "a big list": "SELECT len(list_sort(range(300000000)))",
    "unnest for ever": "SELECT count(*) FROM (SELECT unnest(range(100000000)) FROM range(1000))",
    "endless recursion": ("WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t"),
    "recursion that grows": (
        "WITH RECURSIVE t(n) AS (SELECT [1] UNION ALL SELECT list_concat(n, n) FROM t) SELECT max(len(n)) FROM t"
    ),
    "a cross join": "SELECT sum(hash(a.range)) FROM range(100000000) a, range(1000) b",
    "a row of 100 MB": "SELECT repeat('x', 100000000)",
}

JSON = {"content-type": "application/json"}
HEAD = "POST /v1/sql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"


class Victim:
    """A running server, and the files that must not change."""

    def __init__(self, running: Running, target: Target) -> None:
        self.running = running
        self.target = target
        self.home = str(target.settings.home)

    def rss_bytes(self) -> int:
        rss: int = psutil.Process(self.running.process.pid).memory_info().rss
        return rss


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    settings = isolated_settings(tmp_path_factory.mktemp("attacked") / "home")
    settings = replace(
        settings,
        kafka_bootstrap=f"127.0.0.1:{settings.kafka_port}",
        query_timeout_s=1.5,
        query_memory_bytes=200_000_000,
    )
    lake = Lake(settings)
    lake.publish("p1")
    target = Target(lake)
    target.file.chmod(0o644)  # not even the mode of the file is needed
    target.before = target.state()
    running = Running(settings)
    yield Victim(running, target)
    assert running.process.poll() is None
    running.stop()


def changed(victim: Victim) -> dict[str, str]:
    """Files that are not as they were; the server's own log and the live file, which it rewrites, aside."""
    now = victim.target.state()
    return {
        path: now.get(path, "gone")
        for path in victim.target.before | now
        if now.get(path) != victim.target.before.get(path)
    }


@pytest.mark.parametrize("name", ATTACKS)
def test_hole_is_closed(victim: Victim, name: str) -> None:
    attack = victim.target.fill(ATTACKS[name])
    answer = victim.running.sql(attack)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["reason"] in ("refused", "failed")
    assert victim.home in attack or victim.home not in answer.text, "an error shows no path of this machine"
    assert changed(victim) == {}


@pytest.mark.parametrize("name", GREEDY)
def test_greedy_query_ends_soon(victim: Victim, name: str) -> None:
    started = time.monotonic()
    answer = victim.running.sql(GREEDY[name])
    assert answer.status_code in (408, 413), answer.text[:300]
    assert time.monotonic() - started < 8
    assert "\n" not in answer.json()["error"]["message"]
    assert victim.running.sql("SELECT 42").json()["rows"] == [[42]]
    assert victim.rss_bytes() < 500_000_000, "what children take is theirs"


def test_an_answer_of_100_mb_is_refused_or_cut_with_the_reason(victim: Victim) -> None:
    sql = "SELECT repeat('x', 1000) AS text FROM range(100000)"
    whole = victim.running.sql(sql, format="csv")
    assert (whole.status_code, whole.json()["error"]["reason"]) == (413, "too_large")
    arrived = bytearray()
    with (
        pytest.raises(httpx.RemoteProtocolError),
        victim.running.http.stream("POST", "/v1/sql", json={"sql": sql}) as answer,
    ):
        for piece in answer.iter_bytes():
            arrived += piece
    assert b'],"error":{"reason":"too_large","message":"the answer is larger than 64,000,000 bytes' in arrived[-300:]
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(arrived)
    assert victim.rss_bytes() < 500_000_000


def test_nothing_is_said_about_the_machine(victim: Victim) -> None:
    """What is allowed shows no path either: catalog functions, explained plans, versions."""
    for sql in (
        "SELECT * FROM duckdb_tables()", "SELECT * FROM duckdb_columns()", "SELECT * FROM duckdb_schemas()",
        "SELECT * FROM duckdb_views()", "SHOW ALL TABLES", "EXPLAIN ANALYZE SELECT * FROM gold.quality_minute",
        "SELECT * FROM information_schema.tables", "SELECT * FROM sqlite_master", "SELECT version()", "SHOW DATABASES",
    ):  # fmt: skip
        answer = victim.running.sql(sql)
        assert victim.home not in answer.text, sql
        assert answer.status_code == 200 or answer.json()["error"]["reason"] == "refused", answer.text


def test_thirty_clients_at_once_are_all_answered(victim: Victim) -> None:
    """Those who were told to come again, when they do."""
    wrong: list[str] = []
    end = time.monotonic() + 50

    def ask(number: int) -> None:
        with victim.running.client() as client:
            for turn in range(2):
                body = {"sql": "SELECT count(*), ? FROM metrics.quality_minute", "parameters": [number * 10 + turn]}
                answer = client.post("/v1/sql", json=body)
                while answer.status_code == 503 and time.monotonic() < end:
                    time.sleep(float(answer.headers["retry-after"]))
                    answer = client.post("/v1/sql", json=body)
                if answer.status_code != 200 or answer.json()["rows"] != [[120, number * 10 + turn]]:
                    wrong.append(answer.text)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b'{"sql": "SELECT 1"} trailing', "application/json", 422),
        (b"\xff\xfe", "application/json", 422),
        (b"null", "application/json", 422),
        (b'"SELECT 1"', "application/json", 422),
        (b'{"sql": 1}', "application/json", 422),
        (b'{"sql": "SELECT 1", "timeout_s": -1}', "application/json", 422),
        (b'{"sql": "SELECT 1", "max_rows": 1e400}', "application/json", 422),
        (b'{"sql": "SELECT 1", "parameters": "abc"}', "application/json", 422),
        (b'{"sql": "' + b"x" * 100_001 + b'"}', "application/json", 422),
        (b"[" * 200_000, "application/json", 400),
        (b'{"sql": "SELECT 1"}', "text/plain", 422),  # what a page of elsewhere may send without being asked
        (b'{"sql": "SELECT 1"}', "application/x-www-form-urlencoded", 422),
        (b"", "application/json", 422),
    ],
)
def test_a_body_that_is_no_query(victim: Victim, content: bytes, kind: str, status: int) -> None:
    answer = victim.running.http.post("/v1/sql", content=content, headers={"content-type": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    assert victim.running.sql("SELECT 42").status_code == 200


def test_a_body_without_end_is_cut_off(victim: Victim) -> None:
    before = victim.rss_bytes()
    told = victim.running.http.post(
        "/v1/sql", content=b" " * (MAX_BYTES + 1), headers={"content-type": "application/json"}
    )
    assert (told.status_code, told.json()["error"]["reason"]) == (413, "too_large")

    def endless() -> Iterator[bytes]:
        for _ in range(200):
            yield b" " * 1_000_000

    try:
        answer = victim.running.http.post("/v1/sql", content=endless(), headers=JSON)
        assert answer.status_code in (400, 413)
    except (httpx.WriteError, httpx.RemoteProtocolError, httpx.ReadError):
        pass  # cut off while it was still sending
    assert victim.rss_bytes() - before < 60_000_000
    assert victim.running.sql("SELECT 42").status_code == 200


def test_connections_that_say_nothing_keep_nobody_waiting(victim: Victim) -> None:
    silent = [socket.create_connection(("127.0.0.1", victim.running.port)) for _ in range(100)]
    for one in silent:
        one.sendall(
            b"POST /v1/sql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
        )
    try:
        started = time.monotonic()
        assert victim.running.sql("SELECT 42").status_code == 200
        assert time.monotonic() - started < 5
    finally:
        for one in silent:
            one.close()


@pytest.mark.parametrize("form", ["arrow", "json"])
def test_a_big_answer_to_a_slow_reader_is_not_kept_in_memory(victim: Victim, form: str) -> None:
    """Four readers of 60 MB each, who take nothing."""
    before = victim.rss_bytes()
    body = json.dumps({"sql": "SELECT repeat('x', 600) AS text FROM range(100000)", "format": form}).encode()
    readers = [socket.create_connection(("127.0.0.1", victim.running.port)) for _ in range(4)]
    for reader in readers:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.sendall(HEAD.format(len(body)).encode() + body)
    time.sleep(2)
    assert victim.rss_bytes() - before < (40_000_000 if form == "arrow" else 80_000_000)
    for reader in readers:
        reader.close()
    end = time.monotonic() + 10
    while victim.running.http.get("/v1/sql").json()["queries"]:
        assert time.monotonic() < end, "who has hung up keeps no query"
        time.sleep(0.1)
