"""`docs/benchmarks.md`: its prose is written by hand, its tables by the measurements, each between its own marks."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import machine, versions
from benchmarks.result import Section
from infra.settings import ROOT
from infra.setup.python import BENCH, MAIN

PAGE = ROOT / "docs" / "benchmarks.md"
OURS = ("faust-streaming", "confluent-kafka", "msgspec", "deltalake", "pyarrow", "duckdb", "pyspark")
PEERS = ("apache-flink", "bytewax", "pathway", "quixstreams")


def write(section: Section, page: Path = PAGE) -> None:
    """Put a part's tables into the page. Raises ValueError when the page has no place for it."""
    text = page.read_text()
    mark = re.compile(rf"(<!-- {section.name} -->\n).*?(<!-- /{section.name} -->)", re.DOTALL)
    if not mark.search(text):
        msg = f"{page} has no lines `<!-- {section.name} -->` and `<!-- /{section.name} -->`"
        raise ValueError(msg)
    body = "\n\n".join((*section.text, _footnote(section))) + "\n"
    page.write_text(mark.sub(lambda found: found[1] + body + found[2], text))


def _footnote(section: Section) -> str:
    """Where and when, with which versions, and what was wrong."""
    lines = [f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC on {machine()}; {versions(MAIN, *OURS)}."]
    if section.name == "fold":
        lines.append(f"Peers: {versions(BENCH, *PEERS)}.")
    lines += [f"**Warning:** {warning}." for warning in section.warnings]
    return "\n".join(lines)
