"""The evidence of parity: the records of both sides, as bronze has them, and how far it has come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from infra.delta_scan import arrow, open_table, query, scan_at
from infra.errors import ProcessError
from infra.settings import Settings
from infra.topics import partition_count, topic_id
from schemas.cmcd.report import REPORT_COLUMNS, reports_of
from schemas.fact import FACT_COLUMNS, facts_of
from schemas.registry import PLAYBACK, SESSION_TOPICS
from schemas.tables import BRONZE, DEAD_LETTERS
from schemas.topic import EventTopic
from streams.ownership import transaction_of
from streams.parity.replay import Clock, Place, Record
from streams.parity.window import Window, within_sql

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

POLL_S = 0.5
MARGIN_MS = 3_600_000
"""Records further from the window than this, beyond the time-out, add nothing to its minutes."""


@dataclass(frozen=True)
class Bronze:
    """The tables of records as they are at one moment."""

    settings: Settings
    tables: Mapping[str, DeltaTable]
    """Topic → its table; a topic without records has none."""
    letters: DeltaTable | None

    @classmethod
    def now(cls, settings: Settings) -> Bronze:
        opened = {topic.name: open_table(BRONZE[topic.name].path(settings.lake_root)) for topic in SESSION_TOPICS}
        there = {name: table for name, table in opened.items() if table is not None}
        return cls(settings, there, open_table(DEAD_LETTERS.path(settings.lake_root)))

    def positions(self, version_of: Mapping[str, int] | None = None) -> dict[Place, int]:
        """Partition → the offset before which everything is there; `version_of`: as of these versions of the tables."""
        from deltalake import DeltaTable

        found = {}
        for name, table in self.tables.items():
            at = table
            if version_of is not None:
                version = version_of.get(BRONZE[name].full_name)
                if version is None:
                    continue
                at = DeltaTable(table.table_uri, version=version)
            of_topic = topic_id(self.settings, name)
            for partition in range(partition_count(self.settings, name)):
                found[Place(name, partition)] = at.transaction_version(transaction_of(of_topic, partition)) or 0
        return found

    def clocks(self, window_ms: Window) -> dict[Place, Clock]:
        """Of every partition, from a day before the first of the window's records: where rows and dead letters move it.

        Brokers stamp records with the time of their receipt, so nothing older can be ahead of that.
        """
        found = {}
        since = self._first_received(window_ms)
        for name, table in self.tables.items():
            rows = arrow(f"""
                WITH records AS (
                    SELECT partition, "offset", epoch_ms(received_at) AS stamp_ms
                    FROM (SELECT partition, "offset", received_at FROM {scan_at(table)} WHERE received_date >= {since}
                          UNION ALL {self._letters(name, since)})),
                before AS (
                    SELECT *, max(stamp_ms) OVER (PARTITION BY partition ORDER BY "offset"
                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS clock_ms FROM records)
                SELECT partition, "offset", stamp_ms FROM before WHERE stamp_ms > clock_ms OR clock_ms IS NULL
                ORDER BY partition, "offset" """)
            partitions, places, stamps = (rows.column(k).to_numpy() for k in range(3))
            for partition in np.unique(partitions).tolist():
                is_of = partitions == partition
                found[Place(name, partition)] = Clock(places[is_of].astype(np.int64), stamps[is_of].astype(np.int64))
        return found

    def _first_received(self, window_ms: Window) -> str:
        """The day before the first record of the groups of the window, in SQL."""
        touched = self._touched(window_ms)
        days = " UNION ALL ".join(
            f"SELECT min(received_date) AS day FROM {scan_at(table)} WHERE {_group(name)} IN ({touched})"
            for name, table in self.tables.items()
        )
        found = query(f"SELECT min(day) - 1 AS day FROM ({days})")[0]["day"] if days else None
        return f"DATE '{found or date.max}'"

    def records(self, window_ms: Window) -> Iterator[Record]:
        """Every record of every group that has one in or near the window."""
        touched = self._touched(window_ms)
        for topic in SESSION_TOPICS:
            if (table := self.tables.get(topic.name)) is not None:
                columns = ", ".join(dict.fromkeys(("partition", '"offset"', *_columns(topic))))
                group = _group(topic.name)
                yield from records_of(
                    topic,
                    arrow(f"SELECT {group} AS group_of, {columns} FROM {scan_at(table)} WHERE {group} IN ({touched})"),
                )

    def count(self, window_ms: Window) -> int:
        """How many records that are."""
        touched = self._touched(window_ms)
        counts = (
            f"SELECT count(*) AS n FROM {scan_at(table)} WHERE {_group(name)} IN ({touched})"
            for name, table in self.tables.items()
        )
        return sum(int(query(sql)[0]["n"]) for sql in counts)

    def dead_letters(self, window_ms: Window) -> dict[str, int]:
        """Dead letters of these topics that were received in the window, by reason."""
        if self.letters is None:
            return {}
        names = ", ".join(f"'{topic.name}'" for topic in SESSION_TOPICS)
        rows = query(f"""SELECT reason, count(*) AS n FROM {scan_at(self.letters)} WHERE topic IN ({names})
            AND {within_sql("received_at", window_ms)} GROUP BY ALL""")
        return {row["reason"]: row["n"] for row in rows}

    def _touched(self, window_ms: Window) -> str:
        """The groups with a record in or near the window, in SQL."""
        reach_ms = self.settings.session_timeout_s * 1000 + MARGIN_MS
        near = within_sql("occurred_at", (window_ms[0] - reach_ms, window_ms[1] + MARGIN_MS))
        return " UNION ".join(
            f"SELECT {_group(name)} AS group_id FROM {scan_at(table)} WHERE {near}"
            for name, table in self.tables.items()
        )

    def _letters(self, name: str, since: str) -> str:
        if self.letters is None:
            return "SELECT NULL, NULL, NULL WHERE false"
        where = f"topic = '{name}' AND received_date >= {since}"
        return f'SELECT partition, "offset", received_at FROM {scan_at(self.letters)} WHERE {where}'


def sunk(settings: Settings, ends: Mapping[Place, int], wait_s: float) -> Bronze:
    """Bronze, once it holds what live has applied. Raises ProcessError when time is up before that."""
    until = time.monotonic() + wait_s
    while True:
        bronze = Bronze.now(settings)
        has = bronze.positions()
        behind = {place: end for place, end in ends.items() if end > has.get(place, 0)}
        if not behind:
            return bronze
        if time.monotonic() >= until:
            place, end = next(iter(behind.items()))
            msg = (
                f"expected bronze to hold what live has applied, {end:,} of {place.topic}/{place.partition}; after "
                f"{wait_s:g} s it is at {has.get(place, 0):,}: is the sink running?"
            )
            raise ProcessError(msg)
        time.sleep(POLL_S)


def records_of(topic: EventTopic, rows: pa.Table) -> Iterator[Record]:
    """Records of rows that have `group_of`, partition, offset and the columns of a fact or a report."""
    for batch in rows.combine_chunks().to_batches():
        told: list[Any] = facts_of(batch) if topic is PLAYBACK else reports_of(batch)
        columns = (batch.column(name).to_pylist() for name in ("partition", "offset", "group_of"))
        for partition, offset, group_id, one in zip(*columns, told, strict=True):
            yield Record(Place(topic.name, partition), offset, group_id, one)


def _columns(topic: EventTopic) -> tuple[str, ...]:
    return FACT_COLUMNS if topic is PLAYBACK else REPORT_COLUMNS


def _group(name: str) -> str:
    return "group_id" if name == PLAYBACK.name else "session_id"
