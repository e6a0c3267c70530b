"""What must hold before anything is started: nothing is left over from a run before, and the ports are free."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from infra import process_tree, run_state
from infra.errors import ProcessError
from infra.processes import Part
from infra.settings import Settings


def ports(settings: Settings, parts: Sequence[Part]) -> list[tuple[str, int]]:
    """(name, port) of all that will be listened on."""
    return [(part.name, port) for part in parts for port in part.ports] + [("supervisor", settings.supervisor_port)]


def taken(settings: Settings, parts: Sequence[Part]) -> list[tuple[str, int]]:
    """Those of our ports on which somebody listens."""
    return [(name, port) for name, port in ports(settings, parts) if not _is_free(settings.host, port)]


def check_ports(settings: Settings, parts: Sequence[Part]) -> None:
    """Raise ProcessError that names every port that is in use, for which part, and by whom."""
    twice = [port for _, port in ports(settings, parts)]
    lines = [f"port {port} is given to several parts" for port in sorted(set(twice)) if twice.count(port) > 1]
    for name, port in taken(settings, parts):
        lines.append(f"port {port} ({name}) is in use by {process_tree.listener(port)}")
    if lines:
        msg = "nothing was started: " + "; ".join(lines) + ". Stop it, or set another PLAYLAKE_*_PORT."
        raise ProcessError(msg)


def end_orphans(settings: Settings) -> list[int]:
    """End what a supervisor that died left behind (to be called under the lock); their process ids."""
    orphans, before = run_state.orphans(settings), run_state.read(settings)
    process_tree.end(orphans, max((part.grace_s for part in before.parts), default=10.0) if before else 10.0)
    return [orphan.pid for orphan in orphans]


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # A port whose last connections are still closing counts as free, as it does for the servers.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
