"""Those who ask: dashboards, which follow the live numbers and ask their page's questions, and users of SQL."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import psutil

HOUR_S, DAY_S = 3_600, 86_400

QUESTIONS: dict[str, str] = {
    "Now: history of a day": "/v1/dashboard/history?from={day_ago}&to={now}",
    "Quality: stalls by country and device, an hour": (
        "/v1/dashboard/cohorts?metric=stalled_share&by=country&by=device_type&span=3600"
    ),
    "Quality: startup p95 by CDN and version, a day": (
        "/v1/dashboard/cohorts?metric=startup_p95_ms&by=cdn&by=app_version&span=86400"
    ),
    "Quality: startup p95 by country and CDN, a week": (
        "/v1/dashboard/cohorts?metric=startup_p95_ms&by=country&by=cdn&span=604800"
    ),
    "Quality: trend of startup p95, a week": (
        "/v1/dashboard/cohorts/trend?metric=startup_p95_ms&where=country:BR&span=604800"
    ),
    "Titles: list, an hour": "/v1/dashboard/titles?span=3600",
    "Titles: list, a day": "/v1/dashboard/titles?span=86400",
}
"""What pages ask of minutes and hours. `{now}` is the live clock."""

SQL = (
    "FROM metrics.freshness",
    "SELECT minute, plays FROM metrics.quality_minute WHERE rollup = 'total' AND minute >= '{day}' ORDER BY 1",
    """SELECT country, device_type, stalled_share(stall_ms, watched_ms) FROM gold.quality_hourly
    WHERE play_date >= DATE '{day}' GROUP BY ALL""",
    "SELECT * FROM silver.sessions WHERE start_date = DATE '{day}' AND user_id = 'u{user}'",
    "SELECT play_date, content_id, watched_ms FROM gold.title_daily WHERE content_id = 'title-{user}' ORDER BY 1",
)


@dataclass
class Crowd:
    """What became of what was asked."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)
    events: int = 0
    peak_rss_mb: float = 0.0
    peak_children: int = 0

    def note(self, kind: str, began: float, answer: httpx.Response) -> None:
        """One answer."""
        if answer.status_code != 200:
            self.wrong[f"{kind}: {answer.status_code} {answer.text[:120]}"] += 1
        self.seconds.setdefault(kind, []).append(time.monotonic() - began)


async def crowd(url: str, pid: int, now_s: int, seconds: float, *, viewers: int, users: int) -> Crowd:
    """So many of both at once, for so long. `pid`: the server's; `now_s`: the live clock."""
    found, end = Crowd(), time.monotonic() + seconds
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        each = [_viewer(client, number, now_s, end, found) for number in range(viewers)]
        each += [_follow(client, end, found) for _ in range(viewers)]
        each += [_user(client, number, now_s, end, found) for number in range(users)]
        await asyncio.gather(*each, _watch(pid, end, found))
    return found


async def _viewer(client: httpx.AsyncClient, number: int, now_s: int, end: float, found: Crowd) -> None:
    """Looks at a page for a while, which asks again every few seconds, then at another."""
    drawn = random.Random(number)
    await asyncio.sleep(drawn.uniform(0, 5))
    while time.monotonic() < end:
        address = drawn.choice(list(QUESTIONS.values())).format(now=now_s, day_ago=now_s - DAY_S)
        for _ in range(3):
            await _ask(found, "dashboard", partial(client.get, address))
            await asyncio.sleep(5)


async def _user(client: httpx.AsyncClient, number: int, now_s: int, end: float, found: Crowd) -> None:
    drawn = random.Random(number)
    while time.monotonic() < end:
        day = time.strftime("%Y-%m-%d", time.gmtime(now_s - drawn.randrange(1, 8) * DAY_S))
        sql = drawn.choice(SQL).format(day=day, user=drawn.randrange(1_000))
        await _ask(found, "SQL", partial(client.post, "/v1/sql", json={"sql": sql}))
        await asyncio.sleep(drawn.uniform(1, 8))


async def _ask(found: Crowd, kind: str, ask: Callable[[], Awaitable[httpx.Response]]) -> None:
    began = time.monotonic()
    try:
        found.note(kind, began, await ask())
    except httpx.HTTPError as error:
        found.wrong[f"{kind}: {error!r}"] += 1


async def _follow(client: httpx.AsyncClient, end: float, found: Crowd) -> None:
    """The live numbers, as every page follows them."""
    try:
        async with client.stream("GET", "/v1/live") as stream:
            async for line in stream.aiter_lines():
                found.events += line.startswith("data:")
                if time.monotonic() > end:
                    return
    except httpx.HTTPError as error:
        found.wrong[f"live: {error!r}"] += 1


async def _watch(pid: int, end: float, found: Crowd) -> None:
    """The server's own memory, without that of its children."""
    server = psutil.Process(pid)
    while time.monotonic() < end:
        found.peak_rss_mb = max(found.peak_rss_mb, rss_mb(pid))
        found.peak_children = max(found.peak_children, len(server.children(recursive=True)))
        await asyncio.sleep(0.5)


def rss_mb(pid: int) -> float:
    """Resident memory, MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6
