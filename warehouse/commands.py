"""Commands that answer questions."""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from warehouse.forms import Form, form_of

app = typer.Typer()


class Layer(StrEnum):
    """Layers that are staged, and so audited."""

    silver = "silver"
    gold = "gold"


NOTHING_STAGED = 99
NO_VERDICT = 3
"""Exit code when a check could not be computed. Unlike a failed check (1), trying again may help."""


@app.command()
def quality(
    layers: Annotated[list[Layer] | None, typer.Argument(help="What to audit; both when not said.")] = None,
    if_needed: Annotated[bool, typer.Option(help="Nothing to do when this very stage has already passed.")] = False,
) -> None:
    """Run every check of the staged tables (Great Expectations) and write the Data Docs. Exit 1: a check failed."""
    from infra.errors import CheckBroken, CheckFailed, StageRefused
    from infra.settings import Settings
    from schemas.stage import read_manifest, require_audit

    settings = Settings.from_env()
    manifests = [m for layer in layers or list(Layer) if (m := read_manifest(settings.lake_root, layer.value))]
    if not manifests:
        typer.echo("nothing is staged")
        raise typer.Exit(NOTHING_STAGED)
    for manifest in manifests:
        if if_needed:
            with suppress(StageRefused, CheckFailed):
                require_audit(settings.lake_root, manifest)
                typer.echo(f"{manifest.layer}: stage {manifest.stage_id} has already passed")
                continue
        from warehouse.quality.audit import audit_stage

        try:
            found, index = audit_stage(settings, manifest)
        except CheckBroken as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(NO_VERDICT) from None
        typer.echo(f"{manifest.layer}: stage {manifest.stage_id} {found.state}; report: {index}")


@app.command()
def sql(
    query: Annotated[
        str | None,
        typer.Argument(
            help="One SELECT over gold, silver, live and metrics; - reads it from stdin. Without: a prompt."
        ),
    ] = None,
    chosen: Annotated[
        Form | None, typer.Option("--format", help="Form of the answer; a table, or what the file's ending says.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Put the answer into this file.")] = None,
    max_rows: Annotated[int | None, typer.Option(min=0, help="Rows at most; the setting query_max_rows.")] = None,
) -> None:
    """Ask the warehouse. Needs no server: reads the published files, and the live file where a server writes one."""
    import sys

    from infra.settings import Settings

    settings = Settings.from_env()
    if query is None and sys.stdin.isatty():
        from warehouse.prompt.loop import run

        run(settings, chosen, output, max_rows)
        return
    from warehouse import answers
    from warehouse.sandbox.pool import Sandbox

    form = form_of(chosen, output)
    text = sys.stdin.read() if query in (None, "-") else query
    with Sandbox(settings, warm=0) as sandbox:
        answer = sandbox.query(text or "", max_rows=max_rows)
    if output is not None:
        answers.write_file(answer, form, output)
    elif form is Form.table:
        typer.echo(answers.to_text(answer))
        return
    else:
        sys.stdout.buffer.write(answers.to_csv(answer) if form is Form.csv else answers.to_json(answer) + b"\n")
    if answer.truncated:
        typer.echo(f"the first {answer.table.num_rows} rows; there are more", err=True)


@app.command("warehouse-build")
def warehouse_build() -> None:
    """Build the DuckDB file of the newest publish and put it in force. `playlake publish` runs this itself."""
    from infra.settings import Settings
    from warehouse.build import build

    record = build(Settings.from_env())
    typer.echo(f"publish {record.publish_id} is in force: {', '.join(record.files)}, live from {record.cutover_minute}")
