"""Commands of the batch jobs: stage, commit, publish. What goes on between them: `batch/stage.py`."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

app = typer.Typer()

NOTHING_NEW = 99
"""Exit code when there is nothing to stage: no error, but whoever comes next has nothing to do."""


class Layer(StrEnum):
    """Layers that are staged."""

    silver = "silver"
    gold = "gold"


From = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day to restate.")]
To = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day to restate, inclusive.")]


Whole = Annotated[bool, typer.Option("--whole", help="All of it anew, whatever is there.")]


@app.command()
def stage(layer: Layer, first: From = None, last: To = None, whole: Whole = False) -> None:
    """Compute a layer's new rows and stage them, unseen by readers. Without days: what is new. Exit 99: nothing is."""
    from batch import run
    from batch.stage import Days
    from infra.errors import SettingsError
    from infra.settings import Settings

    if (first is None) != (last is None):
        msg = "--from and --to go together, e.g. --from 2026-01-15 --to 2026-01-16"
        raise SettingsError(msg)
    if whole and first is not None:
        msg = "--whole makes every day anew, so it goes without --from and --to"
        raise SettingsError(msg)
    days = Days(first.date(), last.date()) if first and last else None
    manifest = run.stage(Settings.from_env(), layer.value, days, is_whole=whole)
    if manifest is None:
        typer.echo(f"{layer.value}: nothing new")
        raise typer.Exit(NOTHING_NEW)
    for name, staged in manifest.tables.items():
        what = "all of it" if whole else f"{len(staged.dates)} partitions restated"
        typer.echo(f"staged {layer.value}.{name}: {staged.rows:,} rows, {what}")


@app.command()
def commit(layer: Layer) -> None:
    """Put an audited stage into its tables. Refuses what `playlake quality` has not passed."""
    from batch import run
    from infra.settings import Settings

    _, versions = run.commit(Settings.from_env(), layer.value)
    for name, version in versions.items():
        typer.echo(f"committed {layer.value}.{name}: version {version}")


@app.command()
def publish() -> None:
    """Put the audited stage of gold into gold, and order its publication (`playlake warehouse-build`)."""
    from batch import publish
    from infra.settings import Settings

    record, restated = publish.publish(Settings.from_env())
    typer.echo(f"published {record.publish_id}: gold answers up to {record.cutover_minute:%Y-%m-%d %H:%M}Z")
    figures = Counter(row["table_name"] for row in restated)
    days = {name: {row["play_date"] for row in restated if row["table_name"] == name} for name in figures}
    for name, count in sorted(figures.items()):
        typer.echo(f"restated {name}: {count} figures of {len(days[name])} partitions; see gold.restatements")


@app.command()
def tidy() -> None:
    """Merge silver's small files, delete files of silver and gold replaced seven days ago (hourly, by Airflow)."""
    from batch.merge import merge
    from batch.vacuum import vacuum
    from infra.settings import Settings

    settings = Settings.from_env()
    for merged in merge(settings):
        what = f"{merged.files:>8,} files merged into {merged.into:,}"
        why = ": another commit came first; the next time" if merged.is_late else ""
        typer.echo(f"{merged.table:<32}{what}{why}")
    for done in vacuum(settings):
        typer.echo(f"{done.table:<32}{done.files:>8,} files deleted, {done.size / 1e6:,.1f} MB")
