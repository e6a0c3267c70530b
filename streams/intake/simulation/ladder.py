"""The renditions of a title, and how a player chooses among them while the line changes."""

from __future__ import annotations

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
"""Experiment arm → share of the measured bandwidth that an empty buffer lets the player use."""


class AdaptiveBitrate:
    """Rate-based while the buffer is low, bolder as it fills: up one step at a time, down at once."""

    def __init__(self, viewer: Viewer, expected_kbps: float) -> None:
        top = {"mobile": 6_500, "web": 8_500, "smart_tv": 16_000 if viewer.is_4k else 8_500}[viewer.device]
        self._steps = [step for step in LADDER if step.kbps <= top]
        self._safety = SAFETY[viewer.arm]
        self._kbps = expected_kbps
        # Players begin low: the first segment has to be quick.
        self._place = min(3, self._best(expected_kbps * 0.35))

    def measured(self, kilobits: float, took_ms: int) -> None:
        """A download was finished."""
        self._kbps = 0.6 * self._kbps + 0.4 * kilobits * 1000 / took_ms

    def choose(self, fill: float) -> Rendition:
        """The rendition of the next segment, with the buffer filled to this share."""
        best = self._best(self._kbps * (self._safety + (1.1 - self._safety) * fill))
        self._place = min(best, self._place + 1)
        return self._steps[self._place]

    @property
    def first(self) -> Rendition:
        return self._steps[self._place]

    def _best(self, kbps: float) -> int:
        place = 0
        while place + 1 < len(self._steps) and self._steps[place + 1].kbps <= kbps:
            place += 1
        return place
