"""Moments as microseconds since 1970: of the text of a stamp, and what counts as the time of an event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from schemas.columnar.compiled import compiled
from schemas.event import MAX_FUTURE, MAX_PAST, MAX_SKEW

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
US = timedelta(microseconds=1)


def to_us(at: datetime) -> int:
    """Microseconds of a moment."""
    return (at - EPOCH) // US


NO_STAMP = np.iinfo(np.int64).min
PAST_US, FUTURE_US, SKEW_US = MAX_PAST // US, MAX_FUTURE // US, MAX_SKEW // US
FIRST_US, LAST_US = to_us(datetime.min.replace(tzinfo=UTC)), to_us(datetime.max.replace(tzinfo=UTC))
MAX_RECEIVED_MS = 4_000_000_000_000
"""Up to here (2096) a float of seconds, by which `schemas.fact.from_ms` goes, has every millisecond exactly."""
MINUS, PLUS, COLON, DASH, POINT, T, Z = 45, 43, 58, 45, 46, 84, 90


@compiled
def _number(data: Any, at: Any, count: Any) -> Any:
    """Value of so many digits; negative when there is something else among them."""
    value: Any = np.int64(0)
    wrong: Any = False
    for place in range(at, at + count):
        digit = np.int64(data[place]) - 48
        wrong = wrong or digit < 0 or digit > 9
        value = value * 10 + digit
    return np.int64(-1) if wrong else value


@compiled
def _days(year: Any, month: Any, day: Any) -> Any:
    """Days since 1970 of a date of the Gregorian calendar, or NO_STAMP when there is none such."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    longest = 31
    if month == 2:
        longest = 29 if leap else 28
    elif month in (4, 6, 9, 11):
        longest = 30
    if year < 1 or month < 1 or month > 12 or day < 1 or day > longest:
        return np.int64(NO_STAMP)
    # Years that begin in March have the leap day last.
    shifted = year - (1 if month <= 2 else 0)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + of_year - 719_468


@compiled
def stamp(data: Any, at: Any, size: Any) -> Any:
    """`YYYY-MM-DDTHH:MM:SS[.f](Z|±HH:MM)` as UTC, with one to six places of a second; NO_STAMP for anything else."""
    odd = np.int64(NO_STAMP)
    if size < 20 or data[at + 4] != DASH or data[at + 7] != DASH or data[at + 10] != T:
        return odd
    if data[at + 13] != COLON or data[at + 16] != COLON:
        return odd
    days = _days(_number(data, at, 4), _number(data, at + 5, 2), _number(data, at + 8, 2))
    hour, minute, second = _number(data, at + 11, 2), _number(data, at + 14, 2), _number(data, at + 17, 2)
    if days == odd or min(hour, minute, second) < 0 or hour > 23 or minute > 59 or second > 59:
        return odd
    value = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000
    end, place = at + size, at + 19
    if data[place] == POINT:
        place += 1
        unit = 100_000
        while 48 <= data[place] <= 57 and unit > 0:
            value += (np.int64(data[place]) - 48) * unit
            unit //= 10
            place += 1
        if unit == 100_000:
            return odd
    if data[place] == Z:
        return value if place + 1 == end else odd
    if (data[place] != PLUS and data[place] != MINUS) or place + 6 != end or data[place + 3] != COLON:
        return odd
    hours, minutes = _number(data, place + 1, 2), _number(data, place + 4, 2)
    if min(hours, minutes) < 0 or hours > 23 or minutes > 59:
        return odd
    east = (hours * 60 + minutes) * 60_000_000
    value += east if data[place] == MINUS else -east
    return value if FIRST_US <= value <= LAST_US else odd


@compiled
def occurred(received: Any, stamped: Any, sent: Any, collected: Any) -> Any:
    """`schemas.event.occurred_at` in microseconds; NO_STAMP for `sent` or `collected` that are not there."""
    came = received
    if collected != NO_STAMP and received - PAST_US <= collected <= received + FUTURE_US:
        came = collected
    at = stamped
    if sent != NO_STAMP and abs(came - sent) > SKEW_US:
        at += came - sent
    if received - PAST_US <= at <= received + FUTURE_US:
        return at, False
    return received, True
