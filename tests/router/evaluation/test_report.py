"""The page that an evaluation writes."""

from __future__ import annotations

import pytest

from router.evaluation.experiment import Setting, compare
from router.evaluation.summary import summarise
from tests.support.outcomes import ground

pytest.importorskip("matplotlib")
from router.evaluation.report import page


def test_page_names_every_policy_and_escapes_text() -> None:
    """Tables and plots of all that ran, no link to anything outside; it repeats."""
    shown = list(compare(ground(), Setting(), ["primal-dual", "random"]))
    lines = summarise(row for row, _, _ in shown)
    pages = [page("a <b> & c", {"seed": 0}, lines, shown, lines, lines) for _ in range(2)]
    assert pages[0] == pages[1]
    for part in ("primal-dual", "random", "offline-lp-truth", "a &lt;b&gt; &amp; c", "seed 0"):
        assert part in pages[0]
    assert "<b> & c" not in pages[0]
    assert "<script" not in pages[0]
    assert pages[0].count("<svg") == pages[0].count("</svg>") >= 4
