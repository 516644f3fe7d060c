"""`tandem observe`: rules as a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tandem.errors import UserError
from tandem.ops.cli import app
from tests.infra.kubernetes.samples import BASE, manifests_of


def said(*arguments: str) -> str:
    found = CliRunner().invoke(app, ["observe", *arguments], catch_exceptions=False)
    assert found.exit_code == 0
    return found.output


def refused(*arguments: str) -> str:
    found = CliRunner().invoke(app, ["observe", *arguments])
    assert isinstance(found.exception, UserError)
    return str(found.exception)


def test_what_is_printed_is_what_an_operator_gets() -> None:
    printed = yaml.safe_load(said("prod", "rules.yaml"))
    (group,) = printed["groups"]
    assert group["name"] == "tandem-prod-main"
    assert {rule["labels"]["stack"] for rule in group["rules"]} == {"prod"}
    watched = BASE | {
        "canary": {},
        "metrics": {"operatorLabels": {"release": "prometheus"}},
        "scaling": {"prometheusUrl": "http://prometheus.observability.svc:9090"},
    }
    objects = {one["kind"]: one for one in manifests_of(watched) if one["apiVersion"] == "monitoring.coreos.com/v1"}
    rule, monitor = objects["PrometheusRule"], objects["PodMonitor"]
    assert rule["metadata"]["labels"] == monitor["metadata"]["labels"] == {"release": "prometheus"}
    (theirs,) = rule["spec"]["groups"]
    assert [one["alert"] for one in theirs["rules"]] == [one["alert"] for one in group["rules"]]


def test_an_operator_asks_the_port_that_pods_have_and_the_labels_that_rules_want() -> None:
    watched = BASE | {
        "metrics": {"operatorLabels": {}},
        "scaling": {"prometheusUrl": "http://prometheus.observability.svc:9090"},
    }
    objects = {one["kind"]: one for one in manifests_of(watched)}
    monitor, servers = objects["PodMonitor"]["spec"], objects["Deployment"]["spec"]["template"]
    ports = [port["name"] for one in servers["spec"]["initContainers"] for port in one.get("ports", [])]
    assert monitor["podMetricsEndpoints"][0]["port"] in ports
    assert monitor["selector"]["matchLabels"].items() <= servers["metadata"]["labels"].items()
    (label,) = monitor["podTargetLabels"]
    instance = servers["metadata"]["labels"][label]
    expr = objects["PrometheusRule"]["spec"]["groups"][0]["rules"][0]["expr"]
    assert f'namespace="{objects["Deployment"]["metadata"]["namespace"]}"' in expr
    assert f'{label.replace(".", "_").replace("/", "_")}="{instance}"' in expr


def test_hosts_want_the_labels_of_whoever_asks_them() -> None:
    assert "--select" in refused("dev")
    assert 'job="vllm-main"' in said("dev", "rules.yaml", "--select", 'job="vllm-{model}"')


@pytest.mark.parametrize(
    "to", ["remoteWrite: 'https://prometheus.example.com/api/v1/write'", "managedPrometheus: true"]
)
def test_hosts_that_write_elsewhere_have_labels_of_their_own(to: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.writes.yaml"
    file.write_text(f"config:\n  tandem:region: us-east-1\n  tandem:metrics: {{{to}}}\n")
    assert 'stack="writes",model="main"' in said(str(file), "rules.yaml")


@pytest.mark.parametrize("labels", ["", "job", 'job="a" or up', 'job="a"}', 'job="a",', 'job="\\"}'])
def test_what_are_no_matchers_is_refused(labels: str) -> None:
    assert "label matchers" in refused("prod", "--select", labels)


def test_several_models_want_a_label_that_tells_them_apart(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.two.yaml"
    small = "{hostName: small.example.com, inference: {model: Qwen/Qwen3-8B, servedModelName: small}}"
    lines = ["region: us-east-1", "platform: eks", f"models: {{small: {small}}}", "scaling: {maxReplicas: 2}"]
    lines.append("loadBalancer: {domainName: llm.example.com, hostedZoneId: Z0123456789ABC}")
    file.write_text("config:\n" + "".join(f"  tandem:{line}\n" for line in [*lines, "fleet: {maxHosts: 4}"]))
    assert "2 models" in refused(str(file), "--select", 'job="vllm"')
    assert 'job="vllm-small"' in said(str(file), "rules.yaml", "--select", 'job="vllm-{model}"')


def test_a_document_that_is_not_there_is_refused_with_those_that_are() -> None:
    assert "rules.yaml" in refused("prod", "rules.yml")


def test_all_are_listed_or_written(tmp_path: Path) -> None:
    assert "rules.yaml" in said("prod")
    said("prod", "--output", str(tmp_path / "new"))
    assert (tmp_path / "new/rules.yaml").read_text() == said("prod", "rules.yaml")
    assert json.loads(said("prod", "--json"))["documents"][0]["path"] == "rules.yaml"
    (tmp_path / "file").touch()
    assert "cannot be written" in refused("prod", "--output", str(tmp_path / "file"))
