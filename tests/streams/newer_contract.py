"""The contract of UI events as it may be one day: a search also tells the battery's charge."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import msgspec
from msgspec import Meta

from schemas import registry
from schemas.event import Int
from schemas.events.ui import Search
from schemas.topic import EventTopic

OLDER = registry.EVENT_TOPICS["user.ui.events"]
FIELD, COLUMN = "batteryPercent", "battery_percent"


def newer() -> EventTopic:
    """The topic with one more optional field."""
    grown = msgspec.defstruct(
        Search.__name__,
        [(COLUMN, Annotated[Int | None, Meta(description="Charge of the device's battery, percent.")], None)],
        bases=(Search,),
        frozen=True,
        kw_only=True,
    )
    grown.__doc__ = Search.__doc__
    return replace(OLDER, events=tuple(grown if event is Search else event for event in OLDER.events))


def install() -> None:
    """Make it this process's contract. Before anything is imported that is derived from the contracts."""
    registry.EVENT_TOPICS[OLDER.name] = newer()
