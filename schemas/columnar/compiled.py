"""What compiled code here is built of: words of eight bytes at any place of a buffer.

The words are little-endian, as on every machine that the platform runs on.
"""

from __future__ import annotations

import sys
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from infra.compiled import compiled

if sys.byteorder != "little":
    msg = f"columnar decoding needs a little-endian machine, this one is {sys.byteorder}-endian"
    raise ImportError(msg)


_WORD = ir.IntType(64)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, place: Any) -> Any:
    data = make_array(array_type)(context, builder, array).data  # type: ignore[no-untyped-call]
    return builder.bitcast(builder.gep(data, [place]), _WORD.as_pointer())


def _load(_context: Any, array: Any, _place: Any) -> Any:
    """`load(buffer, place)`: the eight bytes at `place` as uint64. All of them must be in the buffer."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], given[0], given[1]), align=1)

    return types.uint64(array, types.int64), generate


def _store(_context: Any, array: Any, _place: Any, _word: Any) -> Any:
    """`store(buffer, place, word)`: the other way round."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        builder.store(given[2], _pointer(context, builder, signature.args[0], given[0], given[1]), align=1)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.uint64), generate


def _trailing_zeros(_context: Any, _word: Any) -> Any:
    """`trailing_zeros(word)`: how many low bits are 0; the word must not be."""

    def generate(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        return builder.cttz(given[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


load: Any = intrinsic(_load)
store: Any = intrinsic(_store)
trailing_zeros: Any = intrinsic(_trailing_zeros)

__all__ = ["compiled", "load", "store", "trailing_zeros"]
