"""The embedded Kafka broker: one KRaft node on loopback, prepared from Settings and run from its jars.

`prepare` writes server.properties and formats the storage once; `command` is what the supervisor runs. With
`kafka_security_protocol` SASL_PLAINTEXT and a SCRAM mechanism the broker asks for the very login that the clients use.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from infra import java
from infra.errors import SettingsError, SetupError
from infra.health import advertised
from infra.kafka import check_security, jaas, password, properties, uses_sasl
from infra.settings import Settings

LOG4J2 = Path(__file__).with_name("log4j2.properties")
MAX_MESSAGE_BYTES = 16_777_216
SCRAM_ITERATIONS = 8192
LOOPBACK = "127.0.0.1"
"""Where the controller listens, whatever `host` says: only this node talks to it, and without a login."""


def folder(settings: Settings) -> Path:
    """Where the broker keeps its configuration and its data."""
    return settings.home / "kafka"


def server_properties(settings: Settings) -> dict[str, str]:
    """The node's configuration. Raises SettingsError for a security protocol that it does not offer."""
    check_security(settings)
    listener, host = settings.kafka_security_protocol, settings.host
    controller = f"{LOOPBACK}:{settings.kafka_controller_port}"
    config = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{listener}://{host}:{settings.kafka_port},CONTROLLER://{controller}",
        "advertised.listeners": f"{listener}://{advertised(host)}:{settings.kafka_port}",
        "inter.broker.listener.name": listener,
        "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,{listener}:{listener}",
        "log.dirs": str(folder(settings) / "data"),
        # A topic exists because its contract says so, never because somebody misspelt a name.
        "auto.create.topics.enable": "false",
        "num.partitions": str(settings.topic_partitions),
        "group.initial.rebalance.delay.ms": "0",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "message.max.bytes": str(MAX_MESSAGE_BYTES),
        "log.segment.bytes": "268435456",
        "log.cleaner.dedupe.buffer.size": "16777216",
        "num.network.threads": "2",
        "num.io.threads": "4",
    }
    if listener == "PLAINTEXT":
        return config
    if listener != "SASL_PLAINTEXT" or not settings.kafka_sasl_mechanism.startswith("SCRAM-"):
        msg = (
            "the embedded broker offers PLAINTEXT, or SASL_PLAINTEXT with a SCRAM mechanism; got "
            f"{listener} {settings.kafka_sasl_mechanism}. For TLS set kafka_bootstrap to a cluster that has it."
        )
        raise SettingsError(msg)
    mechanism = settings.kafka_sasl_mechanism
    return config | {
        "sasl.enabled.mechanisms": mechanism,
        "sasl.mechanism.inter.broker.protocol": mechanism,
        f"listener.name.{listener.lower()}.{mechanism.lower()}.sasl.jaas.config": jaas(settings),
    }


def prepare(settings: Settings) -> None:
    """Write the configuration; format the storage when it is new.

    Raises SettingsError when the storage was formatted for another login, SetupError when formatting fails.
    """
    home = folder(settings)
    home.mkdir(parents=True, exist_ok=True)
    _write_private(_config_file(settings), properties(server_properties(settings)))
    login = f"{settings.kafka_sasl_mechanism} {settings.kafka_sasl_username}" if uses_sasl(settings) else ""
    mark = home / "formatted.json"
    if mark.exists():
        before = json.loads(mark.read_text())["login"]
        if before != login:
            msg = (
                f"the broker's data in {home} was formatted for the login {before or 'none'!r}, the settings say "
                f"{login or 'none'!r}: use the former settings, or another home"
            )
            raise SettingsError(msg)
        return
    _format(settings, login)
    mark.write_text(json.dumps({"login": login}) + "\n")


def command(settings: Settings) -> list[str]:
    """The broker in the foreground."""
    return [
        *_java(settings),
        f"-Xms{settings.kafka_heap}",
        f"-Xmx{settings.kafka_heap}",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        # A broker without memory must die and be restarted, not linger.
        "-XX:+ExitOnOutOfMemoryError",
        "kafka.Kafka",
        str(_config_file(settings)),
    ]


def tool(settings: Settings, main: str, *args: str, heap: str = "128m") -> list[str]:
    """One of Kafka's own Java tools, e.g. `org.apache.kafka.tools...` or `kafka.tools.StorageTool`."""
    return [*_java(settings), f"-Xmx{heap}", "-XX:TieredStopAtLevel=1", main, *args]


def environment() -> Mapping[str, str]:
    """Nothing: the broker takes its settings from its file alone."""
    return {}


def _format(settings: Settings, login: str) -> None:
    # 22 characters of base64; a leading '-' would be read as an option.
    cluster = "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
    args = ["format", "--cluster-id", cluster, "--config", str(_config_file(settings)), "--ignore-formatted"]
    arguments = folder(settings) / "format.args"
    if login:
        args += ["--add-scram", _scram_record(settings)]
    # The tool reads arguments from a file, one a line: what proves the password is never in argv.
    _write_private(arguments, "\n".join(args) + "\n")
    try:
        done = subprocess.run(
            tool(settings, "kafka.tools.StorageTool", f"@{arguments}"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        with contextlib.suppress(FileNotFoundError):
            arguments.unlink()
    if done.returncode:
        msg = f"the broker's storage in {folder(settings)} can't be formatted: {(done.stderr or done.stdout).strip()}"
        raise SetupError(msg)


def _scram_record(settings: Settings) -> str:
    """The user as StorageTool takes it: salted (RFC 5802), so that a password may hold any character."""
    mechanism, salt = settings.kafka_sasl_mechanism, secrets.token_bytes(16)
    digest = mechanism.removeprefix("SCRAM-").replace("-", "").lower()
    salted = hashlib.pbkdf2_hmac(digest, password(settings).encode(), salt, SCRAM_ITERATIONS)
    fields = {
        "name": settings.kafka_sasl_username,
        "iterations": str(SCRAM_ITERATIONS),
        "salt": f'"{base64.b64encode(salt).decode()}"',
        "saltedpassword": f'"{base64.b64encode(salted).decode()}"',
    }
    return f"{mechanism}=[{','.join(f'{name}={value}' for name, value in fields.items())}]"


def _java(settings: Settings) -> list[str]:
    jars = settings.jars / "kafka"
    if not any(jars.glob("kafka_*.jar")):
        msg = f"Kafka's jars are not in {jars}; run `make setup`, or set kafka_bootstrap to an existing cluster"
        raise SetupError(msg)
    return [
        str(java.find(settings)),
        "-cp",
        f"{jars}/*",
        f"-Dlog4j2.configurationFile=file:{LOG4J2}",
        "-Djava.awt.headless=true",
        "-Djava.net.preferIPv4Stack=true",
        "-XX:-UsePerfData",
    ]


def _config_file(settings: Settings) -> Path:
    return folder(settings) / "server.properties"


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
