"""Commands that answer questions."""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from warehouse.access.keys import Scope
from warehouse.forms import Form, form_of

app = typer.Typer()
key = typer.Typer(help="API keys of the server: who may ask it from elsewhere.", no_args_is_help=True)
app.add_typer(key, name="key")


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


@app.command()
def mcp() -> None:
    """Answer an agent over stdio by the Model Context Protocol. Needs no server; one that runs has the same at /mcp."""
    from infra.settings import Settings
    from warehouse.mcp.server import serve_stdio

    serve_stdio(Settings.from_env())


@app.command("warehouse-build")
def warehouse_build() -> None:
    """Build the DuckDB file of the newest publish and put it in force. `playlake publish` runs this itself."""
    from infra.settings import Settings
    from warehouse.build import build

    record = build(Settings.from_env())
    typer.echo(f"publish {record.publish_id} is in force: {', '.join(record.files)}, live from {record.cutover_minute}")


@key.command()
def add(
    name: Annotated[str, typer.Argument(help="Who gets it: a person or a program.")],
    scope: Annotated[
        Scope, typer.Option(help="view: dashboard and catalogue; query: and SQL; admin: and everybody's queries.")
    ] = Scope.query,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires; never, when not said.")] = None,
    per_minute: Annotated[int | None, typer.Option(min=0, help="Queries a minute; else query_per_minute.")] = None,
    at_once: Annotated[int | None, typer.Option(min=0, help="Queries at once; else query_at_once.")] = None,
) -> None:
    """Make a key and show it, this once: only its hash is kept. A running server knows it at once."""
    from datetime import timedelta

    from infra.settings import Settings
    from warehouse.access.keys import KeyFile

    lasts = timedelta(days=days) if days else None
    made, text = KeyFile(Settings.from_env().server_keys_file).add(name, scope, lasts, per_minute, at_once)
    until = f", until {made.expires_at:%Y-%m-%d}" if made.expires_at else ""
    typer.echo(f"key of {name} ({scope}{until}); it is not shown again:", err=True)
    typer.echo(text)


@key.command("list")
def list_keys() -> None:
    """Show whose keys there are, what for, until when."""
    from datetime import UTC, datetime

    from infra.settings import Settings
    from infra.text_columns import aligned
    from warehouse.access.keys import KeyFile

    now = datetime.now(UTC)
    rows = [
        [
            one.name,
            one.id,
            one.scope,
            one.state(now),
            *(f"{at:%Y-%m-%d}" if at else "" for at in (one.created_at, one.expires_at)),
        ]
        for one in KeyFile(Settings.from_env().server_keys_file).all()
    ]
    head = ["name", "id", "scope", "state", "made", "expires"]
    typer.echo("\n".join(aligned([head, *rows], rule=True)) if rows else "no key; `playlake key add NAME` makes one")


@key.command()
def revoke(name: Annotated[str, typer.Argument(help="Whose keys.")]) -> None:
    """Take a name's keys away. A running server refuses them at once."""
    from infra.settings import Settings
    from warehouse.access.keys import KeyFile

    count = KeyFile(Settings.from_env().server_keys_file).revoke(name)
    typer.echo(f"{count} key{'' if count == 1 else 's'} of {name} revoked")
