"""What the scanner goes by, derived from a topic's structs: fields, their types, what each kind of event may have.

Where a struct says something that the scanner has no rule for (a pattern, a list, a check of its own), the field or
the whole kind is left to the struct.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import inspect
from numpy.typing import NDArray

from schemas.columnar.vocabulary import KEYS, KINDS, LISTED, Vocabulary, vocabulary
from schemas.event import Event
from schemas.topic import EventTopic

KIND, TEXT, INTEGER, NUMBER, FLAG, STAMP, PAIRS, OTHER = range(8)
"""What a field's column holds: moments as microseconds since 1970, of PAIRS (texts by name) and OTHER the JSON."""
ALLOWED, NULLABLE = 1, 2
INT64 = np.iinfo(np.int64)


class Rules(NamedTuple):
    """The tables that compiled code takes. c: field, k: kind of event; lists of fields end with -1."""

    words: Vocabulary
    type: NDArray[np.int64]  # [c]; OTHER: left to the struct
    is_listed: NDArray[np.bool_]  # [c]: only the words of LISTED + c
    low: NDArray[np.int64]  # [c]: bounds of integers
    high: NDArray[np.int64]  # [c]
    slot: NDArray[np.int64]  # [c]: row of the output for its type, -1: not asked for
    allowed: NDArray[np.uint8]  # [k, c]: ALLOWED, NULLABLE
    needed: NDArray[np.int64]  # [k, :]: fields without which it is none, or is left to the struct
    empty: NDArray[np.int64]  # [k, :]: text fields that are "" when absent
    keys: NDArray[np.int64]  # [k, :]: the first with a text is the key
    may_have_more: NDArray[np.bool_]  # [k]: whether fields that it does not name are kept
    places: NDArray[np.int64]  # fields of: timestamp, sentAt, receivedAt, eventId


@dataclass(frozen=True)
class Field:
    """One column of a topic."""

    name: str
    wire: str
    type: int
    slot: int
    is_plain: bool


class _Type(NamedTuple):
    """What one struct says of a field."""

    kind: int
    nullable: bool
    listed: frozenset[str] | None = None
    low: int = INT64.min
    high: int = INT64.max
    is_plain: bool = True


def fields_of(topic: EventTopic, wanted: frozenset[str] | None) -> dict[str, Field]:
    """Snake-case name → field, of all kinds together; those not wanted have slot -1."""
    types: dict[str, int] = {}
    wires: dict[str, str] = {}
    odd: set[str] = set()
    for event in topic.events:
        for name, wire, of in _typed(event):
            types[name], wires[name] = of.kind, wire
            if not of.is_plain:
                odd.add(name)
    used: dict[int, int] = {}
    fields = {}
    for name, kind in types.items():
        slot = -1
        if wanted is None or name in wanted or name == "event_id":
            slot = used.get(family(kind), 0)
            used[family(kind)] = slot + 1
        fields[name] = Field(name, wires[name], kind, slot, name not in odd)
    return fields


def family(kind: int) -> int:
    """The type whose array of outputs a field is in: texts of every sort share one, and so do integers and stamps."""
    return {PAIRS: TEXT, OTHER: TEXT, STAMP: INTEGER}.get(kind, kind)


def rules_of(topic: EventTopic, fields: dict[str, Field]) -> Rules:
    """The tables of a topic; field c is the c-th of `fields`."""
    place = {name: number for number, name in enumerate(fields)}
    count, kinds = len(fields), len(topic.events)
    low, high = np.full(count, INT64.min), np.full(count, INT64.max)
    listed: list[list[frozenset[str]]] = [[] for _ in fields]
    allowed = np.zeros((kinds, count), np.uint8)
    needed: list[list[int]] = []
    empty: list[list[int]] = []
    for number, event in enumerate(topic.events):
        for name, _, of in _typed(event):
            c = place[name]
            allowed[number, c] = ALLOWED | (NULLABLE if of.nullable else 0)
            low[c], high[c] = max(low[c], of.low), min(high[c], of.high)
            listed[c] += [of.listed] if of.listed is not None else []
        defaults = {f.name: f.default for f in msgspec.structs.fields(event)}
        needed.append([place[name] for name, default in defaults.items() if default not in (None, "")])
        empty.append([place[name] for name, default in defaults.items() if default == ""])
        if _checks_itself(event):
            allowed[number] = 0
    # In this order: word c is the name of field c.
    words = [(KEYS, field.wire, c) for c, field in enumerate(fields.values())]
    words.append((KEYS, _tag_field(topic), count))
    words += [(KINDS, tag, number) for tag, number in topic.rank.items()]
    for c, lists in enumerate(listed):
        # What all kinds take that list their values; the others take any.
        words += [(LISTED + c, word, c) for word in sorted(lists[0].intersection(*lists))] if lists else []
    return Rules(
        words=vocabulary(words),
        type=np.array([*(f.type if f.is_plain else OTHER for f in fields.values()), KIND], np.int64),
        is_listed=np.array([bool(lists) for lists in listed], np.bool_),
        low=low,
        high=high,
        slot=np.array([field.slot for field in fields.values()], np.int64),
        allowed=allowed,
        needed=_padded(needed),
        empty=_padded(empty),
        keys=_padded([[place[name] for name in event.key_fields] for event in topic.events]),
        may_have_more=np.array([not e.__struct_config__.forbid_unknown_fields for e in topic.events], np.bool_),
        places=np.array([place[name] for name in ("timestamp", "sent_at", "received_at", "event_id")], np.int64),
    )


def _padded(lists: list[list[int]]) -> NDArray[np.int64]:
    longest = max(map(len, lists)) + 1
    return np.array([one + [-1] * (longest - len(one)) for one in lists], np.int64)


def _tag_field(topic: EventTopic) -> str:
    return str(topic.events[0].__struct_config__.tag_field)


def _checks_itself(event: type[Event]) -> bool:
    """Whether the struct has code of its own that may turn a record away, beside the envelope's rule on keys."""
    return event.__post_init__ is not Event.__post_init__


def _typed(event: type[Event]) -> Iterator[tuple[str, str, _Type]]:
    """Name, wire name and type of each field."""
    described = inspect.type_info(event)
    assert isinstance(described, inspect.StructType)
    for field in described.fields:
        yield field.name, field.encode_name, _type(field.type)


def _type(said: inspect.Type) -> _Type:
    while isinstance(said, inspect.Metadata):
        said = said.type
    if isinstance(said, inspect.UnionType):
        arms = [arm for arm in said.types if not isinstance(arm, inspect.NoneType)]
        one = _type(arms[0]) if len(arms) == 1 else _Type(OTHER, True, is_plain=False)
        return one._replace(nullable=len(arms) < len(said.types))
    match said:
        case inspect.LiteralType(values) if all(isinstance(value, str) for value in values):
            return _Type(TEXT, False, frozenset(map(str, values)))
        case inspect.IntType(gt, low, lt, high, multiple):
            low, high = INT64.min if low is None else low, INT64.max if high is None else high
            return _Type(INTEGER, False, None, low, high, is_plain=gt is lt is multiple is None)
        case inspect.DateTimeType(tz):
            return _Type(STAMP, False, is_plain=tz is True)
        case inspect.DictType(inspect.StrType() as name, inspect.StrType() as value):
            return _Type(PAIRS, False, is_plain=_is_free(name) and _is_free(value) and _is_free(said))
        case inspect.StrType():
            return _Type(TEXT, False, is_plain=_is_free(said))
        case inspect.FloatType():
            return _Type(NUMBER, False, is_plain=_is_free(said))
        case inspect.BoolType():
            return _Type(FLAG, False)
    return _Type(OTHER, False, is_plain=False)


def _is_free(said: inspect.Type) -> bool:
    """Whether nothing is said beyond the type itself."""
    bounds = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")
    return all(getattr(said, name, None) is None for name in bounds)
