"""Topics that are not what their contracts ask for: each difference is named, with what it does and how to mend it."""

from __future__ import annotations

import json
import subprocess

import pytest

from infra import doctor
from infra.kafka import producer_config
from infra.process_tree import environment
from infra.processes import PLAYLAKE
from infra.settings import Settings
from infra.topic_check import Difference, differences, repair
from infra.topics import TIMEOUT_S, admin, ensure_topics, wait_known
from schemas.registry import DEAD_LETTER_TOPIC, EVENT_TOPICS, TOPICS
from schemas.topic import Topic
from tests.conftest import delete_topics

pytestmark = pytest.mark.kafka
HOUR_MS = "3600000"


@pytest.fixture
def wrong(kafka: Settings, topics: dict[str, Topic]) -> Settings:
    """A broker whose topics somebody else has made, each wrong in its own way; one is missing, one keeps more."""
    from confluent_kafka.admin import NewTopic

    client = admin(kafka)
    made = {
        "user.ui.events": (3, {}),
        "ads.events": (2, {"retention.ms": HOUR_MS}),
        "catalog.titles": (1, {"cleanup.policy": "delete", "min.compaction.lag.ms": "0"}),
        "experiment.exposures": (2, {"message.timestamp.type": "CreateTime"}),
        "user.playback.events": (2, {"retention.ms": "-1"}),
    }
    delete_topics(kafka, [*made, "game.events"])
    plain = {"message.timestamp.type": "LogAppendTime", "retention.ms": "604800000"}
    new = [
        NewTopic(name, num_partitions=count, replication_factor=1, config=plain | own)
        for name, (count, own) in made.items()
    ]
    for future in client.create_topics(new, operation_timeout=TIMEOUT_S).values():
        future.result()
    wait_known(kafka, made)
    return kafka


def seen(found: list[Difference]) -> dict[tuple[str, str], str]:
    return {(one.topic, one.what): one.verdict for one in found}


def test_each_difference_is_found_told_and_where_it_can_be_mended(wrong: Settings) -> None:
    found = differences(wrong, TOPICS)
    assert seen(found) == {
        ("user.ui.events", "partitions"): "bad",
        ("game.events", "missing"): "bad",
        ("ads.events", "retention.ms"): "warning",
        ("catalog.titles", "cleanup.policy"): "bad",
        ("catalog.titles", "min.compaction.lag.ms"): "warning",
        ("catalog.titles", "segment.ms"): "warning",
        ("experiment.exposures", "message.timestamp.type"): "bad",
    }
    told = {finding.what: finding for finding in doctor._topics(wrong)}
    assert told["topic ads.events"].detail == (
        "has retention.ms 3600000, expected 604800000 (records may be gone before they are read); "
        "`playlake topics --repair` sets it"
    )
    assert "set PLAYLAKE_TOPIC_PARTITIONS=3 if all topics have 3" in told["topic user.ui.events"].detail
    assert told["topic game.events"].detail == "is missing; `playlake topics` creates it"

    check = playlake(wrong, "topics", "--check")
    assert (check.returncode, check.stdout.splitlines()) == (1, [str(one) for one in found])
    assert playlake(wrong, "topics").returncode == 1, "what is refused is not worked around"
    assert seen(differences(wrong, TOPICS)) == seen(found)

    mended = repair(wrong, found)
    assert len(mended) == 5
    assert seen(differences(wrong, TOPICS)).keys() == {("user.ui.events", "partitions"), ("game.events", "missing")}
    others = [topic for topic in TOPICS if topic.name != "user.ui.events"]
    assert ensure_topics(wrong, others) == ["game.events"]
    assert differences(wrong, others) == []


def test_the_command_repairs_and_a_right_broker_is_told_so(wrong: Settings, topics: dict[str, Topic]) -> None:
    delete_topics(wrong, ["user.ui.events"])
    done = playlake(wrong, "topics", "--repair")
    assert done.returncode == 0, done.stderr
    assert "topic ads.events: retention.ms is 604800000 now, was 3600000" in done.stdout
    assert done.stdout.splitlines()[-1] == "all as their contracts say"
    assert json.loads(playlake(wrong, "topics", "--check", "--json").stdout) == []
    [finding] = doctor._topics(wrong)
    assert (finding.verdict, finding.what) == ("good", "topics")


def test_contracts_that_kafka_takes_as_they_are(kafka: Settings, topics: dict[str, Topic]) -> None:
    """A compacted topic wants a key of every record: one without is refused by the broker, not lost later."""
    from confluent_kafka import KafkaError, Producer

    assert differences(kafka, TOPICS) == []
    assert {*EVENT_TOPICS, DEAD_LETTER_TOPIC.name} <= topics.keys()
    told: list[KafkaError | None] = []
    producer = Producer(producer_config(kafka))
    producer.produce("catalog.titles", b"{}", on_delivery=lambda error, _: told.append(error))
    producer.flush(20)
    assert [error and error.code() for error in told] == [KafkaError.INVALID_RECORD]


def playlake(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [PLAYLAKE, *arguments]
    return subprocess.run(argv, env=environment(settings), capture_output=True, text=True, timeout=60, check=False)
