"""One source for Python and for compiled code.

Most processes call such a function as it is, and need no numba for it, which takes 58 MB and a third of a second. It is
told to numba where something is compiled: `infra.compiled` asks for all functions that there are and will be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
Listener = Callable[[Callable[..., Any]], object]
_functions: list[Callable[..., Any]] = []
_listeners: list[Listener] = []


def shared(function: F) -> F:
    """Python where Python calls it, compiled where a compiled function does."""
    _functions.append(function)
    for listener in _listeners:
        listener(function)
    return function


def listen(listener: Listener) -> None:
    """Tell `listener` each shared function, those that are there and those to come."""
    _listeners.append(listener)
    for function in _functions:
        listener(function)
