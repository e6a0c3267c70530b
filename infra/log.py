"""Structured logs: one line, one JSON object, the same for every process of ours.

    from infra import log
    log.setup("collector")
    logging.getLogger(__name__).info("batch accepted", extra={"events": 120, "topic": "user.playback.events"})

writes `{"ts": "2026-01-15T20:30:45.123Z", "level": "INFO", "process": "collector", "logger": "streams.intake",
"msg": "batch accepted", "events": 120, "topic": "user.playback.events"}`. Human words go in `msg`, figures in fields.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
"""Attributes that every record has; all others came by `extra`."""

_CHATTY = ("aiokafka", "asyncio", "urllib3", "httpx", "py4j", "faust.transport", "uvicorn.access")


class JsonFormatter(logging.Formatter):
    """One record as one JSON object; `extra` fields keep their names."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "msg": record.getMessage(),
        }
        line.update((name, value) for name, value in vars(record).items() if name not in _OWN and name not in line)
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def setup(process: str, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send every logger of this process to `stream` (stdout: the supervisor keeps it in `<process>.log`)."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter(process))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "faust", "mode"):
        # They bring handlers of their own; let the root's speak once.
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    sys.excepthook = _log_uncaught


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """What ends a process is a line of its log too."""
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("uncaught").critical("%s: %s", kind.__name__, error, exc_info=(kind, error, trace))
