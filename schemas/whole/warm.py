"""Compile the fold over whole groups: `python -m schemas.whole.warm`, once at set-up.

The Python workers of each Spark job find it then; without it each of them would compile for ten seconds.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from schemas.derive import arrow_schema
from schemas.fact import FACT_COLUMNS, rows_of
from schemas.registry import PLAYBACK
from schemas.session_state import Fact
from schemas.tables import SILVER_EVENTS
from schemas.whole.rows import Grouping, sessions_of

TIMEOUT_MS = 1_800_000


def warm() -> None:
    """Run every compiled function once."""
    columns = arrow_schema(SILVER_EVENTS[PLAYBACK.name].columns)
    facts = [
        Fact(at_ms, at_ms, kind, kind, rank, session_id="s") for at_ms, (kind, rank) in enumerate(PLAYBACK.rank.items())
    ]
    schema = pa.schema([columns.field(name) for name in ("group_id", *FACT_COLUMNS)])
    rows = rows_of(facts, [fact.group_id for fact in facts], schema)
    one_group = Grouping(np.zeros(len(facts), np.int32), np.ones(len(facts), np.int32), {})
    sessions_of(rows, one_group, TIMEOUT_MS, TIMEOUT_MS)


if __name__ == "__main__":
    warm()
