"""One file says what a deployment is; whatever is wrong in it is told by key and rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.budget.ledger import account_key
from router.models.catalog import Model
from streams.config.settings import Config, load
from tests.streams.config.files import GOOD, POLICY, SMALL, read, refusal

EXAMPLE = Path(__file__).parents[3] / "examples" / "sluice.toml"


def test_the_shortest_file(tmp_path: Path) -> None:
    """A model, its budget and what to expect are enough; the rest has defaults."""
    config = read(tmp_path, GOOD)
    assert config.catalog().models == (Model("small", 150_000_000, 600_000_000, 4096, 128_000),)
    assert list(config.amounts().values()) == [5_000_000_000]
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
    assert shown.allowances()["small"].starts_at() == 1_767_225_600


def test_documented_keys_are_the_keys_there_are() -> None:
    """docs/reference/configuration.md names every section and every key of the code."""
    documented = (EXAMPLE.parents[1] / "docs" / "reference" / "configuration.md").read_text()
    for name, section in zip(Config.__struct_fields__, _sections(), strict=True):
        assert f"[{name}" in documented
        for key in section:
            assert f"`{key}`" in documented


LARGE = SMALL.replace("small", "large")
SHARED = (SMALL + LARGE).replace('budget = {limit = "5"}', "") + '[budget]\ntotal = "5"\n'
TOKENS = SHARED.replace("[budget]\ntotal", "[limits.tokens]\nunit = 'tokens'\namount")
TOKENS = TOKENS.replace('"5"', "5000")
POOL = "[models.small.pools.only]\ncontext = 4096\n"


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (SMALL + POLICY + "floor = 0.9", "policy.floor", "only the policy quality-floor"),
        (
            SMALL + POLICY + "name = 'quality-floor'\ncorrections = true",
            "policy.corrections",
            "only the policy primal-dual",
        ),
        (SMALL + POLICY + "eagle.k = 16", "policy.eagle", "only the policy eagle heeds it"),
        (SMALL + POLICY + "explore = 0.1\nexplore_money = 0", "policy.explore_money", "be paid"),
        (SHARED + POLICY + "name = 'knn-cost'", "policy.name", "all draw on the same money"),
        (TOKENS + POLICY + "name = 'greedy-cost'", "policy.name", "all draw on the same money"),
        (TOKENS + POLICY + "name = 'eagle'", "policy.eagle.query_budget", "no limit counts money"),
        (SMALL + POOL + POLICY, "models.small.pools", "none of these would fit"),
    ],
    ids=[
        "floor",
        "corrections",
        "eagle",
        "explore",
        "one budget",
        "no money",
        "no budget",
        "short pools",
    ],
)
def test_what_cannot_work_together(tmp_path: Path, text: str, key: str, words: str) -> None:
    """It is refused with the reason, before a router starts."""
    error = refusal(tmp_path, text)
    assert error.key == key
    assert words in str(error)


@pytest.mark.parametrize(
    "text",
    [
        SMALL + POLICY + "name = 'quality-floor'\nfloor = 0.9",
        SMALL + POLICY + "name = 'eagle'\neagle.k = 16",
        SMALL + LARGE + POLICY + "name = 'knn-cost'",
        SMALL + POLICY + "name = 'knn-cost'",
        TOKENS + POLICY + "name = 'eagle'\neagle.query_budget = 0.01",
        SMALL + POOL + POLICY + "[reservation]\nmode = 'quantile'",
    ],
    ids=["floor", "eagle", "own budgets", "one model", "query budget", "quantile"],
)
def test_what_works_together(tmp_path: Path, text: str) -> None:
    """The same settings where something heeds them."""
    assert read(tmp_path, text)


def _sections() -> list[tuple[str, ...]]:
    config = load(EXAMPLE, {})
    known = {
        "models": config.models["small"],
        "budget": config.models["small"].budget,
        "limits": config.limits["provider"],
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
        (SMALL, "policy.expected_queries", "needed where a limit has no window, as that of small"),
        ("topics = 3\n" + GOOD, "topics", "found an integer, it must be an object"),
        ("colour = 1\n" + GOOD, "colour", "no such key; there are: models, policy"),
        (GOOD + "[topic]\n", "topic", "no such key; did you mean topics?"),
        (GOOD + "[topics]\npartitons = 3", "topics.partitons", "did you mean partitions?"),
        (GOOD + "[topics]\npartitions = '3'", "topics.partitions", "found a string"),
        (GOOD + "[topics]\npartitions = 0", "topics.partitions", "must be at least 1"),
        (GOOD + "[topics]\nprefix = 'a b'", "topics.prefix", "matching"),
        (GOOD + "[router]\nstore = 'disk'", "router.store", "one of: memory, rocksdb"),
        (GOOD + "[router]\ndata_dir = 5", "router.data_dir", "found an integer, it must be a str"),
        (GOOD + "[router]\nsession_timeout = 1000", "router.session_timeout", "at most 90"),
        (GOOD + "[embedder]\nkind = 'bert'", "embedder.kind", "it must be one of: wordllama"),
        (GOOD + "[embedder]\nkind = 'http'", "embedder.url", "embedder http needs it"),
        (
            GOOD + "[tenants.shop]\nfloor = 0.5",
            "tenants.shop.floor",
            "only the policy quality-floor",
        ),
        (SMALL + POLICY + "eagle.part = 2", "policy.eagle.part", "1"),
        (SMALL + POLICY + "eagle.query_budget = -1", "policy.eagle.query_budget", ""),
        (SMALL + POLICY + "floor = 1.5", "policy.floor", "1"),
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
            "one of: day, hour, minute, month, none",
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
            "each model needs one, or a limit over it, or [budget] a total",
        ),
        (
            GOOD + "[budget]\ntotal = 5\nsplit = 'weighted'",
            "models.small.budget",
            "must be left out",
        ),
        (GOOD + "[limits.small]\namount = 5", "limits.small", "another name"),
        (GOOD + "[limits.total]\namount = 5", "limits.total", "another name"),
        (GOOD + "[limits.x]\namount = 5\nmodels = ['o*']", "limits.x.models", "no model"),
        (GOOD + "[limits.x]\namount = 1.5\nunit = 'tokens'", "limits.x.amount", "whole number"),
        (GOOD + "[limits.x]\namount = -1", "limits.x.amount", "0 or more"),
        (GOOD + "[limits.x]\namount = 1\ntenants = []", "limits.x.tenants", "at least 1"),
        (
            GOOD + "[tenants.shop.limits]\nbig = 5",
            "tenants.shop.limits.big",
            "'big' is no model or limit; there are: small",
        ),
        (
            GOOD + "[tenants.shop.limits]\nsmall = -5",
            "tenants.shop.limits.small",
            "an amount of 0 or more",
        ),
        (
            GOOD + "".join(f"[serve.keys.{name}]\nhash = 'sha256:{'a' * 64}'\n" for name in "ab"),
            "serve.keys.b.hash",
            "the key a has the same",
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
split = "weighted"
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
    limits = load(file, {}).amounts(np.array(score), np.array(cost)).values()
    assert sum(limits) == 1001
    assert min(limits) >= 0


def test_a_total_follows_the_square_root_of_score_over_cost(tmp_path: Path) -> None:
    """Four times as dear for the same score gets half as much."""
    config = read(tmp_path, TOTAL.replace("0.000001001", "3") + POLICY)
    limits = config.amounts(np.array([0.5, 0.5]), np.array([4.0, 1.0]))
    assert limits == {"a": 1_000_000_000, "b": 2_000_000_000}
    with pytest.raises(ValueError, match="by a history"):
        config.amounts()
