"""What ads were asked for, shown and paid for: topic `ads.events`, in the words of IAB's VAST 4 and Open Measurement.

This is accounting: who is billed for what. What an ad does to a viewing session (its waiting time, its failures) is in
the playback vocabulary, `ad_start` to `ad_error`, which the player reports beside it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from schemas.event import Int, ViewerEvent
from schemas.topic import EventTopic


class AdEvent(ViewerEvent, frozen=True, kw_only=True):
    """Fields that any ad event may carry."""

    ad_request_id: Annotated[
        str, Meta(description="One call of the ad server, for one break; joins the ads to what was asked for.")
    ]
    content_id: Annotated[str | None, Meta(description="Title that the break is in.")] = None
    break_id: Annotated[str | None, Meta(description="Ad break within the title (VMAP breakId).")] = None
    break_position: Annotated[
        Literal["pre_roll", "mid_roll", "post_roll"] | None, Meta(description="Where in the title the break is.")
    ] = None
    insertion: Annotated[
        Literal["client", "server"] | None,
        Meta(description="Who puts the ad into the stream; server: SSAI."),
    ] = None
    ad_system: Annotated[str | None, Meta(description="Ad server that answered (VAST AdSystem).")] = None


class ShownAd(AdEvent, frozen=True, kw_only=True):
    """Fields of events about one ad out of the answer."""

    ad_id: Annotated[str, Meta(description="The ad (VAST Ad id).")]
    creative_id: Annotated[str | None, Meta(description="The creative (VAST Creative id).")] = None
    universal_ad_id: Annotated[str | None, Meta(description="Registered id of the creative (VAST UniversalAdId).")] = (
        None
    )
    campaign_id: Annotated[str | None, Meta(description="Campaign that the ad belongs to.")] = None
    advertiser: Annotated[str | None, Meta(description="Who pays (VAST Advertiser).")] = None
    sequence: Annotated[Int | None, Meta(description="Place of the ad in its pod, from 1 (VAST sequence).")] = None
    ad_duration_ms: Annotated[Int | None, Meta(description="Length of the creative, ms.")] = None
    position_ms: Annotated[Int | None, Meta(description="How much of the ad has been played, ms.")] = None
    is_muted: Annotated[bool | None, Meta(description="Whether it is silent (OMID volumeChange, VAST mute).")] = None
    viewability: Annotated[
        Literal["viewable", "not_viewable", "undetermined"] | None,
        Meta(description="Verdict so far (VAST ViewableImpression; MRC: half of its pixels for 2 s)."),
    ] = None


class Request(AdEvent, frozen=True, kw_only=True):
    """An ad server was asked to fill a break, and has answered or not."""

    break_duration_ms: Annotated[Int | None, Meta(description="Time that was to be filled, ms.")] = None
    ad_count: Annotated[Int | None, Meta(description="Ads in the answer; 0: the break was not filled.")] = None
    response_ms: Annotated[Int | None, Meta(description="Time to the answer, ms; absent when none came.")] = None


class Impression(ShownAd, frozen=True, kw_only=True):
    """The ad's first frame was on screen: what is billed (VAST Impression)."""

    price: Annotated[float | None, Meta(description="Price by the ad server, in `currency` (VAST Pricing).")] = None
    currency: Annotated[str | None, Meta(description="ISO 4217 code of the price's currency.")] = None
    pricing_model: Annotated[
        Literal["cpm", "cpc", "cpe", "cpv"] | None, Meta(description="What the price is for; cpm: 1000 impressions.")
    ] = None


class Quartile(ShownAd, frozen=True, kw_only=True):
    """A quarter, half or three quarters of the ad have been played."""

    quartile: Annotated[
        Literal["first_quartile", "midpoint", "third_quartile"], Meta(description="Which one (VAST tracking event).")
    ]


class Complete(ShownAd, frozen=True, kw_only=True):
    """The ad was played to its end."""


class Skip(ShownAd, frozen=True, kw_only=True):
    """The viewer skipped the rest of the ad (`positionMs` says what was played)."""


class Click(ShownAd, frozen=True, kw_only=True):
    """The viewer followed the ad."""

    destination: Annotated[str | None, Meta(description="Where it led: landing page or app, without query.")] = None


class Error(AdEvent, frozen=True, kw_only=True):
    """An ad, or the whole answer, could not be used."""

    vast_error_code: Annotated[Int, Meta(description="VAST error code: 303 no ad, 401 not found, 402 timeout, ...")]
    ad_id: Annotated[str | None, Meta(description="The ad (VAST Ad id), if there was one.")] = None
    creative_id: Annotated[str | None, Meta(description="The creative (VAST Creative id).")] = None
    reason: Annotated[str | None, Meta(description="Why, in the client's words.")] = None


TOPIC = EventTopic(
    name="ads.events",
    table="ad_events",
    events=(Request, Impression, Quartile, Click, Skip, Complete, Error),
    marker="adRequestId",
)
