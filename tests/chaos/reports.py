"""Players' reports (CMCD) without end, for a load: some come after their successors, as they do over a network."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from schemas.cmcd.wire import read_report
from schemas.events.cmcd import CmcdEvent
from schemas.registry import CMCD
from streams.intake.load.pool import Record

PLAYERS = 40
LATE = 0.03


class Reports:
    """Of the run called `run`, like `streams.intake.load.pool.Pool`: each record begins with the id of its event."""

    def __init__(self, run: str, seed: int) -> None:
        self._run, self._dice = run, random.Random(f"reports/{seed}")
        self._sessions = self._number = 0
        self._players = [self._session() for _ in range(PLAYERS)]
        self._late: list[Record] = []

    def take(self, count: int) -> list[Record]:
        """The next `count` records or fewer: what is held back now comes with the next ones."""
        made, self._late = self._late, []
        for _ in range(count):
            record = self._next(self._dice.randrange(PLAYERS))
            (self._late if self._dice.random() < LATE else made).append(record)
        return made

    def _next(self, player: int) -> Record:
        line = next(self._players[player], None)
        if line is None:
            self._players[player] = self._session()
            line = next(self._players[player])
        self._number += 1
        report = read_report(line.encode(), CmcdEvent, "", datetime.now(UTC))
        head = f'{{"eventId":"{self._run}-{self._number:x}",'.encode()
        body = msgspec.json.encode(msgspec.structs.replace(report, event_id=None))
        return CMCD.name, report.key.encode(), head + body[1:]

    def _session(self) -> Iterator[str]:
        """Lines of one session, each as of the moment that it is asked for."""
        self._sessions += 1
        sid = f"{self._run}-s{self._sessions}"
        for number, (event, state) in enumerate(self._story()):
            yield f'cid="t{self._sessions % 7}",e={event},sid="{sid}",sn={number},sta={state},ts={_now_ms()},v=2'

    def _story(self) -> Iterator[tuple[str, str]]:
        yield from (("ps", "s"), ("ps", "p"))
        for _ in range(self._dice.randint(3, 30)):
            yield from (("ps", "r"), ("ps", "p")) if self._dice.random() < 0.2 else (("t", "p"),)
        yield "ps", "e"


def _now_ms() -> int:
    return round(time.time() * 1000)
