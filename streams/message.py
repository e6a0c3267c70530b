"""A record without a broker: what set-up, benchmarks and tests give to code that takes messages."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.registry import PLAYBACK


@dataclass(slots=True)
class Message:
    """A record as the broker holds it; the methods are those of `confluent_kafka.Message`."""

    place: int
    at: int
    received_ms: int
    raw: bytes
    name: str = PLAYBACK.name

    def topic(self) -> str:
        return self.name

    def partition(self) -> int:
        return self.place

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 2, self.received_ms

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes:
        return self.raw
