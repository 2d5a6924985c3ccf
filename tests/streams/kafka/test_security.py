"""A secured broker is reached with the same settings by every client library."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import faust
import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from streams.brokers.kafka import HOST, KafkaServer, free_port
from streams.config.settings import Broker
from streams.kafka.errors import BrokerError
from streams.kafka.security import MECHANISMS, for_aiokafka, for_faust, for_librdkafka

SASL = {
    "security.protocol": "SASL_SSL",
    "sasl.mechanism": "PLAIN",
    "sasl.username": "sluice",
    "sasl.password": "a secret",
}


def secured(security: Mapping[str, str | int | float | bool]) -> Broker:
    return Broker(servers="127.0.0.1:9092", security=dict(security))


class TestTranslation:
    def test_plaintext_needs_nothing(self) -> None:
        """Without settings Faust is told nothing, and the others only the address."""
        broker = Broker(servers="a:1,b:2")
        assert for_faust(broker) == {}
        assert for_librdkafka(broker) == {"bootstrap.servers": "a:1,b:2"}
        assert for_aiokafka(broker) == {
            "bootstrap_servers": ["a:1", "b:2"],
            "security_protocol": "PLAINTEXT",
        }

    @pytest.mark.parametrize("mechanism", MECHANISMS)
    @pytest.mark.parametrize("protocol", ["sasl_plaintext", "SASL_SSL"])
    def test_sasl(self, protocol: str, mechanism: str) -> None:
        """Name, password and mechanism arrive at aiokafka, by Faust too."""
        broker = secured({**SASL, "security.protocol": protocol, "sasl.mechanism": mechanism})
        found = for_aiokafka(broker)
        assert found["security_protocol"] == protocol.upper()
        assert found["sasl_mechanism"] == mechanism
        assert found["sasl_plain_username"] == "sluice"
        assert found["sasl_plain_password"] == "a secret"
        assert ("ssl_context" in found) == (protocol == "SASL_SSL")
        credentials = for_faust(broker)["broker_credentials"]
        by_faust = credentials_to_aiokafka_auth(credentials)
        for name in ("security_protocol", "sasl_mechanism", "sasl_plain_password"):
            assert by_faust[name] == found[name]

    def test_tls_alone(self) -> None:
        """A TLS context that checks certificate and host name."""
        credentials = for_faust(secured({"security.protocol": "ssl"}))["broker_credentials"]
        assert isinstance(credentials, faust.SSLCredentials)
        assert credentials.context.verify_mode == ssl.CERT_REQUIRED
        assert credentials.context.check_hostname

    @pytest.mark.parametrize(
        ("key", "value", "verify", "host"),
        [
            ("ssl.endpoint.identification.algorithm", "none", ssl.CERT_REQUIRED, False),
            ("enable.ssl.certificate.verification", False, ssl.CERT_NONE, False),
            ("enable.ssl.certificate.verification", "true", ssl.CERT_REQUIRED, True),
        ],
    )
    def test_checks_are_loosened_only_by_name(
        self, key: str, value: str | bool, verify: ssl.VerifyMode, host: bool
    ) -> None:
        """Each of librdkafka's two settings loosens what it loosens there."""
        context = for_aiokafka(secured({"security.protocol": "ssl", key: value}))["ssl_context"]
        assert (context.verify_mode, context.check_hostname) == (verify, host)

    @pytest.mark.parametrize(
        ("security", "words"),
        [
            ({"security.protocol": "tls"}, "security.protocol is 'tls'; it must be one of"),
            ({**SASL, "sasl.mechanism": "GSSAPI"}, "sasl.mechanism is 'GSSAPI'; it must be"),
            ({"security.protocol": "sasl_ssl"}, "sasl.mechanism is ''; it must be"),
            ({"sasl.kerberos.principal": "x"}, "'sasl.kerberos.principal' has no counterpart"),
            (
                {"security.protocol": "ssl", "ssl.ca.location": "/no/such.pem"},
                "No such file.*ssl.ca.location=/no/such.pem",
            ),
        ],
    )
    def test_what_cannot_be_translated_is_refused(
        self, security: dict[str, str], words: str
    ) -> None:
        """The error names the setting; nothing is left out in silence."""
        with pytest.raises(BrokerError, match=words):
            for_faust(secured(security))

    def test_errors_and_representations_hide_the_password(self) -> None:
        """A secret is in no text that could reach a log."""
        broker = secured({**SASL, "sasl.mechanism": "GSSAPI"})
        with pytest.raises(BrokerError) as caught:
            for_faust(broker)
        credentials = for_faust(secured(SASL))["broker_credentials"]
        for text in (str(caught.value), repr(broker), repr(credentials)):
            assert "a secret" not in text


@dataclass(frozen=True)
class Secured:
    servers: str
    authority: str


@pytest.fixture(scope="module")
def sasl_kafka(can_run_kafka: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A real Kafka with a listener that wants TLS and a password."""
    folder = tmp_path_factory.mktemp("secured")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{HOST}"]
    try:
        subprocess.run(
            [*made, *names, "-keyout", str(key), "-out", str(certificate)],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        pytest.skip("needs openssl to make a certificate")
    (folder / "store.pem").write_text(key.read_text() + certificate.read_text())
    server = KafkaServer(folder / "kafka", heap="512m")
    port = free_port()
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    server.settings = {
        "listeners": f"PLAINTEXT://{HOST}:{server.port},CONTROLLER://{HOST}:"
        f"{server.controller_port},SECURED://{HOST}:{port}",
        "advertised.listeners": f"PLAINTEXT://{server.servers},SECURED://{HOST}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
        "SECURED:SASL_SSL",
        "listener.name.secured.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secured.plain.sasl.jaas.config": f"{module} required "
        f'user_{SASL["sasl.username"]}="{SASL["sasl.password"]}";',
        "listener.name.secured.ssl.keystore.type": "PEM",
        "listener.name.secured.ssl.keystore.location": str(folder / "store.pem"),
    }
    with server:
        server.create({"secured": 1})
        yield Secured(f"{HOST}:{port}", str(certificate))


@pytest.mark.kafka
class TestSecuredKafka:
    async def test_both_libraries_reach_it(self, sasl_kafka: Secured) -> None:
        """The same settings open the same door for librdkafka and for aiokafka."""
        broker = Broker(
            servers=sasl_kafka.servers,
            security={**SASL, "ssl.ca.location": sasl_kafka.authority},
        )
        assert "secured" in AdminClient(for_librdkafka(broker)).list_topics(timeout=20).topics
        producer = AIOKafkaProducer(**for_aiokafka(broker))
        await producer.start()
        try:
            assert (await producer.send_and_wait("secured", b"x")).offset == 0
        finally:
            await producer.stop()

    def test_a_wrong_password_is_refused(self, sasl_kafka: Secured) -> None:
        """The door is really locked, so the test above says something."""
        wrong = {**SASL, "sasl.password": "wrong", "ssl.ca.location": sasl_kafka.authority}
        broker = Broker(servers=sasl_kafka.servers, security={**wrong})
        admin = AdminClient({**for_librdkafka(broker), "log_level": 0})
        with pytest.raises(KafkaException):
            admin.list_topics(timeout=3)
