"""The server as a process of its own, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import httpx

from infra.settings import ROOT, Settings


def start(settings: Settings) -> subprocess.Popen[bytes]:
    """`python -m warehouse.server` with settings of its own; its log is `server.log` in its state folder."""
    settings.home.mkdir(parents=True, exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PLAYLAKE_")} | settings.to_env()
    with (settings.home / "server.log").open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "warehouse.server"], cwd=ROOT, env=environment, stdout=out, stderr=out
        )


class Running:
    """A server that answers."""

    def __init__(self, settings: Settings, key: str | None = None) -> None:
        self.log = settings.home / "server.log"
        self.process = start(settings)
        self.port = settings.server_port
        self.url = f"http://127.0.0.1:{settings.server_port}"
        self.http = self.client(key)
        end = time.monotonic() + 60
        while True:
            try:
                self.http.get("/healthz").raise_for_status()
                return
            except httpx.HTTPError:
                if time.monotonic() > end or self.process.poll() is not None:
                    self.stop()
                    raise AssertionError(self.log.read_text()[-3000:]) from None
                time.sleep(0.1)

    def client(self, key: str | None = None) -> httpx.Client:
        """Another visitor."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def sql(self, sql: str, **fields: object) -> httpx.Response:
        return self.http.post("/v1/sql", json={"sql": sql, **fields})

    def stop(self) -> int:
        """Exit code after SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
