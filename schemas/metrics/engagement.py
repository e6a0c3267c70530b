"""How far viewers go: valid plays, complete plays, retention."""

from __future__ import annotations

from schemas.metrics.metric import Example, Function, Metric, ratio

_FILM = {
    "a": "0 play duration_ms=100000\n1 first_frame\n96 heartbeat position_ms=95000\n97 stop",
    "b": "0 play duration_ms=100000\n1 first_frame\n41 heartbeat position_ms=40000\n42 stop",
    "c": "0 play duration_ms=100000\n1 first_frame\n5 seek position_ms=99000\n6 stop",
    "d": "0 play duration_ms=100000\n2 stop",
}

FUNCTIONS = (
    Function(
        name="title_retention_at",
        parameters=("position_percent", "furthest_plays", "at_percent"),
        comment="Audience retention out of gold.title_retention: the share of plays that got as far as a hundredth of "
        "the title's length. Unit: share, 0..1. Plays whose furthest position lies there or beyond / all plays that "
        "tell positions; 1 at 0, and it never rises. Sums up over days and titles.",
        sql="CAST(sum(CASE WHEN position_percent >= at_percent THEN furthest_plays ELSE 0 END) AS DOUBLE) "
        "/ nullif(sum(furthest_plays), 0)",
    ),
)

METRICS = (
    Metric(
        name="is_valid_play",
        title="Valid play",
        level="session",
        meaning="Whether a play lasted long enough to count as somebody watching.",
        formula="Playing time ≥ min_playing_ms, or 90 % of a shorter title was played.",
        unit="true or false",
        sql="playing_ms > 0 AND (playing_ms >= min_playing_ms OR coalesce(media_ms >= 0.9 * duration_ms, false))",
        parts=("playing_ms", "media_ms", "duration_ms"),
        options={"min_playing_ms": "30000"},
        counted="Playing time, in whatever pieces.",
        left_out="Stalls, pauses and ads do not make a play valid.",
        elsewhere="Platforms set 2 s to 2 min; pass yours.",
        examples=(
            Example(
                sessions={"a": "0 play\n1 first_frame\n21 pause\n90 resume\n100 stop"},
                value=True,
                working="20 s + 10 s = 30 s of playing.",
            ),
            Example(
                sessions={"a": "0 play\n1 first_frame\n21 stall_start\n90 stop"},
                value=False,
                working="20 s of playing.",
            ),
            Example(
                sessions={"a": "0 play duration_ms=15000\n1 first_frame\n15 stop"},
                value=True,
                working="14 s of a trailer of 15 s.",
            ),
        ),
    ),
    Metric(
        name="is_complete_play",
        title="Complete play",
        level="session",
        meaning="Whether a play got to the end of the title.",
        formula="Furthest position played ≥ completed_share × length; null if nothing played or the length is unknown.",
        unit="true or false",
        sql="CASE WHEN playing_ms > 0 AND duration_ms > 0 "
        "THEN coalesce(max_position_ms, 0) >= completed_share * duration_ms END",
        parts=("playing_ms", "max_position_ms", "duration_ms"),
        options={"completed_share": "0.9"},
        counted="The furthest position that the player told while it was there; credits need not be watched.",
        left_out="Live streams. The target of a seek, until something is told from there.",
        elsewhere="Others divide playing time by length, by which a title watched twice is complete at half.",
        sources=("Conviva",),
        examples=(
            Example(sessions={"a": _FILM["a"]}, value=True, working="95 s of 100 s."),
            Example(sessions={"c": _FILM["c"]}, value=False, working="It jumped to 99 s and left."),
            Example(sessions={"d": _FILM["d"]}, value=None, working="Nothing played."),
        ),
    ),
    Metric(
        name="valid_play_rate",
        title="Share of valid plays",
        level="aggregate",
        meaning="The share of plays that are valid.",
        formula="Valid plays / plays.",
        unit="share, 0..1",
        worse="lower",
        sql=ratio("valid_plays", "starts"),
        parts=("valid_plays", "starts"),
        counted="is_valid_play with its defaults.",
        left_out="Attempts that never played.",
        examples=(Example(sessions=_FILM, value=2 / 3, working="a and b, of the plays a, b and c."),),
    ),
    Metric(
        name="complete_play_rate",
        title="Share of complete plays",
        level="aggregate",
        meaning="The share of plays that got to the end.",
        formula="Complete plays / plays of titles whose length is known.",
        unit="share, 0..1",
        worse="lower",
        sql=ratio("complete_plays", "completable_plays"),
        parts=("complete_plays", "completable_plays"),
        counted="is_complete_play with its defaults.",
        left_out="Attempts that never played; live streams.",
        sources=("Conviva",),
        examples=(Example(sessions=_FILM, value=1 / 3, working="a, of the plays a, b and c."),),
    ),
    Metric(
        name="retention_at",
        title="Retention by position",
        level="aggregate",
        meaning="The share of plays that got as far as a position; over all positions it shows where viewers leave.",
        formula="Plays whose furthest position played ≥ at_ms / plays that told any position.",
        unit="share, 0..1",
        worse="lower",
        sql="CAST(count(CASE WHEN max_position_ms >= at_ms THEN 1 END) AS DOUBLE) / nullif(count(max_position_ms), 0)",
        parts=("max_position_ms",),
        arguments=("at_ms",),
        counted="How far plays got. `end_position_ms` says where they ended, which is earlier after a jump back. "
        "`gold.title_retention` has both by title and hundredth of its length, `title_retention_at` the share.",
        left_out="What was jumped over counts as passed. Plays that tell no position.",
        elsewhere="Video platforms count views of each moment, replays included, which may exceed 1.",
        examples=(
            Example(
                sessions=_FILM, call="50000", value=0.5, working="Of a and b, which told positions, a passed 50 s."
            ),
        ),
    ),
)
