"""Topics: their names, how many partitions, and that a broker's really are so."""

from __future__ import annotations

import string

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import TOPICS
from streams.brokers import Broker
from streams.brokers.embedded import EmbeddedBroker
from streams.brokers.kafka import KafkaServer
from streams.kafka.errors import BrokerError
from streams.kafka.topics import LONGEST_NAME, Topic, Topics, TopicsError, create, differences
from streams.state.ownership import IDLE

LEGAL = frozenset(string.ascii_letters + string.digits + "._-")


def admin(broker: Broker) -> AdminClient:
    return AdminClient({"bootstrap.servers": broker.servers, "log_level": 0})


class TestNames:
    def test_all_topics_of_the_wire_are_planned_under_their_names(self) -> None:
        """Every topic of `schemas.topics` is made, and the attributes name the same ones."""
        names = Topics("shop.")
        planned = {topic.name for topic in names.planned(["m"])}
        addresses = {known.address for known in TOPICS} - {"routed.{model}"}
        others = {
            names.routed("m"),
            names.changelog,
            names.controller_changelog,
            names.batches,
        }
        assert planned == {f"shop.{address}" for address in addresses} | others
        attributes = {getattr(names, address.replace("-", "_")) for address in addresses}
        assert attributes == planned - others

    def test_no_prefix_is_the_default(self) -> None:
        """Without a prefix the names are those of the documents."""
        assert Topics().queries == "queries"
        assert Topics().routed("gpt-4o") == "routed.gpt-4o"

    @given(st.text(min_size=1, max_size=64))
    def test_any_model_gets_a_legal_name(self, model: str) -> None:
        """Whatever a model is called, Kafka takes its topic's name."""
        assert set(Topics().routed(model)) <= LEGAL

    @given(st.text(st.sampled_from(sorted(LEGAL)), min_size=1, max_size=64))
    def test_legal_names_stay(self, model: str) -> None:
        """A model name that Kafka allows is in the topic's name unchanged."""
        assert Topics().routed(model) == f"routed.{model}"

    @pytest.mark.parametrize(
        ("one", "other"), [("a/b", "a:b"), ("a/b", "a-b"), ("a.b", "a_b"), ("ä", "ö")]
    )
    def test_models_that_would_share_a_topic_are_refused(self, one: str, other: str) -> None:
        """The error names both models."""
        with pytest.raises(ValueError, match=f"'{one}' and '{other}' would share"):
            Topics().planned(["fine", one, other])

    def test_a_bad_prefix_is_refused(self) -> None:
        """A prefix is used as it is, so it must be legal."""
        with pytest.raises(ValueError, match="'a/': only letters"):
            Topics("a/")

    def test_a_name_too_long_for_kafka_is_refused(self) -> None:
        """The error says how long the name is and how long it may be."""
        longest = "m" * (LONGEST_NAME - len("routed."))
        assert Topics().planned([longest])
        with pytest.raises(ValueError, match="has 250 characters; Kafka takes 249"):
            Topics().planned([longest + "m"])


class TestPlan:
    def test_topics_with_the_queries_partition_numbers_have_their_count(self) -> None:
        """Results, receipts, grants and the like have the partitions of queries; others one."""
        counts = {t.name: t.partitions for t in Topics().planned(["a", "b"], 5, 2)}
        assert counts == {
            "queries": 5,
            "routed.a": 2,
            "routed.b": 2,
            "results": 5,
            "starts": 5,
            "receipts": 5,
            "deferred": 5,
            "rejected": 5,
            "share-reports": 1,
            "share-grants": 5,
            "control": 1,
            "prices": 1,
            "partitions-changelog": 5,
            "controller-changelog": 1,
            "batches": 1,
        }

    def test_the_ledger_can_be_rebuilt_for_a_month(self) -> None:
        """Receipts and results outlive the longest budget window (31 days)."""
        kept = {t.name: t.retention for t in Topics().planned([])}
        assert min(kept["receipts"] or 0, kept["results"] or 0) > 31 * 86_400

    def test_what_is_read_whole_is_kept_for_ever(self) -> None:
        """Compacted topics have no retention."""
        compact = [t for t in Topics().planned([]) if t.cleanup == "compact"]
        assert {t.name for t in compact} == {
            "control",
            "prices",
            "partitions-changelog",
            "controller-changelog",
            "batches",
        }
        assert {t.settings["retention.ms"] for t in compact} == {"-1"}

    @pytest.mark.parametrize("name", ["prices", "control"])
    def test_what_decided_queries_outlives_them(self, name: str) -> None:
        """A replay of any query that is kept finds its prices and orders, though newer ones were
        written."""
        planned = {t.name: t.settings for t in Topics("shop.").planned([])}
        lag = int(planned[f"shop.{name}"]["min.compaction.lag.ms"])
        assert lag == 7 * 86_400_000
        assert lag >= int(planned["shop.queries"]["retention.ms"])

    def test_nothing_else_waits_to_be_compacted_for_long(self) -> None:
        """A changelog waits for as long as an owner may take to write what was hidden, by the
        broker's clock; every restart reads as much."""
        lags = {
            t.name: int(t.settings["min.compaction.lag.ms"])
            for t in Topics().planned(["m"])
            if "min.compaction.lag.ms" in t.settings
        }
        changelogs = {"partitions-changelog", "controller-changelog"}
        assert lags.keys() == {"control", "prices"} | changelogs
        assert all(2 * IDLE * 1000 < lags[name] <= 3_600_000 for name in changelogs)


@pytest.mark.kafka
class TestOnKafka:
    def test_create_makes_all_and_again_none(self, kafka_broker: KafkaServer, prefix: str) -> None:
        """Topics come with partitions, cleanup and retention; a second call finds them right."""
        planned = Topics(prefix).planned(["a/1"], partitions=4, model_partitions=2)
        client = admin(kafka_broker)
        assert create(client, planned) == [topic.name for topic in planned]
        assert differences(client, planned) == []
        assert create(client, planned) == []
        for topic in planned:
            [answer] = client.describe_configs(
                [ConfigResource(ConfigResource.Type.TOPIC, topic.name)]
            ).values()
            settings = {name: entry.value for name, entry in answer.result(10).items()}
            assert topic.settings.items() <= settings.items()

    def test_create_adds_what_is_missing(self, kafka_broker: KafkaServer, prefix: str) -> None:
        """A model that is new in the configuration gets its topic, the others stay."""
        names = Topics(prefix)
        create(admin(kafka_broker), names.planned(["a"]))
        assert create(admin(kafka_broker), names.planned(["a", "b"])) == [names.routed("b")]

    def test_other_partitions_are_named_and_nothing_is_made(
        self, kafka_broker: KafkaServer, prefix: str
    ) -> None:
        """A topic with the wrong count stops the whole order."""
        names = Topics(prefix)
        kafka_broker.create({names.queries: 2})
        with pytest.raises(TopicsError, match=r"queries' has 2 partitions .* says 3"):
            create(admin(kafka_broker), names.planned(["a"], partitions=3))
        assert names.results not in admin(kafka_broker).list_topics(timeout=10).topics

    def test_another_cleanup_policy_is_named(self, kafka_broker: KafkaServer, prefix: str) -> None:
        """A topic that must be compacted and is not would lose prices: that is said."""
        names = Topics(prefix)
        kafka_broker.create({names.prices: 1})
        found = differences(admin(kafka_broker), names.planned([]))
        assert any("cleanup.policy=delete where it must be compact" in line for line in found)

    def test_what_kafka_refuses_is_said_with_its_reason(self, kafka_broker: KafkaServer) -> None:
        """More copies than brokers cannot be had."""
        with pytest.raises(BrokerError, match=r"'refused'.*[Rr]eplication"):
            create(admin(kafka_broker), [Topic("refused", 1)], replicas=3)


class TestOnTheEmbeddedBroker:
    def test_partitions_are_checked(self) -> None:
        """Missing topics and wrong counts are told; settings, which it lacks, are not asked."""
        planned = Topics().planned(["a"], partitions=2)
        counts = {topic.name: topic.partitions for topic in planned}
        with EmbeddedBroker({**counts, "results": 1, "prices": 5, "queries": 3}) as broker:
            assert differences(admin(broker), planned) == [
                "topic 'results' has 1 partitions where the configuration says 2: add partitions "
                "with `sluice topics grow --partitions 2`, or change the configuration",
                "topic 'prices' has 5 partitions where the configuration says 1: change the "
                "configuration, or use another topic prefix",
            ]
        with EmbeddedBroker(counts) as broker:
            assert create(admin(broker), planned) == []

    def test_it_makes_none_by_order(self) -> None:
        """It has no such request, and says so."""
        with EmbeddedBroker({"a": 1}) as broker:
            client = admin(broker)
            with pytest.raises(BrokerError, match="only the topics that it was started with"):
                create(client, [Topic("b", 1)])
