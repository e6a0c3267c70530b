"""What people see of the running platform: the progress of a start, the table of parts, the addresses to open."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from infra import process_tree, run_state
from infra.airflow import environment as airflow
from infra.health import reachable
from infra.run_state import PartState, RunState
from infra.settings import Settings

_COLOURS = {
    "healthy": "green",
    "done": "green",
    "failed": "red",
    "unhealthy": "red",
    "backing off": "yellow",
    "left behind": "red",
}


def console() -> Console:
    """Where reports go; a file or a pipe is as wide as it takes."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=160)


class Progress:
    """Prints a line for each part that has come up, fallen, or ended, as the states go by."""

    def __init__(self, console: Console, known: RunState | None = None) -> None:
        self._console = console
        self._seen = {part.name: part.state for part in known.parts} if known else {}
        self._phase = ""

    def __call__(self, state: RunState) -> None:
        for part in state.parts:
            if self._seen.get(part.name) != part.state:
                self._seen[part.name] = part.state
                self._part(part)
        if state.phase != self._phase:
            self._phase = state.phase
            if state.phase == "stopping":
                self._console.print("stopping; once more Ctrl-C does not wait", style="dim")

    def _part(self, part: PartState) -> None:
        if part.state in ("healthy", "done"):
            where = part.url or ", ".join(f"port {port}" for port in part.ports)
            self._console.print(f"  [green]✓[/] {part.name:22}{part.took_s:6.1f} s  [dim]{where}[/]", highlight=False)
        elif part.state in ("failed", "unhealthy", "backing off"):
            why = part.why.splitlines()[0] if part.why else part.state
            self._console.print(f"  [red]✗[/] {part.name:22}{why}", highlight=False, markup=True)
        elif part.state == "stopped":
            self._console.print(f"  [dim]· {part.name:22}stopped[/]", highlight=False)


def addresses(settings: Settings) -> list[tuple[str, str, str]]:
    """(what, where, note) for the people who want to look or send."""
    server = f"http://{reachable(settings.host)}:{settings.server_port}"
    user, password = airflow.login(settings)
    return [
        ("dashboard", f"{server}/", "live numbers, SQL, history"),
        ("airflow", airflow.url(settings), f"user {user}, password {password}"),
        ("quality report", f"{server}/quality/", "what was checked, and what failed"),
        ("SQL", f"{server}/v1/sql", 'POST, or: playlake sql "FROM live.now"'),
        ("collector", f"http://{reachable(settings.host)}:{settings.collector_port}/v1/events", "POST events here"),
        ("kafka", settings.bootstrap, "or send them here"),
        ("metrics", f"http://{reachable(settings.host)}:{settings.supervisor_port}/metrics", "every part's figures"),
    ]


def print_addresses(out: Console, settings: Settings) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for what, where, note in addresses(settings):
        table.add_row(what, f"[bold]{where}[/]", f"[dim]{note}[/]")
    out.print(table)


def rows(state: RunState, supervised: bool) -> Iterator[dict[str, Any]]:
    """One dictionary a part: what the supervisor said last, and what its processes take right now."""
    for part in state.parts:
        leader = process_tree.same(part.pid, part.started) if part.pid else None
        processes = process_tree.tree(part.pid) if leader else []
        told = asdict(part)
        if part.pid and not leader:
            told |= {"state": "gone", "pid": 0}
        elif part.pid and not supervised:
            told |= {"state": "left behind"}
        yield told | {
            "uptime_s": round(time.time() - part.started, 1) if leader else None,
            "resident_bytes": process_tree.resident_bytes(processes) if processes else None,
            "processes": len(processes),
        }


def status(settings: Settings) -> dict[str, Any]:
    """The whole state, for `--json` and for the table."""
    state, living = run_state.read(settings), run_state.supervisor(settings)
    if not state:
        return {"phase": "never started", "home": str(settings.home), "supervisor": None, "parts": []}
    phase = state.phase if living or state.phase in ("stopped", "failed") else "supervisor gone"
    supervisor = living and {
        "pid": living.pid,
        "uptime_s": round(time.time() - state.started, 1),
        "resident_bytes": process_tree.resident_bytes([living]),
    }
    return {
        "phase": phase,
        "why": state.why,
        "home": str(settings.home),
        "supervisor": supervisor,
        "parts": list(rows(state, supervised=living is not None)),
    }


def print_status(out: Console, told: dict[str, Any]) -> None:
    """The table, and what to do when not all is well."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, width in (
        ("part", 21),
        ("state", 11),
        ("pid", 7),
        ("up", 9),
        ("restarts", 8),
        ("memory", 9),
        ("address", 8),
    ):
        right = name in ("pid", "up", "restarts", "memory")
        # In a narrow terminal it is the address that is cut.
        table.add_column(name, justify="right" if right else "left", no_wrap=True, min_width=width)
    for part in told["parts"]:
        colour = _COLOURS.get(part["state"], "dim")
        where = part["url"] or ", ".join(map(str, part["ports"]))
        table.add_row(
            part["name"],
            f"[{colour}]{part['state']}[/]",
            str(part["pid"] or ""),
            duration(part["uptime_s"]),
            str(part["restarts"] or ""),
            size(part["resident_bytes"]),
            where,
        )
    if told["supervisor"]:
        own = told["supervisor"]
        table.add_row("supervisor", "", str(own["pid"]), duration(own["uptime_s"]), "", size(own["resident_bytes"]), "")
        total = own["resident_bytes"] + sum(part["resident_bytes"] or 0 for part in told["parts"])
        table.add_section()
        table.add_row("all", told["phase"], "", "", "", size(total), told["home"])
        out.print(table)
    else:
        if told["parts"]:
            out.print(table)
        hint = "`playlake down` ends what it left" if told["phase"] == "supervisor gone" else "`playlake up` starts it"
        out.print(f"not running ({told['phase']}, {told['home']}); {hint}")
    for part in told["parts"]:
        if part["why"] and part["state"] not in ("healthy", "done", "stopped"):
            out.print(f"{part['name']}: {part['why']}", markup=False, highlight=False)


def duration(seconds: float | None) -> str:
    """`42 s`, `3 m 05 s`, `2 h 10 m`."""
    if seconds is None:
        return ""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} m"


def size(count: int | None) -> str:
    """Mebibytes."""
    return "" if count is None else f"{count / 2**20:,.0f} MiB"
