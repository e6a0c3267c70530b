"""Faults of what is around the processes: the network to the brokers, the disks, one broker of three."""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.brokers import wait_whole
from tests.chaos.faults import NotInjected
from tests.chaos.proxy import Proxy
from tests.chaos.world import World

SMALL_DISK = "192m"


@dataclass(frozen=True)
class CutConnections:
    """Every connection to the brokers is reset, again and again."""

    times: int = 10
    name: str = "connections cut"

    def inject(self, world: World, dice: random.Random) -> str:
        cut = 0
        for _ in range(self.times):
            time.sleep(dice.uniform(0.5, 4))
            cut += sum(proxy.cut() for proxy in world.proxies)
        if not cut:
            msg = "there was no connection to cut"
            raise NotInjected(msg)
        return f"{cut} connections reset in {self.times} cuts"


@contextlib.contextmanager
def misbehaving(proxies: Sequence[Proxy], **how: Any) -> Iterator[None]:
    """Proxies whose attributes are as `how` says; healed in the end, whatever happens meanwhile."""
    try:
        for proxy in proxies:
            for name, value in how.items():
                setattr(proxy, name, value)
        yield
    finally:
        for proxy in proxies:
            proxy.heal()


@dataclass(frozen=True)
class SlowNetwork:
    """Every piece of data is late."""

    delay_s: float = 0.4
    seconds: float = 40.0
    name: str = "network slow"

    def inject(self, world: World, dice: random.Random) -> str:
        with misbehaving(world.proxies, delay_s=self.delay_s):
            time.sleep(self.seconds)
        return f"{self.delay_s * 1000:.0f} ms each way for {self.seconds:.0f} s"


@dataclass(frozen=True)
class HalfOpen:
    """Connections stand and nothing comes through, as behind a firewall that forgot them."""

    seconds: float = 45.0
    name: str = "connections half open"

    def inject(self, world: World, dice: random.Random) -> str:
        with misbehaving(world.proxies, is_deaf=True):
            time.sleep(self.seconds)
        return f"nothing came through for {self.seconds:.0f} s, then all were reset"


@dataclass(frozen=True)
class LostResponses:
    """The request arrives, its answer does not: nobody knows whether it was done."""

    times: int = 12
    name: str = "responses lost"

    def inject(self, world: World, dice: random.Random) -> str:
        with misbehaving(world.proxies):
            for _ in range(self.times):
                dice.choice(world.proxies).lose_after = dice.randint(0, 20_000)
                time.sleep(dice.uniform(1, 4))
            lost = self.times - sum(proxy.lose_after is not None for proxy in world.proxies)
        return f"{lost} responses swallowed, their connections reset"


@dataclass(frozen=True)
class LoseOneOfThree:
    """Any one broker of the cluster dies; the next one only when it is back in step."""

    times: int = 3
    name: str = "one broker of three killed"

    def inject(self, world: World, dice: random.Random) -> str:
        killed = []
        for _ in range(self.times):
            program = dice.choice(world.nodes).program
            program.wait_up()
            program.kill()
            killed.append(program.name)
            time.sleep(dice.uniform(3, 8))
            wait_whole(world.settings, len(world.nodes))
        return f"kill -9 of {', '.join(killed)}, the next when all was in step"


@dataclass(frozen=True)
class FullDisk:
    """A small disk is filled to the last byte for a while, then there is room again."""

    where: str
    """A folder in the world's home, or the pattern of one."""
    label: str
    seconds: float = 30.0
    needs_outage: bool = False
    """Whether it is written to only while the broker is away."""

    @property
    def name(self) -> str:
        return f"disk of {self.label} full"

    def inject(self, world: World, dice: random.Random) -> str:
        (folder,) = world.home.glob(self.where)
        if not folder.is_mount():
            msg = f"{folder} is no disk of its own"
            raise NotInjected(msg)
        filler = folder / "filler"
        size = fill(filler)
        try:
            if self.needs_outage:
                world.nodes[0].program.freeze()
            time.sleep(self.seconds)
        finally:
            filler.unlink()
            for node in world.nodes:
                node.program.thaw()
        return f"{size / 1e6:.0f} MB of filler in {SMALL_DISK} for {self.seconds:.0f} s" + (
            ", the broker frozen meanwhile" if self.needs_outage else ""
        )


def fill(file: Path) -> int:
    """Write until there is no room; how many bytes that took."""
    size = 0
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as out:
        for piece in (b"\0" * 1_000_000, b"\0" * 4096, b"\0"):
            with contextlib.suppress(OSError):
                while written := out.write(piece):
                    size += written
    return size


@contextlib.contextmanager
def small_disks(folders: Sequence[Path]) -> Iterator[None]:
    """A disk of SMALL_DISK at each of the folders. Raises NotInjected where that is not allowed."""
    mounted: list[Path] = []
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                msg = f"no small disk can be mounted here (that takes root): {done.stderr.strip()}"
                raise NotInjected(msg)
            mounted.append(folder)
        yield
    finally:
        for folder in reversed(mounted):
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
