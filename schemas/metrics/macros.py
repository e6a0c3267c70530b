"""The metrics as SQL: macros for DuckDB (`warehouse/metrics.sql`), and what Spark's gold tables take of them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from schemas.metrics.metric import Metric
from schemas.metrics.parts import AD_PARTS, VIEW_PARTS
from schemas.metrics.registry import FUNCTIONS, METRICS, SESSION_METRICS
from schemas.quality import startup_histogram

WIDTH = 120
HEAD = """\
-- Every ratio, quantile and score, once. Made from schemas/metrics by `make contracts`; change it there.
--
-- A macro over additive parts adds up the rows of a group and only then divides, so it is right at any grain:
--
--     SELECT country, stalled_share(stall_ms, watched_ms), startup_quantile_ms(startup_histogram, 0.95)
--     FROM metrics.quality_minute WHERE rollup = 'country_device' GROUP BY country;
--
-- One of a session takes columns of silver.sessions; its settings have defaults: is_good_stream(..., min_kbps := 2500).
-- Shares and rates lie in 0..1. A macro is null where its denominator is zero: unknown is not zero.
-- Definitions with sources and worked examples: docs/metrics.md. The same macros stand in every published file.
"""


def metrics_sql() -> str:
    """The text of `warehouse/metrics.sql`."""
    functions = (_macro(one.comment, one.signature, one.sql) for one in FUNCTIONS)
    metrics = (_macro(_comment(metric), metric.signature, metric.sql) for metric in METRICS.values())
    return "\n".join((HEAD, *functions, *metrics))


def _comment(metric: Metric) -> str:
    source = f" Source: {', '.join(metric.sources)}." if metric.sources else ""
    return f"{metric.title}. {metric.meaning} Unit: {metric.unit}. {metric.formula}{source}"


def _macro(comment: str, signature: str, sql: str) -> str:
    lines = "".join(f"-- {line}\n" for line in textwrap.wrap(comment, WIDTH - 3, break_on_hyphens=False))
    return f"{lines}CREATE OR REPLACE MACRO {signature} AS\n  {broken(sql)};\n"


def broken(sql: str, indent: str = "  ") -> str:
    """A long expression over several lines, broken at spaces; one that has lines of its own as it is."""
    if "\n" in sql:
        return sql
    return f"\n{indent}".join(textwrap.wrap(sql, WIDTH - 6, break_long_words=False, break_on_hyphens=False))


def session_columns() -> str:
    """The metrics of a session as further columns of a SELECT over silver.sessions, for DuckDB and Spark alike.

    Options are at their defaults; later ones use earlier ones by name.
    """
    return ", ".join(f"{with_defaults(metric)} AS {metric.name}" for metric in SESSION_METRICS)


def with_defaults(metric: Metric) -> str:
    """The expression with its options filled in."""
    return re.sub(r"\b\w+\b", lambda word: metric.options.get(word[0], word[0]), metric.sql)


def view_part(part: str) -> str:
    """A part of whole sessions as an expression over one session, with its metrics: an integer, 0 where unknown."""
    return f"coalesce(CAST({VIEW_PARTS[part][0]} AS BIGINT), 0)"


def ad_part(part: str) -> str:
    """A part of ads, over rows of silver.ad_events."""
    key, condition, _ = AD_PARTS[part]
    return f"count(DISTINCT CASE WHEN {condition} THEN {key} END)"


def sql_names() -> dict[str, str]:
    """What `$name` stands for in the SQL of a gold table, beside `schemas.quality.sql_names`.

    session_metrics    every metric of a session, as columns; for a SELECT of * from silver.sessions
    view_parts         the parts of whole sessions, summed over `s`, which has those columns: lines, each with its comma
    view_histogram     their startup histogram, as the last line of a SELECT
    ad_parts           the parts of ads over silver.ad_events: lines without the last comma
    is_complete_play   the condition
    view_part_names, ad_part_names   for checks
    """
    return {
        "session_metrics": session_columns(),
        "view_parts": _lines((f"sum({view_part(part)}) AS {part}", doc) for part, (_, doc) in VIEW_PARTS.items()),
        "view_histogram": startup_histogram("s"),
        "ad_parts": _lines(((f"{ad_part(part)} AS {part}", doc) for part, (*_, doc) in AD_PARTS.items()), last=""),
        "is_complete_play": with_defaults(METRICS["is_complete_play"]),
        "view_part_names": ", ".join(VIEW_PARTS),
        "ad_part_names": ", ".join(AD_PARTS),
    }


def _lines(parts: Iterable[tuple[str, str]], last: str = ",") -> str:
    *lines, (sql, doc) = parts
    return "\n  ".join([*(f"{one},  -- {said}" for one, said in lines), f"{sql}{last}  -- {doc}"])
