"""The mappings that come with playlake, by name: those of public recordings, which need more than columns to fields."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from infra.errors import ContractError, SettingsError
from schemas.registry import PLAYBACK
from streams.intake import lumos
from streams.intake.bulk import rows as files
from streams.intake.bulk.mapping import Made, Mapping, Unit, load
from streams.intake.bulk.rows import Row


class Lumos:
    """Chunk logs of Lumos, a session a unit: `streams/intake/lumos.py` says what of it is recorded and what derived."""

    def units(self, path: Path) -> Iterator[Unit]:
        row = 0
        for recording in lumos.read(path):
            row += len(recording.chunks)
            events = [
                Made(
                    PLAYBACK,
                    {
                        "sessionId": recording.session_id,
                        "timestamp": recording.began_at.astimezone(UTC) + timedelta(milliseconds=after_ms),
                        "seq": seq,
                        **recording.labels,
                        **fields,
                    },
                )
                for seq, (after_ms, fields) in enumerate(recording.events(), 1)
            ]
            yield Unit(row, recording.session_id, events)


class YouTube2015:
    """Totals of sessions of YouTube in 2015 (the data set of the IFIP Networking 2016 paper), a row a session.

    recorded                                    becomes
    run_id                                      sessionId (and the key: there is no account)
    yt_id                                       contentId
    run_start, run_length (s)                   when it began and ended
    vid_length (s)                              durationMs; what was played of it
    pl_buffering_events                         as many stalls
    pl_time_spent_itagN (s), br_avg_iN (B/s)    bitrateKbps: their average over the session
    net_avg_shaping_rate (B/s), vid_category    unknown fields of `play`, which silver keeps in `extra`

    derived                                     how
    startup and the length of each stall        run_length - vid_length is start and stalls together; nobody wrote
                                                down how much of it was which: all are given the same share
    where the stalls are                        nobody wrote that down, either: evenly over the video
    """

    itags = ("160", "133", "134", "135", "136")
    columns = frozenset(
        {"run_id", "yt_id", "run_start", "run_length", "vid_length", "pl_buffering_events", "net_avg_shaping_rate"}
        | {"vid_category"}
        | {f"pl_time_spent_itag{itag}" for itag in itags}
        | {f"br_avg_i{itag}" for itag in itags}
    )

    def units(self, path: Path) -> Iterator[Unit]:
        for number, row in enumerate(files.read(path), 1):
            if number == 1 and (missing := self.columns - set(row)):
                msg = f"{path}: expected session totals, its columns {', '.join(sorted(missing))} are missing"
                raise SettingsError(msg)
            try:
                yield Unit(number, row["run_id"], self._events(row))
            except ValueError as error:
                wrong = ContractError("invalid_field", f"expected numbers in the row: {error}")
                yield Unit(number, row["run_id"], [Made(PLAYBACK, {"eventType": "play"}, wrong)])

    def _events(self, row: Row) -> list[Made]:
        began = datetime.fromtimestamp(float(row["run_start"]), UTC)
        length, stalls = round(float(row["run_length"]) * 1000), int(row["pl_buffering_events"])
        media = min(round(float(row["vid_length"]) * 1000), length)
        waits, pieces = _shares(length - media, stalls + 1), _shares(media, stalls + 1)
        kbps = self._kbps(row)
        labels: dict[str, Any] = {
            "sessionId": row["run_id"],
            "contentId": row["yt_id"],
            "durationMs": round(float(row["vid_length"]) * 1000),
            **({"bitrateKbps": kbps} if kbps else {}),
        }
        said: list[tuple[str, int, int, dict[str, Any]]] = []
        extra = {"shapingBytesPerSecond": row["net_avg_shaping_rate"], "category": row["vid_category"]}
        now = position = 0
        said.append(("play", now, position, extra))
        for number, (wait, piece) in enumerate(zip(waits, pieces, strict=True)):
            if number:
                said.append(("stall_start", now, position, {}))
            now += wait
            said.append(("stall_end" if number else "first_frame", now, position, {}))
            now, position = now + piece, position + piece
        said.append(("stop", now, position, {"reason": "ended"}))
        return [
            Made(
                PLAYBACK,
                {
                    "eventType": event_type,
                    "timestamp": began + timedelta(milliseconds=after),
                    "seq": seq,
                    "positionMs": at,
                    **labels,
                    **fields,
                },
            )
            for seq, (event_type, after, at, fields) in enumerate(said, 1)
        ]

    def _kbps(self, row: Row) -> int:
        """Average over the time that each rendition was played; 0 when none is recorded."""
        spent = {itag: max(0.0, float(row[f"pl_time_spent_itag{itag}"] or 0)) for itag in self.itags}
        total = sum(spent.values())
        bits = sum(8 * seconds * max(0.0, float(row[f"br_avg_i{itag}"] or 0)) for itag, seconds in spent.items())
        return round(bits / total / 1000) if total else 0


def _shares(whole: int, count: int) -> list[int]:
    """Whole numbers as equal as can be that add up to `whole`."""
    ends = [whole * place // count for place in range(count + 1)]
    return [end - begin for begin, end in pairwise(ends)]


SHIPPED: dict[str, Mapping] = {"lumos": Lumos(), "youtube-2015": YouTube2015()}


def find(name: str) -> Mapping:
    """A shipped mapping by its name, else the mapping file of that path. Raises SettingsError."""
    if name in SHIPPED:
        return SHIPPED[name]
    path = Path(name)
    if path.suffix != ".toml" or not path.is_file():
        msg = f"expected a mapping file (.toml) or one of {', '.join(SHIPPED)}, got {name!r}"
        raise SettingsError(msg)
    return load(path)
