"""Each part once, small, on a real broker: the harness works, and what comes out is what was recorded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks import delta, latency, recording, recovery
from benchmarks.fold import run_worker
from benchmarks.stage import Stage, stage
from schemas.registry import PLAYBACK, TOPICS

pytestmark = [pytest.mark.kafka, pytest.mark.long]


@pytest.fixture(scope="module")
def on() -> Iterator[Stage]:
    with stage(live_freeze_after_s=86_400) as one:
        one.make(*TOPICS)
        yield one


def test_two_workers_publish_the_recordings_totals(on: Stage) -> None:
    made = recording.record(5000)
    recording.write(on.settings, made, {PLAYBACK.name: 5000})
    run = run_worker(on, made, 5000, 2)
    assert run.rss_mb > 50
    with pytest.raises(AssertionError, match="the recording has"):
        run_worker(on, recording.record(5000, seed=8), 5000, 1)


def test_both_writers_keep_every_record(on: Stage) -> None:
    on.drop(PLAYBACK.name)
    on.make(PLAYBACK)
    recording.write(on.settings, recording.record(5000), {PLAYBACK.name: 5000})
    assert delta.run_sink(on, 5000).events == delta.run_plain(on, 5000).events == 5000


def test_a_killed_worker_goes_on(on: Stage) -> None:
    world = recovery.World(on, 500)
    try:
        assert world.open_sessions() == 500
        assert 5 < world.kill_and_recover() < 60
        assert world.open_sessions() == 500
    finally:
        world.worker.kill()


def test_events_are_seen_on_the_live_topic_and_in_sql(on: Stage) -> None:
    on.forget_stream()
    started = [on.python("worker", "streams.app"), on.python("server", "warehouse.server")]
    try:
        live, sql = latency.run(on, recording.record(5000), 500, 1.0)
    finally:
        for process in started:
            process.stop()
    assert 0 < live[0] <= live[2] and live[0] < sql[0] <= sql[2] < 30
