"""The parity report: take both sides at one moment, explain what differs, say it as text or JSON."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from infra.settings import Settings
from schemas.fact import from_ms, to_ms
from schemas.quality import DIMENSIONS, PARTS
from streams.live.partition import Rules
from streams.parity.explain import CAUSES, Compared, Cuts, Difference, Evidence, compare
from streams.parity.lake import Bronze, batch_rows, published, sunk
from streams.parity.live import positions, settled_rows
from streams.parity.metrics import MetricParity, metric_parity
from streams.parity.window import MOST_RECORDS, clipped, fitting

OVERALL = "total"
"""The rollup whose rows say what happened over all."""
MOST_LINES = 20


class PartParity(msgspec.Struct, frozen=True, kw_only=True):
    """A part over all minutes of the window. `causes` and the two sides add up: live + causes + unexplained = batch."""

    part: str
    live: int
    batch: int
    causes: dict[str, int]
    unexplained: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison. Rows are those of every rollup; parts and metrics are over all (rollup `total`).

    publish_id     the publish that was compared; None: nothing has been published yet
    rows_equal     rows in which every part is the same on both sides
    unexplained    values that the records do not give
    differences    every value that differs, or is unexplained
    dead_letters   received in the window, by reason: they are in neither side
    """

    made_at: datetime
    first_minute: datetime
    end_minute: datetime
    publish_id: str | None
    cutover_minute: datetime | None
    rows: int
    rows_equal: int
    unexplained: int
    parts: list[PartParity]
    metrics: list[MetricParity]
    differences: list[Difference]
    dead_letters: dict[str, int]

    @property
    def holds(self) -> bool:
        return not self.unexplained


def parity(
    settings: Settings, window: tuple[datetime, datetime], wait_s: float, most_records: int = MOST_RECORDS
) -> Report:
    """Compare the minutes of [window), as far as the live topic still holds them and `most_records` reach.

    First what is published, then what the stream has applied, then its rows, then bronze, which must hold what both
    have: so each side is compared at a moment that the evidence covers. `wait_s`: how long the sink may take to get
    there. Raises ProcessError when it does not.
    """
    now = datetime.now(UTC)
    publish = published(settings)
    cutover_ms = None if publish is None else to_ms(publish.cutover_minute)
    window_ms = fitting(clipped(window, now), cutover_ms, Bronze.now(settings).count, most_records)
    applied = positions(settings)
    rows = settled_rows(settings, window_ms)
    ends = dict(applied)
    for row in rows:
        ends[row.place] = max(ends.get(row.place, 0), row.position)
    bronze = sunk(settings, ends, wait_s)
    cuts = Cuts(live=applied, batch={} if publish is None else bronze.positions(publish.bronze))
    compared = compare(
        Evidence(records=bronze.records(window_ms), clocks=bronze.clocks(window_ms), cuts=cuts, rules=rules(settings)),
        rows,
        {} if publish is None else batch_rows(settings, publish, window_ms),
        window_ms,
    )
    return Report(
        made_at=now,
        first_minute=from_ms(window_ms[0]),
        end_minute=from_ms(window_ms[1]),
        publish_id=publish and publish.publish_id,
        cutover_minute=publish and publish.cutover_minute,
        rows=compared.rows,
        rows_equal=compared.rows_equal,
        unexplained=len(compared.unexplained),
        parts=over_all(compared),
        metrics=metric_parity(compared.live, compared.batch),
        differences=compared.differences,
        dead_letters=bronze.dead_letters(window_ms),
    )


def rules(settings: Settings) -> Rules:
    """The stream worker's."""
    return Rules(settings.session_timeout_s * 1000, settings.live_freeze_after_s * 1000)


def over_all(compared: Compared) -> list[PartParity]:
    """Every part over all minutes, from the rows of the rollup over all."""
    live, batch, unexplained = Counter[str](), Counter[str](), Counter[str]()
    causes: dict[str, Counter[str]] = defaultdict(Counter)
    for totals, rows in ((live, compared.live), (batch, compared.batch)):
        for key, amounts in rows.items():
            if key.rollup == OVERALL:
                totals.update(amounts)
    for cause, rows in compared.causes.items():
        for key, amounts in rows.items():
            if key.rollup == OVERALL:
                for part, amount in amounts.items():
                    causes[part][cause] += amount
    for one in compared.differences:
        if one.key.rollup == OVERALL:
            unexplained[one.part] += one.batch_unexplained - one.live_unexplained
    return [
        PartParity(
            part=part,
            live=live[part],
            batch=batch[part],
            causes={cause: causes[part][cause] for cause in CAUSES if causes[part][cause]},
            unexplained=unexplained[part],
        )
        for part in PARTS
    ]


def as_text(report: Report, lines: int = MOST_LINES) -> str:
    """The parts over all with the causes, the metrics, then the first rows that differ."""
    used = [cause for cause in CAUSES if any(cause in part.causes for part in report.parts)]
    title = "nothing is published yet" if report.publish_id is None else f"publish {report.publish_id}"
    if report.cutover_minute is not None:
        title += f", gold answers before {report.cutover_minute:%Y-%m-%d %H:%M}Z"
    text = [f"minutes {report.first_minute:%Y-%m-%d %H:%M}Z to {report.end_minute:%Y-%m-%d %H:%M}Z; {title}", ""]
    parts = [
        (one.part, one.live, *(one.causes.get(cause, 0) for cause in used), one.unexplained, one.batch)
        for one in report.parts
        if one.live or one.batch or one.causes
    ]
    text += _table([("part", "live", *used, "unexplained", "batch"), *parts])
    text += [
        "",
        *_table([("metric", "live", "batch", "unit"), *((m.metric, m.live, m.batch, m.unit) for m in report.metrics)]),
    ]
    by_row = [one for one in report.differences if one.key.rollup == OVERALL or not one.is_explained]
    if by_row[:lines]:
        shown = [
            (f"{from_ms(one.key.minute_ms):%m-%d %H:%M}", _name(one), one.part, one.live, one.batch, reason(one))
            for one in sorted(by_row, key=lambda one: one.is_explained)[:lines]
        ]
        text += ["", *_table([("minute", "row", "part", "live", "batch", "because"), *shown])]
        if len(by_row) > lines:
            text.append(f"... and {len(by_row) - lines:,} more (--json has all)")
    letters = ", ".join(f"{count:,} {reason}" for reason, count in sorted(report.dead_letters.items())) or "none"
    text += [
        "",
        f"{report.rows_equal:,} of {report.rows:,} rows are equal; dead letters, which are in neither side: {letters}",
        f"{report.unexplained:,} values are unexplained" if report.unexplained else "every difference is explained",
    ]
    return "\n".join(text)


def reason(one: Difference) -> str:
    """Why the sides differ, in words."""
    said = [f"{cause} {amount:+,}" for cause, amount in one.causes.items()]
    if one.live_unexplained:
        said.append(f"UNEXPLAINED: live should be {one.live - one.live_unexplained:,}")
    if one.batch_unexplained:
        said.append(f"UNEXPLAINED: batch should be {one.batch - one.batch_unexplained:,}")
    return ", ".join(said)


def _name(one: Difference) -> str:
    named = (f"{name}={value}" for name, value in zip(DIMENSIONS, one.key.dimensions, strict=True) if value is not None)
    return " ".join((one.key.rollup, *named))


def _table(rows: Sequence[Sequence[object]]) -> list[str]:
    """Columns side by side: numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    is_number = [any(isinstance(row[column], int | float) for row in rows) for column in range(len(cells[0]))]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        ).rstrip()
        for row in cells
    ]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def as_json(report: Report) -> str:
    """Everything, with the verdict; a difference with its row spelled out."""
    return msgspec.json.encode(
        msgspec.to_builtins(report)
        | {"holds": report.holds, "differences": [difference_fields(one) for one in report.differences]}
    ).decode()


def difference_fields(one: Difference) -> Mapping[str, object]:
    """A difference as one flat object."""
    return {
        "minute": from_ms(one.key.minute_ms),
        "rollup": one.key.rollup,
        **dict(zip(DIMENSIONS, one.key.dimensions, strict=True)),
        "part": one.part,
        "live": one.live,
        "batch": one.batch,
        "difference": one.difference,
        "causes": one.causes,
        "live_unexplained": one.live_unexplained,
        "batch_unexplained": one.batch_unexplained,
        "is_explained": one.is_explained,
    }
