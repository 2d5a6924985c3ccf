"""Several Kafka nodes on this machine that make one cluster: each partition has copies on all."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from confluent_kafka.cimpl import NewTopic

from streams.brokers.kafka import HOST, KafkaServer, new_cluster_id
from streams.kafka import clients
from streams.kafka.admin import make

HEAP = "512m"


class KafkaCluster:
    """Nodes that are brokers and controllers at once (KRaft). Use as a context.

    What is written is acknowledged by all nodes that keep up, at least by all but one.
    """

    def __init__(self, folder: Path, nodes: int) -> None:
        """Start nothing yet."""
        cluster_id, copies = new_cluster_id(), str(nodes)
        least = str(max(1, nodes - 1))
        self.nodes = [
            KafkaServer(folder / f"node{i}", heap=HEAP, cluster_id=cluster_id) for i in range(nodes)
        ]
        voters = ",".join(
            f"{i}@{HOST}:{node.controller_port}" for i, node in enumerate(self.nodes, 1)
        )
        for i, node in enumerate(self.nodes, 1):
            node.settings |= {
                "node.id": str(i),
                "controller.quorum.voters": voters,
                "default.replication.factor": copies,
                "min.insync.replicas": least,
                "offsets.topic.replication.factor": copies,
                "offsets.topic.num.partitions": "8",  # three Kafkas share this machine
                "transaction.state.log.replication.factor": copies,
                "transaction.state.log.min.isr": least,
                "broker.session.timeout.ms": "3000",
            }

    @property
    def servers(self) -> str:
        """The addresses of all nodes."""
        return ",".join(node.servers for node in self.nodes)

    def create(self, topics: Mapping[str, int]) -> None:
        """Create topics, each with a number of partitions and copies on all nodes."""
        orders = [NewTopic(name, count, replication_factor=-1) for name, count in topics.items()]
        make(clients.admin({"bootstrap.servers": self.servers}), orders)

    def lagging(self) -> list[str]:
        """Partitions that have copies which do not keep up; one word where nobody tells."""
        admin = clients.admin({"bootstrap.servers": self.servers})
        topics = admin.list_topics(timeout=10.0).topics
        return [
            f"{name} {partition.id}"
            for name, topic in topics.items()
            for partition in topic.partitions.values()
            if len(partition.isrs) < len(self.nodes) or partition.leader < 0
        ]

    def __enter__(self) -> Self:
        # A node answers when most nodes are there: they start together.
        with ThreadPoolExecutor(len(self.nodes)) as threads:
            list(threads.map(KafkaServer.start, self.nodes))
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.kill()
