"""What a run gave, and how runs of several contestants become one table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import httpx
import psutil
from confluent_kafka import KafkaException

from benchmarks.machine import wait_quiet
from infra.errors import PlaylakeError

T = TypeVar("T")
FAILURES = (
    RuntimeError, AssertionError, OSError, LookupError, ValueError, PlaylakeError, KafkaException, httpx.HTTPError,
    psutil.Error,
)  # fmt: skip
"""What a run may end with. The others are measured all the same, and the report says what failed."""


@dataclass(frozen=True)
class Run:
    """One run of one contestant."""

    events: int
    seconds: float
    cpu_seconds: float
    rss_mb: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time an event, of all the contestant's own processes."""
        return self.cpu_seconds / self.events * 1e6


@dataclass
class Section:
    """A part of the report: what was measured, its tables and what the reader must know."""

    name: str
    text: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """A paragraph or a table; it is printed at once."""
        self.text.append(text)
        print(f"\n{text}", flush=True)

    def warn(self, text: str) -> None:
        """Something that makes the numbers worth less."""
        if text:
            self.warnings.append(text)
            print(f"  warning: {text}", flush=True)

    def quiet(self) -> None:
        """Wait until the machine does nothing else, or note that it did."""
        self.warn(wait_quiet())


def interleave(
    section: Section, contestants: Mapping[str, Callable[[], T]], runs: int, show: Callable[[T], str]
) -> dict[str, list[T]]:
    """ABAB…: a drift of the machine meets all alike. A contestant that fails is left out of the rest, and named."""
    results: dict[str, list[T]] = {name: [] for name in contestants}
    failed: set[str] = set()
    for number in range(1, runs + 1):
        for name, run in contestants.items():
            if name in failed:
                continue
            section.quiet()
            try:
                result = run()
            except FAILURES as error:
                failed.add(name)
                section.warn(f"{name} failed in run {number}: {type(error).__name__}: {error}")
                continue
            results[name].append(result)
            print(f"  {name} {number}/{runs}: {show(result)}", flush=True)
    return {name: found for name, found in results.items() if found}


def middle(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all but the first column are numbers."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if not i else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join((first, *others)) + " |"

    rule = (
        "|" + "|".join("-" * (width + 2) if not i else "-" * (width + 1) + ":" for i, width in enumerate(widths)) + "|"
    )
    return "\n".join((line(head), rule, *map(line, rows)))
