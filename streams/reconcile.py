"""Conservation: does every record that Kafka acknowledged add up? Per topic and partition,

    kafka         end − start offset = bronze rows + dead letters + control records
    silver        bronze rows = silver rows + duplicates
    live          live + late + duplicates dropped + still open = bronze rows       (what sessions are made of)
    live rejects  rejected by the stream = dead letters as far as the stream has read

A compacted topic has holes: where Kafka dropped a record before the sink came by (a newer one with its key was there).
They count as control records do, and like them only where Kafka holds no record now; so whatever a reader of the topic
sees is in the lake.

Each side is counted on its own: duplicates from bronze alone, silver's rows by the record that they came from, live
numbers from what the stream worker published, and an offset that is in neither table is looked up in Kafka, where it
must hold no record. Cuts are taken first in Kafka, then in the stream, then in the lake, so that what goes on while we
count does not matter as soon as each part has passed the cut (`wait_s`).
"""

from __future__ import annotations

import time
from dataclasses import replace

import msgspec

from infra.settings import Settings
from infra.text_columns import aligned
from schemas.registry import EVENT_TOPICS, SESSION_TOPICS
from schemas.standing import Standing
from streams.reconcile_lake import Lake, LakeCounts
from streams.reconcile_topics import Cut, cuts, find_records, live_standings

POLL_S = 0.5


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One equation of one partition. `terms` spells it out; `why` says what is wrong."""

    equation: str
    topic: str
    partition: int
    left: int
    right: int
    terms: str
    why: str = ""

    @property
    def holds(self) -> bool:
        return not self.why and self.left == self.right


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All equations, and the totals that people ask for."""

    lines: list[Line]
    rows: int
    dead_letters: dict[str, int]
    """By reason."""
    rejected_by_collector: int
    duplicates: int

    @property
    def holds(self) -> bool:
        return all(line.holds for line in self.lines)


def reconcile(settings: Settings, wait_s: float = 0) -> Report:
    """Count everything. `wait_s`: how long the stream and the sink may take to reach what Kafka has now."""
    until = time.monotonic() + wait_s
    places = cuts(settings, EVENT_TOPICS)
    places = _with_live(settings, places, until)
    lake = _caught_up(settings, places, until)
    lines: list[Line] = []
    duplicates = 0
    for topic in EVENT_TOPICS.values():
        counts = lake.counts(topic, {p: cut for (name, p), cut in places.items() if name == topic.name})
        for partition, found in counts.items():
            cut = places[topic.name, partition]
            duplicates += found.duplicates
            lines += [_kafka(settings, lake, cut, found, topic.is_compacted), _silver(cut, found)]
            if topic in SESSION_TOPICS:
                lines += _live(cut, found)
    reasons, by_collector = lake.dead_letters()
    return Report(
        lines=sorted(lines, key=lambda line: (line.topic, line.equation, line.partition)),
        rows=lake.rows(),
        dead_letters=reasons,
        rejected_by_collector=by_collector,
        duplicates=duplicates,
    )


def _with_live(settings: Settings, places: dict[tuple[str, int], Cut], until: float) -> dict[tuple[str, int], Cut]:
    """The cuts with what the stream said of its partitions, once it has passed them or time is up."""
    told = {topic.name for topic in SESSION_TOPICS}
    ends = {place: cut.end for place, cut in places.items() if place[0] in told and cut.end}
    while True:
        said = live_standings(settings, frozenset(name for name, _ in ends))
        behind = any((said[place].position if place in said else 0) < end for place, end in ends.items())
        if not behind or time.monotonic() >= until:
            break
        time.sleep(POLL_S)
    return places | {
        place: replace(places[place], live=standing) for place, standing in said.items() if place in places
    }


def _caught_up(settings: Settings, places: dict[tuple[str, int], Cut], until: float) -> Lake:
    """The lake, once the sink has passed every cut or time is up."""
    while True:
        lake = Lake(settings)
        if lake.has_passed(places.values()) or time.monotonic() >= until:
            return lake
        time.sleep(POLL_S)


def _kafka(settings: Settings, lake: Lake, cut: Cut, found: LakeCounts, is_compacted: bool) -> Line:
    empty, why = 0, ""
    if found.position < cut.end:
        why = f"the sink is behind: it is at {found.position:,}, {cut.end - found.position:,} records to go"
    elif found.repeated:
        why = f"{found.repeated:,} records are there twice"
    elif found.rows + found.letters != cut.end - found.start:
        gaps = lake.gaps(cut, found.start)
        empty = sum(following - first for first, following in gaps)
        if lost := find_records(settings, cut.topic, cut.partition, gaps):
            why = f"in Kafka and not in the lake: {lost}"
    return Line(
        equation="kafka",
        topic=cut.topic,
        partition=cut.partition,
        left=cut.end - found.start,
        right=found.rows + found.letters + empty,
        terms=f"end {cut.end:,} − start {found.start:,} = bronze {found.rows:,} + dead letters {found.letters:,}"
        + (f" + {'compacted away' if is_compacted else 'control'} {empty:,}" if empty else ""),
        why=why,
    )


def _silver(cut: Cut, found: LakeCounts) -> Line:
    why = ""
    if found.silver_version is None and found.all_rows:
        why = f"silver is behind: bronze version {found.version}, silver has none; run the silver job"
    elif found.behind_rows:
        why = (
            f"silver is behind: bronze version {found.version}, silver has {found.silver_version}, "
            f"{found.behind_rows:,} rows to go; run the silver job"
        )
    return Line(
        equation="silver",
        topic=cut.topic,
        partition=cut.partition,
        left=found.all_rows,
        right=found.silver + found.duplicates,
        terms=f"bronze {found.all_rows:,} = silver {found.silver:,} + duplicates {found.duplicates:,}",
        why=why,
    )


def _live(cut: Cut, found: LakeCounts) -> list[Line]:
    said = cut.live or Standing(topic=cut.topic, partition=cut.partition, at=0, clock=0, position=0)
    why = ""
    if not cut.live and cut.end > found.start:
        why = "the stream has published nothing of this partition"
    elif cut.live_position > found.position:
        why = f"the sink is behind the stream: it is at {found.position:,}, the stream at {cut.live_position:,}"
    still_open = found.rows_to_live_cut - found.rows_before_live + said.held
    return [
        Line(
            equation="live",
            topic=cut.topic,
            partition=cut.partition,
            left=said.events + said.late + said.duplicates + still_open,
            right=found.rows_to_live_cut,
            terms=f"live {said.events:,} + late {said.late:,} + duplicates {said.duplicates:,} "
            f"+ still open {still_open:,} = bronze {found.rows_to_live_cut:,}",
            why=why,
        ),
        Line(
            equation="live rejects",
            topic=cut.topic,
            partition=cut.partition,
            left=said.rejected,
            right=found.letters_before_live,
            terms=f"rejected {said.rejected:,} = dead letters {found.letters_before_live:,} before {said.position:,}",
            why=why,
        ),
    ]


def as_text(report: Report) -> str:
    """One table, a verdict a line, and the totals."""
    rows = [
        (line.equation, f"{line.topic}/{line.partition}", line.terms, "ok" if line.holds else f"FAILS: {_reason(line)}")
        for line in report.lines
    ]
    text = aligned([("equation", "partition", "count", "verdict"), *rows])
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(report.dead_letters.items())) or "none"
    failed = sum(not line.holds for line in report.lines)
    text += [
        "",
        f"bronze rows {report.rows:,}, of which duplicates {report.duplicates:,}",
        f"dead letters {sum(report.dead_letters.values()):,}: {reasons}",
        f"rejected by the collector {report.rejected_by_collector:,}",
        f"{failed} of {len(report.lines)} equations fail" if failed else f"all {len(report.lines)} equations hold",
    ]
    return "\n".join(text)


def _reason(line: Line) -> str:
    return line.why or f"{line.left:,} is not {line.right:,}"


def as_json(report: Report) -> str:
    """Everything, with the verdict of each line and of all."""
    lines = [msgspec.to_builtins(line) | {"holds": line.holds} for line in report.lines]
    return msgspec.json.encode(msgspec.to_builtins(report) | {"lines": lines, "holds": report.holds}).decode()
