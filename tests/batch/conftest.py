"""One Spark Connect server for all batch tests, on a port of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra.settings import Settings
from infra.spark import connect
from tests import quick_spark
from tests.conftest import isolated_settings


@pytest.fixture(scope="session")
def spark_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a running server; its `spark_url` is where it listens."""
    home = tmp_path_factory.mktemp("spark")
    server = replace(isolated_settings(home), spark_driver_memory="1g")
    connect.prepare(server)
    with (home / "server.log").open("ab") as log:
        process = subprocess.Popen(
            quick_spark.command(server, few_rows=True),
            env={**os.environ, **quick_spark.environment(server)},
            cwd=home,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(server, process, home / "server.log")
        yield server
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def _wait(server: Settings, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 90
    while process.poll() is None and time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex((server.host, server.spark_port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail(f"Spark did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture
def lake(settings: Settings, spark_server: Settings) -> Settings:
    """An empty lake of this test's own, and the shared server to work on it."""
    return replace(settings, spark_remote=spark_server.spark_url)
