"""What a broker that this project starts must do, whichever it is."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.brokers import Broker, jars, kafka
from streams.brokers.kafka import KafkaServer
from streams.kafka.errors import BrokerError
from tests.support.faulty_broker import FaultyBroker, Request
from tests.support.patience import PATIENCE


def consumer(servers: str, group: str, *topics: str) -> Consumer:
    reader = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            # The mock cluster lets the next member of an empty group wait this long less 1 s.
            "session.timeout.ms": 6000,
            "log_level": 0,
        }
    )
    if topics:
        reader.subscribe(list(topics))
    return reader


def produce(servers: str, topic: str, values: list[bytes], **settings: object) -> None:
    producer = Producer({"bootstrap.servers": servers, "log_level": 0, **settings})
    for value in values:
        producer.produce(topic, value, key=value)
    assert producer.flush(PATIENCE) == 0


def read(reader: Consumer, count: int) -> list[Message]:
    messages: list[Message] = []
    while len(messages) < count:
        got = reader.consume(count - len(messages), PATIENCE)
        assert got, f"{len(messages)} of {count} messages came in {PATIENCE} s"
        assert not any(message.error() for message in got)
        messages += got
    return messages


def partitions(servers: str) -> dict[str, int]:
    topics = AdminClient({"bootstrap.servers": servers}).list_topics(timeout=PATIENCE).topics
    return {name: len(topic.partitions) for name, topic in topics.items()}


class TestEveryBroker:
    def test_topics_have_their_partitions(self, broker: Broker, prefix: str) -> None:
        """Each topic has just the partitions that were asked for."""
        wanted = {f"{prefix}one": 1, f"{prefix}seven": 7}
        broker.create(wanted)
        assert wanted.items() <= partitions(broker.servers).items()

    def test_topic_twice_is_an_error(self, broker: Broker, prefix: str) -> None:
        """A topic that is there already is refused by name."""
        broker.create({f"{prefix}a": 2})
        with pytest.raises(BrokerError, match=f"{prefix}a.*already exists"):
            broker.create({f"{prefix}a": 3})

    def test_no_topics_is_fine(self, broker: Broker) -> None:
        """Nothing to make is no error."""
        broker.create({})

    def test_group_resumes_at_its_commit(self, broker: Broker, prefix: str) -> None:
        """Messages come once to a group that commits, also to its next member."""
        topic = f"{prefix}queries"
        broker.create({topic: 3})
        values = [b"%d" % n for n in range(200)]
        produce(broker.servers, topic, values[:120], **{"enable.idempotence": True, "linger.ms": 1})
        first = consumer(broker.servers, f"{prefix}group", topic)
        seen = read(first, 120)
        first.commit(asynchronous=False)
        first.close()
        produce(broker.servers, topic, values[120:], **{"compression.type": "lz4"})
        second = consumer(broker.servers, f"{prefix}group", topic)
        seen += read(second, 80)
        second.close()
        assert {message.value() for message in seen} == set(values)
        assert len(seen) == len(values)

    def test_partition_keeps_order_and_offsets(self, broker: Broker, prefix: str) -> None:
        """One key's messages are in one partition, in order, at offsets without gaps."""
        topic = f"{prefix}ordered"
        broker.create({topic: 4})
        producer = Producer({"bootstrap.servers": broker.servers, "log_level": 0})
        for number in range(50):
            producer.produce(topic, b"%d" % number, key=b"same")
        assert producer.flush(PATIENCE) == 0
        reader = consumer(broker.servers, f"{prefix}group", topic)
        messages = read(reader, 50)
        reader.close()
        assert len({message.partition() for message in messages}) == 1
        assert [message.offset() for message in messages] == list(range(50))
        assert [message.value() for message in messages] == [b"%d" % n for n in range(50)]

    def test_two_members_share_the_partitions(self, broker: Broker, prefix: str) -> None:
        """A second member of a group takes over half of the partitions."""
        topic = f"{prefix}shared"
        broker.create({topic: 4})
        members = [consumer(broker.servers, f"{prefix}group", topic) for _ in range(2)]
        for _ in range(int(PATIENCE / 0.1)):
            for member in members:
                member.poll(0.05)
            owned = [len(member.assignment()) for member in members]
            if owned == [2, 2]:
                break
        for member in members:
            member.close()
        assert owned == [2, 2]

    def test_listens_on_loopback_only(self, broker: Broker) -> None:
        """The address is this machine's own."""
        assert broker.servers.startswith("127.0.0.1:")


class TestEmbedded:
    def test_says_that_nothing_survives(self, caplog: pytest.LogCaptureFixture) -> None:
        """The start leaves one line that names the address and the limits."""
        with FaultyBroker() as broker:
            servers = broker.servers
        [line] = caplog.messages
        assert servers in line
        assert "nothing survives" in line

    def test_outside_its_context_it_is_an_error(self) -> None:
        """A broker that does not run has no address, and says what to do."""
        broker = FaultyBroker({"a": 1})
        with pytest.raises(BrokerError, match="enter its context"):
            _ = broker.servers
        with broker:
            assert partitions(broker.servers) == {"a": 1}
        with pytest.raises(BrokerError, match="enter its context"):
            broker.down()
        broker.stop()

    def test_down_and_up(self) -> None:
        """While down nothing is reached; once up again messages are still there."""
        with FaultyBroker({"a": 1}) as broker:
            produce(broker.servers, "a", [b"before"])
            broker.down()
            admin = AdminClient({"bootstrap.servers": broker.servers, "log_level": 0})
            with pytest.raises(KafkaException):
                admin.list_topics(timeout=0.5)
            broker.up()
            reader = consumer(broker.servers, "g", "a")
            assert [message.value() for message in read(reader, 1)] == [b"before"]
            reader.close()

    def test_injected_error_reaches_the_client(self) -> None:
        """The next requests of a kind fail with the error given, and then no more."""
        with FaultyBroker({"a": 1}) as broker:
            broker.fail(Request.PRODUCE, KafkaError.MSG_SIZE_TOO_LARGE, times=1)
            producer = Producer({"bootstrap.servers": broker.servers, "log_level": 0})
            answers: list[KafkaError | None] = []
            for _ in range(2):
                producer.produce("a", b"x", on_delivery=lambda error, _: answers.append(error))
                assert producer.flush(PATIENCE) == 0
            assert answers[0] is not None
            assert answers[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
            assert answers[1] is None

    def test_heal_takes_errors_back(self) -> None:
        """Errors that were not yet given are forgotten."""
        with FaultyBroker({"a": 1}) as broker:
            broker.fail(Request.PRODUCE, KafkaError.MSG_SIZE_TOO_LARGE, times=5)
            broker.heal(Request.PRODUCE)
            failed: list[KafkaError] = []
            producer = Producer(
                {
                    "bootstrap.servers": broker.servers,
                    "on_delivery": lambda error, _: failed.append(error) if error else None,
                }
            )
            producer.produce("a", b"x")
            assert producer.flush(PATIENCE) == 0
            assert failed == []

    def test_other_processes_reach_it(self) -> None:
        """It is a TCP server: another process of this machine can use it."""
        script = (
            "import sys\nfrom confluent_kafka.admin import AdminClient\n"
            "admin = AdminClient({'bootstrap.servers': sys.argv[1]})\n"
            "print(sorted(admin.list_topics(timeout=10).topics))"
        )
        with FaultyBroker({"a": 1}) as broker:
            shown = subprocess.run(
                [sys.executable, "-c", script, broker.servers],
                capture_output=True,
                text=True,
                check=True,
            )
        assert shown.stdout.strip() == "['a']"


@pytest.fixture(scope="class")
def own_kafka(
    can_run_kafka: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaServer]:
    """A real Kafka that a test may stop and kill."""
    with KafkaServer(tmp_path_factory.mktemp("own"), heap="512m") as server:
        yield server


@pytest.mark.kafka
class TestRealKafka:
    @pytest.mark.parametrize("end", [KafkaServer.stop, KafkaServer.kill])
    def test_acknowledged_messages_survive(
        self, own_kafka: KafkaServer, prefix: str, end: object
    ) -> None:
        """Messages, commits and the address are the same after a stop or a crash and a start."""
        topic, group = f"{prefix}kept", f"{prefix}group"
        own_kafka.create({topic: 1})
        servers = own_kafka.servers
        produce(servers, topic, [b"1", b"2", b"3"], acks="all")
        reader = consumer(servers, group, topic)
        assert [message.value() for message in read(reader, 2)] == [b"1", b"2"]
        reader.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
        reader.close()
        assert callable(end)
        end(own_kafka)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", own_kafka.port), timeout=1)
        own_kafka.start()
        assert own_kafka.servers == servers
        reader = consumer(servers, group, topic)
        assert [message.value() for message in read(reader, 1)] == [b"3"]
        reader.close()

    def test_a_second_one_on_the_same_folder_is_refused(self, own_kafka: KafkaServer) -> None:
        """Two servers never share a folder; the error names the process."""
        pid = kafka.running(own_kafka.folder)
        with pytest.raises(BrokerError, match=f"process {pid}.*already runs"):
            KafkaServer(own_kafka.folder).start()

    def test_a_port_in_use_is_refused(self, own_kafka: KafkaServer, tmp_path: Path) -> None:
        """The error names the address, before anything is started."""
        with pytest.raises(BrokerError, match=f"{own_kafka.servers}: the port is in use"):
            KafkaServer(tmp_path, port=own_kafka.port).start()
        assert kafka.running(tmp_path) is None

    def test_a_failed_start_shows_the_log(self, tmp_path: Path) -> None:
        """A start that fails says so with the log's last lines, and leaves no process."""
        with pytest.raises(BrokerError, match=r"(?s)exit code 1.*kafka\.log.*heap size"):
            KafkaServer(tmp_path, heap="nonsense").start()
        assert kafka.running(tmp_path) is None

    def test_detached_runs_on_until_stopped(self, own_kafka: KafkaServer, tmp_path: Path) -> None:
        """A detached server answers without its starter, and `stop_in` ends it."""
        server = KafkaServer(tmp_path, heap="256m")
        server.start()
        pid = server.detach()
        server.stop()
        assert kafka.running(tmp_path) == pid
        assert partitions(server.servers).keys() <= {"__consumer_offsets"}
        assert kafka.stop_in(tmp_path)
        assert kafka.running(tmp_path) is None
        assert not kafka.stop_in(tmp_path)


class TestJars:
    def test_the_pom_names_the_version(self) -> None:
        """The folder in the cache is named after the version that Maven fetches."""
        versions = {
            dependency.findtext("{*}artifactId"): dependency.findtext("{*}version")
            for dependency in ElementTree.parse(jars.POM).iterfind(".//{*}dependency")
        }
        assert versions["kafka_2.13"] == jars.VERSION

    def test_missing_names_all_that_lacks(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Without Java and Maven the sentence says both, and a fetch is refused with it."""
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert not jars.available()
        assert "no Java" in jars.missing()
        assert "no Maven" in jars.missing()
        with pytest.raises(BrokerError, match="cannot run Apache Kafka here: no Java"):
            jars.fetch()

    def test_an_old_java_is_named(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A Java that Kafka does not run on is told by its version."""
        java = tmp_path / "java"
        java.write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_392\"' >&2\n")
        java.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        assert "Java 8 is too old" in jars.missing()

    def test_a_failed_download_leaves_nothing(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Maven's own words are in the error, and the next try starts afresh."""
        for name, text in (
            ("java", "#!/bin/sh\necho 'openjdk version \"21.0.1\"' >&2\n"),
            ("mvn", "#!/bin/sh\necho 'no route to Central'\nexit 1\n"),
        ):
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        with pytest.raises(BrokerError, match=r"exit code 1\):\nno route to Central"):
            jars.fetch()
        assert list((tmp_path / "cache" / "sluice").iterdir()) == []
