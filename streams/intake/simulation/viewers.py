"""Who watches: accounts with a country, a device, a line and habits, in the proportions of a real service's mix."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Device = Literal["smart_tv", "mobile", "web"]
T = TypeVar("T", bound=str)


@dataclass(frozen=True, slots=True)
class Country:
    """A market: its weight in the audience, its clock, its regions, its lines compared to others, its CDNs' shares."""

    weight: float
    utc_offset_h: float
    regions: tuple[str, ...]
    line: float
    cdns: dict[str, float]


COUNTRIES = {
    "US": Country(30, -6, ("US-CA", "US-NY", "US-TX", "US-FL", "US-IL"), 1.2, {"north": 5, "east": 3, "own": 2}),
    "BR": Country(14, -3, ("BR-SP", "BR-RJ", "BR-MG", "BR-BA"), 0.6, {"north": 6, "east": 4}),
    "DE": Country(12, 1, ("DE-BE", "DE-BY", "DE-NW", "DE-HH"), 1.0, {"own": 6, "north": 4}),
    "GB": Country(11, 0, ("GB-ENG", "GB-SCT", "GB-WLS"), 1.0, {"own": 4, "north": 6}),
    "FR": Country(9, 1, ("FR-IDF", "FR-PAC", "FR-ARA"), 1.1, {"own": 6, "east": 4}),
    "IN": Country(12, 5.5, ("IN-MH", "IN-KA", "IN-DL", "IN-TN"), 0.4, {"east": 8, "north": 2}),
    "JP": Country(7, 9, ("JP-13", "JP-27", "JP-14"), 1.3, {"east": 9, "north": 1}),
    "MX": Country(5, -6, ("MX-CMX", "MX-JAL", "MX-NLE"), 0.7, {"north": 8, "east": 2}),
}
DEVICES: dict[Device, float] = {"smart_tv": 50, "mobile": 32, "web": 18}
LINES: dict[Device, dict[str, float]] = {
    "smart_tv": {"wifi": 70, "ethernet": 30},
    "mobile": {"wifi": 45, "4g": 32, "5g": 20, "3g": 3},
    "web": {"wifi": 75, "ethernet": 22, "4g": 3},
}
APP_VERSIONS = {"8.4.1": 46, "8.4.0": 28, "8.3.2": 15, "8.2.0": 8, "7.9.3": 3}
PLAYER_VERSIONS: dict[Device, str] = {"smart_tv": "tv-3.11.0", "mobile": "mobile-2.8.4", "web": "web-5.1.2"}
PLANS = {"ads": 25, "standard": 50, "premium": 25}
EXPERIMENT = "abr"
"""The experiment that runs: how boldly players choose a bitrate."""
BACK_END_SHARE = 0.03
"""Share of viewers whose back end sends play | pause | stop only, without a session."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """One account and the device that it uses in this window."""

    number: int
    user_id: str
    profile_id: str
    country: str
    region: str
    device: Device
    connection: str
    line: float
    cdn: str
    app_version: str
    plan: str
    arm: str
    is_4k: bool
    is_back_end: bool

    @property
    def labels(self) -> dict[str, Any]:
        """What every event of this viewer says."""
        return {
            "user_id": self.user_id,
            "profile_id": self.profile_id,
            "device_type": self.device,
            "country": self.country,
            "region": self.region,
            "app_version": self.app_version,
            "experiments": {EXPERIMENT: self.arm},
        }


def viewer(seed: int, number: int) -> Viewer:
    """Viewer `number` of the audience that `seed` makes."""
    rng = random.Random(f"viewer/{seed}/{number}")
    country = _choose(rng, {name: market.weight for name, market in COUNTRIES.items()})
    market = COUNTRIES[country]
    device = _choose(rng, DEVICES)
    user = f"u{seed:x}-{number:06d}"
    return Viewer(
        number=number,
        user_id=user,
        profile_id=f"{user}-p{1 + (rng.random() < 0.35)}",
        country=country,
        region=rng.choice(market.regions),
        device=device,
        connection=_choose(rng, LINES[device]),
        line=market.line,
        cdn=_choose(rng, market.cdns),
        app_version=_choose(rng, APP_VERSIONS),
        plan=_choose(rng, PLANS),
        arm=rng.choice(("careful", "bold")),
        is_4k=device == "smart_tv" and rng.random() < 0.45,
        is_back_end=rng.random() < BACK_END_SHARE,
    )


def interest(country: str, at_ms: int) -> float:
    """How much is watched at this moment, from 0 to 1, by the hour that it is there: little at 5, most at 21."""
    hour = (at_ms / 3_600_000 + COUNTRIES[country].utc_offset_h) % 24
    evening = math.exp(-(((hour - 21 + 12) % 24 - 12) ** 2) / 12)
    noon = 0.35 * math.exp(-(((hour - 13 + 12) % 24 - 12) ** 2) / 10)
    return min(1.0, 0.08 + evening + noon)


def _choose(rng: random.Random, weights: Mapping[T, float]) -> T:
    return rng.choices(list(weights), list(weights.values()))[0]
