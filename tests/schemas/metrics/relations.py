"""The tables of the worked examples in DuckDB, as the warehouse would have them: events folded, parts added up.

All examples are in them, told apart by the column `example`: a number, the place in the list that was given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa

from schemas.derive import arrow_schema
from schemas.metrics.example import START_MS, end_ms, facts, parsed
from schemas.metrics.macros import ad_part, metrics_sql
from schemas.metrics.metric import Example
from schemas.metrics.parts import AD_PARTS
from schemas.metrics.relations import minutes_sql, registers, views_sql
from schemas.quality import HEARD_WITHIN_MS
from schemas.session_row import session_row
from schemas.session_state import PLAYING, STALLED
from schemas.sessionize import sessionize
from schemas.tables.sessions import SESSIONS

TIMEOUT_MS = 1_800_000

RELATIONS = ("minutes", "views", "audience", "now", "ads")
"""Tables an aggregate may be asked of; `views` has the columns of a session too."""
_COLUMNS = arrow_schema(SESSIONS.columns)
_AD_FIELDS = ("ad_request_id", "ad_id", "sequence", "ad_count", "quartile")
_AD_COLUMNS = "ad_request_id VARCHAR, ad_id VARCHAR, sequence BIGINT, ad_count BIGINT, quartile VARCHAR"


def connection(examples: list[Example]) -> duckdb.DuckDBPyConnection:
    """DuckDB with the macros and the RELATIONS of these examples."""
    con = duckdb.connect(config={"threads": 1})
    con.execute("SET TimeZone = 'UTC'")
    con.execute(metrics_sql())
    rows = [{"example": place, **row} for place, example in enumerate(examples) for row in session_rows(example)]
    _table(con, "sessions", rows, pa.schema([("example", pa.int64()), *_COLUMNS]))
    con.execute(f"CREATE TABLE views AS {views_sql('sessions', _COLUMNS.names)}")
    con.execute(f"CREATE TABLE minutes AS {minutes_sql('sessions', 'example')}")
    viewers = [
        {"example": row["example"], "viewer_registers": registers([row["user_id"] or row["session_id"]])}
        for row in rows
    ]
    _table(con, "audience", viewers, pa.schema([("example", pa.int64()), ("viewer_registers", pa.list_(pa.int8()))]))
    watching = [{"example": place, "concurrent": _watching(example)} for place, example in enumerate(examples)]
    _table(con, "now", watching, pa.schema([("example", pa.int64()), ("concurrent", pa.int64())]))
    _ads(con, examples)
    return con


def _table(con: duckdb.DuckDBPyConnection, name: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    con.register("given", pa.Table.from_pylist(rows, schema))
    con.execute(f"CREATE TABLE {name} AS FROM given")
    con.unregister("given")


def session_rows(example: Example) -> Iterator[dict[str, Any]]:
    """Rows of silver.sessions when all is over."""
    found = facts(example)
    for session in example.sessions:
        mine = [fact for fact in found if fact.session_id == session]
        for state, minutes in sessionize(mine, TIMEOUT_MS):
            yield session_row(state, minutes, end_ms(example), TIMEOUT_MS)


def _watching(example: Example) -> int:
    """Who plays or stalls and was heard from lately, when the newest event of the example has come."""
    found = facts(example)
    newest = max((fact.received_ms for fact in found), default=START_MS)
    states = [
        state
        for session in example.sessions
        for state, _ in sessionize([fact for fact in found if fact.session_id == session], TIMEOUT_MS)
    ]
    return sum(s.phase in (PLAYING, STALLED) and s.last_received_ms >= newest - HEARD_WITHIN_MS for s in states)


def _ads(con: duckdb.DuckDBPyConnection, examples: list[Example]) -> None:
    con.execute(f"CREATE TABLE ad_events (example BIGINT, event_type VARCHAR, {_AD_COLUMNS})")
    for place, example in enumerate(examples):
        for _, kind, fields in parsed(example.ads):
            row = [place, kind, *(fields.get(name) for name in _AD_FIELDS)]
            con.execute("INSERT INTO ad_events VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    parts = ", ".join(f"{ad_part(part)} AS {part}" for part in AD_PARTS)
    con.execute(f"CREATE TABLE ads AS SELECT example, {parts} FROM ad_events GROUP BY ALL")
