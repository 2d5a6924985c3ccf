"""How a file and the environment become settings: references, overrides, errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streams.config.loader import variable
from streams.config.settings import ConfigError, load
from tests.streams.config.files import GOOD, read, refusal


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Where there is no file, the error says which was looked for."""
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read: No such file"):
        load(tmp_path / "absent.toml", {})


def test_the_file_can_be_named_by_the_environment(tmp_path: Path) -> None:
    """SLUICE_CONFIG says where the file is, for containers."""
    (tmp_path / "other.toml").write_text(GOOD)
    assert load(None, {"SLUICE_CONFIG": str(tmp_path / "other.toml")}).topics.partitions == 3


def test_references(tmp_path: Path) -> None:
    """${NAME} and ${NAME:-default} are put in, also where a number is wanted."""
    text = GOOD + '[topics]\nprefix = "${STAGE:-dev}."\npartitions = "${COUNT:-6}"\n'
    text += '[broker]\nservers = "${HOST}:9092"\nsecurity = {"sasl.password" = "${SECRET}"}\n'
    found = read(tmp_path, text, {"HOST": "kafka", "SECRET": "7${x}", "STAGE": ""})
    assert (found.topics.prefix, found.topics.partitions) == ("dev.", 6)
    assert found.broker.servers == "kafka:9092"
    assert found.broker.security == {"sasl.password": "7${x}"}


def test_references_inside_arrays_and_tables(tmp_path: Path) -> None:
    """A string may hold one wherever it stands."""
    text = GOOD.replace("[policy]", "allow_fields = ['${FIELD}']\n[policy]")
    text = text.replace("[policy]", "extra_body = {a = [{b = '${VALUE:-deep}'}], c = 1}\n[policy]")
    model = read(tmp_path, text, {"FIELD": "service_tier"}).models["small"]
    assert model.allow_fields == ["service_tier"]
    assert model.extra_body == {"a": [{"b": "deep"}], "c": 1}


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    """Editors on Windows write it."""
    assert read(tmp_path, "\ufeff" + GOOD).models.keys() == {"small"}


def test_references_that_lead_nowhere(tmp_path: Path) -> None:
    """A variable that is not set is named, and so is a reference that is none."""
    error = refusal(tmp_path, GOOD + '[broker]\nservers = "${HOST}"')
    assert error.reason == (
        "broker.servers: ${HOST} is not set in the environment, and has no :-default"
    )
    error = refusal(tmp_path, GOOD + '[broker]\nservers = "${1}"')
    assert "a reference must be ${NAME}" in error.reason


def test_overrides(tmp_path: Path) -> None:
    """Every key has its variable, which wins over the file; an empty one is not set."""
    environment = {
        "SLUICE_BROKER": "kafka:1",
        "SLUICE_BROKER_SECURITY_SASL_USERNAME": "me",
        "SLUICE_TOPICS_PARTITIONS": "12",
        "SLUICE_TOPICS_PREFIX": "3",
        "SLUICE_MODELS_SMALL_INPUT_PRICE": "1.5",
        "SLUICE_MODELS_SMALL_BUDGET_LIMIT": "7",
        "SLUICE_ROUTER_STORE": "",
        "SLUICE_ROUTER_DATA_DIR": "/data",
    }
    config = read(tmp_path, GOOD, environment)
    assert config.broker.servers == "kafka:1"
    assert config.broker.security == {"sasl.username": "me"}
    assert (config.topics.partitions, config.topics.prefix) == (12, "3")
    assert config.catalog().models[0].input_price == 1_500_000_000
    assert list(config.amounts().values()) == [7_000_000_000]
    assert (config.router.store, config.router.data_dir) == ("rocksdb", Path("/data"))


def test_overrides_of_arrays_and_tables(tmp_path: Path) -> None:
    """An array is written as in the file, also where a word may stand in its place; a name that
    only the environment gives is spelt as such names are.
    """
    text = GOOD + "[limits.x]\namount = 1\n[limits.y]\namount = 1\n[tenants.shop]\n"
    text = text.replace("small", "my_small")
    environment = {
        "SLUICE_LIMITS_X_MODELS": '["my_*"]',
        "SLUICE_LIMITS_X_TENANTS": "each",
        "SLUICE_MODELS_MY_SMALL_EXTRA_BODY_TOP_K": "40",
        "SLUICE_MODELS_MY_SMALL_EXTRA_BODY_SERVICE_TIER": "flex",
        "SLUICE_MODELS_MY_SMALL_EXTRA_HEADERS_X_TITLE": "7",
        "SLUICE_TENANTS_SHOP_LIMITS_MY_SMALL": "2",
    }
    config = read(tmp_path, text, environment)
    assert (config.limits["x"].models, config.limits["x"].tenants) == (["my_*"], "each")
    assert config.models["my_small"].extra_body == {"top_k": 40, "service_tier": "flex"}
    assert config.models["my_small"].extra_headers == {"x-title": "7"}
    assert config.tenant_limits() == {"my_small\tshop": 2 * 10**9}


def test_an_override_can_make_a_section(tmp_path: Path) -> None:
    """A total budget can come from the environment alone."""
    text = GOOD.replace('budget = {limit = "5"}', "")
    config = read(tmp_path, text, {"SLUICE_BUDGET_TOTAL": "9"})
    assert list(config.amounts(np.array([0.5]), np.array([10.0])).values()) == [9_000_000_000]


def test_a_wrong_override_is_named_and_not_shown(tmp_path: Path) -> None:
    """The error leads to the variable, not to a line of the file that is right."""
    error = refusal(tmp_path, GOOD, {"SLUICE_TOPICS_PARTITIONS": "many"})
    assert error.reason == (
        "topics.partitions (from SLUICE_TOPICS_PARTITIONS): found a string, it must be an integer"
    )


def test_names_of_variables() -> None:
    """Upper case, and an underscore for whatever is neither letter nor digit."""
    assert variable(("models", "gpt-4o.x", "context")) == "SLUICE_MODELS_GPT_4O_X_CONTEXT"
