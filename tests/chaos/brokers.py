"""Kafka to be broken: one broker or a cluster of three, small, each node behind a proxy where one is asked for."""

from __future__ import annotations

import base64
import subprocess
import time
import uuid
from collections.abc import Mapping

from infra import broker as embedded
from infra.kafka import properties
from infra.settings import Settings
from infra.topics import admin
from tests.chaos.programs import Program

SMALL = {"log.index.size.max.bytes": "1048576", "log.segment.bytes": "16777216", "offsets.topic.num.partitions": "4"}


class Node:
    """One broker (and controller) with a state folder of its own."""

    def __init__(self, number: int, settings: Settings, advertised_port: int | None = None) -> None:
        self.number = number
        self.settings = settings
        self.port = advertised_port or settings.kafka_port
        """Where clients are told to go."""
        self.program = Program(
            f"broker-{number}", lambda: _java(settings), embedded.environment(), settings.home / "broker.log"
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def prepared(own: list[Settings], advertised: Mapping[int, int]) -> list[Node]:
    """Nodes of one cluster, configured and formatted, not started. `advertised`: a broker's own port → its proxy's."""
    count = len(own)
    cluster = "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
    voters = ",".join(f"{n}@127.0.0.1:{one.kafka_controller_port}" for n, one in enumerate(own, 1))
    copies = str(min(3, count))
    found = []
    for number, settings in enumerate(own, 1):
        node = Node(number, settings, advertised.get(settings.kafka_port))
        config = embedded.server_properties(settings) | SMALL | {
            "node.id": str(number),
            "controller.quorum.voters": voters,
            "advertised.listeners": f"PLAINTEXT://{node.address}",
            "default.replication.factor": copies,
            "min.insync.replicas": str(min(2, count)),
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "share.coordinator.state.topic.replication.factor": copies,
        }  # fmt: skip
        folder = embedded.folder(settings)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "server.properties"
        file.write_text(properties(config))
        options = ["format", "--cluster-id", cluster, "--config", str(file), "--ignore-formatted"]
        done = subprocess.run(
            embedded.tool(settings, "kafka.tools.StorageTool", *options), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr or done.stdout
        found.append(node)
    return found


def wait_whole(settings: Settings, count: int, timeout_s: float = 240) -> None:
    """Return when every partition is on all its replicas again."""
    end, seen = time.monotonic() + timeout_s, "no answer"
    while time.monotonic() < end:
        try:
            found = admin(settings).list_topics(timeout=5)
            short = [
                f"{name}/{p.id}" for name, topic in found.topics.items() for p in topic.partitions.values()
                if len(p.isrs) < len(p.replicas) or p.leader < 0
            ]  # fmt: skip
            seen = f"{len(found.brokers)} brokers, partitions behind: {', '.join(short[:5]) or 'none'}"
            if len(found.brokers) == count and not short:
                return
        except Exception as error:  # noqa: BLE001 - whatever a broken cluster answers, it is asked again
            seen = str(error)
        time.sleep(1)
    msg = f"expected {count} brokers with every replica in step within {timeout_s:.0f} s, the last answer: {seen}"
    raise TimeoutError(msg)


def _java(settings: Settings) -> list[str]:
    java, *arguments = embedded.command(settings)
    return [java, "-XX:TieredStopAtLevel=1", *arguments]
