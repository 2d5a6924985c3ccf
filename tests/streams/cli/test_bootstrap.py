"""`sluice bootstrap`: from prompts with references to an index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson
from click.testing import CliRunner

from router.estimation.index.manifest import read_manifest
from schemas import Query, Source
from streams.brokers.embedded import EmbeddedBroker
from streams.cli import main
from tests.support.front import deploy
from tests.support.stand_in import Message, StandIn, answered, completion, failed


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
