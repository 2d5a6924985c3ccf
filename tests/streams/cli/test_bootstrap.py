"""`sluice bootstrap`: from prompts with references to an index."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from router.estimation.index.manifest import read_manifest
from schemas import Query, Source
from streams.brokers.embedded import EmbeddedBroker
from streams.cli import main
from tests.support.front import deploy
from tests.support.stand_in import Message, StandIn, answered, completion, failed

COUNT = 20


def test_bootstrap(tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker) -> None:
    """Every model is asked every prompt, and the index has their scores; given again after a
    failure, only what is missing is asked."""
    deploy(tmp_path, prefix, embedded_broker)
    text = (tmp_path / "sluice.toml").read_text() + f'\n[index]\npath = "{tmp_path}/index"\n'
    (tmp_path / "sluice.toml").write_text(text)
    file = tmp_path / "prompts.jsonl"
    rows = [
        {"id": f"p{n}", "prompt": f"What is {n} plus 1, please?", "answer": n + 1}
        | {"scoring": "numeric"}
        for n in range(20)
    ]
    file.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    away = {"large"}

    def rule(query: Query, source: Source) -> Sequence[Message]:
        """Large is right; small is always 10."""
        assert query.allowed_models is not None
        model = query.allowed_models[0]
        if model in away:
            return [failed(query, source, 503, "INFERENCE_ERROR", "away")]
        number = int(query.text().split()[2]) + 1 if model == "large" else 10
        return [answered(query, source, model, response=completion(f"It is {number}.", model))]

    from streams.config.settings import load

    config = load(tmp_path / "sluice.toml", {"SLUICE_BROKER": embedded_broker.servers})
    out = tmp_path / "history.jsonl"
    command = ["bootstrap", str(file), "--history", str(out), "-c", str(tmp_path / "sluice.toml")]
    environment = {"SLUICE_BROKER": embedded_broker.servers}
    with StandIn(embedded_broker, config, rule) as stand_in:
        first = CliRunner().invoke(main, command, env=environment)
        assert "20 queries got no answer" in first.output
        away.clear()
        again = CliRunner().invoke(main, command, env=environment)
        assert again.exit_code == 0, again.output
        assert len(stand_in.seen) == 60
    lines = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert len(lines) == 20
    assert all(line["scores"]["large"] == 1 for line in lines)
    assert sum(line["scores"]["small"] for line in lines) == 1
    assert read_manifest(tmp_path / "index").count == 20


def begun(
    folder: Path, prefix: str, broker: EmbeddedBroker, more: str = "", **fields: Any
) -> tuple[Any, list[str], dict[str, str], Path]:
    """A deployment with a file of prompts: configuration, command, environment, and history."""
    config = deploy(folder, prefix, broker, f'\n[index]\npath = "{folder}/index"\n{more}')
    file, out = folder / "prompts.jsonl", folder / "history.jsonl"
    rows = [{"id": f"p{n}", "prompt": f"What is {n} plus 1?"} | fields for n in range(COUNT)]
    file.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    command = ["bootstrap", str(file), "--history", str(out), "-c", str(folder / "sluice.toml")]
    return config, command, {"SLUICE_BROKER": broker.servers}, out


def test_nothing_is_paid_twice_after_a_kill(
    tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker
) -> None:
    """What was answered before a kill, and had not been written down, is read back."""
    config, command, environment, out = begun(tmp_path, prefix, embedded_broker, answer="x")
    with StandIn(embedded_broker, config, lambda query, source: [_any(query, source)]) as stand_in:
        first = CliRunner().invoke(main, command, env=environment)
        assert first.exit_code == 0, first.output
        kept = out.with_suffix(".outcomes.jsonl")
        lines = kept.read_bytes().splitlines(keepends=True)
        kept.write_bytes(b"".join(lines[:5]) + lines[5][:7])
        again = CliRunner().invoke(main, command, env=environment)
        assert again.exit_code == 0, again.output
        assert len(stand_in.seen) == len({query.id for query in stand_in.seen}) == 2 * COUNT
    assert len(kept.read_bytes().splitlines()) == 2 * COUNT


def _any(query: Query, source: Source) -> Message:
    assert query.allowed_models is not None
    model = query.allowed_models[0]
    return answered(query, source, model, response=completion(f"{model} says", model))


def test_a_judge_compares(tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker) -> None:
    """Answers are compared with the dearest model's, in both orders, and the index has the
    verdicts; a second run asks nobody."""
    more = '\n[judge]\nmodel = "large"\n'
    config, command, environment, out = begun(tmp_path, prefix, embedded_broker, more)

    def rule(query: Query, source: Source) -> Sequence[Message]:
        """The judge finds small's answers better, but for those to odd numbers: always A."""
        found = re.search(r"VERDICT-\d+", query.text())
        if found is None:
            return [_any(query, source)]
        number = int(query.text().split("What is ")[1].split()[0])
        first = query.text().index("small says") < query.text().index("large says")
        better = "A" if first or number % 2 else "B"
        text = f"{found[0]}: {better}"
        return [answered(query, source, "large", response=completion(text, "large"))]

    with StandIn(embedded_broker, config, rule) as stand_in:
        for _ in range(2):
            found = CliRunner().invoke(main, [*command, "--judge", "pairwise"], env=environment)
            assert found.exit_code == 0, found.output
        assert len(stand_in.seen) == 4 * COUNT
    assert f"judged {COUNT}, of them 0 without" in found.output
    lines = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert [line["scores"] for line in lines[:2]] == [
        {"small": 1.0, "large": 0.5},
        {"small": 0.5, "large": 0.5},
    ]
    assert read_manifest(tmp_path / "index").count == COUNT


def test_an_unknown_judge(tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker) -> None:
    """A judge that is no model of the deployment is refused before anything is asked."""
    more = '\n[judge]\nmodel = "huge"\n'
    _, command, environment, _ = begun(tmp_path, prefix, embedded_broker, more)
    found = CliRunner().invoke(main, [*command, "--judge", "pointwise"], env=environment)
    assert found.exit_code == 1
    assert "judge.model" in found.output


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_prompts(config: Path, count: int) -> None:
    """Nothing is asked, so nothing is paid for."""
    file = config.with_name("prompts.jsonl")
    file.write_text('{"id": "a", "prompt": "x", "answer": "y"}\n' * count + "\n")
    result = CliRunner().invoke(main, ["bootstrap", str(file), "-c", str(config)])
    said = f"Error: {file}: {count} prompts, an index needs 2\n"
    assert (result.exit_code, result.stderr) == (1, said)


def test_what_compares_with_a_model_without_a_judge(config: Path) -> None:
    """The option would say nothing."""
    file = config.with_name("prompts.jsonl")
    file.write_text('{"id": "a", "prompt": "x", "answer": "y"}\n')
    command = ["bootstrap", str(file), "-c", str(config), "--against", "large"]
    for more in ([], ["--judge", "pointwise"]):
        result = CliRunner().invoke(main, [*command, *more])
        assert result.exit_code == 2
        assert "goes with --judge pairwise" in result.stderr


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ('{"id": "b", "prompt": "x"}', "scoring exact compares with it"),
        ('{"id": "b", "prompt": "x", "answer": "(", "scoring": "regex"}', "no regular expression"),
        ('{"id": "a", "prompt": "x", "answer": "y"}', "'a' appears a second time"),
    ],
)
def test_prompts_that_cannot_be_scored(config: Path, second: str, words: str) -> None:
    """They are named by their lines, and nothing is paid for."""
    file = config.with_name("prompts.jsonl")
    file.write_text(f'{{"id": "a", "prompt": "x", "answer": "y"}}\n{second}\n')
    result = CliRunner().invoke(main, ["bootstrap", str(file), "-c", str(config)])
    assert result.exit_code == 1
    assert f"Error: {file}, line 2: " in result.stderr
    assert words in result.stderr
