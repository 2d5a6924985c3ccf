"""The Helm chart: Helm accepts it, and what it renders fits Kubernetes, operators and Sluice."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel

from streams.cli import main
from streams.config.settings import Config, load
from streams.kafka.topics import Topics
from tests.support import tools

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "sluice"
PAGE = CHART.parents[2] / "docs" / "how-to" / "deploy.md"
PAGE_VALUES = re.findall(r"<!-- values -->\n```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
MODELS = """
[topics]
prefix = "llm."
partitions = 6
model_partitions = 8
[models."Org/Large:free"]
input_price = "1"
output_price = "2"
base_url = "http://large.models.svc:8000/v1"
budget = { limit = "1" }
[models.small]
input_price = "0.1"
output_price = "0.2"
base_url = "http://small.models.svc:8000/v1"
budget = { limit = "1" }
[policy]
expected_queries = 100
[router]
id = "llm-router"
"""
KEY = f"""
[serve.keys.shop]
hash = "sha256:{"0" * 64}"
tenant = "shop"
"""
EVERYTHING: dict[str, Any] = {
    "config": MODELS + KEY,
    "image": {"repository": "registry.example/sluice", "digest": f"sha256:{'0' * 64}"},
    "kafka": {"servers": "a.kafka:9094,b.kafka:9095"},
    "router": {"autoscaling": {"enabled": True}, "nodeSelector": {"pool": "llm"}},
    "workerDefaults": {"autoscaling": {"enabled": True, "minReplicas": 0}},
    "workers": {"Org/Large:free": {"args": ["--concurrency", "4"], "egressPorts": [8000]}},
    "index": {"build": {"enabled": True, "historyClaim": "history"}},
    "serve": {
        "enabled": True,
        "files": {"existingClaim": "batches"},
        "ingress": {"enabled": True, "host": "llm.example"},
    },
    "keda": {"triggerAuthentication": "kafka", "triggerMetadata": {"sasl": "scram_sha512"}},
    "metrics": {
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    },
    "networkPolicy": {"metricsFrom": [{"namespaceSelector": {}}]},
}
LEAST: dict[str, Any] = {
    "existingSecret": "",
    "topics": {"create": False},
    "router": {"persistence": {"enabled": False}, "podDisruptionBudget": False},
    "workerDefaults": {"podDisruptionBudget": False},
    "workers": {"small": {"enabled": False}},
    "audit": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "serviceAccount": {"create": False},
}
POOLS: dict[str, Any] = {
    "config": MODELS
    + """
[models.small.pools.short]
context = 8192
base_url = "http://short.models.svc:8001/v1"
[models.small.pools.long]
context = 128000
""",
    "workerDefaults": {"autoscaling": {"enabled": True}},
    "workers": {
        "small.short": {
            "args": ["--concurrency", "128"],
            "egressPorts": [8001],
            "autoscaling": {"minReplicas": 3},
        }
    },
}
CASES: Mapping[str, dict[str, Any]] = {
    "default": {},
    "everything": EVERYTHING,
    "least": LEAST,
    "pools": POOLS,
}
VERSIONS = ("1.27.0", "1.37.0")
"""Kubernetes' versions: the oldest that the chart names, and the newest whose schemas there are."""

Manifest = dict[str, Any]


@cache
def rendered(case: str) -> tuple[Manifest, ...]:
    """All that Helm makes of a case's values."""
    values = json.dumps(CASES[case])  # JSON is YAML
    text = tools.run(tools.find("helm"), "template", "my", CHART, "--values", "-", text=values)
    return tuple(found for found in yaml.safe_load_all(text) if found)


def named(case: str, kind: str, name: str) -> Manifest:
    """One manifest's spec, or data."""
    [found] = [m for m in rendered(case) if m["kind"] == kind and m["metadata"]["name"] == name]
    spec: Manifest = found.get("spec") or found["data"]
    return spec


def pods(case: str) -> Iterator[tuple[str, Manifest]]:
    """Each pod's name and spec, whatever makes it."""
    for manifest in rendered(case):
        spec = manifest.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template", {}).get("spec")
        if manifest["kind"] == "Pod":
            template = spec
        if template:
            yield manifest["metadata"]["name"], template


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    """Each case in turn."""
    return str(request.param)


class TestHelm:
    def test_lint(self, case: str) -> None:
        """Helm finds nothing to say, warnings included."""
        values = json.dumps(CASES[case])
        tools.run(tools.find("helm"), "lint", "--strict", CHART, "--values", "-", text=values)

    @pytest.mark.parametrize("values", PAGE_VALUES)
    def test_values_of_the_page_are_accepted(self, values: str) -> None:
        """docs/how-to/deploy.md shows nothing that Helm would refuse."""
        tools.run(tools.find("helm"), "lint", "--strict", CHART, "--values", "-", text=values)

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"router": {"replica": 3}}, "additional properties 'replica' not allowed"),
            (
                {"workers": {"medium": {"replicas": 3}}},
                "config has no such model or pool; there are: l",
            ),
            ({"workers": {"small.none": {}}}, "no such model or pool; there are: large, small"),
            ({"kafka": {"servers": "kafka"}}, "does not match pattern"),
            ({"config": "models = nothing"}, "config is not TOML"),
            ({"config": "[policy]"}, "config has no [models.NAME]"),
            ({"serve": {"enabled": True}}, "config has no [serve.keys.NAME]"),
            ({"router": {"replicas": 13}}, "13 routers, but topics.partitions is 12"),
            ({"index": {"build": {"enabled": True}}}, "historyClaim: the claim with the history"),
        ],
    )
    def test_what_cannot_work_is_refused(self, values: dict[str, Any], words: str) -> None:
        """Before anything is installed, and in words."""
        ended = subprocess.run(
            [tools.find("helm"), "template", "my", CHART, "--values", "-"],
            input=json.dumps(values),
            capture_output=True,
            text=True,
        )
        assert ended.returncode != 0
        assert words in ended.stderr

    def test_the_version_is_the_projects(self) -> None:
        """The chart's image tag is the version that it was written for."""
        project = tomllib.loads((CHART.parents[2] / "pyproject.toml").read_text())["project"]
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        assert chart["appVersion"] == project["version"]

    def test_every_value_has_a_schema(self) -> None:
        """Values are refused where the schema does not know them, so it knows all."""
        schema = json.loads((CHART / "values.schema.json").read_text())
        assert schema["properties"].keys() - {"global"} == VALUES.keys()
        assert schema["additionalProperties"] is False


class TestKubernetes:
    @pytest.mark.parametrize("version", VERSIONS)
    def test_manifests_fit_kubernetes_schemas(self, case: str, version: str) -> None:
        """Strictly: a field that Kubernetes does not know would be dropped in silence."""
        for manifest in rendered(case):
            if "." not in manifest["apiVersion"] or ".k8s.io/" in manifest["apiVersion"]:
                kubernetes_validate.validate(manifest, version, strict=True)

    def test_operators_resources_fit_their_models(self) -> None:
        """KEDA's and the Prometheus operator's, as strictly."""
        from cloudcoil.models.keda.v1alpha1 import ScaledObject
        from cloudcoil.models.prometheus_operator.v1 import PodMonitor, PrometheusRule

        models: dict[str, type[BaseModel]] = {
            "ScaledObject": ScaledObject,
            "PodMonitor": PodMonitor,
            "PrometheusRule": PrometheusRule,
        }
        found = []
        for manifest in rendered("everything"):
            if model := models.get(manifest["kind"]):
                read = model.model_validate(manifest)
                dumped = read.model_dump(mode="json", by_alias=True, exclude_unset=True)
                assert dumped == manifest
                found.append(manifest["kind"])
        assert sorted(found) == ["PodMonitor", "PrometheusRule", *["ScaledObject"] * 3]

    def test_names_are_their_own_and_labels_select(self, case: str) -> None:
        """No two manifests collide, and each selector finds the pods of its own template."""
        names = [(m["apiVersion"], m["kind"], m["metadata"]["name"]) for m in rendered(case)]
        assert len(set(names)) == len(names)
        for manifest in rendered(case):
            if manifest["kind"] in {"Deployment", "StatefulSet"}:
                spec = manifest["spec"]
                labels = spec["template"]["metadata"]["labels"]
                assert spec["selector"]["matchLabels"].items() <= labels.items()

    def test_pods_are_confined(self, case: str) -> None:
        """None runs as root, writes to its image, has a token, or takes memory without an end."""
        for name, pod in pods(case):
            assert pod["automountServiceAccountToken"] is False, name
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in pod["containers"]:
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }
                if not name.endswith("-test"):
                    assert "memory" in container["resources"]["limits"], name

    def test_volumes_are_mounted(self, case: str) -> None:
        """Each mount has its volume, and each volume is mounted."""
        for manifest in rendered(case):
            claims = manifest.get("spec", {}).get("volumeClaimTemplates", [])
            templates = {claim["metadata"]["name"] for claim in claims}
            for name, pod in pods(case):
                if name == manifest["metadata"]["name"] and "template" in manifest.get("spec", {}):
                    volumes = {volume["name"] for volume in pod["volumes"]} | templates
                    mounts = pod["containers"][0]["volumeMounts"]
                    assert {mount["name"] for mount in mounts} == volumes, name


class TestSluice:
    def test_commands_are_those_of_the_command_line(self, case: str) -> None:
        """Each container's arguments are parsed by the real command, options and all."""
        for name, pod in pods(case):
            arguments = list(pod["containers"][0]["args"])
            command: click.Command = main
            context = click.Context(main)
            while isinstance(command, click.Group):
                found = command.get_command(context, arguments.pop(0))
                assert found is not None, name
                command = found
            command.make_context(name, arguments, resilient_parsing=True)

    def test_fronts_share_the_files_of_batches(self, case: str) -> None:
        """What [serve] files is set to is the volume that every pod mounts."""
        for name, pod in pods(case):
            [container] = pod["containers"]
            environment = {one["name"]: one.get("value") for one in container["env"]}
            places = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            claims = {
                volume["name"]: volume.get("persistentVolumeClaim") for volume in pod["volumes"]
            }
            shared = case == "everything" and name == "my-sluice-serve"
            assert environment.get("SLUICE_SERVE_FILES") == ("/files" if shared else None)
            claim = claims.get(places.get("/files", ""))
            assert claim == ({"claimName": "batches"} if shared else None)

    def config(self, case: str, folder: Path) -> Config:
        """The configuration as a router reads it."""
        file = folder / "sluice.toml"
        file.write_text(named(case, "ConfigMap", "my-sluice")["sluice.toml"])
        [router] = named(case, "StatefulSet", "my-sluice-router")["template"]["spec"]["containers"]
        environment = {each["name"]: each.get("value", "") for each in router["env"]}
        return load(file, environment)

    def test_the_configuration_is_valid(self, case: str, tmp_path: Path) -> None:
        """Under the environment of the pods, whose folders are those that are mounted."""
        config = self.config(case, tmp_path)
        assert config.index.path == Path("/index/current")
        assert config.router.data_dir == Path("/data")

    def test_every_model_has_workers(self, tmp_path: Path) -> None:
        """One Deployment each, with what is said of it alone."""
        config = self.config("everything", tmp_path)
        found = {
            pod["containers"][0]["args"][1]: pod["containers"][0]["args"][4:]
            for _, pod in pods("everything")
            if pod["containers"][0]["args"][0] == "work"
        }
        assert found == {"Org/Large:free": ["--concurrency", "4"], "small": []}
        assert found.keys() == config.models.keys()
        assert [name for name, _ in pods("least") if "worker" in name] == ["my-sluice-worker-large"]

    def test_a_pool_has_workers_of_its_own_where_values_name_it(self, tmp_path: Path) -> None:
        """The model's answer in all of its pools, and follow the lag of each that has none."""
        config, topics = self.config("pools", tmp_path), Topics("llm.")
        found = {
            pod["containers"][0]["args"][1]: pod["containers"][0]["args"][4:]
            for _, pod in pods("pools")
            if pod["containers"][0]["args"][0] == "work"
        }
        assert found == {"Org/Large:free": [], "small": [], "small.short": ["--concurrency", "128"]}
        assert set(found) <= set(config.served())
        [ports] = [
            [port["port"] for port in manifest["spec"]["egress"][0]["ports"]]
            for manifest in rendered("pools")
            if manifest["kind"] == "NetworkPolicy" and "-short" in manifest["metadata"]["name"]
        ]
        assert ports == [8001]
        scaled = [m["spec"] for m in rendered("pools") if m["kind"] == "ScaledObject"]
        lag = [[trigger["metadata"]["topic"] for trigger in spec["triggers"]] for spec in scaled]
        assert sorted(lag) == [
            [topics.routed("Org/Large:free")],
            [topics.routed("small"), topics.routed("small.long")],
            [topics.routed("small.short")],
        ]

    def test_scaling_looks_at_the_groups_that_there_are(self, tmp_path: Path) -> None:
        """KEDA reads the lag of the topic and group that routers and workers use, and starts no
        more of them than there are partitions."""
        config = self.config("everything", tmp_path)
        topics = Topics(config.topics.prefix)
        expected = {(topics.queries, config.router.id, config.topics.partitions)} | {
            (topics.routed(model), topics.routed(model), config.topics.model_partitions)
            for model in config.models
        }
        scaled = [m["spec"] for m in rendered("everything") if m["kind"] == "ScaledObject"]
        found = set()
        for spec in scaled:
            [trigger] = spec["triggers"]
            kafka = trigger["metadata"]
            found.add((kafka["topic"], kafka["consumerGroup"], spec["maxReplicaCount"]))
            assert kafka["bootstrapServers"] == config.broker.servers
            target = spec["scaleTargetRef"]
            assert "replicas" not in named("everything", target["kind"], target["name"])
        assert found == expected

    def test_all_processes_are_scraped_where_they_answer(self) -> None:
        """The monitor's port is the one that is given to --metrics and opened by the policy."""
        monitor = named("everything", "PodMonitor", "my-sluice")
        for _, pod in pods("everything"):
            [container] = pod["containers"]
            if "--metrics" in (arguments := container["args"]):
                ports = {port["name"]: port["containerPort"] for port in container["ports"]}
                [endpoint] = monitor["podMetricsEndpoints"]
                assert arguments[arguments.index("--metrics") + 1].endswith(
                    f":{ports[endpoint['port']]}"
                )
        policy = named("everything", "NetworkPolicy", "my-sluice")
        assert policy["ingress"][0]["ports"][0]["port"] == VALUES["metrics"]["port"]

    def test_pods_may_speak_with_kafka_and_their_models_only(self) -> None:
        """The ports of the servers in the values, and of each model's server."""
        policy = named("everything", "NetworkPolicy", "my-sluice")
        ports = [port["port"] for rule in policy["egress"] for port in rule["ports"]]
        assert ports == [53, 53, 9094, 9095]
        workers = [
            [port["port"] for port in manifest["spec"]["egress"][0]["ports"]]
            for manifest in rendered("everything")
            if manifest["kind"] == "NetworkPolicy" and "-worker-" in manifest["metadata"]["name"]
        ]
        assert sorted(workers) == [[443], [8000]]

    def test_rules_and_dashboard_are_the_ones_that_are_tested(self) -> None:
        """The chart carries the files of deploy/, not copies of them."""
        deploy = CHART.parents[1]
        rules = yaml.safe_load((deploy / "prometheus" / "sluice.rules.yml").read_text())
        assert named("everything", "PrometheusRule", "my-sluice") == rules
        dashboard = named("everything", "ConfigMap", "my-sluice-dashboard")["sluice.json"]
        assert dashboard == (deploy / "grafana" / "dashboards" / "sluice.json").read_text()

    def test_alerts_find_the_audits_jobs(self) -> None:
        """The alert looks for failed jobs by the name that the CronJob gives them."""
        deploy = CHART.parents[1]
        rules = (deploy / "prometheus" / "sluice.rules.yml").read_text()
        [pattern] = re.findall(r'job_name=~"([^"]+)"', rules)
        [name] = [m["metadata"]["name"] for m in rendered("default") if m["kind"] == "CronJob"]
        assert re.fullmatch(pattern, f"{name}-29370000")
