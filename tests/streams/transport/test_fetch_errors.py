"""Which errors among the records end the worker, and what they say."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from infra.errors import PositionRefused, ProcessError
from streams.transport import fetch_errors


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "t/0: expected the right to READ the topic, the broker refuses it"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "t/0: the topic or partition that is assigned does not exist"),
        (KafkaError._UNKNOWN_PARTITION, "t/0: the topic or partition that is assigned does not exist"),
    ],
)
def test_what_no_waiting_mends_ends_the_worker(code: int, message: str) -> None:
    error = fetch_errors.fatal("t/0", KafkaError(code))
    assert isinstance(error, ProcessError)
    assert str(error).startswith(message)


def test_a_fatal_error_of_the_client_ends_the_worker() -> None:
    error = fetch_errors.fatal("t/0", KafkaError(KafkaError._STATE, "fenced", fatal=True))
    assert isinstance(error, ProcessError)
    assert "t/0: fetching failed for good: fenced" in str(error)


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._AUTHENTICATION,
        KafkaError.NOT_LEADER_FOR_PARTITION,
    ],
)
def test_a_broker_that_is_away_is_waited_for(code: int) -> None:
    assert fetch_errors.fatal("t/0", KafkaError(code)) is None


@pytest.mark.parametrize("code", [KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE])
def test_a_position_outside_the_topic_says_what_the_topic_holds(code: int) -> None:
    error = KafkaError(code)
    assert fetch_errors.is_position(error)
    assert not fetch_errors.is_end(error)
    refused = fetch_errors.refused("t/0", 3, (6, 10), error)
    assert isinstance(refused, PositionRefused)
    assert "t/0: the stored position 3 is not in the topic, the topic holds 6 to 10" in str(refused)
    assert "could not be asked" in str(fetch_errors.refused("t/0", 3, None, error))


def test_the_end_of_a_partition_is_no_error() -> None:
    assert fetch_errors.is_end(KafkaError(KafkaError._PARTITION_EOF))
