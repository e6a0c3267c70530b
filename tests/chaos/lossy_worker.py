"""A stream worker whose transport loses one batch: `python -m tests.chaos.lossy_worker MARK --worker 0`.

The third batch that comes while the file MARK is there is thrown away, and the file with it. No fault from outside
makes the transport do that, so the guard against it has to be tried by treason.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from streams import app
from streams.transport import Batch, BatchTransport

LOST = 3


def betray(mark: Path) -> None:
    """Make the consumer of batches lose one."""
    consumer: Any = BatchTransport.Consumer
    honest = consumer.getmany
    seen = 0

    async def getmany(self: Any, timeout: float) -> AsyncIterator[tuple[Any, Any]]:
        nonlocal seen
        async for place, message in honest(self, timeout):
            if isinstance(message.value, Batch) and mark.exists():
                seen += 1
                if seen == LOST:
                    mark.unlink()
                    continue
            yield place, message

    consumer.getmany = getmany


if __name__ == "__main__":
    betray(Path(sys.argv.pop(1)))
    app.main()
