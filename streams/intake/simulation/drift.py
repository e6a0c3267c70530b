"""Devices that tell the truth in another way: a clock that is off, an app whose events left the contract behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from schemas.fact import from_ms


def clock_off(event: dict[str, Any], at_ms: int, ahead_ms: int) -> None:
    """Stamp an event of `at_ms` by a clock that is ahead by so much; as the SDK does, with when it was sent."""
    event["timestamp"] = event["sentAt"] = msgspec.to_builtins(from_ms(at_ms + ahead_ms))


def _new_field(event: dict[str, Any]) -> None:
    event["deviceModel"] = "TV-2031"


def _renamed(event: dict[str, Any]) -> None:
    if "positionMs" in event:
        event["playheadMs"] = event.pop("positionMs")


def _text_for_number(event: dict[str, Any]) -> None:
    if event.get("eventType") == "quality_change":
        event["bitrateKbps"] = str(event["bitrateKbps"])


def _new_type(event: dict[str, Any]) -> None:
    if event.get("eventType") == "heartbeat":
        event["eventType"] = "playback_tick"


def _new_value(event: dict[str, Any]) -> None:
    if event.get("quality") == "4K":
        event["quality"] = "2160p"


def _nested(event: dict[str, Any]) -> None:
    if "bitrateKbps" in event:
        event["media"] = {"bitrateKbps": event.pop("bitrateKbps")}


DRIFTS: tuple[Callable[[dict[str, Any]], None], ...] = (
    _new_field,
    _renamed,
    _text_for_number,
    _new_type,
    _new_value,
    _nested,
)
"""What new versions of apps do: a field more, a field by another name, a number as text, another event type, another
value, a field moved into an object. The third, fourth and fifth break the contract in some events."""
