"""Ads: what the session tells of them, and the accounting of `ads.events`."""

from __future__ import annotations

from schemas.metrics.metric import Example, Metric, ratio, total

_BREAK = """0 request ad_request_id=r1 ad_count=2
1 impression ad_request_id=r1 ad_id=x sequence=1
1 impression ad_request_id=r1 ad_id=x sequence=1
6 quartile ad_request_id=r1 ad_id=x sequence=1 quartile=first_quartile
11 quartile ad_request_id=r1 ad_id=x sequence=1 quartile=midpoint
16 quartile ad_request_id=r1 ad_id=x sequence=1 quartile=third_quartile
21 complete ad_request_id=r1 ad_id=x sequence=1
22 impression ad_request_id=r1 ad_id=y sequence=2
27 quartile ad_request_id=r1 ad_id=y sequence=2 quartile=first_quartile
28 click ad_request_id=r1 ad_id=y sequence=2
29 skip ad_request_id=r1 ad_id=y sequence=2
60 request ad_request_id=r2 ad_count=0
60 error ad_request_id=r2 vast_error_code=303"""
"""One break with two ads, one impression of which is sent twice; a second break that is not filled."""

METRICS = (
    Metric(
        name="ad_error_rate",
        title="Failed ads",
        level="aggregate",
        meaning="How often an ad that should play fails, as the player tells it.",
        formula="`ad_error` events / (ads begun + failed). An ad that fails after it began counts in both.",
        unit="share, 0..1",
        worse="higher",
        sql="CAST(sum(ad_errors) AS DOUBLE) / nullif(sum(ad_starts) + sum(ad_errors), 0)",
        parts=("ad_errors", "ad_starts"),
        counted="Ads in sessions.",
        left_out="Content: an ad's failure is no stall, no playback failure and no exit.",
        elsewhere="Conviva: ad start failures and ad playback failures.",
        sources=("Conviva",),
        examples=(
            Example(
                sessions={
                    "a": "0 play\n1 first_frame\n11 ad_start\n26 ad_end\n27 ad_start\n42 ad_end\n43 ad_error\n60 stop",
                    "b": "0 play\n1 first_frame\n9 ad_start\n24 ad_end\n30 stop",
                },
                value=0.25,
                working="1 / (3 + 1).",
            ),
        ),
    ),
    Metric(
        name="ad_impression_count",
        title="Ad impressions",
        level="aggregate",
        meaning="How often an ad was on screen: what is billed.",
        formula="Number of ads shown (request, ad, place in its pod) with an `impression`.",
        unit="impressions",
        sql=total("ad_impressions"),
        parts=("ad_impressions",),
        counted="Each ad shown once, on the day of the impression.",
        left_out="Impressions that are sent again, also under another event id; the ads of sessions that send no "
        "ads.events (`ad_starts` tells those).",
        sources=("VAST", "Mux"),
        examples=(Example(ads=_BREAK, value=2, working="x, told twice, and y."),),
    ),
    Metric(
        name="ad_reach_rate",
        title="Ad quartiles",
        level="aggregate",
        meaning="The share of impressions that got to a quarter, half, three quarters or the end of the ad.",
        formula="Ads that reached it / impressions. Pass ad_first_quartiles, ad_midpoints, ad_third_quartiles or "
        "ad_completes in place of ad_midpoints.",
        unit="share, 0..1",
        worse="lower",
        sql=ratio("ad_midpoints", "ad_impressions"),
        parts=("ad_midpoints", "ad_impressions"),
        counted="Each ad shown once a quartile.",
        left_out="Quartiles that were not told are not guessed from later ones.",
        sources=("VAST",),
        examples=(Example(ads=_BREAK, value=0.5, working="x reached its middle, y only its first quarter."),),
    ),
    Metric(
        name="ad_completion_rate",
        title="Ad completion",
        level="aggregate",
        meaning="The share of impressions that played to their end.",
        formula="Complete ads / impressions.",
        unit="share, 0..1",
        worse="lower",
        sql=ratio("ad_completes", "ad_impressions"),
        parts=("ad_completes", "ad_impressions"),
        counted="As above.",
        left_out="As above.",
        sources=("VAST", "Conviva"),
        examples=(Example(ads=_BREAK, value=0.5, working="x, of x and y."),),
    ),
    Metric(
        name="ad_skip_rate",
        title="Ad skips",
        level="aggregate",
        meaning="The share of impressions that viewers skipped.",
        formula="Skipped ads / impressions.",
        unit="share, 0..1",
        worse="higher",
        sql=ratio("ad_skips", "ad_impressions"),
        parts=("ad_skips", "ad_impressions"),
        counted="As above.",
        left_out="As above.",
        sources=("VAST",),
        examples=(Example(ads=_BREAK, value=0.5, working="y, of x and y."),),
    ),
    Metric(
        name="ad_click_rate",
        title="Ad clicks",
        level="aggregate",
        meaning="The share of impressions that viewers followed.",
        formula="Ads clicked / impressions.",
        unit="share, 0..1",
        worse="lower",
        sql=ratio("ad_clicks", "ad_impressions"),
        parts=("ad_clicks", "ad_impressions"),
        counted="An ad that is clicked twice counts once.",
        left_out="As above.",
        sources=("VAST",),
        examples=(Example(ads=_BREAK, value=0.5, working="y, of x and y."),),
    ),
    Metric(
        name="ad_fill_rate",
        title="Ad fill",
        level="aggregate",
        meaning="The share of calls of the ad server that brought an ad.",
        formula="Requests whose answer had at least one ad / requests.",
        unit="share, 0..1",
        worse="lower",
        sql=ratio("ad_requests_filled", "ad_requests"),
        parts=("ad_requests_filled", "ad_requests"),
        counted="Each request once.",
        left_out="Whether the ads were shown: compare with impressions.",
        sources=("VAST",),
        examples=(Example(ads=_BREAK, value=0.5, working="r1 brought two ads, r2 none."),),
    ),
)
