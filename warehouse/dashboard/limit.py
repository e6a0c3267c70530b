"""A limit on the time of trusted questions."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from infra.errors import QueryError

_AGAIN_S = 0.2


@contextmanager
def limit(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """What is asked of the connection within has to be answered within. Raises QueryError (timeout, too_large).

    An interrupt that comes between two queries is lost, so it is repeated until the questions are over.
    """
    until = time.monotonic() + seconds
    over = threading.Event()

    def watch() -> None:
        wait = seconds
        while not over.wait(wait):
            connection.interrupt()
            wait = _AGAIN_S

    watcher = threading.Thread(target=watch, name="limit", daemon=True)
    watcher.start()
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        msg = "the question needs more memory than the dashboard may have; ask for a shorter stretch, or in SQL"
        raise QueryError(msg, "too_large") from error
    except duckdb.InterruptException:
        if time.monotonic() < until:  # somebody else's
            raise
    finally:
        over.set()
        watcher.join()
    if time.monotonic() >= until:
        msg = f"expected an answer within {seconds:g} s, there was none"
        raise QueryError(msg, "timeout")
