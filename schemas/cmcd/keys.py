"""The keys of CMCD, versions 1 and 2, as a table: derived from the contract (`schemas/events/cmcd.py`).

Values are read leniently: what can be understood is taken, what is not as specified is told (`deviations`), and what
can't be understood is left to the report's text. Nothing here turns a report away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from msgspec import Meta

from schemas.cmcd.dictionary import Token, Value
from schemas.events.cmcd import CmcdReport

EVENTS = (
    "ps", "t", "e", "rr", "bc", "b", "c", "ce", "h", "m", "um", "pe", "pc", "pr", "as", "ae", "abs", "abe", "sk",
)  # fmt: skip
STATES = ("d", "s", "p", "k", "r", "a", "w", "e", "f", "q")
"""`w` is not in the specification, but dash.js waits with it after a seek."""
VOCABULARY: dict[str, tuple[str, ...]] = {
    "e": EVENTS,
    "sta": STATES,
    "ot": ("m", "a", "v", "av", "i", "c", "tt", "k", "o"),
    "sf": ("d", "h", "e", "s", "o"),
    "st": ("v", "l", "ll"),
}
"""Key → its tokens. Another token is kept, and told."""
VERSION_1 = frozenset(
    {"br", "bl", "bs", "cid", "d", "dl", "mtp", "nor", "nrr", "ot", "pr", "rtp", "sf", "sid", "st", "su", "tb", "v"}
)
MAX_INT = 2**63 - 1


class Key(NamedTuple):
    """One key. `field` is its field in the contract; `kind` says how its value is read."""

    name: str
    field: str
    kind: str
    meaning: str
    max_length: int | None


class Reading(NamedTuple):
    """A value as the contract has it (None: it can't be used), and what was not as specified about it."""

    value: Any
    deviation: str | None = None


def _numbers(value: Value) -> list[int] | None:
    """The numbers of an inner list, or of a bare number (version 1, and some players)."""
    items = [item for item, _ in value] if isinstance(value, list) else [value]
    if not items or any(isinstance(item, bool) or not isinstance(item, int | float) for item in items):
        return None
    return [min(MAX_INT, max(-MAX_INT, round(item))) for item in items]


def _read_list(pick: Callable[[list[int]], int]) -> Callable[[Value], Reading]:
    def read(value: Value) -> Reading:
        numbers = _numbers(value)
        if numbers is None:
            return Reading(None, f"expected a list of integers, got {_seen(value)}")
        return Reading(min(MAX_INT, pick(numbers)))

    return read


def _read_int(value: Value) -> Reading:
    numbers = _numbers(value)
    if numbers is None or len(numbers) != 1:
        return Reading(None, f"expected an integer, got {_seen(value)}")
    return Reading(numbers[0], None if isinstance(value, int) else f"expected an integer, got {_seen(value)}")


def _read_decimal(value: Value) -> Reading:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Reading(None, f"expected a decimal, got {_seen(value)}")
    return Reading(float(value))


def _read_bool(value: Value) -> Reading:
    if isinstance(value, bool):
        return Reading(value)
    if str(value).lower() in ("true", "1", "false", "0"):
        return Reading(str(value).lower() in ("true", "1"), f"expected a boolean, got {_seen(value)}")
    return Reading(None, f"expected a boolean, got {_seen(value)}")


def _read_string(value: Value) -> Reading:
    if isinstance(value, str):
        return Reading(str(value), f"expected a string, got {_seen(value)}" if isinstance(value, Token) else None)
    if isinstance(value, bool | list | bytes):
        return Reading(None, f"expected a string, got {_seen(value)}")
    return Reading(str(value), f"expected a string, got {_seen(value)}")


def _read_token(value: Value) -> Reading:
    if isinstance(value, Token):
        return Reading(str(value))
    if isinstance(value, str) and value:
        return Reading(value, f"expected a token, got {_seen(value)}")
    return Reading(None, f"expected a token, got {_seen(value)}")


def _read_strings(value: Value) -> Reading:
    items = [item for item, _ in value] if isinstance(value, list) else [value]
    text = ",".join(str(item) for item in items if not isinstance(item, bool | bytes))
    as_specified = isinstance(value, list) and all(isinstance(i, str) and not isinstance(i, Token) for i in items)
    return Reading(text or None, None if as_specified else f"expected a list of strings, got {_seen(value)}")


KINDS: dict[str, Callable[[Value], Reading]] = {
    "int": _read_int,
    "decimal": _read_decimal,
    "bool": _read_bool,
    "string": _read_string,
    "token": _read_token,
    "strings": _read_strings,
    "sum": _read_list(sum),
    "min": _read_list(min),
    "max": _read_list(max),
}
"""Kind → how a value is read. Of lists by object type: bitrates add up, of buffers the emptier one counts."""


def _seen(value: Value) -> str:
    shown = " ".join(str(item) for item, _ in value) if isinstance(value, list) else value
    kind = "a list" if isinstance(value, list) else type(value).__name__.lower()
    return f"{kind} {str(shown)[:40]!r}"


def _table() -> dict[str, Key]:
    keys: dict[str, Key] = {}
    for field, hint in get_type_hints(CmcdReport, include_extras=True).items():
        if get_origin(hint) is not Annotated:
            continue
        for meta in get_args(hint)[1:]:
            if isinstance(meta, Meta) and meta.extra and "cmcd" in meta.extra:
                extra = meta.extra
                keys[extra["cmcd"]] = Key(extra["cmcd"], field, extra["kind"], extra["meaning"], extra["max_length"])
    return keys


KEYS: dict[str, Key] = _table()
"""Every key that is a field of the contract; `ts` is the event's timestamp."""


def read(key: Key, value: Value) -> Reading:
    """The value of a key as the contract has it, and what is not as specified."""
    reading = KINDS[key.kind](value)
    if reading.deviation is None and isinstance(reading.value, str):
        if key.max_length and len(reading.value) > key.max_length:
            return Reading(reading.value, f"expected at most {key.max_length} characters, got {len(reading.value)}")
        words = VOCABULARY.get(key.name)
        if words and reading.value not in words:
            return Reading(reading.value, f"expected one of {', '.join(words)}, got {reading.value[:40]!r}")
    return reading


def is_custom(name: str) -> bool:
    """Whether a key is a custom one: those have a hyphenated prefix."""
    return "-" in name.strip("-")
