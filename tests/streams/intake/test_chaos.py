"""Collector and broker killed under load, again and again: what was acknowledged, by events or reports, is in Kafka."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from infra import topics as kafka_topics
from infra.settings import Settings
from schemas.registry import CMCD, TOPICS
from tests.conftest import RunningBroker, isolated_settings
from tests.streams.intake.collector_world import PLAYBACK, SEED, RunningCollector, read_all

CLIENTS = 4
PLAYERS = 2
BATCH = 50
SECONDS = 90
KINDS = ("broker", "collector", "both", "stop", "collector")


class Ledger:
    """What the clients were told. An event that nobody answered for is sent again, as an SDK does."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.kept: set[bytes] = set()
        self.answers: Counter[str] = Counter()
        self.reports: set[bytes] = set()
        """Ids of the players' reports that were answered with 204."""
        self.told_players: Counter[str] = Counter()
        self.stopping = threading.Event()

    def client(self, number: int) -> None:
        count, batch = 0, []
        with httpx.Client(timeout=10) as session:
            while not self.stopping.is_set() or batch:
                if not batch:
                    batch = [b"%d-%d-%d" % (number, count, n) for n in range(BATCH)]
                    count += 1
                batch = self._post(session, batch)

    def player(self, number: int) -> None:
        """A page that reports by CMCD, one report after the other, each until it is taken."""
        count = 0
        with httpx.Client(timeout=10) as session:
            while not self.stopping.is_set():
                line = b'e=t,sid="p%d",sn=%d,sta=p,ts=%d,v=2' % (number, count, time.time_ns() // 1_000_000)
                try:
                    status = session.post(f"{self.url}/v1/cmcd?t=a", content=line).status_code
                except httpx.TransportError:
                    status = 0
                self.told_players[str(status or "none")] += 1
                if status == 204:
                    self.reports.add(b"p%d/a/%d" % (number, count))
                    count += 1
                time.sleep(0.01 if status == 204 else 0.2)

    def _post(self, session: httpx.Client, ids: list[bytes]) -> list[bytes]:
        lines = b"\n".join(SEED[:-1] + b',"eventId":"' + one + b'"}' for one in ids)
        try:
            answer = session.post(f"{self.url}/v1/events", content=lines)
            verdicts = answer.json()["events"]
        except (httpx.TransportError, ValueError, KeyError):
            self.answers["none"] += 1
            time.sleep(0.2)
            return ids
        self.answers[str(answer.status_code)] += 1
        statuses = [verdict["status"] for verdict in verdicts]
        self.kept.update(one for one, status in zip(ids, statuses, strict=True) if status in ("accepted", "duplicate"))
        left = [one for one, status in zip(ids, statuses, strict=True) if status == "unknown"]
        if left:
            time.sleep(1)
        return left


def ids_in(settings: Settings, topic: str) -> Counter[bytes]:
    """How often each eventId is in a topic."""
    values = (value or b"" for *_, value in read_all(settings, topic))
    return Counter(value.partition(b'"eventId":"')[2].partition(b'"')[0] for value in values)


@pytest.mark.kafka
@pytest.mark.chaos
@pytest.mark.timeout(400)
def test_every_acknowledged_event_is_in_kafka(tmp_path: Path) -> None:
    settings = replace(isolated_settings(tmp_path / "own"), collector_spool_bytes=5_000_000)
    choose = random.Random(7)
    broker = RunningBroker(settings)
    kafka_topics.ensure_topics(settings, TOPICS)
    collector = RunningCollector(settings)
    collector.wait_listening()
    ledger = Ledger(collector.url)
    threads = [threading.Thread(target=ledger.client, args=(number,)) for number in range(CLIENTS)]
    threads += [threading.Thread(target=ledger.player, args=(number,)) for number in range(PLAYERS)]
    for thread in threads:
        thread.start()
    kills: Counter[str] = Counter()
    end = time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            time.sleep(choose.uniform(1, 4))
            what = KINDS[kills.total() % len(KINDS)]
            kills[what] += 1
            if what in ("broker", "both"):
                broker.stop(signal.SIGKILL)
                time.sleep(choose.uniform(0, 4))
            if what in ("collector", "both"):
                collector.process.kill()
                collector.process.wait()
                collector = RunningCollector(settings)
            if what == "stop":
                assert collector.stop() == 0
                collector = RunningCollector(settings)
            if what in ("broker", "both"):
                time.sleep(choose.uniform(0, 2))
                broker = RunningBroker(settings)
        ledger.stopping.set()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        collector.wait_drained()
        found, reported = ids_in(settings, PLAYBACK), ids_in(settings, CMCD.name)
        missing = (ledger.kept - found.keys()) | (ledger.reports - reported.keys())
        twice = sum(count - 1 for count in (found + reported).values())
        print(
            f"\n{len(ledger.kept):,} events acknowledged, {len(missing)} missing, {twice:,} twice in Kafka; "
            f"answers {dict(ledger.answers)}; kills {dict(kills)}\n"
            f"{len(ledger.reports):,} players' reports acknowledged; answers {dict(ledger.told_players)}"
        )
        assert not missing
        assert ledger.told_players.keys() <= {"204", "503", "none"}
        assert len(ledger.reports) > 100
        assert ledger.answers["200"] > 100
    finally:
        ledger.stopping.set()
        collector.stop()
        broker.stop()
