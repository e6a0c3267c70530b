"""Every hole known in the obvious read-only recipes is tried: on each layer with the others taken away, then on all."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import duckdb
import pytest

from infra.errors import QueryError
from infra.settings import ROOT
from tests.warehouse.lake import Lake
from warehouse import attach, publication
from warehouse.sandbox import confine, gate
from warehouse.sandbox.pool import Sandbox

# {file}: the published file with the views, {part}: one with rows, {folder}: where they lie, {live}: the live file.
HOLES = [
    "USE memory; DETACH warehouse; ATTACH '{file}' AS g2 (READ_WRITE); DELETE FROM g2.main.meta; CHECKPOINT g2",
    "ATTACH '{file}' AS g2 (READ_WRITE); DELETE FROM g2.main.meta; CHECKPOINT g2",
    "ATTACH '{file}.wal' AS g3; CREATE TABLE g3.a AS SELECT 1; CHECKPOINT g3",
    "ATTACH '{folder}/other.duckdb' AS g4; CREATE TABLE g4.a AS SELECT 1",
    "COPY (SELECT 1) TO '{file}' (USE_TMP_FILE false)",
    "COPY (SELECT 1) TO '{file}.wal' (USE_TMP_FILE false)",
    "COPY (SELECT 1) TO '{live}' (USE_TMP_FILE false)",
    "COPY (SELECT 1) TO '{folder}/stolen.csv'",
    "COPY warehouse.gold.quality_minute TO '/dev/shm/playlake-stolen.csv'",
    "USE memory; DETACH live; ATTACH '{live}' AS g5 (READ_WRITE); CREATE TABLE g5.a AS SELECT 1; CHECKPOINT g5",
    "DETACH current; ATTACH '{part}' AS g6 (READ_WRITE); DELETE FROM g6.gold.quality_minute; CHECKPOINT g6",
    "COPY (SELECT 1) TO '{part}' (USE_TMP_FILE false)",
]
"""What the recipe of READ_ONLY, enable_external_access and lock_configuration lets through, and its neighbours."""

WRITES = [
    *HOLES,
    "EXPORT DATABASE '{folder}/export'",
    "DELETE FROM gold.quality_minute",
    "DELETE FROM current.gold.quality_minute",
    "UPDATE gold.quality_minute SET plays = 0",
    "INSERT INTO warehouse.main.meta SELECT * FROM warehouse.main.meta",
    "DROP TABLE gold.quality_minute",
    "ALTER TABLE gold.quality_minute ADD COLUMN a INTEGER",
    "CREATE TABLE warehouse.gold.a AS SELECT 1",
    "EXPLAIN ANALYZE DELETE FROM gold.quality_minute",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}' (USE_TMP_FILE false)",
    "WITH gone AS (DELETE FROM gold.quality_minute RETURNING *) SELECT * FROM gone",
    "SELECT * FROM query('DELETE FROM gold.quality_minute')",
    "SET disabled_filesystems = ''; COPY (SELECT 1) TO '{file}' (USE_TMP_FILE false)",
    "RESET disabled_filesystems; COPY (SELECT 1) TO '{file}' (USE_TMP_FILE false)",
    "SET lock_configuration = false; SET enable_external_access = true; COPY (SELECT 1) TO '{file}'",
    "SET temp_directory = '{folder}'",
    "CALL enable_logging(storage => 'file', storage_config => {{'path': '{folder}/log'}}); SELECT 1",
    "PRAGMA enable_profiling = 'json'; PRAGMA profiling_output = '{folder}/profile.json'; SELECT 1",
]
READS = [
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_csv('/etc/passwd', delim = ':')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_blob('{file}')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM read_duckdb('{file}')",
    "ATTACH '{file}' AS again (READ_ONLY)",
    "INSTALL httpfs",
    "LOAD '{folder}/evil.duckdb_extension'",
    "SELECT * FROM parquet_metadata('{folder}/a.parquet')",
    "COPY gold.quality_minute FROM '/etc/passwd'",
]
ONLY_THE_GATE = [
    "PRAGMA database_list",
    "SELECT * FROM duckdb_databases()",
    "SELECT * FROM duckdb_databases",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM pg_catalog.pg_settings",
    "SELECT current_setting('allowed_paths')",
    "SELECT sleep_ms(60000)",
    "SELECT max(sleep_ms(60000)) OVER () FROM range(2)",
    "SELECT list_transform([1], lambda x: sleep_ms(60000))",
    "SELECT write_log('x')",
    "SELECT * FROM query('SELECT * FROM duckdb_settings()')",
    "SELECT * FROM json_execute_serialized_sql('{{}}')",
    "SELECT * FROM arrow_scan_dumb(1::POINTER, 1::POINTER, 1::POINTER)",
    "SELECT * FROM checkpoint('warehouse')",
    "SELECT * FROM enable_logging()",
    "CALL enable_logging(level => 'debug', storage => 'stdout')",
    "CREATE TEMP TABLE a AS SELECT 1",
    "CREATE OR REPLACE VIEW metrics.main.quality_minute AS SELECT 1",
    "DROP VIEW metrics.main.quality_minute",
    "SET VARIABLE a = 1",
    "SET search_path = 'temp'",
    "USE live",
    "DETACH live",
    "BEGIN TRANSACTION",
    "PREPARE p AS SELECT 1",
    "CHECKPOINT",
    "VACUUM",
    "CALL pragma_version()",
    "SELECT 1; SELECT 2",
    "",
    "-- nothing",
    "SELECT 1 \0 FROM duckdb_settings()",
    "SELECT " + "[" * 900 + "1" + "]" * 900,
    "/* a */ EXPLAIN ANALYZE SELECT 1",
    "/* /* */ EXPLAIN SELECT 1 --*/ EXPLAIN ANALYZE DELETE FROM gold.quality_minute",
    "EXPLAIN ANALYZE (FORMAT json) DELETE FROM gold.quality_minute",
    "SELECT * FROM settings",  # a variable of the Python process
]
ALLOWED = [
    "SELECT count(*) FROM metrics.quality_minute",
    "FROM gold.quality_minute LIMIT 1",
    "VALUES (1), (2)",
    "WITH a AS (SELECT 1 AS b) SELECT * FROM a",
    "DESCRIBE gold.quality_minute",
    "SHOW ALL TABLES",
    "SUMMARIZE gold.quality_minute",
    "EXPLAIN SELECT * FROM gold.quality_minute",
    "explain (analyze, format json) SELECT 1",
    "PIVOT (SELECT rollup, plays FROM gold.quality_minute) ON rollup IN ('total', 'title') USING sum(plays)",
    "SELECT * FROM information_schema.columns",
    "SELECT unnest(range(3)), generate_series FROM generate_series(1, 2)",
    "SELECT startup_quantile_ms(startup_histogram, 0.95) FROM quality_minute",
    "SELECT metrics.stalled_share(stall_ms, watched_ms) FROM metrics.quality_minute",
]


class Target:
    """The files that must not change."""

    def __init__(self, lake: Lake) -> None:
        self.settings = lake.settings
        self.folder = lake.settings.warehouse
        record = publication.current(self.folder)
        assert record is not None
        self.files = record.paths(self.folder)
        self.file, self.part = self.files
        self.live = self.folder / publication.LIVE
        with duckdb.connect(str(self.live)) as connection:
            attach.create_live_tables(connection, "live")
        self.before = self.state()

    def state(self) -> dict[str, str]:
        paths = [*self.folder.rglob("*"), *Path("/dev/shm").glob("playlake-stolen*")]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()}

    def open_up(self) -> None:
        """Take away what the file's rights forbid."""
        for path in self.files:
            path.chmod(0o644)

    def fill(self, attack: str) -> str:
        return attack.format(file=self.file, part=self.part, folder=self.folder, live=self.live)


@pytest.fixture
def target(published: Lake) -> Target:
    return Target(published)


def attached(target: Target) -> duckdb.DuckDBPyConnection:
    connection = attach.connect(200_000_000)
    attach.attach_published(connection, target.files)
    attach.attach_live(connection, target.live)
    attach.define_views(connection)
    return connection


def run(connection: duckdb.DuckDBPyConnection, attack: str) -> list[str]:
    """Run it statement by statement, going on after errors; the errors."""
    errors = []
    for statement in attack.split("; "):
        try:
            connection.execute(statement).fetchall()
        except duckdb.Error as error:
            errors.append(str(error))
    return errors


@pytest.mark.parametrize("attack", [HOLES[0], HOLES[4], *HOLES[-2:]])
def test_holes_are_open_where_no_layer_stands(target: Target, attack: str) -> None:
    """The recipe that looks read-only: proof that the tests below can fail."""
    target.open_up()
    connection = attached(target)
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    run(connection, target.fill(attack))
    connection.close()
    assert target.state() != target.before


@pytest.mark.long
def test_locks_alone_hold(target: Target) -> None:
    target.open_up()
    for attack in WRITES + READS:
        connection = attached(target)
        attach.lock(connection)
        errors = run(connection, target.fill(attack))
        connection.close()
        assert target.state() == target.before, attack
        assert errors or attack in WRITES[-2:], attack


@pytest.mark.long
def test_gate_alone_holds(target: Target) -> None:
    connection = attached(target)
    for attack in WRITES + READS + ONLY_THE_GATE[:-1]:
        if attack == "SELECT * FROM '/etc/passwd'":
            continue  # a file name in place of a table's is the locks' to refuse
        with pytest.raises(QueryError):
            gate.check(connection, target.fill(attack))
    for query in ALLOWED:
        gate.check(connection, query)


LANDLOCKED = """
import sys, socket, os, traceback
from pathlib import Path
from warehouse import attach
from warehouse.sandbox import confine
from tests.warehouse.test_sandbox_attacks import run

def confined(part, file, live, attack):
    connection = attach.connect(200_000_000)
    attach.attach_published(connection, [Path(file), Path(part)])
    attach.attach_live(connection, Path(live))
    attach.define_views(connection)
    assert confine.forbid_writing()
    print(len(open('/etc/passwd').read()) > 0)
    assert confine.forbid_files_and_network()
    connection.execute('SET threads = 3')
    print(connection.execute('SELECT count(*) FROM gold.quality_minute').fetchone()[0])
    for action in (lambda: open('/etc/passwd'), lambda: os.mkdir('/tmp/a'), lambda: os.kill(os.getppid(), 0),
                   lambda: socket.create_connection(('127.0.0.1', 9)), lambda: os.unlink(file)):
        try:
            action(); print('allowed')
        except PermissionError:
            print('denied')
    run(connection, attack)

for attack in sys.stdin:
    if not os.fork():
        try:
            confined(*sys.argv[1:], attack.rstrip())
        except BaseException:
            traceback.print_exc()
        print('end', flush=True)
        os._exit(0)
    os.wait()
"""
"""A process that confines a copy of itself for each attack that it reads: what it has imported is there already."""


@pytest.mark.long
@pytest.mark.skipif(confine.landlock_version() < 6, reason="this kernel has no Landlock of version 6")
def test_landlock_alone_holds(target: Target) -> None:
    target.open_up()
    command = [sys.executable, "-c", LANDLOCKED, str(target.part), str(target.file), str(target.live)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        for attack in HOLES:
            process.stdin.write(f"{target.fill(attack)}\n")
            process.stdin.flush()
            said = [line.strip() for line in takewhile("end\n".__ne__, process.stdout)]
            assert said == ["True", "120", *["denied"] * 5], attack
            assert target.state() == target.before, attack
        process.stdin.close()
    assert process.returncode == 0


@pytest.mark.parametrize("threads", [1, pytest.param(3, marks=pytest.mark.long)])
def test_all_layers_hold(target: Target, threads: int) -> None:
    with Sandbox(replace(target.settings, query_threads=threads)) as sandbox:
        for attack in WRITES + READS + ONLY_THE_GATE:
            with pytest.raises(QueryError) as caught:
                sandbox.query(target.fill(attack))
            assert caught.value.reason in ("refused", "failed"), attack
            assert target.state() == target.before, attack
        for query in ALLOWED:
            assert sandbox.query(query).table.num_rows > 0, query


def test_the_kernel_stands_guard_where_it_can(target: Target) -> None:
    with Sandbox(target.settings, warm=0) as sandbox:
        assert sandbox.query("SELECT 1").landlock == (confine.landlock_version() > 0)
