"""What the DAGs hand to one another. A DAG that updates an asset wakes those that are scheduled on it."""

from __future__ import annotations

from airflow.sdk import Asset

SILVER = Asset("silver", uri="x-playlake://lake/silver", group="lake")
"""silver.playback_events, silver.sessions and silver.ui_events have changed."""

GOLD_STAGED = Asset("gold_staged", uri="x-playlake://lake/staging/gold", group="lake")
"""Recomputed gold lies in the staging area, unseen by readers."""

GOLD_AUDITED = Asset("gold_audited", uri="x-playlake://lake/audited/gold", group="lake")
"""The staged gold has passed every check that fails."""

WAREHOUSE = Asset("warehouse", uri="x-playlake://warehouse", group="warehouse")
"""Readers see the new gold: DuckDB files, SQL, dashboard."""
