"""Texts as small numbers: the dimensions of sessions and minutes, of which there are few, each kept once.

Code 0 is "unknown". Codes mean something within one partition and one process; what is stored carries the texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint64

from infra.compiled import compiled, inlined
from streams.live.hashing import EMPTY, empty_index, fill_index, hash_text, padded

FIRST_CODES = 1024
FIRST_BYTES = 32_768
_SEED = 0


class Arrays(NamedTuple):
    """What the compiled code works on."""

    slots: npt.NDArray[np.int32]
    hashes: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int32]
    heap: npt.NDArray[np.uint8]
    used: npt.NDArray[np.int64]
    """Number of codes (with code 0), bytes of the heap."""


class Names:
    """The texts of one partition."""

    def __init__(self) -> None:
        self.arrays = _room_for(FIRST_CODES, FIRST_BYTES)
        self._texts: list[str | None] = [None]

    def __len__(self) -> int:
        return int(self.arrays.used[0])

    def codes(
        self, data: npt.NDArray[np.uint8], starts: npt.NDArray[Any], sizes: npt.NDArray[Any], out: npt.NDArray[Any]
    ) -> None:
        """Write the codes of texts in `data`; new texts get new codes. Size < 0: unknown.

        starts, sizes: [kinds, n]. out: [n, kinds], int32.
        """
        done = 0
        while (done := _codes(self.arrays, data, starts, sizes, out, done)) < len(out):
            self._grow(int(sizes[:, done].clip(0).sum()))

    def code(self, text: str | None) -> int:
        """The code of one text."""
        if text is None:
            return 0
        raw = text.encode()
        out = np.zeros((1, 1), np.int32)
        self.codes(padded(raw), np.zeros((1, 1), np.int64), np.array([[len(raw)]], np.int32), out)
        return int(out[0, 0])

    def text(self, code: int) -> str | None:
        """The text of a code."""
        for new in range(len(self._texts), code + 1):
            start = int(self.arrays.starts[new])
            self._texts.append(bytes(self.arrays.heap[start : start + int(self.arrays.sizes[new])]).decode())
        return self._texts[code]

    def without(self, used: Iterable[int]) -> npt.NDArray[np.int32]:
        """Forget all codes but these; returns old code → new code."""
        new = np.zeros(len(self), np.int32)
        texts = [(code, self.text(code)) for code in used if code]
        self.arrays, self._texts = _room_for(FIRST_CODES, FIRST_BYTES), [None]
        for code, text in texts:
            new[code] = self.code(text)
        return new

    def _grow(self, size: int) -> None:
        old = self.arrays
        codes, bytes_used = int(old.used[0]), int(old.used[1])
        new = _room_for(2 * len(old.hashes), 2 * (len(old.heap) + size))
        for name in ("hashes", "starts", "sizes"):
            getattr(new, name)[:codes] = getattr(old, name)[:codes]
        new.heap[:bytes_used] = old.heap[:bytes_used]
        new.used[:] = old.used
        fill_index(new.slots, new.hashes[1:codes], np.arange(1, codes, dtype=np.int32))
        self.arrays = new


def _room_for(codes: int, size: int) -> Arrays:
    used = np.array([1, 0], np.int64)
    return Arrays(
        empty_index(codes), np.zeros(codes, np.uint64), np.zeros(codes, np.int64), np.zeros(codes, np.int32),
        np.zeros(size, np.uint8), used,
    )  # fmt: skip


@compiled
def _codes(names: Arrays, data: Any, starts: Any, sizes: Any, out: Any, first: int) -> int:
    """Codes from place `first` on; returns where room ran out, or the length."""
    for i in range(first, len(out)):
        for kind in range(len(sizes)):
            size = sizes[kind, i]
            if size < 0:
                out[i, kind] = 0
            else:
                code = _code(names, data, starts[kind, i], size)
                if code == 0:
                    return i
                out[i, kind] = code
    return len(out)


@inlined
def _code(names: Arrays, data: Any, start: int, size: int) -> int:
    """The code of a text, a new one if need be; 0 if there is no room for it."""
    mask = uint64(len(names.slots) - 1)
    h = hash_text(data, start, size, _SEED)
    at = h & mask
    while names.slots[at] != EMPTY:
        code = names.slots[at]
        if names.hashes[code] == h and names.sizes[code] == size and _is_text(names, code, data, start, size):
            return code  # type: ignore[no-any-return]
        at = (at + uint64(1)) & mask
    code, heap_used = names.used[0], names.used[1]
    if code >= len(names.hashes) or heap_used + size > len(names.heap):
        return 0
    for k in range(size):
        names.heap[heap_used + k] = data[start + k]
    names.hashes[code], names.starts[code], names.sizes[code] = h, heap_used, size
    names.used[0], names.used[1] = code + 1, heap_used + size
    names.slots[at] = code
    return code  # type: ignore[no-any-return]


@inlined
def _is_text(names: Arrays, code: int, data: Any, start: int, size: int) -> bool:
    for k in range(size):
        if names.heap[names.starts[code] + k] != data[start + k]:
            return False
    return True
