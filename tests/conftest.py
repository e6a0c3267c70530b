"""Fixtures for all: settings that collide with nothing, one real broker a test run, fresh topics a test."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from xdist.scheduler import LoadFileScheduling

from infra import broker as embedded
from infra import isolated
from infra import topics as kafka_topics
from infra.settings import Settings
from schemas.registry import TOPICS
from schemas.topic import Topic
from tests.streams.intake.collector_world import RunningCollector

free_ports = isolated.free_ports

# `make mutate` wants to know that a test fails, not the smallest example for it, which may take minutes to find.
hypothesis_settings.register_profile("no-shrinking", phases=(Phase.explicit, Phase.generate))


SHARING = "tests/batch/"
"""Tests that share one Spark server: starting another and warming it up takes longer than most of them."""


class ByFile(LoadFileScheduling):
    """A process runs whole files, and all of SHARING."""

    def _split_scope(self, nodeid: str) -> str:
        return SHARING if nodeid.startswith(SHARING) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """In place of `--dist loadfile`."""
    return ByFile(config, log)


def isolated_settings(home: Path) -> Settings:
    """A small installation with a state folder and ports of its own."""
    return isolated.isolated_settings(home, kafka_heap="256m", topic_partitions=2)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Free ports and a temporary state folder; no broker."""
    return isolated_settings(tmp_path / "home")


class RunningBroker:
    """An embedded broker that a test started: its settings and its process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        embedded.prepare(settings)
        self.log = settings.home / "broker.log"
        # Without the optimising compiler it starts with a third less work, which matters more here than its speed.
        java, *arguments = embedded.command(settings)
        argv = [java, "-XX:TieredStopAtLevel=1", *arguments]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            kafka_topics.wait_ready(settings, timeout_s=60)
        except BaseException:
            self.stop(signal.SIGKILL)
            print(self.log.read_text()[-4000:])
            raise

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it; a second call does nothing."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(10)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """One real broker for the whole test run. Its `settings.bootstrap` is where it listens."""
    running = RunningBroker(isolated_settings(tmp_path_factory.mktemp("broker")))
    yield running
    running.stop()


@pytest.fixture
def kafka(settings: Settings, broker: RunningBroker) -> Settings:
    """This test's settings, with the shared broker as their Kafka. It keeps what other tests left; see `topics`."""
    return replace(settings, kafka_bootstrap=broker.settings.bootstrap)


def delete_topics(settings: Settings, names: Iterable[str]) -> None:
    """Delete topics, and return when the broker has forgotten them."""
    if names := list(names):
        client = kafka_topics.admin(settings)
        for future in client.delete_topics(names, operation_timeout=30).values():
            future.result()
        kafka_topics.wait_known(settings, names, gone=True)


@pytest.fixture
def topics(kafka: Settings) -> dict[str, Topic]:
    """All topics of the contracts, empty: whatever an earlier test left is deleted, groups as well."""
    client = kafka_topics.admin(kafka)
    delete_topics(kafka, [name for name in client.list_topics(timeout=30).topics if not name.startswith("__")])
    for group in client.list_consumer_groups(request_timeout=30).result().valid:
        # A member killed by the test before this one may still be in its group until its session ends: let it be.
        client.delete_consumer_groups([group.group_id])[group.group_id].exception()
    kafka_topics.ensure_topics(kafka, TOPICS)
    return {topic.name: topic for topic in TOPICS}


@pytest.fixture
def collector(kafka: Settings, topics: dict[str, Topic]) -> Iterator[RunningCollector]:
    """A real collector before this test's topics."""
    running = RunningCollector(kafka)
    running.wait_listening()
    yield running
    running.stop()
