"""A real Apache Kafka on loopback, one node in KRaft mode, without Docker."""

from __future__ import annotations

import base64
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.cimpl import NewTopic

from streams.brokers import jars
from streams.kafka import clients
from streams.kafka.admin import make
from streams.kafka.errors import BrokerError

HOST = "127.0.0.1"
START_TIMEOUT = 120.0
STOP_TIMEOUT = 30.0
QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
DATED = "-Dorg.slf4j.simpleLogger.showDateTime=true"

PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{host}:{controller_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""


class KafkaServer:
    """One Kafka process whose data, settings, log and process id are in `folder`.

    As a context manager it is running inside, and stopped outside; its data stay.
    """

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        heap: str = "1g",
        settings: Mapping[str, str] | None = None,
        cluster_id: str = "",
    ) -> None:
        """Start nothing yet.

        Args:
            folder: made if it does not exist.
            port: of the listener; 0 picks a free one and keeps it over restarts.
            heap: as `java -Xmx` takes it.
            settings: more of Kafka's own; they win over those here.
            cluster_id: of a cluster that this is a node of (`new_cluster_id`); else one of its own.
        """
        self.folder = folder.resolve()
        self.port = port or free_port()
        self.controller_port = free_port()
        self.heap = heap
        self.cluster_id = cluster_id or new_cluster_id()
        self.settings = dict(settings or {})
        self.log = self.folder / "kafka.log"
        self._pid_file = self.folder / "kafka.pid"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def servers(self) -> str:
        """The bootstrap address, "host:port"."""
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Start, and return when it answers.

        Raises:
            BrokerError: Java or the jars are missing, Kafka ends or does not answer in time (with
                the last lines of its log), one already runs on this folder, or the port is in use.
        """
        if pid := running(self.folder):
            raise BrokerError(
                f"a Kafka (process {pid}) already runs on {self.folder}; "
                "stop it first: make kafka-stop, or sluice broker stop"
            )
        if not _free(self.port):
            raise BrokerError(f"cannot start Kafka on {self.servers}: the port is in use")
        java = ["java", "-cp", f"{jars.fetch()}/*", QUIET, DATED]
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        ours = PROPERTIES.format(
            host=HOST, port=self.port, controller_port=self.controller_port, data=data.as_posix()
        )
        # Java takes the last of a name's values.
        theirs = "".join(f"{name}={value}\n" for name, value in self.settings.items())
        settings = self.folder / "server.properties"
        settings.write_text(ours + theirs)
        with self.log.open("ab") as log:
            if not (data / "meta.properties").exists():
                tool = ["kafka.tools.StorageTool", "format", "-t", self.cluster_id, "-c"]
                if subprocess.call([*java, *tool, settings], stdout=log, stderr=log):
                    raise self._failure("did not format its folder")
            self._process = subprocess.Popen(
                [*java, f"-Xmx{self.heap}", "kafka.Kafka", settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in a terminal is for this process, which then stops Kafka in order.
                start_new_session=True,
            )
        self._pid_file.write_text(str(self._process.pid))
        try:
            self._await_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop in order, or by force after `STOP_TIMEOUT`; a second call does nothing."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it (SIGKILL), as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop if running, and start on the same port with the same data."""
        self.stop()
        self.start()

    def detach(self) -> int:
        """Leave Kafka running after this process; `stop_in` ends it. Returns its process id."""
        if self._process is None:
            raise BrokerError("Kafka is not running; start it first")
        pid, self._process.returncode, self._process = self._process.pid, 0, None
        return pid

    def check(self) -> None:
        """Raise BrokerError, with the log's last lines, if Kafka has ended by itself."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise self._failure(f"ended with exit code {code}")

    def create(self, topics: Mapping[str, int]) -> None:
        """Create topics, each with the given number of partitions; return when all have leaders.

        Raises:
            BrokerError: for the first that cannot be created.
        """
        make(
            clients.admin({"bootstrap.servers": self.servers}),
            [NewTopic(name, count, replication_factor=1) for name, count in topics.items()],
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _await_ready(self) -> None:
        connection = {"bootstrap.servers": self.servers, "log_level": 0}
        client = clients.consumer(connection, "readiness")
        deadline = time.monotonic() + START_TIMEOUT
        try:
            while not _ready(client):
                self.check()
                if time.monotonic() > deadline:
                    raise self._failure(f"gave no answer in {START_TIMEOUT:.0f} s")
        finally:
            client.close()

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self._pid_file.unlink(missing_ok=True)

    def _failure(self, what: str) -> BrokerError:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        tail = "\n".join(lines[-15:])
        return BrokerError(f"Kafka {what}; the end of {self.log}:\n{tail}")


def running(folder: Path) -> int | None:
    """The process id of the Kafka that runs on `folder`, None if none does."""
    folder = folder.resolve()
    try:
        pid = int((folder / "kafka.pid").read_text())
    except (OSError, ValueError):
        return None
    # A number in a file may by now be another process: only one started on this folder counts.
    shown = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True
    )
    return pid if str(folder / "server.properties") in shown.stdout else None


def stop_in(folder: Path) -> bool:
    """Stop the detached Kafka that runs on `folder`. Returns whether there was one.

    Raises BrokerError if it still runs after `STOP_TIMEOUT`.
    """
    pid = running(folder)
    if pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT
    while running(folder):
        if time.monotonic() > deadline:
            raise BrokerError(f"Kafka (process {pid}) did not stop; end it with: kill -9 {pid}")
        time.sleep(0.1)
    (folder / "kafka.pid").unlink(missing_ok=True)
    return True


def free_port() -> int:
    """A free loopback port below the range that systems hand to clients.

    In that range a client that retries against a stopped server can connect to itself, and then
    holds the port that the server wants back.
    """
    for _ in range(100):
        port = 20_000 + secrets.randbelow(10_000)
        if _free(port):
            return port
    raise BrokerError("no free port between 20000 and 29999 on 127.0.0.1")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # As Kafka does it: connections of the last run that still wind down do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _ready(client: Consumer) -> bool:
    """Whether metadata are answered. What the first group or transaction needs is made then: first
    calls wait for it, as on any broker (`streams.kafka.waiting`)."""
    try:
        client.list_topics(timeout=5)
    except KafkaException:
        return False
    return True


def new_cluster_id() -> str:
    """A random id as Kafka writes them: 16 bytes in URL-safe base64 that start with no dash."""
    return base64.urlsafe_b64encode(b"S" + secrets.token_bytes(15)).decode().rstrip("=")
