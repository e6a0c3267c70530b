"""A piece: what one event of a session adds to one minute, as a row of integers.

That is its minute, its place in the startup histogram or -1, and the parts of `schemas/quality.py`. Compiled functions
write and read pieces by these places, which are constants to the compiler.
"""

from __future__ import annotations

import math
from typing import Final

from infra.shared import shared
from schemas.quality import MINUTE_MS, PART, PARTS, STARTUP_BUCKETS

MINUTE: Final = 0
BUCKET: Final = 1
FIRST_PART: Final = 2
PIECE_WIDTH = FIRST_PART + len(PARTS)

AT = {part: FIRST_PART + place for part, place in PART.items()}
"""Part → its place in a piece."""


def pieces_of_an_event(timeout_ms: int) -> int:
    """The most pieces that one event can make: a silence counts for the time-out at most, and may be of two phases."""
    return timeout_ms // MINUTE_MS + 4


@shared
def startup_bucket(startup_ms: int) -> int:
    """Place of a startup time in the histogram (`schemas.quality.STARTUP_BUCKETS`)."""
    if startup_ms < 1:
        return 0
    return min(STARTUP_BUCKETS - 1, int(math.floor(4 * math.log2(startup_ms) + 1e-9)))
