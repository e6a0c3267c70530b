"""The audit log: one JSON line a query, `<home>/query_log/queries.jsonl`, rotated by size.

A line: time, key's name, query id, SQL, parameters, outcome (`answered` or why not), rows, elapsed_ms, publish_id. A
parameter that was flagged as secret is not in it. Only its owner can read it.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any

from prometheus_client import Counter

from infra.settings import Settings

MAX_SQL = 20_000
"""Characters of a query that are kept."""
MAX_PARAMETERS = 5_000
HIDDEN = "(secret)"

UNWRITTEN = Counter("playlake_server_query_log_unwritten", "Queries whose line of the audit log could not be written")

logger = logging.getLogger(__name__)

Secret = bool | list[str | int]
"""Which parameters are secret: all, or these names or places (from 1)."""


class QueryLog:
    """Appends a line a query. To be used by one process."""

    def __init__(self, settings: Settings) -> None:
        path = settings.query_log
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._handler = _Rotating(path, settings.query_log_bytes, settings.query_log_files)

    def write(
        self,
        *,
        key: str | None,
        query_id: str,
        sql: str,
        parameters: Any,
        outcome: str,
        rows: int | None = None,
        elapsed_s: float = 0.0,
        publish_id: str | None = None,
    ) -> None:
        """One query, when it has ended. `key`: None when nobody known asked."""
        line = {
            "ts": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "key": key,
            "id": query_id,
            "sql": sql if len(sql) <= MAX_SQL else f"{sql[:MAX_SQL]}… ({len(sql):,} characters)",
            "parameters": parameters,
            "outcome": outcome,
            "rows": rows,
            "elapsed_ms": round(elapsed_s * 1000, 1),
            "publish_id": publish_id,
        }
        text = json.dumps(line, ensure_ascii=False, default=str)
        self._handler.handle(logging.makeLogRecord({"msg": text}))

    def close(self) -> None:
        self._handler.close()


def shown(parameters: Any, secret: Secret) -> Any:
    """Parameters as the log has them: what is secret hidden, what is long cut."""
    if parameters is None:
        return None
    if isinstance(parameters, dict):
        hidden = set(parameters) if secret is True else {str(name) for name in secret or []}
        found: Any = {name: HIDDEN if name in hidden else value for name, value in parameters.items()}
    else:
        places = range(1, len(parameters) + 1) if secret is True else secret or []
        found = [HIDDEN if at in places else value for at, value in enumerate(parameters, 1)]
    text = json.dumps(found, ensure_ascii=False, default=str)
    return found if len(text) <= MAX_PARAMETERS else f"{text[:MAX_PARAMETERS]}… ({len(text):,} characters)"


class _Rotating(RotatingFileHandler):
    """A log that only its owner reads, and that says when it can't be written."""

    def __init__(self, path: Path, max_bytes: int, files: int) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=files, encoding="utf-8")

    def _open(self) -> IO[Any]:  # type: ignore[override]
        handle = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return os.fdopen(handle, "a", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:
        UNWRITTEN.inc()
        logger.exception("a line of the audit log could not be written")
