"""Commands that bring events in."""

from __future__ import annotations

import typer

app = typer.Typer()
