"""Logs for people: readable lines, in the order of their stamps, followed across a cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading

import pytest

from infra import log_files
from infra.log_files import LogFiles, readable
from infra.settings import Settings


def write(files: LogFiles, part: str, *lines: str) -> None:
    with files.open(part) as out:
        out.write("".join(f"{line}\n" for line in lines).encode())


def stamped(at: str, msg: str) -> str:
    return json.dumps({"ts": at, "level": "INFO", "msg": msg})


def test_a_line_of_ours_of_airflow_and_of_nobody() -> None:
    ours = {"ts": "2026-01-15T20:30:45.123Z", "level": "INFO", "process": "sink", "logger": "x", "msg": "ok", "rows": 3}
    assert readable(json.dumps(ours)) == "20:30:45.123 INFO    ok  rows=3"
    airflow = {"timestamp": "2026-01-15T20:30:45.123456Z", "level": "info", "event": "up", "logger": "y", "lineno": 3}
    assert readable(json.dumps(airflow)) == "20:30:45.123 INFO    up"
    assert readable("Exception in thread main") == "Exception in thread main"
    assert readable("[1, 2]") == "[1, 2]"
    assert readable(json.dumps(ours | {"trace": "Traceback\n  x"})).endswith("rows=3\nTraceback\n  x")


def test_lines_of_several_parts_come_in_the_order_of_their_stamps(settings: Settings) -> None:
    files = LogFiles(settings)
    write(files, "a", *(stamped(f"2026-01-01T00:00:0{second}Z", f"a{second}") for second in (1, 3, 5)))
    write(files, "b", *(stamped(f"2026-01-01T00:00:0{second}Z", f"b{second}") for second in (0, 2, 4)))
    told = [json.loads(line)["msg"] for _, line in files.read(files.names(), lines=2)]
    assert told == ["b2", "a3", "b4", "a5"]


def test_following_goes_on_where_the_file_was_cut(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "LARGEST_BYTES", 1000)
    monkeypatch.setattr(log_files, "LOOK_EVERY_S", 0.01)
    files = LogFiles(settings)
    write(files, "a", "old", "x" * 2000)
    seen: list[str] = []
    done = threading.Event()

    def follow() -> None:
        for _, line in files.read(["a"], lines=0, follow=True):
            seen.append(line)
            if line == "last":
                done.set()
                return

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    writer = files.path("a").open("ab")  # as a part has it open

    async def keep_small() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(files.keep_small(), 0.3)

    asyncio.run(keep_small())
    assert files.path("a").stat().st_size == 0
    assert files.path("a").with_suffix(".log.1").read_text().startswith("old\n")
    writer.write("first\nläst".encode())
    writer.flush()
    writer.write(b"\nlast\n")
    writer.flush()
    assert done.wait(5)
    assert seen == ["first", "läst", "last"]
    writer.close()
