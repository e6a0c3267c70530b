"""What the evaluator keeps in the topic `live.alerts`: its own state under one key, every alert under its id.

The state is one record: how far minutes were judged, the alerts that are open or about to open, and what was not
delivered yet. It is written before the alerts' own records and before anything is delivered, so a crash in between
tells an alert late or the same one again (same key), never two different ones.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from infra.errors import DeliveryError, PositionRefused
from infra.kafka import consumer_config, producer_config
from infra.settings import Settings
from schemas.alert import STATE_KEY, Alert, Change, topic_key
from schemas.registry import LIVE_ALERTS
from streams.alerts.evaluator import Tracked

VERSION = 1
TIMEOUT_S = 30.0


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """The state's record. `judged_s`: start of the newest minute that was judged, seconds of epoch."""

    version: int = VERSION
    judged_s: int = 0
    tracked: tuple[Tracked, ...] = ()
    undelivered: tuple[Change, ...] = ()


class Store:
    """Reads and writes the topic. Not thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = Producer(producer_config(settings, {"linger.ms": 5}))

    def read(self) -> Saved | None:
        """The newest state; None before the first. Raises PositionRefused for one of a later version."""
        place = TopicPartition(LIVE_ALERTS.name, 0, OFFSET_BEGINNING)
        consumer = Consumer(consumer_config(self._settings, "playlake-alerts-state", {"enable.partition.eof": True}))
        found: bytes | None = None
        try:
            consumer.assign([place])
            while True:
                message = consumer.poll(TIMEOUT_S)
                if message is None:
                    msg = f"{LIVE_ALERTS.name} could not be read within {TIMEOUT_S:.0f} s"
                    raise PositionRefused(msg)
                if (error := message.error()) is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        break
                    raise KafkaException(error)
                if message.key() == STATE_KEY:
                    found = message.value()
        finally:
            consumer.close()
        if found is None:
            return None
        if (version := msgspec.json.decode(found)["version"]) != VERSION:
            msg = f"expected state of alerts of version {VERSION}, got {version}: run the release that wrote it"
            raise PositionRefused(msg)
        return msgspec.json.decode(found, type=Saved)

    def write(self, saved: Saved, alerts: Iterable[Alert]) -> None:
        """Return when the broker has all, the state first. Raises DeliveryError."""
        failed: list[object] = []

        def delivered(error: object, _message: object) -> None:
            if error is not None:
                failed.append(error)

        encode = msgspec.json.encode
        records = [(STATE_KEY, encode(saved)), *((topic_key(alert), encode(alert)) for alert in alerts)]
        for key, value in records:
            self._producer.produce(LIVE_ALERTS.name, value, key, 0, on_delivery=delivered)
        unsent = self._producer.flush(TIMEOUT_S)
        if failed or unsent:
            msg = f"{len(failed) + unsent} of {len(records)} records of {LIVE_ALERTS.name} were not acknowledged"
            raise DeliveryError(msg, failed)
