"""Every setting, once. `Settings.from_env()` is the only reader of the environment.

A field `sink_commit_rows` is set by the environment variable `PLAYLAKE_SINK_COMMIT_ROWS`.
Durations end in `_s`, sizes in `_bytes`, ports in `_port`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from infra.errors import SettingsError

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "PLAYLAKE_"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Defaults run the whole platform on one machine, bound to loopback."""

    home: Path = ROOT / "var"
    """State folder: logs, broker data, Airflow's home, published warehouse files, and the lake by default."""
    lake: str = ""
    """Root of the Delta tables: a folder. Empty: `<home>/lake`."""
    host: str = "127.0.0.1"
    """Address that every server binds to."""

    kafka_bootstrap: str = ""
    """Brokers of an existing cluster. Empty: an embedded broker on `kafka_port` is started."""
    kafka_port: int = 19092
    kafka_controller_port: int = 19093
    kafka_heap: str = "512m"
    kafka_security_protocol: str = "PLAINTEXT"
    """PLAINTEXT | SSL | SASL_PLAINTEXT | SASL_SSL."""
    kafka_sasl_mechanism: str = ""
    """PLAIN | SCRAM-SHA-256 | SCRAM-SHA-512."""
    kafka_sasl_username: str = ""
    kafka_sasl_password_file: str = ""
    """A file, so that no password stands in argv or the environment."""
    kafka_ssl_ca_file: str = ""
    kafka_ssl_certificate_file: str = ""
    """Client certificate (PEM) for mutual TLS."""
    kafka_ssl_key_file: str = ""
    kafka_replication: int = 1
    """Replication factor of the topics that playlake creates."""
    topic_partitions: int = 4
    """Partitions of each event topic when it is created. Fixed afterwards: the unit of scale and of state."""

    collector_port: int = 8700
    server_port: int = 8701
    airflow_port: int = 8702
    spark_port: int = 15002
    stream_metrics_port: int = 8711
    """The first stream worker's /metrics; worker n takes this port + 10 * n."""
    stream_cmcd_metrics_port: int = 8714
    """The same of the first worker of players' reports."""
    sink_metrics_port: int = 8712
    alerts_port: int = 8715
    """The alert evaluator's /metrics."""
    supervisor_port: int = 8713
    """The supervisor's own /metrics, which also carries figures of the processes without a page of their own."""

    jars: Path = ROOT / ".jars"
    """Folder of the Kafka and Delta jars that set-up resolved: `kafka/` and `spark/`."""
    airflow_venv: Path = ROOT / ".venv-airflow"
    """Airflow's own Python environment."""
    java: str = ""
    """Path of a `java` >= 17. Empty: from JAVA_HOME, PATH, else from the wheel that set-up installs."""
    spark_remote: str = ""
    """An existing Spark Connect server, e.g. `sc://host:15002`. Empty: a local one is started."""
    spark_master: str = "local[2]"
    """Master of the local Connect server: `local[n]` or `spark://host:7077`."""
    spark_driver_memory: str = "2g"

    session_timeout_s: int = 1800
    """Received time without an event after which a session has ended; also the gap that splits derived sessions."""
    live_freeze_after_s: int = 300
    """Received time after the end of a minute until its live numbers no longer change."""
    stream_workers: int = 1
    stream_cmcd_workers: int = 1
    """Workers that make sessions of players' reports (CMCD). 0 where no player sends any."""
    stream_flush_s: float = 1.0
    """Longest time between an event's arrival and the state record that holds it."""
    sink_commit_s: float = 1.0
    sink_commit_rows: int = 100_000
    collector_max_body_bytes: int = 2_000_000
    """Largest body of a request, as it comes and unpacked."""
    collector_max_events: int = 10_000
    """Most events in one request."""
    collector_max_event_bytes: int = 500_000
    """Largest event; the topics' max.message.bytes must be twice that, because dead letters are base64."""
    collector_max_depth: int = 32
    """How deep objects and arrays of an event may be nested."""
    collector_max_connections: int = 2000
    """Most connections of one client network (/24, /48); a trusted proxy may have any number."""
    collector_keys_file: str = ""
    """File of write keys (`streams/intake/access.py` shows its form). Empty: none are asked for, which is allowed on
    loopback only; `none`: none are asked for, wherever the collector listens."""
    collector_allow_origins: str = "*"
    """Web pages that may send: exact origins, comma-separated; `*`: all. Empty: none."""
    collector_network_events_per_s: float = 0.0
    """Events a second that each client network may send, ten seconds' worth at once; 0: no limit. Those of a write key
    stand in the file of keys."""
    collector_trusted_proxies: str = ""
    """Networks (10.0.0.0/8, ...) of proxies whose X-Forwarded-For and country header are believed."""
    collector_country_header: str = ""
    """Header in which a trusted proxy names the client's country, e.g. `cf-ipcountry`."""
    collector_country_file: str = ""
    """A database (mmdb) of networks and countries. Without one, and without the header, no country is added."""
    collector_remembered_ids: int = 400_000
    """Ids of the last events, by which repetitions are known, 70 bytes each; beyond them silver keeps an event once."""
    collector_spool_after_s: float = 1.0
    """How long the collector waits for the broker's acknowledgement before its spool takes the records."""
    collector_spool_bytes: int = 2_000_000_000
    """Room of the spool: seconds of an outage × events a second × (bytes of an event + 40). The default lasts ten
    minutes at 10,000 events of 290 bytes a second. When it is full, the collector answers 503."""

    alert_rules: str = ""
    """Folder of alert rules (*.toml). Empty: those that ship, `streams/alerts/rules`."""
    alert_webhook_file: str = ""
    """File with the address that alerts are posted to, which often is a secret itself. Empty: only the log tells."""
    alert_settle_s: float = 30.0
    """How long after its end a minute is judged."""
    alert_false_alarms_per_day: float = 0.1
    """What chance may do: the automatic rule's limit follows from it and from how many cohorts there are."""

    simulated_viewers: int = 0
    """Simulated accounts an hour that keep watching while the platform runs, for a demonstration. 0: none."""

    silver_every_minutes: int = 60
    """Airflow's timetable of the silver job."""
    recent_days: int = 14
    """How many days of sessions are published for SQL beside gold."""
    query_timeout_s: float = 30.0
    query_max_rows: int = 100_000
    query_memory_bytes: int = 512_000_000
    query_max_bytes: int = 64_000_000
    """Largest answer in Arrow form."""
    query_concurrency: int = 4
    """Users' queries that run at once; more wait a few seconds and are then turned away."""
    query_threads: int = 1
    """Threads of one query. More than a core for each of `query_concurrency` queries, and they wait for each other."""
    query_warm: int = 2
    """Sandbox processes kept ready."""
    query_stall_s: float = 10.0
    """Longest time that a reader may take over a piece of a long answer; then it is cut off."""
    server_keys: str = ""
    """Who needs an API key (`playlake key`). Empty: everybody but whoever asks a server on loopback; `always`: he too;
    `none`: nobody, wherever the server listens."""
    query_per_minute: int = 300
    """Queries a minute of an API key that has no limit of its own; 0: no limit."""
    query_at_once: int = 3
    """Queries of such a key that run or wait at once; fewer than `query_concurrency`, so that no key takes every place.
    0: no limit."""
    query_log_bytes: int = 32_000_000
    """Size of a file of the audit log; `query_log_files` older ones are kept."""
    query_log_files: int = 10
    live_max_rows: int = 60_000
    """Live rows (minute × rollup × dimensions) that the server keeps; beyond it the oldest go and a gap is shown."""

    failpoints: str = ""
    """For tests: where a process is to end or stop itself (`infra/failpoints.py`)."""

    def __post_init__(self) -> None:
        """Raises SettingsError for a lake that nothing here could work on, or queries that no thread would answer."""
        if self.query_threads < 1:
            msg = f"{PREFIX}QUERY_THREADS must be 1 or more, got {self.query_threads}"
            raise SettingsError(msg)
        if "://" in self.lake:
            msg = (
                f"{PREFIX}LAKE must be a folder, e.g. /data/lake, got {self.lake}: sink, batch and warehouse flush, "
                "link and rename files, which an object store does not do"
            )
            raise SettingsError(msg)
        if self.lake:  # one folder, wherever a child process works
            object.__setattr__(self, "lake", str(Path(self.lake).absolute()))

    @property
    def embedded_kafka(self) -> bool:
        return not self.kafka_bootstrap

    @property
    def bootstrap(self) -> str:
        return self.kafka_bootstrap or f"{self.host}:{self.kafka_port}"

    @property
    def lake_root(self) -> str:
        return self.lake or str(self.home / "lake")

    @property
    def warehouse(self) -> Path:
        return self.home / "warehouse"

    @property
    def server_keys_file(self) -> Path:
        return self.home / "server_keys.json"

    @property
    def query_log(self) -> Path:
        return self.home / "query_log" / "queries.jsonl"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def collector_spool(self) -> Path:
        return self.home / "collector" / "spool"

    @property
    def spark_url(self) -> str:
        return self.spark_remote or f"sc://{self.host}:{self.spark_port}"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read `PLAYLAKE_*`. Raises SettingsError for an unknown name or a value of the wrong type."""
        env = os.environ if environ is None else environ
        types = get_type_hints(cls)
        names = {PREFIX + f.name.upper(): f.name for f in fields(cls)}
        unknown = sorted(k for k in env if k.startswith(PREFIX) and k not in names)
        if unknown:
            msg = f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(names))}"
            raise SettingsError(msg)
        return cls(**{name: _parse(var, env[var], types[name]) for var, name in names.items() if var in env})

    def to_env(self) -> dict[str, str]:
        """The settings that differ from the defaults, as variables for a child process."""
        plain = Settings()
        return {
            PREFIX + f.name.upper(): str(getattr(self, f.name))
            for f in fields(self)
            if getattr(self, f.name) != getattr(plain, f.name)
        }


def _parse(var: str, text: str, kind: type) -> Any:
    try:
        return Path(text).absolute() if kind is Path else kind(text)
    except ValueError:
        msg = f"{var} must be {'a whole number' if kind is int else f'of type {kind.__name__}'}, got {text!r}"
        raise SettingsError(msg) from None
