"""A mapping file: which events a row becomes, and where their fields come from.

    [all]                                        # fields of every event; how a field is written: fields.py
    sessionId = { column = "session" }
    contentId = { column = "video" }
    timestamp = { column = "started", time = "unix_s" }

    [[event]]                                    # one row may become several events, in this order
    type = "play"

    [[event]]
    type = "stall_start"
    when = { column = "stalled", is = ["yes"] }  # only of such rows; `not` instead of `is` for all others
    timestamp = { column = "stalled_at", time = "unix_s" }

Beside these: `delimiter = ";"` of a CSV, `id = "row_uuid"`, the column that identifies a row (otherwise the file and
the row's number do), and `topic = "..."` in an event whose name two topics know.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from infra.errors import ContractError, SettingsError
from schemas.derive import event_columns, wire_name
from schemas.registry import EVENT_TOPICS
from schemas.topic import EventTopic
from streams.intake.bulk import rows as files
from streams.intake.bulk.fields import Field, parse
from streams.intake.bulk.rows import Row


class Made(NamedTuple):
    """An event by the wire's names, or why there is none."""

    topic: EventTopic
    event: dict[str, Any]
    error: ContractError | None = None


class Unit(NamedTuple):
    """What belongs together, e.g. a session: its events come from rows up to number `row` (from 1)."""

    row: int
    identity: str
    """Names it among all units of its file; the same in every import."""
    events: list[Made]


class Mapping(Protocol):
    """Rows in, events out."""

    def units(self, path: Path) -> Iterator[Unit]:
        """The units of a file in its order. Raises SettingsError when the file is no such one."""


@dataclass(frozen=True)
class EventRecipe:
    """One event that a row may become."""

    topic: EventTopic
    event_type: str
    fields: tuple[Field, ...]
    column: str | None = None
    values: frozenset[str] = frozenset()
    is_negated: bool = False

    def applies(self, row: Row) -> bool:
        return self.column is None or ((str(row.get(self.column, "")) in self.values) != self.is_negated)

    def make(self, row: Row) -> Made:
        event: dict[str, Any] = {"eventType": self.event_type}
        try:
            for field in self.fields:
                if (value := field.of(row)) is not None:
                    event[field.name] = value
        except ContractError as error:
            return Made(self.topic, event, error)
        return Made(self.topic, event)


@dataclass(frozen=True)
class TomlMapping:
    """The mapping of a file, each row by itself."""

    name: str
    recipes: tuple[EventRecipe, ...]
    delimiter: str = ","
    id_column: str | None = None

    def units(self, path: Path) -> Iterator[Unit]:
        # A row of a table has every column; one of NDJSON says only what it knows.
        is_table = files.format_of(path) != "ndjson"
        for number, row in enumerate(files.read(path, self.delimiter), 1):
            if is_table and number == 1 and (absent := sorted(self._columns() - set(row))):
                msg = f"{path}: {self.name} asks for columns {', '.join(absent)}; there are {', '.join(sorted(row))}"
                raise SettingsError(msg)
            made = [recipe.make(row) for recipe in self.recipes if recipe.applies(row)]
            identity = str(row.get(self.id_column) or number) if self.id_column else str(number)
            yield Unit(number, identity, made)

    def _columns(self) -> set[str]:
        named = {self.id_column, *(recipe.column for recipe in self.recipes)}
        named |= {f.column for recipe in self.recipes for field in recipe.fields for f in (field, *field.plus)}
        return {name for name in named if name is not None}


def load(path: Path) -> TomlMapping:
    """Read a mapping file. Raises SettingsError that names the place."""
    try:
        spec = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"{path}: expected a mapping in TOML: {error}"
        raise SettingsError(msg) from None
    if unknown := set(spec) - {"all", "event", "delimiter", "id"}:
        msg = f"{path}: unknown {', '.join(sorted(unknown))}; expected all, event, delimiter, id"
        raise SettingsError(msg)
    if not isinstance(spec.get("event"), list) or not spec["event"]:
        msg = f"{path}: expected at least one [[event]]"
        raise SettingsError(msg)
    try:
        recipes = tuple(_recipe(spec.get("all", {}), event) for event in spec["event"])
    except SettingsError as error:
        msg = f"{path}: {error}"
        raise SettingsError(msg) from None
    return TomlMapping(path.name, recipes, spec.get("delimiter", ","), spec.get("id"))


def _recipe(common: dict[str, Any], spec: dict[str, Any]) -> EventRecipe:
    event_type, named, when = spec.get("type"), spec.get("topic"), spec.get("when", {})
    topics = [t for t in EVENT_TOPICS.values() if event_type in t.rank and named in (None, t.name)]
    if len(topics) != 1:
        known = ", ".join(sorted({name for topic in EVENT_TOPICS.values() for name in topic.rank}))
        several = f" (say topic: {', '.join(t.name for t in topics)})" if topics else f"; known are {known}"
        msg = f"expected the type of one event, got {event_type!r}{several}"
        raise SettingsError(msg)
    if when and not ({"column"} < set(when) <= {"column", "is", "not"} and len(when) == 2):
        msg = f"{event_type}: expected when = {{ column = ..., is = [...] }} or `not`, got {when!r}"
        raise SettingsError(msg)
    [topic] = topics
    types = _types(topic, str(event_type))
    specs = {**common, **{name: field for name, field in spec.items() if name not in ("type", "topic", "when")}}
    return EventRecipe(
        topic=topic,
        event_type=str(event_type),
        fields=tuple(parse(name, field, types.get(name)) for name, field in specs.items()),
        column=when.get("column"),
        values=frozenset(_texts(when.get("is", when.get("not", ())))),
        is_negated="not" in when,
    )


def _types(topic: EventTopic, event_type: str) -> dict[str, Any]:
    """Wire name → logical type, of the fields that this event's contract knows."""
    event = next(event for event in topic.events if event.__struct_config__.tag == event_type)
    known = event.__struct_fields__
    return {wire_name(event, column.name): column.type for column in event_columns(topic) if column.name in known}


def _texts(values: Iterable[Any]) -> list[str]:
    return [str(value) for value in values]
