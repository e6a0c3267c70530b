"""The console script `playlake`: joins each folder's own `commands.py`, in the order in which the data flows.

A `commands.py` holds a `typer.Typer()` named `app` and imports what is heavy inside its commands, so `playlake --help`
answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from importlib import import_module
from typing import Annotated

import typer

from infra.errors import PlaylakeError

FOLDERS = ("infra", "schemas", "streams", "batch", "warehouse")
HELP = "Playback and UI events as live numbers, Delta tables and answers in SQL."


def join(folders: tuple[str, ...] = FOLDERS) -> typer.Typer:
    """One app with the commands of every folder."""
    root = typer.Typer(
        name="playlake",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    root.callback(help=HELP)(lambda: None)
    for folder in folders:
        app: typer.Typer = import_module(f"{folder}.commands").app
        root.registered_commands += app.registered_commands
        root.registered_groups += app.registered_groups
    root.command()(batch)
    root.command()(rebuild)
    return root


CHAIN = (
    (("stage", "silver"), ("quality", "silver"), ("commit", "silver")),
    (("stage", "gold"), ("quality", "gold"), ("publish",), ("warehouse-build",)),
)
"""What the DAGs do, in a row: each layer staged, audited, committed. One without news ends with its stage."""
First = Annotated[str | None, typer.Option("--from", metavar="DAY", help="First day to restate, YYYY-MM-DD.")]
Last = Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last day to restate, inclusive.")]


def batch(first: First = None, last: Last = None) -> None:
    """Run the whole batch chain once: bronze to silver, gold and published files. With days: restate these."""
    _run(CHAIN, [part for name, day in (("--from", first), ("--to", last)) if day for part in (name, day)])


class Layer(StrEnum):
    """What a rebuild begins with."""

    silver = "silver"
    gold = "gold"


def rebuild(
    begin: Annotated[Layer, typer.Argument(help="gold: only gold's definitions have changed.")] = Layer.silver,
) -> None:
    """Make silver and gold anew from bronze, after a definition has changed, and say what that changed.

    Everything is staged and audited like any other run: readers see the old numbers until the new ones are published.
    """
    _run(CHAIN if begin is Layer.silver else CHAIN[1:], ["--whole"])


def _run(chain: Sequence[Sequence[tuple[str, ...]]], to_stage: list[str]) -> None:
    """One step after the other; `to_stage` are further arguments of those that stage."""
    from batch.commands import NOTHING_NEW

    run = typer.main.get_command(join())
    for steps in chain:
        for step in steps:
            code = run([*step, *(to_stage if step[0] == "stage" else [])], standalone_mode=False)
            if code == NOTHING_NEW:
                break
            if code:
                raise typer.Exit(code)


def main() -> None:
    """Run one command. An error of ours is one line and exit code 1; any other is a bug and keeps its traceback."""
    try:
        join()()
    except PlaylakeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
