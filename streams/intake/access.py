"""Who may send: write keys, and the origins of web pages.

A write key is a public id that stands in pages and apps: it can only add events, and it can be replaced. The file that
`collector_keys_file` names is TOML, read again when it changes; a key is replaced by adding a new one beside it, and
taking the old one out when nobody uses it any more:

    [web]
    keys = ["wk_5pQ2vXh0", "wk_9dKe81mC"]
    events_per_second = 2000                                   # of each of the keys; 0 or absent: no limit
    topics = ["user.playback.events", "user.ui.events"]        # absent: all
"""

from __future__ import annotations

import ipaddress
import logging
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec

from infra.errors import SettingsError
from infra.settings import Settings
from schemas.registry import EVENT_TOPICS

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often the file is looked at."""
OPEN = "none"
"""In place of a file: no key is asked for, beyond loopback too."""


class Holder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who has a key: a section of the file."""

    keys: list[Annotated[str, msgspec.Meta(min_length=8, max_length=200)]]
    events_per_second: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    topics: frozenset[str] = frozenset(EVENT_TOPICS)


ANYBODY = Holder([])


class Keys:
    """The write keys of a file."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises SettingsError when the file can't be read or breaks its form."""
        self._path = path
        self._clock = clock
        self._seen = self._stamp()
        self._looked = clock()
        self._holders = read_keys(path)

    def holder(self, key: str | None) -> Holder | None:
        """Who has the key; None: nobody."""
        if self._clock() - self._looked >= LOOK_S:
            self._looked = self._clock()
            self._look()
        return self._holders.get(key or "")

    def _look(self) -> None:
        try:
            stamp = self._stamp()
            if stamp != self._seen:
                self._holders = read_keys(self._path)
                self._seen = stamp
                log.info("write keys read", extra={"keys": len(self._holders)})
        except SettingsError as error:
            log.error("the write keys stay as they were: %s", error)

    def _stamp(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise _unreadable(self._path, error.strerror or "") from None
        return found.st_mtime_ns, found.st_size, found.st_ino


class NoKeys:
    """Anybody may send."""

    def holder(self, key: str | None) -> Holder | None:
        """Whoever it is."""
        return ANYBODY


def keys_of(settings: Settings) -> Keys | NoKeys:
    """The keys that the settings ask for. Raises SettingsError when the collector would be open to the world."""
    if settings.collector_keys_file and settings.collector_keys_file != OPEN:
        return Keys(Path(settings.collector_keys_file))
    if settings.collector_keys_file != OPEN and not ipaddress.ip_address(settings.host).is_loopback:
        msg = (
            f"the collector would listen at {settings.host} for anybody: expected collector_keys_file to name a file "
            f"of write keys, or to be {OPEN!r} if that is meant"
        )
        raise SettingsError(msg)
    return NoKeys()


def read_keys(path: Path) -> dict[str, Holder]:
    """Key → its holder. Raises SettingsError."""
    try:
        holders = msgspec.convert(tomllib.loads(path.read_text()), dict[str, Holder])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise _unreadable(path, str(error)) from None
    found: dict[str, Holder] = {}
    for name, holder in holders.items():
        unknown = holder.topics - EVENT_TOPICS.keys()
        if unknown:
            raise _unreadable(path, f"[{name}] names topics that are not there: {', '.join(sorted(unknown))}")
        for key in holder.keys:
            if key in found:
                raise _unreadable(path, f"a key of [{name}] stands there twice")
            found[key] = holder
    return found


def _unreadable(path: Path, why: str) -> SettingsError:
    form = '[name] sections with keys = ["..."], optionally events_per_second and topics'
    return SettingsError(f"collector_keys_file {path}: {why}; expected {form}")


class Origins:
    """Which web pages may send: exact origins (`https://tv.example`, comma-separated), `*` for all, none if empty."""

    def __init__(self, setting: str) -> None:
        """Raises SettingsError for what is no origin."""
        self._allowed = frozenset(origin.strip() for origin in setting.split(",") if origin.strip())
        for origin in self._allowed - {"*"}:
            scheme, _, rest = origin.partition("://")
            if scheme not in {"http", "https"} or not rest or "/" in rest or "*" in rest:
                msg = f"collector_allow_origins: expected origins like https://tv.example, or *, got {origin!r}"
                raise SettingsError(msg)

    def allows(self, origin: str | None) -> bool:
        """Whether a request with this Origin header may be taken. One without is from no browser, or from no page."""
        return origin is None or "*" in self._allowed or origin in self._allowed

    def headers(self, origin: str | None) -> dict[str, str]:
        """What the answer says about the origin."""
        if "*" in self._allowed:
            return {"access-control-allow-origin": "*"}
        if origin is None or origin not in self._allowed:
            return {"vary": "origin"}
        return {"access-control-allow-origin": origin, "vary": "origin"}
