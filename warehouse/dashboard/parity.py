"""The comparisons of live with batch, as the page Parity shows them: out of the table that `playlake parity` writes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import duckdb
import msgspec

from schemas.parity import CAUSES, Comparison, PartParity, RowParity, history_path, recent
from warehouse.dashboard.moments import to_ms
from warehouse.dashboard.payload import (
    Amount,
    Cause,
    Dimension,
    Parity,
    ParityPart,
    ParityPoint,
    ParityRow,
    ParityState,
)

TREND = 60
"""Comparisons: one a publish."""
log = logging.getLogger(__name__)


class LastComparison:
    """Reads the table again only when a comparison was added."""

    def __init__(self, lake_root: str) -> None:
        self._lake_root = lake_root
        self._log = Path(history_path(lake_root)) / "_delta_log"
        self._changed_ns: int | None = None
        self._shown = shown([], None)

    def state(self) -> ParityState | None:
        """Of the newest; None before the first."""
        return self.parity().state

    def parity(self) -> Parity:
        """What there is to show. A table that cannot be read leaves the numbers of before, with their age."""
        changed_ns = self._log.stat().st_mtime_ns if self._log.is_dir() else None
        if changed_ns != self._changed_ns:
            try:
                self._shown = shown(
                    recent(self._lake_root, TREND), next(iter(recent(self._lake_root, 1, whole=True)), None)
                )
            except (duckdb.Error, msgspec.ValidationError):
                log.exception("the comparisons of live with batch cannot be read")
            self._changed_ns = changed_ns
        return self._shown


def shown(past: Sequence[Comparison], newest: Comparison | None) -> Parity:
    """The newest comparison, and the past ones, oldest first."""
    causes = [Cause(cause=cause, meaning=meaning) for cause, meaning in CAUSES.items()]
    if newest is None:
        return Parity(causes=causes)
    return Parity(
        state=_state(newest),
        publish_id=newest.publish_id,
        first_minute=_minute(newest.first_minute),
        end_minute=_minute(newest.end_minute),
        cutover_minute=None if newest.cutover_minute is None else _minute(newest.cutover_minute),
        dead_letters=sum(newest.dead_letters.values()),
        causes=causes,
        parts=[_part(part) for part in newest.parts],
        metrics=newest.metrics,
        rows=[_row(row) for row in newest.differing],
        trend=[_point(one, newest) for one in past],
    )


def _state(one: Comparison) -> ParityState:
    return ParityState(
        compared_at=to_ms(one.made_at),
        rows=one.rows,
        rows_equal=one.rows_equal,
        whole_rows=one.whole_rows,
        whole_rows_equal=one.whole_rows_equal,
        unexplained=one.unexplained,
    )


def _point(one: Comparison, newest: Comparison) -> ParityPoint:
    events = next((part for part in one.parts if part.part == "events"), None)
    differences = {metric.metric: metric.difference for metric in one.metrics}
    return ParityPoint(
        compared_at=to_ms(one.made_at),
        publish_id=one.publish_id,
        whole_rows=one.whole_rows,
        whole_rows_equal=one.whole_rows_equal,
        unexplained=one.unexplained,
        causes=_amounts(events.causes) if events else [],
        differences=[differences.get(metric.metric) for metric in newest.metrics],
    )


def _part(part: PartParity) -> ParityPart:
    return ParityPart(
        part=part.part,
        live=part.live,
        batch=part.batch,
        causes=_amounts(part.causes),
        live_unexplained=part.live_unexplained,
        batch_unexplained=part.batch_unexplained,
    )


def _amounts(causes: dict[str, int]) -> list[Amount]:
    return [Amount(cause=cause, amount=causes[cause]) for cause in CAUSES if cause in causes]


def _row(row: RowParity) -> ParityRow:
    return ParityRow(
        minute=_minute(row.minute),
        rollup=row.rollup,
        dimensions=[Dimension(name=name, value=value) for name, value in row.dimensions.items()],
        parts=[_part(part) for part in row.parts],
        metrics=row.metrics,
    )


def _minute(at: datetime) -> int:
    return int(at.timestamp())
