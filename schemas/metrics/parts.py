"""Additive parts that only a whole session has, and those of ads; those of minutes are in `schemas/quality.py`.

`VIEW_PARTS` says each as an expression over a row of silver.sessions to which the session's metrics were added
(`macros.session_columns`). What minutes have as well has the same name and meaning in both.
"""

from __future__ import annotations

from schemas.quality import PARTS

SCORES = ("startup_score", "smoothness_score", "quality_score", "success_score", "experience_score")

_AS_IN_MINUTES = {
    "plays": "is_attempt",
    "starts": "is_started",
    "start_failures": "is_start_failure",
    "playback_failures": "is_playback_failure",
    "exits_before_start": "is_exit_before_start",
    "business_failures": "is_business_failure",
    "stalls": "stall_count",
    "stall_ms": "stall_ms",
    "playing_ms": "playing_ms",
    "watched_ms": "watched_ms",
    "media_ms": "media_ms",
    "bits_played": "bits_played",
    "bitrate_media_ms": "bitrate_media_ms",
    "startup_ms": "startup_ms",
    "bitrate_switches": "bitrate_switch_count",
    "dropped_frames": "dropped_frames",
    "live_latency_sum_ms": "live_latency_sum_ms",
    "live_latency_samples": "live_latency_samples",
    "ad_starts": "ad_count",
    "ad_errors": "ad_error_count",
}
_OF_SESSIONS = {
    "sessions": ("1", "sessions, with or without playback"),
    "ended_plays": ("is_started AND end_reason <> 'open'", "plays that have ended"),
    "dropped_views": ("is_started AND end_reason = 'timeout'", "plays that ended without a word"),
    "valid_plays": ("is_valid_play", "plays that lasted long enough"),
    "complete_plays": ("is_complete_play", "plays that got to the end of the title"),
    "completable_plays": ("is_complete_play IS NOT NULL", "plays of titles whose length is known"),
    "good_streams": ("is_good_stream", "sessions that met every threshold"),
    "judged_streams": ("is_good_stream IS NOT NULL", "sessions that thresholds apply to"),
    "seeks": ("seek_count", "seeks"),
    "pauses": ("pause_count", "pauses"),
    "paused_ms": ("paused_ms", "time paused, ms"),
    "ad_ms": ("ad_ms", "time in ads, ms"),
    "ad_stall_ms": ("ad_stall_ms", "stalls within ads, ms"),
    "events_expected": ("expected_event_count", "events whose loss would show as a gap in their running numbers"),
    "events_missing": ("missing_event_count", "gaps in the running numbers: events that never came"),
}
VIEW_PARTS: dict[str, tuple[str, str]] = {
    **{part: (sql, PARTS[part]) for part, sql in _AS_IN_MINUTES.items()},
    **_OF_SESSIONS,
    **{f"{score}_sum": (score, f"sum of the sessions' {score}") for score in SCORES},
    **{f"{score}_count": (f"{score} IS NOT NULL", f"sessions with a known {score}") for score in SCORES},
}
"""Part → expression over a session, and what it counts. `exits_before_start` also has those that a time-out ended."""

_SHOWN = "concat_ws('|', ad_request_id, ad_id, sequence)"
"""Tells one showing of an ad from another."""
AD_PARTS: dict[str, tuple[str, str, str]] = {
    "ad_requests": ("ad_request_id", "event_type = 'request'", "calls of the ad server"),
    "ad_requests_filled": ("ad_request_id", "event_type = 'request' AND ad_count > 0", "calls that brought an ad"),
    "ad_impressions": (_SHOWN, "event_type = 'impression'", "ads shown"),
    "ad_first_quartiles": (_SHOWN, "quartile = 'first_quartile'", "ads played to a quarter"),
    "ad_midpoints": (_SHOWN, "quartile = 'midpoint'", "ads played to their middle"),
    "ad_third_quartiles": (_SHOWN, "quartile = 'third_quartile'", "ads played to three quarters"),
    "ad_completes": (_SHOWN, "event_type = 'complete'", "ads played to their end"),
    "ad_skips": (_SHOWN, "event_type = 'skip'", "ads skipped"),
    "ad_clicks": (_SHOWN, "event_type = 'click'", "ads followed"),
}
"""Part → what is counted once, in which rows of silver.ad_events, and what that says."""
