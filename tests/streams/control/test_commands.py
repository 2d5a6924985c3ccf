"""What an operator sees and asks for, on both brokers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from router.budget.ledger import Account, account_key
from router.evaluation.datasets import write_jsonl
from router.evaluation.workload import synthesize
from schemas import BudgetControl, ModelControl, decode_control
from schemas.wire import encode
from streams.brokers import Broker
from streams.brokers.kafka import KafkaServer
from streams.cli import main
from streams.config.settings import Config, load
from streams.control import commands
from streams.control.commands import (
    AccountStatus,
    account_statuses,
    add_model,
    configured_limits,
    read_registry,
    send_command,
)
from streams.kafka.errors import BrokerError
from streams.kafka.topics import Topics, create
from streams.routing.build import build
from streams.state.rows import STATE_KEY, State
from tests.support.patience import PATIENCE
from tests.support.records import Records

MODELS = ("mistral-7b", "gpt-4-1106")
TEXT = """
[topics]
prefix = "{prefix}"
partitions = 2
[models.mistral-7b]
input_price = "1"
output_price = "2"
{budget}
[models.gpt-4-1106]
input_price = "1"
output_price = "2"
{budget}
[policy]
expected_queries = 100
[index]
path = "{folder}/index"
"""


def configured(folder: Path, servers: str, prefix: str = "", budget: str = "") -> Config:
    file = folder / "sluice.toml"
    file.write_text(TEXT.format(prefix=prefix, folder=folder, budget=budget))
    total = {} if budget else {"SLUICE_BUDGET_TOTAL": "3", "SLUICE_BUDGET_SPLIT": "weighted"}
    return load(file, {"SLUICE_BROKER": servers, **total})


@pytest.fixture
def config(broker: Broker, prefix: str, tmp_path: Path) -> Config:
    """Two models with a limit of 5 each, and the topics that are read."""
    topics = Topics(prefix)
    broker.create({topics.control: 1, topics.changelog: 2})
    return configured(tmp_path, broker.servers, prefix, "budget.limit = 5")


def state(**accounts: Account) -> bytes:
    return encode(State(accounts={name.replace("_", "-"): one for name, one in accounts.items()}))


def test_without_routers_all_is_free(config: Config) -> None:
    """Empty topics: every model is open, with its configured limit, and nobody holds anything."""
    assert account_statuses(config) == {
        name: AccountStatus("open", 5 * 10**9, 0, 0, 0) for name in MODELS
    }


def test_orders_are_seen_by_the_next_who_looks(config: Config, broker: Broker) -> None:
    """A closed model and another limit show; the keys let compaction keep the last of each."""
    send_command(config, ModelControl(name="mistral-7b", action="pause"))
    send_command(config, BudgetControl(model="mistral-7b", limit=7))
    send_command(config, BudgetControl(model="mistral-7b", limit=8))
    shown = account_statuses(config)
    assert (shown["mistral-7b"].status, shown["mistral-7b"].limit) == ("paused", 8)
    assert (shown["gpt-4-1106"].status, shown["gpt-4-1106"].limit) == ("open", 5 * 10**9)
    topic = Topics(config.topics.prefix).control
    records = Records(broker.servers, {topic: 1})
    sent = records.of(topic)
    records.close()
    assert [record.key for record in sent] == [
        b"model/mistral-7b",
        b"budget/mistral-7b",
        b"budget/mistral-7b",
    ]
    assert decode_control(sent[-1].value) == BudgetControl(model="mistral-7b", limit=8)


def test_accounts_are_sums_over_the_partitions_last_states(config: Config, broker: Broker) -> None:
    """Rows and older states do not count, nor models that are not configured any more."""
    topics, two = Topics(config.topics.prefix), Account(20, 3, 4)
    producer = Producer({"bootstrap.servers": broker.servers, "log_level": 0})
    producer.produce(topics.control, b"no order", b"model/x")
    for partition, key, value in (
        (0, STATE_KEY, state(mistral_7b=Account(99, 9, 9))),
        (0, STATE_KEY, state(mistral_7b=Account(10, 1, 2), gone=Account(5, 5, 5))),
        (0, b"q00000000000000000001", b"a row"),
        (1, STATE_KEY, state(mistral_7b=two, gpt_4_1106=two)),
    ):
        producer.produce(topics.changelog, value, key, partition)
    assert producer.flush(10) == 0
    assert account_statuses(config) == {
        "mistral-7b": AccountStatus("open", 5 * 10**9, 30, 4, 6),
        "gpt-4-1106": AccountStatus("open", 5 * 10**9, 20, 3, 4),
    }


def test_limits_of_tenants_stand_after_their_models(config: Config, broker: Broker) -> None:
    """Set by the command line, they are accounts of their own, shown with what they spent; a
    top-up adds to one, and one that is not there, or no name of a tenant, is refused."""
    topics = Topics(config.topics.prefix)
    own, file = account_key("mistral-7b", "shop"), Path(config.index.path).parent / "sluice.toml"

    def budget(*words: str) -> Result:
        command = ["budget", *words, "--config", str(file)]
        return CliRunner().invoke(main, command, env={"SLUICE_BROKER": broker.servers})

    found = budget("set", "mistral-7b", "2", "--tenant", "shop")
    assert (found.exit_code, found.output) == (0, "mistral-7b (shop): limit 2.000000000\n")
    assert budget("top-up", "mistral-7b", "0.5", "--tenant", "shop").exit_code == 0
    producer = Producer({"bootstrap.servers": broker.servers, "log_level": 0})
    producer.produce(topics.changelog, state(**{own: Account(9, 3, 4)}), STATE_KEY, 0)
    assert producer.flush(10) == 0
    shown = account_statuses(config)
    assert list(shown) == ["mistral-7b", own, "gpt-4-1106"]
    assert shown[own] == AccountStatus("open", 2_500_000_000, 9, 3, 4)
    assert shown["mistral-7b"].limit == 5 * 10**9
    assert "mistral-7b (shop)" in budget("show").output
    missing = budget("top-up", "gpt-4-1106", "1", "--tenant", "shop")
    assert (missing.exit_code, "has no limit to add to" in missing.output) == (1, True)
    for wrong in ("", "a\tb"):
        refused = budget("set", "mistral-7b", "0", "--tenant", wrong)
        assert (refused.exit_code, "tenant" in refused.output) == (1, True)
    assert account_statuses(config) == shown


def new(name: str, **changes: Any) -> ModelControl:
    terms: dict[str, Any] = {"input_price": 1, "output_price": 2, "limit": 10**9, **changes}
    return ModelControl(name=name, action="add", **terms)


@pytest.mark.kafka
def test_an_added_model_has_its_topic_and_stands_with_the_others(
    kafka_broker: KafkaServer, prefix: str, tmp_path: Path
) -> None:
    """The topic is as the configuration wants those of models, and is there when the order is;
    a part of the limit is what it may use. Refused orders leave neither."""
    config = configured(tmp_path, kafka_broker.servers, prefix, "budget.limit = 5")
    topics, admin = Topics(prefix), AdminClient({"bootstrap.servers": kafka_broker.servers})
    create(admin, topics.planned(MODELS, 2))
    add_model(config, new("org/new"))
    made = admin.list_topics(timeout=10).topics[topics.routed("org/new")]
    assert len(made.partitions) == config.topics.model_partitions
    assert account_statuses(config)["org/new"] == AccountStatus("new", 10**9, 0, 0, 0, 5 * 10**7)
    assert account_statuses(config)["org/new"].left == 5 * 10**7
    for refused, words in (
        (new("org/new"), "already exists"),
        (new("mistral-7b"), "the configuration has a model 'mistral-7b' already"),
        (new("org-new"), "would share the topic"),
        (new("x" * 250), "shorten the prefix"),
        (new("line\nbreak"), "control character"),
    ):
        with pytest.raises(ValueError, match=words):
            add_model(config, refused)
    send_command(config, ModelControl(name="org/new", action="remove"))
    assert list(read_registry(config).added) == ["org/new"]
    assert account_statuses(config)["org/new"].status == "removed"


def test_an_embedded_broker_takes_no_new_model(embedded_broker: Broker, tmp_path: Path) -> None:
    """It cannot make a topic: that is said, and no order leaves."""
    embedded_broker.create({"embedded.control": 1, "embedded.partitions-changelog": 2})
    config = configured(tmp_path, embedded_broker.servers, "embedded.", "budget.limit = 5")
    with pytest.raises(BrokerError, match="only the topics that it was started with"):
        add_model(config, new("org/new"))
    assert read_registry(config).version == 0


def test_an_order_that_nobody_takes_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a broker the operator learns that nothing has changed."""
    monkeypatch.setattr(commands, "TIMEOUT", 0.5)
    config = configured(tmp_path, "127.0.0.1:9", budget="budget.limit = 5")
    with pytest.raises(KafkaException):
        send_command(config, ModelControl(name="mistral-7b", action="pause"))


def test_an_order_makes_no_topic(tmp_path: Path, prefix: str, broker: Broker) -> None:
    """A broker would make it on its own terms, and no router would read it."""
    config = configured(tmp_path, broker.servers, prefix, "budget.limit = 5")
    with pytest.raises(BrokerError, match=f"no topic {prefix}control; make it"):
        send_command(config, ModelControl(name="mistral-7b", action="pause"))
    assert (
        f"{prefix}control"
        not in AdminClient({"bootstrap.servers": broker.servers})
        .list_topics(timeout=PATIENCE)
        .topics
    )


def test_a_shared_total_is_split_as_the_routers_split_it(tmp_path: Path) -> None:
    """By the history in the index, to the nano-unit; the parts sum to the total."""
    history = tmp_path / "history.jsonl"
    write_jsonl(synthesize(120).with_models(MODELS), history)
    config = configured(tmp_path, "127.0.0.1:9")
    command = ["index", "build", "--history", str(history), "-c", str(tmp_path / "sluice.toml")]
    total = {"SLUICE_BUDGET_TOTAL": "3", "SLUICE_BUDGET_SPLIT": "weighted"}
    result = CliRunner().invoke(main, command, env=total)
    assert result.exit_code == 0, result.output
    limits = configured_limits(config)
    assert limits == build(config).amounts
    assert sum(limits.values()) == 3 * 10**9
    assert limits["mistral-7b"] != limits["gpt-4-1106"]
