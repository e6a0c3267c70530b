"""The load of the fault suite: `python -m tests.chaos.load --to WHERE --rate N --ledger FOLDER --seed N`.

Events go to `kafka` or by the `collector`, players' reports to `kafka-cmcd`. This is the platform's own load generator
(`streams/intake/load`) with what players and networks add to it: one record in a
hundred is broken, one in a hundred comes twice. Each record's fate is in the ledger, flushed to the disk. It goes on
until SIGTERM, settles what it has sent, and ends with 0.

The ledger's sha256 is not that of the bytes, but of what a bronze row must say (`proof_sql`); of a broken record, which
becomes a dead letter, it is that of the bytes. Every record begins with its event's id, the broken ones too.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import sys
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from infra.settings import Settings
from streams.intake.load.ledger import Meta as LedgerMeta
from streams.intake.load.ledger import Outcome, Writer, begin
from streams.intake.load.pool import Pool, Record
from streams.intake.load.senders import CollectorSender, KafkaSender, Sender
from streams.intake.load.verify import ID
from streams.intake.simulation.faults import BREAKS
from tests.chaos.reports import Reports

POISON = 0.01
AGAIN = 0.01
AGAIN_AFTER = 400
"""About how many records later a copy follows."""
PROVEN = ("eventId", "eventType", "userId", "sessionId", "country")
SETTLE_S = 1.0


def proof(value: bytes) -> bytes:
    """sha256 of what the fields say; of a record that breaks its contract, of its bytes."""
    try:
        event = msgspec.json.decode(value)
        at = round(datetime.fromisoformat(event["timestamp"]).timestamp() * 1000)
        said = "|".join([*(str(event.get(name) or "") for name in PROVEN), str(at)])
    except (msgspec.DecodeError, TypeError, ValueError, KeyError, AttributeError, UnicodeDecodeError):
        return hashlib.sha256(value).digest()
    return hashlib.sha256(said.encode()).digest()


def proof_sql() -> str:
    """The same of a bronze row, as hexadecimal digits, in DuckDB."""
    names = ("event_id", "event_type", "user_id", "session_id", "country")
    fields = ", ".join(f"coalesce({name}, '')" for name in names)
    return f"sha256(concat_ws('|', {fields}, epoch_ms(timestamp)::VARCHAR))"


class Trouble:
    """Breaks some records, and remembers others to send them again."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(f"trouble/{seed}")
        self._again: deque[tuple[int, Record, bytes]] = deque()
        self._count = 0

    def add(self, records: Sequence[Record]) -> list[tuple[Record, bytes]]:
        """The records as they are to be sent, each with its proof."""
        made: list[tuple[Record, bytes]] = []
        for topic, key, value in records:
            self._count += 1
            lot = self._dice.random()
            if lot < POISON:
                broken = self._broken(value)
                made.append(((topic, key, broken), hashlib.sha256(broken).digest()))
                continue
            record, shown = (topic, key, value), proof(value)
            made.append((record, shown))
            if lot < POISON + AGAIN:
                self._again.append((self._count + AGAIN_AFTER, record, shown))
            if self._again and self._again[0][0] <= self._count:
                made.append(self._again.popleft()[1:])
        return made

    def _broken(self, value: bytes) -> bytes:
        while True:
            broken = self._dice.choice(BREAKS)(value)
            if broken and ID.match(broken):
                return broken


def run(settings: Settings, to: str, *, rate: float, folder: Path, seed: int, stop: threading.Event) -> Counter[str]:
    """Send until `stop` is set; how many came to which outcome."""
    name = f"{to}-{uuid.uuid4().hex[:6]}"
    begin(folder, LedgerMeta(name, to, round(time.time() * 1000), []))
    sender: Sender = CollectorSender(settings, batch=50) if to == "collector" else KafkaSender(settings)
    pool = Reports(name, seed) if to == "kafka-cmcd" else Pool(name, 0, seed, 4_000)
    trouble, writer = Trouble(seed), Writer(folder, 0)
    totals: Counter[str] = Counter()
    epoch: list[tuple[Record, bytes]] = []
    piece = max(1, round(rate / 20))
    began = settled = time.monotonic()
    sent = 0

    def settle() -> None:
        nonlocal epoch, settled
        outcomes: list[Outcome] = sender.settle()
        ids = [_id_of(record) for record, _ in epoch]
        writer.settle([record for record, _ in epoch], ids, [shown for _, shown in epoch], outcomes)
        totals.update(outcomes)
        epoch, settled = [], time.monotonic()

    while not stop.is_set():
        if (ahead := began + sent / rate - time.monotonic()) > 0:
            stop.wait(ahead)
        elif ahead < -SETTLE_S:
            began -= ahead  # after an outage the rate is what it was, not what was missed on top
        made = trouble.add(pool.take(piece))
        sender.send([record for record, _ in made])
        sent += len(made)
        epoch += made
        if time.monotonic() - settled > SETTLE_S or len(epoch) >= sender.epoch:
            settle()
    settle()
    writer.close()
    return totals


def _id_of(record: Record) -> str:
    found = ID.match(record[2])
    assert found, record
    return found[1].decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", choices=("kafka", "collector", "kafka-cmcd"), required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    totals = run(
        Settings.from_env(), options.to, rate=options.rate, folder=options.ledger, seed=options.seed, stop=stop
    )
    print(f"load to {options.to}: {dict(totals)}", flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
