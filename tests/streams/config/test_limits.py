"""What must hold of the sections about amounts: every way to say a limit means one thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.budget.windows import Windowing
from schemas.invalid import Invalid
from streams.config.limits import to_nano
from streams.config.loader import ConfigError
from streams.config.settings import Config, load

FILE = """
[models.a]
input_price = 1
output_price = 1
budget = { limit = "5", window = "day" }
[models.b]
input_price = 1
output_price = 1
[budget]
total = "7"
window = "day"
[limits.tpm]
amount = 900
unit = "tokens"
models = ["b*"]
window = "minute"
[limits.fair]
amount = "0.5"
tenants = "each"
window = "month"
time_zone = "Europe/Berlin"
carry_over = true
[limits.partners]
amount = 3
unit = "requests"
tenants = ["x", "y"]
window = "hour"
[tenants.x.limits]
tpm = 40
a = "0.25"
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "sluice.toml"
    file.write_text(FILE)
    return load(file, {})


def test_all_limits_stand_in_one_order(config: Config) -> None:
    """Models' own, the total, then the others; amounts in the unit of each."""
    assert list(config.limit_set().index) == ["a", "total", "tpm", "fair", "partners"]
    assert config.amounts() == {
        "a": 5 * 10**9,
        "total": 7 * 10**9,
        "tpm": 900,
        "fair": 5 * 10**8,
        "partners": 3,
    }
    assert list(config.windows()) == list(config.limit_set().index)
    assert config.windows()["fair"] == Windowing("month", "Europe/Berlin", None)
    assert config.allowances()["fair"].carry_over
    assert config.tenant_limits() == {"tpm\tx": 40, "a\tx": 250_000_000}


def test_what_limits_cover(config: Config) -> None:
    """Models by pattern, tenants together or each."""
    limits = config.limit_set()
    assert limits.models(["a", "b", "b2"]).tolist() == [
        [True, False, False],
        [True, True, True],
        [False, True, True],
        [True, True, True],
        [True, True, True],
    ]
    assert limits.each == ("fair",)
    assert limits.limits[4].tenants == frozenset({"x", "y"})


def test_without_endless_limits_nothing_is_expected(config: Config) -> None:
    """The number of queries may be left out."""
    assert config.policy.expected_queries is None


@pytest.mark.parametrize("amount", ["1e-10", "-1", "NaN", "1e10", "1e-999999999", f"1.{'0' * 40}1"])
def test_an_amount_is_whole_nano_units(amount: str) -> None:
    """As many as a ledger can count."""
    from decimal import Decimal

    with pytest.raises(Invalid, match="amount"):
        to_nano("amount", Decimal(amount))


@pytest.mark.parametrize("start", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z"])
def test_windows_begin_within_the_calendar(tmp_path: Path, start: str) -> None:
    """Routers could not count them from there."""
    file = tmp_path / "sluice.toml"
    file.write_text(FILE.replace('window = "month"', f'window = "month"\nstart = {start}'))
    with pytest.raises(ConfigError, match=r"limits.fair.start: .*between 1970 and 5138"):
        load(file, {})


def test_a_tenants_part_is_in_the_unit_of_the_limit(tmp_path: Path) -> None:
    """More tokens than units of currency may be counted, and no part of one."""
    file = tmp_path / "sluice.toml"
    file.write_text(FILE.replace("tpm = 40", "tpm = 20_000_000_000"))
    assert load(file, {}).tenant_limits()["tpm\tx"] == 20_000_000_000
    file.write_text(FILE.replace("tpm = 40", "tpm = 0.5"))
    with pytest.raises(ConfigError, match=r"tenants.x.limits.tpm: .*a whole number of tokens"):
        load(file, {})


@pytest.mark.parametrize("zone", ["", "Atlantis", "Europe", "../etc", "x" * 300])
def test_a_window_is_in_a_known_time_zone(tmp_path: Path, zone: str) -> None:
    """A part of a name is none, though it is a folder where the names are kept."""
    file = tmp_path / "sluice.toml"
    file.write_text(FILE.replace("Europe/Berlin", zone))
    with pytest.raises(ConfigError, match=r"limits.fair.time_zone: .*it must be an IANA name"):
        load(file, {})


@pytest.mark.parametrize(("key", "words"), [("models", "all"), ("tenants", "all, each")])
def test_names_stand_in_an_array(tmp_path: Path, key: str, words: str) -> None:
    """One name alone is none of the words, and the error says what it may be."""
    file = tmp_path / "sluice.toml"
    file.write_text(f'{FILE}\n[limits.one]\namount = 1\n{key} = "b"\n')
    rule = rf"limits.one.{key}: found a string, it must be one of: {words}, or an array"
    with pytest.raises(ConfigError, match=rule):
        load(file, {})
