"""Columns that line up, for terminals and logs."""

from __future__ import annotations

from collections.abc import Container, Sequence

GAP = "  "


def aligned(rows: Sequence[Sequence[str]], right: Container[int] = (), rule: bool = False) -> list[str]:
    """A line a row, as wide as the widest cell of each column.

    right   places of the columns that stand to the right, such as numbers
    rule    whether the first row is underlined
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = enumerate(zip(row, widths, strict=True))
        return GAP.join(cell.rjust(width) if at in right else cell.ljust(width) for at, (cell, width) in cells).rstrip()

    lines = [line(row) for row in rows]
    return [lines[0], GAP.join("-" * width for width in widths), *lines[1:]] if rule else lines


def cut(cell: str, widest: int) -> str:
    """A cell that may not be wider."""
    return cell if len(cell) <= widest else f"{cell[: widest - 1]}…"
