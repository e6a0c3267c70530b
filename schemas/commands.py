"""Commands around the contracts."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def topics(
    check: Annotated[bool, typer.Option("--check", help="Create nothing; exit 1 when one is missing.")] = False,
) -> None:
    """Create the topics of the contracts that are missing; refuse one that has another layout."""
    from infra.errors import PositionRefused
    from infra.settings import Settings
    from infra.topics import check_topics, ensure_topics, wait_ready
    from schemas.registry import TOPICS

    settings = Settings.from_env()
    wait_ready(settings, timeout_s=5 if check else 60)
    missing = check_topics(settings, TOPICS)
    if missing and check:
        msg = f"missing at {settings.bootstrap}: {', '.join(missing)}; create them by `playlake topics`"
        raise PositionRefused(msg)
    created = ensure_topics(settings, TOPICS)
    print(f"{len(TOPICS)} topics as their contracts say at {settings.bootstrap}, {len(created)} of them new")
