"""The one list of the platform's parts: how each is started, what it needs, where it listens, how its health shows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from infra import broker
from infra.airflow import environment as airflow
from infra.errors import SettingsError
from infra.health import AirflowHeartbeat, Check, GrpcAnswers, Http, KafkaAnswers, reachable
from infra.settings import ROOT, Settings
from infra.spark import connect

PLAYLAKE = str(Path(sys.executable).with_name("playlake"))


@dataclass(frozen=True, kw_only=True)
class Part:
    """A process that the supervisor starts and keeps up, or (`once`) runs to its end."""

    name: str
    argv: Callable[[], list[str]]
    """Called right before the start, after `prepare`; may raise SetupError."""
    env: Callable[[], Mapping[str, str]] = dict
    """Variables beside the settings."""
    cwd: Path = ROOT
    needs: tuple[str, ...] = ()
    """Parts that must be up (or done) before."""
    ports: tuple[int, ...] = ()
    health: Check | None = None
    url: str = ""
    """What a person opens, or a client connects to."""
    once: bool = False
    is_done: Callable[[], bool] = field(default=lambda: False)
    """Of a part that runs once: whether an earlier `up` has done it."""
    prepare: Callable[[], None] = field(default=lambda: None)
    finish: Callable[[], None] = field(default=lambda: None)
    """Of a part that runs once: called when it has ended well."""
    grace_s: float = 10.0
    """How long it may take to end after SIGTERM."""
    start_timeout_s: float = 180.0


def parts(settings: Settings, without: Iterable[str] = ()) -> list[Part]:
    """All parts that the settings call for, less those whose name is, or begins with a word of, `without`."""
    every = [*_kafka(settings), *_spark(settings), *_streams(settings), _server(settings), *_airflow(settings)]
    left = [
        part for part in every if not any(part.name == word or part.name.startswith(f"{word}-") for word in without)
    ]
    unknown = [word for word in without if not any(p.name == word or p.name.startswith(f"{word}-") for p in every)]
    if unknown:
        msg = f"no part {', '.join(unknown)}; there are {', '.join(part.name for part in every)}"
        raise SettingsError(msg)
    return left


def _kafka(settings: Settings) -> list[Part]:
    topics = Part(
        name="topics",
        argv=lambda: [PLAYLAKE, "topics"],
        needs=("broker",) if settings.embedded_kafka else (),
        once=True,
    )
    if not settings.embedded_kafka:
        return [topics]
    embedded = Part(
        name="broker",
        argv=partial(broker.command, settings),
        prepare=partial(broker.prepare, settings),
        ports=(settings.kafka_port, settings.kafka_controller_port),
        health=KafkaAnswers(settings.host, settings.kafka_port),
        url=settings.bootstrap,
        grace_s=20.0,
    )
    return [embedded, topics]


def _spark(settings: Settings) -> list[Part]:
    if settings.spark_remote:
        return []
    server = Part(
        name="spark",
        argv=partial(connect.command, settings),
        env=partial(connect.environment, settings),
        cwd=connect.folder(settings),
        prepare=partial(connect.prepare, settings),
        ports=(settings.spark_port,),
        health=GrpcAnswers(settings.host, settings.spark_port),
        url=settings.spark_url,
        grace_s=20.0,
    )
    return [server]


def _streams(settings: Settings) -> list[Part]:
    collector = _python(settings, "collector", settings.collector_port, "streams.intake.collector")
    workers = [
        _python(settings, f"stream-{n}", settings.stream_metrics_port + 10 * n, "streams.app", "--worker", str(n))
        for n in range(settings.stream_workers)
    ]
    workers += [
        _python(
            settings,
            f"stream-cmcd-{n}",
            settings.stream_cmcd_metrics_port + 10 * n,
            "streams.app",
            *("--source", "cmcd", "--worker", str(n)),
        )
        for n in range(settings.stream_cmcd_workers)
    ]
    sink = _python(settings, "sink", settings.sink_metrics_port, "streams.bronze")
    alerts = _python(settings, "alerts", settings.alerts_port, "streams.alerts.worker")
    if not settings.simulated_viewers:
        return [collector, *workers, sink, alerts]
    live = ["--live", "--viewers", str(settings.simulated_viewers), "--minutes", "60"]
    # Ends with its hour and is started again for the next one.
    audience = Part(name="audience", argv=lambda: [PLAYLAKE, "simulate", *live], needs=("topics",))
    return [collector, *workers, sink, alerts, audience]


def _server(settings: Settings) -> Part:
    return _python(settings, "server", settings.server_port, "warehouse.server")


def _python(settings: Settings, name: str, port: int, module: str, *args: str) -> Part:
    """One of our own processes: it answers on its port and ends on SIGTERM."""
    url = f"http://{reachable(settings.host)}:{port}"
    return Part(
        name=name,
        argv=lambda: [sys.executable, "-m", module, *args],
        needs=("topics",),
        ports=(port,),
        health=Http(f"{url}/healthz"),
        url=url,
    )


def _airflow(settings: Settings) -> list[Part]:
    url = airflow.url(settings)
    env = partial(airflow.environment, settings)
    initialise = Part(
        name="airflow-init",
        argv=partial(airflow.initialise_command, settings),
        env=env,
        prepare=partial(airflow.prepare, settings),
        is_done=partial(airflow.is_initialised, settings),
        finish=partial(airflow.mark_initialised, settings),
        once=True,
    )
    checks: dict[str, Check] = {"api-server": Http(f"{url}/api/v2/monitor/health")}
    for name in ("scheduler", "triggerer", "dag-processor"):
        checks[name] = AirflowHeartbeat(url, name.replace("-", "_"))
    components = [
        Part(
            name=f"airflow-{name}",
            argv=partial(airflow.command, settings, name),
            env=env,
            # The scheduler's first run needs Spark: no use in failing it while Spark starts.
            needs=("airflow-init", "spark") if name == "scheduler" else ("airflow-init",),
            ports=(settings.airflow_port,) if name == "api-server" else (),
            health=checks[name],
            url=url if name == "api-server" else "",
            grace_s=20.0,
        )
        for name in airflow.COMPONENTS
    ]
    return [initialise, *components]
