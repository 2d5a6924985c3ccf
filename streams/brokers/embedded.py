"""A broker without installation: the mock cluster inside the confluent-kafka wheel.

It speaks the Kafka protocol over TCP on loopback, so any client of any process on this machine
can use it. It keeps everything in memory: at most 5 MiB and 100,000 messages per partition, then
it drops the oldest. It has no compaction, no transaction isolation and no admin API.
Once the last member of a consumer group has left, the next one waits for that member's
`session.timeout.ms` less a second (44 s by default): clients of this broker keep it short.

The functions called are those of librdkafka's `rdkafka_mock.h`, reached through ctypes on the
very library that confluent-kafka has loaded.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Self

import confluent_kafka

from streams.kafka.errors import BrokerError

logger = logging.getLogger(__name__)

PRODUCER = 0  # RD_KAFKA_PRODUCER: the mock cluster hangs on a client handle, of any kind


class EmbeddedBroker:
    """Run a mock cluster of one broker while the context is open.

    A topic that nobody created is created, with four partitions, when a client first asks for it.
    """

    def __init__(self, topics: Mapping[str, int] | None = None) -> None:
        """topics: the partitions of each topic to create at the start."""
        self._topics = dict(topics or {})
        self._client: int | None = None
        self._cluster: int | None = None
        self._servers = ""

    @property
    def servers(self) -> str:
        """The bootstrap address, "host:port". Raises BrokerError before the start."""
        self._running()
        return self._servers

    def start(self) -> None:
        """Start the broker and create its topics. Raises BrokerError where librdkafka cannot."""
        library = librdkafka()
        reason = ctypes.create_string_buffer(512)
        conf = library.rd_kafka_conf_new()
        # librdkafka prints the cluster's every move at its default level.
        library.rd_kafka_conf_set(conf, b"log_level", b"3", reason, len(reason))
        self._client = library.rd_kafka_new(PRODUCER, conf, reason, len(reason))
        if not self._client:
            raise BrokerError(f"the embedded broker did not start: {reason.value.decode()}")
        self._cluster = library.rd_kafka_mock_cluster_new(self._client, 1)
        if not self._cluster:
            library.rd_kafka_destroy(self._client)
            raise BrokerError("the embedded broker did not start: no loopback port to listen on")
        # The default of 3 s makes every first consumer of a group wait for others.
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 100)
        self._servers = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        self.create(self._topics)
        logger.warning(
            "embedded broker on %s: in memory, for this machine, 5 MiB per partition; "
            "nothing survives it",
            self._servers,
        )

    def stop(self) -> None:
        """Stop the broker and discard all messages; a second call does nothing."""
        if self._cluster is None:
            return
        librdkafka().rd_kafka_mock_cluster_destroy(self._cluster)
        librdkafka().rd_kafka_destroy(self._client)
        self._cluster = self._client = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def create(self, topics: Mapping[str, int]) -> None:
        """Create topics, each with the given number of partitions.

        Raises:
            BrokerError: for the first that cannot be created.
        """
        for name, partitions in topics.items():
            error = librdkafka().rd_kafka_mock_topic_create(
                self._running(), name.encode(), partitions, 1
            )
            if error:
                why = confluent_kafka.KafkaError(error).str()
                raise BrokerError(f"cannot make topic {name!r} with {partitions} partitions: {why}")

    def _running(self) -> int:
        if self._cluster is None:
            raise BrokerError("the embedded broker is not running; enter its context first")
        return self._cluster


@cache
def librdkafka() -> ctypes.CDLL:
    """The librdkafka of confluent-kafka, with the types of the functions that are called."""
    library = ctypes.CDLL(str(_library_path()))
    handle, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, arguments in (
        ("rd_kafka_conf_new", handle, []),
        ("rd_kafka_conf_set", number, [handle, text, text, text, ctypes.c_size_t]),
        ("rd_kafka_new", handle, [number, handle, text, ctypes.c_size_t]),
        ("rd_kafka_destroy", None, [handle]),
        ("rd_kafka_mock_cluster_new", handle, [handle, number]),
        ("rd_kafka_mock_cluster_destroy", None, [handle]),
        ("rd_kafka_mock_cluster_bootstraps", text, [handle]),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [handle, ctypes.c_int32]),
        ("rd_kafka_mock_topic_create", number, [handle, text, number, number]),
        ("rd_kafka_mock_broker_set_down", number, [handle, ctypes.c_int32]),
        ("rd_kafka_mock_broker_set_up", number, [handle, ctypes.c_int32]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _library_path() -> Path:
    """Where the wheel keeps librdkafka: beside the package on Linux and Windows, in it on a Mac."""
    package = Path(confluent_kafka.__file__).parent
    folders = (package.with_name("confluent_kafka.libs"), package / ".dylibs", package)
    for folder in folders:
        for found in sorted(folder.glob("*rdkafka*")):
            if {".so", ".dylib", ".dll"} & set(found.suffixes):
                return found
    raise BrokerError(
        "the embedded broker needs the librdkafka of confluent-kafka's wheel, and none is in "
        f"{', '.join(map(str, folders))}; reinstall with: pip install --force-reinstall "
        "--only-binary=confluent-kafka confluent-kafka"
    )
