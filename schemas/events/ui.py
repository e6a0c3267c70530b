"""What a viewer does around playback: topic `user.ui.events`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from schemas.event import Int, Stamp, ViewerEvent
from schemas.topic import EventTopic


class UiEvent(ViewerEvent, frozen=True, kw_only=True):
    """Fields that any UI event may carry."""

    screen: Annotated[str | None, Meta(description="Screen or page it happened on.")] = None
    content_id: Annotated[str | None, Meta(description="Title concerned, if any.")] = None


class Impression(UiEvent, frozen=True, kw_only=True):
    """A row (`rowId`), a title in it (`contentId`) or its artwork (`artworkId`) was visible to the viewer."""

    row_id: Annotated[str | None, Meta(description="Row (shelf, carousel) on the screen.")] = None
    row_index: Annotated[Int | None, Meta(description="Place of the row on the screen, from 0.")] = None
    position: Annotated[Int | None, Meta(description="Place of the title in the row, from 0.")] = None
    artwork_id: Annotated[str | None, Meta(description="Artwork that was shown.")] = None
    request_id: Annotated[str | None, Meta(description="Response of recommendation or search that put it there.")] = (
        None
    )
    visible_ms: Annotated[Int | None, Meta(description="For how long half of it or more was on screen, ms.")] = None


class Click(UiEvent, frozen=True, kw_only=True):
    """The viewer chose something."""

    target: Annotated[str | None, Meta(description="Element that was chosen: title, play, trailer, ...")] = None
    row_id: Annotated[str | None, Meta(description="Row (shelf, carousel) on the screen.")] = None
    row_index: Annotated[Int | None, Meta(description="Place of the row on the screen, from 0.")] = None
    position: Annotated[Int | None, Meta(description="Place of the title in the row, from 0.")] = None
    artwork_id: Annotated[str | None, Meta(description="Artwork that was shown.")] = None
    request_id: Annotated[str | None, Meta(description="Response of recommendation or search that put it there.")] = (
        None
    )


class Search(UiEvent, frozen=True, kw_only=True):
    """The viewer searched."""

    query: Annotated[str, Meta(description="What was typed.")]
    result_count: Annotated[Int | None, Meta(description="Number of results shown.")] = None
    request_id: Annotated[str | None, Meta(description="Response with the results; clicks on them name it.")] = None


class Rating(UiEvent, frozen=True, kw_only=True):
    """The viewer rated a title."""

    content_id: Annotated[str, Meta(description="Title that was rated.")]
    rating: Annotated[float, Meta(description="The rating, on the service's own scale.")]
    scale: Annotated[str | None, Meta(description="Which scale, where there are several: thumbs, stars, ...")] = None


class MyList(UiEvent, frozen=True, kw_only=True):
    """The viewer put a title on the list or took it off."""

    content_id: Annotated[str, Meta(description="Title concerned.")]
    action: Annotated[Literal["add", "remove"], Meta(description="What was done.")]


class ProfileSwitch(UiEvent, frozen=True, kw_only=True):
    """Another profile of the account was chosen (`profileId` is the new one)."""

    from_profile_id: Annotated[str | None, Meta(description="Profile that was active before.")] = None


class SignUp(UiEvent, frozen=True, kw_only=True):
    """A new account."""

    plan: Annotated[str | None, Meta(description="Plan that was chosen.")] = None
    channel: Annotated[str | None, Meta(description="Where the account came from.")] = None


class PlanChange(UiEvent, frozen=True, kw_only=True):
    """The account changed its plan."""

    plan: Annotated[str, Meta(description="New plan.")]
    from_plan: Annotated[str | None, Meta(description="Plan until now.")] = None
    effective_at: Annotated[Stamp | None, Meta(description="From when on; absent means at once.")] = None


class Cancellation(UiEvent, frozen=True, kw_only=True):
    """The account was cancelled."""

    plan: Annotated[str | None, Meta(description="Plan that was cancelled.")] = None
    reason: Annotated[str | None, Meta(description="Reason given.")] = None
    effective_at: Annotated[Stamp | None, Meta(description="When access ends; absent means at once.")] = None


TOPIC = EventTopic(
    name="user.ui.events",
    table="ui_events",
    events=(SignUp, ProfileSwitch, Impression, Click, Search, Rating, MyList, PlanChange, Cancellation),
)
