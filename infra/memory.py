"""Memory of a process that lives long and has many threads. What follows is glibc's; other C libraries need none of it.

glibc gives threads arenas of their own and keeps what is freed there, so that the peak of one is never another's again.
"""

from __future__ import annotations

import ctypes

_LIBC = ctypes.CDLL(None)
_M_ARENA_MAX = -8


def share_arenas(count: int = 2) -> None:
    """From now on threads share so many. To be called before there are any."""
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_M_ARENA_MAX, count)


def give_back() -> None:
    """Return what was freed to the system."""
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)
