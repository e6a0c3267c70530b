"""The stretch of time in which all events of some groups lie: so much of silver and bronze must be read for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from batch.stage import Days
from schemas.event import MAX_FUTURE
from schemas.registry import PLAYBACK
from schemas.topic import EventTopic

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

OF_SPAN = ("start_date", "started_at", "ended_at", "last_received_at")
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Span:
    """Days, and moments within them, microseconds, that hold all events of some groups."""

    days: Days
    first_us: int
    last_us: int

    def happened(self, topic: EventTopic) -> str:
        """The condition that an event may be one of theirs. A report may tell what came to no session, or to a later
        one: of reports only the day is known."""
        on_day = self.days.sql("event_date")
        if topic is not PLAYBACK:
            return on_day
        return (
            f"{on_day} AND occurred_at BETWEEN timestamp_micros({self.first_us}) AND timestamp_micros({self.last_us})"
        )

    def received(self, topic: EventTopic) -> str:
        """The condition that a record may be a copy of one. It is received no earlier than MAX_FUTURE before it
        happened."""
        on_day = f"received_date >= DATE'{self.days.first}' - INTERVAL 1 DAY"
        if topic is not PLAYBACK:
            return on_day
        return f"{on_day} AND received_at >= timestamp_micros({self.first_us - MAX_FUTURE // MICROSECOND})"


def span_of(had: DataFrame, new: DataFrame) -> Span | None:
    """What holds all events of some groups: the time of the sessions they had, and of the new records.

    had   of these sessions the columns of OF_SPAN

    A session ends at the last moment that counted. A player may have reported long after it; no report happened later
    than MAX_FUTURE after its receipt. Sessions know milliseconds, events microseconds.
    """
    heard = f"last_received_at + INTERVAL {MAX_FUTURE.seconds} SECONDS"
    times = had.selectExpr(
        "start_date AS day",
        "started_at AS first",
        f"greatest(ended_at, {heard}) + INTERVAL 1 MILLISECOND AS last",
        f"to_date(greatest(ended_at, {heard})) AS last_day",
    )
    both = times.union(new.selectExpr("event_date", "occurred_at", "occurred_at", "event_date"))
    [row] = both.selectExpr(
        "CAST(min(day) AS STRING) AS first",
        "CAST(max(last_day) AS STRING) AS last",
        "unix_micros(min(first)) AS first_us",
        "unix_micros(max(last)) AS last_us",
    ).collect()
    if row["first"] is None:
        return None
    days = Days(date.fromisoformat(row["first"]), date.fromisoformat(row["last"]))
    return Span(days, row["first_us"], row["last_us"])
