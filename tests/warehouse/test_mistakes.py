"""A query that fails says where, and which names are near."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from tests.warehouse.lake import Lake
from warehouse import attach, publication
from warehouse.sandbox import mistakes


@pytest.fixture(scope="module")
def connection(standing_lake: Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    folder = standing_lake.settings.warehouse
    record = publication.current(folder)
    assert record is not None
    opened = attach.connect(100_000_000)
    attach.attach_published(opened, record.paths(folder))
    attach.attach_live(opened, None)
    attach.define_views(opened)
    opened.execute("SET errors_as_json = true")
    yield opened
    opened.close()


def told(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[str, int | None]:
    with pytest.raises(duckdb.Error) as caught:
        connection.execute(sql)
    error = mistakes.explain(connection, caught.value, sql)
    assert error.reason == "failed"
    return str(error), error.position


@pytest.mark.parametrize(
    ("sql", "words", "at"),
    [
        ("SELEC 1", 'syntax error at or near "SELEC"', "SELEC"),
        ("SELECT * FROM gold.quality_minut", "Did you mean gold.quality_minute, live.quality_minute", "gold"),
        ("SELECT * FROM session", "Did you mean silver.sessions", "session"),
        ("SELECT * FROM nothing_like_it", "There are gold.quality_minute, live.", "nothing"),
        ("SELECT playz FROM gold.quality_minute", "Did you mean plays?", "playz"),
        ("SELECT q.play FROM gold.quality_minute q", "Near to it are plays (gold.quality_minute", "q.play"),
        ("SELECT l.play FROM live.quality_minute l", "Did you mean plays?", "l.play"),
        ("SELECT user_id FROM gold.quality_minute", "a column of metrics.session_quality or silver.sessions", "user"),
        ("SELECT sesion_id FROM gold.quality_minute", "Near to it are session_id (metrics.session_quality", "sesion"),
        ("SELECT stalled_shar(1, 2)", 'Did you mean "stalled_share"?', "stalled"),
        ("SELECT 'ä€𝄞' AS text, nope\nFROM gold.quality_minute", 'Referenced column "nope" not found', "nope"),
        ("SELECT 1,\n\n\tnope FROM gold.quality_minute", "LINE 3:  nope FROM", "nope"),
    ],
)  # fmt: skip
def test_it_helps(connection: duckdb.DuckDBPyConnection, sql: str, words: str, at: str) -> None:
    message, position = told(connection, sql)
    assert words in message
    assert position == sql.index(at)
    *_, line, caret = message.splitlines()
    assert line[caret.index("^")] == sql[position]
    assert "pg_" not in message and "{" not in message


def test_a_long_line_is_cut_around_the_place(connection: duckdb.DuckDBPyConnection) -> None:
    sql = f"SELECT {', '.join(str(number) for number in range(200))}, nope, {'1, ' * 200}2 FROM gold.quality_minute"
    message, position = told(connection, sql)
    *_, line, caret = message.splitlines()
    assert len(line) < 100
    assert line[caret.index("^") :].startswith("nope")
    assert position == sql.index("nope")


def test_what_has_no_place_has_none(connection: duckdb.DuckDBPyConnection) -> None:
    message, position = told(connection, "SELECT ?")
    assert position is None
    assert message.startswith("Invalid Input Error: Values were not provided")


def test_what_goes_wrong_once_rows_flow_is_told_alike(connection: duckdb.DuckDBPyConnection) -> None:
    error = mistakes.unwrapped(OSError('{"exception_type":"Invalid Input","exception_message":"no"}'))
    assert str(mistakes.explain(connection, error, "SELECT 1")) == "Invalid Input Error: no"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"exception_type":"INTERRUPT","exception_message":"Interrupted!"}', duckdb.InterruptException),
        ('{"exception_type":"Out of Memory","exception_message":"no"}', duckdb.OutOfMemoryException),
        ("something else", duckdb.Error),
    ],
)
def test_kinds_are_kept(text: str, kind: type[duckdb.Error]) -> None:
    assert type(mistakes.unwrapped(OSError(text))) is kind
