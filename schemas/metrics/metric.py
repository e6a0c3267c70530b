"""What a metric is, and what a worked example of it is. The metrics themselves are in the modules beside this one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

SOURCES: dict[str, tuple[str, str]] = {
    "CTA-2066": (
        "Streaming Quality of Experience Events, Properties and Metrics, Consumer Technology Association",
        "https://github.com/cta-standards/R4WG20-QoE-Metrics",
    ),
    "CTA-5004": (
        "Common Media Client Data (CMCD) of CTA WAVE, and its version 2, CTA-5004-B",
        "https://cta-wave.github.io/Resources/common-media-client-data--cta-5004-a.html",
    ),
    "Mux": ("public guide to the metrics of Mux Data", "https://www.mux.com/docs/guides/understand-metric-definitions"),
    "Conviva": (
        "public learning centre: metric dictionary, Streaming Performance Index",
        "https://docs.conviva.com/learning-center-files/content/ei_application/ea-features/spi_intro.htm",
    ),
    "VAST": (
        "IAB Tech Lab, Video Ad Serving Template 4: impressions and tracking events",
        "https://iabtechlab.com/standards/vast/",
    ),
    "Flajolet 2007": (
        "Flajolet, Fusy, Gandouet, Meunier: HyperLogLog, analysis of a near-optimal cardinality estimation algorithm",
        "https://algo.inria.fr/flajolet/Publications/FlFuGaMe07.pdf",
    ),
    "Krishnan 2012": (
        "Krishnan, Sitaraman: Video Stream Quality Impacts Viewer Behavior; viewers leave from 2 s of waiting on",
        "https://doi.org/10.1145/2398776.2398799",
    ),
    "Spiteri 2016": (
        "Spiteri, Urgaonkar, Sitaraman: BOLA; the logarithm of bitrate as the use of a rendition",
        "https://arxiv.org/abs/1601.06748",
    ),
}  # fmt: skip
"""Name → title and address. Definitions are in our words; where ours differs from a source, `elsewhere` says so."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """Events, and the value that they give, worked by hand.

    sessions   session → its events, one a line: `<seconds> <event> [field=value ...]` (`schemas/metrics/example.py`)
    ads        events of `ads.events`, in the same form
    call       the macro's arguments after the parts, as SQL
    value      what the macro gives over all of these; None: null
    working    how one gets there by hand
    """

    value: float | bool | None
    working: str
    sessions: Mapping[str, str] = field(default_factory=dict)
    ads: str = ""
    call: str = ""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric, its macro and its definition.

    name        of the macro: snake_case, the field's own term, the unit where it has one
    title       for people
    level       session: a value of each session, an expression over its columns; aggregate: over a group of rows
    meaning     what the value says, one sentence
    formula     in words
    unit        of the value
    worse       which values are the worse ones; None: neither, as with a count of plays
    sql         the expression. Of a session only what DuckDB and Spark both read, with `options` by their names
    parts       its parameters: additive parts (aggregate); columns of silver.sessions or other metrics (session)
    arguments   further parameters that a caller must give, such as a quantile
    options     further parameters with a default, as SQL literals: what a service may set otherwise
    counted     what counts
    left_out    what does not count
    elsewhere   how others define it, where they differ
    sources     names of SOURCES
    """

    name: str
    title: str
    level: Literal["session", "aggregate"]
    meaning: str
    formula: str
    unit: str
    worse: Literal["higher", "lower"] | None = None
    sql: str
    parts: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    counted: str
    left_out: str
    elsewhere: str = ""
    sources: tuple[str, ...] = ()
    examples: tuple[Example, ...]

    @property
    def signature(self) -> str:
        """`stalled_share(stall_ms, watched_ms)`, with the defaults of its options."""
        options = (f"{name} := {default}" for name, default in self.options.items())
        return f"{self.name}({', '.join((*self.parts, *self.arguments, *options))})"

    def call(self, arguments: str = "") -> str:
        """The macro called with its parts, as a query has it."""
        return f"{self.name}({', '.join(filter(None, (*self.parts, arguments)))})"


@dataclass(frozen=True, kw_only=True)
class Function:
    """A macro that metrics are made of and that is none itself."""

    name: str
    parameters: tuple[str, ...]
    comment: str
    sql: str

    @property
    def signature(self) -> str:
        return f"{self.name}({', '.join(self.parameters)})"


def total(part: str) -> str:
    """SQL of a sum."""
    return f"CAST(sum({part}) AS BIGINT)"


def ratio(part: str, whole: str) -> str:
    """SQL of one sum over another; null where that is 0."""
    return f"CAST(sum({part}) AS DOUBLE) / nullif(sum({whole}), 0)"


def per_minute(part: str, of_ms: str) -> str:
    """SQL of a sum for each minute of a time."""
    return f"sum({part}) * CAST(60000 AS DOUBLE) / nullif(sum({of_ms}), 0)"
