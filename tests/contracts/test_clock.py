"""A client's clock is corrected by when the collector took the event, not by when Kafka did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schemas.event import occurred_at
from schemas.events.playback import Play

AT = datetime(2026, 1, 15, 20, 30, 45, tzinfo=UTC)
HOUR = timedelta(hours=1)


def play(sent_at: datetime, received_at: datetime | None, at: datetime = AT) -> Play:
    return Play(user_id="u", content_id="t", timestamp=at, sent_at=sent_at, received_at=received_at)


def test_an_outage_between_collector_and_kafka_is_no_error_of_the_clock() -> None:
    right = play(AT, AT)
    assert occurred_at(right, AT + HOUR) == (AT, False)
    slow = play(AT - HOUR, AT, AT - HOUR)
    assert occurred_at(slow, AT + 2 * HOUR) == (AT, False)


@pytest.mark.parametrize("said", [None, AT - timedelta(days=8), AT + HOUR])
def test_a_time_of_receipt_that_is_not_believable_does_not_count(said: datetime | None) -> None:
    assert occurred_at(play(AT - HOUR, said, AT - HOUR), AT) == (AT, False)
