"""Where pins come from: image registry, model hub, apt index, chart repositories, AWS's public data."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import boto3
import requests
from botocore.config import Config

from tandem import charts, registry
from tandem.errors import UserError
from tandem.http import Http
from tandem.ops.aws import AwsError, code_of, problem_of
from tandem.pins import Chart
from tandem.registry import json_of, refused
from tandem.scripts import shared

_MANIFEST_TYPES = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


@dataclass(frozen=True)
class Found:
    """A looked-up value and the place that it came from.

    Attributes:
        beside: what belongs to the value and is pinned with it, by its key.
    """

    value: str
    source: str
    beside: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)


# -- image registry ----------------------------------------------------------------------------------------------------


def image_digest(image: str, tag: str, http: Http) -> Found:
    """The digest of what a tag names.

    An index of platforms is pinned as a whole, not its linux/amd64 entry: it is what `docker pull` by tag resolves to,
    what registries show and bots compare, and it still serves an arm64 host. The index must hold linux/amd64.
    The digest is computed from the manifest's bytes, so a registry or mirror cannot claim another.

    Raises:
        UserError: not reachable, no such tag, access denied, no linux/amd64, or bytes that do not match the claim.
    """
    host, _, repository = image.partition("/")
    url = f"{registry.base_of(host)}/v2/{repository}/manifests/{quote(tag)}"
    key, headers = f"{image}:{tag}", {"Accept": _MANIFEST_TYPES}
    response = registry.ask(url, key, headers, http)
    if response.status_code != 200:
        raise refused(
            key,
            _REGISTRY_REFUSALS.get(response.status_code, "the registry did not give the manifest"),
            f"HTTP {response.status_code}",
            "a public image and a tag that exists",
            f"see https://{host}/{repository}, then mend its image or tag in images/pins.toml",
        )
    return Found(_verified_digest(response, key), url)


_REGISTRY_REFUSALS = {
    401: "the registry denies access: the image is private or does not exist",
    403: "the registry denies access: the image is private or does not exist",
    404: "the registry has no such tag",
}


def _verified_digest(response: requests.Response, key: str) -> str:
    digest = f"sha256:{hashlib.sha256(response.content).hexdigest()}"
    claimed = response.headers.get("Docker-Content-Digest", digest)
    if claimed != digest:
        raise refused(
            key,
            "the manifest does not match the digest that the registry claims",
            f"{claimed}, but the bytes have {digest}",
            "bytes and digest that agree",
            "ask the registry itself, not a mirror or a proxy that changes answers",
        )
    platforms = [
        f"{entry['platform']['os']}/{entry['platform']['architecture']}"
        for entry in json_of(response, key).get("manifests", ())
        if "platform" in entry
    ]
    if platforms and "linux/amd64" not in platforms:
        raise refused(key, "the image has no linux/amd64", ", ".join(platforms), "linux/amd64", "pin another tag")
    return digest


# -- model hub ---------------------------------------------------------------------------------------------------------


def model_revision(model: str, http: Http, revision: str = "main") -> Found:
    """The commit that a revision of a Hub model names, and beside it the hash of the manifest of what machines take.

    HF_TOKEN is sent where it is set; HF_ENDPOINT names a mirror.

    Raises:
        UserError: not reachable, no such model, a gated one without a token that may read it, or one without
            config.json and weights.
    """
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    url = f"{endpoint}/api/models/{quote(model, safe='/')}/revision/{revision}"
    token = os.environ.get("HF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = http.get(f"{url}?blobs=true", key=model, headers=headers)
    if response.status_code == 200:
        answer = json_of(response, model)
        return Found(str(answer.get("sha", "")), url, {"manifest": _manifest(model, answer.get("siblings", ()))})
    if response.headers.get("X-Error-Code") == "GatedRepo":
        raise refused(
            model,
            "the model is gated, and this token may not read it" if token else "the model is gated",
            f"HTTP {response.status_code}",
            "a token of an account that accepted the model's terms",
            f"accept the terms at https://huggingface.co/{model}, then `export HF_TOKEN=...` and run this again",
        )
    raise refused(
        model,
        "the hub has no such model, or hides it from this token",
        f"HTTP {response.status_code}",
        "organisation/name of a model, as in its address",
        "check the name; for a private model `export HF_TOKEN=...`",
    )


def adapter_config(model: str, http: Http, revision: str) -> Mapping[str, Any]:
    """The adapter_config.json of a LoRA adapter.

    Raises:
        UserError: it is not there, or may not be read.
    """
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    token = os.environ.get("HF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{endpoint}/{quote(model, safe='/')}/resolve/{revision}/adapter_config.json"
    response = http.get(url, key=model, headers=headers)
    if response.status_code != 200:
        value, fix = f"HTTP {response.status_code}", f"see {endpoint}/{model}"
        raise refused(model, "has no adapter_config.json that may be read", value, "a LoRA adapter of PEFT's", fix)
    return json_of(response, model)


def _manifest(model: str, siblings: Sequence[Mapping[str, Any]]) -> str:
    rule = shared("manifest")
    try:
        return rule.digest(rule.of_hub(siblings))
    except ValueError as error:
        raise refused(
            model,
            f"the model has {error}",
            ", ".join(str(file.get("rfilename")) for file in siblings) or "no files, or none that this token may see",
            "config.json, with *.safetensors or pytorch_model*.bin in the same folder; of a LoRA adapter "
            "adapter_config.json and adapter_model.safetensors",
            "serve another model; GGUF and other formats are not loaded",
        ) from None


# -- apt package index -------------------------------------------------------------------------------------------------


def package_versions(index: str, packages: Sequence[str], http: Http) -> list[str]:
    """Upstream versions at which an apt repository has all of `packages`, newest first.

    A package's version `5:28.1.0-1~ubuntu` is upstream 28.1.0: without epoch and revision.

    Raises:
        UserError: not reachable, or the index does not hold the packages.
    """
    text = _package_index(index, packages[0], http)
    common = set.intersection(*(set(_offered(text, package)) for package in packages))
    if not common:
        raise _not_in(index, packages)
    return sorted(common, key=_parts, reverse=True)


def package_file(index: str, package: str, http: Http) -> Found:
    """The newest file of one package, with the checksum that its repository lists: address#sha256=....

    Raises:
        UserError: not reachable, or the index does not hold the package.
    """
    offered = _offered(_package_index(index, package, http), package)
    if not offered:
        raise _not_in(index, [package])
    fields = offered[max(offered, key=_parts)]
    return Found(f"{index.partition('/dists/')[0]}/{fields['Filename']}#sha256={fields['SHA256']}", index)


def _parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _package_index(index: str, package: str, http: Http) -> str:
    """Text of a repository's Packages file."""
    key = f"{package} in {index}"
    response = http.get(index, key=key)
    if response.status_code != 200:
        raise refused(
            key,
            "the package index is not there",
            f"HTTP {response.status_code}",
            "a repository's Packages file",
            "mend `index` in images/pins.toml",
        )
    content = response.content
    return (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode("utf-8")


def _not_in(index: str, packages: Sequence[str]) -> UserError:
    return refused(
        f"{packages[0]} in {index}",
        "the index has no version of all the packages",
        ", ".join(packages),
        "packages of this repository",
        "mend `packages` or `index` in images/pins.toml",
    )


def _offered(index: str, package: str) -> dict[str, dict[str, str]]:
    """Fields of each entry of a package by its upstream version, without pre-releases."""
    found = {}
    for paragraph in re.findall(rf"^Package: {re.escape(package)}\n(?:.+\n?)*", index, re.MULTILINE):
        fields = dict(re.findall(r"^(\S+): (.*)$", paragraph, re.MULTILINE))
        if upstream := re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)(?:-|$)", fields.get("Version", "")):
            found[upstream.group(1)] = fields
    return found


# -- Helm charts -------------------------------------------------------------------------------------------------------

_RELEASE = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
"""A version that is not a pre-release."""


def chart_version(repository: str, chart: str, http: Http) -> Found:
    """The newest release of a Helm chart: from the repository's index, or from the tags of an OCI registry.

    Raises:
        UserError: not reachable, or no such chart.
    """
    if repository.startswith("oci://"):
        url = f"{charts.registry_of(repository, chart)}/tags/list?n=1000"
        found = json_of(registry.ask(url, chart, {}, http), chart).get("tags") or []
    else:
        url, entries = charts.index(repository, chart, http)
        found = [str(entry.get("version", "")) for entry in entries]
    releases = sorted((match for match in map(_RELEASE.fullmatch, found) if match), key=_numbers)
    if not releases:
        raise refused(
            chart,
            "the chart repository has no release of this chart",
            repository,
            "a chart with a version that is not a pre-release",
            "mend kubernetes.charts in images/pins.toml",
        )
    return Found(releases[-1][0].removeprefix("v"), url)


def chart(pinned: Chart, name: str, http: Http) -> Found:
    """The newest release of a chart, by the digest of its archive, with the images that it starts by theirs.

    Raises:
        UserError: not reachable, no such chart or image, or an archive that is no chart.
    """
    newest = chart_version(pinned.repository, name, http)
    archive = charts.archive(pinned.model_copy(update={"version": newest.value, "digest": ""}), name, http)
    images = {key: _by_digest(one, http) for key, one in charts.images(archive, name, pinned.images).items()}
    beside = {"digest": charts.digest_of(archive), **({"images": images} if images else {})}
    return Found(newest.value, newest.source, beside)


def _numbers(version: re.Match[str]) -> tuple[int, ...]:
    return tuple(int(part) for part in version.groups())


def _by_digest(reference: str, http: Http) -> str:
    """An image by tag and digest; a chart may have named its own by both."""
    image, _, tag = reference.rpartition(":")
    return reference if "@" in reference else f"{reference}@{image_digest(image, tag, http).value}"


# -- EKS add-ons -------------------------------------------------------------------------------------------------------


def addon_version(addon: str, kubernetes_version: str) -> Found:
    """The version of an add-on that EKS gives to a new cluster, the same in all regions.

    Raises:
        UserError: no credentials, access denied, or no version for this Kubernetes.
    """
    key = f"add-on {addon}"
    region = _any_region()
    with _aws_answers(key):
        client = boto3.client("eks", region_name=region, config=_PATIENCE)
        answer = client.describe_addon_versions(addonName=addon, kubernetesVersion=kubernetes_version)["addons"]
    for version in answer[0]["addonVersions"] if answer else ():
        if any(one.get("defaultVersion") for one in version.get("compatibilities", ())):
            return Found(version["addonVersion"], f"eks:DescribeAddonVersions for Kubernetes {kubernetes_version}")
    raise refused(
        key,
        "EKS has no default version of it for this Kubernetes",
        kubernetes_version,
        "an add-on that EKS offers",
        "mend kubernetes.addons or kubernetes.version in images/pins.toml",
    )


# -- AWS public parameters ---------------------------------------------------------------------------------------------


def public_parameter(parameter: str, region: str | None = None) -> Found:
    """What a public SSM parameter holds in a region, such as a machine image's id; with the shell's credentials.

    Args:
        region: None for what is the same in all of them.

    Raises:
        UserError: no credentials, access denied, region not enabled, no such parameter.
    """
    region = region or _any_region()
    key = f"{parameter} in {region}"
    with _aws_answers(key):
        answer = boto3.client("ssm", region_name=region, config=_PATIENCE).get_parameter(Name=parameter)["Parameter"]
    return Found(answer["Value"], answer.get("ARN") or key)


def _any_region() -> str:
    """The shell's region."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


_PATIENCE = Config(connect_timeout=10, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})


@contextmanager
def _aws_answers(key: str) -> Iterator[None]:
    """Turns AWS's refusals into words."""
    try:
        yield
    except AwsError as error:
        if code_of(error) == "ParameterNotFound":
            raise refused(
                key,
                "AWS has no such parameter in this region",
                code_of(error),
                "a public parameter",
                "mend its parameter in images/pins.toml, or name an image of your own: tandem:fleet",
            ) from None
        raise UserError(problem_of(error, key)) from None
