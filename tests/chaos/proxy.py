"""A TCP proxy that misbehaves on request, between Kafka's clients and its advertised listener.

delay_s   every piece waits so long
is_deaf   half open: connections stand, nothing comes through in either direction
lose_after  so many bytes of answers more, then what comes is thrown away and the connection cut: a lost response
cut()     reset every connection there is
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any

PIECE = 65_536
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: closing sends RST instead of FIN."""


class Proxy:
    """Listens on `port` of loopback and forwards to `target`; its loop has a thread of its own."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self.target = port, target
        self.delay_s = 0.0
        self.is_deaf = False
        self.lose_after: int | None = None
        self.connections = 0
        """How many there have been."""
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{port}", daemon=True)
        self._thread.start()
        self._server = self._call(self._listen())

    def heal(self) -> None:
        """Behave; connections that were deaf are cut, as a firewall's time-out would in the end."""
        was_deaf, self.is_deaf, self.delay_s, self.lose_after = self.is_deaf, False, 0.0, None
        if was_deaf:
            self.cut()

    def cut(self) -> int:
        """Reset all connections; how many there were."""
        return self._call(self._cut())

    def close(self) -> None:
        """Stop listening, cut everything, end the thread."""
        if self._loop.is_running():
            self._call(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", self.port, reuse_address=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            _reset(writer)
            return
        pair = {writer, back}
        self._open |= pair
        try:
            flows = [self._flow(reader, back, is_answer=False), self._flow(there, writer, is_answer=True)]
            tasks = [asyncio.ensure_future(flow) for flow in flows]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._open -= pair
            for one in pair:
                _reset(one)

    async def _flow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        with contextlib.suppress(ConnectionError, OSError):
            while piece := await reader.read(PIECE):
                while self.is_deaf:
                    await asyncio.sleep(0.1)
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if is_answer and self.lose_after is not None:
                    self.lose_after -= len(piece)
                    if self.lose_after < 0:
                        self.lose_after = None
                        return
                writer.write(piece)
                await writer.drain()

    async def _cut(self) -> int:
        number = len(self._open) // 2
        for writer in list(self._open):
            _reset(writer)
        return number

    async def _close(self) -> None:
        self._server.close()
        await self._cut()


def _reset(writer: asyncio.StreamWriter) -> None:
    link = writer.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
