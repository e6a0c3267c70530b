"""Commands around the contracts."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def topics(
    check: Annotated[bool, typer.Option("--check", help="Create nothing; exit 1 when something is wrong.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Set existing topics' settings as their contracts say, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --check: for programs.")] = False,
) -> None:
    """Create the topics of the contracts that are missing; refuse one that has another layout."""
    import json
    from dataclasses import asdict

    from infra.settings import Settings
    from infra.topic_check import differences
    from infra.topic_check import repair as repair_topics
    from infra.topics import ensure_topics, wait_ready
    from schemas.registry import TOPICS

    settings = Settings.from_env()
    wait_ready(settings, timeout_s=5 if check else 60)
    found = differences(settings, TOPICS)
    if check and as_json:
        print(json.dumps([asdict(one) | {"said": str(one)} for one in found], indent=1))
    elif not check:
        for one in repair_topics(settings, found) if repair else ():
            print(f"topic {one.topic}: {one.what} is {one.expected} now, was {one.found}")
        created = ensure_topics(settings, TOPICS)
        found = differences(settings, TOPICS)
        print(f"{len(TOPICS)} topics at {settings.bootstrap}, {len(created)} of them new")
    if not as_json:
        print("\n".join(str(one) for one in found) or "all as their contracts say")
    raise typer.Exit(1 if any(one.verdict == "bad" for one in found) else 0)
