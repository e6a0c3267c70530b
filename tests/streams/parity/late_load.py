"""Simulated viewers as they happen, one event in a hundred late: `python -m tests.streams.parity.late_load --help`.

What is late by more than the window comes at the end, when its minutes are frozen. The last line says, as JSON, how
many playback events went out, by kind.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator

from infra.settings import Settings
from schemas.quality import MINUTE_MS
from schemas.registry import PLAYBACK
from streams.intake.simulate import arriving, run
from streams.intake.simulation.audience import Audience
from streams.intake.simulation.faults import DISORDER_MS, Arriving, Faults
from streams.intake.targets import ToKafka

FAULTS = Faults(broken=0.001, duplicates=0.01, disorder=0.02, lateness=0.01)
COPIES_MS = MINUTE_MS
"""Copies come within a minute."""


def bounded(records: Iterable[Arriving], end_ms: int, late_ms: int, kinds: Counter[str]) -> Iterator[Arriving]:
    """The records, of which none comes later than `late_ms`."""
    for record in records:
        kinds[record.kind] += record.topic == PLAYBACK.name
        is_late = record.at_ms > end_ms + COPIES_MS + DISORDER_MS
        yield record._replace(at_ms=late_ms) if is_late else record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True, help="length of the window that begins now")
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    settings = Settings.from_env()
    start_ms = time.time_ns() // 1_000_000
    end_ms = start_ms + wanted.seconds * 1000
    # The last minute ends within a minute, and is frozen the setting after that.
    late_ms = max(end_ms + MINUTE_MS + settings.live_freeze_after_s * 1000, end_ms + COPIES_MS + DISORDER_MS) + 2_000
    audience = Audience(wanted.seed, wanted.viewers, start_ms, end_ms)
    kinds: Counter[str] = Counter()
    records = bounded(arriving(audience, faults=FAULTS, catalogue=False), end_ms, late_ms, kinds)
    run(records, ToKafka(settings), live=True)
    print(json.dumps(kinds))


if __name__ == "__main__":
    main()
