"""A report as the translation sees it: of a decoded record (stream), or of rows of `silver.cmcd_reports` (batch)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from schemas.event import identity, occurred_at
from schemas.events.cmcd import CmcdEvent, CmcdReport, CmcdRequest
from schemas.fact import from_ms, to_ms

if TYPE_CHECKING:
    import pyarrow as pa


EVENT_MODE = str(CmcdEvent.__struct_config__.tag)
REQUEST_MODE = str(CmcdRequest.__struct_config__.tag)


class Report(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a session needs to know of a report. Times are Unix ms; new fields go to the end, with a default."""

    at_ms: int
    received_ms: int
    event_id: str
    session_id: str
    target: str
    event_type: str
    seq: int | None = None
    report_event: str | None = None
    player_state: str | None = None
    content_id: str | None = None
    bitrate_kbps: int | None = None
    aggregate_bitrate_kbps: int | None = None
    playback_rate: float | None = None
    position_ms: int | None = None
    dropped_frames: int | None = None
    error_code: str | None = None
    is_background: bool | None = None
    is_starved: bool | None = None
    stream_type: str | None = None
    cdn: str | None = None
    user_id: str | None = None
    profile_id: str | None = None
    device_type: str | None = None
    country: str | None = None
    region: str | None = None
    app_version: str | None = None

    @property
    def is_response(self) -> bool:
        """A report of a response (`e=rr`) is stamped with the start of its request: it tells nothing of the state."""
        return self.report_event == "rr"


_SHARED = Report.__struct_fields__[3:]
REPORT_COLUMNS = ("occurred_at", "received_at", "event_id", *_SHARED)
"""Columns of `silver.cmcd_reports` that make a report, in the order of its fields."""


def report_of(raw: bytes, event: CmcdReport, received_ms: int) -> Report:
    """The report of one record. `received_ms` is the broker's stamp of the record."""
    at, _ = occurred_at(event, from_ms(received_ms))
    return Report(to_ms(at), received_ms, identity(raw, event), *(getattr(event, name) for name in _SHARED))


def reports_of(rows: pa.RecordBatch) -> list[Report]:
    """The reports of rows that have the columns `REPORT_COLUMNS`."""
    import pyarrow as pa

    at, received, *others = (rows.column(name) for name in REPORT_COLUMNS)
    stamps = ([us // 1000 for us in column.cast(pa.int64()).to_pylist()] for column in (at, received))
    return list(map(Report, *stamps, *(column.to_pylist() for column in others)))
