"""What an error among the records means: the end of a partition, a broker that is away, or the end of the worker."""

from __future__ import annotations

from typing import Any

import confluent_kafka as ck

from infra.errors import PlaylakeError, PositionRefused, ProcessError

_POSITION = {ck.KafkaError._AUTO_OFFSET_RESET, ck.KafkaError.OFFSET_OUT_OF_RANGE, ck.KafkaError._LOG_TRUNCATION}
_TOPIC = {
    ck.KafkaError.UNKNOWN_TOPIC_OR_PART,
    ck.KafkaError.UNKNOWN_TOPIC_ID,
    ck.KafkaError._UNKNOWN_TOPIC,
    ck.KafkaError._UNKNOWN_PARTITION,
}
_FORBIDDEN = {ck.KafkaError.TOPIC_AUTHORIZATION_FAILED, ck.KafkaError.CLUSTER_AUTHORIZATION_FAILED}


def is_end(error: Any) -> bool:
    """Whether it says that a partition is read up to its end."""
    return bool(error.code() == ck.KafkaError._PARTITION_EOF)


def is_position(error: Any) -> bool:
    """Whether it says that the position is not in the topic."""
    return error.code() in _POSITION


def refused(place: str, position: int | None, held: tuple[int, int] | None, error: Any) -> PositionRefused:
    """The error for a position that is not in the topic. `held`: first and next offset of what is, where known."""
    holds = f"the topic holds {held[0]} to {held[1]}" if held else "what the topic holds could not be asked"
    msg = (
        f"{place}: the stored position {position} is not in the topic, {holds} ({error.str()}): records were deleted "
        "before they were applied, or the topic is another one. To go on without them, delete the stream's state topic."
    )
    return PositionRefused(msg)


def fatal(place: str, error: Any) -> PlaylakeError | None:
    """The error that ends the worker; None when librdkafka tries again by itself, for as long as it takes."""
    if error.code() in _TOPIC:
        return ProcessError(f"{place}: the topic or partition that is assigned does not exist ({error.str()})")
    if error.code() in _FORBIDDEN:
        return ProcessError(f"{place}: expected the right to READ the topic, the broker refuses it ({error.str()})")
    if error.fatal():
        return ProcessError(f"{place}: fetching failed for good: {error.str()}")
    return None
