"""docker-compose.yml and Dockerfile, as far as they can be checked without Docker."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource

from router.evaluation.datasets import read_jsonl
from schemas import Query
from schemas.wire import decode
from streams.brokers import jars
from streams.brokers.kafka import KafkaServer
from streams.cli import main
from streams.config.settings import load
from tests.support import tools

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
ONE_SHOTS = {"topics-init", "index-init"}
MONITORING = {"prometheus", "grafana"}
OURS = [name for name in SERVICES if name not in {"kafka", *MONITORING}]
EXAMPLE = ROOT / "examples" / "sluice.toml"
MODELS = list(tomllib.loads(EXAMPLE.read_text())["models"])
DOCKERFILE = (ROOT / "Dockerfile").read_text()
DIGEST = r"@sha256:[0-9a-f]{64}"
IMAGE_ONLY = {"KAFKA_HEAP_OPTS"}
"""Read by the image's scripts, and no setting of the broker."""


def settings() -> dict[str, str]:
    """Kafka's settings out of the variables, as the image makes them."""
    return {
        name.removeprefix("KAFKA_").lower().replace("_", "."): str(value)
        for name, value in SERVICES["kafka"]["environment"].items()
        if name.startswith("KAFKA_") and name not in IMAGE_ONLY
    }


def default(text: str) -> str:
    """The text with each ${NAME:-default} as where NAME is not set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


class TestServices:
    def test_compose_reads_it(self) -> None:
        """Compose's own reader: schema, variables, and that all that is referred to is there."""
        found = tools.run(
            tools.find("compose-config"), "-format", "json", ROOT / "docker-compose.yml"
        )
        assert json.loads(found)["services"].keys() == SERVICES.keys()

    def test_one_worker_a_model_of_the_example(self) -> None:
        """The services are the broker, the two one-shots, a router, and each model's worker; if
        asked for, what watches them."""
        workers = {f"worker-{model}" for model in MODELS}
        assert set(SERVICES) == {"kafka", "router"} | ONE_SHOTS | workers | MONITORING
        for model in MODELS:
            assert SERVICES[f"worker-{model}"]["command"] == ["work", model, "--wait-for-key"]
        asked_for = {name for name, service in SERVICES.items() if "profiles" in service}
        assert asked_for == MONITORING

    @pytest.mark.parametrize("name", sorted(SERVICES))
    def test_memory_is_bounded_and_images_are_pinned(self, name: str) -> None:
        """No service can take the machine's memory, or change its version by itself."""
        service = SERVICES[name]
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
        if name in OURS:
            assert service["build"] == "."
        else:
            pinned = rf"[a-z/]+:v?\d+\.\d+\.\d+{DIGEST}"
            assert re.fullmatch(pinned, default(service["image"]))

    @pytest.mark.parametrize("name", sorted(ONE_SHOTS))
    def test_one_shots_end(self, name: str) -> None:
        """What runs once is not restarted for ever."""
        assert "restart" not in SERVICES[name]

    def test_dependencies_exist_and_wait_for_the_right_thing(self) -> None:
        """One-shots are awaited until they succeed, the broker until it is healthy."""
        for service in SERVICES.values():
            for other, how in service.get("depends_on", {}).items():
                wanted = "completed_successfully" if other in ONE_SHOTS else "healthy"
                assert how == {"condition": f"service_{wanted}"}
                assert other in SERVICES
        assert set(SERVICES["router"]["depends_on"]) == ONE_SHOTS

    def test_ports_are_this_machines_only(self) -> None:
        """Nothing is open to the network."""
        ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
        assert ports
        assert all(port.startswith("127.0.0.1:") for port in ports)

    def test_volumes_are_declared(self) -> None:
        """A named volume that a service mounts is in the list; paths are in the tree."""
        for service in SERVICES.values():
            for volume in service.get("volumes", []):
                source = default(volume).split(":")[0]
                if source.startswith("."):
                    assert (ROOT / source).exists(), source
                else:
                    assert source in COMPOSE["volumes"]

    def test_no_secret_is_written_down(self) -> None:
        """Keys come from the environment: their values in the file are empty."""
        for service in SERVICES.values():
            for name, value in service.get("environment", {}).items():
                if re.search(r"KEY|PASSWORD|SECRET|TOKEN", name):
                    assert default(str(value)) == "", name

    def test_a_learned_index_stays(self) -> None:
        """Whoever starts again does not lose what the index has learned."""
        assert "--if-missing" in SERVICES["index-init"]["command"]


class TestCommands:
    @pytest.mark.parametrize("name", OURS)
    def test_commands_are_those_of_the_command_line(self, name: str) -> None:
        """Each service's command is parsed by the real one, options and all."""
        arguments = list(SERVICES[name]["command"])
        command: click.Command = main
        context = click.Context(main)
        while isinstance(command, click.Group):
            found = command.get_command(context, arguments.pop(0))
            assert found is not None
            command = found
        command.make_context(name, arguments)

    def test_the_health_check_is_a_command(self) -> None:
        """What the checks of router and workers call exists."""
        for name in set(OURS) - ONE_SHOTS:
            assert SERVICES[name]["healthcheck"]["test"] == ["CMD", "sluice", "health"]
        assert main.get_command(click.Context(main), "health") is not None

    @pytest.mark.parametrize("name", OURS)
    def test_variables_are_understood_by_the_configuration(self, name: str) -> None:
        """The example is valid under each service's variables, and takes them over."""
        variables = {key: default(value) for key, value in SERVICES[name]["environment"].items()}
        config = load(EXAMPLE, variables)
        assert config.broker.servers == "kafka:19092"
        assert config.index.path == Path("/index/current")

    def test_the_index_is_built_where_the_router_looks(self) -> None:
        """Both mount the same volume above the configured path."""
        for name in ("index-init", "router"):
            mounted = {volume.split(":")[0]: volume for volume in SERVICES[name]["volumes"]}
            assert mounted["index"].split(":")[1] == "/index"


class TestKafka:
    def test_the_version_is_the_one_that_is_tested(self) -> None:
        """Image and jars are the same Kafka."""
        image, _, _ = default(SERVICES["kafka"]["image"]).partition("@")
        assert image == f"apache/kafka:{jars.VERSION}"

    def test_listeners_fit_together(self) -> None:
        """What is advertised is listened on, mapped to a protocol and reached by services."""
        found = settings()
        listeners = dict(each.split("://:") for each in found["listeners"].split(","))
        advertised = dict(
            each.split("://") for each in default(found["advertised.listeners"]).split(",")
        )
        protocols = dict(
            each.split(":") for each in found["listener.security.protocol.map"].split(",")
        )
        assert protocols.keys() == listeners.keys()
        assert listeners.keys() - advertised.keys() == {found["controller.listener.names"]}
        assert all(advertised[name].split(":")[1] == listeners[name] for name in advertised)
        node, address = found["controller.quorum.voters"].split("@")
        assert node == found["node.id"]
        assert address == f"kafka:{listeners['CONTROLLER']}"
        assert advertised[found["inter.broker.listener.name"]] == "kafka:19092"
        assert SERVICES["kafka"]["healthcheck"]["test"][-1] == "kafka:19092"
        [port] = SERVICES["kafka"]["ports"]
        assert default(port).endswith(f":{listeners['HOST']}")

    @pytest.mark.kafka
    def test_each_setting_is_one_of_kafkas(self, kafka_broker: KafkaServer) -> None:
        """A name that Kafka does not know would be passed over in silence."""
        admin = AdminClient({"bootstrap.servers": kafka_broker.servers})
        [answer] = admin.describe_configs(
            [ConfigResource(ConfigResource.Type.BROKER, "1")]
        ).values()
        assert settings().keys() - answer.result(30).keys() == set()


class TestMonitoring:
    def test_all_that_runs_is_scraped_where_it_answers(self) -> None:
        """Prometheus asks routers and workers by their services' names, at their port."""
        folder = ROOT / "deploy" / "prometheus"
        settings = yaml.safe_load((folder / "prometheus.yml").read_text())
        [[found]] = [each["dns_sd_configs"] for each in settings["scrape_configs"]]
        assert set(found["names"]) == set(OURS) - ONE_SHOTS
        for name in found["names"]:
            assert SERVICES[name]["environment"]["SLUICE_METRICS"] == f"0.0.0.0:{found['port']}"
        for rules in settings["rule_files"]:
            assert (folder / rules).is_file()
        # Rules and dashboard look for deployments under this name.
        assert re.search("sluice", settings["scrape_configs"][0]["job_name"])

    def test_prometheus_accepts_its_configuration(self) -> None:
        """promtool's own check, of the rules too."""
        promtool = tools.find("promtool")
        tools.run(promtool, "check", "config", ROOT / "deploy" / "prometheus" / "prometheus.yml")

    def test_grafana_finds_what_it_is_given(self) -> None:
        """The data source is this Prometheus, and the dashboard lies where it looks."""
        provisioning = ROOT / "deploy" / "grafana" / "provisioning"
        source = yaml.safe_load((provisioning / "datasources" / "sluice.yml").read_text())
        assert source["datasources"][0]["url"] == "http://prometheus:9090"
        provider = yaml.safe_load((provisioning / "dashboards" / "sluice.yml").read_text())
        mounts = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
        where = provider["providers"][0]["options"]["path"]
        assert mounts["./deploy/grafana/dashboards"] == where
        home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
        assert (ROOT / "deploy/grafana/dashboards" / Path(home).relative_to(where)).is_file()


class TestDockerfile:
    def test_all_that_the_build_needs_is_sent(self) -> None:
        """Each COPY from the tree names something that is there and not ignored."""
        ignored = (ROOT / ".dockerignore").read_text().splitlines()
        sources = [
            source
            for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
            for source in line.split()[:-1]
        ]
        assert {"schemas", "router", "streams", "requirements.lock"} <= set(sources)
        for source in sources:
            assert (ROOT / source).exists()
            assert f"!{source}" in ignored

    def test_it_runs_as_nobody_special_and_without_a_compiler(self) -> None:
        """The last stage has a user of its own, and installs nothing."""
        last = DOCKERFILE.rsplit("FROM ", 1)[1]
        assert re.search(r"^USER sluice$", last, re.MULTILINE)
        assert "apt-get" not in last
        assert "g++" in DOCKERFILE

    def test_its_python_is_supported(self) -> None:
        """The images' Python satisfies requires-python."""
        [version] = re.findall(
            r"^ARG PYTHON=python:3\.(\d+)\.\d+-slim-\w+" + DIGEST, DOCKERFILE, re.MULTILINE
        )
        assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON}"] * 2
        assert int(version) >= 11

    def test_what_it_depends_on_is_locked(self) -> None:
        """Every package has its hash, in the version that development and CI have; all that the
        project asks for is among them."""
        assert "--require-hashes -r requirements.lock" in DOCKERFILE
        locked, wanted = (
            set(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", (ROOT / file).read_text(), re.MULTILINE))
            for file in ("requirements.lock", "requirements-dev.lock")
        )
        assert locked <= wanted
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        asked = {re.split(r"[^A-Za-z0-9._-]", one)[0] for one in project["dependencies"]}
        assert asked <= {name for name, _ in locked}


class TestExamples:
    def test_the_history_knows_the_models(self) -> None:
        """The example's history has outcomes of each of the example's models."""
        dataset = read_jsonl(ROOT / "examples" / "history.jsonl")
        assert set(dataset.models) == set(MODELS)

    def test_the_queries_are_valid(self) -> None:
        """Each line can be sent as it is."""
        lines = (ROOT / "examples" / "queries.jsonl").read_bytes().splitlines()
        assert lines
        for line in lines:
            decode(Query, line)
