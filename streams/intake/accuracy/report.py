"""The report: one simulation, spoiled in one way after the other, and the error of every metric against the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.errors import SettingsError
from infra.settings import ROOT
from schemas.registry import PLAYBACK
from streams.intake.accuracy.bounds import SCENARIOS, Scenario
from streams.intake.accuracy.metrics import BY_MINUTE, QUESTIONS, Side, of_platform, of_truth
from streams.intake.accuracy.platform import ADS, measure
from streams.intake.simulation.audience import Audience
from streams.intake.simulation.faults import Tally, spoil
from streams.intake.simulation.traces import Traces
from streams.intake.simulation.truth import Truth

END_MS = 1_763_726_400_000
"""2025-11-21, noon: always the same moment, so that a report can be repeated."""
WINDOW_MS = 3_600_000
VIEWERS, SEED = 1_000, 7
"""Of the table in docs/simulator.md."""
SCALE = 0.15
"""Sessions a few minutes long have all that long ones have, and are quicker to judge."""
PROBES = tuple(END_MS - WINDOW_MS + minute * 60_000 + 77 for minute in range(5, 60, 5))
"""When concurrent viewers are counted."""
BEGIN, END = "<!-- made by `make accuracy` -->", "<!-- end -->"
_UNITS = {asked.name: asked.metric.unit for asked in QUESTIONS}


@dataclass(frozen=True)
class Judged:
    """One scenario's errors: of shares in points, of everything else in per cent of the truth. None: no value."""

    scenario: Scenario
    errors: Mapping[str, float | None]
    rejected: int
    sessions_that_differ: int


@dataclass(frozen=True)
class Report:
    """All scenarios over one simulation."""

    sessions: int
    events: int
    truth: Mapping[str, float | None]
    judged: Sequence[Judged] = field(default_factory=list)


def run(viewers: int, seed: int, traces: Traces | None = None, scenarios: Sequence[Scenario] = SCENARIOS) -> Report:
    """Simulate once, then judge every scenario."""
    truths: list[Truth] = []
    audience = Audience(seed, viewers, END_MS - WINDOW_MS, END_MS, scale=SCALE, traces=traces)
    sent = [event for event in audience.events(truths, to_the_end=True) if event.topic in (PLAYBACK.name, ADS)]
    truth = of_truth(truths, PROBES)
    happened = truth.answers()
    judged: list[Judged] = []
    for scenario in scenarios:
        tally = Tally()
        records = list(spoil(sent, seed, scenario.faults, tally))
        gone = tally.lost[PLAYBACK.name] + sum(one.kind == "broken" and one.topic == PLAYBACK.name for one in records)
        told = happened | {"event_loss_rate": gone / sum(event.topic == PLAYBACK.name for event in sent)}
        measured = measure(records)
        platform = of_platform(measured, PROBES)
        found = platform.answers()
        errors = {name: _error(name, told[name], found[name]) for name in told} | _by_minute(truth, platform)
        differing = _differing(truth, platform)
        judged.append(Judged(scenario, errors, measured.rejected.total(), differing))
    return Report(len(truths), len(sent), happened, judged)


def is_share(name: str) -> bool:
    """Whether errors of a question are in points, not in per cent."""
    return _UNITS.get(name, "").startswith("share")


def _error(name: str, truth: float | None, found: float | None) -> float | None:
    if truth is None or found is None:
        return None if truth is not found else 0.0
    if truth == found:
        return 0.0
    if is_share(name):
        return 100 * (found - truth)
    return 100 * (found / truth - 1) if truth else float("inf")


def _by_minute(truth: Side, platform: Side) -> dict[str, float | None]:
    """What differs minute by minute, all minutes' differences without their signs, in per cent of the whole."""
    platform.keep("truth_by_minute", truth.con.execute("FROM by_minute").to_arrow_table())
    found: dict[str, float | None] = {}
    for part in BY_MINUTE:
        query = (
            f"SELECT 100 * sum(abs(coalesce(p.{part}, 0) - coalesce(t.{part}, 0))) / sum(t.{part}) "
            "FROM by_minute p FULL JOIN truth_by_minute t USING (minute)"
        )
        ((value,),) = platform.con.execute(query).fetchall()
        found[f"{part} minute by minute"] = None if value is None else float(value)
    pairs = list(zip(truth.watching, platform.watching, strict=True))
    found["concurrent_viewers moment by moment"] = (
        100 * sum(abs(there - seen) for there, seen in pairs) / max(1, sum(there for there, _ in pairs))
    )
    return found


OF_A_SESSION = (
    "end_reason", "is_started", "startup_ms", "playing_ms", "stall_ms", "stall_count", "seek_count", "seeking_ms",
    "pause_count", "paused_ms", "media_ms", "bits_played", "bitrate_media_ms", "bitrate_switch_count", "starting_ms",
    "max_position_ms", "live_latency_sum_ms", "ad_count", "ad_error_count", "ad_ms", "ad_stall_ms", "is_valid_play",
    "is_complete_play", "is_good_stream", "startup_score", "smoothness_score", "quality_score", "success_score",
    "experience_score", "is_start_failure", "is_playback_failure", "is_business_failure", "is_exit_before_start",
)  # fmt: skip


def _differing(truth: Side, platform: Side) -> int:
    """Sessions of which any column or metric is not what it was, missing and invented ones included."""
    # A session without an id of its own is the only one of its viewer and title.
    key = "coalesce(s, user_id || content_id)"
    columns = ", ".join(OF_A_SESSION)
    true = f"SELECT {key.replace('s,', 'session_id,')} AS k, {columns} FROM views"
    platform.keep("truth_views", truth.con.execute(true).to_arrow_table())
    named = key.replace("s,", "CASE WHEN NOT is_derived_id THEN session_id END,")
    query = (
        f"SELECT count(*) FROM (SELECT {named} AS k, {columns} FROM views) p FULL JOIN truth_views t USING (k) "
        f"WHERE {' OR '.join(f'p.{name} IS DISTINCT FROM t.{name}' for name in OF_A_SESSION)}"
    )
    ((count,),) = platform.con.execute(query).fetchall()
    return int(count)


def slack(viewers: int) -> float:
    """Bounds are stated for VIEWERS; of fewer, chance is larger by the root of how many fewer."""
    return max(1.0, math.sqrt(VIEWERS / viewers))


def beyond_bounds(report: Report, slack: float = 1.0) -> list[str]:
    """Errors that are larger than `slack` times what was stated, as text."""
    return [
        f"{judged.scenario.name}: {name} {_said(error)}, stated {judged.scenario.bound(name, is_share(name)):g}"
        for judged in report.judged
        for name, error in judged.errors.items()
        if error is None or abs(error) > slack * judged.scenario.bound(name, is_share(name))
    ]


def text(report: Report) -> str:
    """The report as Markdown: the table of errors, and what was done in each scenario."""
    names = list(report.judged[0].errors)
    size = f"{report.sessions:,} sessions, {report.events:,} events of playback and ads."
    lines = [
        f"{size} Errors: of shares in points (pt), else in per cent of the truth; `0` is exact.",
        "",
        "| metric | truth | " + " | ".join(one.scenario.name for one in report.judged) + " |",
        "|---|---:|" + "---:|" * len(report.judged),
    ]
    for name in names:
        errors = (_said(one.errors[name], "pt" if is_share(name) else "%") for one in report.judged)
        lines.append(f"| {name} | {_value(report.truth.get(name))} | {' | '.join(errors)} |")
    differing = (f"{one.sessions_that_differ:,}" for one in report.judged)
    lines.append(f"| sessions that differ in anything | | {' | '.join(differing)} |")
    rejected = (f"{one.rejected:,}" for one in report.judged)
    lines += [f"| dead letters | | {' | '.join(rejected)} |", ""]
    lines += ["| fault | what is done | stated bound |", "|---|---|---|"]
    lines += [f"| {one.scenario.name} | {one.scenario.what} | {one.scenario.stated()} |" for one in report.judged]
    return "\n".join(lines) + "\n"


def _said(error: float | None, unit: str = "") -> str:
    if error is None:
        return "no value"
    if error == 0:
        return "0"
    number = f"{error:+.2f}" if abs(error) >= 0.005 else f"{error:+.0e}"
    return f"{number} {unit}".rstrip()


def _value(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def main() -> None:
    """`make accuracy`: the table in docs/simulator.md."""
    write_into(ROOT / "docs" / "simulator.md", run(VIEWERS, SEED))


def write_into(page: Path, report: Report) -> None:
    """Put the tables between the marks of a page, or write them as a page of their own."""
    tables = f"{BEGIN}\n{text(report)}{END}"
    if not page.exists():
        page.write_text(tables + "\n")
        return
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        msg = f"expected {BEGIN} and {END} in {page}, to put the tables between them"
        raise SettingsError(msg)
    page.write_text(before + tables + after)


if __name__ == "__main__":
    main()
