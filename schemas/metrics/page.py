"""The metrics as a page for people: `docs/metrics.md`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from schemas.metrics.macros import broken
from schemas.metrics.metric import SOURCES, Example, Metric
from schemas.metrics.parts import AD_PARTS, VIEW_PARTS
from schemas.metrics.registry import METRICS, SUBJECTS
from schemas.quality import PARTS
from schemas.tables.sessions import SESSIONS

_SESSION = {column.name for column in SESSIONS.columns}
TABLES: dict[str, set[str]] = {
    "metrics.quality_minute": {*PARTS, "startup_histogram"},
    "gold.quality_hourly": {*PARTS, "startup_histogram"},
    "gold.title_daily": {*PARTS, "startup_histogram", "sessions"},
    "gold.views_daily": {*VIEW_PARTS, "startup_histogram"},
    "metrics.session_quality": {*VIEW_PARTS, *_SESSION, *(m.name for m in METRICS.values() if m.level == "session")},
    "silver.sessions": _SESSION,
    "gold.audience_daily": {"plays", "watched_ms", "viewer_registers"},
    "gold.ads_daily": set(AD_PARTS),
    "live.quality_second": set(PARTS),
    "live.now": {"concurrent"},
}
"""Table → what of the metrics' parts it has."""

HEAD = """# Metrics

Made from `schemas/metrics/` by `make contracts`; change it there. Every example below runs as a test: its events go
through the same fold as everyone's, and the SQL macro must give the number that was worked out by hand.

| metric | what it says | unit |
|---|---|---|
{contents}

## How to ask

Tables hold **parts**: sums and counts of whole numbers, which may be added over minutes, days, countries, partitions.
Every ratio, quantile and score is a **macro** over them, the same in every published file, in the live numbers and in
batch:

    SELECT country, stalled_share(stall_ms, watched_ms), startup_quantile_ms(startup_histogram, 0.95)
    FROM metrics.quality_minute WHERE rollup = 'country_device' GROUP BY country

A macro divides sums, never averages ratios, and is null where nothing was measured: unknown is not zero. Metrics of a
session are expressions over its row in `silver.sessions`; the view `metrics.session_quality` has them all as columns.
Their thresholds and weights are options: `is_good_stream(..., min_kbps := 2500)`.

    SELECT app_version, avg(experience_score), good_stream_share(good_streams, judged_streams)
    FROM metrics.session_quality GROUP BY app_version

### By when: minutes, start, end

A session may span an hour or midnight, so a number by time must say by which.

- **As it happened**: `metrics.quality_minute`, `gold.quality_hourly`, `gold.title_daily`. Each stall and each second of
  watching counts in the minute in which it happened. Live and batch have this alike. `title_daily` puts all of a
  session's minutes under the day it started.
- **By start, by end**: `gold.views_daily` has each session whole, twice: under the day it started
  (`bucketed_by = 'start'`) and under the day it ended (`'end'`; open sessions have none yet). Filter by one of the two.
  Engagement is commonly asked by start, quality by end. `metrics.session_quality` has `started_at` and `ended_at`.

The two agree over all time, and differ at the edges of any stretch. Scores, valid and complete plays and dropped views
are known of whole sessions only, so no minute has them.

### What never counts

Repeated deliveries of an event (tallied in `duplicate_event_count`); values that no player can mean, such as a negative
position or a rate of 40 (kept in silver, tallied in `absurd_value_count`); silence beyond the session's time-out.

### Parts of minutes

| part | what it counts |
|---|---|
{minute_parts}

### Parts of whole sessions

In `gold.views_daily`. Those of the same name as above mean the same, of the whole session.

| part | of a session | what it counts |
|---|---|---|
{view_parts}

### Sources

Definitions are in our words. "CTA-2066" below a metric says that the standard defines a metric of this kind, not that
the words are its.

| source | |
|---|---|
{sources}
"""


def metrics() -> str:
    """The page, one chapter a subject."""
    names = {
        "contents": _rows(
            row
            for subject, found in SUBJECTS.items()
            for row in ((f"**{subject}**", "", ""), *((_link(m.title), m.meaning, m.unit) for m in found))
        ),
        "minute_parts": _rows((f"`{part}`", doc) for part, doc in PARTS.items()),
        "view_parts": _rows((f"`{part}`", f"`{sql}`", doc) for part, (sql, doc) in VIEW_PARTS.items()),
        "sources": _rows((f"{name}", f"[{title}]({address})") for name, (title, address) in SOURCES.items()),
    }
    text = HEAD
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text + "".join(f"\n{line}" if line else "\n" for line in _chapters()) + "\n"


def tables_of(metric: Metric) -> list[str]:
    """The tables and views that a metric may be asked of."""
    return [name for name, parts in TABLES.items() if parts.issuperset(metric.parts)]


def _chapters() -> Iterator[str]:
    for subject, found in SUBJECTS.items():
        yield f"## {subject}"
        for metric in found:
            yield from ("", f"### {metric.title}", "", metric.meaning, "")
            yield from _facts(metric)
            yield from ("", "```sql", f"{metric.signature} :=", f"  {broken(metric.sql)}", "```")
            for example in metric.examples:
                yield from ("", *_example(metric, example))
        yield ""


def _facts(metric: Metric) -> Iterator[str]:
    kind = "of a session" if metric.level == "session" else "of any group of rows"
    rows = {
        "Macro": f"`{metric.signature}`, {kind}",
        "Formula": metric.formula,
        "Unit": metric.unit + (f"; {metric.worse} is worse" if metric.worse else ""),
        "Counted": metric.counted,
        "Left out": metric.left_out,
        "Elsewhere": metric.elsewhere,
        "Ask it of": ", ".join(f"`{table}`" for table in tables_of(metric)),
        "Sources": ", ".join(f"[{source}](#sources)" for source in metric.sources),
    }
    yield from ("| | |", "|---|---|")
    yield from _rows((name, text.replace("|", "\\|")) for name, text in rows.items() if text).splitlines()


def _example(metric: Metric, example: Example) -> Iterator[str]:
    yield f"Example: `{metric.call(example.call)}` = **{_said(example.value)}**. {example.working}"
    yield ""
    for session, notes in example.sessions.items():
        first, *others = notes.splitlines()
        yield f"    {session:<7} {first}"
        yield from (f"            {line}" for line in others)
    yield from (f"    {line}" for line in example.ads.splitlines())


def _said(value: float | bool | None) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def _link(title: str) -> str:
    anchor = "".join(letter for letter in title.lower().replace(" ", "-") if letter.isalnum() or letter in "-_")
    return f"[{title}](#{anchor})"


def _rows(rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
