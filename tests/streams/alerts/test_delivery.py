"""The webhook: posted once each, tried again, given up in the end, and its address told nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
import pytest

from infra.errors import SettingsError
from infra.waiting import until
from schemas.alert import Alert, Change
from streams.alerts.delivery import TRIES, Delivery, Webhook

SECRET = "https://hooks.example.org/services/T0KEN"
ALERT = Alert(
    id="a1", rule="automatic", severity="warning", metric="stalled_share", unit="share, 0..1", cohort={"country": "BR"},
    began_at=60_000, opened_at=180_000, judged_at=180_000, value=0.08, minutes=2, expected=0.001, limit=0.01,
    sample=6e6, sample_unit="watched_ms", peak=0.08, covers=4,
)  # fmt: skip
OPENED = Change(kind="opened", alert=ALERT)


class Hook:
    """A webhook that answers with these statuses in turn, then with 200; None: the connection breaks."""

    def __init__(self, *statuses: int | None) -> None:
        self.statuses = list(statuses)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        status = self.statuses.pop(0) if self.statuses else 200
        if status is None:
            msg = f"cannot reach {request.url}"
            raise httpx.ConnectError(msg)
        return httpx.Response(status)

    def delivery(self) -> Delivery:
        client = httpx.Client(transport=httpx.MockTransport(self._answer))
        return Delivery(Webhook(SECRET), "http://127.0.0.1:8701", pause=self.pauses.append, client=client)


def told(hook: Hook, act: Callable[[Delivery], None]) -> None:
    delivery = hook.delivery()
    delivery.start()
    act(delivery)
    until("everything is told", lambda: not delivery.pending, 10, every_s=0.01)
    delivery.stop()


def test_an_alert_is_a_line_of_the_log_with_or_without_a_webhook(caplog: pytest.LogCaptureFixture) -> None:
    for webhook in (None, Webhook(SECRET)):
        caplog.clear()
        delivery = Delivery(webhook, "http://127.0.0.1:8701")
        delivery.tell([OPENED])
        delivery.tell([OPENED], again=True)  # a restarted worker's: it stands there already
        delivery.stop()
        [line] = caplog.records
        assert "country=BR is 0.08, usually 0.001" in line.getMessage()
        assert (line.__dict__["kind"], line.__dict__["alert"]["cohort"]) == ("opened", {"country": "BR"})


def test_an_alert_is_posted_with_its_link() -> None:
    hook = Hook()
    told(hook, lambda delivery: delivery.tell([OPENED]))
    [request] = hook.requests
    body = msgspec.json.decode(request.content)
    assert (str(request.url), request.headers["Idempotency-Key"]) == (SECRET, "a1/opened/180000")
    assert body["alert"]["cohort"] == {"country": "BR"}
    assert body["link"].startswith("http://127.0.0.1:8701/cohorts?metric=stalled_share&by=cdn&by=app_version")
    assert "country=BR is 0.08, usually 0.001" in body["text"]


def test_it_is_tried_again_with_growing_pauses(caplog: pytest.LogCaptureFixture) -> None:
    hook = Hook(503, None, 429)
    with caplog.at_level(logging.DEBUG):
        told(hook, lambda delivery: delivery.tell([OPENED]))
    assert len(hook.requests) == 4
    assert len({request.headers["Idempotency-Key"] for request in hook.requests}) == 1
    assert [round(pause) for pause in hook.pauses] == [1, 2, 4] or hook.pauses == sorted(hook.pauses)
    said = "\n".join(
        f"{record.getMessage()} {record.__dict__}" for record in caplog.records if "httpx" not in record.name
    )
    assert "hooks.example.org" in said
    assert "T0KEN" not in said


@pytest.mark.parametrize(("statuses", "requests"), [((500,) * 50, TRIES), ((404,), 1), ((401,), 1)])
def test_it_is_given_up_in_the_end(statuses: tuple[int, ...], requests: int) -> None:
    hook = Hook(*statuses)
    told(hook, lambda delivery: delivery.tell([OPENED]))
    assert len(hook.requests) == requests


def test_what_is_not_delivered_stays_pending() -> None:
    hook = Hook()
    delivery = hook.delivery()
    delivery.tell([OPENED])  # its thread never ran
    assert delivery.pending == [OPENED]
    delivery.stop()
    told(hook, lambda fresh: fresh.tell([OPENED], again=True))
    assert len(hook.requests) == 1


def test_the_address_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "webhook"
    file.write_text(f"{SECRET}\n")
    assert Webhook.read(file).url == SECRET
    assert "T0KEN" not in repr(Webhook.read(file))
    file.write_text("T0KEN is no address")
    with pytest.raises(SettingsError) as wrong:
        Webhook.read(file)
    assert "T0KEN" not in str(wrong.value)
    with pytest.raises(SettingsError, match="can't be read"):
        Webhook.read(tmp_path / "none")
