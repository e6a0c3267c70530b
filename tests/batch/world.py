"""A small world for the batch tests: sent records, the bronze that holds them, and the sessions they must come to."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

import msgspec
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from batch import run
from batch.gold.stage import gold_tables
from batch.restate import ledger
from batch.stage import Days
from infra.settings import Settings
from schemas import stage
from schemas.cmcd.order import translate
from schemas.cmcd.report import Report, report_of
from schemas.cmcd.wire import read_report
from schemas.events.cmcd import CmcdEvent
from schemas.examples import fullest
from schemas.fact import facts_of, from_ms, to_ms
from schemas.registry import CMCD, EVENT_TOPICS, PLAYBACK
from schemas.session_row import session_row
from schemas.sessionize import sessionize
from schemas.stage import Audit, Manifest, StagedLayer
from schemas.tables import BRONZE, SILVER
from schemas.tables.restatements import RESTATEMENTS
from schemas.topic import EventTopic
from streams.bronze_rows import Decoder
from streams.message import Message

START = datetime(2026, 1, 15, 22, 0, tzinfo=UTC)
DAY_MS = 86_400_000
NO_SPARK = "sc://127.0.0.1:1"
"""Nobody answers there."""


def wire(at: datetime, kind: str, **fields: Any) -> dict[str, Any]:
    """An event as JSON would carry it."""
    return {"eventType": kind, "timestamp": at.isoformat().replace("+00:00", "Z"), **fields}


def playback(seed: int, viewers: int) -> list[Message]:
    """Events of many kinds of trouble: late, twice, in two partitions, by wrong clocks, with and without session id."""
    rnd = random.Random(seed)
    arrivals: list[tuple[int, int, bytes]] = []
    for n in range(viewers):
        for event in _derived(rnd, n) if n % 3 == 0 else _explicit(rnd, n):
            moment = datetime.fromisoformat(event["timestamp"])
            delay = rnd.choice((0, 1, 2, 90)) if rnd.random() < 0.95 else rnd.randrange(3600, 4 * 3600)
            received = moment + timedelta(seconds=delay, milliseconds=rnd.randrange(1000))
            if (trouble := rnd.random()) < 0.02:
                event["timestamp"] = "2019-03-01T00:00:00Z"
            elif trouble < 0.04:
                event["sentAt"] = (received - timedelta(hours=30)).isoformat()
            if n > 3 and rnd.random() < 0.02 and "eventId" in event:
                event["eventId"] = f"e{n - n % 3 - 2}-3"  # another session's
            raw = msgspec.json.encode(event)
            arrivals.append((to_ms(received), rnd.randrange(2), raw))
            if rnd.random() < 0.08:
                again = received + timedelta(seconds=rnd.choice((0, 0, 5, 26 * 3600)))
                arrivals += [(to_ms(again), rnd.randrange(2), raw)] * rnd.choice((1, 1, 2))
    return numbered(arrivals)


def numbered(arrivals: list[tuple[int, int, bytes]], name: str = PLAYBACK.name) -> list[Message]:
    """(received ms, partition, bytes) → records, offsets in the order of receipt."""
    ends: Counter[int] = Counter()
    sent = []
    for received_ms, partition, raw in sorted(arrivals, key=lambda one: one[0]):
        sent.append(Message(partition, ends[partition], received_ms, raw, name))
        ends[partition] += 1
    return sent


def _explicit(rnd: random.Random, n: int) -> list[dict[str, Any]]:
    at = START + timedelta(minutes=rnd.randrange(180))
    common = {
        "userId": f"u{n % 7}", "sessionId": f"s{n}", "contentId": f"t{rnd.randrange(4)}", "deviceType": "web",
        "country": rnd.choice(("DE", "FR")), "cdn": rnd.choice(("a", "b")), "appVersion": "1.2",
        "durationMs": 2_400_000, "odd": {"n": n},
    }  # fmt: skip
    events = []
    kinds = ["play", "first_frame", *rnd.choices(("heartbeat", "quality_change", "pause", "resume", "seek"), k=6)]
    kinds += ["stall_start", "stall_end", "heartbeat", rnd.choice(("stop", "heartbeat", "error"))]
    for seq, kind in enumerate(kinds):
        more: dict[str, Any] = {"fatal": True, "errorCode": "E7"} if kind == "error" else {}
        more |= {"positionMs": seq * 60_000, "bitrateKbps": 3000 + seq}
        events.append(wire(at, kind, **common, **more, seq=seq, eventId=f"e{n}-{seq}"))
        at += timedelta(milliseconds=rnd.choice((800, 2_500, 61_000, 400_000)))
    return events


def _derived(rnd: random.Random, n: int) -> list[dict[str, Any]]:
    at = START + timedelta(minutes=rnd.randrange(180))
    events = []
    for _ in range(4):
        for kind in ("play", "pause", "play", "stop"):
            events.append(wire(at, kind, userId=f"u{n % 7}", contentId=f"t{n % 2}", deviceType="mobile"))
            at += timedelta(seconds=rnd.choice((5, 60, 600)))
        at += timedelta(minutes=rnd.choice((1, 29, 31, 300)))
    return events


def impressions(count: int) -> list[Message]:
    """A few UI events, one of them sent twice."""
    raws = [
        msgspec.json.encode(wire(START + timedelta(seconds=n), "impression", userId="u1", contentId=f"t{n}"))
        for n in range(count)
    ]
    return numbered([(to_ms(START) + 1000 * n, 0, raw) for n, raw in enumerate([*raws, raws[0]])], "user.ui.events")


def every_kind(topic: EventTopic) -> list[Message]:
    """An event of every kind of the topic, with all its fields."""
    events = [fullest(topic, event_type) | {"eventId": event_type} for event_type in topic.rank]
    return numbered([(to_ms(START), 0, msgspec.json.encode(event)) for event in events], topic.name)


def cmcd(seed: int, players: int) -> list[Message]:
    """Reports of players as a collector hands them on: two targets each, swapped, late, lost, sent again."""
    rnd = random.Random(seed)
    arrivals: list[tuple[int, int, bytes]] = []
    for n in range(players):
        sid, base = (
            f"p{n}" if n else "s1",
            to_ms(START + timedelta(minutes=rnd.randrange(180))),
        )  # s1 is in playback too
        for target in ("a", "b"):
            at, state = base, "s"
            for seq in range(rnd.randrange(2, 14)):
                event = "rr" if target == "b" and rnd.random() < 0.3 else rnd.choice(("ps", "ps", "t", "e"))
                keys = f'br=({rnd.choice((800, 3000))};v 64;a),cid="t{n % 4}",e={event},ec=("27")'
                received = at + (rnd.choice((900, 70_000, 26 * 3_600_000)) if rnd.random() < 0.2 else 40)
                line = f'{keys},sid="{sid}",sn={seq},sta={state},ts={at},v=2'
                report = read_report(line.encode(), CmcdEvent, target, from_ms(received))
                copies = rnd.choice((0, 1, 1, 1, 1, 1, 1, 2))
                arrivals += [
                    (received + 3_000 * k, rnd.randrange(2), msgspec.json.encode(report)) for k in range(copies)
                ]
                at += rnd.choice((20, 400, 3_000, 10_000, 90_000))
                state = rnd.choice("ppprrakwf" + ("eq" if seq > 6 else ""))
    return numbered(arrivals, CMCD.name)


def write_bronze(settings: Settings, sent: list[Message], topic: EventTopic = PLAYBACK) -> None:
    """One commit of the sink."""
    rows = Decoder(topic).decode(sent).rows
    write_deltalake(
        BRONZE[topic.name].path(settings.lake_root),
        rows,
        mode="append",
        partition_by=["received_date"],
        configuration={"delta.enableChangeDataFeed": "true"},
    )


def approve(settings: Settings, manifest: Manifest, *failures: str) -> None:
    """The audit's part, with a verdict of the test's own."""
    verdict = Audit(
        stage_id=manifest.stage_id,
        layer=manifest.layer,
        versions=manifest.versions(),
        passed=not failures,
        audited_at=START,
        failures=list(failures),
    )
    stage.write_audit(settings.lake_root, verdict)


def pass_through(lake: Settings, layer: StagedLayer, days: Days | None = None) -> Manifest | None:
    """Stage, audit, commit."""
    manifest = run.stage(lake, layer, days)
    if manifest is not None:
        approve(lake, manifest)
        run.commit(lake, layer)
    return manifest


def read(settings: Settings, table: str, version: int | None = None) -> list[dict[str, Any]]:
    """Rows of a Delta table `<layer>.<name>`, in an order of their own."""
    path = f"{settings.lake_root}/{table.replace('.', '/')}"
    rows = pa.table(DeltaTable(path, version=version).to_pyarrow_dataset().to_table(use_threads=False)).to_pylist()
    return sorted(rows, key=repr)


def assert_ledger_adds_up(lake: Settings) -> None:
    """What a day's figures were at first, and every change since, is what they are."""
    ledger.record(lake.lake_root, gold_tables().values())
    path = f"{lake.lake_root}/gold/title_daily"
    first: dict[date, int] = {}
    for at in range(DeltaTable(path).version() + 1):
        for day, rows in groupby(read(lake, "gold.title_daily", at), key=lambda row: row["play_date"]):
            first.setdefault(day, sum(row["events"] for row in rows))
    changed = Counter(first)
    for row in read(lake, RESTATEMENTS.full_name):
        if (row["table_name"], row["metric"]) == ("gold.title_daily", "events"):
            changed[row["play_date"]] += row["change"]
    now: Counter[date] = Counter()
    for row in read(lake, "gold.title_daily"):
        now[row["play_date"]] += row["events"]
    assert changed == now


def expected_events(sent: list[Message], topic: EventTopic = PLAYBACK) -> dict[str, dict[str, Any]]:
    """Event id → the record that counts: the first received."""
    rows = Decoder(topic).decode(sent).rows.to_pylist()
    first: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (row["received_at"], row["partition"], row["offset"])):
        first.setdefault(row["event_id"], row)
    return first


def expected_sessions(
    settings: Settings, sent: list[Message], reported: Sequence[Message] = ()
) -> list[dict[str, Any]]:
    """What the plain fold makes of the same records, in one go."""
    table = Decoder(PLAYBACK).decode(sent).rows
    copies = Counter((row["group_id"], row["event_id"]) for row in table.select(["group_id", "event_id"]).to_pylist())
    first = pa.Table.from_pylist(list(expected_events(sent).values()), schema=table.schema).combine_chunks()
    groups: dict[str, list[Any]] = defaultdict(list)
    for name, fact in zip(first["group_id"].to_pylist(), facts_of(first.to_batches()[0]), strict=True):
        groups[name] += [fact] * copies[name, fact.event_id]
    repeated: dict[str, int] = {}
    for name, reports in _reports(reported).items():
        copies = Counter(report.event_id for report in reports)
        first = {report.event_id: report for report in sorted(reports, key=lambda r: r.received_ms, reverse=True)}
        told = translate(first.values(), copies)
        groups[name] += told.facts
        repeated[name] = told.duplicates
    now_ms, timeout_ms = max(one.received_ms for one in (*sent, *reported)), settings.session_timeout_s * 1000
    rows = []
    for name, facts in groups.items():
        for state, minutes in sessionize(facts, timeout_ms):
            state.duplicate_event_count += repeated.get(name, 0)
            rows.append(session_row(state, minutes, now_ms, timeout_ms))
    names = [column.name for column in SILVER["sessions"].columns]
    return sorted(({name: row[name] for name in names} for row in rows), key=repr)


def _reports(sent: Sequence[Message]) -> dict[str, list[Report]]:
    """Session → its reports, copies too."""
    found: dict[str, list[Report]] = defaultdict(list)
    for one in sent:
        report = report_of(one.raw, CMCD.decode(one.raw), one.received_ms)
        found[report.session_id].append(report)
    return found


TOPICS = EVENT_TOPICS
