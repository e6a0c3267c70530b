"""Columns → Arrow arrays, without a Python object a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.columnar.columns import Columns, Numbers, Text
from schemas.columnar.gather import gathered, numbered
from schemas.columnar.vocabulary import PAD

if TYPE_CHECKING:
    import pyarrow as pa


def prepare() -> None:
    """Compile what is not yet on the disk, which takes some seconds."""
    one = Text(np.zeros(1, np.int64), np.zeros(1, np.int32))
    data, rows = np.zeros(2 * PAD, np.uint8), np.zeros(1, np.int64)
    numbered(data, one)
    _strings(data, one, rows)


def text_array(data: NDArray[np.uint8], text: Text, rows: NDArray[np.int64]) -> pa.Array:
    """Texts of the rows: strings, or a dictionary of them where the same few come again and again."""
    import pyarrow as pa

    if (text.size < 0).all():
        return pa.nulls(len(rows), pa.string())
    if (found := numbered(data, text)) is None:
        return _strings(data, text, rows)
    numbers, examples = found
    numbers = numbers[rows]
    indices = _array(pa.int32(), numbers, numbers >= 0)
    return pa.DictionaryArray.from_arrays(indices, _strings(data, text, examples))


def json_array(data: NDArray[np.uint8], text: Text, rows: NDArray[np.int64], kind: pa.DataType) -> pa.Array:
    """Maps or lists of what the column holds as JSON. Each different text is parsed once."""
    import pyarrow as pa

    found = text_array(data, text, rows)
    if not pa.types.is_dictionary(found.type):
        found = found.dictionary_encode()
    values = [msgspec.json.decode(one) for one in found.dictionary.to_pylist()]
    if pa.types.is_map(kind):
        values = [list(value.items()) for value in values]
    return pa.array(values, kind).take(found.indices)


def number_array(numbers: Numbers, rows: NDArray[np.int64], kind: pa.DataType) -> pa.Array:
    """Integers, moments (of microseconds), doubles or flags of the rows."""
    import pyarrow as pa

    if not numbers.present.any():
        return pa.nulls(len(rows), kind)
    return _array(kind, numbers.values[rows], numbers.present[rows])


def plain_array(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Numbers that are all there, in the memory layout of `kind`."""
    return _array(kind, values, None)


def column_array(columns: Columns, name: str, kind: pa.DataType, rows: NDArray[np.int64]) -> pa.Array:
    """A column of the contract."""
    import pyarrow as pa

    if pa.types.is_string(kind):
        return text_array(columns.data, columns.text(name), rows)
    if pa.types.is_nested(kind):
        return json_array(columns.data, columns.text(name), rows, kind)
    if pa.types.is_boolean(kind):
        return number_array(columns.flag(name), rows, kind)
    if pa.types.is_floating(kind):
        return number_array(columns.number(name), rows, kind)
    return number_array(columns.integer(name), rows, kind)


def _strings(data: NDArray[np.uint8], text: Text, rows: NDArray[np.int64]) -> pa.Array:
    import pyarrow as pa

    offsets, letters = gathered(data, text, rows)
    present = text.size[rows] >= 0
    return pa.Array.from_buffers(pa.string(), len(rows), [_bits(present), pa.py_buffer(offsets), pa.py_buffer(letters)])


def _array(kind: pa.DataType, values: NDArray[Any], present: NDArray[np.bool_] | None) -> pa.Array:
    import pyarrow as pa

    held = np.packbits(values, bitorder="little") if pa.types.is_boolean(kind) else np.ascontiguousarray(values)
    return pa.Array.from_buffers(kind, len(values), [_bits(present), pa.py_buffer(held)])


def _bits(present: NDArray[np.bool_] | None) -> pa.Buffer | None:
    """Arrow's bitmap of what is there; None when all is."""
    import pyarrow as pa

    if present is None or present.all():
        return None
    return pa.py_buffer(np.packbits(present, bitorder="little"))
