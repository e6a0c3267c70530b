"""What can be watched or played: topic `catalog.titles`, compacted, so that it always holds every title's newest state.

No viewer is in it: the key is the `contentId`. A record without a value, Kafka's own way to delete a key, is a dead
letter here, since it could not say when or why: send `title_retraction`. `timestamp` is when the catalogue said so, not
the title's own age: as everywhere, one that is a week off is not believed, and the time of arrival counts. The table
`gold.titles` has the newest state of each title.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from schemas.event import Event, Int, Stamp
from schemas.topic import DAY_MS, EventTopic


class CatalogEvent(Event, frozen=True, kw_only=True):
    """Fields that any catalogue event carries."""

    key_fields: ClassVar[tuple[str, ...]] = ("content_id",)

    content_id: Annotated[str, Meta(description="The title, as playback events name it.")]


class TitleUpsert(CatalogEvent, frozen=True, kw_only=True):
    """A title is new or has changed: its whole state, which takes the place of the one before."""

    title: Annotated[str, Meta(description="Its name.")]
    kind: Annotated[
        Literal["film", "series", "season", "episode", "channel", "event", "trailer", "game"],
        Meta(description="What it is; a channel runs all day, an event is live once."),
    ]
    parent_id: Annotated[str | None, Meta(description="Title that it belongs to: an episode's season or series.")] = (
        None
    )
    season_number: Annotated[Int | None, Meta(description="Number of the season, from 1.")] = None
    episode_number: Annotated[Int | None, Meta(description="Number of the episode within its season, from 1.")] = None
    duration_ms: Annotated[Int | None, Meta(description="Length, ms; absent when live.")] = None
    genres: Annotated[list[str] | None, Meta(description="Genres, the main one first.")] = None
    original_language: Annotated[str | None, Meta(description="BCP 47 tag of the original language.")] = None
    release_year: Annotated[Int | None, Meta(description="Year of first release.")] = None
    maturity_rating: Annotated[str | None, Meta(description="Age rating as shown to viewers.")] = None
    artwork_id: Annotated[str | None, Meta(description="Artwork that is shown unless a test says otherwise.")] = None
    available_from: Annotated[Stamp | None, Meta(description="When it may be watched from.")] = None
    available_until: Annotated[Stamp | None, Meta(description="When it may no longer be watched.")] = None


class TitleRetraction(CatalogEvent, frozen=True, kw_only=True):
    """A title has left the catalogue. It may come back by an upsert."""

    reason: Annotated[str | None, Meta(description="Why: licence_ended, withdrawn, duplicate, ...")] = None


TOPIC = EventTopic(
    name="catalog.titles",
    table="title_events",
    events=(TitleUpsert, TitleRetraction),
    partitions=1,
    cleanup_policy="compact",
    retention_ms=-1,
    # A record stays for as long as one of another topic does: whoever keeps them all has the same time to read it.
    config={"min.compaction.lag.ms": str(7 * DAY_MS), "segment.ms": str(DAY_MS)},
)
"""One partition: a catalogue is small, and its readers want all of it in one order."""
