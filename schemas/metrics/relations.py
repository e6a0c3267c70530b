"""The tables that metrics are asked of, made in DuckDB of rows of sessions: as gold has them, without Spark.

For whoever has sessions in memory: tests of the definitions, and the comparison of the platform with a simulation's
truth. `metrics_sql()` must have been executed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from schemas.metrics.macros import session_columns, view_part
from schemas.metrics.parts import VIEW_PARTS
from schemas.quality import PARTS, STARTUP_BUCKETS

REGISTERS = 1024


def views_sql(source: str, known: Iterable[str]) -> str:
    """Sessions with their metrics and additive parts; `known`: columns of `source`, which stay as they are."""
    parts = ", ".join(f"{view_part(part)} AS {part}" for part in VIEW_PARTS if part not in known)
    return f"SELECT *, {parts} FROM (SELECT *, {session_columns()} FROM {source})"


def minutes_sql(source: str, *group: str) -> str:
    """The parts of minutes, added up by minute and by `group`, columns of `source`, which has `minutes`."""
    sums = ", ".join(f"sum(m.{part})::BIGINT AS {part}" for part in PARTS)
    keys = "".join(f"{name}, " for name in group)
    return (
        f"SELECT {keys}m.minute, {sums}, {histogram_sql('m.startup_bucket')} "
        f"FROM (SELECT {keys}unnest(minutes) AS m FROM {source}) GROUP BY ALL"
    )


def histogram_sql(bucket: str) -> str:
    """The startup histogram over rows with a bucket each."""
    counts = ", ".join(f"count(*) FILTER ({bucket} = {place})" for place in range(STARTUP_BUCKETS))
    return f"[{counts}] AS startup_histogram"


def registers(viewers: Iterable[str]) -> list[int]:
    """As batch writes them: the low 10 bits of a hash choose the register, the others give the rank."""
    found = [0] * REGISTERS
    for viewer in viewers:
        hashed = int.from_bytes(hashlib.blake2b(viewer.encode(), digest_size=8).digest(), "big")
        found[hashed % REGISTERS] = max(found[hashed % REGISTERS], 55 - max(1, (hashed >> 10).bit_length()))
    return found
