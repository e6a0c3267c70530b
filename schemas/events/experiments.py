"""Who met which arm of which experiment: topic `experiment.exposures`.

Being assigned is not enough: an exposure says that the viewer came to the place where the arms differ, in the control
arm as well. Experiments are analysed over those viewers, from their first exposure on.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from schemas.event import ViewerEvent
from schemas.topic import EventTopic


class Exposure(ViewerEvent, frozen=True, kw_only=True):
    """The viewer met an arm of an experiment: the treatment, or what control has in its place."""

    experiment: Annotated[str, Meta(description="The experiment, as `experiments` of other events names it.")]
    arm: Annotated[str, Meta(description="The arm that was met.")]
    unit: Annotated[
        Literal["user", "profile", "device", "session"] | None,
        Meta(description="What was assigned at random; absent means user."),
    ] = None
    version: Annotated[str | None, Meta(description="Version of the experiment's configuration.")] = None
    allocation: Annotated[float | None, Meta(description="Share of the units meant for this arm, 0 to 1.")] = None
    assigned_by: Annotated[
        Literal["random", "override", "fallback"] | None,
        Meta(description="How the arm came about; only random ones may be analysed. Absent means random."),
    ] = None
    screen: Annotated[str | None, Meta(description="Screen or page it happened on.")] = None
    content_id: Annotated[str | None, Meta(description="Title concerned, if any.")] = None


TOPIC = EventTopic(name="experiment.exposures", table="exposures", events=(Exposure,))
