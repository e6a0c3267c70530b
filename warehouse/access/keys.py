"""API keys of the server. A key is shown once, when it is made; the file keeps its hash.

`<home>/server_keys.json` is written by `playlake key add | revoke` and read again by a running server when it changes.
A key is `plq_<id>_<secret>`: the id finds it, the 256 bits of the secret prove it, so a plain SHA-256 is hash enough.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import msgspec

from infra.disk import replace_file
from infra.errors import SettingsError

logger = logging.getLogger(__name__)


class Scope(StrEnum):
    """What a key is for; each includes the ones before it."""

    view = "view"
    """The dashboard, the catalogue, the quality report."""
    query = "query"
    """SQL, and cancelling of its own queries."""
    admin = "admin"
    """Everybody's running queries."""

    def covers(self, needed: Scope) -> bool:
        """Whether what needs `needed` is allowed."""
        order = list(Scope)
        return order.index(self) >= order.index(needed)


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key as the file has it. `per_minute`, `at_once`: its own limits, None for those of the settings."""

    id: str
    name: str
    sha256: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    per_minute: int | None = None
    at_once: int | None = None

    def state(self, now: datetime) -> str:
        """valid | expired | revoked."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "valid"


class KeyFile:
    """The keys of one installation."""

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._path = path
        self._now = now
        self._seen: tuple[int, int, int] | None = None
        self._by_id: dict[str, Key] = {}

    def all(self) -> list[Key]:
        """Every key ever made, oldest first. Raises SettingsError when the file breaks its form."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[Key])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as error:
            msg = f"{self._path}: expected the list of keys that `playlake key add` writes: {error}"
            raise SettingsError(msg) from None

    def valid(self) -> list[Key]:
        """Those that open the door now."""
        return [key for key in self.all() if key.state(self._now()) == "valid"]

    def find(self, text: str) -> Key | None:
        """The valid key with this text. What `playlake key revoke` took away is unknown from then on."""
        self._look()
        _, id_, secret = (*text.split("_", 2), "", "")[:3]
        key = self._by_id.get(id_)
        known = key.sha256 if key else "0" * 64
        is_same = hmac.compare_digest(known, _hash(secret))
        return key if key is not None and is_same and key.state(self._now()) == "valid" else None

    def add(
        self,
        name: str,
        scope: Scope,
        lasts: timedelta | None = None,
        per_minute: int | None = None,
        at_once: int | None = None,
    ) -> tuple[Key, str]:
        """A new key and its text, which nobody can find out later. Raises SettingsError: the name is taken."""
        if re.fullmatch(r"[\w.@-]{1,60}", name) is None:
            msg = f"expected a name of letters, digits and . @ _ -, at most 60 of them, got {name!r}"
            raise SettingsError(msg)
        secret = secrets.token_hex(32)
        with self._changing() as keys:
            now = self._now()
            if any(key.name == name and key.state(now) == "valid" for key in keys):
                msg = f"there is a key {name} already; revoke it first, or choose another name"
                raise SettingsError(msg)
            taken = {key.id for key in keys}
            id_ = next(one for one in iter(lambda: secrets.token_hex(4), "") if one not in taken)
            key = Key(
                id=id_,
                name=name,
                sha256=_hash(secret),
                scope=scope,
                created_at=now,
                expires_at=now + lasts if lasts else None,
                per_minute=per_minute,
                at_once=at_once,
            )
            keys.append(key)
        return key, f"plq_{id_}_{secret}"

    def revoke(self, name: str) -> int:
        """Take a name's keys away; how many. Raises SettingsError when it has none."""
        with self._changing() as keys:
            now = self._now()
            gone = [at for at, key in enumerate(keys) if key.name == name and key.state(now) == "valid"]
            if not gone:
                names = ", ".join(key.name for key in keys if key.state(now) == "valid") or "none"
                msg = f"no valid key is called {name}; there are: {names}"
                raise SettingsError(msg)
            for at in gone:
                keys[at] = msgspec.structs.replace(keys[at], revoked_at=now)
        return len(gone)

    @contextmanager
    def _changing(self) -> Iterator[list[Key]]:
        """The keys, to change; written back if nothing is raised. One process at a time."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = self.all()
            yield keys
            content = msgspec.json.format(msgspec.json.encode(keys))
            replace_file(self._path, lambda fresh: _write_privately(fresh, content))
        finally:
            os.close(lock)

    def _look(self) -> None:
        """Read the file again if it changed; a broken one leaves the keys as they were."""
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        except FileNotFoundError:
            stamp = None
        if stamp == self._seen:
            return
        try:
            self._by_id = {key.id: key for key in self.all()}
            self._seen = stamp
        except SettingsError as error:
            logger.error("the keys stay as they were", extra={"reason": str(error)})


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _write_privately(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
