"""The embedded broker: real Kafka, prepared from settings alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra import broker as embedded
from infra import topics as kafka_topics
from infra.errors import PositionRefused, SettingsError
from infra.kafka import consumer_config, producer_config
from infra.settings import Settings
from schemas.topic import Topic

ONE = Topic(name="one", partitions=3)


@pytest.mark.kafka
def test_a_record_goes_in_and_comes_out_with_the_brokers_time(kafka: Settings) -> None:
    from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, Producer

    assert kafka_topics.ensure_topics(kafka, [ONE]) == ["one"]
    producer = Producer(producer_config(kafka))
    producer.produce("one", key=b"k", value=b"v", timestamp=1)
    assert producer.flush(20) == 0
    assert sorted(end - start for start, end in kafka_topics.offsets(kafka, ["one"]).values()) == [0, 0, 1]

    consumer = Consumer(consumer_config(kafka, "g"))
    consumer.subscribe(["one"])
    [message] = consumer.consume(1, timeout=20)
    kind, at = message.timestamp()
    consumer.close()
    assert (message.value(), kind) == (b"v", TIMESTAMP_LOG_APPEND_TIME)
    assert at > 1


@pytest.mark.kafka
def test_topics_are_created_once_and_other_layouts_are_refused(kafka: Settings, topics: dict[str, Topic]) -> None:
    assert kafka_topics.ensure_topics(kafka, topics.values()) == []
    ids = {kafka_topics.topic_id(kafka, name) for name in topics}
    assert len(ids) == len(topics)
    name = "user.playback.events"
    assert kafka_topics.partition_count(kafka, name) == kafka.topic_partitions
    for wrong in (
        replace(kafka, topic_partitions=3),
        replace(topics[name], timestamp_type="CreateTime"),
        replace(topics[name], cleanup_policy="compact"),
    ):
        with pytest.raises(PositionRefused, match=r"topic user\.playback\.events has .*, expected "):
            if isinstance(wrong, Settings):
                kafka_topics.ensure_topics(wrong, topics.values())
            else:
                kafka_topics.ensure_topics(kafka, [wrong])


@pytest.mark.kafka
def test_a_misspelt_topic_is_refused_not_created(kafka: Settings, topics: dict[str, Topic]) -> None:
    with pytest.raises(PositionRefused, match=r"user\.playback\.event "):
        kafka_topics.topic_id(kafka, "user.playback.event")
    assert "user.playback.event" not in kafka_topics.admin(kafka).list_topics(timeout=20).topics


def test_the_embedded_broker_refuses_tls(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="offers PLAINTEXT"):
        embedded.server_properties(replace(settings, kafka_security_protocol="SSL"))
