"""What players report as Common Media Client Data: topic `player.cmcd.reports`, raw, keyed by session id.

One report is one line of CMCD. Its keys stand in the fields below under names with units, its text as it came in
`report`. Which key a field is, and how its value is read, stands in the field's own annotation (`schemas/cmcd/keys.py`
makes the table of keys from it). Reports are not playback events: `schemas/cmcd/translate.py` makes those of them.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from schemas.event import Int, ViewerEvent
from schemas.topic import EventTopic


def _key(name: str, kind: str, meaning: str, max_length: int | None = None) -> Meta:
    """The key of CMCD that a field holds. `kind` is one of `schemas.cmcd.keys.KINDS`."""
    extra = {"cmcd": name, "kind": kind, "max_length": max_length, "meaning": meaning}
    return Meta(description=f"{meaning} CMCD `{name}`.", extra=extra)


class CmcdReport(ViewerEvent, frozen=True, kw_only=True):
    """Fields of a report: a key of CMCD each, and what goes with the report."""

    key_fields: ClassVar[tuple[str, ...]] = ("session_id",)

    session_id: Annotated[str, _key("sid", "string", "The player's session.", 64)]
    content_id: Annotated[str | None, _key("cid", "string", "Title being played.", 128)] = None
    seq: Annotated[Int | None, _key("sn", "int", "Running number within session, mode and target, from 0.")] = None
    target: Annotated[
        str, Meta(description="Which of a page's reporting targets sent it: `?t=` of the URL; numbers run per target.")
    ] = ""
    version: Annotated[Int | None, _key("v", "int", "Version of CMCD; absent means 1.")] = None
    report: Annotated[str, Meta(description="The report as it came.")]
    deviations: Annotated[
        str | None,
        Meta(description="What in the report is not as specified: `key: expected ..., got ...`; `; ` between."),
    ] = None
    custom_keys: Annotated[
        dict[str, str] | None, Meta(description="Keys that the specification does not name, as text.")
    ] = None

    report_event: Annotated[
        str | None,
        _key(
            "e", "token", "Why it was sent: ps state, t interval, e error, bc bitrate, rr response, b background, ..."
        ),
    ] = None
    player_state: Annotated[
        str | None,
        _key(
            "sta",
            "token",
            "d preloading, s starting, p playing, k seek, r rebuffering, a paused, w waits, e ended, f failed, q quit.",
        ),
    ] = None
    custom_event: Annotated[str | None, _key("cen", "string", "Name of a custom event (`e=ce`).", 64)] = None
    error_code: Annotated[str | None, _key("ec", "strings", "The player's error codes, `,` between.")] = None
    is_background: Annotated[bool | None, _key("bg", "bool", "The player is not visible.")] = None

    bitrate_kbps: Annotated[
        Int | None, _key("br", "sum", "Encoded bitrate, kbit/s; over audio and video together.")
    ] = None
    aggregate_bitrate_kbps: Annotated[
        Int | None, _key("ab", "sum", "Bitrate of the playable combination where the parts are not known, kbit/s.")
    ] = None
    playhead_bitrate_kbps: Annotated[Int | None, _key("pb", "sum", "Bitrate of what is on screen, kbit/s.")] = None
    top_bitrate_kbps: Annotated[Int | None, _key("tb", "sum", "Highest rendition offered, kbit/s.")] = None
    top_aggregate_bitrate_kbps: Annotated[
        Int | None, _key("tab", "sum", "Highest aggregated rendition offered, kbit/s.")
    ] = None
    top_playable_bitrate_kbps: Annotated[
        Int | None, _key("tpb", "sum", "Highest rendition that the device can play, kbit/s.")
    ] = None
    lowest_bitrate_kbps: Annotated[Int | None, _key("lb", "sum", "Lowest rendition offered, kbit/s.")] = None
    lowest_aggregate_bitrate_kbps: Annotated[
        Int | None, _key("lab", "sum", "Lowest aggregated rendition offered, kbit/s.")
    ] = None
    throughput_kbps: Annotated[Int | None, _key("mtp", "max", "Measured throughput, kbit/s.")] = None
    requested_throughput_kbps: Annotated[
        Int | None, _key("rtp", "int", "Throughput that the player considers sufficient, kbit/s.")
    ] = None

    buffer_length_ms: Annotated[Int | None, _key("bl", "min", "Buffered media, ms; of the emptier buffer.")] = None
    target_buffer_ms: Annotated[Int | None, _key("tbl", "min", "Buffer that the player aims at, ms.")] = None
    is_starved: Annotated[bool | None, _key("bs", "bool", "The buffer ran empty since the last report.")] = None
    starvation_count: Annotated[Int | None, _key("bsa", "sum", "Times the buffer ran empty in the session.")] = None
    starvation_ms: Annotated[
        Int | None, _key("bsd", "sum", "Time in rebuffering that ended since the last report, ms.")
    ] = None
    starvation_total_ms: Annotated[Int | None, _key("bsda", "sum", "Time in rebuffering in the session, ms.")] = None
    startup_delay_ms: Annotated[
        Int | None, _key("msd", "int", "Starting to playing by the player's word, ms; wrong in dash.js, so unused.")
    ] = None

    playback_rate: Annotated[float | None, _key("pr", "decimal", "Speed of playback; absent means 1.")] = None
    position_ms: Annotated[Int | None, _key("pt", "int", "Playhead position, ms.")] = None
    dropped_frames: Annotated[Int | None, _key("dfa", "int", "Frames dropped since the session began.")] = None
    latency_ms: Annotated[Int | None, _key("ltc", "int", "Latency of a live stream, ms.")] = None
    stream_type: Annotated[str | None, _key("st", "token", "v on demand, l live, ll low-latency live.")] = None
    streaming_format: Annotated[str | None, _key("sf", "token", "d DASH, h HLS, e HESP, s Smooth, o other.")] = None
    content_signature: Annotated[str | None, _key("cs", "string", "Signature of the content.")] = None
    is_not_rendered: Annotated[bool | None, _key("nr", "bool", "Fetched content is not rendered.")] = None
    cdn: Annotated[str | None, _key("cdn", "string", "CDN that serves the media.", 128)] = None
    hostname: Annotated[str | None, _key("h", "string", "Host that serves the media.", 128)] = None

    object_type: Annotated[
        str | None,
        _key("ot", "token", "Object: m manifest, a audio, v video, av both, i init, c or tt text, k key, o other."),
    ] = None
    object_duration_ms: Annotated[Int | None, _key("d", "int", "Playback duration of the object, ms.")] = None
    deadline_ms: Annotated[Int | None, _key("dl", "int", "Until the object is needed, ms.")] = None
    is_startup: Annotated[bool | None, _key("su", "bool", "Needed urgently: startup, seek or an empty buffer.")] = None
    next_objects: Annotated[str | None, _key("nor", "strings", "Objects requested next, `,` between.")] = None
    next_range: Annotated[str | None, _key("nrr", "string", "Byte range requested next (version 1).")] = None
    url: Annotated[str | None, _key("url", "string", "Requested URL of a response.")] = None
    response_code: Annotated[Int | None, _key("rc", "int", "HTTP status of a response; 0 for none.")] = None
    first_byte_ms: Annotated[Int | None, _key("ttfb", "int", "Request to first byte of the response, ms.")] = None
    first_body_byte_ms: Annotated[Int | None, _key("ttfbb", "int", "Request to first byte of its body, ms.")] = None
    last_byte_ms: Annotated[Int | None, _key("ttlb", "int", "Request to last byte of the response, ms.")] = None
    cmsd_dynamic: Annotated[str | None, _key("cmsdd", "string", "CMSD-Dynamic of the response, base64.")] = None
    cmsd_static: Annotated[str | None, _key("cmsds", "string", "CMSD-Static of the response, base64.")] = None
    smrt: Annotated[str | None, _key("smrt", "string", "Request tracing data of the response, base64.")] = None

    @property
    def key(self) -> str:
        """The session: its reports must meet in one place, whoever is known to watch."""
        return self.session_id


class CmcdEvent(CmcdReport, frozen=True, kw_only=True):
    """A report of event mode (version 2): a change of state, an interval, an error, ... (`reportEvent`)."""


class CmcdRequest(CmcdReport, frozen=True, kw_only=True):
    """A report of request mode (versions 1 and 2): the keys that accompanied a request for media."""


TOPIC = EventTopic(name="player.cmcd.reports", table="cmcd_reports", events=(CmcdEvent, CmcdRequest))
