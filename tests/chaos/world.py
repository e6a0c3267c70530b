"""A small platform to break: Kafka, stream workers, sinks, a collector and a load, each a real process with a name."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from infra import topics as kafka_topics
from infra.errors import ProcessError
from infra.settings import Settings
from infra.waiting import until
from schemas.registry import TOPICS
from tests.chaos.brokers import Node, prepared, wait_whole
from tests.chaos.programs import Keeper, Program
from tests.chaos.progress import Progress
from tests.chaos.proxy import Proxy
from tests.chaos.verdict import Verdict, judge
from tests.conftest import free_ports, isolated_settings

PARTITIONS = 3
RECOVERY_S = 300.0
"""How long anything may take to go on after a fault, on a machine that is busy with other things."""
FIRST_START_S = 900.0
"""The same where the worker's code may not be compiled yet, by several workers at once."""
DRAIN_S = 420.0


class World:
    """Everything that a fault may hit. As a context manager it starts everything and ends every process by its id.

    `bootstrap`: a Kafka that is there already, and is not to be broken; without it, `brokers` nodes of our own, each
    behind a proxy. `rates`: how many records a second each load sends (`tests/chaos/load.py`); where there are players'
    reports there is a worker for them.
    """

    def __init__(
        self,
        home: Path,
        *,
        seed: int,
        brokers: int = 1,
        workers: int = 1,
        sinks: int = 1,
        collector: bool = True,
        rates: Mapping[str, float] | None = None,
        kafka: Settings | None = None,
    ) -> None:
        self.home, self.seed = home, seed
        self.has_batch = False
        self.has_stream = workers > 0
        self._rates = dict(rates or {"kafka": 1500.0, "collector": 300.0})
        self.keeper = Keeper()
        self.programs: dict[str, Program] = {}
        self.proxies: list[Proxy] = []
        self.nodes: list[Node] = []
        self.ledgers: list[Path] = []
        self._loads = 0
        base = kafka or isolated_settings(home)
        if kafka is None:
            own = [replace(isolated_settings(home / f"broker-{n + 1}"), kafka_heap="256m") for n in range(brokers)]
            ports = dict(zip((one.kafka_port for one in own), free_ports(brokers), strict=True))
            self.nodes = prepared(own, ports)
            self.proxies = [Proxy(front, behind) for behind, front in ports.items()]
            bootstrap = ",".join(node.address for node in self.nodes)
            base = replace(base, kafka_bootstrap=bootstrap, kafka_replication=brokers, topic_partitions=PARTITIONS)
        self.settings = replace(base, sink_commit_s=0.5, stream_flush_s=0.5, stream_workers=workers)
        for node in self.nodes:
            self._add(node.program)
        for number in range(workers):
            self._python(f"worker-{number}", "streams.app", "--worker", str(number))
        if "kafka-cmcd" in self._rates:
            self._python("worker-cmcd", "streams.app", "--source", "cmcd")
        for number, port in enumerate(free_ports(sinks)):
            self._python(f"sink-{number}", "streams.bronze", own=replace(self.settings, sink_metrics_port=port))
        if collector:
            self._python("collector", "streams.intake.collector")
        else:
            self._rates.pop("collector", None)

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                node.program.start()
            kafka_topics.wait_ready(self.settings, RECOVERY_S)
            if len(self.nodes) > 1:
                wait_whole(self.settings, len(self.nodes))
            kafka_topics.ensure_topics(self.settings, TOPICS)
            for program in self.programs.values():
                if not program.is_up:
                    program.start()
            self.progress = Progress(self.settings, has_stream=self.has_stream)
            self.start_load()
            self.progress.wait(FIRST_START_S)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def named(self, prefix: str) -> list[Program]:
        """The programs of a kind, e.g. `worker`."""
        return [program for name, program in self.programs.items() if name.startswith(prefix)]

    def start_load(self) -> None:
        """The loads, each with a new ledger; returns when all are at work."""
        self._loads += 1
        new: list[tuple[Program, Path]] = []
        for to, rate in self._rates.items():
            folder = self.home / "ledger" / f"{self._loads:03}-{to}"
            self.ledgers.append(folder)
            options = ["--to", to, "--rate", str(rate), "--ledger", str(folder), "--seed", str(self.seed + self._loads)]
            program = Program(
                f"load-{to}", _argv("tests.chaos.load", *options), self.settings.to_env(), self.home / f"load-{to}.log"
            )
            self.programs[program.name] = program
            # The keeper does not know it: it alone knows the fate of what it has sent.
            program.start()
            program.wanted = False
            new.append((program, folder))
        until("every load notes its first outcomes", lambda: all(_noted(*one) for one in new), RECOVERY_S)

    def stop_load(self) -> None:
        """They settle and end. Raises TimeoutError when one does not: what it has sent would not be known."""
        loads = self.named("load-")
        for program in loads:
            program.signal(signal.SIGTERM)
        for program in loads:
            code = program.wait(240)
            if code != 0:
                msg = f"expected {program.name} to settle and end with 0, it ended with {code}: {program.tail()}"
                raise TimeoutError(msg)

    def calm(self) -> Verdict:
        """Stop the load, let everything catch up, and judge."""
        self.stop_load()
        self.wait_healthy()
        parts = {"has_batch": self.has_batch, "has_stream": self.has_stream}
        return judge(self.settings, self.ledgers, wait_s=DRAIN_S, **parts)

    def wait_healthy(self) -> None:
        """Return when every program that is wanted is up and, of several brokers, every replica is in step."""

        def down() -> list[str]:
            return [f"{name}: {one.tail()}" for name, one in self.programs.items() if one.wanted and not one.is_up]

        until("every program is up", lambda: not down(), RECOVERY_S, every_s=0.5, seen=down)
        if self.nodes:
            kafka_topics.wait_ready(self.settings, RECOVERY_S)
        if len(self.nodes) > 1:
            wait_whole(self.settings, len(self.nodes))

    def close(self) -> None:
        """End every process that was started here, by its id. The folder stays for whoever wants to look."""
        if hasattr(self, "progress"):
            self.progress.close()
        for program in self.programs.values():
            program.end()
        self.keeper.close()
        for proxy in self.proxies:
            proxy.close()

    def story(self) -> str:
        """Who was started how often and how they ended."""
        return json.dumps({name: {"starts": p.starts, "exits": p.exits} for name, p in self.programs.items()})

    def add_python(self, name: str, module: str, *words: str) -> Program:
        """One more of our processes, not started."""
        return self._python(name, module, *words)

    def _python(self, name: str, module: str, *words: str, own: Settings | None = None) -> Program:
        env = (own or self.settings).to_env()
        return self._add(Program(name, _argv(module, *words), env, self.home / f"{name}.log"))

    def _add(self, program: Program) -> Program:
        self.programs[program.name] = program
        self.keeper.programs.append(program)
        return program


def _noted(program: Program, folder: Path) -> bool:
    if not program.is_up:
        msg = f"expected {program.name} to run: {program.tail()}"
        raise ProcessError(msg)
    return any(folder.glob("*.parquet"))


def _argv(module: str, *words: str) -> Callable[[], Sequence[str]]:
    return lambda: [sys.executable, "-m", module, *words]
