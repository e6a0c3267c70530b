"""A comparison, or the last ones, as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from infra.text_columns import aligned
from schemas.parity import CAUSES, UNEXPLAINED, Comparison, PartParity, RowParity
from streams.parity.rows import OVERALL

MOST_LINES = 20
MINUTE = "%Y-%m-%d %H:%M"


def as_json(found: Comparison) -> str:
    """Everything, with the verdict."""
    return msgspec.json.encode(msgspec.to_builtins(found) | {"holds": found.holds}).decode()


def as_text(found: Comparison, lines: int = MOST_LINES) -> str:
    """The parts over all with the causes, the metrics, then the first rows that differ."""
    title = "nothing is published yet" if found.publish_id is None else f"publish {found.publish_id}"
    if found.cutover_minute is not None:
        title += f", gold answers before {found.cutover_minute:{MINUTE}}Z"
    whole, rows = _equal(found.whole_rows_equal, found.whole_rows), _equal(found.rows_equal, found.rows)
    letters = ", ".join(f"{count:,} {reason}" for reason, count in sorted(found.dead_letters.items())) or "none"
    return "\n".join(
        [
            f"minutes {found.first_minute:{MINUTE}}Z to {found.end_minute:{MINUTE}}Z; {title}",
            "",
            *_parts(found),
            "",
            *_metrics(found),
            "",
            *_differing(found, lines),
            f"rows that are equal: {whole} before the cut-over, {rows} in all",
            f"dead letters, which are in neither side: {letters}",
            f"{found.unexplained:,} values are unexplained" if found.unexplained else "every difference is explained",
        ]
    )


def _parts(found: Comparison) -> list[str]:
    used = [cause for cause in CAUSES if any(cause in part.causes for part in found.parts)]
    parts = [
        (one.part, one.live, *(one.causes.get(cause, 0) for cause in used), one.unexplained, one.batch)
        for one in found.parts
        if one.live or one.batch or one.causes
    ]
    return _table([("part", "live", *used, UNEXPLAINED, "batch"), *parts])


def _metrics(found: Comparison) -> list[str]:
    rows = [(one.metric, one.live, one.batch, one.unit, ", ".join(one.causes)) for one in found.metrics]
    return _table([("metric", "live", "batch", "unit", "because"), *rows])


def _differing(found: Comparison, lines: int) -> list[str]:
    """What is unexplained first; else rows over all, for the others hold the same by dimensions."""
    values = [(row, part) for row in found.differing for part in row.parts]
    telling = [(row, part) for row, part in values if row.rollup == OVERALL or not part.is_explained]
    shown = sorted(telling, key=lambda one: one[1].is_explained)[:lines]
    if not shown:
        return []
    cells = [
        (f"{row.minute:%m-%d %H:%M}", name(row), part.part, part.live, part.batch, reason(part)) for row, part in shown
    ]
    text = _table([("minute", "row", "part", "live", "batch", "because"), *cells])
    more = [f"... and {len(telling) - lines:,} more (--json has all)"] if len(telling) > lines else []
    return [*text, *more, ""]


def reason(part: PartParity) -> str:
    """Why the sides differ, in words."""
    said = [f"{cause} {amount:+,}" for cause, amount in part.causes.items()]
    if part.live_unexplained:
        said.append(f"{UNEXPLAINED.upper()}: live should be {part.live - part.live_unexplained:,}")
    if part.batch_unexplained:
        said.append(f"{UNEXPLAINED.upper()}: batch should be {part.batch - part.batch_unexplained:,}")
    return ", ".join(said)


def name(row: RowParity) -> str:
    """The rollup with what it keeps."""
    return " ".join((row.rollup, *(f"{name}={value}" for name, value in row.dimensions.items() if value is not None)))


def trend(past: Iterable[Comparison]) -> str:
    """A comparison a line."""
    lines = []
    for one in past:
        [events] = (part for part in one.parts if part.part == "events")
        causes = "".join(f", {cause} {amount:+,}" for cause, amount in events.causes.items())
        lines.append(
            f"{one.made_at:{MINUTE}}Z  rows equal {_equal(one.whole_rows_equal, one.whole_rows)}, "
            f"{one.unexplained:,} unexplained; events {events.live:,}{causes}"
        )
    return "\n".join(lines) or "no comparison is remembered yet"


def _equal(equal: int, rows: int) -> str:
    return f"{equal:,} of {rows:,}" + (f" ({equal / rows:.1%})" if rows else "")


def _table(rows: Sequence[Sequence[object]]) -> list[str]:
    """Columns side by side: numbers to the right."""
    numbers = {place for row in rows for place, value in enumerate(row) if isinstance(value, int | float)}
    return aligned([[_cell(value) for value in row] for row in rows], numbers)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
