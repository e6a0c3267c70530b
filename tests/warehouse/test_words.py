"""What the prompt suggests at a place of a query."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.catalog import Catalog, Column, Freshness, Macro, Table
from warehouse.prompt import words
from warehouse.prompt.editor import is_complete


def table(schema: str, name: str, *columns: str) -> Table:
    made = [Column(name=column, type="BIGINT", unit=None, comment=f"what {column} is") for column in columns]
    return Table(schema=schema, name=name, comment=f"{name} of {schema}", freshness=Freshness(), columns=made)


CATALOG = Catalog(
    publish_id="p1",
    tables=[
        table("gold", "quality_minute", "minute", "plays", "gold_only"),
        table("live", "now", "concurrent"),
        table("metrics", "quality_minute", "minute", "plays", "stall_ms", "watched_ms"),
        table("silver", "sessions", "session_id", "startup_ms"),
    ],
    macros=[Macro(name="stalled_share", parameters=["stall_ms", "watched_ms"], comment="Share of stalls.")],
)


def texts(query: str) -> list[str]:
    """Suggestions at | in the query."""
    before, _, after = query.partition("|")
    return [word.text for word in words.suggestions(before, after, CATALOG)]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("SELECT * FROM |", ["gold.quality_minute", "live.now", "metrics.quality_minute", "silver.sessions", "gold."]),
        ("SELECT * FROM go|", ["gold.quality_minute", "gold."]),
        ("SELECT * FROM quality|", ["gold.quality_minute", "metrics.quality_minute"]),
        ("SELECT * FROM gold.|", ["quality_minute"]),
        ("SELECT * FROM gold.quality_minute q, li|", ["live.now", "live."]),
        ("SELECT * FROM live.now JOIN silver.s|", ["sessions"]),
        ("DESCRIBE si|", ["silver.sessions", "silver."]),
        ("SELECT st| FROM metrics.quality_minute", ["stall_ms", "stalled_share("]),
        ("SELECT start| FROM silver.sessions s", ["startup_ms"]),
        ("SELECT s.| FROM silver.sessions AS s", ["session_id", "startup_ms"]),
        ("SELECT * FROM silver.sessions s WHERE S.start|", ["startup_ms"]),
        ("SELECT quality_minute.pl| FROM gold.quality_minute", ["plays"]),
        ("SELECT metrics.st|", ["stalled_share("]),
        ("SELECT ms| FROM silver.sessions", ["startup_ms"]),
        ("SELECT coa|", ["coalesce"]),
        ("SEL|", ["SELECT"]),
        ("SELECT 'a''b' -- it's\n FROM live.n|", ["now"]),
    ],
)
def test_it_fits_the_place(query: str, first: list[str]) -> None:
    assert texts(query)[: len(first)] == first


def test_columns_come_from_what_the_query_reads() -> None:
    assert "gold_only" in texts("SELECT g| FROM gold.quality_minute")
    assert "stalled_share(" not in texts("SELECT * FROM metrics.|")
    assert "gold_only" not in texts("SELECT g| FROM quality_minute"), "a bare name is the joined view"


@pytest.mark.parametrize("query", ["SELECT 'sel|", "SELECT 'it''s sel|", "SELECT 1 -- sel|", "SELECT /* sel|"])
def test_nothing_within_a_string_or_a_comment(query: str) -> None:
    assert texts(query) == []


@given(st.text(alphabet="sel fromgold.quality_minute',()*-/\n;\\", max_size=60), st.text(max_size=10))
def test_whatever_stands_there_suggestions_replace_what_was_typed(before: str, after: str) -> None:
    found = words.suggestions(before, after, CATALOG)
    for word in found:
        typed = before[len(before) - word.start :]
        assert typed.lower() in word.text.lower()
    assert len({word.text for word in found}) == len(found)


@pytest.mark.parametrize(
    ("text", "complete"),
    [("", True), ("\\d", True), ("SELECT 1;", True), ("SELECT 1; ", True), ("SELECT 1\n", True), ("SELECT 1", False),
     ("SELECT\n1", False)],
)  # fmt: skip
def test_enter_runs_what_is_complete(text: str, complete: bool) -> None:
    assert is_complete(text) is complete
