"""Dead letters sent again: what is fixed goes where it belongs, once, with the same id whoever sends it how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from deltalake import write_deltalake
from typer.testing import CliRunner

from infra.errors import ProcessError, SettingsError
from infra.kafka import producer_config
from infra.settings import Settings
from schemas.registry import PLAYBACK
from schemas.tables import BRONZE, DEAD_LETTERS
from schemas.topic import Topic
from streams.commands import app
from streams.dead_letters import DeadLetter, to_arrow
from streams.replay_letters import Filter, Fix, prepare, send
from tests.streams.bronze_world import query, sink, stop, wait_caught_up

AT = datetime(2026, 1, 15, 20, 31, tzinfo=UTC)
GOOD = b'{"userId":"u1","contentId":"t1","eventType":"play","timestamp":"2026-01-15T20:30:45Z"}'
FRIDGE = GOOD[:-1] + b',"deviceType":"fridge"}'
OLD_NAME = GOOD.replace(b"contentId", b"titleId")
CLICK = b'{"userId":"u1","eventType":"click","timestamp":"2026-01-15T20:30:45Z","eventId":"c1","target":3}'


class Kafka:
    """Keeps what it is sent; can fail."""

    def __init__(self, fails: bool = False) -> None:
        self.acknowledged: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.sent: list[tuple[str, bytes | None, dict[str, object]]] = []
        self.fails = fails

    def send(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        self.sent.append((topic, key, msgspec.json.decode(value or b"")))

    def pause(self) -> None: ...

    def finish(self) -> None:
        if self.fails:
            msg = "not acknowledged"
            raise ProcessError(msg)


@pytest.fixture
def lake(settings: Settings) -> Settings:
    """Six letters, a minute apart."""
    values = [FRIDGE, OLD_NAME, CLICK, b"{", None, FRIDGE]
    reasons = ["invalid_field", "missing_field", "invalid_field", "not_json", "empty", "invalid_field"]
    topics = [PLAYBACK.name, PLAYBACK.name, "dead.letters", PLAYBACK.name, PLAYBACK.name, "dead.letters"]
    rows = [
        DeadLetter(
            source="sink", at=AT + timedelta(minutes=n), reason=reason, detail="d", topic=topic, partition=0, offset=n,
            value=value,
        )
        for n, (value, reason, topic) in enumerate(zip(values, reasons, topics, strict=True))
    ]  # fmt: skip
    write_deltalake(DEAD_LETTERS.path(settings.lake_root), to_arrow(rows), partition_by=["received_date"])
    return settings


def replay(settings: Settings, renames: Sequence[str] = (), values: Sequence[str] = (), **wanted: object) -> Kafka:
    fix, kafka = Fix.parse(renames, values), Kafka()
    send(settings, prepare(settings, Filter(**wanted), fix).ready, fix, kafka)  # type: ignore[arg-type]
    return kafka


def test_what_is_fixed_goes_where_it_belongs_and_a_second_time_changes_nothing(lake: Settings) -> None:
    kafka = replay(lake, values=["deviceType=web"], reason="invalid_field", topic=PLAYBACK.name)
    ((topic, key, value),) = kafka.sent
    assert (topic, key) == (PLAYBACK.name, b"u1")
    assert value["deviceType"] == "web"
    assert value["replayedFrom"] == "user.playback.events/0/0"
    assert value["receivedAt"] == "2026-01-15T20:31:00.000Z", "when the letter came, by which its clock is corrected"
    assert replay(lake, values=["deviceType=web"], reason="invalid_field", topic=PLAYBACK.name).sent == []
    found = prepare(lake, Filter(), Fix())
    assert found.done_before == 1
    assert (len(found.ready), len(found.broken)) == (0, 5)


def test_the_id_is_the_same_when_the_record_of_a_replay_is_lost_and_for_a_repetition(lake: Settings) -> None:
    fix = Fix.parse((), ["deviceType=web"])
    first = prepare(lake, Filter(reason="invalid_field"), fix)
    with pytest.raises(ProcessError):
        send(lake, first.ready, fix, Kafka(fails=True))
    again = prepare(lake, Filter(reason="invalid_field"), Fix.parse((), ["deviceType=mobile"]))
    assert [one.event_id for one in again.ready] == [one.event_id for one in first.ready]
    ids = {one.place: one.event_id for one in first.ready}
    assert ids["user.playback.events/0/0"] == ids["dead.letters/0/5"], "the client sent the same bytes twice"


def test_an_event_keeps_its_own_id_and_finds_its_topic(lake: Settings) -> None:
    ((topic, key, value),) = replay(lake, values=['target="play"'], topic="dead.letters", limit=1).sent
    assert (topic, key, value["eventId"]) == ("user.ui.events", b"u1", "c1")
    assert value["target"] == "play"


def test_renamed_fields(lake: Settings) -> None:
    ((_, _, value),) = replay(lake, renames=["titleId=contentId"], reason="missing_field").sent
    assert value["contentId"] == "t1" and "titleId" not in value


def test_filters_by_time_and_says_what_is_left(lake: Settings) -> None:
    found = prepare(lake, Filter(since=AT + timedelta(minutes=1), until=AT + timedelta(minutes=4), limit=2), Fix())
    assert [place for place, _ in found.broken] == ["user.playback.events/0/1", "dead.letters/0/2"]
    assert found.left == 1
    assert [error.reason for _, error in prepare(lake, Filter(), Fix()).broken] == [
        "invalid_field", "missing_field", "invalid_field", "not_json", "empty", "invalid_field",
    ]  # fmt: skip


def test_what_is_asked_wrongly_is_said(lake: Settings) -> None:
    with pytest.raises(SettingsError, match=r"expected --set field=value, got 'deviceType'"):
        Fix.parse((), ["deviceType"])
    with pytest.raises(SettingsError, match="--to must be one of"):
        prepare(lake, Filter(), Fix(), "nowhere")


def test_the_command_sends_nothing_unless_told_to(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in lake.to_env().items():
        monkeypatch.setenv(name, value)
    options = ["--reason", "invalid_field", "--set", "deviceType=web", "--since", "2026-01-15T20:31"]
    done = CliRunner().invoke(app, ["deadletters", "replay", *options])
    assert done.exit_code == 0, done.output
    assert "would be sent to user.playback.events: 2" in done.output
    assert "still broken  dead.letters/0/2  invalid_field target" in done.output
    assert "nothing was sent; --send sends" in done.output
    assert prepare(lake, Filter(), Fix()).done_before == 0


@pytest.mark.kafka
def test_letters_come_back_through_kafka_and_count_once(
    kafka: Settings, topics: Mapping[str, Topic], monkeypatch: pytest.MonkeyPatch
) -> None:
    from confluent_kafka import Producer

    for name, value in kafka.to_env().items():
        monkeypatch.setenv(name, value)
    producer = Producer(producer_config(kafka))
    for number in range(30):
        event = FRIDGE if number % 3 else GOOD
        producer.produce(PLAYBACK.name, key=b"u1", value=event.replace(b"t1", b"t%d" % number))
    assert producer.flush(20) == 0
    rows = "SELECT event_id FROM t"
    bronze = BRONZE[PLAYBACK.name].path(kafka.lake_root)
    with sink(kafka, "g") as process:
        wait_caught_up(kafka, 30, process)
        assert len(query(bronze, rows)) == 10
        for sent in (20, 0):
            done = CliRunner().invoke(app, ["deadletters", "replay", "--set", "deviceType=web", "--send"])
            assert done.exit_code == 0, done.output
            wait_caught_up(kafka, 30, process)
            found = [row["event_id"] for row in query(bronze, rows)]
            assert len(found) == len(set(found)) == 30, f"{sent} were to be sent: {done.output}"
        stop(process)
    assert len(query(DEAD_LETTERS.path(kafka.lake_root), "SELECT reason FROM t")) == 20


def test_no_letters_at_all(settings: Settings) -> None:
    assert prepare(settings, Filter(), Fix()).ready == []
