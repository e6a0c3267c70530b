"""Ways to ask a part whether it is there. Each returns None when it is, else what was seen instead."""

from __future__ import annotations

import json
import socket
import struct
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from typing import Protocol

TIMEOUT_S = 5.0
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class NoWitnessError(Exception):
    """Who would know can't be asked: neither good news nor bad."""


class Check(Protocol):
    """`since`: when the process that is asked was started (epoch seconds), so that no predecessor can answer for it.

    Raises NoWitnessError when it asks a third party, which does not answer.
    """

    def __call__(self, since: float) -> str | None: ...


def reachable(host: str) -> str:
    """An address at which a server bound to `host` can be reached from this machine."""
    return _WILDCARDS.get(host, host)


def advertised(host: str) -> str:
    """A name by which other machines reach a server bound to `host`."""
    return socket.gethostname() if host in _WILDCARDS else host


@dataclass(frozen=True)
class Http:
    """A page that answers 200."""

    url: str

    def __call__(self, since: float) -> str | None:
        try:
            with urllib.request.urlopen(self.url, timeout=TIMEOUT_S) as answer:
                return None if answer.status == 200 else f"{self.url} answered {answer.status}"
        except urllib.error.HTTPError as error:
            return f"{self.url} answered {error.code}"
        except (OSError, HTTPException, ValueError) as error:
            return f"{self.url}: {_reason(error)}"


@dataclass(frozen=True)
class KafkaAnswers:
    """A broker that answers which versions of the protocol it speaks, as it does before any login."""

    host: str
    port: int

    def __call__(self, since: float) -> str | None:
        api_versions, version, correlation = 18, 0, 1
        request = struct.pack(">hhih", api_versions, version, correlation, -1)
        return _answers(self.host, self.port, struct.pack(">i", len(request)) + request, "a Kafka broker", correlation)


@dataclass(frozen=True)
class GrpcAnswers:
    """A gRPC server that greets (HTTP/2 SETTINGS frame)."""

    host: str
    port: int

    def __call__(self, since: float) -> str | None:
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
        return _answers(self.host, self.port, preface, "a gRPC server", None)


@dataclass(frozen=True)
class AirflowHeartbeat:
    """A component of Airflow whose last heartbeat, as the API server reports it, is younger than its process."""

    url: str
    component: str

    def __call__(self, since: float) -> str | None:
        try:
            with urllib.request.urlopen(f"{self.url}/api/v2/monitor/health", timeout=TIMEOUT_S) as answer:
                told = json.load(answer)[self.component]
        except (OSError, HTTPException, ValueError, KeyError) as error:
            msg = f"the API server does not report on the {self.component}: {_reason(error)}"
            raise NoWitnessError(msg) from None
        beat = told.get(f"latest_{self.component}_heartbeat")
        if told.get("status") != "healthy" or not beat:
            return f"{self.component} is {told.get('status')}"
        return None if datetime.fromisoformat(beat).timestamp() >= since else f"{self.component} has not beaten yet"


def _answers(host: str, port: int, request: bytes, who: str, correlation: int | None) -> str | None:
    """Send `request`; nine bytes must come back, with `correlation` (when given) after the length."""
    try:
        with socket.create_connection((reachable(host), port), TIMEOUT_S) as connection:
            connection.sendall(request)
            answer = b""
            while len(answer) < 9:
                more = connection.recv(64)
                if not more:
                    return f"{host}:{port} closed the connection; expected {who}"
                answer += more
    except OSError as error:
        return f"{host}:{port}: {_reason(error)}"
    got = struct.unpack_from(">i", answer, 4)[0]
    return None if correlation in (None, got) else f"{host}:{port} does not answer like {who}"


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", error)
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
