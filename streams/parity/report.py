"""The parity report: take both sides at one moment, and explain what differs."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import groupby

from infra.settings import Settings
from schemas.fact import from_ms, to_ms
from schemas.parity import CAUSES, Comparison, PartParity, RowParity
from schemas.quality import DIMENSIONS, PARTS, ROLLUPS
from streams.live.partition import Rules
from streams.parity import metrics
from streams.parity.bronze import Bronze, sunk
from streams.parity.explain import Compared, Difference, compare
from streams.parity.live import positions, settled_rows
from streams.parity.published import Published, batch_rows, published
from streams.parity.rows import OVERALL, RowKey, Rows
from streams.parity.steps import Cuts, Evidence
from streams.parity.window import MOST_RECORDS, Window, clipped, fitting


def parity(
    settings: Settings, window: tuple[datetime, datetime], wait_s: float, most_records: int = MOST_RECORDS
) -> Comparison:
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
    return comparison(compared, now, window_ms, publish, bronze.dead_letters(window_ms))


def comparison(
    compared: Compared, made_at: datetime, window_ms: Window, publish: Published | None, dead_letters: dict[str, int]
) -> Comparison:
    """What was found, as it is told and remembered."""
    whole_until_ms = window_ms[0] if publish is None else to_ms(publish.cutover_minute)

    def is_whole(key: RowKey) -> bool:
        return key.minute_ms < whole_until_ms

    return Comparison(
        made_at=made_at,
        first_minute=from_ms(window_ms[0]),
        end_minute=from_ms(window_ms[1]),
        publish_id=None if publish is None else publish.publish_id,
        cutover_minute=None if publish is None else publish.cutover_minute,
        rows=len(compared.keys),
        rows_equal=len(compared.equal),
        whole_rows=sum(is_whole(key) for key in compared.keys),
        whole_rows_equal=sum(is_whole(key) for key in compared.equal),
        unexplained=len(compared.unexplained),
        parts=over_all(compared),
        metrics=metrics.over_all(compared, whole_until_ms),
        dead_letters=dead_letters,
        differing=differing(compared, whole_until_ms),
    )


def rules(settings: Settings) -> Rules:
    """The stream worker's."""
    return Rules(settings.session_timeout_s * 1000, settings.live_freeze_after_s * 1000)


def over_all(compared: Compared) -> list[PartParity]:
    """Every part over all minutes, from the rows of the rollup over all."""
    live, batch = (_total(rows) for rows in (compared.live, compared.batch))
    causes = {cause: _total(rows) for cause, rows in compared.causes.items()}
    live_unexplained, batch_unexplained = Counter[str](), Counter[str]()
    for one in compared.differences:
        if one.key.rollup == OVERALL:
            live_unexplained[one.part] += one.live_unexplained
            batch_unexplained[one.part] += one.batch_unexplained
    return [
        PartParity(
            part=part,
            live=live[part],
            batch=batch[part],
            causes={cause: causes[cause][part] for cause in CAUSES if causes[cause][part]},
            live_unexplained=live_unexplained[part],
            batch_unexplained=batch_unexplained[part],
        )
        for part in PARTS
    ]


def _total(rows: Rows) -> Counter[str]:
    total: Counter[str] = Counter()
    for key, amounts in rows.items():
        if key.rollup == OVERALL:
            total.update(amounts)
    return total


def differing(compared: Compared, whole_until_ms: int) -> list[RowParity]:
    """The rows in which anything differs, by minute; with their metrics before `whole_until_ms`."""
    of_row = metrics.by_row(compared, whole_until_ms)
    return [
        RowParity(
            minute=from_ms(key.minute_ms),
            rollup=key.rollup,
            dimensions=_kept(key),
            parts=[_part(one) for one in found],
            metrics=of_row.get(key, []),
        )
        for key, found in groupby(compared.differences, key=lambda one: one.key)
    ]


def _kept(key: RowKey) -> dict[str, str | None]:
    dimensions = zip(DIMENSIONS, key.dimensions, strict=True)
    return {name: value for name, value in dimensions if name in ROLLUPS[key.rollup]}


def _part(one: Difference) -> PartParity:
    return PartParity(**{name: getattr(one, name) for name in PartParity.__struct_fields__})
