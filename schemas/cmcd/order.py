"""Reports in the order of their running numbers, each once: of a whole session (batch), or as they arrive (live).

A page may report to several targets, each with running numbers of its own: one of them tells the session. In the batch
it is the one that tells most, whatever came first; live keeps the first seen. Numbers begin at 0 and have no holes, so
a hole is a lost report. Parallel requests arrive swapped, and after an outage of the collector a player sends its
backlog in any order: live waits for the next number, but no longer than HOLD_MS, for no more than MAX_HELD reports. The
wait goes by the received clock of the partition, which never goes back; the stamp of a report may.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

import msgspec

from schemas.cmcd.report import EVENT_MODE, Report
from schemas.cmcd.translate import Translation
from schemas.session_state import Fact

HOLD_MS: Final = 5_000
MAX_HELD: Final = 32
MAX_LOST: Final = 64
"""How many numbers that were given up a live stream remembers, to tell a late report from a repeated one."""


class Told(NamedTuple):
    """What the reports of a session tell: the facts, by which target, and how many of its reports came again."""

    facts: list[Fact]
    target: str | None = None
    duplicates: int = 0


def translate(reports: Iterable[Report], copies: Mapping[str, int] | None = None) -> Told:
    """All reports of one session, in hindsight. The facts are the same whatever order the reports come in.

    `copies`: event id → how often it was received, for those that came more than once.
    """
    streams: dict[tuple[str, str], list[Report]] = {}
    for report in sorted(set(reports), key=_arrival):
        streams.setdefault((report.event_type, report.target), []).append(report)
    if not streams:
        return Told([])
    _, chosen = min(streams.items(), key=lambda stream: _preference(*stream))
    ordered = _in_order(chosen)
    translation = Translation(hindsight=True)
    facts: list[Fact] = []
    before = -1
    for report in ordered:
        missing = 0
        if report.seq is not None:
            missing, before = max(0, report.seq - before - 1), report.seq
        facts += translation.step(report, missing)
    facts += translation.finish(ordered[-1])
    received = sum((copies or {}).get(report.event_id, 1) for report in chosen)
    return Told(facts, ordered[0].target, received - len(ordered))


def _arrival(report: Report) -> tuple[int, str, bytes]:
    return report.received_ms, report.event_id, msgspec.msgpack.encode(report)


def _preference(stream: tuple[str, str], reports: list[Report]) -> tuple[bool, bool, int, str]:
    """The stream that tells most comes first: events rather than requests, states, then the number of reports."""
    telling = {report.event_id for report in reports if not report.is_response}
    has_states = any(report.player_state is not None for report in reports if not report.is_response)
    return stream[0] != EVENT_MODE, not has_states, -len(telling), stream[1]


def _in_order(reports: list[Report]) -> list[Report]:
    """Of each running number the report that arrived first; those without a number as they arrived, before them."""
    numbered: dict[int, Report] = {}
    for report in reports:
        if report.seq is not None:
            numbered.setdefault(report.seq, report)
    return [report for report in reports if report.seq is None] + [numbered[seq] for seq in sorted(numbered)]


class LiveStream(msgspec.Struct, array_like=True):
    """The stream that tells a live session. New fields go to the end, with a default."""

    event_type: str
    target: str
    translation: Translation
    next_seq: int = 0
    held: list[Report] = []
    """Reports that wait for an earlier one, by number."""
    lost: list[int] = []
    """Numbers that were given up, newest last."""
    last_received_ms: int = 0
    held_ms: dict[int, int] = {}
    """Number of a held report → the received clock when it began to wait."""

    @classmethod
    def begin(cls, report: Report) -> LiveStream:
        """The stream whose first seen report this is. One that is joined in its middle waits for nothing."""
        joined = report.seq is not None and report.seq > MAX_HELD
        return cls(report.event_type, report.target, Translation(), next_seq=(report.seq or 0) if joined else 0)

    def tells(self, report: Report) -> bool:
        """Whether the report is of this stream, and not of another target of the page."""
        return report.target == self.target and report.event_type == self.event_type

    @property
    def deadline_ms(self) -> int | None:
        """Received clock at which the oldest held report is waited for no longer."""
        since = [self.held_ms.get(report.seq or 0, report.received_ms) for report in self.held]
        return min(since) + HOLD_MS if since else None

    def is_over(self, clock_ms: int, timeout_ms: int) -> bool:
        """Whether it was silent for the time-out: a report that comes now begins another. Not while one waits."""
        return not self.held and clock_ms - self.last_received_ms > timeout_ms

    def fate(self, report: Report) -> Literal["new", "repeated", "late"]:
        """`new`, `repeated` (its number was seen), or `late` (its number was given up, and is forgotten with this)."""
        if report.seq is None:
            return "new"
        if report.seq < self.next_seq:
            if report.seq not in self.lost:
                return "repeated"
            self.lost.remove(report.seq)
            return "late"
        return "repeated" if any(report.seq == held.seq for held in self.held) else "new"

    def take(self, report: Report, clock_ms: int) -> list[tuple[Report, list[Fact]]]:
        """Take a new report when the received clock is there: the reports whose turn it is now, with their facts."""
        self.last_received_ms = max(self.last_received_ms, report.received_ms)
        if report.seq is None:
            return [(report, self.translation.step(report))]
        self.held.append(report)
        self.held.sort(key=lambda held: held.seq or 0)
        self.held_ms[report.seq] = clock_ms
        done = self._ready()
        while len(self.held) > MAX_HELD:
            done += self._give_up()
        return done

    def release(self, clock_ms: int) -> list[tuple[Report, list[Fact]]]:
        """Give up what has been waited for until the received time `clock_ms`."""
        done: list[tuple[Report, list[Fact]]] = []
        while (deadline := self.deadline_ms) is not None and deadline <= clock_ms:
            done += self._give_up()
        return done

    def _ready(self) -> list[tuple[Report, list[Fact]]]:
        done = []
        while self.held and self.held[0].seq == self.next_seq:
            report = self._pop()
            self.next_seq += 1
            done.append((report, self.translation.step(report)))
        return done

    def _give_up(self) -> list[tuple[Report, list[Fact]]]:
        """Go on with the first held report, over the numbers before it."""
        report = self._pop()
        seq = report.seq or 0
        missing = seq - self.next_seq
        self.lost = [*self.lost, *range(max(self.next_seq, seq - MAX_LOST), seq)][-MAX_LOST:]
        self.next_seq = seq + 1
        return [(report, self.translation.step(report, missing)), *self._ready()]

    def _pop(self) -> Report:
        report = self.held.pop(0)
        self.held_ms.pop(report.seq or 0, None)
        return report
