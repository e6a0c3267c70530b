"""A small world whose two sides are made by the product's own folds: what live publishes, what batch publishes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np

from infra.settings import Settings
from schemas.fact import to_ms
from schemas.parity import Comparison
from schemas.quality import DIMENSIONS, MINUTE_MS, PARTS, ROLLUPS
from schemas.registry import CMCD, PLAYBACK
from streams.bronze_rows import Decoder
from streams.live.partition import LivePartition, Rules
from streams.message import Message
from streams.parity.bronze import records_of
from streams.parity.explain import Compared, compare
from streams.parity.live import keep_newest
from streams.parity.published import Published
from streams.parity.replay import Clock, Place, Record
from streams.parity.report import comparison
from streams.parity.rows import Amounts, LiveRow, RowKey, histogram_part
from streams.parity.steps import Cuts, Evidence
from streams.sources import CMCD_SOURCE, PLAYBACK_SOURCE
from tests.batch.world import expected_sessions

EVER = (0, 2**60)
SOURCES = {source.topic.name: source for source in (PLAYBACK_SOURCE, CMCD_SOURCE)}


def places(sent: Iterable[Message]) -> dict[Place, list[Message]]:
    """By partition, in the order of offsets."""
    found: dict[Place, list[Message]] = defaultdict(list)
    for one in sorted(sent, key=lambda one: one.at):
        found[Place(one.name, one.place)].append(one)
    return found


def before(sent: Iterable[Message], cut: Mapping[Place, int]) -> list[Message]:
    return [one for one in sent if one.at < cut.get(Place(one.name, one.place), 0)]


@dataclass
class World:
    """Records, and how far each side has come; None: to the end."""

    sent: Sequence[Message]
    settings: Settings
    live_cut: Mapping[Place, int] | None = None
    published_cut: Mapping[Place, int] | None = None
    """How far the live rows go; they may be ahead of what the worker said of itself."""
    batch_cut: Mapping[Place, int] | None = None
    ends: dict[Place, int] = field(init=False)

    def __post_init__(self) -> None:
        self.ends = {place: rows[-1].at + 1 for place, rows in places(self.sent).items()}

    @property
    def rules(self) -> Rules:
        return Rules(self.settings.session_timeout_s * 1000, self.settings.live_freeze_after_s * 1000)

    @property
    def cuts(self) -> Cuts:
        return Cuts(live=self.ends if self.live_cut is None else self.live_cut, batch=self._batch_cut)

    @property
    def _batch_cut(self) -> Mapping[Place, int]:
        return self.ends if self.batch_cut is None else self.batch_cut

    def live_rows(self) -> list[LiveRow]:
        """What the stream worker's own partitions publish."""
        found: dict[tuple[Place, RowKey], LiveRow] = {}
        until = self.cuts.live if self.published_cut is None else self.published_cut
        for place, rows in places(before(self.sent, until)).items():
            live = LivePartition(place.partition, {}, "topic-1", 2, self.rules, source=SOURCES[place.topic])
            for first in range(0, len(rows), 50):
                part = rows[first : first + 50]
                live.apply(live.next, part[-1].at + 1, live.source.prepare(part))
                keep_newest(found, (value for portion in live.live_rows() for _, value in portion), EVER)
        return list(found.values())

    def batch_rows(self) -> dict[RowKey, Amounts]:
        """What the sessions of silver come to, added up as gold.quality_minute does."""
        sent = before(self.sent, self._batch_cut)
        of = {topic.name: [one for one in sent if one.name == topic.name] for topic in (PLAYBACK, CMCD)}
        rows: dict[RowKey, Amounts] = defaultdict(Counter)
        for session in expected_sessions(self.settings, of[PLAYBACK.name], of[CMCD.name]) if sent else ():
            for minute in session["minutes"]:
                for key in keys_of(minute):
                    rows[key].update({part: minute[part] for part in PARTS if minute[part]})
                    if minute["startup_bucket"] is not None:
                        rows[key][histogram_part(minute["startup_bucket"])] += 1
        return {key: amounts for key, amounts in rows.items() if any(amounts.values())}

    def records(self) -> list[Record]:
        """What bronze has of them."""
        found: list[Record] = []
        for topic, group in ((PLAYBACK, "group_id"), (CMCD, "session_id")):
            sent = [one for one in self.sent if one.name == topic.name]
            if sent:
                rows = Decoder(topic).decode(sent).rows
                found += records_of(topic, rows.append_column("group_of", rows.column(group)))
        return found

    def clocks(self) -> dict[Place, Clock]:
        return {
            place: Clock(np.array([one.at for one in rows]), np.maximum.accumulate([one.received_ms for one in rows]))
            for place, rows in places(self.sent).items()
        }

    def comparison(self, made_at: datetime, cutover: datetime | None = None, **other: Any) -> Comparison:
        """The same as it is told, published with this cut-over."""
        compared = self.compare(**other)
        minutes = [key.minute_ms for key in compared.keys]
        publish = Published(publish_id="p1", cutover_minute=cutover, version=1, bronze={}) if cutover else None
        return comparison(compared, made_at, (min(minutes), max(minutes) + MINUTE_MS), publish, {"not_json": 2})

    def compare(self, **other: Any) -> Compared:
        """The report. `other`: sides that are not as they should be."""
        sides = {"records": self.records(), "live_rows": self.live_rows(), "batch_rows": self.batch_rows()} | other
        evidence = Evidence(records=sides["records"], clocks=self.clocks(), cuts=self.cuts, rules=self.rules)
        return compare(evidence, sides["live_rows"], sides["batch_rows"], EVER)


def keys_of(minute: Mapping[str, Any]) -> list[RowKey]:
    return [
        RowKey(rollup, to_ms(minute["minute"]), tuple(minute[name] if name in kept else None for name in DIMENSIONS))
        for rollup, kept in ROLLUPS.items()
    ]


def one_partition(sent: Iterable[Message]) -> list[Message]:
    """The same records, each topic in a single partition."""
    ends: Counter[str] = Counter()
    found = []
    for one in sorted(sent, key=lambda one: one.received_ms):
        found.append(replace(one, place=0, at=ends[one.name]))
        ends[one.name] += 1
    return found
