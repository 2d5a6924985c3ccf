"""One file says what a deployment is; whatever is wrong in it is told by key and rule."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.budget.ledger import account_key
from router.models.catalog import Model
from streams.config.loader import variable
from streams.config.settings import Config, ConfigError, load

EXAMPLE = Path(__file__).parents[3] / "examples" / "sluice.toml"
POLICY = "[policy]\nexpected_queries = 1000\n"
SMALL = '[models.small]\ninput_price = "0.15"\noutput_price = 0.6\nbudget = {limit = "5"}\n'
GOOD = SMALL + POLICY


def read(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> Config:
    file = folder / "sluice.toml"
    file.write_text(text)
    return load(file, environment or {})


def refusal(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(folder, text, environment)
    assert str(caught.value).startswith(f"{folder / 'sluice.toml'}: ")
    return caught.value


def test_the_shortest_file(tmp_path: Path) -> None:
    """A model, its budget and what to expect are enough; the rest has defaults."""
    config = read(tmp_path, GOOD)
    assert config.catalog().models == (Model("small", 150_000_000, 600_000_000, 4096, 128_000),)
    assert config.limits().tolist() == [5_000_000_000]
    assert (config.policy.name, config.router.chunk, config.reservation.mode) == (
        "primal-dual",
        500,
        "max",
    )


def test_the_example_is_valid_and_shows_the_defaults(tmp_path: Path) -> None:
    """The example can be copied as it is; what it calls a default is one."""
    shown, bare = load(EXAMPLE, {}), read(tmp_path, GOOD)
    for section in ("broker", "topics", "embedder", "index", "reservation", "router"):
        assert getattr(shown, section) == getattr(bare, section)
    assert shown.policy.name == bare.policy.name
    assert shown.allowance("small").starts_at() == 1_767_225_600


def test_documented_keys_are_the_keys_there_are() -> None:
    """docs/reference/configuration.md names every section and every key of the code."""
    documented = (EXAMPLE.parents[1] / "docs" / "reference" / "configuration.md").read_text()
    for name, section in zip(Config.__struct_fields__, _sections(), strict=True):
        assert f"[{name}" in documented
        for key in section:
            assert f"`{key}`" in documented


def _sections() -> list[tuple[str, ...]]:
    config = load(EXAMPLE, {})
    known = {
        "models": config.models["small"],
        "budget": config.models["small"].budget,
        "tenants": config.tenants["trial"],
    }
    return [
        known.get(name, getattr(config, name)).__struct_fields__
        for name in Config.__struct_fields__
    ]


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[models", None, "not TOML"),
        (POLICY, "models", "found nothing, it is required"),
        ("models = 5\n" + POLICY, "models", "found an integer, it must be an object"),
        ("[models]\nsmall = 1\n" + POLICY, "models.small", "found an integer"),
        ("[models]\n" + POLICY, "models", "length must be at least 1"),
        (SMALL, "policy.expected_queries", "found nothing, it is required"),
        ("topics = 3\n" + GOOD, "topics", "found an integer, it must be an object"),
        ("colour = 1\n" + GOOD, "colour", "no such key; there are: models, policy"),
        (GOOD + "[topic]\n", "topic", "no such key; did you mean topics?"),
        (GOOD + "[topics]\npartitons = 3", "topics.partitons", "did you mean partitions?"),
        (GOOD + "[topics]\npartitions = '3'", "topics.partitions", "found a string"),
        (GOOD + "[topics]\npartitions = 0", "topics.partitions", "must be at least 1"),
        (GOOD + "[topics]\nprefix = 'a b'", "topics.prefix", "matching"),
        (GOOD + "[router]\nstore = 'disk'", "router.store", "one of: memory, rocksdb"),
        (GOOD + "[router]\ndata_dir = 5", "router.data_dir", "found an integer, it must be a str"),
        (GOOD + "[embedder]\nkind = 'bert'", "embedder.kind", "it must be one of: wordllama"),
        (GOOD + "[embedder]\nkind = 'http'", "embedder.url", "embedder http needs it"),
        (SMALL + POLICY + "name = 'best'", "policy.name", "it must be one of: primal-dual"),
        (GOOD.replace('"0.15"', "-1"), "models.small.input_price", "an amount of 0 or more"),
        (GOOD.replace('"0.15"', "inf"), "models.small.input_price", "an amount of 0 or more"),
        (GOOD.replace('"0.15"', '"cheap"'), "models.small.input_price", "decimal"),
        (GOOD.replace('"0.15"', '"1e-10"'), "models.small.input_price", "nano-units"),
        (GOOD.replace('"0.15"', '"1e999999"'), "models.small.input_price", "at most"),
        (GOOD.replace('"0.15"', '"1e9"'), "models.small.output_price", "longest answer"),
        (GOOD.replace('"5"', "-5"), "models.small.budget.limit", "an amount of 0 or more"),
        (GOOD.replace('"5"', "true"), "models.small.budget.limit", "found a boolean"),
        (
            GOOD.replace('"5"', '"5", window = "week"'),
            "models.small.budget.window",
            "one of: day, hour, month, none",
        ),
        (
            GOOD.replace('"5"', '"5", start = 2026-01-01T00:00:00'),
            "models.small.budget.start",
            "timezone",
        ),
        (GOOD.replace('{limit = "5"}', "5"), "models.small.budget", "found an integer"),
        (
            GOOD.replace('budget = {limit = "5"}', ""),
            "models.small.budget",
            "each model needs one, or [budget] a total",
        ),
        (GOOD + "[budget]\ntotal = 5", "models.small.budget", "must be left out"),
        (
            GOOD + "[tenants.shop.limits]\nbig = 5",
            "tenants.shop.limits.big",
            "'big' is no model; there are: small",
        ),
        (
            GOOD + "[tenants.shop.limits]\nsmall = -5",
            "tenants.shop.limits.small",
            "an amount of 0 or more",
        ),
        (
            GOOD + "[tenants.shop.limits]\nsmall = true",
            "tenants.shop.limits[...]",
            "found a boolean, it must be a decimal",
        ),
        (GOOD + "[tenants.shop]\nlimit = 5", "tenants.shop.limit", "did you mean limits?"),
        (GOOD + "[tenants]\nshop = 5", "tenants.shop", "it must be a section of its own"),
        (GOOD + '[tenants."a\\tb".limits]\nsmall = 5', "tenants (a key)", "control characters"),
        (
            GOOD + SMALL.replace("small", "a-b") + SMALL.replace("small", "a_b"),
            "models",
            "the same variables would set a-b and a_b",
        ),
    ],
)
def test_refusals(tmp_path: Path, text: str, key: str | None, words: str) -> None:
    """The error names file, key and rule, and what was found."""
    error = refusal(tmp_path, text)
    assert error.key == key
    assert words in error.reason
    if key:
        assert error.reason.startswith(f"{key}: ")


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
    assert config.limits().tolist() == [7_000_000_000]
    assert (config.router.store, config.router.data_dir) == ("rocksdb", Path("/data"))


def test_limits_of_tenants(tmp_path: Path) -> None:
    """Each is an account of its own, in nano-units; a variable can change it."""
    text = GOOD + SMALL.replace("small", "gpt-4o") + '[tenants.shop.limits]\n"gpt-4o" = "2.5"\n'
    text += "[tenants.bank.limits]\nsmall = 1\n"
    config = read(tmp_path, text, {"SLUICE_TENANTS_SHOP_LIMITS_GPT_4O": "3"})
    assert config.tenant_limits() == {
        account_key("gpt-4o", "shop"): 3_000_000_000,
        account_key("small", "bank"): 1_000_000_000,
    }
    assert read(tmp_path, GOOD).tenant_limits() == {}


def test_an_override_can_make_a_section(tmp_path: Path) -> None:
    """A total budget can come from the environment alone."""
    text = GOOD.replace('budget = {limit = "5"}', "")
    config = read(tmp_path, text, {"SLUICE_BUDGET_TOTAL": "9"})
    assert config.limits(np.array([0.5]), np.array([10.0])).tolist() == [9_000_000_000]


def test_a_wrong_override_is_named_and_not_shown(tmp_path: Path) -> None:
    """The error leads to the variable, not to a line of the file that is right."""
    error = refusal(tmp_path, GOOD, {"SLUICE_TOPICS_PARTITIONS": "many"})
    assert error.reason == (
        "topics.partitions (from SLUICE_TOPICS_PARTITIONS): found a string, it must be an integer"
    )


def test_names_of_variables() -> None:
    """Upper case, and an underscore for whatever is neither letter nor digit."""
    assert variable(("models", "gpt-4o.x", "context")) == "SLUICE_MODELS_GPT_4O_X_CONTEXT"


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """Printing a configuration does not print what security settings hold."""
    config = read(tmp_path, GOOD + '[broker]\nsecurity = {"sasl.password" = "hunter2"}')
    assert "hunter2" not in repr(config)
    assert "sasl.password" in repr(config)


def test_the_embedder_gets_what_was_set(tmp_path: Path) -> None:
    """Only keys that were set become arguments of the embedder."""
    config = read(tmp_path, GOOD + "[embedder]\nkind = 'given'\ndimension = 8")
    assert config.embedder.arguments() == {"dimension": 8}


TOTAL = """
[models.a]
input_price = 0
output_price = 1
[models.b]
input_price = 0
output_price = 1
[budget]
total = "0.000001001"
"""


@given(
    score=st.lists(st.floats(0, 1), min_size=2, max_size=2),
    cost=st.lists(st.floats(0, 1e12), min_size=2, max_size=2),
)
def test_a_total_is_split_to_the_last_nano_unit(
    tmp_path_factory: pytest.TempPathFactory, score: list[float], cost: list[float]
) -> None:
    """Shares are never negative and sum to the total, whatever the history says."""
    file = tmp_path_factory.getbasetemp() / "total.toml"
    file.write_text(TOTAL + POLICY)
    limits = load(file, {}).limits(np.array(score), np.array(cost))
    assert limits.sum() == 1001
    assert (limits >= 0).all()


def test_a_total_follows_the_square_root_of_score_over_cost(tmp_path: Path) -> None:
    """Four times as dear for the same score gets half as much."""
    config = read(tmp_path, TOTAL.replace("0.000001001", "3") + POLICY)
    limits = config.limits(np.array([0.5, 0.5]), np.array([4.0, 1.0]))
    assert limits.tolist() == [1_000_000_000, 2_000_000_000]
    with pytest.raises(ValueError, match="by a history"):
        config.limits()
