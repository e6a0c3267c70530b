"""The wire of CMCD: an RFC 8941 (9651) dictionary as text, read leniently.

A reader of our own, because a strict one loses the whole report over one character. Beyond the RFC it takes what
players and their libraries let through: characters that are not ASCII inside strings (titles have them), keys in
capitals, decimals of any length, a line end after the last member. What a strict reader takes, it reads the same.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from infra.errors import ContractError

MAX_MEMBERS = 256


class Token(str):
    """A bare word, e.g. `ps`; strings come as str."""

    __slots__ = ()


Value = Any
"""int, float, bool, str, Token, bytes; or a list of (value, parameters) for an inner list."""

_KEY = re.compile(r"[A-Za-z*][A-Za-z0-9_.*-]*")
_BARE = re.compile(
    r'"(?P<string>(?:[^"\\\x00-\x1f\x7f]|\\["\\])*)"'
    r"|(?P<number>-?\d{1,15}(?:\.\d+)?)(?![\d.])"
    r"|(?P<token>[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*)"
    r"|\?(?P<boolean>[01])"
    r"|@(?P<date>-?\d{1,15})(?!\d)"
    r"|:(?P<binary>[A-Za-z0-9+/=]*):"
    r'|%"(?P<display>(?:[^"%\x00-\x1f\x7f]|%[0-9a-f]{2})*)"'
)
_COMMA = re.compile(r"[ \t]*(?:,[ \t]*)?")
_ESCAPE = re.compile(r"\\(.)")
_OCTET = re.compile(rb"%([0-9a-f]{2})")


def parse(text: str) -> dict[str, Value]:
    """The members of one dictionary; parameters of a member itself are dropped. Raises ContractError (`not_cmcd`)."""
    members: dict[str, Value] = {}
    at, end = 0, len(text.rstrip(" \t\r\n"))
    at = len(text) - len(text.lstrip(" \t"))
    if at >= end:
        raise _wrong(text, 0, "it is empty")
    while at < end:
        key = _KEY.match(text, at)
        if key is None:
            raise _wrong(text, at, "a key was expected")
        name, at = key[0].lower(), key.end()
        value: Value = True
        if at < end and text[at] == "=":
            value, at = _list(text, at + 1) if text[at + 1 : at + 2] == "(" else _bare(text, at + 1)
        members.pop(name, None)  # of two members with one name the last counts, in its own place
        members[name] = value
        if at < end and text[at] == ";":
            _, at = _parameters(text, at)
        if len(members) > MAX_MEMBERS:
            raise _wrong(text, at, f"there are more than {MAX_MEMBERS} members")
        if at < end:
            comma = _COMMA.match(text, at)
            if comma is None or "," not in comma[0] or comma.end() >= end:
                raise _wrong(text, at, "a comma and another member were expected")
            at = comma.end()
    return members


def _list(text: str, at: int) -> tuple[Value, int]:
    """`(1000;v 64;a)` from its bracket on."""
    items: list[tuple[Value, dict[str, Value]]] = []
    at += 1
    while True:
        while text[at : at + 1] == " ":
            at += 1
        if text[at : at + 1] == ")":
            return items, at + 1
        value, at = _bare(text, at)
        parameters: dict[str, Value] = {}
        if text[at : at + 1] == ";":
            parameters, at = _parameters(text, at)
        if text[at : at + 1] not in (" ", ")"):
            raise _wrong(text, at, "a blank or the end of the list was expected")
        items.append((value, parameters))


def _parameters(text: str, at: int) -> tuple[dict[str, Value], int]:
    parameters: dict[str, Value] = {}
    while text[at : at + 1] == ";":
        at += 1
        while text[at : at + 1] == " ":
            at += 1
        key = _KEY.match(text, at)
        if key is None:
            raise _wrong(text, at, "the name of a parameter was expected")
        at = key.end()
        value: Value = True
        if text[at : at + 1] == "=":
            value, at = _bare(text, at + 1)
        parameters[key[0].lower()] = value
    return parameters, at


def _bare(text: str, at: int) -> tuple[Value, int]:
    found = _BARE.match(text, at)
    if found is None:
        raise _wrong(text, at, "a value was expected")
    kind, raw, at = found.lastgroup, found[found.lastgroup or 0], found.end()
    match kind:
        case "number":
            return (float(raw) if "." in raw else int(raw)), at
        case "token":
            return Token(raw), at
        case "string":
            return (_ESCAPE.sub(r"\1", raw) if "\\" in raw else raw), at
        case "boolean":
            return raw == "1", at
        case "date":
            return int(raw), at
        case "binary":
            try:
                return base64.b64decode(raw + "=" * (-len(raw) % 4)), at
            except binascii.Error:
                raise _wrong(text, at, "base64 between colons was expected") from None
        case _:
            octets = _OCTET.sub(lambda octet: bytes([int(octet[1], 16)]), raw.encode())
            return octets.decode(errors="replace"), at


def _wrong(text: str, at: int, what: str) -> ContractError:
    seen = text[max(0, at - 10) : at + 20]
    detail = f'expected keys and values like e=ps,sid="...",sn=1: at character {at} {what}: {seen!r}'
    return ContractError(reason="not_cmcd", detail=detail)
