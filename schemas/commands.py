"""Commands around the contracts."""

from __future__ import annotations

import typer

app = typer.Typer()
