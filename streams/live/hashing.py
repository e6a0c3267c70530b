"""Hashes and hash tables for compiled code: texts in a byte buffer, rows found by a 64-bit hash.

Not for secrets: a client that makes two of its own ids collide confuses nobody's numbers but its own.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import uint64

from infra.compiled import compiled, inlined
from schemas.columnar.compiled import load

PADDING = bytes(8)
EMPTY: Final = -1
DELETED: Final = -2

_MULTIPLIER_1 = np.uint64(0x9E3779B185EBCA87)
_MULTIPLIER_2 = np.uint64(0xC2B2AE3D27D4EB4F)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)


@inlined
def mix(h: Any) -> Any:
    """Spread the bits of a 64-bit number (the finaliser of MurmurHash3)."""
    h ^= h >> uint64(33)
    h *= _MIX_1
    h ^= h >> uint64(33)
    h *= _MIX_2
    return h ^ (h >> uint64(33))


@compiled
def hash_text(data: npt.NDArray[np.uint8], start: int, size: int, seed: int) -> Any:
    """64-bit hash of `size` bytes from `start`. It is part of the stored state: it must not change.

    `data` goes on for eight bytes after the text at least (PADDING), since it is read in words.
    """
    h = uint64(seed) ^ (uint64(size) * _MULTIPLIER_1)
    end = start + size
    at = start
    while at + 8 <= end:
        h = mix(h ^ (load(data, at) * _MULTIPLIER_2))
        at += 8
    left = end - at
    if left > 0:
        word = load(data, at) & (~uint64(0) >> uint64(64 - 8 * left))
        h = mix(h ^ (word * _MULTIPLIER_2))
    return mix(h)


def padded(raw: bytes) -> npt.NDArray[np.uint8]:
    """A text in a buffer of its own, as `hash_text` wants it."""
    return np.frombuffer(raw + PADDING, np.uint8)


def empty_index(rows: int) -> npt.NDArray[np.int32]:
    """An index for up to `rows` rows: a power of two, at most half full."""
    return np.full(1 << max(4, (2 * rows - 1).bit_length()), EMPTY, np.int32)


@compiled
def fill_index(index: npt.NDArray[np.int32], hashes: npt.NDArray[np.uint64], rows: npt.NDArray[np.int32]) -> None:
    """Enter rows with their hashes into an empty index."""
    mask = uint64(len(index) - 1)
    for k in range(len(rows)):
        at = hashes[k] & mask
        while index[at] != EMPTY:
            at = (at + uint64(1)) & mask
        index[at] = rows[k]
