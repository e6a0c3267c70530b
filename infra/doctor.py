"""What is well and what is not on this machine, for this platform, with what to do about it."""

from __future__ import annotations

import ipaddress
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import psutil

from infra import java, preflight, process_tree, run_state
from infra.airflow import environment as airflow
from infra.errors import PlaylakeError
from infra.processes import PLAYLAKE, Part, parts
from infra.settings import Settings

GIB = 2**30
DISK_LOW, DISK_TOO_LOW = 5 * GIB, 1 * GIB
MEMORY_LOW = 4 * GIB
NO_BROKER = "the embedded broker is not running"
PACKAGES = ("faust-streaming", "confluent-kafka", "pyspark", "deltalake", "duckdb", "great-expectations", "pyarrow")


@dataclass(frozen=True)
class Finding:
    """One line of the report. verdict `bad`: the platform can't work, or is open to others."""

    verdict: Literal["good", "note", "warning", "bad"]
    what: str
    detail: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything worth looking at, cheapest first."""
    every = parts(settings)
    yield from _programs(settings)
    yield from _room(settings)
    yield from _ports(settings, every)
    yield from _sockets(settings)
    yield from _topics(settings)
    yield from _settings(settings)
    user, password = airflow.login(settings)
    yield Finding("note", "Airflow", f"{airflow.url(settings)}, user {user}, password {password}")


def _programs(settings: Settings) -> Iterator[Finding]:
    yield Finding("good", "python", f"{sys.version.split()[0]} ({sys.executable})")
    try:
        path = java.find(settings)
        yield Finding("good", "java", f"{java.version(path)} ({path})")
    except PlaylakeError as error:
        yield Finding("bad", "java", str(error))
    for what, where, needed in (
        ("Kafka's jars", settings.jars / "kafka", settings.embedded_kafka),
        ("Delta's jars", settings.jars / "spark", not settings.spark_remote),
    ):
        count = len(list(where.glob("*.jar")))
        if needed:
            yield Finding("good" if count else "bad", what, f"{count} in {where}" if count else f"none in {where}")
    there = (settings.airflow_venv / "bin" / "airflow").exists()
    yield Finding("good" if there else "bad", "Airflow's environment", str(settings.airflow_venv))
    found = [f"{name} {_version(name)}" for name in PACKAGES]
    yield Finding("bad" if any(one.endswith("missing") for one in found) else "good", "packages", ", ".join(found))


def _room(settings: Settings) -> Iterator[Finding]:
    existing = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    verdict: Literal["good", "warning", "bad"] = "good" if free > DISK_LOW else "warning"
    yield Finding("bad" if free < DISK_TOO_LOW else verdict, "disk", f"{free / GIB:.1f} GiB free at {settings.home}")
    memory = psutil.virtual_memory()
    running = run_state.supervisor(settings) is not None
    enough = running or memory.available > MEMORY_LOW
    detail = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB available, {psutil.cpu_count()} cores"
    yield Finding("good" if enough else "warning", "memory", detail)


def _ports(settings: Settings, every: list[Part]) -> Iterator[Finding]:
    ours = {port for _, port in process_tree.listening(_processes(settings))}
    strangers = [(name, port) for name, port in preflight.taken(settings, every) if port not in ours]
    for name, port in strangers:
        yield Finding("bad", f"port {port}", f"wanted by {name}, in use by {process_tree.listener(port)}")
    if not strangers:
        listed = ", ".join(f"{name} {port}" for name, port in preflight.ports(settings, every))
        yield Finding("good", "ports", listed)


def _sockets(settings: Settings) -> Iterator[Finding]:
    """Who can reach our processes: only this machine, unless the setting `host` says otherwise."""
    running = _processes(settings)
    if not running:
        yield Finding("note", "sockets", "nothing is running")
        return
    meant = not is_loopback(settings.host)
    found = [(process, ip, port) for process in running for ip, port in process_tree.listening([process])]
    exposed = [(process, ip, port) for process, ip, port in found if not is_loopback(ip)]
    for process, ip, port in exposed:
        verdict: Literal["note", "bad"] = "note" if meant else "bad"
        yield Finding(verdict, f"socket {ip}:{port}", f"open to other machines: {_name(process)}")
    if not exposed:
        listed = ", ".join(f"{ip}:{port}" for ip, port in sorted({(ip, port) for _, ip, port in found}))
        yield Finding("good", "sockets", f"{len(found)}, all on loopback: {listed}")


def _topics(settings: Settings) -> Iterator[Finding]:
    """The contracts are above this folder, so they are asked through the command line."""
    done = subprocess.run(
        [PLAYLAKE, "topics", "--check", "--json"],
        env=process_tree.environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if not done.stdout.strip():  # it could not ask
        running = run_state.supervisor(settings) is not None or not settings.embedded_kafka
        last = (done.stderr.strip().splitlines() or [""])[-1].removeprefix("error: ")
        yield Finding("bad", "topics", last) if running else Finding("note", "topics", NO_BROKER)
        return
    wrong = json.loads(done.stdout)
    for one in wrong:
        yield Finding(one["verdict"], f"topic {one['topic']}", one["said"].removeprefix(f"topic {one['topic']} "))
    if not wrong:
        yield Finding("good", "topics", f"all topics as their contracts say at {settings.bootstrap}")


def _settings(settings: Settings) -> Iterator[Finding]:
    plain = Settings()
    other = {f.name: getattr(settings, f.name) for f in fields(settings)}
    changed = [f"{name}={value}" for name, value in other.items() if value != getattr(plain, name)]
    yield Finding("note", "settings", ", ".join(changed) or "all at their defaults")


def is_loopback(address: str) -> bool:
    """127.0.0.0/8, ::1, and the former written as IPv6."""
    if address == "localhost":
        return True
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def _processes(settings: Settings) -> list[psutil.Process]:
    living = run_state.supervisor(settings)
    return [*process_tree.marked(settings.home), *([living] if living else [])]


def _name(process: psutil.Process) -> str:
    try:
        return f"pid {process.pid} ({' '.join(process.cmdline())[:80]})"
    except psutil.Error:
        return f"pid {process.pid}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
