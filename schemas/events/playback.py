"""What a player reports: topic `user.playback.events`.

The smallest useful vocabulary is play, pause, stop; every further event makes the metrics finer.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from schemas.event import Int, ViewerEvent
from schemas.topic import EventTopic


class PlaybackEvent(ViewerEvent, frozen=True, kw_only=True):
    """Fields that any playback event may carry."""

    content_id: Annotated[str, Meta(description="Title being played.")]
    quality: Annotated[Literal["4K", "1080p", "720p"] | None, Meta(description="Rendition as shown to the viewer.")] = (
        None
    )
    position_ms: Annotated[Int | None, Meta(description="Playhead position in the content, ms.")] = None
    duration_ms: Annotated[Int | None, Meta(description="Length of the content, ms; absent when live.")] = None
    bitrate_kbps: Annotated[Int | None, Meta(description="Bitrate of the rendition that plays, kbit/s.")] = None
    dropped_frames: Annotated[Int | None, Meta(description="Frames dropped since the session began (cumulative).")] = (
        None
    )
    cdn: Annotated[str | None, Meta(description="CDN that serves the media.")] = None
    connection_type: Annotated[str | None, Meta(description="wifi, ethernet, 4g, 5g, ...")] = None
    player_version: Annotated[str | None, Meta(description="Version of the player library.")] = None
    is_live: Annotated[bool | None, Meta(description="Whether the content is a live stream.")] = None
    playback_rate: Annotated[float | None, Meta(description="Speed of playback; 1 is normal.")] = None
    reason: Annotated[str | None, Meta(description="Why it happened, in the client's words.")] = None
    error_code: Annotated[str | None, Meta(description="The player's error code.")] = None
    fatal: Annotated[bool | None, Meta(description="Whether the error ended playback; absent means no.")] = None
    error_category: Annotated[
        Literal["technical", "business"] | None,
        Meta(description="business: a refusal that is meant (no subscription, geo-block); absent means technical."),
    ] = None
    live_latency_ms: Annotated[Int | None, Meta(description="Distance of the playhead to the live edge, ms.")] = None


class Play(PlaybackEvent, frozen=True, kw_only=True):
    """The viewer asked for playback."""


class FirstFrame(PlaybackEvent, frozen=True, kw_only=True):
    """The first frame of content is on screen."""


class Pause(PlaybackEvent, frozen=True, kw_only=True):
    """The viewer paused."""


class Resume(PlaybackEvent, frozen=True, kw_only=True):
    """The viewer continued after a pause."""


class Seek(PlaybackEvent, frozen=True, kw_only=True):
    """The viewer jumped to another position (`positionMs` is the target)."""


class StallStart(PlaybackEvent, frozen=True, kw_only=True):
    """Playback stopped because the buffer ran empty."""


class StallEnd(PlaybackEvent, frozen=True, kw_only=True):
    """Playback goes on after a stall."""


class QualityChange(PlaybackEvent, frozen=True, kw_only=True):
    """The player switched to another rendition (`bitrateKbps` is the new one)."""


class RateChange(PlaybackEvent, frozen=True, kw_only=True):
    """The viewer changed the speed of playback (`playbackRate` is the new one)."""


class Heartbeat(PlaybackEvent, frozen=True, kw_only=True):
    """A sign of life during a session, every 10 to 30 s."""


class Background(PlaybackEvent, frozen=True, kw_only=True):
    """The app or page went to the background."""


class Foreground(PlaybackEvent, frozen=True, kw_only=True):
    """The app or page came back to the foreground."""


class AdStart(PlaybackEvent, frozen=True, kw_only=True):
    """An ad began; content waits."""


class AdEnd(PlaybackEvent, frozen=True, kw_only=True):
    """An ad ended; content goes on."""


class AdError(PlaybackEvent, frozen=True, kw_only=True):
    """An ad failed; content goes on."""


class Error(PlaybackEvent, frozen=True, kw_only=True):
    """The player reported an error; with `fatal` playback is over."""


class Stop(PlaybackEvent, frozen=True, kw_only=True):
    """Playback was ended by the viewer or by the end of the content."""


TOPIC = EventTopic(
    name="user.playback.events",
    table="playback_events",
    events=(
        Play, FirstFrame, Resume, Foreground, AdStart, AdEnd, AdError, StallEnd, QualityChange, RateChange, Heartbeat,
        Seek, StallStart, Pause, Background, Error, Stop,
    ),
)  # fmt: skip
"""The order of the events is their rank: how events of one millisecond follow each other in a session."""
