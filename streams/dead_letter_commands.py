"""`playlake deadletters`: list, show and replay what broke its contract."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated

import typer

from streams.options import DateTime

deadletters = typer.Typer(help="Records that broke their contract: what, why, and their bytes.", no_args_is_help=True)


@deadletters.command("list")
def list_dead_letters(
    topic: Annotated[str | None, typer.Option(help="Only of this topic.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only with this reason code.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 20,
) -> None:
    """The newest dead letters; those of the topic `dead.letters` are what a collector did not let in."""
    from infra.settings import Settings
    from streams.dead_letters import find

    for row in find(Settings.from_env(), topic, reason, limit):
        place = f"{row['topic']}/{row['partition']}/{row['offset']}"
        field = f" {row['field']}" if row["field"] else ""
        size = "no value" if row["bytes"] is None else f"{row['bytes']} bytes"
        typer.echo(f"{row['received_at']:%Y-%m-%dT%H:%M:%SZ}  {place}  {row['reason']}{field}  {size}  {row['detail']}")


@deadletters.command("show")
def show_dead_letter(
    place: Annotated[str, typer.Argument(help="topic/partition/offset, as `list` prints it.")],
    raw: Annotated[bool, typer.Option("--raw", help="Only the original bytes, as they were.")] = False,
) -> None:
    """One dead letter with its original bytes."""
    from infra.settings import Settings
    from streams.dead_letters import parse_place, show

    row = show(Settings.from_env(), *parse_place(place))
    value: bytes | None = row.pop("value")
    if raw:
        typer.echo(value or b"", nl=False)
        return
    key: bytes | None = row.pop("key")
    for name, cell in row.items():
        typer.echo(f"{name:<14} {'' if cell is None else cell}")
    for name, content in (("key", key), ("value", value)):
        typer.echo(f"{name:<14} {'none' if content is None else ascii(content.decode(errors='backslashreplace'))}")


@deadletters.command("replay")
def replay_dead_letters(
    *,
    topic: Annotated[str | None, typer.Option(help="Only letters of this topic, e.g. dead.letters.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only with this reason code.")] = None,
    since: DateTime = None,
    until: DateTime = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="field=value of each event; again for more.")
    ] = None,
    rename: Annotated[list[str] | None, typer.Option(help="old=new name of a field; again for more.")] = None,
    to: Annotated[str | None, typer.Option(help="Topic to send to, where the event's type does not say it.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the oldest.")] = 10_000,
    dry_run: Annotated[bool, typer.Option("--dry-run/--send", help="Only say what would be sent, or send it.")] = True,
) -> None:
    """Send dead letters again, as they were or put right. Those that were sent before, or break a contract still, stay.

    The fix is for top-level fields: `--rename device=deviceType --set deviceType=web`.
    """
    from infra.settings import Settings
    from streams.intake.targets import ToKafka
    from streams.replay_letters import Filter, Fix, prepare, send

    settings = Settings.from_env()
    fix = Fix.parse(rename or (), change or ())
    since, until = (moment.replace(tzinfo=UTC) if moment else None for moment in (since, until))
    found = prepare(settings, Filter(topic, reason, since, until, limit), fix, to)
    for place, error in found.broken[:10]:
        typer.echo(f"still broken  {place}  {error.reason}{f' {error.field}' if error.field else ''}  {error.detail}")
    for one in found.ready[:3]:
        typer.echo(f"{one.place} -> {one.topic}  {one.value.decode()!a}")
    if not dry_run:
        send(settings, found.ready, fix, ToKafka(settings))
    for name, count in sorted(found.by_topic.items()):
        typer.echo(f"{'would be sent' if dry_run else 'sent'} to {name}: {count:,}")
    typer.echo(
        f"{len(found.ready):,} {'to be sent' if dry_run else 'sent'}, {len(found.broken):,} still broken, "
        f"{found.done_before:,} sent before, {found.left:,} beyond the limit"
    )
    if dry_run and found.ready:
        typer.echo("nothing was sent; --send sends")
