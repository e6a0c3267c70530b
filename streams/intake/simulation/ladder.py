"""The renditions of a title, and which of them a screen is offered."""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple

from streams.intake.simulation.viewers import Viewer

Quality = Literal["4K", "1080p", "720p"]


class Rendition(NamedTuple):
    """One step of the ladder; below 720p the wire has no name for the quality."""

    kbps: int
    quality: Quality | None


LADDER = (
    Rendition(235, None),
    Rendition(560, None),
    Rendition(1050, None),
    Rendition(1750, None),
    Rendition(3000, "720p"),
    Rendition(4500, "1080p"),
    Rendition(6500, "1080p"),
    Rendition(8500, "1080p"),
    Rendition(11_500, "4K"),
    Rendition(16_000, "4K"),
)

SAFETY = {"careful": 0.65, "bold": 0.9}
"""Experiment arm → share of the estimated bandwidth that the player uses. 0.9 is what dash.js does."""
TOP_KBPS = {"mobile": 6_500, "web": 8_500, "smart_tv": 8_500}
"""What a device is offered at most; a 4K screen all."""


@cache
def _steps(top_kbps: int) -> tuple[Rendition, ...]:
    return tuple(step for step in LADDER if step.kbps <= top_kbps)


def steps_of(viewer: Viewer) -> tuple[Rendition, ...]:
    """The renditions for this viewer's screen, from the lowest."""
    return _steps(LADDER[-1].kbps if viewer.is_4k else TOP_KBPS[viewer.device])
