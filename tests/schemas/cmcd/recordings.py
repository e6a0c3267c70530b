"""Reports that a real player sent, and what its video element knew: recordings beside the clone, or not there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from infra.settings import ROOT
from schemas.cmcd.report import Report, report_of
from schemas.cmcd.wire import lines, read_report
from schemas.events.cmcd import CmcdEvent
from schemas.fact import from_ms

FOLDER = ROOT.parent / "shared" / "cmcd" / "dashjs"
SCENARIOS = ("a", "b", "c", "d", "d_destroy", "e", "e2", "f", "g_503")
needed = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the recordings of dash.js are not there ({FOLDER})")


def requests(scenario: str) -> Iterator[dict[str, Any]]:
    """Every POST, in the order in which it came."""
    for line in (FOLDER / f"{scenario}.requests.ndjson").read_text().splitlines():
        request = json.loads(line)
        if request["method"] == "POST":
            yield request


def reports(scenario: str, target: str | None = None) -> list[Report]:
    """Every report, as the stream makes it of its record; `target`: only of this one."""
    found = []
    for request in requests(scenario):
        of_target = request["query"].removeprefix("?t=")
        if target in (None, of_target):
            found += [read(line, of_target, request["recv_ms"]) for line in lines(request["body"].encode())]
    return found


def read(line: bytes, target: str, received_ms: int) -> Report:
    event = read_report(line, CmcdEvent, target, datetime.fromtimestamp(received_ms / 1000, UTC))
    return report_of(msgspec.json.encode(event), event, received_ms)


class Truth:
    """What the video element said of one scenario. Times in ms."""

    def __init__(self, scenario: str) -> None:
        text = (FOLDER / f"{scenario}.groundtruth.ndjson").read_text()
        self.events: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]

    def at(self, kind: str) -> int | None:
        """When something first happened."""
        return next((event["wall"] for event in self.events if event["type"] == kind), None)

    @property
    def startup_ms(self) -> int | None:
        """From the call to load until it plays."""
        asked, playing = self.at("load_call"), self.at("playing")
        return None if asked is None or playing is None else playing - asked

    @property
    def spans(self) -> tuple[list[int], int]:
        """Length of each stall, and the time that it played."""
        stalls: list[int] = []
        playing_ms, since, stalled = 0, None, None
        is_seeking = False
        for event in self.events:
            kind, at = event["type"], event["wall"]
            if kind == "playing":
                stalls += [at - stalled] if stalled else []
                since, stalled, is_seeking = at, None, False
            elif kind in ("waiting", "pause", "seeking", "ended", "pagehide"):
                is_seeking |= kind == "seeking"
                stalled = at if kind == "waiting" and since and not is_seeking else stalled
                playing_ms += at - since if since else 0
                since = None
        return stalls, playing_ms


def now() -> datetime:
    return from_ms(1_795_253_822_548)
