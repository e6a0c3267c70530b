"""All three clients reach a secured broker by settings alone: librdkafka, aiokafka (and so Faust), Java."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra import broker as embedded
from infra import topics as kafka_topics
from infra.errors import SettingsError
from infra.kafka import (
    aiokafka_config,
    client_config,
    consumer_config,
    faust_credentials,
    java_properties,
    producer_config,
    properties,
)
from infra.settings import Settings
from schemas.topic import Topic
from tests.conftest import RunningBroker, isolated_settings
from tests.infra import certificates
from tests.streams.transport.world import SmallApp, committed, until

SECRET = 'pass"wö\\rd, with=[everything]\n'
ONE = Topic(name="one", partitions=1)


def scram(settings: Settings, mechanism: str) -> Settings:
    """With a login; the file ends in a line end, as files do."""
    file = settings.home.parent / "password"
    file.write_text(SECRET)
    return replace(
        settings,
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_mechanism=mechanism,
        kafka_sasl_username="playlake",
        kafka_sasl_password_file=str(file),
    )


def speak_tls(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make the embedded broker, which has no TLS of its own, stand for a cluster that asks for certificates."""
    folder = settings.home.parent
    certificates.write(folder)
    plain, secure = settings.kafka_security_protocol, settings.kafka_security_protocol.replace("PLAINTEXT", "SSL")
    config = {
        name.replace(plain.lower(), secure.lower()): value
        if name == "listener.security.protocol.map"
        else value.replace(plain, secure)
        for name, value in embedded.server_properties(settings).items()
    } | {
        "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,{secure}:{secure}",
        # Under the listener's own name: Kafka passes over the general one where there is a login as well.
        f"listener.name.{secure.lower()}.ssl.client.auth": "required",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": (folder / "broker.pem").read_text(),
        "ssl.keystore.key": (folder / "broker.key").read_text(),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": (folder / "ca.pem").read_text(),
    }
    monkeypatch.setattr(embedded, "server_properties", lambda _: config)
    return replace(
        settings,
        kafka_security_protocol=secure,
        kafka_ssl_ca_file=str(folder / "ca.pem"),
        kafka_ssl_certificate_file=str(folder / "client.pem"),
        kafka_ssl_key_file=str(folder / "client.key"),
    )


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("SASL_PLAINTEXT", marks=pytest.mark.long),
        "SASL_SSL",
        pytest.param("SSL", marks=pytest.mark.long),
    ],
)
def secured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a cluster that is somebody else's, with one topic."""
    settings = isolated_settings(tmp_path_factory.mktemp("secured") / "home")
    if request.param.startswith("SASL"):
        settings = scram(settings, "SCRAM-SHA-256" if request.param == "SASL_PLAINTEXT" else "SCRAM-SHA-512")
    with pytest.MonkeyPatch.context() as patch:
        if request.param.endswith("SSL"):
            settings = speak_tls(settings, patch)
        running = RunningBroker(settings)
    settings = replace(settings, kafka_bootstrap=settings.bootstrap)
    kafka_topics.ensure_topics(settings, [ONE])
    yield settings
    running.stop()


def java_describes_topic(settings: Settings) -> subprocess.CompletedProcess[str]:
    file = settings.home / "client.properties"
    file.touch(mode=0o600)
    file.write_text(java_properties(settings) + "request.timeout.ms=5000\ndefault.api.timeout.ms=8000\n")
    where = ["--bootstrap-server", settings.bootstrap, "--command-config", str(file)]
    what = ["--describe", "--all", "--entity-type", "topics", "--entity-name", "one"]
    argv = embedded.tool(settings, "kafka.admin.ConfigCommand", *where, *what)
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.kafka
async def test_three_clients_reach_a_secured_broker_by_settings_alone(secured: Settings) -> None:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
    from confluent_kafka import Consumer, Producer
    from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

    native = Producer(producer_config(secured))
    native.produce("one", b"from librdkafka")
    assert native.flush(20) == 0

    async with AIOKafkaProducer(**aiokafka_config(secured)) as asynchronous:
        await asynchronous.send_and_wait("one", b"from aiokafka")
    as_faust = credentials_to_aiokafka_auth(faust_credentials(secured), None)
    async with AIOKafkaConsumer(
        "one", bootstrap_servers=secured.bootstrap, auto_offset_reset="earliest", **as_faust
    ) as reader:
        assert [(await reader.getone()).value for _ in range(2)] == [b"from librdkafka", b"from aiokafka"]

    consumer = Consumer(consumer_config(secured, "g"))
    consumer.subscribe(["one"])
    assert [message.value() for message in consumer.consume(2, timeout=20)] == [b"from librdkafka", b"from aiokafka"]
    consumer.close()

    told = java_describes_topic(secured)
    assert told.returncode == 0, told.stderr
    assert "message.timestamp.type=LogAppendTime" in told.stdout


@pytest.mark.kafka
@pytest.mark.long
@pytest.mark.parametrize("secured", ["SASL_SSL"], indirect=True)
async def test_the_streams_batch_transport_reaches_a_secured_broker(secured: Settings) -> None:
    """It speaks through two clients: librdkafka fetches, aiokafka is the member of the group."""
    from confluent_kafka import Producer

    native = Producer(producer_config(secured))
    native.produce("one", b"through the transport")
    assert native.flush(20) == 0
    small = SmallApp(secured, "one", "through-the-transport")
    async with small.running():
        await until(lambda: b"through the transport" in small.values)
        await until(lambda: committed(secured, "through-the-transport", "one") == len(small.values))


@pytest.mark.kafka
async def test_nobody_gets_in_without_the_secret(secured: Settings, tmp_path: Path) -> None:
    from aiokafka import AIOKafkaProducer
    from aiokafka.errors import KafkaError

    if secured.kafka_security_protocol == "SASL_PLAINTEXT":
        (tmp_path / "wrong").write_text("wrong")
        wrong = replace(secured, kafka_sasl_password_file=str(tmp_path / "wrong"))
    else:
        wrong = replace(secured, kafka_ssl_certificate_file="", kafka_ssl_key_file="")
    assert not kafka_topics.is_ready(wrong, timeout_s=3)
    producer = AIOKafkaProducer(**aiokafka_config(wrong))
    with pytest.raises(KafkaError):
        await producer.start()
    await producer.stop()
    assert java_describes_topic(wrong).returncode != 0


def test_contradictions_are_named(settings: Settings, tmp_path: Path) -> None:
    for wrong, message in (
        ({"kafka_security_protocol": "SASL"}, "must be one of PLAINTEXT, SSL"),
        ({"kafka_security_protocol": "SASL_SSL"}, "needs kafka_sasl_mechanism, one of PLAIN, SCRAM"),
        ({"kafka_sasl_mechanism": "PLAIN"}, "expected SASL_"),
        ({"kafka_ssl_key_file": "x"}, "go together"),
    ):
        with pytest.raises(SettingsError, match=message):
            client_config(replace(settings, **wrong))  # type: ignore[arg-type]
    gone = replace(scram_settings(settings), kafka_sasl_password_file=str(tmp_path / "gone"))
    with pytest.raises(SettingsError, match=r"kafka_sasl_password_file must name a readable file, got .*gone"):
        client_config(gone)


def scram_settings(settings: Settings) -> Settings:
    return replace(
        settings,
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="PLAIN",
        kafka_sasl_username="u",
    )


def test_a_value_of_several_lines_stays_one_property() -> None:
    assert properties({"a": "1\n2\\3", "b": "ö𝄞"}) == "a=1\\n2\\\\3\nb=\\u00f6\\ud834\\udd1e\n"


@pytest.mark.kafka
def test_a_broker_formatted_for_another_login_is_refused(tmp_path: Path) -> None:
    settings = scram(isolated_settings(tmp_path / "home"), "SCRAM-SHA-256")
    embedded.prepare(settings)
    embedded.prepare(settings)
    with pytest.raises(
        SettingsError, match="formatted for the login 'SCRAM-SHA-256 playlake', the settings say 'none'"
    ):
        embedded.prepare(replace(settings, kafka_security_protocol="PLAINTEXT", kafka_sasl_mechanism=""))
    secret = SECRET.strip()
    for file in embedded.folder(settings).glob("*"):
        if file.is_file() and secret in file.read_text():
            assert file.stat().st_mode & 0o077 == 0
