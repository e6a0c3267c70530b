"""A stream worker whose transport loses one batch: `python -m tests.chaos.lossy_worker MARK --worker 0`.

The first batch with a record that came since the worker began is thrown away, and the file MARK with it: an older one
might be a replay of what the state holds, and missed by nobody. No fault from outside makes the transport do that, so
the guard against it has to be tried by treason.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from streams import app
from streams.transport import Batch, BatchTransport


def betray(mark: Path) -> None:
    """Make the consumer of batches lose one."""
    consumer: Any = BatchTransport.Consumer
    honest = consumer.getmany
    began_ms = time.time() * 1000

    async def getmany(self: Any, timeout: float) -> AsyncIterator[tuple[Any, Any]]:
        async for place, message in honest(self, timeout):
            batch = message.value
            if isinstance(batch, Batch) and batch.stamp_ms > began_ms and mark.exists():
                mark.unlink()
                continue
            yield place, message

    consumer.getmany = getmany


if __name__ == "__main__":
    betray(Path(sys.argv.pop(1)))
    app.main()
