"""`playlake alerts`: the rules, and how well the automatic one finds simulated incidents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

alerts = typer.Typer(help="Rules of alerts, and how well incidents are found.")


@alerts.command()
def rules(
    folder: Annotated[Path | None, typer.Argument(help="A folder of rules; left out: that of the settings.")] = None,
) -> None:
    """Check the rules and list them."""
    from infra.settings import Settings
    from schemas.alert import AUTOMATIC
    from streams.alerts.rule import SHIPPED, load

    settings = Settings.from_env()
    place = folder or (Path(settings.alert_rules) if settings.alert_rules else SHIPPED)
    for rule in load(place):
        argument = "" if rule.argument is None else f" {rule.argument:g}"
        limit = f"{'above' if rule.is_high else 'below'} {rule.limit:g}"
        who = " × ".join(rule.by) or "everything"
        typer.echo(f"{rule.name:<20} {rule.severity:<9} {rule.metric}{argument} {limit} of {who}: {rule.title}")
    typer.echo(f"{AUTOMATIC:<20} warning   startup, stalls and failures of any cohort beyond their own recent range")
    typer.echo(f"rules are in {place}")


@alerts.command()
def evaluate(
    *,
    groups: Annotated[int, typer.Option(min=1, help="Of four quiet hours and four incidents each.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same hours.")] = 2,
    processes: Annotated[int, typer.Option(min=1, max=64, help="How many simulate at the same time.")] = 2,
) -> None:
    """Simulate incidents and quiet hours, judge them, print what was found. `make alerts` writes docs/alerts.md."""
    from streams.alerts.evaluation.report import Size, run, text

    services = run(Size(seed=seed, groups=groups), processes, lambda line: typer.echo(line, err=True))
    typer.echo(text(services, seed))
