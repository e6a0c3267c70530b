"""`make alerts`: incidents and quiet hours, simulated and judged, and the table of docs/alerts.md made of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from statistics import median, quantiles

from infra.errors import SettingsError
from infra.settings import ROOT
from schemas.quality import PART
from streams.alerts.evaluation.score import STRENGTHS, Hour, Outcome, incident_hours, most_watched, outcome, quiet_hours
from streams.alerts.evaluation.score import told as line_of
from streams.alerts.evaluation.worlds import Block, Pool
from streams.alerts.evaluator import Evaluator
from streams.intake.simulation.incidents import KINDS

PAGE = ROOT / "docs" / "alerts.md"
BEGIN, END = "<!-- made by `make alerts` -->", "<!-- end -->"


@dataclass(frozen=True)
class Size:
    """How much is simulated. A test insists on a small one, the page has the whole."""

    seed: int = 2
    pool: int = 6
    blocks: int = 2
    """Of an hour, out of the pool."""
    incidents: int = 52
    quiet: int = 52


@dataclass(frozen=True)
class Report:
    """What came of all hours."""

    size: Size
    viewers: int
    """Who watch at a time, about."""
    incidents: tuple[Outcome, ...]
    quiet: tuple[Outcome, ...]


def run(size: Size, processes: int = 1, say: Callable[[str], object] = lambda _: None) -> Report:
    """Simulate the pool, then judge every hour."""
    pool = Pool(size.seed, size.pool)
    with ProcessPoolExecutor(processes) as executor:
        each = executor.map if processes > 1 else map
        blocks: dict[int, Block] = {}
        for number, block in enumerate(each(pool.block, range(size.pool))):
            blocks[number] = block
            say(f"block {number + 1} of {size.pool}")
        titles = most_watched(blocks[0].rows)
        hours = incident_hours(pool, size.incidents, size.blocks, size.seed, titles)
        hours += quiet_hours(pool, size.quiet, size.blocks, size.seed)
        given = [{number: blocks[number] for number in hour.blocks} for hour in hours]
        results: list[Outcome] = []
        for result in each(partial(_outcome, pool), hours, given):
            results.append(result)
            say(line_of(result))
    with_incident = tuple(result for result in results if result.hour.incident)
    return Report(size, _viewers(blocks, size.blocks), with_incident, tuple(results[len(with_incident) :]))


@lru_cache(1)
def _evaluator() -> Evaluator:
    return Evaluator()


def _outcome(pool: Pool, hour: Hour, blocks: dict[int, Block]) -> Outcome:
    return outcome(pool, hour, _evaluator(), blocks.__getitem__)


def _viewers(blocks: dict[int, Block], of_an_hour: int) -> int:
    """Minutes watched in a minute of the second half, in an hour of so many blocks."""
    watched = [
        cells[PART["watched_ms"]] / 60_000
        for block in blocks.values()
        for minute_s in sorted(block.rows)[40:]
        for labels, cells in block.rows[minute_s].items()
        if labels[0] == "total"
    ]
    return round(float(of_an_hour * sum(watched) / max(1, len(watched))))


def text(report: Report) -> str:
    """The table, in Markdown."""
    false = sum(len(result.others) for result in report.quiet)
    counted = [result for result in report.quiet if result.others]
    head = (
        f"{len(report.incidents)} incidents and {len(report.quiet)} quiet hours of a service with about "
        f"{report.viewers:,} viewers at a time, simulated with seed {report.size.seed}. "
        f"In the quiet hours {false} alerts opened, in {len(counted)} of the hours.\n\n"
        "| incidents | found | recall | minutes to detect, median | p90 | precision | named at once | in the end |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|\n"
    )
    rows = [("all", report.incidents)]
    rows += [(f"{size} ({STRENGTHS[size]:g})", _those(report, size=size)) for size in STRENGTHS]
    rows += [(kind, _those(report, kind=kind)) for kind in KINDS]
    rows += [(f"{kind}, {size}", _those(report, kind=kind, size=size)) for kind in KINDS for size in STRENGTHS]
    return head + "".join(_row(name, those) for name, those in rows if those)


def _those(report: Report, *, kind: str = "", size: str = "") -> tuple[Outcome, ...]:
    return tuple(
        result
        for result in report.incidents
        if result.hour.incident and kind in ("", result.hour.incident.kind) and size in ("", result.hour.size)
    )


def _row(name: str, those: Sequence[Outcome]) -> str:
    times = [result.minutes_to_detect for result in those if result.minutes_to_detect is not None]
    true, false = sum(len(result.found) for result in those), sum(len(result.others) for result in those)
    p90 = f"{quantiles(times, n=10, method='inclusive')[-1]:.1f}" if len(times) > 1 else "-"
    cells = (
        name,
        f"{len(times)} of {len(those)}",
        f"{len(times) / len(those):.0%}",
        f"{median(times):.1f}" if times else "-",
        p90,
        f"{true / (true + false):.0%}" if true + false else "-",
        f"{sum(result.is_named for result in those)} of {len(times)}",
        f"{sum(result.is_named_in_the_end for result in those)} of {len(times)}",
    )
    return f"| {' | '.join(cells)} |\n"


def write_into(page: Path, table: str) -> None:
    """Put the table between the marks of the page. Raises SettingsError when they are not there."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        msg = f"expected {BEGIN} and {END} in {page}, to put the table between them"
        raise SettingsError(msg)
    page.write_text(f"{before}{BEGIN}\n{table}{END}{after}", encoding="utf-8")


def main() -> None:
    """All of it, into the page."""
    report = run(Size(), processes=2, say=lambda line: print(line, file=sys.stderr, flush=True))
    table = text(report)
    print(table)
    write_into(PAGE, table)


if __name__ == "__main__":
    main()
