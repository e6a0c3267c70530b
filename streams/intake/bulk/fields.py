"""One field of a mapping: where its value comes from, and how it becomes what the contract says it is.

contentId  = { column = "video" }                                a column, as the contract's type
deviceType = { value = "web" }                                   the same for all rows
positionMs = { column = "pos", scale = 1000 }                    seconds in the file, milliseconds in the contract
isLive     = { column = "kind", map = { LIVE = true }, default = false }
country    = { column = "cc", missing = ["??", "-1"] }           values that mean nothing; empty ones always do
timestamp  = { column = "ts", time = "unix_s" }                  unix_s, unix_ms, unix_us, iso or strptime's form
timestamp  = { column = "at", time = "%d.%m.%Y %H:%M", zone = "Europe/Berlin" }
timestamp  = { column = "ts", time = "unix_s", plus = [{ column = "startup_s", scale = 1000 }] }    ms, added
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from infra.errors import ContractError, SettingsError
from schemas.table import Type
from streams.intake.bulk.rows import Row

UNIX = {"unix_s": 1, "unix_ms": 1_000, "unix_us": 1_000_000}
KEYS = frozenset({"column", "value", "scale", "map", "default", "missing", "time", "zone", "plus"})
WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True)
class Field:
    """The recipe of one field, called `name` on the wire. `type` is the contract's; it knows none of other fields."""

    name: str
    type: Type | None
    column: str | None = None
    value: Any = None
    scale: float = 1
    map: dict[str, Any] = field(default_factory=dict)
    default: Any = None
    missing: frozenset[str] = frozenset({""})
    time: str = "iso"
    zone: ZoneInfo | None = None
    plus: tuple[Field, ...] = ()

    def of(self, row: Row) -> Any:
        """The field's value for this row; None leaves it out. Raises ContractError when the row has no fitting one."""
        raw = self.value if self.column is None else row.get(self.column)
        if raw is None or str(raw) in self.missing:
            raw = self.default
        elif self.map:
            raw = self.map.get(str(raw), self.default)
        if raw is None:
            return None
        try:
            value = self._convert(raw)
            for part in self.plus:
                value += timedelta(milliseconds=part.of(row) or 0)
        except (ValueError, TypeError, OverflowError) as error:
            msg = f"column {self.column!r} holds {raw!r}, which is no {self.type or 'value'}: {error}"
            raise ContractError("invalid_field", msg, self.name) from None  # noqa: EM101 - a reason code
        return value

    def _convert(self, raw: Any) -> Any:
        match self.type:
            case "timestamp":
                return self._moment(raw)
            case "long" | "int":
                return round(float(raw) * self.scale)
            case "double":
                return float(raw) * self.scale
            case "boolean" if not isinstance(raw, bool):
                if str(raw).strip().lower() not in WORDS:
                    msg = f"expected one of {', '.join(WORDS)}"
                    raise ValueError(msg)
                return WORDS[str(raw).strip().lower()]
            case "string":
                return str(raw)
        return raw

    def _moment(self, raw: Any) -> datetime:
        if isinstance(raw, datetime):
            at = raw
        elif self.time in UNIX:
            return datetime.fromtimestamp(0, UTC) + timedelta(seconds=float(raw) / UNIX[self.time])
        elif self.time == "iso":
            at = datetime.fromisoformat(str(raw))
        else:
            at = datetime.strptime(str(raw), self.time)  # noqa: DTZ007 - its zone follows
        if at.tzinfo is None:
            if self.zone is None:
                msg = 'it names no offset; say `zone`, e.g. zone = "UTC"'
                raise ValueError(msg)
            at = at.replace(tzinfo=self.zone)
        return at.astimezone(UTC)


def parse(name: str, spec: Any, type_: Type | None) -> Field:
    """A field of a mapping file. Raises SettingsError that says what is wrong with it."""
    if not isinstance(spec, dict) or ("column" in spec) == ("value" in spec) or set(spec) - KEYS:
        others = ", ".join(sorted(KEYS - {"column", "value"}))
        msg = f"{name}: expected {{ column = ... }} or {{ value = ... }}, beside it only {others}; got {spec!r}"
        raise SettingsError(msg)
    try:
        zone = ZoneInfo(spec["zone"]) if "zone" in spec else None
    except (ZoneInfoNotFoundError, ValueError) as error:
        msg = f"{name}: expected the name of a time zone, e.g. Europe/Berlin, got {spec['zone']!r}: {error}"
        raise SettingsError(msg) from None
    return Field(
        name=name,
        type=type_,
        column=spec.get("column"),
        value=spec.get("value"),
        scale=spec.get("scale", 1),
        map=spec.get("map", {}),
        default=spec.get("default"),
        missing=frozenset({"", *map(str, spec.get("missing", ()))}),
        time=spec.get("time", "iso"),
        zone=zone,
        plus=tuple(parse(f"{name}.plus", part, "double") for part in spec.get("plus", ())),
    )
