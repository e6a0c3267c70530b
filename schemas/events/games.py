"""What is played: topic `game.events`, for the mobile and cloud games of a video service.

The vocabulary answers what such a service asks of its games: is it played, and for how long (start, heartbeat, end);
does it start fast and run smoothly, which for a cloud game is a question of its stream (ready, heartbeat, error); do
players come on (progress, achievement); what is bought (purchase). `sessionId` is one sitting with one game.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from schemas.event import Int, ViewerEvent
from schemas.topic import EventTopic


class GameEvent(ViewerEvent, frozen=True, kw_only=True):
    """Fields that any game event may carry."""

    game_id: Annotated[str, Meta(description="The game; its `contentId` in the catalogue.")]
    delivery: Annotated[
        Literal["cloud", "native"] | None, Meta(description="Whether it is streamed or runs on the device.")
    ] = None
    game_version: Annotated[str | None, Meta(description="Version of the game.")] = None
    controller: Annotated[
        Literal["gamepad", "keyboard", "phone", "remote", "touch"] | None, Meta(description="How it is played.")
    ] = None


class GameStart(GameEvent, frozen=True, kw_only=True):
    """The player asked for the game."""

    source: Annotated[str | None, Meta(description="Where it was found: home, search, title-page, ...")] = None


class GameReady(GameEvent, frozen=True, kw_only=True):
    """The game takes its first input."""

    load_ms: Annotated[Int | None, Meta(description="From asking to here, ms.")] = None


class GameHeartbeat(GameEvent, frozen=True, kw_only=True):
    """A sign of life, every 30 s or so, with how well it runs since the one before."""

    active_ms: Annotated[Int | None, Meta(description="Time with input since the one before, ms.")] = None
    frames_per_second: Annotated[float | None, Meta(description="Frames shown a second, average.")] = None
    round_trip_ms: Annotated[Int | None, Meta(description="Cloud: input to picture, median, ms.")] = None
    bitrate_kbps: Annotated[Int | None, Meta(description="Cloud: bitrate of the stream, kbit/s.")] = None
    dropped_frames: Annotated[Int | None, Meta(description="Frames dropped since the session began (cumulative).")] = (
        None
    )


class GameProgress(GameEvent, frozen=True, kw_only=True):
    """The player came further: a level, a chapter, a match."""

    level: Annotated[str, Meta(description="What was reached or finished.")]
    outcome: Annotated[Literal["reached", "won", "lost"] | None, Meta(description="How; absent means reached.")] = None
    score: Annotated[float | None, Meta(description="Score, on the game's own scale.")] = None


class Achievement(GameEvent, frozen=True, kw_only=True):
    """The player earned an achievement."""

    achievement_id: Annotated[str, Meta(description="Which one.")]


class Purchase(GameEvent, frozen=True, kw_only=True):
    """The player bought something in the game."""

    product_id: Annotated[str, Meta(description="What was bought.")]
    quantity: Annotated[Int | None, Meta(description="How many; absent means 1.")] = None
    price: Annotated[float | None, Meta(description="What was paid in all, in `currency`.")] = None
    currency: Annotated[str | None, Meta(description="ISO 4217 code, or the game's own currency.")] = None


class GameError(GameEvent, frozen=True, kw_only=True):
    """Something went wrong; with `fatal` the game is over."""

    error_code: Annotated[str, Meta(description="The client's error code.")]
    fatal: Annotated[bool | None, Meta(description="Whether it ended the game; absent means no.")] = None


class GameEnd(GameEvent, frozen=True, kw_only=True):
    """The player left the game."""

    played_ms: Annotated[Int | None, Meta(description="Time from the first input to here without pauses, ms.")] = None
    reason: Annotated[str | None, Meta(description="Why: quit, idle, closed, ...")] = None


TOPIC = EventTopic(
    name="game.events",
    table="game_events",
    events=(GameStart, GameReady, GameHeartbeat, GameProgress, Achievement, Purchase, GameError, GameEnd),
)
