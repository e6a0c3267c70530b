"""Records in, a verdict on each out: valid ones into their topic unchanged, the others into the dead letters.

Nothing is answered before the broker has acknowledged it, so whoever hears `accepted` or `rejected` may forget the
record, and whoever hears `unknown` sends it again (with the same eventId, silver keeps it once).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from infra.errors import ContractError
from schemas.registry import DEAD_LETTER_TOPIC
from schemas.topic import EventTopic
from streams.dead_letters import DeadLetter
from streams.intake.acknowledged import Receipt, Record
from streams.intake.routing import Router

Status = Literal["accepted", "rejected", "unknown"]
Send = Callable[[Sequence[Record]], Awaitable[list[Receipt]]]


class Verdict(msgspec.Struct, omit_defaults=True):
    """What became of one record. A rejected one has the reason and the failing field, an accepted one its position,
    unless it is in the collector's spool, on its way to Kafka.
    """

    index: int
    status: Status
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    reason: str | None = None
    field: str | None = None
    detail: str | None = None


class Answer(msgspec.Struct):
    """The verdicts of one body, in its order."""

    accepted: int
    rejected: int
    unknown: int
    events: list[Verdict]


async def take(
    records: Sequence[bytes], topic: EventTopic | None, router: Router, send: Send, max_event_bytes: int
) -> Answer:
    """Judge, produce, and wait for the broker."""
    verdicts: list[Verdict] = []
    produced: list[Record] = []
    for index, raw in enumerate(records):
        try:
            _check_size(raw, max_event_bytes)
            of, event = router.route(raw, topic)
        except ContractError as error:
            verdicts.append(Verdict(index, "rejected", None, None, None, error.reason, error.field, error.detail))
            produced.append(Record(DEAD_LETTER_TOPIC.name, None, dead_letter(raw, error, topic, max_event_bytes)))
        else:
            verdicts.append(Verdict(index, "accepted", of.name))
            produced.append(Record(of.name, event.key.encode(), raw))
    for verdict, receipt in zip(verdicts, await send(produced), strict=True):
        if receipt.error is not None:
            verdict.status, verdict.detail = "unknown", f"not acknowledged: {receipt.error}"
            verdict.reason = verdict.field = None
        elif verdict.status == "accepted" and receipt.offset >= 0:
            verdict.partition, verdict.offset = receipt.partition, receipt.offset
    count = Counter(verdict.status for verdict in verdicts)
    return Answer(count["accepted"], count["rejected"], count["unknown"], verdicts)


def dead_letter(raw: bytes, error: ContractError, topic: EventTopic | None, max_event_bytes: int) -> bytes:
    """The announcement of a record that never got into an event topic, with its bytes.

    A record over the size limit keeps only its beginning: a broker would not take it whole.
    """
    cut = len(raw) > max_event_bytes
    return msgspec.json.encode(
        DeadLetter(
            source="collector",
            at=datetime.now(UTC),
            topic=topic.name if topic else None,
            reason=error.reason,
            field=error.field,
            detail=error.detail,
            value=raw[:max_event_bytes],
            size=len(raw) if cut else None,
        )
    )


def _check_size(raw: bytes, limit: int) -> None:
    if len(raw) > limit:
        detail = f"expected at most {limit} bytes, got {len(raw)}; only the beginning is kept"
        raise ContractError(reason="too_large", detail=detail)
