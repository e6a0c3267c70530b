"""A Spark Connect server as the platform starts it, watched from outside: processor time and memory, its Python too."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from benchmarks.peers.memory import peak_mb
from benchmarks.stage import Process
from infra.settings import Settings
from infra.spark import connect
from infra.waiting import until

START_S = 90.0
WATCH_S = 0.1


class Server:
    """The JVM, which is driver and executor in one, and the Python workers that it starts."""

    def __init__(self, settings: Settings) -> None:
        connect.prepare(settings)
        folder = connect.folder(settings)
        self._process = Process("spark", connect.command(settings), settings, connect.environment(settings), folder)
        self._jvm = psutil.Process(self._process.pid)
        self.python_mb = 0.0
        """Highest resident memory of all Python workers together; what they share counts for each."""
        self._cpu_s: dict[psutil.Process, float] = {}
        """Of every process that was seen: whose parent ends before it is in nobody's account afterwards."""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        until("Spark's port", lambda: self._listens(settings), START_S)
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def _listens(self, settings: Settings) -> bool:
        self._process.check()
        with socket.socket() as probe:
            return probe.connect_ex((settings.host, settings.spark_port)) == 0

    @property
    def jvm_mb(self) -> float:
        """Highest resident memory of the JVM."""
        return peak_mb(self._process.pid)

    def cpu_seconds(self) -> float:
        """Processor time of all processes so far, those that have ended included."""
        with self._lock:
            self._note()
            return sum(self._cpu_s.values())

    def _look(self) -> None:
        while not self._ended.wait(WATCH_S):
            with self._lock, contextlib.suppress(psutil.NoSuchProcess):
                self._note()

    def _note(self) -> None:
        workers = self._jvm.children(recursive=True)
        now = 0.0
        for process in (self._jvm, *workers):
            with contextlib.suppress(psutil.NoSuchProcess):
                self._cpu_s[process] = sum(process.cpu_times()[:2])
                now += process.memory_info().rss / 2**20 if process in workers else 0
        self.python_mb = max(self.python_mb, now)

    def close(self) -> None:
        self._ended.set()
        self._watch.join()
        self._process.stop()


@contextmanager
def server(settings: Settings) -> Iterator[Server]:
    """A server for the length of a block."""
    one = Server(settings)
    try:
        yield one
    finally:
        one.close()
