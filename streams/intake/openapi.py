"""The collector's endpoints as OpenAPI 3.1, with the events' own JSON Schemas: served as `/openapi.json`."""

from __future__ import annotations

from typing import Any

import msgspec

from infra.settings import Settings
from schemas.derive import json_schema
from schemas.examples import smallest
from schemas.refusals import REASONS, REFUSALS
from schemas.registry import EVENT_TOPICS, PLAYBACK
from schemas.topic import EventTopic
from streams.intake.verdicts import Answer

TEXT: dict[int, str] = {400: "Nothing in the body can be read; it is kept as one dead letter."}
for _status, _meaning in REFUSALS.values():
    TEXT[_status] = "; or ".join(filter(None, (TEXT.get(_status), _meaning)))
TEXT[503] += "; or Kafka is away and the spool is full: send what is `unknown` again"
IN_BODY = {400, 408, 413, 415}
"""Statuses that a request without a body never gets."""


def document(settings: Settings) -> dict[str, Any]:
    """The whole description; the limits are those of the settings."""
    schemas: dict[str, Any] = {}
    for topic in EVENT_TOPICS.values():
        schemas |= _event_schemas(topic)
    _, answer = msgspec.json.schema_components([Answer], ref_template="#/components/schemas/{name}")
    schemas |= answer
    schemas["Event"] = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in EVENT_TOPICS]}
    schemas["Refused"] = {
        "type": "object",
        "required": ["error", "detail"],
        "properties": {
            "error": {"enum": sorted({*REFUSALS, "not_json", "bad_encoding", "unknown"})},
            "detail": {"type": "string"},
        },
    }
    reasons = "".join(f"\n- `{reason}`: {meaning}" for reason, meaning in REASONS.items())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "playlake collector",
            "version": "1",
            "description": "Events in, answered when they are kept. Reasons of rejected events:" + reasons,
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "header": {"type": "http", "scheme": "bearer", "description": "A write key."},
                "query": {"type": "apiKey", "in": "query", "name": "key", "description": "A write key."},
            },
        },
        "security": [{}, {"header": []}, {"query": []}],
        "paths": {
            "/v1/events": {"post": _post(settings), "options": _preflight()},
            "/v1/pixel": {"get": _pixel()},
            "/v1/cmcd": {"post": _reports(has_body=True), "get": _reports(has_body=False), "options": _preflight()},
            "/healthz": {"get": _page("Whether events are taken.", {200: "They are.", 503: "They are not."})},
            "/metrics": {"get": _page("Figures for Prometheus.", {200: "Text."})},
            "/sdk.js": {"get": _page("The browser SDK.", {200: "JavaScript.", 304: "The client has it."})},
            "/openapi.json": {"get": _page("This description.", {200: "JSON."})},
        },
    }


def _post(settings: Settings) -> dict[str, Any]:
    example = smallest(PLAYBACK, "play")
    event = {"$ref": "#/components/schemas/Event"}
    forms: dict[str, Any] = {
        "application/json": {"schema": {"anyOf": [event, {"type": "array", "items": event}]}, "example": [example]},
        "application/x-ndjson": {"schema": {"type": "string", "description": "An event a line."}},
        "text/plain": {"schema": {"type": "string", "description": "Either of them: what sendBeacon sends."}},
    }
    limits = (
        f"At most {settings.collector_max_events} events and {settings.collector_max_body_bytes} bytes, unpacked; an "
        f"event has at most {settings.collector_max_event_bytes} bytes."
    )
    return {
        "summary": "Events in",
        "description": f"The form is seen from the body, whatever Content-Type says. {limits}",
        "parameters": [
            _topic_parameter(),
            _header("Content-Encoding", {"enum": ["gzip", "zstd", "identity"]}, "How the body is packed."),
            _header("Prefer", {"enum": ["return=minimal"]}, "Only verdicts on events that were not accepted."),
        ],
        "requestBody": {"required": True, "content": forms},
        "responses": _answers("A verdict per event.", set(TEXT)),
    }


def _pixel() -> dict[str, Any]:
    event = {
        "name": "e",
        "in": "query",
        "required": True,
        "description": "An event as JSON; several times for several events.",
        "schema": {"type": "array", "items": {"type": "string"}},
        "explode": True,
    }
    answers = _answers("The events are kept (a broken one as a dead letter).", set(TEXT) - IN_BODY)
    answers["200"]["content"] = {"image/gif": {"schema": {"type": "string", "contentEncoding": "binary"}}}
    return {
        "summary": "Events in an address, for a page that is closing and can only load an image",
        "parameters": [event, _topic_parameter()],
        "responses": answers,
    }


def _reports(*, has_body: bool) -> dict[str, Any]:
    """`/v1/cmcd`. Players read no answer, so a good one has no content."""
    statuses = set(TEXT) - {404, 429} - (set() if has_body else IN_BODY - {400})
    answers: dict[str, Any] = {"204": {"description": "The reports are kept (a broken one as a dead letter)."}}
    answers |= {str(status): _refused(status) for status in sorted(statuses)}
    text = {"schema": {"type": "string", "description": "CMCD, a report a line."}}
    said: dict[str, Any] = {
        "summary": "Reports of players (CMCD)",
        "parameters": [
            {"name": "t", "in": "query", "description": "Target, of several.", "schema": {"type": "string"}},
            {"name": "CMCD", "in": "query", "description": "A report in request mode.", "schema": {"type": "string"}},
        ],
        "responses": answers,
    }
    return said | ({"requestBody": {"content": {"application/cmcd": text}}} if has_body else {})


def _preflight() -> dict[str, Any]:
    return {
        "summary": "What a browser asks before it sends",
        "responses": {"204": {"description": "It may."}, "403": _refused(403)},
    }


def _answers(text: str, statuses: set[int]) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}}
    answers: dict[str, Any] = {"200": {"description": text, "content": content}}
    answers |= {str(status): _refused(status) for status in sorted(statuses)}
    answers["503"]["content"]["application/json"]["schema"] = {
        "anyOf": [{"$ref": "#/components/schemas/Answer"}, {"$ref": "#/components/schemas/Refused"}]
    }
    return answers


def _refused(status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": TEXT[status],
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refused"}}},
    }
    if status in (429, 503):
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return answer


def _page(summary: str, answers: dict[int, str]) -> dict[str, Any]:
    responses = {str(status): {"description": text} for status, text in answers.items()}
    return {"summary": summary, "security": [{}], "responses": responses}


def _topic_parameter() -> dict[str, Any]:
    return {
        "name": "topic",
        "in": "query",
        "description": "Needed only for an eventType that several topics know.",
        "schema": {"enum": sorted(EVENT_TOPICS)},
    }


def _header(name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": text, "schema": schema}


def _event_schemas(topic: EventTopic) -> dict[str, Any]:
    """The topic's JSON Schema; its definitions get the topic's name before their own, two topics may share one."""
    text = msgspec.json.encode(json_schema(topic)).decode().replace("#/$defs/", f"#/components/schemas/{topic.name}.")
    schema = msgspec.json.decode(text)
    definitions = schema.pop("$defs")
    schema.pop("$schema", None)
    schema.pop("$id", None)
    return {topic.name: schema} | {f"{topic.name}.{name}": definition for name, definition in definitions.items()}
