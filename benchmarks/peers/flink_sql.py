"""Flink SQL through PyFlink: `LAG` by session, an aggregate by session, an aggregate by minute row; checkpoints on.

With `--sums-only` there is no `LAG`: what a session or minute counts without the event before. The mini-cluster runs in
one JVM; how far it is comes from its own REST interface. The job has no end; it is cancelled when all events are
through and the rows are out.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import psutil
from memory import peak_mb
from work import Meter, arguments

POLL_S = 0.1
WARM = 0.25
"""The first quarter of the events warms the JVM and is not counted."""
SETTLE_S = 4.0
"""Longer than the mini-batch, the sink's buffer and a checkpoint: then the last rows are out."""

TABLES = """
CREATE TABLE events (
  eventId STRING, eventType STRING, `timestamp` TIMESTAMP_LTZ(3), userId STRING, sessionId STRING, contentId STRING,
  deviceType STRING, country STRING, bitrateKbps BIGINT, seq BIGINT, positionMs BIGINT, `read` AS PROCTIME()
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '{bootstrap}', 'topic' = '{topic}',
  'properties.group.id' = '{out}', 'scan.startup.mode' = 'earliest-offset',
  'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601'
);
CREATE TABLE minute_rows (
  country STRING, device STRING, at_minute BIGINT,
  events BIGINT, stalls BIGINT, stall_ms BIGINT, playing_ms BIGINT, bits BIGINT,
  PRIMARY KEY (country, device, at_minute) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka', 'properties.bootstrap.servers' = '{bootstrap}', 'topic' = '{out}',
  'key.format' = 'json', 'value.format' = 'json',
  'sink.buffer-flush.max-rows' = '10000', 'sink.buffer-flush.interval' = '1s'
);
CREATE TABLE sessions (
  sessionId STRING, country STRING, device STRING, first_ms BIGINT, last_ms BIGINT, last_minute BIGINT,
  events BIGINT, stalls BIGINT, stall_ms BIGINT, playing_ms BIGINT, bits BIGINT,
  PRIMARY KEY (sessionId) NOT ENFORCED
) WITH ('connector' = 'blackhole');
CREATE VIEW in_ms AS
SELECT *, 1000 * EXTRACT(EPOCH FROM `timestamp`) + EXTRACT(MILLISECOND FROM `timestamp`) AS at_ms
FROM events;
"""
PAIRED = """
CREATE VIEW paired AS
SELECT country, deviceType AS device, sessionId, eventType, at_ms,
  at_ms - LAG(at_ms) OVER w AS gap, LAG(eventType) OVER w AS kind, LAG(bitrateKbps) OVER w AS bitrate
FROM in_ms WINDOW w AS (PARTITION BY sessionId ORDER BY `read`);
CREATE VIEW brought AS
SELECT country, device, sessionId, at_ms, at_ms / 60000 AS at_minute,
  CASE WHEN eventType = 'stall_start' THEN 1 ELSE 0 END AS stalls,
  CASE WHEN kind = 'stall_start' THEN gap ELSE 0 END AS stall_ms,
  CASE WHEN kind IN ({playing}) THEN gap ELSE 0 END AS playing_ms,
  CASE WHEN kind IN ({playing}) THEN gap * bitrate ELSE 0 END AS bits
FROM paired
"""
SUMS_ONLY = """
CREATE VIEW brought AS
SELECT country, deviceType AS device, sessionId, at_ms, at_ms / 60000 AS at_minute,
  CASE WHEN eventType = 'stall_start' THEN 1 ELSE 0 END AS stalls,
  CAST(0 AS BIGINT) AS stall_ms, CAST(0 AS BIGINT) AS playing_ms, CAST(0 AS BIGINT) AS bits
FROM in_ms
"""
SUMS = "COUNT(*), SUM(stalls), SUM(stall_ms), SUM(playing_ms), SUM(bits)"
PLAYING = "'first_frame', 'heartbeat', 'quality_change', 'stall_end', 'resume'"


def settings(asked: Any, port: int) -> dict[str, str]:
    """What Flink's tuning guide advises for such aggregates."""
    return {
        "parallelism.default": str(asked.parallelism),
        "pipeline.jars": Path(asked.jar).as_uri(),
        "execution.checkpointing.interval": "2 s",
        "execution.checkpointing.dir": (Path(asked.home) / "checkpoints").as_uri(),
        "table.exec.mini-batch.enabled": "true",
        "table.exec.mini-batch.allow-latency": "1 s",
        "table.exec.mini-batch.size": "20000",
        "table.local-time-zone": "UTC",
        "pipeline.object-reuse": "true",
        "taskmanager.numberOfTaskSlots": str(asked.parallelism),
        "taskmanager.memory.network.max": "256m",
        "metrics.fetcher.update-interval": "100",
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "rest.bind-port": str(port),
        "rest.port": str(port),
    }


def main() -> None:
    """Run until all events are through the sessions."""
    asked = arguments()
    os.environ["JVM_ARGS"] = f"-Xmx4g -Djava.io.tmpdir={asked.home}"
    from pyflink.table import EnvironmentSettings, TableEnvironment

    port = _free_port()
    tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    for name, value in settings(asked, port).items():
        tables.get_config().set(name, value)
    filled = TABLES.format(bootstrap=asked.bootstrap, topic=asked.topic, out=asked.out)
    brought = SUMS_ONLY if asked.sums_only else PAIRED.format(playing=PLAYING)
    for statement in (*filled.split(";")[:-1], *brought.split(";")):
        tables.execute_sql(statement)
    both = tables.create_statement_set()
    both.add_insert_sql(
        # With the very columns that the rows need: else the planner pairs the events twice, once for each sink.
        f"INSERT INTO sessions SELECT sessionId, MAX(country), MAX(device), MIN(at_ms), MAX(at_ms), MAX(at_minute), "
        f"{SUMS} FROM brought GROUP BY sessionId"
    )
    both.add_insert_sql(
        f"INSERT INTO minute_rows SELECT country, device, at_minute, {SUMS} FROM brought "
        "GROUP BY country, device, at_minute"
    )
    jvm = next(child for child in psutil.Process().children(recursive=True) if "java" in child.name())
    meter = Meter(asked.events, after=WARM, cpu=lambda: sum(jvm.cpu_times()[:2]))
    job = both.execute().get_job_client()
    rest = Rest(port, str(job.get_job_id()))
    read = rest.emitted if asked.sums_only else rest.paired
    while meter.done < asked.events:
        time.sleep(POLL_S)
        meter.reach(read())
    time.sleep(SETTLE_S)
    meter.report(peak_mb(jvm.pid))
    job.cancel().result()


class Rest:
    """What the mini-cluster says of the job."""

    def __init__(self, port: int, job_id: str) -> None:
        self._job = f"http://127.0.0.1:{port}/jobs/{job_id}"

    def paired(self) -> int:
        """Events that the operator with the sessions' previous events has read."""
        (pairing,) = [one for one in self._vertices() if "OverAggregate" in one["name"]]
        return int(pairing["metrics"]["read-records"])

    def emitted(self) -> int:
        """Events that the source has handed to the aggregates behind it."""
        (source,) = [one for one in self._vertices() if one["name"].startswith("Source")]
        path = f"/vertices/{source['id']}/metrics"
        names = [one["id"] for one in self._get(path) if re.search(r"Source__.*\.numRecordsOut$", one["id"])]
        if not names:
            return 0
        return sum(int(one["value"]) for one in self._get(f"{path}?get={quote(','.join(names))}"))

    def _vertices(self) -> list[dict[str, Any]]:
        job = self._get("")
        if job["state"] in ("FAILED", "FAILING", "RESTARTING"):
            sys.exit(f"the job is {job['state']}: {self._get('/exceptions')}"[:3000])
        return list(job["vertices"])

    def _get(self, path: str) -> Any:
        return json.loads(urlopen(self._job + path, timeout=10).read())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


if __name__ == "__main__":
    main()
