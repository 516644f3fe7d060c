"""What a stack runs as a document: valid by CycloneDX's own schema, and no less than the program declares."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from typer.testing import CliRunner

from rehearsal import placeholders
from tandem import pins
from tandem.ops import sbom
from tandem.ops.cli import app
from tandem.settings import Settings
from tests.infra.declared import declared_by

pytestmark = pytest.mark.sweep

EKS = {
    "region": "us-east-1",
    "platform": "eks",
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "maxHosts": 4},
    "cluster": {"endpointCidrs": ["203.0.113.0/24"]},
}
MANAGED = EKS | {"fleet": {"instanceTypes": ["g6e.12xlarge"], "hosts": 2}, "nodePool": {"provisioner": "managed"}}
BOTTLEROCKET = EKS | {
    "nodePool": {"image": "bottlerocket"},
    "scaling": {"prometheusUrl": "http://prometheus.monitoring.svc"},
}


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pins.Pins:
    """Every pin looked up."""
    path = tmp_path / "pins.toml"
    path.write_bytes(pins.PINS_FILE.read_bytes())
    placeholders.fill(path)
    monkeypatch.setenv(pins.PINS_FILE_VARIABLE, str(path))
    return pins.load()


def document(stack: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["sbom", stack, "--json"])
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


@pytest.mark.parametrize("stack", ["dev", "prod", "prod-ec2"])
@pytest.mark.parametrize("looked_up", [False, True], ids=["as shipped", "pinned"])
def test_it_is_what_cyclonedx_takes(stack: str, looked_up: bool, request: pytest.FixtureRequest) -> None:
    if looked_up:
        request.getfixturevalue("pinned")
    found = document(stack)
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(found))
    assert wrong is None, str(wrong)[:500]
    references = [one["bom-ref"] for one in found["components"]]
    assert sorted(set(references)) == sorted(references) == sorted(found["dependencies"][0]["dependsOn"])
    for one in found["components"]:
        if "purl" in one:
            assert PackageURL.from_string(one["purl"]).to_string() == one["purl"]
    again = document(stack)
    assert again["serialNumber"] == found["serialNumber"]
    assert again["components"] == found["components"]


def test_the_schema_would_refuse_what_is_none() -> None:
    wrong = document("dev") | {"specVersion": "1.6", "parts": []}
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(wrong)) is not None


def test_images_are_named_by_digest_and_models_by_commit(pinned: pins.Pins) -> None:
    found = {one["bom-ref"]: one for one in document("dev")["components"]}
    image = found["container:docker.io/vllm/vllm-openai"]
    digest = pinned.vllm.digest.removeprefix("sha256:")
    assert image["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert image["purl"].startswith(f"pkg:oci/vllm-openai@sha256:{digest}?")
    model = found["model:Qwen/Qwen3-8B"]
    assert model["purl"] == f"pkg:huggingface/Qwen/Qwen3-8B@{pinned.model_revision('Qwen/Qwen3-8B')}"
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    driver = found["package:nvidia-open"]
    assert driver["purl"] == f"pkg:deb/nvidia-open@{pinned.nvidia_driver.version}?arch=amd64&distro=ubuntu-24.04"


def test_adapters_are_parts_as_models_are(pinned: pins.Pins) -> None:
    adapters = {"sql": {"model": "acme/sql", "rank": 16}}
    parts = sbom.parts(Settings.model_validate(EKS | {"inference": {"adapters": adapters}}), pinned, [])
    (found,) = [one for one in parts if one.name == "acme/sql"]
    assert (found.kind, found.pinned) == ("model", False)


@pytest.mark.parametrize("platform", ["ec2", "eks"])
def test_a_gateways_image_is_a_part_where_there_is_one(platform: str, pinned: pins.Pins) -> None:
    domain = {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"}
    values = EKS if platform == "eks" else {"region": "us-east-1"}
    gateway = {"loadBalancer": domain, "gateway": {"hostName": "teams.example.com"}}
    hosts = () if platform == "eks" else [{"instance_types": {}, "host_packages": [], "pins": {}}]
    (found,) = set(bill(values | gateway, pinned, hosts)) - set(bill(values, pinned, hosts))
    assert (found.kind, found.name, found.pinned) == ("container", pinned.gateway.image, True)
    assert found.sha256 == pinned.gateway.digest.removeprefix("sha256:")


def bill(values: dict[str, Any], pinned: pins.Pins, hosts: Sequence[dict[str, Any]]) -> list[sbom.Part]:
    return sbom.parts(Settings.model_validate(values), pinned, hosts)


@pytest.mark.parametrize("values", [EKS, MANAGED, BOTTLEROCKET], ids=["karpenter", "managed", "bottlerocket"])
def test_charts_and_add_ons_are_those_that_the_program_declares(values: dict[str, Any], pinned: pins.Pins) -> None:
    declared = declared_by(values, "prod")
    parts = sbom.parts(Settings.model_validate(values), pinned, [])
    charts = {one["name"] for one in declared.of("helm.sh/v3:Release").values()}
    assert {one.name for one in parts if one.kind == "chart"} == charts
    addons = {one["addonName"] for one in declared.of("Addon").values()}
    assert {one.name for one in parts if one.kind == "add-on"} == addons
    assert all(one.pinned for one in parts)


@pytest.mark.parametrize(("stack", "status"), [("prod", 1), ("dev", 1)])
def test_what_is_not_pinned_is_told(stack: str, status: int) -> None:
    result = CliRunner().invoke(app, ["sbom", stack, "--strict"], env={"COLUMNS": "200"})
    assert result.exit_code == status
    assert "the newest on the day" in result.stdout
    assert CliRunner().invoke(app, ["sbom", stack]).exit_code == 0


def test_with_every_pin_kubernetes_has_nothing_loose(pinned: pins.Pins) -> None:
    assert CliRunner().invoke(app, ["sbom", "prod", "--strict"]).exit_code == 0
    unpinned = {"name": "tandem:pinned", "value": "false"}
    loose = {one["name"] for one in document("prod-ec2")["components"] if unpinned in one["properties"]}
    assert loose == {"nginx", "libnginx-mod-http-js", "nfs-common", "mdadm"}
