"""The verdict: the ledger against the lake, and the stream against both. Every query must return no row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.delta_scan import query, quoted, scan
from infra.settings import Settings
from infra.topics import offsets
from infra.waiting import until
from schemas.registry import EVENT_TOPICS
from schemas.tables import BRONZE, DEAD_LETTERS, SILVER_EVENTS
from streams.reconcile import Report, reconcile
from tests.chaos.load import proof_sql
from tests.streams.bronze_world import positions

BEFORE_ID, AFTER_ID = b'{"eventId":"'.hex().upper(), b'"'.hex()
ID_AT_THE_HEAD = f"^{BEFORE_ID}(([0-9A-F]{{2}})+?){AFTER_ID}"
"""In hexadecimal digits: a broken record need not be text."""

QUERIES = {
    # Acknowledged, and neither a row nor a dead letter. Kafka keeps each copy that it acknowledged; a collector may
    # have known the second one as a repetition.
    "lost": """
        SELECT event_id, acked, copies FROM sent LEFT JOIN counted USING (event_id)
        WHERE coalesce(copies, 0) < CASE WHEN is_direct THEN acked ELSE least(acked, 1) END""",
    # One record of Kafka twice in the lake, or more copies than were ever sent straight into Kafka.
    "doubled": """
        SELECT topic || '/' || partition || '/' || "offset" AS event_id, count(*) AS copies FROM held
        GROUP BY ALL HAVING count(*) > 1
        UNION ALL
        SELECT event_id, copies FROM sent JOIN counted USING (event_id) WHERE is_direct AND copies > sends""",
    # In the lake and never sent, or with another content than was sent.
    "invented": """
        SELECT held.event_id, kind FROM held LEFT JOIN proofs USING (event_id, sha256) WHERE proofs.event_id IS NULL""",
    # Silver holds an event once, and no other than bronze has; where batch has run, it holds all of them.
    "silver": """
        SELECT event_id, count(*) AS copies FROM silver GROUP BY ALL HAVING count(*) > 1
        UNION ALL
        SELECT event_id, 0 FROM silver ANTI JOIN held USING (event_id)
        UNION ALL
        SELECT event_id, -1 FROM (SELECT DISTINCT event_id FROM held WHERE kind = 'row') ANTI JOIN silver
            USING (event_id) WHERE (SELECT is_complete FROM batch)""",
}


@dataclass
class Verdict:
    """What was found. `wrong` is empty when all is well: what is wrong → how often, with examples."""

    records: int = 0
    acked: int = 0
    unknown: int = 0
    letters: int = 0
    wrong: dict[str, str] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        return not self.wrong

    @property
    def ledger(self) -> str:
        """For the table."""
        names = [name for name in self.wrong if name in QUERIES]
        return ", ".join(f"{name} {self.wrong[name].split(':')[0]}" for name in names) or "exact"

    @property
    def live(self) -> str:
        return next((text for name, text in self.wrong.items() if name not in QUERIES), "equal")


def judge(
    settings: Settings, ledgers: Sequence[Path], *, has_batch: bool = False, has_stream: bool = True, wait_s: float
) -> Verdict:
    """Wait until stream and sink have passed what Kafka holds, then ask all. `has_batch`: silver has run to the end."""
    _wait_sunk(settings, wait_s)
    report = reconcile(settings, wait_s if has_stream else 0)
    verdict = judge_ledger(settings, ledgers, has_batch=has_batch)
    asked = {"kafka", *(["silver"] if has_batch else []), *(["live", "live rejects"] if has_stream else [])}
    if broken := _broken(report, asked):
        verdict.wrong["live"] = broken
    return verdict


def judge_ledger(settings: Settings, ledgers: Sequence[Path], *, has_batch: bool = False) -> Verdict:
    """The ledger queries alone, on the lake as it is."""
    views = _views(settings, ledgers, has_batch)
    (total,) = query(f"""{views}
        SELECT sum(sends) AS records, sum(acked) AS acked, sum(unknown) AS unknown,
            (SELECT count(*) FROM held WHERE kind = 'letter') AS letters FROM sent""")
    verdict = Verdict(**{name: int(n or 0) for name, n in total.items()})
    for name, sql in QUERIES.items():
        found = query(f"{views} SELECT count(*) OVER () AS n, * FROM ({sql}) ORDER BY event_id LIMIT 3")
        if found:
            verdict.wrong[name] = f"{found[0]['n']:,}: e.g. {'; '.join(_shown(row) for row in found)}"
    if not verdict.acked:
        verdict.wrong["lost"] = "nothing: the load has no acknowledged record, so nothing was shown"
    return verdict


def _views(settings: Settings, ledgers: Sequence[Path], has_batch: bool) -> str:
    root = settings.lake_root
    files = [str(file) for folder in ledgers for file in folder.glob("*.parquet")]
    source = f"read_parquet([{', '.join(map(quoted, files))}], filename => true)"
    columns = 'event_id, topic, partition, "offset"'
    rows = " UNION ALL ".join(
        f"SELECT {columns}, {proof_sql()} AS sha256, 'row' AS kind FROM {scan(table.path(root))}"
        for table in BRONZE.values()
        if {"user_id", "session_id", "country"} <= {column.name for column in table.columns}
    )
    found = [table.path(root) for table in SILVER_EVENTS.values() if (Path(table.path(root)) / "_delta_log").exists()]
    silver = " UNION ALL ".join(f"SELECT event_id FROM {scan(path)}" for path in found)
    silver = silver or "SELECT '' AS event_id LIMIT 0"
    return f"""
        WITH ledger AS MATERIALIZED (SELECT event_id, lower(hex(sha256)) AS sha256, outcome,
            event_id LIKE 'kafka-%' AS is_direct FROM {source}),
        proofs AS (SELECT DISTINCT event_id, sha256 FROM ledger),
        sent AS (SELECT event_id, is_direct, count(*) AS sends, count(*) FILTER (outcome = 'acked') AS acked,
            count(*) FILTER (outcome = 'unknown') AS unknown FROM ledger GROUP BY ALL),
        held AS MATERIALIZED (
            SELECT * FROM ({rows}) UNION ALL
            SELECT decode(unhex(regexp_extract(hex(value), '{ID_AT_THE_HEAD}', 1))) AS event_id, topic, partition,
                "offset", sha256(value) AS sha256, 'letter' AS kind FROM {scan(DEAD_LETTERS.path(root))}),
        counted AS (SELECT event_id, count(*) AS copies FROM held GROUP BY ALL),
        silver AS ({silver}),
        batch AS (SELECT {str(has_batch).lower()} AS is_complete)"""


def _wait_sunk(settings: Settings, wait_s: float) -> None:
    ends = {place: end for place, (_, end) in offsets(settings, EVENT_TOPICS).items()}

    def behind() -> dict[str, str]:
        at = positions(settings)
        return {
            f"{topic}/{p}": f"{at.get((topic, p))} of {end}"
            for (topic, p), end in ends.items()
            if at.get((topic, p)) != end
        }

    until("the sink reaches the end of every partition", lambda: not behind(), wait_s, every_s=0.5, seen=behind)


def _broken(report: Report, asked: Collection[str]) -> str:
    """The equations that fail, of those that are asked: silver's say nothing while batch has not run."""
    failed = [line for line in report.lines if not line.holds and line.equation in asked]
    shown = [f"{line.equation} {line.topic}/{line.partition}: {line.why or line.terms}" for line in failed[:3]]
    return f"{len(failed)} equations fail: {'; '.join(shown)}" if failed else ""


def _shown(row: dict[str, Any]) -> str:
    return " ".join(str(value) for name, value in row.items() if name != "n")
