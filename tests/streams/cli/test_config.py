"""`sluice config validate`: whether a file can be used."""

from __future__ import annotations

from pathlib import Path

from tests.support.command import run

ROOT = Path(__file__).parents[3]


class TestConfig:
    def test_valid(self, config: Path) -> None:
        """A configuration that can be used is summed up."""
        code, stdout, _ = run("config", "validate", config)
        assert code == 0
        assert "valid; 2 models" in stdout

    def test_the_example_is_valid(self) -> None:
        """The example that people copy passes its own check."""
        assert run("config", "validate", ROOT / "examples" / "sluice.toml")[0] == 0

    def test_invalid(self, config: Path) -> None:
        """File, key and rule are named; exit code 1."""
        config.write_text(config.read_text().replace("partitions = 2", "partitions = 0"))
        code, _, stderr = run("config", "validate", config)
        assert code == 1
        assert str(config) in stderr
        assert "topics.partitions" in stderr

    def test_a_model_whose_topic_kafka_cannot_take(self, config: Path) -> None:
        """Names that make no topic are found before anything is made."""
        config.write_text(config.read_text().replace("models.small", f"models.{'m' * 250}"))
        code, _, stderr = run("config", "validate", config)
        assert code == 1
        assert "Kafka takes 249" in stderr

    def test_models_that_would_share_a_topic(self, config: Path) -> None:
        """Both are named before anything is made: their workers would answer for each other."""
        small, large = '[models."größe"]', '[models."gröäe"]'
        text = config.read_text().replace("[models.small]", small)
        config.write_text(text.replace('[models."org/large"]', large))
        code, _, stderr = run("config", "validate", config)
        assert code == 1
        assert "'größe' and 'gröäe' would share the topic" in stderr

    def test_missing_file(self, tmp_path: Path) -> None:
        """No configuration is an error with the file's name."""
        code, _, stderr = run("config", "validate", tmp_path / "nope.toml")
        assert code == 1
        assert "nope.toml" in stderr
