"""`sluice model`: models that are paused, resumed, removed and added at run time."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from confluent_kafka import Producer

from router.budget.ledger import Account
from schemas.control import ModelControl
from schemas.wire import encode
from streams.brokers.embedded import EmbeddedBroker
from streams.config.models import ModelSettings
from streams.config.settings import load
from streams.control.commands import read_registry, with_added_models
from streams.state.rows import STATE_KEY, State
from tests.support.command import run
from tests.support.recording import Restored

PRICES = ("--input-price", "1", "--output-price", "2", "--limit", "3")


def statuses(config: Path, *options: str) -> dict[str, str]:
    """By model, what `sluice model list` says of it."""
    code, stdout, stderr = run("model", "list", *options, "-c", config)
    assert code == 0, stderr
    lines = [line.strip("│").split("│") for line in stdout.splitlines() if line.startswith("│")]
    return {cells[0].strip(): cells[1].strip() for cells in lines}


def test_models_are_listed_without_tenants(deployed: Path) -> None:
    """Tenants' limits are `sluice budget`'s matter."""
    assert statuses(deployed) == {"small": "open", "large": "open"}


@pytest.mark.parametrize(("action", "status"), [("pause", "paused"), ("remove", "removed")])
def test_a_model_is_stopped_and_resumed(deployed: Path, action: str, status: str) -> None:
    """The last command counts."""
    assert run("model", action, "small", "-c", deployed)[1] == f"small: {action}\n"
    assert statuses(deployed, "--all") == {"small": status, "large": "open"}
    assert run("model", "resume", "small", "-c", deployed)[0] == 0
    assert statuses(deployed) == {"small": "open", "large": "open"}


def test_a_removed_model_leaves_with_its_last_settlement(
    deployed: Path, embedded_broker: EmbeddedBroker, prefix: str
) -> None:
    """It is listed while anything is reserved for it."""
    assert run("model", "remove", "small", "-c", deployed)[0] == 0
    for reserved, listed in ((7, {"small": "removed", "large": "open"}), (0, {"large": "open"})):
        state = State(accounts={"small": Account(10, reserved, 0)})
        producer = Producer({"bootstrap.servers": embedded_broker.servers, "log_level": 0})
        producer.produce(f"{prefix}partitions-changelog", encode(state), STATE_KEY, 0)
        assert producer.flush(10) == 0
        assert statuses(deployed) == listed
    found = json.loads(run("model", "list", "--json", "-c", deployed)[1])
    assert [(row["model"], row["tenant"], row["left"]) for row in found] == [("large", None, 2.0)]


def test_an_unknown_model_is_refused(deployed: Path) -> None:
    """Nothing is ordered for it."""
    code, _, stderr = run("model", "pause", "huge", "-c", deployed)
    assert code == 1
    assert "no model 'huge'; there are: small, large" in stderr


def test_a_configured_model_cannot_be_added(deployed: Path) -> None:
    """It is there already."""
    prices = ("--input-price", "1", "--output-price", "2", "--limit", "3")
    code, _, stderr = run("model", "add", "small", *prices, "-c", deployed)
    assert code == 1
    assert "the configuration has a model 'small' already" in stderr


def test_add(own_deployment: Restored) -> None:
    """With its prices and limit in nano-units, once its topic is there."""
    own_deployment.broker.create({own_deployment.topics.routed("new-one"): 1})
    found = own_deployment.sluice("model", "add", "new-one", *PRICES, "--window", "day")
    assert found.exit_code == 0, found.output
    assert "tried with 5% of its limit" in found.output
    added = read_registry(own_deployment.config).added["new-one"]
    assert isinstance(added, ModelControl)
    assert (added.input_price, added.output_price, added.limit) == (10**9, 2 * 10**9, 3 * 10**9)
    assert added.window == "day"


def test_add_with_a_whole_section(own_deployment: Restored) -> None:
    """What its workers and the routers need, as sluice.toml would say it."""
    own_deployment.broker.create({own_deployment.topics.routed("new-two"): 1})
    found = own_deployment.sluice(
        *("model", "add", "new-two", *PRICES, "--cached-input-price", "0.5"),
        *("--name", "org/two", "--base-url", "https://example.invalid/v1?api-version=1"),
        *("--api-key-env", "TWO_KEY", "--timeout", "7.5", "--concurrency", "3"),
        *("--max-tokens-field", "max_completion_tokens", "--image-tokens", "900"),
        *("--allow-field", "service_tier", "--retry-uncertain", "1"),
        *("--extra-body", '{"top_k": 20}', "--extra-header", "X-Team: a:b"),
    )
    assert found.exit_code == 0, found.output
    added = with_added_models(own_deployment.config, ["new-two"], {}).models["new-two"]
    assert added == ModelSettings(
        input_price=Decimal(1),
        output_price=Decimal(2),
        cached_input_price=Decimal("0.5"),
        budget=added.budget,
        name="org/two",
        base_url="https://example.invalid/v1?api-version=1",
        api_key_env="TWO_KEY",
        timeout=7.5,
        concurrency=3,
        max_tokens_field="max_completion_tokens",
        image_tokens=900,
        allow_fields=["service_tier"],
        retry_uncertain=1,
        extra_body={"top_k": 20},
        extra_headers={"X-Team": "a:b"},
    )
    assert read_registry(own_deployment.config).newcomers()[-1].retry_uncertain == 1


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--extra-body", "[1]", "is no JSON object"),
        ("--extra-header", "X", "is not NAME:VALUE"),
        ("--base-url", "localhost:8000", "base_url"),
        ("--cached-input-price", "1.5", "cached_input_price"),
    ],
)
def test_add_refuses(deployed: Path, option: str, value: str, words: str) -> None:
    """What a configuration would not take either; nothing is sent."""
    code, _, stderr = run("model", "add", "new", *PRICES, option, value, "-c", deployed)
    assert code != 0
    assert words in stderr
    assert read_registry(load(deployed)).version == 0
