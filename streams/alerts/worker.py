"""The alert evaluator's process: `python -m streams.alerts.worker`.

It follows the live topic, hands each settled minute to `streams/alerts/evaluator.py`, stores what came of it, and
tells. After a restart the minutes that were judged before only teach; what is stored says which alerts are open.
Minutes that ended while it was down are judged then. One process, since all cohorts are judged together.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from infra import log as logs
from infra.errors import ContractError, PlaylakeError
from infra.health import reachable
from infra.kafka import consumer_config
from infra.settings import Settings
from schemas.alert import Alert, Change, Severity
from schemas.registry import LIVE_QUALITY
from streams.alerts.delivery import Delivery, Webhook
from streams.alerts.evaluator import Evaluator, State
from streams.alerts.method import Method
from streams.alerts.minutes import MINUTE_S, OpenMinutes
from streams.alerts.rule import SHIPPED, load
from streams.alerts.stored import Saved, Store
from streams.alerts.thresholds import Thresholds

log = logging.getLogger("streams.alerts")

BATCH_RECORDS = 5_000
NEWS_S = 600
"""Of a first start: what opened longer ago than that is shown, and told nobody."""

JUDGED = Gauge("playlake_alerts_judged_minute", "Start of the newest minute that was judged, Unix s")
OPEN = Gauge("playlake_alerts_open", "Open alerts", ["severity"])
CHANGES = Counter("playlake_alerts_changes", "Alerts that opened, moved or closed", ["kind"])
COHORTS = Gauge("playlake_alerts_cohorts", "Cohorts that are followed")
REJECTED = Counter("playlake_alerts_rejected", "Records of the live topic that are no live values")
JUDGE_SECONDS = Histogram("playlake_alerts_judge_seconds", "Time to judge a minute")


def evaluator_of(settings: Settings) -> Evaluator:
    """With the rules that the settings name. Raises SettingsError."""
    folder = Path(settings.alert_rules) if settings.alert_rules else SHIPPED
    return Evaluator(Thresholds(load(folder)), Method(false_alarms_per_day=settings.alert_false_alarms_per_day))


class AlertWorker:
    """Reads, judges, stores, tells. `run` goes on until `stop`."""

    def __init__(self, settings: Settings, delivery: Delivery, wall_clock: Callable[[], float] = time.time) -> None:
        self._settings, self._delivery, self._wall_clock = settings, delivery, wall_clock
        self._evaluator = evaluator_of(settings)
        self._store = Store(settings)
        self._minutes = OpenMinutes()
        self._state = State()
        self._saved = self._store.read()
        self._is_resumed = False
        self._undelivered: tuple[str, ...] = ()
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        """Raises KafkaException, DeliveryError: the supervisor starts it again."""
        if self._saved:
            self._delivery.tell(self._saved.undelivered, again=True)
        config = consumer_config(self._settings, "playlake-alerts", {"enable.partition.eof": True})
        consumer = Consumer(config, logger=logging.getLogger("librdkafka"))
        try:
            known = consumer.list_topics(LIVE_QUALITY.name, timeout=30).topics[LIVE_QUALITY.name]
            places = [TopicPartition(LIVE_QUALITY.name, n, OFFSET_BEGINNING) for n in known.partitions]
            behind = {place.partition: consumer.get_watermark_offsets(place, 30)[1] for place in places}
            consumer.assign(places)
            while not self._stopping.is_set():
                for message in consumer.consume(BATCH_RECORDS, 0.5):
                    self._take(message, behind)
                if not behind:
                    self._judge_settled()
                    self._note_delivered()
        finally:
            consumer.close()

    def _take(self, message: Message, behind: dict[int, int]) -> None:
        partition, offset, error = message.partition(), message.offset(), message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        if partition in behind and (error is not None or offset is None or offset + 1 >= behind[partition]):
            del behind[partition]
        key, value = message.key(), message.value()
        if error is not None or key is None or value is None:
            return
        try:
            self._minutes.apply(key, value)
        except ContractError as wrong:
            REJECTED.inc()
            log.warning("live record skipped", extra={"reason": wrong.detail, "offset": offset})

    def _judge_settled(self) -> None:
        """Judge every minute that is due, in order; one of which nothing came too."""
        while not self._stopping.is_set():
            first = self._minutes.oldest_s
            minute_s = self._state.judged_s + MINUTE_S if self._state.judged_s else first
            if minute_s is None:
                return
            settled_s, latest_s = self._settings.alert_settle_s, self._settings.live_freeze_after_s
            if not self._minutes.is_settled(minute_s, settled_s, round(self._wall_clock() * 1000), latest_s):
                return
            self._judge(minute_s)

    def _judge(self, minute_s: int) -> None:
        is_replay = self._saved is not None and minute_s <= self._saved.judged_s
        if self._saved is not None and not is_replay and not self._is_resumed:
            self._is_resumed = True  # what the replay has taught is kept; what is open was decided then
            self._state = replace(self._state, tracked=self._saved.tracked)
        began = time.perf_counter()
        self._state, changes = self._evaluator.advance(self._state, self._minutes.take(minute_s))
        JUDGE_SECONDS.observe(time.perf_counter() - began)
        JUDGED.set(minute_s)
        COHORTS.set(len(self._state.history.places))
        if is_replay:
            return
        if self._saved is None and minute_s < self._wall_clock() - NEWS_S:
            changes = [change for change in changes if change.kind == "closed"]
            log.info("judged before the first start", extra={"minute": minute_s, "closed": len(changes)})
            told = []
        else:
            told = changes
        for change in told:
            CHANGES.labels(change.kind).inc()
        is_open = [one.alert for one in self._state.tracked if one.is_open]
        for severity in get_args(Severity):
            OPEN.labels(severity).set(sum(alert.severity == severity for alert in is_open))
        closed = [change.alert for change in changes if change.kind == "closed"]
        self._store_state((*self._delivery.pending, *told), [*is_open, *closed])
        self._delivery.tell(told)

    def _note_delivered(self) -> None:
        """What was told is not told again after a restart."""
        if tuple(change.key for change in self._delivery.pending) != self._undelivered:
            self._store_state(self._delivery.pending, [])

    def _store_state(self, undelivered: Sequence[Change], alerts: Sequence[Alert]) -> None:
        if not self._state.judged_s or (self._saved is not None and self._state.judged_s <= self._saved.judged_s):
            return  # the stored state is further
        saved = Saved(judged_s=self._state.judged_s, tracked=self._state.tracked, undelivered=tuple(undelivered))
        self._store.write(saved, alerts)
        self._undelivered = tuple(change.key for change in undelivered)


def main() -> int:
    """Exit code."""
    logs.setup("alerts")
    try:
        settings = Settings.from_env()
        webhook = Webhook.read(Path(settings.alert_webhook_file)) if settings.alert_webhook_file else None
        delivery = Delivery(webhook, f"http://{reachable(settings.host)}:{settings.server_port}")
        worker = AlertWorker(settings, delivery)
    except PlaylakeError as error:
        log.error("%s", error)
        return 1
    start_http_server(settings.alerts_port, settings.host)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: worker.stop())
    delivery.start()
    try:
        worker.run()
    except (KafkaException, PlaylakeError) as error:
        log.error("%s", error)
        return 1
    finally:
        delivery.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
