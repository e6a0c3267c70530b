"""Commands of the batch jobs."""

from __future__ import annotations

import typer

app = typer.Typer()
