"""A supervisor of small parts, for test_supervisor.py: `small_parts.py JSON`. Each part is this file again.

Kinds: `http` (answers on a free port), `once` (ends well), `broken` (ends with 3).
They append to `<home>/events`: `name+` when started, `name!` when listening, `name-` when asked to end, `name.` when
they end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

from infra import up
from infra.errors import PlaylakeError, SetupError
from infra.health import Http
from infra.isolated import free_ports
from infra.processes import Part
from infra.settings import Settings
from infra.supervisor import Policy, Supervisor

SLEEPER = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(120)"]


def supervise(given: dict[str, Any]) -> None:
    settings = Settings(**given["settings"] | {"home": Path(given["settings"]["home"])})
    policy = Policy(first_pause=0.1, ask_healthy=0.2, unhealthy_after=1, replace_after=0.5)
    parts = [part(settings, name, spec) for name, spec in given["parts"].items()]
    with (
        mock.patch.object(up, "parts", lambda *_: parts),
        mock.patch.object(up, "Supervisor", partial(Supervisor, policy=policy)),
    ):
        print("" if up.foreground(settings, [], lambda _: None) else "already up")


def part(settings: Settings, name: str, spec: dict[str, Any]) -> Part:
    (port,) = free_ports(1)

    def prepare() -> None:
        if (settings.home / "unprepared").exists():
            msg = "no file"
            raise SetupError(msg)

    own = spec | {"name": name, "home": str(settings.home), "port": port}
    return Part(
        name=name,
        argv=lambda: [sys.executable, __file__, "--part", json.dumps(own)],
        needs=tuple(spec.get("needs", ())),
        ports=(port,),
        health=None if spec["kind"] == "once" else Http(f"http://127.0.0.1:{port}/"),
        once=spec["kind"] == "once",
        prepare=prepare if spec.get("needs_file") else lambda: None,
        grace_s=spec.get("grace_s", 3.0),
    )


def be_a_part(spec: dict[str, Any]) -> None:
    home, name = Path(spec["home"]), spec["name"]

    def note(what: str, file: str = "events") -> None:
        with (home / file).open("a") as out:
            out.write(f"{what}\n")

    def asked_to_end(*_: object) -> None:
        note(f"{name}-")
        if not spec.get("stubborn"):
            time.sleep(spec.get("slow_end_s", 0))
            note(f"{name}.")
            os._exit(0)

    signal.signal(signal.SIGTERM, asked_to_end)
    note(f"{name}+")
    note(str(time.monotonic()), f"starts.{name}")
    if spec["kind"] == "once":
        return
    if spec["kind"] == "broken" or (home / "fail").exists():
        print("no such thing", flush=True)
        sys.exit(3)
    if spec.get("child"):
        subprocess.Popen(SLEEPER)
        subprocess.Popen(SLEEPER, start_new_session=True)
    time.sleep(spec.get("slow_s", 0))
    server = HTTPServer(("127.0.0.1", spec["port"]), Quiet)
    note(f"{name}!")
    server.serve_forever()


class Quiet(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


if __name__ == "__main__":
    if sys.argv[1] == "--part":
        be_a_part(json.loads(sys.argv[2]))
    else:
        try:
            supervise(json.loads(sys.argv[1]))
        except PlaylakeError as error:
            sys.exit(f"error: {error}")
