"""`make alerts`: incidents and quiet hours, simulated and judged, and the tables of docs/alerts.md made of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from statistics import median, quantiles

from infra.errors import SettingsError
from infra.settings import ROOT
from schemas.quality import PART
from streams.alerts.evaluation.score import LEARNING, STRENGTHS, Hour, Outcome, drawn, judged, most_watched
from streams.alerts.evaluation.score import told as line_of
from streams.alerts.evaluation.worlds import MINUTES, Pool, Rows, added
from streams.alerts.evaluator import Evaluator
from streams.intake.simulation.incidents import KINDS

PAGE = ROOT / "docs" / "alerts.md"
BEGIN, END = "<!-- made by `make alerts` -->", "<!-- end -->"


@dataclass(frozen=True)
class Size:
    """How much is simulated: groups of hours, each hour with viewers of its own.

    The hours of a group together are one hour of a larger service, so each incident is judged in both.
    """

    seed: int = 2
    groups: int = 15
    hours: int = 4
    """Of a group."""
    blocks: int = 2
    """Of an hour."""


@dataclass(frozen=True)
class Service:
    """What came of the hours of a service. `viewers`: who watch at a time, about."""

    viewers: int
    incidents: tuple[Outcome, ...]
    quiet: tuple[Outcome, ...]


def run(size: Size, processes: int = 1, say: Callable[[str], object] = lambda _: None) -> list[Service]:
    """Simulate and judge every group: a service, and one that is `size.hours` times as large."""
    found: list[list[Service]] = []
    with ProcessPoolExecutor(processes) as executor:
        each = executor.map if processes > 1 else map
        for number, services in enumerate(each(partial(_group, size), range(size.groups))):
            found.append(services)
            say(f"group {number + 1} of {size.groups}")
            for service in services:
                for outcome in (*service.quiet, *service.incidents):
                    say(f"  {service.viewers:,} viewers, {line_of(outcome)}")
    return [_together(services) for services in zip(*found, strict=True)]


@lru_cache(1)
def _evaluator() -> Evaluator:
    return Evaluator()


def _group(size: Size, number: int) -> list[Service]:
    """Nobody is in two groups; within one, an incident of the service is one of the larger service, too."""
    each = size.hours * size.blocks
    pool, evaluator = Pool(size.seed, size.groups * each), _evaluator()
    blocks = {block: pool.block(block) for block in range(number * each, (number + 1) * each)}
    whole = added([block.rows for block in blocks.values()])
    titles = most_watched(whole)
    small, large = [], []
    for place in range(size.hours):
        first = number * each + place * size.blocks
        own = {block: blocks[block] for block in range(first, first + size.blocks)}
        others = {block: blocks[block] for block in blocks.keys() - own.keys()}
        rows = added([block.rows for block in own.values()])
        hour = drawn(number * size.hours + place, size.seed, titles)
        assert hour.incident is not None
        change, further = pool.change(own, hour.incident), pool.change(others, hour.incident)
        incident, quiet = judged(added([rows, change]), evaluator, hour), judged(rows, evaluator, Hour())
        small.append(Service(_viewers(rows), (incident,), (quiet,)))
        large.append(judged(added([whole, change, further]), evaluator, hour))
    return [_together(small), Service(_viewers(whole), tuple(large), (judged(whole, evaluator, Hour()),))]


def _together(services: Sequence[Service]) -> Service:
    return Service(
        round(sum(service.viewers for service in services) / len(services)),
        tuple(outcome for service in services for outcome in service.incidents),
        tuple(outcome for service in services for outcome in service.quiet),
    )


def _viewers(rows: Rows) -> int:
    """Minutes watched in a minute, when the audience has gathered."""
    watched = [
        cells[PART["watched_ms"]] / 60_000
        for minute_s in sorted(rows)[MINUTES // 2 :]
        for labels, cells in rows[minute_s].items()
        if labels[0] == "total"
    ]
    return round(float(sum(watched)) / max(1, len(watched)))


def text(services: Iterable[Service], seed: int) -> str:
    """A table for each service, in Markdown."""
    return "\n".join(_table(service, seed) for service in services)


def _table(service: Service, seed: int) -> str:
    false = sum(len(result.others) for result in service.quiet)
    counted = sum(bool(result.others) for result in service.quiet)
    head = (
        f"**About {service.viewers:,} viewers at a time**, seed {seed}: {len(service.incidents)} incidents, and "
        f"{len(service.quiet)} quiet hours of which {MINUTES - LEARNING} minutes each are judged. "
        f"In the quiet hours {false} alerts opened, in {counted} of the hours.\n\n"
        "| incidents | found | recall | minutes to detect, median | p90 | precision | named at once | in the end |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|\n"
    )
    rows = [("all", service.incidents)]
    rows += [(f"{size} ({STRENGTHS[size]:g})", _those(service, size=size)) for size in STRENGTHS]
    rows += [(kind, _those(service, kind=kind)) for kind in KINDS]
    rows += [(f"{kind}, {size}", _those(service, kind=kind, size=size)) for kind in KINDS for size in STRENGTHS]
    return head + "".join(_row(name, those) for name, those in rows if those)


def _those(service: Service, *, kind: str = "", size: str = "") -> tuple[Outcome, ...]:
    return tuple(
        result
        for result in service.incidents
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
    size = Size()
    table = text(run(size, processes=2, say=lambda line: print(line, file=sys.stderr, flush=True)), size.seed)
    print(table)
    write_into(PAGE, table)


if __name__ == "__main__":
    main()
