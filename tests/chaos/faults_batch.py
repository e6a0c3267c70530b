"""Faults of batch: the Spark server killed in a commit, one interval run twice at once; and the chain that heals it."""

from __future__ import annotations

import random
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

from batch.commands import NOTHING_NEW
from infra.health import GrpcAnswers
from infra.processes import PLAYLAKE
from infra.settings import ROOT, Settings
from infra.spark import connect
from infra.waiting import until
from schemas.stage import read_manifest
from tests import quick_spark
from tests.chaos.faults import NotInjected
from tests.chaos.programs import Program
from tests.chaos.world import RECOVERY_S, World

ATTEMPTS = 6
COMMAND_S = 600.0


def spark(world: World) -> Program:
    """The world's Spark server; started when it is first asked for, and up when this returns."""
    if "spark" not in world.programs:
        settings = _settings(world)
        connect.prepare(settings)
        program = Program(
            "spark",
            lambda: quick_spark.command(settings, few_rows=False),
            quick_spark.environment(settings),
            world.home / "spark.log",
        )
        world.programs["spark"] = program
        world.keeper.programs.append(program)
    program = world.programs["spark"]
    if not program.wanted:
        program.start()
    program.wait_up()
    answers = GrpcAnswers("127.0.0.1", world.settings.spark_port)
    until("Spark answers", lambda: answers(0) is None, RECOVERY_S, every_s=0.5, seen=program.tail)
    return program


def run_to_the_end(world: World) -> None:
    """Stage, audit and commit silver until nothing is new. An attempt that fails is made again, as Airflow does."""
    said = ""
    for _ in range(ATTEMPTS):
        spark(world)
        for command in (("stage", "silver"), ("quality", "silver"), ("commit", "silver")):
            code, said = _run(world, *command)
            if command[0] == "stage" and code == NOTHING_NEW:
                return
            if code:
                break
    msg = f"expected silver to be done after {ATTEMPTS} attempts, the last one said: {said}"
    raise TimeoutError(msg)


@dataclass(frozen=True)
class KilledInCommit:
    """Spark, the command or both die while a commit is under way: at any moment, or with some tables done and others
    not. What is only put in is committed by the command; Spark commits where rows go out."""

    name: str = "batch killed in its commit"
    is_batch: bool = True

    def inject(self, world: World, dice: random.Random) -> str:
        server = spark(world)
        for command in (("stage", "silver"), ("quality", "silver")):
            code, said = _run(world, *command)
            if code not in (0, NOTHING_NEW):
                msg = f"playlake {' '.join(command)} ended with {code}: {said}"
                raise NotInjected(msg)
        before, between = _versions(world), dice.random() < 0.7
        enough = before + dice.randint(1, _tables_staged(world) - 1)
        after_s = dice.uniform(0.5, 6.0)
        victims = dice.choice((["Spark"], ["the command"], ["the command", "Spark"]))
        committing = _start(world, "commit", "silver")
        while committing.process.poll() is None:
            if _versions(world) >= enough if between else time.monotonic() - committing.began > after_s:
                break
            time.sleep(0.002)
        for victim in victims:
            server.kill() if victim == "Spark" else committing.process.kill()
        code, _ = committing.end()
        done = _versions(world) - before
        return f"kill -9 of {' and '.join(victims)}, {done} commits into silver done; the command ended with {code}"


@dataclass(frozen=True)
class TwiceAtOnce:
    """The same interval staged and committed by two at once."""

    name: str = "one interval twice at once"
    is_batch: bool = True

    def inject(self, world: World, dice: random.Random) -> str:
        spark(world)
        codes = []
        for command in (("stage", "silver"), ("quality", "silver"), ("commit", "silver")):
            both = [_start(world, *command) for _ in range(2)]
            codes.append("/".join(str(one.end()[0]) for one in both))
        return f"stage, quality, commit by two at once ended with {', '.join(codes)}"


def _versions(world: World) -> int:
    """How many commits there are in silver."""
    return sum(1 for _ in Path(world.settings.lake_root).glob("silver/*/_delta_log/*.json"))


def _tables_staged(world: World) -> int:
    manifest = read_manifest(world.settings.lake_root, "silver")
    if manifest is None or len(manifest.tables) < 2:
        msg = f"expected at least two tables of silver to be staged, found {manifest}"
        raise NotInjected(msg)
    return len(manifest.tables)


def _settings(world: World) -> Settings:
    return replace(world.settings, spark_driver_memory="1g")


@dataclass
class _Running:
    """A command under way. What it says, and how long it took, is in the world's batch.log afterwards."""

    words: tuple[str, ...]
    log: Path
    process: subprocess.Popen[str]
    began: float

    def end(self) -> tuple[int, str]:
        """Its exit code and the end of what it said. It is killed when it takes longer than COMMAND_S."""
        try:
            said, _ = self.process.communicate(timeout=COMMAND_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            said, _ = self.process.communicate()
            said += f"\nkilled: it took longer than {COMMAND_S:.0f} s"
        code = self.process.returncode
        with self.log.open("a") as out:
            took = time.monotonic() - self.began
            print(f"{time.strftime('%T')} playlake {' '.join(self.words)}: {code} after {took:.1f} s\n{said}", file=out)
        return code, said[-1500:]


def _start(world: World, *words: str) -> _Running:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(world.home), **_settings(world).to_env()}
    command, began = [PLAYLAKE, *words], time.monotonic()
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    return _Running(words, world.home / "batch.log", process, began)


def _run(world: World, *words: str) -> tuple[int, str]:
    return _start(world, *words).end()
