"""From what players send to reports: the bodies, queries and headers that carry CMCD.

event mode      POST, `application/cmcd`: one report a line; a line end after the last one may be there or not
request mode    the keys beside a request: `?CMCD=` of its URL, or the headers CMCD-Object, -Request, -Session, -Status
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from infra.errors import ContractError
from schemas.cmcd.dictionary import Value, parse
from schemas.cmcd.keys import KEYS, VERSION_1, is_custom, read
from schemas.events.cmcd import CmcdEvent, CmcdReport, CmcdRequest

HEADERS = ("cmcd-object", "cmcd-request", "cmcd-session", "cmcd-status")
REQUEST_TARGET = "request"
"""Target of reports in request mode where the URL names none: their running numbers are other ones."""
MAX_STAMP_MS = 253_402_300_799_999


def lines(body: bytes) -> list[bytes]:
    """The reports of an event-mode body, without the empty lines."""
    return [line for line in (raw.strip(b" \t\r") for raw in body.split(b"\n")) if line]


def of_headers(headers: Mapping[str, str]) -> bytes | None:
    """The report in the CMCD headers of a request, as one dictionary; None if there is none."""
    parts = [text for name in HEADERS if (text := headers.get(name, "").strip(" \t,"))]
    return ",".join(parts).encode("latin-1") if parts else None


def read_report(line: bytes, mode: type[CmcdReport], target: str, received_at: datetime) -> CmcdReport:
    """One report as the contract has it; `mode` is CmcdEvent or CmcdRequest.

    `received_at` stands in for the time that reports of version 1 don't carry. Raises ContractError: `not_cmcd` for
    what is no dictionary, `missing_field` without a session id.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise ContractError(reason="not_cmcd", detail=f"expected text in UTF-8: {error}") from None
    members = parse(text)
    deviations: list[str] = []
    fields: dict[str, Any] = {}
    custom: dict[str, str] = {}
    at = received_at
    for name, value in members.items():
        if name == "ts":
            at = _stamp(value, received_at, deviations)
        elif (key := KEYS.get(name)) is None:
            custom[name] = _as_text(value)
            if not is_custom(name):
                deviations.append(f"{name}: expected a key of the specification, or a custom one with a hyphen")
        else:
            reading = read(key, value)
            if reading.value is not None:
                fields[key.field] = reading.value
            if reading.deviation:
                deviations.append(f"{name}: {reading.deviation}")
    deviations += _missing(members, mode)
    if not fields.get("session_id"):
        detail = "expected a session id (sid), without which a report can't be assigned"
        if mode is CmcdEvent:
            detail += "; dash.js sends it only when it is listed in enabledKeys"
        raise ContractError(reason="missing_field", detail=detail, field="sid")
    target = target or (REQUEST_TARGET if mode is CmcdRequest else "")
    number = fields.get("seq")
    return mode(
        timestamp=at,
        event_id=None if number is None else f"{fields['session_id']}/{target}/{number}",
        target=target,
        report=text,
        deviations="; ".join(deviations) or None,
        custom_keys=custom or None,
        **fields,
    )


def _stamp(value: Value, received_at: datetime, deviations: list[str]) -> datetime:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_STAMP_MS:
        return datetime.fromtimestamp(value // 1000, UTC).replace(microsecond=value % 1000 * 1000)
    deviations.append(f"ts: expected Unix time in ms, got {str(value)[:40]!r}")
    return received_at


def _missing(members: Mapping[str, Value], mode: type[CmcdReport]) -> list[str]:
    """Keys that the specification wants and that are not there, and those of a later version than the report's."""
    told = []
    if mode is CmcdEvent:
        told += [f"{name}: expected in event mode, got none" for name in ("e", "ts", "sn") if name not in members]
    if members.get("v", 1) == 1:
        later = sorted(name for name in members if (name in KEYS or name == "ts") and name not in VERSION_1)
        told += [f"{name}: expected v=2 for this key, got version 1" for name in later]
    return told


def _as_text(value: Value) -> str:
    if isinstance(value, list):
        return " ".join(_as_text(item) for item, _ in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.hex() if isinstance(value, bytes) else str(value)
