"""Incidents of the simulator: they hit whom they name, when they say, and nobody else."""

from __future__ import annotations

from collections import defaultdict

import pytest

from infra.errors import SettingsError
from streams.intake.simulation.audience import Audience
from streams.intake.simulation.incidents import KINDS, Incident, parse
from streams.intake.simulation.truth import Truth

START_MS, MINUTE_MS = 1_760_000_040_000, 60_000
END_MS = START_MS + 30 * MINUTE_MS


def events(*incidents: Incident) -> tuple[dict[str, list[bytes]], list[Truth]]:
    """By viewer."""
    told: dict[str, list[bytes]] = defaultdict(list)
    truths: list[Truth] = []
    for sent in Audience(3, 160, START_MS, END_MS, incidents=incidents).events(truths):
        told[sent.key.decode()].append(sent.value)
    return told, truths


QUIET, QUIET_TRUTHS = events()


def stalled(truths: list[Truth], **where: str) -> float:
    mine = [truth for truth in truths if all(getattr(truth, name) == value for name, value in where.items())]
    return sum(truth.stall_ms for truth in mine) / sum(truth.watched_ms for truth in mine)


def failed(truths: list[Truth], **where: str) -> int:
    return sum(
        truth.end_reason in ("start_failure", "error") and not truth.is_business_failure
        for truth in truths
        if all(getattr(truth, name) == value for name, value in where.items())
    )


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("cdn-outage", {"country": "US", "cdn": "north"}),
        ("rate-limit", {"country": "US"}),
        ("bad-app-version", {"app_version": "8.4.1"}),
        ("encoding-error", {"content_id": "live-01"}),
    ],
)
def test_it_hits_whom_it_names_and_nobody_else(kind: str, where: dict[str, str]) -> None:
    incident = Incident(kind, where, START_MS + 10 * MINUTE_MS, START_MS + 20 * MINUTE_MS)
    told, truths = events(incident)
    hit = {truth.user_id for truth in QUIET_TRUTHS if all(getattr(truth, k) == v for k, v in where.items())}
    changed = {user for user in QUIET if told[user] != QUIET[user]}
    assert changed
    assert changed <= hit
    if KINDS[kind].throughput < 1 or kind == "rate-limit":
        assert stalled(truths, **where) > 5 * stalled(QUIET_TRUTHS, **where)
    if KINDS[kind].start_failure:
        assert failed(truths, **where) > failed(QUIET_TRUTHS, **where)


def test_weaker_ones_do_less() -> None:
    shares = []
    for strength in (0.7, 0.1):  # at full strength many don't even start
        _, truths = events(Incident("rate-limit", {"country": "US"}, START_MS, END_MS, strength))
        shares.append(stalled(truths, country="US"))
    assert shares[0] > 1.2 * shares[1]


def test_the_form() -> None:
    told = parse("cdn-outage:country=BR,cdn=north,start=2,minutes=5,strength=0.5", START_MS)
    where = {"country": "BR", "cdn": "north"}
    assert told == Incident("cdn-outage", where, START_MS + 2 * MINUTE_MS, START_MS + 7 * MINUTE_MS, 0.5)


@pytest.mark.parametrize(
    "text",
    [
        "flood:country=BR",
        "cdn-outage",
        "rate-limit:country",
        "rate-limit:planet=Mars",
        "rate-limit:country=BR,strength=2",
        "rate-limit:country=BR,minutes=soon",
    ],
)
def test_a_wrong_form_shows_the_right_one(text: str) -> None:
    with pytest.raises(SettingsError, match=r"for example cdn-outage:country=BR,cdn=north,start=2,minutes=15"):
        parse(text, 0)
