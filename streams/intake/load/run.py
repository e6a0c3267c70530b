"""A run of the load generator: processes that send their share at their share of the rate, and what came of it."""

from __future__ import annotations

import multiprocessing
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from infra import topics as kafka_topics
from infra.errors import PositionRefused, ProcessError
from infra.settings import Settings
from schemas.registry import EVENT_TOPICS
from streams.intake.load.ledger import OUTCOMES, Meta, Writer, begin, digest
from streams.intake.load.pool import Pool, Record
from streams.intake.load.senders import CollectorSender, KafkaSender

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Barrier, Event

SETTLE_S = 1.0
"""A record's outcome is on the disk about so long after it was sent, or at the end of an epoch."""
PIECE = 1000
NEWS_S = 5.0


@dataclass(frozen=True)
class Plan:
    """What a run is to do. It ends with `events` records or after `seconds`, whatever comes first."""

    to: str
    events: int | None
    seconds: float | None
    rate: float | None = None
    processes: int = 1
    batch: int = 50
    seed: int = 1
    pool: int = 5_000
    key: str | None = None
    ledger: Path | None = None


@dataclass
class Figures:
    """What a run came to. `seconds` is from the first record to the last one's outcome."""

    run: str
    outcomes: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def sent(self) -> int:
        return sum(self.outcomes.values())

    def as_text(self) -> str:
        """One line a figure."""
        per_s = self.outcomes["acked"] / max(self.seconds, 1e-9)
        counts = ", ".join(f"{self.outcomes[name]:,} {name}" for name in OUTCOMES)
        lines = [f"{self.sent:,} events in {self.seconds:.1f} s: {counts}"]
        lines.append(f"{per_s:,.0f} acknowledged events/s, {self.bytes / max(self.seconds, 1e-9) / 1e6:.1f} MB/s")
        if self.latencies_ms:
            ordered = sorted(self.latencies_ms)
            p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99))
            lines.append(f"{len(ordered):,} requests, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        return "\n".join(lines)


def run(settings: Settings, plan: Plan, say: Callable[[str], None]) -> Figures:
    """Do it, with a line of progress a second. Ctrl-C ends it early: what was sent is still settled.

    Raises ProcessError when a process of it fails.
    """
    figures = Figures(f"load-{uuid.uuid4().hex[:8]}")
    if plan.ledger:
        begin(plan.ledger, Meta(figures.run, plan.to, round(time.time() * 1000), _starts(settings)))
    context = multiprocessing.get_context("spawn")
    signs = Signs(context.Barrier(plan.processes + 1), context.Event())
    pipes: list[Connection] = []
    processes = []
    for number in range(plan.processes):
        ours, theirs = context.Pipe()
        arguments = (settings, plan, Pool(figures.run, number, plan.seed, plan.pool), signs, theirs)
        process = context.Process(target=_work, args=arguments, name=f"load-{number}", daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    before = signal.signal(signal.SIGINT, lambda *_: signs.stop.set())
    try:
        signs.ready.wait(120)
        began = time.monotonic()
        _watch(figures, pipes, began, say)
        figures.seconds = time.monotonic() - began
        for process in processes:
            process.join(30)
    finally:
        signal.signal(signal.SIGINT, before)
        for process in processes:
            if process.is_alive():
                process.kill()
    if failed := [process.name for process in processes if process.exitcode]:
        msg = f"{', '.join(failed)} failed; what they said stands above"
        raise ProcessError(msg)
    return figures


def _starts(settings: Settings) -> list[tuple[str, int, int]]:
    """Where the topics end now. Those that were just made are not known to the whole cluster for a moment."""
    from confluent_kafka import KafkaException

    until = time.monotonic() + NEWS_S
    while True:
        try:
            ends = kafka_topics.offsets(settings, EVENT_TOPICS)
        except (KafkaException, PositionRefused) as error:
            if time.monotonic() > until:
                msg = f"where the topics at {settings.bootstrap} end can't be told: {error}"
                raise ProcessError(msg) from error
            time.sleep(0.1)
        else:
            return [(topic, partition, end) for (topic, partition), (_, end) in ends.items()]


def _watch(figures: Figures, pipes: list[Connection], began: float, say: Callable[[str], None]) -> None:
    """Add up what the processes tell, until all have said their last."""
    from multiprocessing.connection import wait

    said = began
    while pipes:
        heard = wait(pipes, timeout=1.0)
        for pipe in [pipe for pipe in pipes if pipe in heard]:
            try:
                outcomes, size, latencies = pipe.recv()
            except EOFError:
                pipes.remove(pipe)
                continue
            figures.outcomes.update(outcomes)
            figures.bytes += size
            figures.latencies_ms += latencies
        now = time.monotonic()
        if now - said >= 1.0:
            said = now
            say(f"{now - began:6.0f} s  {figures.sent:>14,} settled  {figures.sent / (now - began):>10,.0f}/s")


class Signs(NamedTuple):
    """What the processes of a run wait for together, and what tells them to end."""

    ready: Barrier
    stop: Event


def _work(settings: Settings, plan: Plan, pool: Pool, signs: Signs, tell: Connection) -> None:
    """One process: its share of the events, in pieces that keep its share of the rate."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    sender = KafkaSender(settings) if plan.to == "kafka" else CollectorSender(settings, plan.batch, plan.key)
    writer = Writer(plan.ledger, pool.process) if plan.ledger else None
    rate = plan.rate / plan.processes if plan.rate else None
    left = _share(plan.events, plan.processes, pool.process)
    piece = PIECE if rate is None else max(1, min(PIECE, round(rate / 20)))
    signs.ready.wait(120)
    began = settled = time.monotonic()
    until = began + plan.seconds if plan.seconds else None
    sent = 0
    epoch: list[Record] = []
    digests: list[bytes] = []

    def settle() -> None:
        nonlocal epoch, digests, settled
        outcomes = sender.settle()
        if writer:
            writer.settle(epoch, pool.event_ids(sent - len(epoch) + 1, len(epoch)), digests, outcomes)
        latencies: list[float] = []
        if isinstance(sender, CollectorSender):
            latencies, sender.latencies_ms = sender.latencies_ms, []
        tell.send((Counter(outcomes), sum(len(value) for _, _, value in epoch), latencies))
        epoch, digests, settled = [], [], time.monotonic()

    while not signs.stop.is_set() and (left is None or sent < left) and (until is None or time.monotonic() < until):
        batch = pool.take(piece if left is None else min(piece, left - sent))
        if rate and (ahead := began + sent / rate - time.monotonic()) > 0:
            signs.stop.wait(ahead)
        sender.send(batch)
        sent += len(batch)
        epoch += batch
        if writer:
            digests += [digest(value) for _, _, value in batch]
        if len(epoch) >= sender.epoch or (rate and time.monotonic() - settled > SETTLE_S):
            settle()
    settle()
    if writer:
        writer.close()
    tell.close()


def _share(events: int | None, processes: int, number: int) -> int | None:
    if events is None:
        return None
    return events // processes + (number < events % processes)
