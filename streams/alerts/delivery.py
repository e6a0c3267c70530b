"""Tells of alerts: a line in the log, and a request to the webhook, tried again with growing pauses.

Each change is told at least once: what was not delivered is part of the evaluator's stored state. A receiver knows a
repetition by its `Idempotency-Key`. The webhook's address never gets into a log or an error: it may be a secret.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
from prometheus_client import Counter

from infra.errors import SettingsError
from schemas.alert import Change, question
from schemas.metrics.registry import METRICS
from streams.alerts.cohorts import make, text

log = logging.getLogger("streams.alerts")

TOLD = Counter("playlake_alerts_told", "Changes of alerts, by what became of them", ["outcome"])
FIRST_PAUSE_S, LONGEST_PAUSE_S, TRIES = 1.0, 60.0, 10
"""About five minutes in all."""
TIMEOUT_S = 10.0
FINAL = frozenset(range(400, 500)) - {408, 425, 429}
"""Statuses after which trying again is no use."""


@dataclass(frozen=True)
class Webhook:
    """Where changes are posted to. Its `repr` names the host only."""

    url: str

    def __repr__(self) -> str:
        return f"Webhook({self.host})"

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or "?"

    @classmethod
    def read(cls, path: Path) -> Webhook:
        """From a file of one line. Raises SettingsError, which does not show it."""
        try:
            url = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            msg = f"alert_webhook_file can't be read: {path}: {error.strerror}"
            raise SettingsError(msg) from error
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname or len(url.split()) != 1:
            msg = f"expected one line with an http(s) address in {path}; what it holds is not shown"
            raise SettingsError(msg)
        return cls(url)


class Delivery:
    """Delivers in a thread of its own, in order. `pending` is what is not delivered or given up yet."""

    def __init__(
        self,
        webhook: Webhook | None,
        dashboard: str,
        *,
        pause: Callable[[float], object] | None = None,
        client: httpx.Client | None = None,
    ) -> None:
        """`dashboard`: the address that links begin with."""
        self._webhook, self._dashboard = webhook, dashboard
        self._client = client or httpx.Client(timeout=TIMEOUT_S, follow_redirects=False)
        self._stopping = threading.Event()
        self._pause = pause or self._stopping.wait
        self._waiting: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._pending: dict[str, Change] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What is not delivered stays pending."""
        self._stopping.set()
        self._waiting.put(None)
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S + 1)
        self._client.close()

    def tell(self, changes: Iterable[Change], *, again: bool = False) -> None:
        """Log, and post soon. `again`: of an earlier run, which has logged them."""
        for change in changes:
            if not again:
                log.warning(sentence(change), extra={"kind": change.kind, "alert": msgspec.to_builtins(change.alert)})
            if self._webhook is not None:
                with self._lock:
                    self._pending[change.key] = change
                self._waiting.put(change)

    @property
    def pending(self) -> list[Change]:
        with self._lock:
            return list(self._pending.values())

    def _run(self) -> None:
        while (change := self._waiting.get()) is not None and not self._stopping.is_set():
            outcome = self._post(change)
            if outcome is None:
                return
            TOLD.labels(outcome).inc()
            with self._lock:
                self._pending.pop(change.key, None)

    def _post(self, change: Change) -> str | None:
        """`delivered` or `given up`; None when stopped before."""
        assert self._webhook is not None
        body = msgspec.json.encode(message(change, self._dashboard))
        headers = {"Content-Type": "application/json", "Idempotency-Key": change.key}
        pause_s, why = FIRST_PAUSE_S, ""
        for attempt in range(1, TRIES + 1):
            if self._stopping.is_set():
                return None
            try:
                status = self._client.post(self._webhook.url, content=body, headers=headers).status_code
            except httpx.HTTPError as error:
                why = type(error).__name__  # its text may hold the address
            else:
                if status < 300:
                    return "delivered"
                why = f"status {status}"
                if status in FINAL:
                    break
            facts = {"host": self._webhook.host, "attempt": attempt, "why": why, "change": change.key}
            log.warning("the webhook did not take an alert", extra=facts)
            if attempt < TRIES:
                self._pause(pause_s * random.uniform(0.8, 1.2))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        facts = {"host": self._webhook.host, "why": why, "change": change.key}
        log.error("an alert was not delivered", extra=facts)
        return "given up"


def message(change: Change, dashboard: str) -> dict[str, object]:
    """What is posted. `text` is what chat services show."""
    link = f"{dashboard}/cohorts?{question(change.alert)}"
    told = {"kind": change.kind, "key": change.key, "text": f"{sentence(change)} {link}", "link": link}
    return {**told, "alert": msgspec.to_builtins(change.alert)}


def sentence(change: Change) -> str:
    """For people: what, who, how much, and how much is usual."""
    alert = change.alert
    value = "unknown" if alert.value is None else f"{alert.value:.4g}"
    usual = "" if alert.expected is None else f", usually {alert.expected:.4g}"
    return (
        f"Alert {change.kind}: {METRICS[alert.metric].title} of {text(make(alert.cohort.items()))} is {value}"
        f"{usual} (limit {alert.limit:.4g}, unit {alert.unit}, rule {alert.rule})."
    )
