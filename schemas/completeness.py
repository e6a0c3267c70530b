"""How much of its time a row of gold holds, and whether it can still change: columns of every published gold table.

Late events restate gold, so a number alone does not say what it is worth. Of each row it is known up to which received
time its table holds every record (`as_of`), and the rest follows from that and the row's own time: an event is believed
to have happened at most MAX_PAST before it is received, and ends a silence of at most the sessions' time-out.

A whole session counts on the day it started. Should its client go on with it a week later, under the same session id,
a row of whole sessions changes even after it was final; the restatement ledger says so.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schemas.event import MAX_PAST
from schemas.table import Column, Table

LENGTHS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "play_date": timedelta(days=1)}
"""Column that a row's time begins at → how long it lasts. The first that is in the table's grain counts."""

COLUMNS = (
    Column("as_of", "timestamp", "received time up to which the row holds every record"),
    Column("completeness", "double", "share of the row's minute, hour or day that had passed at as_of, 0..1"),
    Column("is_final", "boolean", "no event of the row's time can come any more: none is accepted that late"),
)


def final_after(session_timeout_s: int) -> timedelta:
    """How long after the end of its time a row is final."""
    return MAX_PAST + timedelta(seconds=session_timeout_s)


def expressions(table: Table, as_of: datetime | None, session_timeout_s: int) -> dict[str, str]:
    """Name of each of COLUMNS → its value, in DuckDB with UTC as its time zone. Null when `as_of` is not known.

    A table without a time of its own holds the state as of then: all of it, and never for good.
    """
    if as_of is None:
        kinds = {"timestamp": "TIMESTAMPTZ", "double": "DOUBLE", "boolean": "BOOLEAN"}
        return {column.name: f"NULL::{kinds[column.type]}" for column in COLUMNS}
    moment = f"TIMESTAMPTZ '{as_of.astimezone(UTC).isoformat()}'"
    begins = next((name for name in LENGTHS if name in table.grain), None)
    if begins is None:
        return {"as_of": moment, "completeness": "1::DOUBLE", "is_final": "false"}
    length_us = LENGTHS[begins] // timedelta(microseconds=1)
    final_us = length_us + final_after(session_timeout_s) // timedelta(microseconds=1)
    passed_us = f"(epoch_us({moment}) - epoch_us({begins}::TIMESTAMPTZ))"
    return {
        "as_of": moment,
        "completeness": f"greatest(0, least(1, {passed_us} / {length_us}::DOUBLE))",
        "is_final": f"{passed_us} >= {final_us}",
    }
