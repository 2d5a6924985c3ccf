"""Who judges. (Runs of a judge: tests/streams/cli/test_judge.py.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.invalid import Invalid
from streams.config.settings import load
from streams.judge.session import settings_of

MODEL = (
    '[models.a]\ninput_price = "1"\noutput_price = "1"\nbudget = { limit = "1", window = "day" }\n'
)


@pytest.mark.parametrize(
    ("section", "words"),
    [("", "judge"), ('[judge]\nmodel = "b"\n', "must be one of: a")],
    ids=["none", "unknown"],
)
def test_no_judge(tmp_path: Path, section: str, words: str) -> None:
    """What is missing or unknown is told."""
    file = tmp_path / "sluice.toml"
    file.write_text(MODEL + section)
    with pytest.raises(Invalid, match=words):
        settings_of(load(file, {}))
