"""What parent and child of the sandbox say to each other.

Frames on a child's socket: kind (1 byte), length (8 bytes, big endian), content.

    parent → child   Q  one Query, as JSON
    child → parent   R  ready    D  a piece of an Arrow IPC stream    E  one End, as JSON    X  one Failure, as JSON
"""

from __future__ import annotations

import socket
import struct
from typing import Any

import msgspec

HEAD = struct.Struct(">cQ")
CONTROL_BYTES = 65_536
"""Longest message on the zygote's socket: one Birth, as JSON."""
QUERY_BYTES = 8_000_000
"""Longest query with its parameters."""


class Birth(msgspec.Struct, frozen=True, kw_only=True):
    """What a child needs before its query comes. `published`: paths of the files; none before the first publish."""

    published: list[str]
    memory_bytes: int
    threads: int
    timeout_s: float


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One user's statement and its limits. `live`: path of the live file, or None."""

    sql: str
    parameters: list[Any] | dict[str, Any] | None
    live: str | None
    timeout_s: float
    max_rows: int
    max_bytes: int


class End(msgspec.Struct, frozen=True, kw_only=True):
    """The answer is complete."""

    rows: int
    truncated: bool
    landlock: bool


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """There is no answer. `reason` and `position` as in QueryError."""

    reason: str
    message: str
    position: int | None = None


def send(line: socket.socket, kind: bytes, content: bytes | memoryview) -> None:
    """One frame."""
    line.sendall(HEAD.pack(kind, len(content)))
    line.sendall(content)


def receive(line: socket.socket, max_bytes: int) -> tuple[bytes, bytearray]:
    """One frame; kind is empty at the end of the stream. Raises ValueError for a longer frame than `max_bytes`."""
    head = _exactly(line, HEAD.size)
    if len(head) < HEAD.size:
        return b"", bytearray()
    kind, length = HEAD.unpack(head)
    if length > max_bytes:
        msg = f"a frame of at most {max_bytes} bytes was expected, got {length}"
        raise ValueError(msg)
    content = _exactly(line, length)
    return (kind, content) if len(content) == length else (b"", bytearray())


def _exactly(line: socket.socket, length: int) -> bytearray:
    content = bytearray(length)
    view, got = memoryview(content), 0
    while got < length:
        count = line.recv_into(view[got:])
        if count == 0:
            return content[:got]
        got += count
    return content
