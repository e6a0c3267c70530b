"""A folded session as a row of `silver.sessions`: which column is what, and the row of one session.

`schemas/whole/rows.py` makes the rows of many at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from schemas.conclusion import Conclusion, conclude
from schemas.fact import from_ms
from schemas.quality import DIMENSIONS, PARTS, MinuteParts
from schemas.session_state import ABSENT, ATTRIBUTES, END_REASONS, SessionState
from schemas.tables.sessions import SESSIONS


def session_row(state: SessionState, minutes: Iterable[MinuteParts], now_ms: int, timeout_ms: int) -> dict[str, Any]:
    """A session as a row of the table, as of received time `now_ms`."""
    told = Conclusion()
    conclude(state, told, now_ms, timeout_ms)
    started_at = from_ms(state.first_ms)
    return {
        **{name: getattr(state, name) for name in ATTRIBUTES},
        **{name: known(getattr(state, name)) for name in PLAIN},
        **{name: known(getattr(told, name)) for name in CONCLUDED},
        "started_at": started_at,
        "start_date": started_at.date(),
        "ended_at": from_ms(state.last_ms),
        "end_reason": END_REASONS[told.ended_by],
        "first_received_at": from_ms(state.first_received_ms),
        "last_received_at": from_ms(state.last_received_ms),
        "minutes": list(_minute_rows(minutes)),
    }


def known(value: Any) -> Any:
    """The value of a column: None for a number that is not known."""
    return None if value == ABSENT else value


PLAIN = tuple(
    column.name
    for column in SESSIONS.columns
    if column.name in SessionState.__struct_fields__ and column.name not in ATTRIBUTES
)
"""Columns that the state holds under the same name."""
CONCLUDED = tuple(name for name in Conclusion.__struct_fields__ if name != "ended_by")
"""Columns that the conclusion holds."""


def _minute_rows(minutes: Iterable[MinuteParts]) -> Iterable[dict[str, datetime | str | int | None]]:
    """One row a minute and set of dimensions, parts added up."""
    rows: dict[tuple[int | str | None, ...], dict[str, Any]] = {}
    for piece in minutes:
        key = (piece.minute_ms, *(getattr(piece, name) for name in DIMENSIONS))
        row = rows.get(key)
        if row is None:
            row = rows[key] = dict(zip(("minute", *DIMENSIONS), key, strict=True))
            row["minute"] = from_ms(piece.minute_ms)
            row |= dict.fromkeys(PARTS, 0)
            row["startup_bucket"] = None
        for part, amount in piece.parts.items():
            row[part] += amount
        if piece.startup_bucket is not None:
            row["startup_bucket"] = piece.startup_bucket
    return rows.values()
