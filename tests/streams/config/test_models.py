"""Models and the pools of their servers, as sluice.toml describes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.models.pools import Pool, served
from tests.streams.config.files import GOOD, read, refusal

POOLS = """
[models.small.pools.long]
context = 60_000
[models.small.pools.short]
context = 4_000
output_price = "0.30"
base_url = "http://short/v1"
concurrency = 64
capacity = 128
"""


def test_pools_are_ordered_by_context(tmp_path: Path) -> None:
    """What one leaves out is the model's; the model's context is that of the longest."""
    config = read(tmp_path, GOOD + POOLS)
    (model,) = config.catalog().models
    assert model.pools == (
        Pool("short", 4_000, 150_000_000, 300_000_000, 128),
        Pool("long", 60_000, 150_000_000, 600_000_000),
    )
    assert model.context == 60_000
    short, long = (config.models["small"].of_pool(name) for name in ("short", "long"))
    assert (short.base_url, short.concurrency) == ("http://short/v1", 64)
    assert (long.base_url, long.concurrency) == (None, 16)


def test_pools_are_served_under_names_of_their_own(tmp_path: Path) -> None:
    """The model's own topic stays, for what was routed before."""
    config = read(tmp_path, GOOD + POOLS)
    assert config.served() == ["small", "small.long", "small.short"]
    assert [served("small"), served("small", "long")] == ["small", "small.long"]


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("short.context = 200_000", "pools.short.context", "at most the model's context"),
        ("short.context = 60_000\nlong.context = 60_000", "pools.long.context", "the same"),
        ('short = { context = 9, input_price = "1" }', "pools.short.input_price", "the model's"),
        ("short = { context = 9, input_price = nan }", "small.pools.short.input_price", "amount"),
        ("short = { context = 9, output_price = -1 }", "small.pools.short.output_price", "amount"),
        ("short.input_price = 0.1", "pools.short.context", "required"),
        ("short = { context = 9, capacity = 0 }", "pools.short.capacity", "1"),
    ],
    ids=[
        "longer than the model",
        "of one length",
        "dearer than the model",
        "no number",
        "negative",
        "without a context",
        "without room",
    ],
)
def test_pools_that_cannot_be_used(tmp_path: Path, text: str, key: str, words: str) -> None:
    """The key and the rule are told."""
    error = refusal(tmp_path, GOOD + "[models.small.pools]\n" + text)
    assert (error.key or "").endswith(key)
    assert words in str(error)


def test_two_things_of_one_name_are_refused(tmp_path: Path) -> None:
    """A pool would have the topic of another model."""
    other = '[models."small.short"]\ninput_price = "1"\noutput_price = "1"\nbudget.limit = "1"\n'
    assert "names a model and a pool" in str(refusal(tmp_path, GOOD + POOLS + other))
