"""Reads the numbers of one second from the warehouse: the live file of this second, the published file of this publish.

What can change only with a minute or a publish is asked once for it and kept; what changes every second is asked then.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec

from warehouse.dashboard import questions
from warehouse.dashboard.alerts import RECENT_S, shown
from warehouse.dashboard.files import Files, Row
from warehouse.dashboard.moments import stamp
from warehouse.dashboard.payload import AlertShown, Cohort, Delivery, History, Publish, Seconds, Series, Tile, Title

WINDOW_MINUTES = 5
"""Whole minutes, beside the running one, that ratios, titles and cohorts look back."""
TOP_TITLES = 8
TOP_COUNTRIES = 8
TOP_DELIVERIES = 60
"""Of the most watched; which of them is worst is told by the page."""
MAX_HISTORY_S = 8 * 86_400
_MEMORY_BYTES = 48_000_000
_HISTORIES_KEPT = 64
_EARLIER = {"hour_ago": 3_600, "day_ago": 86_400, "week_ago": 7 * 86_400}
_HEADLINES = get_args(get_type_hints(Tile)["metric"])


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was read in one second."""

    publish: Publish
    now: Row
    live_from: int | None = None
    window_minutes: int = WINDOW_MINUTES
    tiles: list[Tile] = []
    minutes: Series = msgspec.field(default_factory=lambda: series([]))
    seconds: Seconds | None = None
    titles: list[Title] = []
    cohorts: list[Cohort] = []
    deliveries: list[Delivery] = []
    alerts: list[AlertShown] = []


class Board:
    """One connection over both files. Not thread-safe: the hub asks one question at a time."""

    def __init__(self, folder: Path, settled_s: int) -> None:
        """`folder`: the warehouse's; `settled_s`: age after which a live minute no longer changes."""
        self._files = Files(folder, _MEMORY_BYTES)
        self._settled_s = settled_s
        self._minutes: dict[int, Row] = {}
        self._minutes_asked: tuple[object, ...] = ()
        self._earlier: dict[str, Row] = {}
        self._earlier_asked: tuple[object, ...] = ()
        self._histories: dict[tuple[int, int], History] = {}

    def read(self) -> Reading:
        """The numbers as the files hold them now."""
        publish = self._refresh()
        now = self._files.one(questions.NOW)
        at_ms: int | None = now["newest_at"]
        alerts = shown(row["record"] for row in self._files.ask(questions.ALERTS, recent=stamp(time.time() - RECENT_S)))
        if at_ms is None:
            return Reading(publish=publish, now=now, alerts=alerts)
        return Reading(
            publish=publish,
            now=now,
            live_from=self._live_from(publish.cutover_minute),
            tiles=self._tiles(at_ms, now, publish),
            minutes=self._live_minutes(at_ms, publish.cutover_minute),
            seconds=self._last_hour(),
            titles=self._titles(at_ms),
            cohorts=self._cohorts(at_ms),
            deliveries=self._deliveries(at_ms),
            alerts=alerts,
        )

    def history(self, start: int, stop: int) -> History:
        """Published minutes in [start, stop), kept until the next publish."""
        publish = self._refresh()
        key = (start, stop)
        if key not in self._histories:
            upto = stop if publish.cutover_minute is None else min(stop, publish.cutover_minute)
            rows = self._files.ask(questions.PUBLISHED_MINUTES, start=stamp(start), stop=stamp(upto))
            if len(self._histories) >= _HISTORIES_KEPT:
                self._histories.pop(next(iter(self._histories)))
            self._histories[key] = History(publish=publish, minutes=series(rows))
        return self._histories[key]

    def close(self) -> None:
        """Let go of the files."""
        self._files.close()

    def _refresh(self) -> Publish:
        """Attach the files of now."""
        publish, is_new = self._files.refresh()
        if is_new:
            self._histories.clear()
        return publish

    def _live_from(self, cutover: int | None) -> int | None:
        """First minute that live holds whole: the cut-over, but for a gap; before any publish, the first there is."""
        held = self._files.one(questions.HELD)
        known: list[int] = [minute for minute in (held["gap_to"], cutover) if minute is not None]
        return max(known) if known else held["first"]

    def _live_minutes(self, at_ms: int, cutover: int | None) -> Series:
        minute = at_ms // 60_000 * 60
        asked = (minute, cutover, self._files.published)
        whole = asked != self._minutes_asked
        start = 0 if whole else minute - self._settled_s
        rows = self._files.ask(questions.LIVE_MINUTES, start=stamp(max(start, cutover or 0)), stop=stamp(minute + 60))
        fresh = {row["minute"]: row for row in rows}
        self._minutes = fresh if whole else {**{m: r for m, r in self._minutes.items() if m < start}, **fresh}
        self._minutes_asked = asked
        return series(list(self._minutes.values()))

    def _tiles(self, at_ms: int, now: Row, publish: Publish) -> list[Tile]:
        minute = at_ms // 60_000 * 60
        asked = (minute, publish.publish_id)
        if asked != self._earlier_asked:
            self._earlier = {
                name: self._headlines(minute - back, minute - back, publish) for name, back in _EARLIER.items()
            }
            self._earlier_asked = asked
        current = self._headlines(minute, minute + 60, publish) | self._files.one(questions.LAST_60_SECONDS)
        current["concurrent_viewers"] = now["concurrent"]
        return [
            Tile(
                metric=metric,
                value=current.get(metric),
                **{name: row.get(metric) for name, row in self._earlier.items()},
            )
            for metric in _HEADLINES
        ]

    def _headlines(self, minute: int, stop: int, publish: Publish) -> Row:
        """The headline numbers of the whole minutes before `minute`; ratios take in what comes until `stop`, too."""
        start = minute - WINDOW_MINUTES * 60
        question = questions.LIVE_HEADLINES if start >= (publish.cutover_minute or 0) else questions.HEADLINES
        return self._files.one(question, start=stamp(start), stop=stamp(stop), minute=stamp(minute - 60))

    def _titles(self, at_ms: int) -> list[Title]:
        start, minutes = stretch(at_ms)
        settled = WINDOW_MINUTES - 1
        rows = self._files.ask(
            questions.TITLES,
            before=stamp(start - settled * 60),
            start=stamp(start),
            settled=stamp(start + settled * 60),
            at=stamp(at_ms / 1000),
            minutes=minutes,
            settled_minutes=settled,
            top=TOP_TITLES,
        )
        return [Title(**row) for row in rows]

    def _cohorts(self, at_ms: int) -> list[Cohort]:
        start, minutes = stretch(at_ms)
        rows = self._files.ask(
            questions.COHORTS, start=stamp(start), at=stamp(at_ms / 1000), minutes=minutes, top=TOP_COUNTRIES
        )
        return [Cohort(**row) for row in rows]

    def _deliveries(self, at_ms: int) -> list[Delivery]:
        start, minutes = stretch(at_ms)
        rows = self._files.ask(
            questions.DELIVERIES, start=stamp(start), at=stamp(at_ms / 1000), minutes=minutes, top=TOP_DELIVERIES
        )
        return [Delivery(**row) for row in rows]

    def _last_hour(self) -> Seconds | None:
        row = self._files.one(questions.SECONDS)
        return Seconds(**row) if row.get("first") else None


def stretch(at_ms: int) -> tuple[int, float]:
    """The last whole minutes and the running one: their start, and their length in minutes."""
    start = at_ms // 60_000 * 60 - WINDOW_MINUTES * 60
    return start, (at_ms / 1000 - start) / 60


def series(rows: list[Row]) -> Series:
    """Rows as columns."""
    return Series(**{name: [row[name] for row in rows] for name in Series.__struct_fields__})
