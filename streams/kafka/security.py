"""SASL and TLS: librdkafka's own settings, as configured, and the same for aiokafka and Faust.

librdkafka (producers, workers, admin) takes the settings as they are. Faust reaches the broker
through aiokafka, which has the common ones under other names; what it does not support is refused
at the start rather than ignored.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Protocol

from streams.kafka.errors import BrokerError

Settings = Mapping[str, str | int | float | bool]

PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
UNDERSTOOD = frozenset(
    {
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.password",
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.endpoint.identification.algorithm",
        "enable.ssl.certificate.verification",
    }
)


class Secured(Protocol):
    """A configured broker, as far as needed here (see `streams.config.settings.Broker`)."""

    @property
    def servers(self) -> str:
        """Bootstrap addresses, "host:port,host:port"."""
        ...

    @property
    def security(self) -> Settings:
        """librdkafka's own keys: security.protocol, sasl.*, ssl.*."""
        ...


def for_librdkafka(broker: Secured) -> dict[str, Any]:
    """The connection settings of confluent-kafka's clients: address and security."""
    return {"bootstrap.servers": broker.servers, **broker.security}


def for_aiokafka(broker: Secured) -> dict[str, Any]:
    """The connection settings of aiokafka's clients, as keyword arguments.

    Raises:
        BrokerError: aiokafka does not know a setting, or a file cannot be read.
    """
    security = broker.security
    protocol = _protocol(security)
    arguments: dict[str, Any] = {
        "bootstrap_servers": broker.servers.split(","),
        "security_protocol": protocol.upper(),
    }
    if protocol.startswith("sasl"):
        arguments["sasl_mechanism"] = _mechanism(security)
        arguments["sasl_plain_username"] = str(security.get("sasl.username", ""))
        arguments["sasl_plain_password"] = str(security.get("sasl.password", ""))
    if protocol.endswith("ssl"):
        arguments["ssl_context"] = _context(security)
    return arguments


def for_faust(broker: Secured) -> dict[str, Any]:
    """The security settings of `faust.App`, as keyword arguments; none for plaintext.

    Raises:
        BrokerError: as `for_aiokafka` does.
    """
    arguments = for_aiokafka(broker)
    if arguments["security_protocol"] == "PLAINTEXT":
        return {}
    import faust  # costs half a second, which the command line's other users need not pay

    context = arguments.get("ssl_context")
    if "sasl_mechanism" not in arguments:
        return {"broker_credentials": faust.SSLCredentials(context)}
    return {
        "broker_credentials": faust.SASLCredentials(
            username=arguments["sasl_plain_username"],
            password=arguments["sasl_plain_password"],
            mechanism=arguments["sasl_mechanism"],
            ssl_context=context,
        )
    }


def _protocol(security: Settings) -> str:
    for key in security:
        if key not in UNDERSTOOD:
            raise BrokerError(
                f"broker.security: {key!r} has no counterpart in aiokafka, which the router uses; "
                f"there are: {', '.join(sorted(UNDERSTOOD))}"
            )
    protocol = str(security.get("security.protocol", "plaintext")).lower()
    if protocol not in PROTOCOLS:
        raise BrokerError(
            f"broker.security: security.protocol is {protocol!r}; "
            f"it must be one of {', '.join(PROTOCOLS)}"
        )
    return protocol


def _mechanism(security: Settings) -> str:
    mechanism = str(security.get("sasl.mechanism", security.get("sasl.mechanisms", "")))
    if mechanism not in MECHANISMS:
        raise BrokerError(
            f"broker.security: sasl.mechanism is {mechanism!r}; "
            f"it must be one of {', '.join(MECHANISMS)}"
        )
    return mechanism


def _context(security: Settings) -> ssl.SSLContext:
    """A client's TLS context. Raises BrokerError for files that are missing or no certificates."""
    try:
        context = ssl.create_default_context(
            cafile=_text(security, "ssl.ca.location"), cadata=_text(security, "ssl.ca.pem")
        )
        if certificate := _text(security, "ssl.certificate.location"):
            password = security.get("ssl.key.password")
            context.load_cert_chain(
                certificate,
                _text(security, "ssl.key.location"),
                None if password is None else str(password),
            )
    except OSError as error:  # ssl.SSLError is one
        named = [f"{key}={value}" for key, value in security.items() if key.endswith("location")]
        raise BrokerError(f"broker.security: {error} ({', '.join(named)})") from None
    if str(security.get("ssl.endpoint.identification.algorithm", "https")).lower() == "none":
        context.check_hostname = False
    if str(security.get("enable.ssl.certificate.verification", "true")).lower() == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _text(security: Settings, key: str) -> str | None:
    value = security.get(key)
    return None if value is None else str(value)
