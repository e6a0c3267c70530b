"""Single JSON values in a buffer, in their plain form: how far one goes, and what it says.

Every function takes the buffer and where the value begins, and answers where it ends, or -1 for what is not plain:
broken, or in need of more than is known here. A NUL, which no plain value has, must follow the last record.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from schemas.columnar.compiled import compiled, load, trailing_zeros
from schemas.columnar.vocabulary import same

ODD = -1
QUOTE, BACKSLASH, COMMA, COLON, MINUS, POINT, ZERO = 34, 92, 44, 58, 45, 46, 48
OPEN, CLOSE = 123, 125
NULL, TRUE, FALSE = 0x6C6C756E, 0x65757274, 0x736C6166
"""`null`, `true` and `fals` as words of four bytes."""
MAX_DIGITS = 18
"""Any number of so many fits into an int64."""
EXACT_DIGITS = 15
"""Any number of so many is exact in a double, and so is every power of ten that it may be divided by: one division
of exact numbers gives the double nearest to the text."""
MAX_PAIRS = 16

ONES, HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
QUOTES, BACKSLASHES, SPACES = np.uint64(34) * ONES, np.uint64(92) * ONES, np.uint64(32) * ONES
POWERS = np.array([float(10**places) for places in range(EXACT_DIGITS + 1)])


@compiled
def skip_space(data: Any, at: Any) -> Any:
    """The first place from `at` on that is no white space."""
    while data[at] == 32 or data[at] == 10 or data[at] == 13 or data[at] == 9:
        at += 1
    return at


@compiled
def text_end(data: Any, at: Any) -> Any:
    """Where a text, whose first letter is at `at`, has its closing quote. Eight letters at a time."""
    while True:
        word = load(data, at)
        quote, back = word ^ QUOTES, word ^ BACKSLASHES
        # In each byte the high bit, where it is a quote, a backslash, a control character or no ASCII. A borrow may
        # set it in a byte too much, but only above one that is right.
        odd = ((quote - ONES) & ~quote) | ((back - ONES) & ~back) | ((word - SPACES) & ~word) | word
        stops = odd & HIGHS
        if stops != np.uint64(0):
            end = at + (trailing_zeros(stops) >> 3)
            return end if data[end] == QUOTE else np.int64(ODD)
        at += 8


@compiled
def is_word(data: Any, at: Any, word: Any) -> Any:
    """Whether the four bytes are `word`."""
    return (load(data, at) & np.uint64(0xFFFFFFFF)) == np.uint64(word)


@compiled
def is_name_end(data: Any, at: Any) -> Any:
    """Whether a name ends here and its value may begin."""
    return data[at] == QUOTE and data[at + 1] == COLON


@compiled
def digits(data: Any, at: Any) -> Any:
    """End and value of a run of digits; ODD for none or too many."""
    begin, value = at, np.int64(0)
    while ZERO <= data[at] <= ZERO + 9:
        value = value * 10 + (np.int64(data[at]) - ZERO)
        at += 1
        if at - begin > MAX_DIGITS:
            return np.int64(ODD), np.int64(0)
    return (at, value) if at > begin else (np.int64(ODD), np.int64(0))


@compiled
def whole(data: Any, at: Any) -> Any:
    """End and value of an integer. `-0` is odd: as a double it would have a sign."""
    negative = data[at] == MINUS
    begin = at + 1 if negative else at
    end, value = digits(data, begin)
    if end < 0 or (data[begin] == ZERO and (end - begin > 1 or negative)):
        return np.int64(ODD), np.int64(0)
    return end, -value if negative else value


@compiled
def decimal(data: Any, at: Any) -> Any:
    """End and value of a number without exponent."""
    negative = data[at] == MINUS
    begin = at + 1 if negative else at
    end, value = whole(data, at)
    if end < 0 and negative and data[begin] == ZERO:
        # `-0.5`; what has no point or no value ends below.
        end = begin + 1
    if end < 0:
        return np.int64(ODD), 0.0
    places = np.int64(0)
    if data[end] == POINT:
        after, fraction = digits(data, end + 1)
        places = after - end - 1
        if after < 0 or (end - begin) + places > EXACT_DIGITS:
            return np.int64(ODD), 0.0
        value = abs(value) * np.int64(POWERS[places]) + fraction
        value = -value if negative else value
        end = after
    if negative and value == 0:
        return np.int64(ODD), 0.0
    return end, value / POWERS[places]


@compiled
def scalar_end(data: Any, at: Any) -> Any:
    """Where a text, a number, true, false or null ends."""
    first = data[at]
    if first == QUOTE:
        end = text_end(data, at + 1)
        return end + 1 if end >= 0 else end
    if is_word(data, at, NULL) or is_word(data, at, TRUE):
        return at + 4
    if is_word(data, at, FALSE):
        return at + 5 if data[at + 4] == 101 else np.int64(ODD)
    end, _ = decimal(data, at)
    if end < 0:
        end, _ = whole(data, at)
    return end


@compiled
def pairs_end(data: Any, at: Any, names: Any) -> Any:
    """Where an object of texts, no name twice and no space between, ends. `names` [MAX_PAIRS, 2] is used up."""
    if data[at] != OPEN:
        return np.int64(ODD)
    if data[at + 1] == CLOSE:
        return at + 2
    for count in range(MAX_PAIRS):
        if data[at + 1] != QUOTE:
            return np.int64(ODD)
        start = at + 2
        end = text_end(data, start)
        if end < 0 or data[end + 1] != COLON or data[end + 2] != QUOTE:
            return np.int64(ODD)
        for other in range(count):
            if names[other, 1] == end - start and same(data, names[other, 0], data, start, end - start):
                return np.int64(ODD)
        names[count, 0], names[count, 1] = start, end - start
        at = text_end(data, end + 3) + 1
        if at <= 0:
            return np.int64(ODD)
        if data[at] == CLOSE:
            return at + 1
        if data[at] != COMMA:
            return np.int64(ODD)
    return np.int64(ODD)
