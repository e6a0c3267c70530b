"""How much of what clients report arrives: before any other number is believed."""

from __future__ import annotations

from schemas.metrics.metric import Example, Metric, ratio

METRICS = (
    Metric(
        name="event_loss_rate",
        title="Lost events",
        level="aggregate",
        meaning="The share of playback events that never arrived: by device and app version it shows whose reports to "
        "trust less.",
        formula="Numbers missing between the first and the last `seq` of a session / numbers between them.",
        unit="share, 0..1",
        worse="higher",
        sql=ratio("events_missing", "events_expected"),
        parts=("events_missing", "events_expected"),
        counted="Events of sessions that number theirs. The first and the last that came are in neither part: that "
        "they came is given, so counting them would make loss look smaller, in short sessions by much.",
        left_out="What was lost before the first or after the last event that came, and sessions of which nothing "
        "came: no gap shows them. Where each event is lost by chance alone, the share of those is the same; where apps "
        "die with unsent events it is not, which dropped_view_rate shows. Events that came twice count once; dead "
        "letters count as missing.",
        elsewhere="Counting from 1 to the last number takes a session joined late for one with losses.",
        sources=("CTA-5004",),
        examples=(
            Example(
                sessions={
                    "a": "0 play seq=1\n1 first_frame seq=2\n31 heartbeat seq=5\n61 stop seq=7",
                    "b": "0 play seq=1\n1 first_frame seq=2\n9 stop seq=3",
                },
                value=0.5,
                working="a: of 2 to 6, 3, 4 and 6 are missing: 3 of 5. b: of 2 none: 0 of 1. 3 / 6.",
            ),
            Example(
                sessions={"a": "0 play seq=1\n1 stop seq=2"}, value=None, working="No number lies between: unknown."
            ),
        ),
    ),
)
