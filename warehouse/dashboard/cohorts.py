"""Answers of the page Quality: a metric by cohort, over time, and the sessions behind it.

Answers are kept by question until the next publish, those that reach into live minutes until the live state moves on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from infra.errors import QueryError
from warehouse.dashboard import cohort_sql, questions, stretch, whole_hours
from warehouse.dashboard.cohort_shapes import (
    Basis,
    CohortCatalog,
    Cohorts,
    CohortTrend,
    CohortValue,
    DimensionOption,
    MeasureOption,
    SessionList,
    SessionOfCohort,
    TrendLine,
)
from warehouse.dashboard.files import Row
from warehouse.dashboard.measures import DIMENSIONS, MEASURES, Measure, Plan, plan
from warehouse.dashboard.moments import stamp, to_ms
from warehouse.dashboard.payload import Publish
from warehouse.dashboard.reader import Reader

T = TypeVar("T", Cohorts, CohortTrend, SessionList)

MOST_CELLS = 600
MOST_SESSIONS = 200
_KEPT = 256
_MEMORY_BYTES = 128_000_000


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, checked. `where` holds a value (None: unknown) by dimension.

    span_s        the last so many seconds, up to now; 0: between `start` and `stop`, seconds of epoch
    least         sample from which on a cohort is ranked
    """

    measure: Measure
    by: tuple[str, ...] = ()
    where: tuple[tuple[str, str | None], ...] = ()
    span_s: int = 0
    start: int = 0
    stop: int = 0
    least: float = 0

    def __post_init__(self) -> None:
        unknown = [name for name in (*self.by, *dict(self.where)) if name not in DIMENSIONS]
        if unknown or len(set(self.by)) != len(self.by) or len(self.by) > 2:
            msg = f"expected one or two different ones of {', '.join(DIMENSIONS)}, got {', '.join(unknown or self.by)}"
            raise QueryError(msg, "refused")
        stretch.check(self.span_s or self.stop - self.start)


@dataclass(frozen=True)
class Asked:
    """A question about the files of now."""

    question: Question
    plan: Plan
    basis: Basis
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def where(self) -> dict[str, str | None]:
        return dict(self.question.where)


def measure_of(name: str) -> Measure:
    """Raises QueryError (refused) for a name that is none."""
    if name not in MEASURES:
        msg = f"expected a metric out of {', '.join(MEASURES)}; got {name!r}"
        raise QueryError(msg, "refused")
    return MEASURES[name]


def catalog() -> CohortCatalog:
    """Everything that can be asked."""
    return CohortCatalog(
        measures=[
            MeasureOption(
                name=measure.name,
                title=measure.title,
                subject=measure.subject,
                meaning=measure.metric.meaning,
                formula=measure.metric.formula,
                unit=measure.metric.unit,
                worse=measure.metric.worse,
                sample_unit=measure.sample_unit,
                why_not=measure.why_not,
            )
            for measure in MEASURES.values()
        ],
        dimensions=[DimensionOption(name=name, title=title) for name, title in DIMENSIONS.items()],
    )


class Explorer(Reader):
    """Not thread-safe. Every method raises QueryError (timeout) for what takes too long."""

    def __init__(self, folder: Path) -> None:
        """`folder`: the warehouse's."""
        super().__init__(folder, _MEMORY_BYTES, _KEPT)

    def cohorts(self, question: Question) -> Cohorts:
        """The metric by the question's dimensions."""
        dimensions = {*question.by, *dict(question.where)}
        return self._answer("cohorts", question, plan(question.measure, frozenset(dimensions)), self._cohorts)

    def trend(self, question: Question) -> CohortTrend:
        """The metric over time, of the question's cohort and of everything."""
        return self._answer("trend", question, plan(question.measure, frozenset(dict(question.where))), self._trend)

    def sessions(self, question: Question) -> SessionList:
        """The published sessions of the cohort, worst first."""
        return self._answer("sessions", question, Plan("sessions"), self._sessions)

    def _answer(self, kind: str, question: Question, planned: Plan, make: Callable[[Asked], T]) -> T:
        publish = self._refresh()
        live_at = self._files.one(questions.NOW)["newest_at"]
        asked = _asked(question, planned, publish, live_at)
        self._columns(whole_hours.TABLE)
        return self._kept((kind, question, planned), lambda: make(asked), _state(asked))

    def _cohorts(self, asked: Asked) -> Cohorts:
        question = asked.question
        rows: list[Row] = []
        told_sql: str | None = None
        if asked.plan.source is not None:
            hours = self._hours(asked, asked.plan, [*question.by, *asked.where])
            sql = cohort_sql.cohorts(question.measure, asked.plan, question.by, asked.where, hours=bool(hours))
            rows = self._files.ask(sql, **_used(sql, asked.values | hours))
            # By minutes alone: the same answer, and easier to go on from.
            plain = cohort_sql.cohorts(question.measure, asked.plan, question.by, asked.where)
            told_sql = cohort_sql.with_values(plain, asked.values, question.by)
        told = [(row["depth"], _cohort(row, len(question.by))) for row in rows]
        cells = [cell for depth, cell in told if depth == len(question.by)]
        enough = [cell for cell in cells if cell.sample is None or cell.sample >= question.least]
        small = [cell for cell in cells if cell.sample is not None and cell.sample < question.least]
        ranked = _ranked(enough, question.measure)
        totals = [cell for depth, cell in told if depth == 1 < len(question.by)]
        return Cohorts(
            basis=asked.basis,
            whole=next((cell for depth, cell in told if depth == 0), None),
            cells=[*ranked, *small][:MOST_CELLS],
            small_from=min(len(ranked), MOST_CELLS),
            totals=_ranked(totals, question.measure),
            left_out=max(0, len(cells) - MOST_CELLS),
            sql=told_sql,
        )

    def _trend(self, asked: Asked) -> CohortTrend:
        step_s = stretch.step_s((asked.basis.stop_at - asked.basis.start_at) // 1000)
        # A sum of half a step would be half of it.
        whole_s = 60 if asked.question.measure.sample else step_s
        first_s = stretch.first_step(asked.basis.start_at // 1000, whole_s)
        values = asked.values | {"step": step_s, "minutes": step_s / 60, "start": stamp(first_s)}
        if asked.basis.live_at is not None:
            # The minute that is running would end every line in noise.
            values["stop"] = stamp(min(asked.basis.stop_at // 1000, asked.basis.live_at // 1000 // whole_s * whole_s))

        def line(where: dict[str, str | None], planned: Plan) -> TrendLine:
            if planned.source is None:
                return TrendLine(at=[], value=[], sample=[])
            hours = self._hours(asked, planned, list(where), step_s)
            sql = cohort_sql.trend(asked.question.measure, planned, where, hours=bool(hours))
            rows = self._files.ask(sql, **_used(sql, values | {"rollup": planned.rollup} | hours))
            return TrendLine(
                at=[row["step_at"] * 1000 for row in rows],
                value=[row["value"] for row in rows],
                sample=[row["sample"] for row in rows],
            )

        # Both lines come from one source: minutes and sessions count by different clocks.
        whole = plan(asked.question.measure, frozenset())
        if whole.source != asked.plan.source:
            whole = asked.plan
        return CohortTrend(
            basis=asked.basis, step_s=step_s, cohort=line(asked.where, asked.plan), everything=line({}, whole)
        )

    def _hours(
        self, asked: Asked, planned: Plan, dimensions: list[str], step_s: int = whole_hours.HOUR_S
    ) -> dict[str, Any]:
        """The whole hours that can stand for their minutes, as values of parameters; none where there are none."""
        start, stop = asked.basis.start_at // 1000, asked.basis.stop_at // 1000
        found = whole_hours.within(start, stop, asked.basis.publish.cutover_minute, step_s)
        needed = {*dimensions, *asked.question.measure.parts, "hour"}
        if found is None or not whole_hours.can_tell(planned.rollup, needed, self._columns(whole_hours.TABLE)):
            return {}
        return dict(zip(("hours_from", "hours_to"), map(stamp, found), strict=True))

    def _columns(self, table: str) -> set[str]:
        """Of a table of gold; none of one that is not published."""
        question = "SELECT column_name FROM duckdb_columns() WHERE schema_name = 'gold' AND table_name = $table"
        asked = functools.partial(self._files.ask, question, table=table)
        return self._kept(("columns", table), lambda: {row["column_name"] for row in asked()})

    def _sessions(self, asked: Asked) -> SessionList:
        sql = cohort_sql.sessions(asked.question.measure, asked.where, MOST_SESSIONS)
        rows = self._files.ask(sql, **_used(sql, asked.values))
        return SessionList(
            basis=asked.basis, sessions=[_session(row) for row in rows], total=rows[0]["total"] if rows else 0
        )


def _asked(question: Question, planned: Plan, publish: Publish, live_at: int | None) -> Asked:
    """The stretch in seconds, by the clock of the live state, and the values of the parameters."""
    cutover = publish.cutover_minute
    now = (live_at or publish.published_at or 0) // 60_000 * 60 + 60
    stop = now if question.span_s else question.stop
    start = stop - question.span_s if question.span_s else question.start
    if planned.source == "sessions":
        stop = max(start, min(stop, cutover or start))
    is_live = planned.source == "minutes" and stop > (cutover or 0)
    basis = Basis(
        source=planned.source,
        why=planned.why,
        start_at=start * 1000,
        stop_at=stop * 1000,
        live_at=live_at if is_live else None,
        publish=publish,
    )
    values: dict[str, Any] = {"start": stamp(start), "stop": stamp(stop), "minutes": (stop - start) / 60}
    values |= {"rollup": planned.rollup} | {f"where_{name}": value for name, value in question.where}
    return Asked(question, planned, basis, values)


def _state(asked: Asked) -> tuple[Publish, int, int]:
    """What an answer is made of: one about the newest days is not made again for each second that adds to them."""
    basis = asked.basis
    if basis.live_at is None or not asked.question.span_s:
        return basis.publish, basis.start_at, basis.live_at or basis.stop_at
    return basis.publish, 0, stretch.freshness(basis.live_at, asked.question.span_s)


def _used(sql: str, values: dict[str, Any]) -> dict[str, Any]:
    """DuckDB refuses parameters that the question does not name."""
    return {name: value for name, value in values.items() if f"${name}" in sql}


def _cohort(row: Row, dimensions: int) -> CohortValue:
    values = [row[f"d{place}"] for place in range(min(row["depth"], dimensions))]
    return CohortValue(values=values, value=row["value"], sample=row["sample"])


def _ranked(cells: list[CohortValue], measure: Measure) -> list[CohortValue]:
    """Worst first, what is not known last; equal ones by their sample."""
    sign = 1 if measure.metric.worse == "lower" else -1
    return sorted(
        cells,
        key=lambda cell: (
            cell.value is None,
            sign * (cell.value or 0),
            -(cell.sample or 0),
            [value or "" for value in cell.values],
        ),
    )


def _session(row: Row) -> SessionOfCohort:
    moments = {name: to_ms(row[name]) for name in ("started_at", "ended_at")}
    return SessionOfCohort(**{name: row[name] for name in SessionOfCohort.__struct_fields__} | moments)
