"""The compiled pass over a batch: one flat object a record, its plain values straight into the columns."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from infra.compiled import compiled, inlined
from schemas.columnar.rules import ALLOWED, FLAG, INTEGER, KIND, NULLABLE, NUMBER, PAIRS, STAMP, TEXT, Rules
from schemas.columnar.stamps import MAX_RECEIVED_MS, NO_STAMP, occurred, stamp
from schemas.columnar.values import (
    CLOSE,
    COLON,
    COMMA,
    FALSE,
    MAX_PAIRS,
    NULL,
    OPEN,
    QUOTE,
    TRUE,
    decimal,
    is_name_end,
    is_word,
    pairs_end,
    scalar_end,
    skip_space,
    text_end,
    whole,
)
from schemas.columnar.vocabulary import KEYS, KINDS, LISTED, find, same

PLAIN, UNNAMED, ODD = 0, 1, 2
"""Of a record: all in the columns; all but the id, which it does not have; nothing, the struct must look at it."""
MAX_MORE = 8
"""Fields that the contract does not name."""


class Output(NamedTuple):
    """The columns, i being the record's place in the batch; rows of the 2-dimensional ones are the fields' slots."""

    kind: NDArray[np.int16]
    occurred_us: NDArray[np.int64]
    is_clock_suspect: NDArray[np.bool_]
    key_start: NDArray[np.int64]
    key_size: NDArray[np.int32]
    extra_start: NDArray[np.int64]
    extra_size: NDArray[np.int32]
    start: NDArray[np.int64]
    size: NDArray[np.int32]
    integer: NDArray[np.int64]
    has_integer: NDArray[np.bool_]
    number: NDArray[np.float64]
    has_number: NDArray[np.bool_]
    flag: NDArray[np.uint8]
    has_flag: NDArray[np.bool_]


class Found(NamedTuple):
    """What has been read of the record at hand. c: field."""

    record: NDArray[np.int64]  # [c]: the last record that had it
    order: NDArray[np.int64]  # the fields in their order
    after: NDArray[np.int64]  # [c]: the field that last came after it; the last one is for the first field of a record
    null: NDArray[np.bool_]  # [c]
    start: NDArray[np.int64]  # [c]
    size: NDArray[np.int64]  # [c]
    integer: NDArray[np.int64]  # [c]: also moments and flags
    number: NDArray[np.float64]  # [c]
    more: NDArray[np.int64]  # [MAX_MORE, 4]: start and end of name and value, of fields that the contract does not name
    pairs: NDArray[np.int64]  # [MAX_PAIRS, 2]: start and size of the names of an object


def nothing_found(rules: Rules) -> Found:
    """Room for a record."""
    count = len(rules.type)
    whole, flags = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    more, pairs = np.zeros((MAX_MORE, 4), np.int64), np.zeros((MAX_PAIRS, 2), np.int64)
    return Found(
        whole - 1,
        whole,
        np.zeros(count + 1, np.int64),
        flags,
        whole.copy(),
        whole.copy(),
        whole.copy(),
        np.zeros(count),
        more,
        pairs,
    )


@compiled
def scan(data: Any, ends: Any, received_ms: Any, rules: Any, out: Any, found: Any, tail: Any, state: Any) -> Any:
    """Read every record that is plain; returns how much of `tail` has been written.

    data: the records, a NUL behind each, PAD before the first and behind the last. ends: [n + 1]; record i is
    data[ends[i] + 1 : ends[i + 1]]. tail: where texts are made that are nowhere in data; its first byte has the place
    len(data) in the columns. state: [n], PLAIN, UNNAMED or ODD, of which ODD records leave no trace in `out`.
    """
    used = np.int64(0)
    for i in range(len(state)):
        known, more, kind = _read(data, ends[i] + 1, ends[i + 1], i, rules, found)
        if known < 0 or not _keeps_contract(i, kind, known, more, rules, found):
            state[i] = ODD
            continue
        key = _key(i, kind, rules, found)
        if key < 0 or received_ms[i] < 0 or received_ms[i] > MAX_RECEIVED_MS:
            state[i] = ODD
            continue
        out.kind[i] = kind
        out.key_start[i], out.key_size[i] = found.start[key], found.size[key]
        _write(i, known, rules, found, out)
        for place in range(rules.empty.shape[1]):
            c = rules.empty[kind, place]
            if c >= 0 and found.record[c] != i and rules.slot[c] >= 0:
                out.size[rules.slot[c], i] = 0
        out.occurred_us[i], out.is_clock_suspect[i] = occurred(
            received_ms[i] * 1000,
            found.integer[rules.places[0]],
            _moment(i, rules.places[1], found),
            _moment(i, rules.places[2], found),
        )
        if more > 0:
            end = _write_more(data, more, found, tail, used)
            out.extra_start[i], out.extra_size[i] = len(data) + used, end - used
            used = end
        named = rules.places[3]
        has_id = found.record[named] == i and not found.null[named] and found.size[named] > 0
        state[i] = PLAIN if has_id else UNNAMED
    return used


@inlined
def _read(data: Any, at: Any, end: Any, i: Any, rules: Any, found: Any) -> Any:
    """How many fields the contract names and how many it does not, and the kind of event; -1 for what is not plain."""
    odd = np.int64(-1), np.int64(0), np.int64(-1)
    known, more, kind = np.int64(0), np.int64(0), np.int64(-1)
    words, before = rules.words, len(rules.type)
    at = skip_space(data, at)
    if data[at] != OPEN:
        return odd
    while True:
        at = skip_space(data, at + 1)
        if data[at] != QUOTE:
            return odd
        start = at + 1
        # Producers write their fields in one order, so the next one's name is mostly known before it is read.
        c = found.after[before]
        stop = start + words.size[c]
        if same(data, start, words.letters, words.start[c], words.size[c]) and is_name_end(data, stop):
            at = skip_space(data, stop + 2)
        else:
            stop = text_end(data, start)
            if stop < 0:
                return odd
            at = skip_space(data, stop + 1)
            if data[at] != COLON:
                return odd
            at = skip_space(data, at + 1)
            c = find(data, start, stop - start, KEYS, words)
            if c >= 0:
                found.after[before] = c
        before = c if c >= 0 else before
        if c < 0:
            if more == MAX_MORE:
                return odd
            found.more[more, 0], found.more[more, 1], found.more[more, 2] = start, stop, at
            at = scalar_end(data, at)
            found.more[more, 3] = at
            more += 1
        elif found.record[c] == i:
            return odd
        else:
            found.record[c] = i
            if rules.type[c] == KIND:
                if data[at] != QUOTE:
                    return odd
                stop = text_end(data, at + 1)
                kind = find(data, at + 1, stop - at - 1, KINDS, words) if stop >= 0 else np.int64(-1)
                if kind < 0:
                    return odd
                at = stop + 1
            else:
                found.order[known] = c
                known += 1
                at = _read_value(data, at, c, rules, found)
        if at < 0:
            return odd
        at = skip_space(data, at)
        if data[at] == CLOSE:
            break
        if data[at] != COMMA:
            return odd
    if kind < 0 or skip_space(data, at + 1) != end or _has_name_twice(data, more, found):
        return odd
    return known, more, kind


@inlined
def _read_value(data: Any, at: Any, c: Any, rules: Any, found: Any) -> Any:
    """Read the value of a field into `found`; where it ends, or -1."""
    odd = np.int64(-1)
    found.null[c] = is_word(data, at, NULL)
    if found.null[c]:
        return at + 4
    kind = rules.type[c]
    if kind == INTEGER:
        end, found.integer[c] = whole(data, at)
        return end if rules.low[c] <= found.integer[c] <= rules.high[c] else odd
    if kind in (TEXT, STAMP):
        if data[at] != QUOTE:
            return odd
        start = at + 1
        end = text_end(data, start)
        if end < 0:
            return odd
        found.start[c], found.size[c] = start, end - start
        if kind == STAMP:
            found.integer[c] = stamp(data, start, end - start)
            return end + 1 if found.integer[c] != NO_STAMP else odd
        if rules.is_listed[c] and find(data, start, end - start, LISTED + c, rules.words) < 0:
            return odd
        return end + 1
    if kind == FLAG:
        if is_word(data, at, TRUE):
            found.integer[c] = 1
            return at + 4
        found.integer[c] = 0
        return at + 5 if is_word(data, at, FALSE) and data[at + 4] == 101 else odd
    if kind == NUMBER:
        end, found.number[c] = decimal(data, at)
        return end
    if kind == PAIRS:
        end = pairs_end(data, at, found.pairs)
        found.start[c], found.size[c] = at, end - at
        return end
    return odd


@inlined
def _keeps_contract(i: Any, kind: Any, known: Any, more: Any, rules: Any, found: Any) -> Any:
    """Whether the kind of event may have these fields, and has those that it must."""
    for place in range(known):
        c = found.order[place]
        allowed = rules.allowed[kind, c]
        if not allowed & ALLOWED or (found.null[c] and not allowed & NULLABLE):
            return False
    for place in range(rules.needed.shape[1]):
        c = rules.needed[kind, place]
        if c >= 0 and found.record[c] != i:
            return False
    return more == 0 or rules.may_have_more[kind]


@inlined
def _key(i: Any, kind: Any, rules: Any, found: Any) -> Any:
    """The field that is the record's key, or -1."""
    for place in range(rules.keys.shape[1]):
        c = rules.keys[kind, place]
        if c >= 0 and found.record[c] == i and not found.null[c] and found.size[c] > 0:
            return c
    return np.int64(-1)


@inlined
def _moment(i: Any, c: Any, found: Any) -> Any:
    return found.integer[c] if found.record[c] == i and not found.null[c] else np.int64(NO_STAMP)


@inlined
def _write(i: Any, known: Any, rules: Any, found: Any, out: Any) -> None:
    for place in range(known):
        c = found.order[place]
        slot = rules.slot[c]
        if slot < 0 or found.null[c]:
            continue
        kind = rules.type[c]
        if kind in (TEXT, PAIRS):
            out.start[slot, i], out.size[slot, i] = found.start[c], found.size[c]
        elif kind in (INTEGER, STAMP):
            out.integer[slot, i], out.has_integer[slot, i] = found.integer[c], True
        elif kind == NUMBER:
            out.number[slot, i], out.has_number[slot, i] = found.number[c], True
        elif kind == FLAG:
            out.flag[slot, i], out.has_flag[slot, i] = found.integer[c], True


@compiled
def _write_more(data: Any, more: Any, found: Any, tail: Any, at: Any) -> Any:
    """The fields that the contract does not name as one JSON object; returns where it ends."""
    tail[at] = OPEN
    at += 1
    for place in range(more):
        name, name_end, value, value_end = found.more[place]
        if place:
            tail[at] = COMMA
            at += 1
        for source in range(name - 1, name_end + 1):
            tail[at] = data[source]
            at += 1
        tail[at] = COLON
        at += 1
        for source in range(value, value_end):
            tail[at] = data[source]
            at += 1
    tail[at] = CLOSE
    return at + 1


@compiled
def _has_name_twice(data: Any, more: Any, found: Any) -> Any:
    for one in range(more):
        size = found.more[one, 1] - found.more[one, 0]
        for other in range(one):
            if found.more[other, 1] - found.more[other, 0] == size and same(
                data, found.more[other, 0], data, found.more[one, 0], size
            ):
                return True
    return False
