"""`tandem pin --kubernetes` against stand-ins on 127.0.0.1 for chart repositories and for EKS, on the wire."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from tandem import chart_files, charts
from tandem import pins as pin_file
from tandem.errors import UserError
from tandem.http import Http
from tandem.ops import lookups, newer_kubernetes, pin
from tandem.ops.pin import Selection
from tests.ops.test_pin import IMAGE_ID, SHIPPED, TODAY, StandIn, aws, moto_url, stand_in

__all__ = ["aws", "moto_url", "stand_in"]

RELEASE = "1.35.0-20261112"
MANIFEST = b'{"mediaType": "application/vnd.oci.image.manifest.v1+json"}'
VERSIONS = ["1.9.0", "1.10.2", "1.10.10", "1.11.0-rc.1", "not a version"]


def index(chart: str, *versions: str) -> bytes:
    entries = {chart: [{"name": chart, "version": version} for version in versions], "other": [{"version": "9.9.9"}]}
    return yaml.safe_dump({"apiVersion": "v1", "entries": entries}).encode()


def archive(name: str, keys: Iterable[str]) -> bytes:
    """A chart whose images are at these values, as `helm package` packs one."""
    values: dict[str, Any] = {}
    for key in keys:
        place = values
        for part in key.split(".")[:-1]:
            place = place.setdefault(part, {})
        place |= {"repository": f"registry.example.com/{name}", "tag": ""}
    about = {"apiVersion": "v2", "name": name, "version": "2.20.2", "appVersion": "9.1.0"}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for file, content in (("Chart.yaml", about), ("values.yaml", values)):
            text = yaml.safe_dump(content).encode()
            info = tarfile.TarInfo(f"{name}/{file}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return gzip.compress(packed.getvalue(), mtime=0)


def offer(online: StandIn, path: str, name: str, content: bytes, version: str) -> None:
    """A chart in a registry: tags, the manifest of one, the layer."""
    layer = charts.digest_of(content)
    manifest = {"layers": [{"mediaType": charts.LAYER, "digest": layer, "size": len(content)}]}
    online.always(f"/v2/{path}/{name}/tags/list", body=json.dumps({"tags": [version]}).encode())
    online.always(f"/v2/{path}/{name}/manifests/{version}", body=json.dumps(manifest).encode())
    online.always(f"/v2/{path}/{name}/blobs/{layer}", body=content)


def addon(name: str, version: str) -> bytes:
    """As EKS answers: newest first, the default one marked."""
    versions = [
        {
            "addonVersion": "v99.0.0-eksbuild.1",
            "compatibilities": [{"clusterVersion": "1.35", "defaultVersion": False}],
        },
        {"addonVersion": version, "compatibilities": [{"clusterVersion": "1.35", "defaultVersion": True}]},
    ]
    return json.dumps({"addons": [{"addonName": name, "addonVersions": versions}]}).encode()


@pytest.fixture
def online(stand_in: StandIn, aws: None, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EKS", stand_in.url)
    monkeypatch.setenv("TANDEM_REGISTRY_URL", stand_in.url)
    stand_in.always("/addons/supported-versions", body=addon("any", "v1.20.4-eksbuild.2"))
    return stand_in


@pytest.fixture
def file(tmp_path: Path, online: StandIn) -> Path:
    """The shipped pins, us-east-1 only, each chart from the stand-in."""
    path = tmp_path / "pins.toml"
    boto3.client("ssm", region_name="us-east-1").put_parameter(
        Name="/tandem-test/release", Value=RELEASE, Type="String", Overwrite=True
    )
    text = re.sub(r'parameter = "[^"]*(release|image)_version"', 'parameter = "/tandem-test/release"', SHIPPED)
    text = re.sub(r'parameter = "/aws[^"]*"', 'parameter = "/tandem-test/image-id"', text)
    text = re.sub(r"(?m)^(eu-west-1|us-west-2) = .*\n", "", text)
    path.write_text(re.sub(r'repository = "https://.*?"', f'repository = "{online.url}/charts"', text))
    entries: dict[str, Any] = {}
    for name, chart in pin_file.load(path).kubernetes.charts.items():
        content, tag = archive(name, chart.images), "v9.1.0" if name == "nvidia-device-plugin" else "9.1.0"
        online.always(f"/v2/{name}/manifests/{tag}", body=MANIFEST)
        if chart.repository.startswith("oci://"):
            offer(online, chart.repository.split("/", 3)[3], name, content, "1.14.1")
        else:
            entries[name] = [{"version": "2.20.2", "urls": [f"{name}-2.20.2.tgz"]}]
            online.always(f"/charts/{name}-2.20.2.tgz", body=content)
    online.always("/charts/index.yaml", body=yaml.safe_dump({"entries": entries}).encode())
    return path


def test_all_of_platform_eks_is_looked_up_and_nothing_else(file: Path) -> None:
    rows = pin.run(file, Selection(kubernetes=True), "fill", Http(), TODAY)
    assert {row.outcome for row in rows if row.pin.group == "kubernetes"} == {"written"}
    assert {row.outcome for row in rows if row.pin.group != "kubernetes"} <= {"kept"}
    written = pin_file.load(file).kubernetes
    for name, chart in written.charts.items():
        assert chart.version == ("1.14.1" if chart.repository.startswith("oci://") else "2.20.2")
        assert chart.digest == charts.digest_of(archive(name, chart.images))
        tag = "v9.1.0" if name == "nvidia-device-plugin" else "9.1.0"
        assert {*chart.images.values()} <= {f"registry.example.com/{name}:{tag}@{charts.digest_of(MANIFEST)}"}
    assert written.charts["keda"].image_values["image"]["keda"] == {"tag": f"9.1.0@{charts.digest_of(MANIFEST)}"}
    assert written.charts["karpenter"].image_values == {"controller": {"image": {"digest": charts.digest_of(MANIFEST)}}}
    assert {pinned.version for pinned in written.addons.values()} == {"v1.20.4-eksbuild.2"}
    assert written.node_image_id("al2023", "us-east-1") == IMAGE_ID
    assert {name: release.version for name, release in written.releases.items()} == {
        "al2023": RELEASE,
        "bottlerocket": RELEASE,
        "system": RELEASE,
    }
    assert pin_file.load(file).vllm.digest == ""


def test_without_options_only_what_platform_ec2_needs(file: Path) -> None:
    rows = pin.run(file, Selection(), "list", Http(), TODAY)
    assert {row.pin.group for row in rows if row.outcome != "kept"} == {"image", "packages", "region", "model"}


def test_the_newest_release_is_taken_by_its_numbers(online: StandIn) -> None:
    online.always("/charts/index.yaml", body=index("keda", *VERSIONS))
    found = lookups.chart_version(f"{online.url}/charts/", "keda", Http())
    assert found == lookups.Found("1.10.10", f"{online.url}/charts/index.yaml")


def test_a_registry_that_asks_for_a_token_gets_one(online: StandIn) -> None:
    def tags(headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if headers.get("Authorization") != "Bearer anonymous-pull":
            return 401, {"WWW-Authenticate": f'Bearer realm="{online.url}/token",service="registry"'}, b"{}"
        return 200, {}, json.dumps({"tags": VERSIONS}).encode()

    online.answers["/v2/karpenter/karpenter/tags/list"] = tags
    online.always("/token", body=b'{"token": "anonymous-pull"}')
    assert lookups.chart_version("oci://public.ecr.aws/karpenter", "karpenter", Http()).value == "1.10.10"


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b""), (200, b"<html>log in</html>"), (200, index("keda")), (200, index("karpenter", "1.0.0"))],
)
def test_a_chart_that_is_not_there_is_named(online: StandIn, status: int, body: bytes) -> None:
    online.always("/charts/index.yaml", status=status, body=body)
    with pytest.raises(UserError) as caught:
        lookups.chart_version(f"{online.url}/charts", "keda", Http())
    (problem,) = caught.value.problems
    assert (problem.key, problem.value) == ("keda", f"{online.url}/charts")
    assert "kubernetes.charts in images/pins.toml" in problem.fix


def test_an_addon_that_eks_does_not_offer_is_named(online: StandIn) -> None:
    online.always("/addons/supported-versions", body=b'{"addons": []}')
    with pytest.raises(UserError, match="no default version of it for this Kubernetes"):
        lookups.addon_version("vpc-cni", "1.35")


def test_a_refused_addon_says_which_action_is_missing(online: StandIn) -> None:
    said = "User: arn:aws:iam::123456789012:user/x is not authorized to perform: eks:DescribeAddonVersions"
    body = json.dumps({"__type": "AccessDeniedException", "message": said}).encode()
    online.always("/addons/supported-versions", status=403, body=body, x_amzn_errortype="AccessDeniedException")
    with pytest.raises(UserError, match="allow eks:DescribeAddonVersions"):
        lookups.addon_version("vpc-cni", "1.35")


def pinned(online: StandIn, content: bytes, *, registry: bool) -> pin_file.Chart:
    """A chart as it was when it was pinned."""
    repository = "oci://registry.example.com/charts" if registry else f"{online.url}/charts"
    return pin_file.Chart(repository=repository, version="2.20.2", digest=charts.digest_of(content))


def serve(online: StandIn, content: bytes, digest: str) -> None:
    """The chart in both kinds of repository, under the digest that they claim."""
    online.always("/charts/index.yaml", body=yaml.safe_dump({"entries": {"keda": [ENTRY]}}).encode())
    online.always("/charts/keda.tgz", body=content)
    online.always(f"/v2/charts/keda/blobs/{digest}", body=content)


ENTRY = {"version": "2.20.2", "urls": ["keda.tgz"]}


@pytest.mark.parametrize("registry", [True, False])
def test_a_chart_with_other_bytes_than_pinned_is_refused_and_kept_nowhere(
    online: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: bool
) -> None:
    monkeypatch.setattr(chart_files, "DIRECTORY", tmp_path)
    ours, planted = archive("keda", ["image.keda.tag"]), archive("keda", ["image.other.tag"])
    chart = pinned(online, ours, registry=registry)
    serve(online, planted, chart.digest)
    with pytest.raises(UserError) as caught:
        charts.fetch({"keda": chart}, Http())
    [problem] = caught.value.problems
    assert (problem.value, problem.allowed) == (charts.digest_of(planted), chart.digest)
    assert [*tmp_path.iterdir()] == []

    serve(online, ours, chart.digest)
    charts.fetch({"keda": chart}, Http())
    assert charts.file_of(chart, "keda").read_bytes() == ours
    asked = len(online.requests)
    charts.fetch({"keda": chart}, Http())
    assert len(online.requests) == asked
    charts.file_of(chart, "keda").write_bytes(planted)  # somebody changed it meanwhile
    charts.fetch({"keda": chart}, Http())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [charts.file_of(chart, "keda")]
    assert charts.file_of(chart, "keda").read_bytes() == ours


def test_a_chart_that_is_gone_is_named(online: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart_files, "DIRECTORY", tmp_path)
    for registry in (True, False):
        with pytest.raises(UserError, match="keda"):
            charts.fetch({"keda": pinned(online, b"", registry=registry)}, Http())


@pytest.mark.parametrize("content", [b"", archive("other", []), archive("keda", [])])
def test_an_archive_that_is_not_the_chart_pins_nothing(content: bytes) -> None:
    with pytest.raises(UserError, match="the archive is no chart"):
        charts.images(content, "keda", ["image.keda.tag"])


def test_a_digest_that_a_chart_has_of_its_image_is_kept() -> None:
    image = {"registry": "ghcr.io", "repository": "kedacore/keda", "tag": "1.0", "digest": f"sha256:{'5' * 64}"}
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for file, text in (("Chart.yaml", "{appVersion: '2'}"), ("values.yaml", json.dumps({"image": image}))):
            info = tarfile.TarInfo(f"keda/{file}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    found = charts.images(content.getvalue(), "keda", ["image.digest"])
    assert found == {"image.digest": f"ghcr.io/kedacore/keda:1.0@sha256:{'5' * 64}"}


NEXT = "1.36"


def eks_has(online: StandIn, version: str, status: str = "STANDARD_SUPPORT") -> None:
    found = {"clusterVersion": version, "versionStatus": status, "endOfStandardSupportDate": 1817164800}
    online.always("/cluster-versions", body=json.dumps({"clusterVersions": [found]}).encode())


def newer(file: Path, version: str = NEXT) -> tuple[list[pin.Row], newer_kubernetes.Support]:
    return newer_kubernetes.go_to(file, version, Http(), TODAY, lambda _row: None)


def test_a_newer_kubernetes_brings_all_that_belongs_to_it(file: Path, online: StandIn) -> None:
    eks_has(online, NEXT)
    pin.run(file, Selection(kubernetes=True), "fill", Http(), TODAY)
    online.always("/addons/supported-versions", body=addon("any", "v1.21.0-eksbuild.1"))
    rows, support = newer(file)
    written = pin_file.load(file).kubernetes
    assert (written.version, str(support.standard_until)) == (NEXT, "2027-08-02")
    assert {pinned.version for pinned in written.addons.values()} == {"v1.21.0-eksbuild.1"}
    asked = [path for path, _ in online.requests if "supported-versions" in path]
    assert {f"kubernetesVersion={NEXT}" in path for path in asked[-len(written.addons) :]} == {True}
    assert {row.outcome for row in rows} <= {"written", "current"}
    assert {row.pin.group for row in rows} == {"kubernetes"}


def test_every_parameter_names_the_newer_version() -> None:
    text = newer_kubernetes.moved(SHIPPED, "1.35", NEXT)
    old, new = pin_file.parse(SHIPPED, "old").kubernetes, pin_file.parse(text, "new").kubernetes
    for before, after in zip(parameters(old), parameters(new), strict=True):
        assert after == before.replace("1.35", NEXT) != before
    assert [line for line in text.splitlines() if "1.35" in line] == []
    assert text.count("\n") == SHIPPED.count("\n")  # comments are kept


def parameters(kubernetes: pin_file.Kubernetes) -> list[str]:
    nodes = [kubernetes.nodes.al2023.parameter, kubernetes.nodes.bottlerocket.parameter]
    return [*nodes, *(release.parameter for release in kubernetes.releases.values())]


@pytest.mark.parametrize("version", ["1.37", "1.34", "1.35", "2.0", "newest"])
def test_a_jump_or_a_way_back_is_refused_before_anything_is_asked(file: Path, online: StandIn, version: str) -> None:
    before = file.read_text()
    with pytest.raises(UserError) as caught:
        newer(file, version)
    (problem,) = caught.value.problems
    assert (problem.key, problem.value, problem.allowed) == ("kubernetes.version", version, NEXT)
    assert (online.requests, file.read_text()) == ([], before)


@pytest.mark.parametrize("status", ["EXTENDED_SUPPORT", "UNSUPPORTED"])
def test_a_version_that_eks_does_not_support_is_refused(file: Path, online: StandIn, status: str) -> None:
    eks_has(online, NEXT, status)
    with pytest.raises(UserError, match="in standard support"):
        newer(file)


def test_a_look_up_that_fails_leaves_the_whole_file_as_it_was(file: Path, online: StandIn) -> None:
    eks_has(online, NEXT)
    online.always("/v2/lws/charts/lws/tags/list", status=404)
    before = file.read_text()
    with pytest.raises(UserError, match="lws"):
        newer(file)
    assert file.read_text() == before
