"""The collector's ASGI app without a server: a Kafka in memory behind it, requests made of bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from infra.settings import Settings
from streams.intake.acknowledged import Receipt, Record
from streams.intake.collector import Collector

SETTINGS = Settings(collector_max_body_bytes=20_000, collector_max_events=50, collector_max_event_bytes=2_000)


class MemoryKafka:
    """Stands for the durable producer, and for the client that asks for topics."""

    is_spooling = False
    spooled_bytes = 0
    drained = 0

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.full = False
        self.refuses: bytes | None = None

    async def send(self, records: Sequence[Record]) -> list[Receipt]:
        await asyncio.sleep(0)
        if self.full:
            return [Receipt(error="Kafka does not answer, and the spool is full")] * len(records)
        return [self._receipt(record) for record in records]

    def _receipt(self, record: Record) -> Receipt:
        if self.refuses and self.refuses in (record.value or b""):
            return Receipt(error="too large", is_refused=True)
        self.records.append(record)
        return Receipt(0, len(self.records) - 1)

    def of(self, topic: str) -> list[Any]:
        """Values of a topic's records, decoded."""
        return [msgspec.json.decode(record.value or b"") for record in self.records if record.topic == topic]


class Answered(NamedTuple):
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class App:
    """One collector. `request` is what a server would hand it, byte for byte."""

    def __init__(self, **changes: Any) -> None:
        self.kafka = MemoryKafka()
        self.collector = Collector(replace(SETTINGS, **changes), self.kafka, self.kafka)  # type: ignore[arg-type]
        self._app = self.collector.app()

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Iterable[tuple[bytes, bytes]] = (),
        *,
        query: bytes = b"",
        peer: str = "192.0.2.77",
        chunk: int = 65_536,
    ) -> Answered:
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": query, "root_path": "", "headers": list(headers),
            "client": (peer, 1234), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        pieces = [body[at : at + chunk] for at in range(0, len(body), chunk)] or [b""]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0)
            if not pieces:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        head = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return Answered(sent[0]["status"], head, b"".join(message.get("body", b"") for message in sent[1:]))

    async def post(self, body: bytes, query: bytes = b"", peer: str = "192.0.2.77", **headers: str) -> Answered:
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return await self.request("POST", "/v1/events", body, named, query=query, peer=peer)
