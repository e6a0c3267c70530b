"""The catalogue tells of everything that can be asked: meaning, unit, freshness."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from infra.settings import ROOT
from schemas.table import read_sql_table
from schemas.tables import SILVER
from schemas.units import unit_of
from tests.warehouse.lake import NOON, Lake
from tests.warehouse.test_sandbox import write_live
from warehouse.catalog import Catalog, CatalogReader
from warehouse.sandbox.pool import Sandbox

NUMBERS_WITHOUT_UNIT = {
    "argument",
    "value",
    "peak",
    "expected",
    "limit",
    "sample",
    "minutes",
    "covers",
    "partition",
    "position",
    "surge",
    "startup_bucket",
}


@pytest.fixture(scope="module")
def catalog(standing_lake: Lake) -> Catalog:
    lake = standing_lake
    lake.request("p2", {"gold.quality_minute": 0, "silver.sessions": 0}, as_of={"gold.quality_minute": NOON})
    from warehouse import build

    build.build(lake.settings)
    write_live(lake.settings, 7, 8)
    with Sandbox(lake.settings, warm=0) as sandbox:
        return CatalogReader(sandbox, lake.settings).read()


def test_one_that_was_read_for_somebody_else_serves_for_a_while(published: Lake) -> None:
    with Sandbox(published.settings, warm=0) as sandbox:
        reader = CatalogReader(sandbox, published.settings)
        first = reader.read()
        assert reader.read(60) is first
        published.publish("p2")
        assert (reader.read(60).publish_id, reader.read().publish_id) == ("p1", "p2")


def test_every_table_and_every_column_has_a_meaning(catalog: Catalog) -> None:
    assert [table.full_name for table in catalog.tables if not table.comment] == []
    assert [f"{t.full_name}.{c.name}" for t in catalog.tables for c in t.columns if not c.comment] == []


def test_every_number_has_a_unit(catalog: Catalog) -> None:
    kinds = ("BIGINT", "INTEGER", "DOUBLE", "HUGEINT", "BIGINT[]", "DATE", "TIMESTAMP WITH TIME ZONE")
    found = {c.name for t in catalog.tables for c in t.columns if c.type in kinds and c.unit is None}
    assert found <= NUMBERS_WITHOUT_UNIT


def test_units_of_contracts_are_what_their_descriptions_say() -> None:
    """Where the words of a contract end in a unit, it is the one that the name gives."""
    tables = [*SILVER.values(), *(read_sql_table(path) for path in (ROOT / "batch" / "gold").glob("*.sql"))]
    told = [(c.name, c.doc.rstrip(".").rpartition(", ")[2]) for table in tables for c in table.columns]
    spoken = {"ms": "ms", "kbit/s": "kbit/s", "ms of media": "ms", "bits": "bits", "0..1": "share, 0..1"}
    wrong = [(name, words) for name, words in told if words in spoken and unit_of(name) != spoken[words]]
    assert wrong == []
    assert sum(words in spoken for _, words in told) > 20


def test_freshness(catalog: Catalog) -> None:
    fresh = {table.full_name: table.freshness for table in catalog.tables}
    gold, live, both = (fresh[f"{schema}.quality_minute"] for schema in ("gold", "live", "metrics"))
    assert (gold.published_at, gold.as_of, gold.live_at) == (NOON + timedelta(minutes=5), NOON, None)
    assert gold.newest == NOON - timedelta(minutes=1)
    assert (live.published_at, live.as_of, live.newest) == (None, None, NOON + timedelta(minutes=1))
    assert live.live_at is not None and datetime.now(UTC) - live.live_at < timedelta(minutes=5)
    assert (both.published_at, both.as_of, both.newest) == (gold.published_at, NOON, live.newest)
    assert both.live_at == live.live_at
    assert fresh["silver.sessions"].newest == datetime(2026, 1, 15, 10, tzinfo=UTC)


def test_a_table_is_found_as_a_query_finds_it(catalog: Catalog) -> None:
    assert [getattr(catalog.table(name), "full_name", None) for name in ("quality_minute", "sessions", "NOW", "x")] == [
        "metrics.quality_minute", "silver.sessions", "live.now", None,
    ]  # fmt: skip
