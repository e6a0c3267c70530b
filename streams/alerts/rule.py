"""Rules: one TOML file each, in `streams/alerts/rules/` or the folder that the setting `alert_rules` names.

    title = "Starts fail in a country"
    metric = "start_failure_rate"      # any metric of docs/metrics.md that minutes can answer
    by = ["country"]                   # an alert for each value; left out: one for all
    where = { device_type = "web" }    # only these; may be left out
    above = 0.05                       # or: below
    over_minutes = 5                   # the value of so many minutes together
    least_sample = 200                 # what it is made of at least: attempts, startups, ms watched, ...
    open_after_minutes = 2             # out of range for so many minutes in a row
    close_at = 0.03                    # back in range only here; left out: at the limit
    close_after_minutes = 5            # and for so many minutes in a row
    severity = "critical"              # or: warning

The file's name is the rule's. `argument` is that of a metric with one, such as 0.95 of `startup_quantile_ms`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import msgspec

from infra.errors import SettingsError
from schemas.alert import AUTOMATIC, Severity
from schemas.metrics.metric import Metric
from schemas.metrics.registry import METRICS
from schemas.quality import DIMENSIONS, PARTS, ROLLUPS

SHIPPED = Path(__file__).with_name("rules")
HISTOGRAM = "startup_histogram"
ANSWERED = {
    name: metric
    for name, metric in METRICS.items()
    if metric.level == "aggregate" and {*metric.parts} <= {*PARTS, HISTOGRAM}
}
"""The metrics that minutes can answer."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A checked rule."""

    name: str
    title: str
    metric: str
    argument: float | None = None
    by: tuple[str, ...] = ()
    where: dict[str, str] = {}
    above: float | None = None
    below: float | None = None
    over_minutes: int = 5
    least_sample: float = 0
    open_after_minutes: int = 2
    close_at: float | None = None
    close_after_minutes: int = 5
    severity: Severity = "warning"

    def __post_init__(self) -> None:
        """Raises ValueError with what was expected and what came."""
        for wrong in self._wrong():
            raise ValueError(wrong)

    def _wrong(self) -> list[str]:
        names = (*self.by, *self.where)
        found = [expected("metric", self.metric, list(ANSWERED))] if self.metric not in ANSWERED else []
        found += [expected("dimension", name, DIMENSIONS) for name in names if name not in DIMENSIONS]
        if found:
            return found
        if self.rollup is None:
            kept = "; ".join(", ".join(dimensions) for dimensions in ROLLUPS.values() if dimensions)
            found.append(f"expected dimensions that one rollup of minutes keeps ({kept}), got {', '.join(names)}")
        if (self.above is None) == (self.below is None):
            found.append("expected either above or below")
        elif self.close_at is not None and (self.close_at > self.limit if self.is_high else self.close_at < self.limit):
            side = "at most" if self.is_high else "at least"
            found.append(f"expected close_at {side} the limit {self.limit:g}, got {self.close_at:g}")
        if self.needs_argument != (self.argument is not None):
            with_one = f"argument, as {', '.join(ANSWERED[self.metric].arguments)} of {self.metric}"
            found.append(f"expected {with_one if self.needs_argument else f'no argument for {self.metric}'}")
        if self.least_sample and self.sample is None:
            found.append(f"expected no least_sample: {self.metric} is a count, not a ratio")
        for name in ("over_minutes", "open_after_minutes", "close_after_minutes"):
            if not 1 <= getattr(self, name) <= 60:
                found.append(f"expected {name} from 1 to 60, got {getattr(self, name)}")
        return found

    @property
    def definition(self) -> Metric:
        return ANSWERED[self.metric]

    @property
    def needs_argument(self) -> bool:
        return bool(self.definition.arguments)

    @property
    def is_high(self) -> bool:
        """Whether values above the limit are out of range."""
        return self.above is not None

    @property
    def limit(self) -> float:
        return float(self.above if self.above is not None else self.below or 0)

    @property
    def sample(self) -> str | None:
        """The part that a ratio is divided by."""
        parts = self.definition.parts
        return parts[-1] if len(parts) > 1 or HISTOGRAM in parts else None

    @property
    def rollup(self) -> str | None:
        """The smallest rollup that has all its dimensions."""
        asked = {*self.by, *self.where}
        fitting = [name for name, kept in ROLLUPS.items() if asked <= {*kept}]
        return min(fitting, key=lambda name: len(ROLLUPS[name]), default=None)


def expected(what: str, got: str, known: Sequence[str]) -> str:
    """A name that is none, and those that it is nearest to."""
    near = get_close_matches(got, known, 3, 0.5)
    return f"there is no {what} {got!r}; " + (
        f"nearest: {', '.join(near)}" if near else f"there are {', '.join(known)}"
    )


def load(folder: Path = SHIPPED) -> list[Rule]:
    """The rules of a folder, by name. Raises SettingsError, which names the file."""
    if not folder.is_dir():
        msg = f"expected a folder of rules (*.toml) at {folder}"
        raise SettingsError(msg)
    return [read(path.stem, path.read_text(encoding="utf-8"), path) for path in sorted(folder.glob("*.toml"))]


def read(name: str, text: str, path: Path | str = "") -> Rule:
    """One rule. Raises SettingsError."""
    try:
        told: Mapping[str, object] = tomllib.loads(text)
        if "name" in told or name == AUTOMATIC:
            msg = f"the file's name is the rule's, and may not be {AUTOMATIC}"
            raise ValueError(msg)
        return msgspec.convert({"name": name, **told}, Rule)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, ValueError) as error:
        msg = f"alert rule {path or name}: {error}"
        raise SettingsError(msg) from error
