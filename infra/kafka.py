"""How every client reaches Kafka, from Settings alone.

Three client families talk to the same brokers: librdkafka (confluent-kafka), aiokafka (Faust) and Java. Each has its
own words for the same security settings; here is the only translation. A password comes from a file and is passed in
memory or in a file of mode 0600, never in argv.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.errors import SettingsError
from infra.settings import Settings

if TYPE_CHECKING:
    from faust.types.auth import CredentialsT

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

FETCH_ON = {"fetch.queue.backoff.ms": 10}
"""For every consumer of librdkafka. One whose queue is full, as it always is under load, rests before it fetches on: by
default for a second, in which it would idle."""


def check_security(settings: Settings) -> None:
    """Raise SettingsError when the security settings contradict each other."""
    protocol, mechanism = settings.kafka_security_protocol, settings.kafka_sasl_mechanism
    if protocol not in PROTOCOLS:
        msg = f"kafka_security_protocol must be one of {', '.join(PROTOCOLS)}, got {protocol!r}"
        raise SettingsError(msg)
    if uses_sasl(settings):
        if mechanism not in MECHANISMS:
            msg = f"{protocol} needs kafka_sasl_mechanism, one of {', '.join(MECHANISMS)}, got {mechanism!r}"
            raise SettingsError(msg)
        if not settings.kafka_sasl_username or not settings.kafka_sasl_password_file:
            msg = f"{protocol} needs kafka_sasl_username and kafka_sasl_password_file"
            raise SettingsError(msg)
    elif mechanism:
        msg = f"kafka_sasl_mechanism is {mechanism}, but kafka_security_protocol is {protocol}; expected SASL_*"
        raise SettingsError(msg)
    if bool(settings.kafka_ssl_certificate_file) != bool(settings.kafka_ssl_key_file):
        msg = "kafka_ssl_certificate_file and kafka_ssl_key_file go together; only one of them is set"
        raise SettingsError(msg)


def uses_sasl(settings: Settings) -> bool:
    return settings.kafka_security_protocol.startswith("SASL_")


def uses_tls(settings: Settings) -> bool:
    return settings.kafka_security_protocol.endswith("SSL")


def password(settings: Settings) -> str:
    """The SASL password, from its file (a trailing line end does not count)."""
    return _read(settings.kafka_sasl_password_file, "kafka_sasl_password_file").rstrip("\r\n")


def client_config(settings: Settings, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """librdkafka: where the brokers are and how to log in. `extra` holds more of its properties, by their own names."""
    check_security(settings)
    config: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap,
        "security.protocol": settings.kafka_security_protocol,
        "client.id": "playlake",
    }
    if uses_sasl(settings):
        config["sasl.mechanism"] = settings.kafka_sasl_mechanism
        config["sasl.username"] = settings.kafka_sasl_username
        config["sasl.password"] = password(settings)
    if uses_tls(settings):
        if settings.kafka_ssl_ca_file:
            config["ssl.ca.location"] = settings.kafka_ssl_ca_file
        if settings.kafka_ssl_certificate_file:
            config["ssl.certificate.location"] = settings.kafka_ssl_certificate_file
            config["ssl.key.location"] = settings.kafka_ssl_key_file
    return config | dict(extra or {})


def producer_config(settings: Settings, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """librdkafka producer: acknowledged means on all replicas, once, in order; keys partitioned as Java does it."""
    durable = {"acks": "all", "enable.idempotence": True, "partitioner": "murmur2_random"}
    return client_config(settings, durable | dict(extra or {}))


def consumer_config(settings: Settings, group: str, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """librdkafka consumer that starts at the beginning and commits only what it is told to."""
    config = {
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        **FETCH_ON,
    }
    return client_config(settings, config | dict(extra or {}))


def aiokafka_config(settings: Settings) -> dict[str, Any]:
    """Keyword arguments of any aiokafka client."""
    check_security(settings)
    config: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap,
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": _ssl_context(settings),
    }
    if uses_sasl(settings):
        config["sasl_mechanism"] = settings.kafka_sasl_mechanism
        config["sasl_plain_username"] = settings.kafka_sasl_username
        config["sasl_plain_password"] = password(settings)
    return config


def faust_credentials(settings: Settings) -> CredentialsT | None:
    """Faust's `broker_credentials`; None for PLAINTEXT."""
    import faust

    check_security(settings)
    context = _ssl_context(settings)
    if uses_sasl(settings):
        return faust.SASLCredentials(
            username=settings.kafka_sasl_username,
            password=password(settings),
            mechanism=settings.kafka_sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None


def faust_brokers(settings: Settings) -> list[str]:
    """Faust's `broker`: one URL a broker."""
    return [f"aiokafka://{address.strip()}" for address in settings.bootstrap.split(",")]


def java_properties(settings: Settings) -> str:
    """Text of a properties file for Java clients and tools. It holds the password: write it with mode 0600."""
    check_security(settings)
    config = {"bootstrap.servers": settings.bootstrap, "security.protocol": settings.kafka_security_protocol}
    if uses_sasl(settings):
        config["sasl.mechanism"] = settings.kafka_sasl_mechanism
        config["sasl.jaas.config"] = jaas(settings)
    if uses_tls(settings):
        if settings.kafka_ssl_ca_file:
            config["ssl.truststore.type"] = "PEM"
            config["ssl.truststore.certificates"] = _read(settings.kafka_ssl_ca_file, "kafka_ssl_ca_file")
        if settings.kafka_ssl_certificate_file:
            chain = _read(settings.kafka_ssl_certificate_file, "kafka_ssl_certificate_file")
            config["ssl.keystore.type"] = "PEM"
            config["ssl.keystore.certificate.chain"] = chain
            config["ssl.keystore.key"] = _read(settings.kafka_ssl_key_file, "kafka_ssl_key_file")
    return properties(config)


def jaas(settings: Settings) -> str:
    """Java's login line for the SASL settings."""
    kind = "plain.Plain" if settings.kafka_sasl_mechanism == "PLAIN" else "scram.Scram"
    quoted = [_quote(text) for text in (settings.kafka_sasl_username, password(settings))]
    module = f"org.apache.kafka.common.security.{kind}LoginModule"
    return f"{module} required username={quoted[0]} password={quoted[1]};"


def properties(config: Mapping[str, str]) -> str:
    """A Java properties file. It is read as Latin-1, so backslashes, line ends and all beyond ASCII are escaped."""
    return "".join(f"{name}={''.join(map(_escaped, value))}\n" for name, value in config.items())


def _ssl_context(settings: Settings) -> ssl.SSLContext | None:
    if not uses_tls(settings):
        return None
    context = ssl.create_default_context(cafile=settings.kafka_ssl_ca_file or None)
    if settings.kafka_ssl_certificate_file:
        context.load_cert_chain(settings.kafka_ssl_certificate_file, settings.kafka_ssl_key_file)
    return context


def _read(path: str, setting: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        msg = f"{setting} must name a readable file, got {path!r}: {error.strerror}"
        raise SettingsError(msg) from None


def _escaped(character: str) -> str:
    if character.isascii():
        return {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}.get(character, character)
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
