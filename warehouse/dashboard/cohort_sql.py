"""The questions of the page Quality as SQL. Names come from `measures.py`; values are always parameters.

Parts are added up first, a row a group, and the metric's macro is called over those sums: the same number as over the
rows, because parts are additive, and the histogram of startups has to be built once only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from schemas.quality import STARTUP_BUCKETS
from warehouse.dashboard import whole_hours
from warehouse.dashboard.cohort_shapes import SessionOfCohort
from warehouse.dashboard.measures import HISTOGRAM, Measure, Plan

MOST_CELLS = 20_000
"""Groups that are read at most, by sample: titles × countries may be many more than anyone looks at."""

SESSION_COLUMNS = tuple(name for name in SessionOfCohort.__struct_fields__ if name != "value")

_PARAMETER = re.compile(r"\$(\w+)")
_CLAUSE = re.compile(r" (?=(?:FROM|WHERE|GROUP BY|HAVING|ORDER BY) )|(?<=\)) (?=SELECT )")
_TABLES = {"minutes": "metrics.quality_minute", "sessions": "metrics.session_quality"}
_CLOCKS = {"minutes": "minute", "sessions": "started_at"}
_HISTOGRAMS = {
    "minutes": f"startup_histogram_sum({HISTOGRAM})",
    "sessions": "list_transform([histogram(startup_bucket)], "
    f"lambda found: list_transform(range(0, {STARTUP_BUCKETS}), lambda bucket: coalesce(found[bucket], 0)))[1]",
}


def cohorts(
    measure: Measure, plan: Plan, by: Sequence[str], where: Mapping[str, str | None], *, hours: bool = False
) -> str:
    """Values by the dimensions, by the first of them alone, and over all.

    `depth`: how many of the dimensions a row tells. `hours`: whole ones stand for their minutes.
    """
    names = [f"d{place}" for place in range(len(by))]
    sets = sorted({tuple(names), tuple(names[:1]), ()}, key=len)
    grouping = ", ".join(f"({', '.join(kept)})" for kept in sets)
    depth = " + ".join(f"(1 - grouping({name}))" for name in names) or "0"
    columns = "".join(f"{name}, " for name in names)
    keys = [f"CAST({dimension} AS VARCHAR) AS {name}" for name, dimension in zip(names, by, strict=True)]
    return (
        f"{_parts(measure, plan, keys, where, [*by, *where] if hours else None)} "
        f"SELECT {columns}{depth} AS depth, {_value(measure)} FROM parts GROUP BY GROUPING SETS ({grouping}) "
        f"HAVING count(*) > 0 ORDER BY depth, sample DESC NULLS LAST, value DESC NULLS LAST LIMIT {MOST_CELLS}"
    )


def with_values(sql: str, values: Mapping[str, object], by: Sequence[str]) -> str:
    """A question of cohorts as a person can go on from it: in lines, with its values and its dimensions' names."""
    for place, name in enumerate(by):
        sql = re.sub(rf"\bd{place}\b", name, sql)
    return _PARAMETER.sub(lambda found: _literal(values[found[1]]), _CLAUSE.sub("\n", sql))


def _literal(value: object) -> str:
    match value:
        case datetime():
            return f"TIMESTAMPTZ '{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}+00'"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case _:
            return "NULL" if value is None else str(value)


def trend(measure: Measure, plan: Plan, where: Mapping[str, str | None], *, hours: bool = False) -> str:
    """Values by stretches of `$step` seconds, which begin at whole multiples of it."""
    clock = _CLOCKS[_source(plan)]
    key = f"CAST(epoch({clock}) AS BIGINT) // $step * $step AS step_at"
    parts = _parts(measure, plan, [key], where, [*where] if hours else None)
    return f"{parts} SELECT step_at, {_value(measure)} FROM parts GROUP BY step_at ORDER BY step_at"


def sessions(measure: Measure, where: Mapping[str, str | None], most: int) -> str:
    """The published sessions that were there within the stretch, those that make the metric worst first.

    Of a ratio that is bad when high the numerator decides: a session that stalled for a minute tells more than one
    that stalled half of its two seconds.
    """
    rows = f"FROM {_TABLES['sessions']} WHERE {_where('ended_at >= $start AND started_at < $stop', where)}"
    order = f"{_badness(measure)}experience_score ASC NULLS LAST, started_at DESC, session_id"
    columns = ", ".join(dict.fromkeys((*SESSION_COLUMNS, *(part for part in measure.parts if part != HISTOGRAM))))
    return (
        f"WITH worst AS (SELECT {columns} {rows} ORDER BY {order} LIMIT {most}), "
        f"valued AS (SELECT session_id, {_of_one(measure)} AS value FROM worst GROUP BY session_id) "
        f"SELECT worst.*, value, (SELECT count(*) {rows}) AS total "
        f"FROM worst JOIN valued USING (session_id) ORDER BY {order}"
    )


def _badness(measure: Measure) -> str:
    """What sessions are sorted by first."""
    if HISTOGRAM in measure.parts:
        return "startup_ms DESC NULLS LAST, "
    match measure.metric.worse:
        case "higher":
            return f"{measure.parts[0]} DESC NULLS LAST, "
        case "lower":
            return f"{measure.parts[0]} / nullif({measure.parts[-1]}, 0) ASC NULLS LAST, "
        case _:
            return ""


def _of_one(measure: Measure) -> str:
    """The metric of a single session. Its startup time is known: no histogram need be asked."""
    if HISTOGRAM in measure.parts:
        return "count(startup_ms)" if measure.name == "startups" else "sum(startup_ms)"
    return f"CAST({measure.call} AS DOUBLE)" if measure.is_additive else "1"


def _parts(
    measure: Measure,
    plan: Plan,
    keys: Sequence[str],
    where: Mapping[str, str | None],
    dimensions: Sequence[str] | None = None,
) -> str:
    """`parts`: the rows of the stretch, added up by the keys as far as they can be.

    `dimensions`: those of the question, where hours tell them; None: hours don't.
    """
    source = _source(plan)
    rollup = "" if plan.rollup is None else "rollup = $rollup AND "
    clock = _CLOCKS[source]
    rows = f"FROM {_TABLES[source]} WHERE {_where(f'{rollup}{clock} >= $start AND {clock} < $stop', where)}"
    if dimensions is not None:
        rows = f"FROM {whole_hours.rows(dict.fromkeys([*dimensions, *measure.parts]))} WHERE {_where('true', where)}"
    if not measure.is_additive:
        return f"WITH parts AS (SELECT {', '.join([*keys, *measure.parts])} {rows})"
    sums = [
        f"{_HISTOGRAMS[source]} AS {part}" if part == HISTOGRAM else f"sum({part}) AS {part}" for part in measure.parts
    ]
    return f"WITH parts AS (SELECT {', '.join([*keys, *sums])} {rows} GROUP BY ALL)"


def _value(measure: Measure) -> str:
    sample = measure.sample
    if sample is None:
        told = "CAST(NULL AS DOUBLE)"
    elif sample == HISTOGRAM:
        told = f"CAST(startups({HISTOGRAM}) AS DOUBLE)"
    else:
        told = f"sum({sample}) / {60_000 if sample.endswith('_ms') else 1}::DOUBLE"
    return f"CAST({measure.call} AS DOUBLE) AS value, {told} AS sample"


def _where(condition: str, where: Mapping[str, str | None]) -> str:
    told = (
        f" AND {name} IS NULL" if value is None else f" AND CAST({name} AS VARCHAR) = $where_{name}"
        for name, value in where.items()
    )
    return condition + "".join(told)


def _source(plan: Plan) -> str:
    assert plan.source is not None, "only what can be answered is asked"
    return plan.source
