"""Hours of a simulated service as minute rollups, by the stream worker's own fold, with incidents or without.

Rollups are sums over viewers, and an incident touches no viewer but those whom it hits. So an hour is the sum of blocks
of viewers, each of which is simulated once; an hour with an incident is the same one less the viewers who can be hit,
plus the same viewers with it. A test holds such a sum against an hour simulated whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import msgspec
import numpy as np

from schemas.registry import PLAYBACK
from streams.alerts.minutes import Cells, Labels, MinuteRows, OpenMinutes
from streams.intake.simulation.audience import Audience
from streams.intake.simulation.incidents import Incident
from streams.intake.simulation.viewers import viewer
from streams.live.partition import LivePartition, Rules
from streams.message import Message
from streams.sources import PLAYBACK_SOURCE

MINUTE_MS = 60_000
START_MS = 1_760_000_040_000
"""A Thursday, 08:54 UTC; a whole minute."""
MINUTES = 72
"""Length of an hour: in the first twenty minutes the audience gathers and the detector learns."""
BLOCK = 800
"""Viewers of a block."""
SETTLE_S = 30
RULES = Rules(timeout_ms=1_800_000, freeze_after_ms=300_000)

Rows = dict[int, dict[Labels, Cells]]
"""Minute (start, s) → rows."""


@dataclass(frozen=True)
class Block:
    """Minutes of some viewers, and who of them watches a title."""

    rows: Rows
    watchers: dict[str, set[int]]


@dataclass(frozen=True)
class Pool:
    """Where blocks of viewers come from: the audience of one seed, all in the same window."""

    seed: int
    blocks: int
    viewers: int = BLOCK
    """Of a block."""
    minutes: int = MINUTES

    def audience(self, only: Collection[int], incidents: tuple[Incident, ...] = ()) -> Audience:
        """Some of the pool's viewers."""
        end_ms = START_MS + self.minutes * MINUTE_MS
        return Audience(self.seed, self.blocks * self.viewers, START_MS, end_ms, incidents=incidents, only=only)

    def accounts(self, number: int) -> range:
        """The viewers of a block."""
        return range(number * self.viewers, (number + 1) * self.viewers)

    def block(self, number: int) -> Block:
        """A block's minutes when nothing goes wrong."""
        watchers: dict[str, set[int]] = defaultdict(set)
        return Block(fold(self.audience(self.accounts(number)), watchers), dict(watchers))

    def change(self, blocks: Mapping[int, Block], incident: Incident) -> Rows:
        """What an incident adds to the minutes of these blocks."""
        hit = sorted(number for n, block in blocks.items() for number in self._who(n, block, incident))
        return added([fold(self.audience(hit, (incident,)))], [fold(self.audience(hit))])

    def _who(self, number: int, block: Block, incident: Incident) -> Iterator[int]:
        title = incident.where.get("content_id")
        accounts = self.accounts(number) if title is None else block.watchers.get(title, ())
        return (n for n in accounts if incident.hits(viewer(self.seed, n)))


def fold(audience: Audience, watchers: dict[str, set[int]] | None = None) -> Rows:
    """The audience's minutes as they are when each is judged. `watchers` gets who watches what."""
    live, collected = LivePartition(0, {}, "simulated", 1, RULES), OpenMinutes()
    offset, found = 0, Rows()
    for due_ms, messages in groupby(_messages(audience, watchers), key=lambda message: _due_ms(message.received_ms)):
        batch = list(messages)
        live.apply(offset, offset + len(batch), PLAYBACK_SOURCE.prepare(batch))
        offset += len(batch)
        for portion in live.live_rows():
            for key, value in portion:
                collected.apply(key, value)
        minute_s = (due_ms // MINUTE_MS - 1) * 60
        found[minute_s] = dict(collected.take(minute_s).rows)
    return found


def _messages(audience: Audience, watchers: dict[str, set[int]] | None) -> Iterator[Message]:
    told = (sent for sent in audience.events() if sent.topic == PLAYBACK.name)
    for number, sent in enumerate(told):
        if watchers is not None and b'"eventType":"play"' in sent.value:
            title: str = msgspec.json.decode(sent.value)["contentId"]
            watchers[title].add(int(sent.key.rpartition(b"-")[2]))
        yield Message(0, number, sent.at_ms, sent.value)


def _due_ms(received_ms: int) -> int:
    """The first moment from then on at which a minute is judged."""
    return -(-(received_ms - SETTLE_S * 1000) // MINUTE_MS) * MINUTE_MS + SETTLE_S * 1000


def added(plus: Sequence[Rows], minus: Sequence[Rows] = ()) -> Rows:
    """The sum of rows, less others."""
    total: Rows = {}
    for sign, all_rows in ((1, plus), (-1, minus)):
        for rows in all_rows:
            for minute_s, cells in rows.items():
                into = total.setdefault(minute_s, {})
                for labels, values in cells.items():
                    into[labels] = into[labels] + sign * values if labels in into else sign * values
    return total


def minutes_of(rows: Mapping[int, Mapping[Labels, Cells]]) -> list[MinuteRows]:
    """In order, without rows in which nothing is."""
    return [
        MinuteRows(minute_s, {labels: cells for labels, cells in rows[minute_s].items() if np.any(cells)})
        for minute_s in sorted(rows)
    ]
