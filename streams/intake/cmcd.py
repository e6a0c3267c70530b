"""Reports of players: `/v1/cmcd`, for the event targets of dash.js, hls.js, Shaka and whoever else speaks CMCD.

    POST /v1/cmcd?t=main      event mode (version 2): a report a line, `Content-Type: application/cmcd`
    GET  /v1/cmcd?CMCD=...    request mode, also by the headers CMCD-Object, -Request, -Session, -Status

`t` names the target, for pages that report to more than one: each numbers its reports for itself. The answer is 204
with nothing in it, as soon as the reports are kept. A report that breaks its contract becomes a dead letter, and the
answer is 204 all the same: players send again what was answered with 429 or 5xx, all of it, on every event that they
have. So 503 is the last resort (Kafka does not take the reports and the spool is full), and who reports too fast hears
403, which makes players drop what they sent.

The collector reads reports and does not translate them: that needs their order (`schemas/cmcd/order.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from infra.errors import ContractError, RequestRefused
from infra.settings import Settings
from schemas.cmcd.wire import lines, of_headers, read_report
from schemas.events.cmcd import CmcdEvent, CmcdReport, CmcdRequest
from schemas.registry import CMCD
from streams.intake.acknowledged import Record
from streams.intake.additions import Additions
from streams.intake.verdicts import Answer, Send, Verdict, answer, check_size, dead_letter, rejected, unknown

NOTHING = (
    "expected reports of players: CMCD lines in the body of a POST, ?CMCD= in the query, or CMCD-* headers; "
    "there is none of these"
)
MAX_TARGET = 64
SLICE = 50
"""So many reports are judged before other requests get their turn: about 3 ms."""


class Asked(NamedTuple):
    """What a player's request carries. Header names are in lower case."""

    body: bytes
    query: Mapping[str, str]
    headers: Mapping[str, str]
    additions: Additions

    @property
    def target(self) -> str:
        """`?t=`. Raises RequestRefused."""
        target = self.query.get("t", "")
        if len(target) > MAX_TARGET:
            msg = f"expected a target ?t= of at most {MAX_TARGET} characters, got {len(target)}"
            raise RequestRefused(reason="no_reports", detail=msg)
        return target

    def reports(self) -> list[tuple[bytes, type[CmcdReport]]]:
        """Each report with its mode. Raises RequestRefused when there is none."""
        found: list[tuple[bytes, type[CmcdReport]]] = [(line, CmcdEvent) for line in lines(self.body)]
        beside = (self.query.get("CMCD", "").strip().encode("utf-8", "replace"), of_headers(self.headers))
        found += [(text, CmcdRequest) for text in beside if text]
        if not found:
            raise RequestRefused(reason="no_reports", detail=NOTHING)
        return found


async def take(asked: Asked, send: Send, settings: Settings) -> Answer:
    """Judge the reports of one request, and keep them. Raises RequestRefused when nothing can be taken."""
    target, reports, max_report_bytes = asked.target, asked.reports(), settings.collector_max_event_bytes
    if len(reports) > settings.collector_max_events:
        msg = f"expected at most {settings.collector_max_events} reports, got {len(reports)}"
        raise RequestRefused(reason="too_many", detail=msg)
    verdicts: list[Verdict] = []
    records: list[Record] = []
    for index, (raw, mode) in enumerate(reports):
        if index and index % SLICE == 0:
            await asyncio.sleep(0)
        try:
            check_size(raw, max_report_bytes)
            records.append(_record(read_report(raw, mode, target, asked.additions.received_at), asked.additions))
            verdicts.append(Verdict(index, "accepted", CMCD.name))
        except ContractError as error:
            records.append(dead_letter(raw, error, CMCD, max_report_bytes))
            verdicts.append(rejected(index, error))
    for verdict, receipt in zip(verdicts, await send(records), strict=True):
        if receipt.error is not None:
            unknown(verdict, receipt.error)
    return answer(verdicts)


def _record(report: CmcdReport, additions: Additions) -> Record:
    value, _ = additions.to(msgspec.json.encode(report), report)
    return Record(CMCD.name, report.key.encode(), value)
