"""Dead letters sent again, as they were or with a fix: `playlake deadletters replay`.

Twice changes nothing. A letter that was sent is written down in `bronze.replayed_letters` and left out the next time;
and should that record be lost, its event has the same id again (its own, else the hash of the letter's bytes), so
silver keeps it once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from infra.errors import ContractError, SettingsError
from schemas.derive import arrow_schema
from schemas.event import Event, identity
from schemas.registry import EVENT_TOPICS
from schemas.tables import DEAD_LETTERS
from schemas.tables.replays import REPLAYED_LETTERS
from schemas.topic import EventTopic
from streams.intake.routing import Router

if TYPE_CHECKING:
    from infra.settings import Settings
    from streams.intake.targets import Target

CHUNK = 500
"""Letters that are acknowledged before they are written down together."""
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True)
class Filter:
    """Which letters. `topic` is that of the letter: `dead.letters` for what a collector did not let in."""

    topic: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 10_000


@dataclass(frozen=True)
class Fix:
    """What is changed of each event: top-level fields are renamed first, then set (JSON, or else a string)."""

    renames: tuple[tuple[str, str], ...] = ()
    values: tuple[tuple[str, msgspec.Raw], ...] = ()

    @classmethod
    def parse(cls, renames: Iterable[str], values: Iterable[str]) -> Fix:
        """From `old=new` and `field=value`. Raises SettingsError."""
        return cls(
            tuple(_pair(text, "--rename old=new") for text in renames),
            tuple((name, _json(value)) for name, value in (_pair(text, "--set field=value") for text in values)),
        )

    def __str__(self) -> str:
        said = [f"rename {old}={new}" for old, new in self.renames]
        return ", ".join([*said, *(f"set {name}={bytes(value).decode()}" for name, value in self.values)])

    def apply(self, raw: bytes) -> dict[str, msgspec.Raw]:
        """The fields of a letter's bytes, put right. Raises ContractError when the bytes are no JSON object."""
        try:
            fields = _FIELDS.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            msg = f"a fix is for a JSON object: {error}"
            raise ContractError(reason="not_json", detail=msg) from None
        names = dict(self.renames)
        renamed = {names.get(name, name): value for name, value in fields.items()}
        return renamed | dict(self.values)


@dataclass(frozen=True)
class Ready:
    """A letter that is an event now."""

    letter: dict[str, Any]
    topic: str
    key: str
    event_id: str
    value: bytes

    @property
    def place(self) -> str:
        return place_of(self.letter)


@dataclass
class Result:
    """What a replay did, or would do."""

    ready: list[Ready] = field(default_factory=list)
    broken: list[tuple[str, ContractError]] = field(default_factory=list)
    """Letters that break a contract still: where, and why."""
    done_before: int = 0
    left: int = 0
    """Letters beyond the limit."""

    @property
    def by_topic(self) -> Counter[str]:
        return Counter(one.topic for one in self.ready)


def prepare(settings: Settings, wanted: Filter, fix: Fix, topic: str | None = None) -> Result:
    """What would be sent. `topic` is where to, when the event's type does not say. Raises SettingsError."""
    if topic is not None and topic not in EVENT_TOPICS:
        msg = f"--to must be one of {', '.join(sorted(EVENT_TOPICS))}, got {topic!r}"
        raise SettingsError(msg)
    named = EVENT_TOPICS[topic] if topic else None
    letters, done_before, left = _letters(settings, wanted)
    result = Result(done_before=done_before, left=left)
    router = Router()
    for letter in letters:
        try:
            result.ready.append(make_ready(letter, fix, router, named))
        except ContractError as error:
            result.broken.append((place_of(letter), error))
    return result


def make_ready(letter: dict[str, Any], fix: Fix, router: Router, named: EventTopic | None) -> Ready:
    """The event that a letter is now. Raises ContractError when it is still none."""
    raw: bytes | None = letter["value"]
    if raw is None:
        raise ContractError(reason="empty", detail="the letter has no value")
    fields = fix.apply(raw)
    # A letter of an event topic goes back there; the others go where their eventType belongs.
    topic, event = router.route(msgspec.json.encode(fields), named or EVENT_TOPICS.get(letter["topic"]))
    event_id = _event_id(raw, event)
    received: datetime = letter["received_at"].astimezone(UTC)
    added = {"eventId": event_id, "replayedFrom": place_of(letter)}
    if event.received_at is None:
        added["receivedAt"] = received.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Ready(letter, topic.name, event.key, event_id, msgspec.json.encode({**fields, **added}))


def send(settings: Settings, ready: Sequence[Ready], fix: Fix, target: Target) -> None:
    """Send the events, and write down what was acknowledged. Raises ProcessError when Kafka does not take them."""
    for chunk in _chunks(ready):
        for one in chunk:
            target.send(one.topic, one.key.encode(), one.value)
        target.finish()
        _write_down(settings, chunk, str(fix))


def place_of(letter: dict[str, Any]) -> str:
    """`topic/partition/offset`, as `list` and `show` have it."""
    return f"{letter['topic']}/{letter['partition']}/{letter['offset']}"


def _event_id(raw: bytes, event: Event) -> str:
    """The event's own id, else that of the bytes as they came: the same whatever the fix."""
    try:
        return identity(raw, event)
    except (msgspec.DecodeError, UnicodeDecodeError):  # what was broken in them is replaced by the fix
        return hashlib.blake2b(raw, digest_size=16).hexdigest()


def _letters(settings: Settings, wanted: Filter) -> tuple[list[dict[str, Any]], int, int]:
    """The letters, oldest first; how many of those asked for were sent before; how many are beyond the limit."""
    from deltalake import DeltaTable

    from infra.delta_scan import query, quoted, scan

    path = DEAD_LETTERS.path(settings.lake_root)
    if not DeltaTable.is_deltatable(path):
        return [], 0, 0
    conditions = ["true"]
    for name, operator, value in (
        ("topic", "=", wanted.topic),
        ("reason", "=", wanted.reason),
        ("received_at", ">=", wanted.since),
        ("received_at", "<", wanted.until),
    ):
        if value is not None:
            conditions.append(f"{name} {operator} {quoted(value)}")
    replayed = REPLAYED_LETTERS.path(settings.lake_root)
    place = 'topic, partition, "offset"'
    known = f"SELECT {place} FROM {scan(replayed)}" if DeltaTable.is_deltatable(replayed) else None
    asked = f"FROM {scan(path)} WHERE {' AND '.join(conditions)}"
    fresh = f"{asked} AND ({place}) NOT IN ({known})" if known else asked
    (asked_for,) = query(f"SELECT count(*) AS letters {asked}")
    (open_,) = query(f"SELECT count(*) AS letters {fresh}")
    rows = query(
        f"SELECT {place}, received_at, reason, value {fresh} ORDER BY received_at, {place} LIMIT {wanted.limit}"
    )
    return rows, asked_for["letters"] - open_["letters"], open_["letters"] - len(rows)


def _write_down(settings: Settings, sent: Sequence[Ready], fix: str) -> None:
    import pyarrow as pa
    from deltalake import write_deltalake

    now = datetime.now(UTC)
    rows = [
        {
            **{name: one.letter[name] for name in ("topic", "partition", "offset")},
            "replayed_at": now,
            "sent_to": one.topic,
            "event_id": one.event_id,
            "fix": fix,
            "replayed_date": now.date(),
        }
        for one in sent
    ]
    schema = arrow_schema(REPLAYED_LETTERS.columns)
    write_deltalake(
        REPLAYED_LETTERS.path(settings.lake_root),
        pa.Table.from_pylist(rows, schema),
        mode="append",
        partition_by=[REPLAYED_LETTERS.partition_by or ""],
    )


def _chunks(ready: Sequence[Ready]) -> Iterator[Sequence[Ready]]:
    for begin in range(0, len(ready), CHUNK):
        yield ready[begin : begin + CHUNK]


def _pair(text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        msg = f"expected {form}, got {text!r}"
        raise SettingsError(msg)
    return name, value


def _json(text: str) -> msgspec.Raw:
    """`3`, `true`, `"x"` as they are; `x` as a string."""
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return msgspec.Raw(msgspec.json.encode(text))
    return msgspec.Raw(text.encode())
