"""Settings that collide with nothing else on the machine: where tests and measurements play."""

from __future__ import annotations

import itertools
import os
import random
import socket
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from infra.settings import Settings

_PORTS = itertools.count(random.Random(os.getpid()).randrange(10_000, 28_000))
"""Below the range that the system gives to outgoing connections, which would take a port between choice and use."""


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, none of them chosen before in this process."""
    return list(itertools.islice(filter(_is_free, _PORTS), count))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def isolated_settings(home: Path, **changes: Any) -> Settings:
    """Settings with a state folder and ports of their own; `changes` are other settings."""
    names = [field.name for field in fields(Settings) if field.name.endswith("_port")]
    ports: dict[str, Any] = dict(zip(names, free_ports(len(names)), strict=True))
    return replace(Settings(home=home), **(ports | changes))
