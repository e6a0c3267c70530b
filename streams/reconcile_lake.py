"""The lake's side of conservation: what bronze, dead letters and silver hold of each partition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.delta_scan import open_table, query, scan_at
from infra.settings import Settings
from infra.topics import topic_id
from schemas.progress import progress
from schemas.registry import DEAD_LETTER_TOPIC, EVENT_TOPICS
from schemas.tables import BRONZE, DEAD_LETTERS, SILVER_EVENTS
from schemas.topic import EventTopic
from streams.ownership import start_of, transaction_of
from streams.reconcile_topics import Cut

if TYPE_CHECKING:
    from deltalake import DeltaTable


@dataclass(frozen=True, kw_only=True)
class LakeCounts:
    """What the lake holds of one partition. `version` and `silver_version` are versions of the bronze table."""

    start: int
    position: int
    rows: int
    """Bronze rows before the cut; `all_rows` also those behind it."""
    letters: int
    repeated: int
    """Records that are there more than once."""
    rows_before_live: int
    letters_before_live: int
    rows_to_live_cut: int
    """Bronze rows before the cut or the stream's position, whichever is later."""
    all_rows: int
    duplicates: int
    silver: int
    version: int
    silver_version: int | None
    behind_rows: int
    """Rows of the whole table that came after the version that silver has."""


class Lake:
    """One snapshot: the versions of all tables as they are now, bronze before the dead letters that go with it."""

    def __init__(self, settings: Settings) -> None:
        self._root = settings.lake_root
        self._ids = {name: topic_id(settings, name) for name in EVENT_TOPICS}
        self._silver = {name: open_table(table.path(self._root)) for name, table in SILVER_EVENTS.items()}
        self._bronze = {name: open_table(table.path(self._root)) for name, table in BRONZE.items()}
        self._letters = open_table(DEAD_LETTERS.path(self._root))

    def has_passed(self, places: Iterable[Cut]) -> bool:
        """Whether the sink has kept everything before the cuts."""
        return all(self._position(cut) >= max(cut.end, cut.live_position) for cut in places)

    def counts(self, topic: EventTopic, places: Mapping[int, Cut]) -> dict[int, LakeCounts]:
        """Partition → counts."""
        bronze = self._bronze[topic.name]
        silver_has, behind = self._watermark(topic, bronze)
        bounds = ", ".join(f"({p}, {cut.end}, {cut.live_position})" for p, cut in places.items())
        of_topic = f"WHERE topic = '{topic.name}'"
        found: dict[int, dict[str, Any]] = {
            row["partition"]: row
            for row in query(
                f"""
                WITH cuts (partition, stop, live) AS (VALUES {bounds}),
                bronze AS (SELECT partition, "offset", event_id, received_at FROM {_scan(bronze)}),
                letters AS (SELECT partition, "offset" FROM {_scan(self._letters)} {of_topic}),
                places AS (SELECT partition, "offset", count(*) AS n FROM (
                    SELECT partition, "offset" FROM bronze UNION ALL SELECT partition, "offset" FROM letters
                ) GROUP BY ALL),
                firsts AS (SELECT arg_min(partition, (received_at, partition, "offset")) AS partition
                           FROM bronze GROUP BY event_id),
                silver AS (SELECT partition FROM {_scan(self._silver[topic.name])}),
                by_bronze AS (SELECT partition, count(*) AS all_rows,
                    count(*) FILTER ("offset" < stop) AS rows,
                    count(*) FILTER ("offset" < live) AS rows_before_live,
                    count(*) FILTER ("offset" < greatest(stop, live)) AS rows_to_live_cut
                    FROM bronze JOIN cuts USING (partition) GROUP BY partition),
                by_letters AS (SELECT partition, count(*) FILTER ("offset" < stop) AS letters,
                    count(*) FILTER ("offset" < live) AS letters_before_live
                    FROM letters JOIN cuts USING (partition) GROUP BY partition),
                by_place AS (SELECT partition, sum(n - 1) AS repeated FROM places GROUP BY partition),
                by_first AS (SELECT partition, count(*) AS firsts FROM firsts GROUP BY partition),
                by_silver AS (SELECT partition, count(*) AS silver FROM silver GROUP BY partition)
                SELECT * FROM cuts LEFT JOIN by_bronze USING (partition) LEFT JOIN by_letters USING (partition)
                LEFT JOIN by_place USING (partition) LEFT JOIN by_first USING (partition)
                LEFT JOIN by_silver USING (partition)
                """
            )
        }
        result = {}
        for partition, row in found.items():
            n = {name: int(value or 0) for name, value in row.items()}
            name = transaction_of(self._ids[topic.name], partition)
            result[partition] = LakeCounts(
                start=_stored(bronze, start_of(name)),
                position=_stored(bronze, name),
                rows=n["rows"],
                letters=n["letters"],
                repeated=n["repeated"],
                rows_before_live=n["rows_before_live"],
                letters_before_live=n["letters_before_live"],
                rows_to_live_cut=n["rows_to_live_cut"],
                all_rows=n["all_rows"],
                duplicates=n["all_rows"] - n["firsts"],
                silver=n["silver"],
                version=-1 if bronze is None else bronze.version(),
                silver_version=silver_has,
                behind_rows=behind,
            )
        return result

    def gaps(self, cut: Cut, start: int) -> list[tuple[int, int]]:
        """Ranges [first, following) of a partition's offsets that are in no table."""
        place = f'WHERE partition = {cut.partition} AND "offset" < {cut.end}'
        return [
            (row["first"], row["following"])
            for row in query(
                f"""
                WITH seen AS (
                    SELECT "offset" FROM {_scan(self._bronze[cut.topic])} {place}
                    UNION ALL SELECT "offset" FROM {_scan(self._letters)} {place} AND topic = '{cut.topic}'
                    UNION ALL SELECT {cut.end})
                SELECT coalesce(before + 1, {start}) AS first, "offset" AS following
                FROM (SELECT "offset", lag("offset") OVER (ORDER BY "offset") AS before FROM seen)
                WHERE "offset" > coalesce(before + 1, {start}) ORDER BY first
                """
            )
        ]

    def rows(self) -> int:
        """Rows of all bronze tables of events."""
        counts = " UNION ALL ".join(f"SELECT count(*) AS n FROM {_scan(handle)}" for handle in self._bronze.values())
        return sum(int(row["n"]) for row in query(counts))

    def dead_letters(self) -> tuple[dict[str, int], int]:
        """Records of event topics by reason; and how many a collector never let in."""
        counts = query(f"SELECT topic, reason, count(*) AS n FROM {_scan(self._letters)} GROUP BY ALL")
        reasons: dict[str, int] = {}
        for row in counts:
            if row["topic"] != DEAD_LETTER_TOPIC.name:
                reasons[row["reason"]] = reasons.get(row["reason"], 0) + row["n"]
        return reasons, sum(row["n"] for row in counts if row["topic"] == DEAD_LETTER_TOPIC.name)

    def _position(self, cut: Cut) -> int:
        return _stored(self._bronze[cut.topic], transaction_of(self._ids[cut.topic], cut.partition))

    def _watermark(self, topic: EventTopic, bronze: DeltaTable | None) -> tuple[int | None, int]:
        """The bronze version that silver says it holds, and how many rows came after it (all, if that is unknown)."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        done = progress(SILVER_EVENTS[topic.name].path(self._root))
        version = done.complete.get(BRONZE[topic.name].full_name) if done else None
        if bronze is None or version is None:
            return None, 0
        if version == bronze.version():
            return version, 0
        try:
            then = DeltaTable(bronze.table_uri, version=version)
        except DeltaError:  # a version whose log is gone: silver will look at all rows
            then = None
        now_has, then_had = (query(f"SELECT count(*) AS n FROM {_scan(at)}")[0]["n"] for at in (bronze, then))
        return version, now_has - then_had


def _scan(handle: DeltaTable | None) -> str:
    """The table as of the handle, in SQL; one without rows where there is no table."""
    if handle is None:
        return (
            '(SELECT NULL::VARCHAR AS topic, NULL::INTEGER AS partition, NULL::BIGINT AS "offset", '
            "NULL::VARCHAR AS event_id, NULL::TIMESTAMPTZ AS received_at, NULL::VARCHAR AS reason WHERE false)"
        )
    return scan_at(handle)


def _stored(handle: DeltaTable | None, transaction: str) -> int:
    return 0 if handle is None else handle.transaction_version(transaction) or 0
