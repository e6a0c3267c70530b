"""Records in, a verdict on each out: valid ones into their topic, the others into the dead letters.

Nothing is answered before it is kept (by Kafka, or by the spool), so whoever hears `accepted`, `duplicate` or
`rejected` may forget the record, and whoever hears `unknown` sends it again (with the same eventId, it is kept once).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import msgspec

from infra.errors import ContractError
from infra.settings import Settings
from schemas.registry import DEAD_LETTER_TOPIC, EVENT_TOPICS
from schemas.topic import EventTopic
from streams.dead_letters import DeadLetter
from streams.intake.acknowledged import Receipt, Record
from streams.intake.additions import Additions
from streams.intake.bodies import is_deeper
from streams.intake.recent import RecentIds
from streams.intake.routing import Router

Send = Callable[[Sequence[Record]], Awaitable[list[Receipt]]]
"""Keeps records, e.g. `DurableProducer.send`."""
Status = Literal["accepted", "duplicate", "rejected", "unknown"]
SLICE = 250
"""So many records are judged before other requests get their turn: about 3 ms."""


class Verdict(msgspec.Struct, omit_defaults=True, gc=False):
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
    """The verdicts of one body, in its order, and how many there are of each."""

    accepted: int
    duplicate: int
    rejected: int
    unknown: int
    events: list[Verdict]


class Origin(NamedTuple):
    """What a request says about all of its records. `topic`: the one that the client named, if it did."""

    topic: EventTopic | None
    allowed: AbstractSet[str]
    additions: Additions


class Sent(NamedTuple):
    """A record that is on its way, and whose verdict depends on what becomes of it. `key` is 0 for a dead letter."""

    verdict: Verdict
    raw: bytes
    record: Record
    key: int


class Judge:
    """Judges records, sends them, and answers for each."""

    def __init__(self, settings: Settings, send: Send) -> None:
        self._max_bytes = settings.collector_max_event_bytes
        self._max_depth = settings.collector_max_depth
        self._router = Router(EVENT_TOPICS)
        self._recent = RecentIds(settings.collector_remembered_ids)
        self._keep = send

    async def take(self, records: Sequence[bytes], origin: Origin) -> Answer:
        """Judge, send, and wait until all is kept."""
        verdicts: list[Verdict] = []
        sent: list[Sent] = []
        firsts: dict[int, Verdict] = {}
        """Id → the first record of this body that has it."""
        repeated: list[tuple[Verdict, Verdict]] = []
        for begin in range(0, len(records), SLICE):
            if begin:
                await asyncio.sleep(0)
            for index, raw in enumerate(records[begin : begin + SLICE], begin):
                try:
                    topic, record, key = self._judge(raw, origin)
                except ContractError as error:
                    verdict = rejected(index, error)
                    sent.append(Sent(verdict, raw, self._letter(raw, error, origin.topic), 0))
                else:
                    verdict = Verdict(index, "accepted", topic)
                    if key in self._recent:
                        verdict.status = "duplicate"
                    elif key in firsts:
                        repeated.append((verdict, firsts[key]))
                    else:
                        firsts[key] = verdict
                        sent.append(Sent(verdict, raw, record, key))
                verdicts.append(verdict)
        await self._send(sent, origin)
        for verdict, first in repeated:
            _follow(verdict, first)
        return answer(verdicts)

    async def keep_unreadable(self, body: bytes, error: ContractError, topic: EventTopic | None) -> Receipt:
        """A body in which nothing can be read, as one dead letter: a page that is closing never sees the answer."""
        (receipt,) = await self._keep([self._letter(body, error, topic)])
        return receipt

    def _judge(self, raw: bytes, origin: Origin) -> tuple[str, Record, int]:
        """Its topic, the record for Kafka, and what it is remembered by. Raises ContractError."""
        check_size(raw, self._max_bytes)
        topic, event = self._router.route(raw, origin.topic)
        if topic.name not in origin.allowed:
            detail = f"the write key is for {', '.join(sorted(origin.allowed))}; the event is for {topic.name}"
            raise ContractError(reason="topic_not_allowed", detail=detail)
        if is_deeper(raw, self._max_depth):
            detail = f"expected objects and arrays at most {self._max_depth} deep"
            raise ContractError(reason="too_deep", detail=detail)
        value, event_id = origin.additions.to(raw, event)
        return topic.name, Record(topic.name, event.key.encode(), value), hash((topic.name, event_id))

    async def _send(self, sent: Sequence[Sent], origin: Origin) -> None:
        receipts = await self._keep([one.record for one in sent])
        refused: list[Sent] = []
        for one, receipt in zip(sent, receipts, strict=True):
            if receipt.is_refused and one.key:
                error = ContractError(reason="refused_by_kafka", detail=f"{one.record.topic}: {receipt.error}")
                _reject(one.verdict, error)
                refused.append(Sent(one.verdict, one.raw, self._letter(one.raw, error, origin.topic), 0))
            elif receipt.error is not None:
                unknown(one.verdict, receipt.error)
            elif one.key:
                self._recent.add(one.key)
                if receipt.offset >= 0:
                    one.verdict.partition, one.verdict.offset = receipt.partition, receipt.offset
        if refused:
            await self._send(refused, origin)

    def _letter(self, raw: bytes, error: ContractError, topic: EventTopic | None) -> Record:
        return dead_letter(raw, error, topic, self._max_bytes)


def check_size(raw: bytes, max_bytes: int) -> None:
    """Raise ContractError for a record that is too large to be kept whole."""
    if len(raw) > max_bytes:
        detail = f"expected at most {max_bytes} bytes, got {len(raw)}; only the beginning is kept"
        raise ContractError(reason="too_large", detail=detail)


def answer(verdicts: list[Verdict]) -> Answer:
    """The verdicts, counted."""
    count = Counter(verdict.status for verdict in verdicts)
    return Answer(count["accepted"], count["duplicate"], count["rejected"], count["unknown"], verdicts)


def dead_letter(raw: bytes, error: ContractError, topic: EventTopic | None, max_bytes: int) -> Record:
    """The announcement of a record that never got into an event topic, with its bytes.

    A record over the size limit keeps only its beginning: a broker would not take it whole.
    """
    cut = len(raw) > max_bytes
    value = msgspec.json.encode(
        DeadLetter(
            source="collector",
            at=datetime.now(UTC),
            topic=topic.name if topic else None,
            reason=error.reason,
            field=error.field,
            detail=error.detail,
            value=raw[:max_bytes],
            size=len(raw) if cut else None,
        )
    )
    return Record(DEAD_LETTER_TOPIC.name, None, value)


def rejected(index: int, error: ContractError) -> Verdict:
    """The verdict on a record that broke its contract."""
    return Verdict(index, "rejected", None, None, None, error.reason, error.field, error.detail)


def _reject(verdict: Verdict, error: ContractError) -> None:
    verdict.status = "rejected"
    verdict.reason, verdict.field, verdict.detail = error.reason, error.field, error.detail


def unknown(verdict: Verdict, why: str) -> None:
    """Turn a verdict: nobody has the record."""
    verdict.status, verdict.detail = "unknown", f"not acknowledged: {why}"
    verdict.reason = verdict.field = None


def _follow(verdict: Verdict, first: Verdict) -> None:
    """A record with the id of an earlier one of the same body: kept if that one is."""
    match first.status:
        case "accepted":
            verdict.status = "duplicate"
        case _:
            verdict.status, verdict.reason, verdict.detail = first.status, first.reason, first.detail
