"""Whether little has come for a run: told by logs alone."""

from __future__ import annotations

import pyarrow as pa
import pytest
from deltalake import CommitProperties, write_deltalake

from batch import arrived
from batch.arrived import is_little
from infra.settings import Settings
from schemas.progress import Progress
from schemas.registry import PLAYBACK
from schemas.table import Table
from schemas.tables import BRONZE, SILVER_EVENTS
from schemas.tables.sessions import SESSIONS


def put(lake: Settings, table: Table, rows: int, done: Progress | None = None) -> None:
    properties = CommitProperties(custom_metadata={"userMetadata": done.to_json()}) if done else None
    path = table.path(lake.lake_root)
    write_deltalake(path, pa.table({"n": range(rows)}), mode="append", commit_properties=properties)


def silver_has(lake: Settings, version: int) -> None:
    done = Progress(stage_id=f"s{version}", complete={BRONZE[PLAYBACK.name].full_name: version})
    put(lake, SILVER_EVENTS[PLAYBACK.name], 0, done)


def test_silver(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrived, "LITTLE", 10)
    assert is_little(settings, "silver"), "there is nothing at all"
    put(settings, BRONZE[PLAYBACK.name], 5)
    assert not is_little(settings, "silver"), "silver is made for the first time"
    silver_has(settings, 0)
    assert is_little(settings, "silver")
    for rows, still_little in ((5, True), (5, True), (1, False)):
        put(settings, BRONZE[PLAYBACK.name], rows)
        assert is_little(settings, "silver") == still_little
    silver_has(settings, 3)
    assert is_little(settings, "silver")


def test_gold_is_new_where_one_of_its_tables_is(settings: Settings) -> None:
    put(settings, SESSIONS, 5)
    assert not is_little(settings, "gold")
    pairs = [(target, source) for target, source in arrived._pairs("gold") if source is SESSIONS]
    for target, _ in pairs:
        assert not is_little(settings, "gold"), target.name
        put(settings, target, 0, Progress(stage_id="s", complete={SESSIONS.full_name: 0}))
    assert len(pairs) > 5
    assert is_little(settings, "gold")
