"""The files of a batch after a kill."""

from __future__ import annotations

from pathlib import Path

from streams.serve.batch_files import Outcomes
from streams.serve.batch_lines import Request, outcome
from streams.serve.errors import ApiError
from tests.streams.serve.test_batch_lines import BATCH
from tests.streams.serve.test_chat import answer


def written(number: int, failed: bool = False) -> tuple[bytes, bool]:
    ending = ApiError(400, "x", "y") if failed else answer()
    answered, line = outcome(BATCH, Request(number, str(number), None, None), ending)
    return line, answered


def test_read_back(tmp_path: Path) -> None:
    """Counts and money are those of the files; half a line at the end is no line."""
    output, errors = tmp_path / "out.jsonl", tmp_path / "errors.jsonl"
    with Outcomes(output, errors) as outcomes:
        for number in (1, 2, 3):
            outcomes.add(*written(number))
        outcomes.add(*written(3))
        outcomes.add(*written(4, failed=True))
        assert (outcomes.answered, outcomes.failed, outcomes.spent) == (3, 1, 2100)
    assert output.read_bytes().count(b"\n") == 3
    whole = output.read_bytes()
    output.write_bytes(whole + written(5)[0][:50])
    with Outcomes(output, errors) as outcomes:
        assert outcomes.done == {1, 2, 3, 4}
        assert (outcomes.answered, outcomes.failed, outcomes.spent) == (3, 1, 2100)
        assert outcomes.models == {"small": 3}
        outcomes.add(*written(5))
    assert output.read_bytes() == whole + written(5)[0] + b"\n"


def test_cut_anywhere(tmp_path: Path) -> None:
    """Wherever a kill cuts a file, what is left are whole lines."""
    output, errors = tmp_path / "out.jsonl", tmp_path / "errors.jsonl"
    whole = b"".join(written(number)[0] + b"\n" for number in (1, 2))
    for length in range(0, len(whole), 7):
        output.write_bytes(whole[:length])
        with Outcomes(output, errors) as outcomes:
            assert outcomes.done == set(range(1, 1 + whole[:length].count(b"\n")))
