"""`gold.restatements`: what later publishes have changed of what was published before."""

from __future__ import annotations

from schemas.table import Column, Table

RESTATEMENTS = Table(
    layer="gold",
    name="restatements",
    description="What a publish changed of a partition that had been published before: one row for each of its "
    "figures that is no longer the same.",
    owner="platform",
    grain=("table_name", "version", "play_date", "alternative", "metric"),
    columns=(
        Column("table_name", "string", "table, e.g. gold.title_daily", nullable=False),
        Column("play_date", "date", "day whose rows changed, UTC; null: the table has no days"),
        Column("alternative", "string", "rollup or bucketed_by, in tables that hold the same facts more than once"),
        Column(
            "metric",
            "string",
            "a part: its sum over the day's rows; startup_p50_ms, startup_p95_ms, unique_viewers: the macro over them; "
            "changed_rows: rows that are different, old ones that went and new ones that came",
            nullable=False,
        ),
        Column("old_value", "long", "before; null: the column was not there"),
        Column("new_value", "long", "after; null: the column is gone"),
        Column("change", "long", "new_value - old_value"),
        Column("records", "long", "records of that day that bronze gained in between; null: no longer known"),
        Column("events", "long", "events of that day that silver gained in between, each once; null: no longer known"),
        Column("old_as_of", "timestamp", "received time up to which the old value held everything"),
        Column("new_as_of", "timestamp", "the same of the new value"),
        Column("silver_stage_id", "string", "newest stage of silver that the new value is made of"),
        Column("publish_id", "string", "publish that changed it; null: it was none of playlake's"),
        Column("version", "long", "version of the gold table that holds the new value", nullable=False),
        Column("restated_at", "timestamp", "when that version was committed", nullable=False),
    ),
)
