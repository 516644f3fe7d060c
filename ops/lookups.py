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
from urllib.parse import quote, urlencode

import boto3
import requests
import yaml
from botocore.config import Config

from infra.errors import Problem, UserError
from infra.scripts import shared
from ops.aws import AwsError, code_of, problem_of
from ops.http import Http

REGISTRY_VARIABLE = "TANDEM_REGISTRY_URL"
"""A mirror to ask instead of the registry that the image's name holds, such as https://mirror.example.com."""

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
    beside: Mapping[str, str] = field(default_factory=dict)


def _refused(key: str, wrong: str, value: object, allowed: str, fix: str) -> UserError:
    return UserError(Problem(key=key, wrong=wrong, value=value, allowed=allowed, fix=fix))


def _json(response: requests.Response, key: str) -> dict[str, Any]:
    try:
        return response.json()
    except requests.JSONDecodeError:
        raise _refused(
            key,
            "the answer is not JSON: a proxy or a login page stands in between",
            response.headers.get("Content-Type", ""),
            "the answer of the registry or the hub itself",
            "log in to the network, or run this elsewhere",
        ) from None


# -- image registry ----------------------------------------------------------------------------------------------------


def image_digest(image: str, tag: str, http: Http) -> Found:
    """The digest of what a tag names.

    An index of platforms is pinned as a whole, not its linux/amd64 entry: it is what `docker pull` by tag resolves to,
    what registries show and bots compare, and it still serves an arm64 host. The index must hold linux/amd64.
    The digest is computed from the manifest's bytes, so a registry or mirror cannot claim another.

    Raises:
        UserError: not reachable, no such tag, access denied, no linux/amd64, or bytes that do not match the claim.
    """
    registry, _, repository = image.partition("/")
    base = os.environ.get(REGISTRY_VARIABLE) or (
        "https://registry-1.docker.io" if registry == "docker.io" else f"https://{registry}"
    )
    url = f"{base.rstrip('/')}/v2/{repository}/manifests/{quote(tag)}"
    key, headers = f"{image}:{tag}", {"Accept": _MANIFEST_TYPES}
    response = _from_registry(url, key, headers, http)
    if response.status_code != 200:
        raise _refused(
            key,
            _REGISTRY_REFUSALS.get(response.status_code, "the registry did not give the manifest"),
            f"HTTP {response.status_code}",
            "a public image and a tag that exists",
            f"see https://{registry}/{repository}, then mend vllm.image or vllm.tag in images/pins.toml",
        )
    return Found(_verified_digest(response, key), url)


_REGISTRY_REFUSALS = {
    401: "the registry denies access: the image is private or does not exist",
    403: "the registry denies access: the image is private or does not exist",
    404: "the registry has no such tag",
}


def _from_registry(url: str, key: str, headers: dict[str, str], http: Http) -> requests.Response:
    """An answer of the registry, with an anonymous token where it asks for one."""
    response = http.get(url, key=key, headers=headers)
    if response.status_code != 401:
        return response
    token = _registry_token(response.headers.get("WWW-Authenticate", ""), key, http)
    return http.get(url, key=key, headers=headers | {"Authorization": f"Bearer {token}"})


def _registry_token(challenge: str, key: str, http: Http) -> str:
    """An anonymous pull token, as the registry's challenge describes it (Docker's token authentication)."""
    scheme, _, parameters = challenge.partition(" ")
    values = requests.utils.parse_dict_header(parameters)
    realm = values.pop("realm", "")
    if scheme.lower() != "bearer" or not realm:
        raise _refused(
            key,
            "the registry asks for a login that `tandem pin` does not know",
            challenge,
            "a registry that gives anonymous pull tokens",
            "set TANDEM_REGISTRY_URL to a mirror, or write the digest by hand: `docker buildx imagetools inspect`",
        )
    response = http.get(f"{realm}?{urlencode(values)}", key=key)
    answer = _json(response, key) if response.status_code == 200 else {}
    token = answer.get("token") or answer.get("access_token")
    if not token:
        raise _refused(
            key,
            "the registry's token service gives no anonymous token",
            f"HTTP {response.status_code}",
            "a public image",
            "check the image's name in images/pins.toml",
        )
    return token


def _verified_digest(response: requests.Response, key: str) -> str:
    digest = f"sha256:{hashlib.sha256(response.content).hexdigest()}"
    claimed = response.headers.get("Docker-Content-Digest", digest)
    if claimed != digest:
        raise _refused(
            key,
            "the manifest does not match the digest that the registry claims",
            f"{claimed}, but the bytes have {digest}",
            "bytes and digest that agree",
            "ask the registry itself, not a mirror or a proxy that changes answers",
        )
    platforms = [
        f"{entry['platform']['os']}/{entry['platform']['architecture']}"
        for entry in _json(response, key).get("manifests", ())
        if "platform" in entry
    ]
    if platforms and "linux/amd64" not in platforms:
        raise _refused(key, "the image has no linux/amd64", ", ".join(platforms), "linux/amd64", "pin another tag")
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
        answer = _json(response, model)
        return Found(str(answer.get("sha", "")), url, {"manifest": _manifest(model, answer.get("siblings", ()))})
    if response.headers.get("X-Error-Code") == "GatedRepo":
        raise _refused(
            model,
            "the model is gated, and this token may not read it" if token else "the model is gated",
            f"HTTP {response.status_code}",
            "a token of an account that accepted the model's terms",
            f"accept the terms at https://huggingface.co/{model}, then `export HF_TOKEN=...` and run this again",
        )
    raise _refused(
        model,
        "the hub has no such model, or hides it from this token",
        f"HTTP {response.status_code}",
        "organisation/name of a model, as in its address",
        "check the name; for a private model `export HF_TOKEN=...`",
    )


def _manifest(model: str, siblings: Sequence[Mapping[str, Any]]) -> str:
    rule = shared("manifest")
    try:
        return rule.digest(rule.of_hub(siblings))
    except ValueError as error:
        raise _refused(
            model,
            f"the model has {error}",
            ", ".join(str(file.get("rfilename")) for file in siblings) or "no files, or none that this token may see",
            "config.json, with *.safetensors or pytorch_model*.bin in the same folder",
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
        raise _refused(
            key,
            "the package index is not there",
            f"HTTP {response.status_code}",
            "a repository's Packages file",
            "mend `index` in images/pins.toml",
        )
    content = response.content
    return (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode("utf-8")


def _not_in(index: str, packages: Sequence[str]) -> UserError:
    return _refused(
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
        registry, _, path = repository.removeprefix("oci://").partition("/")
        base = (os.environ.get(REGISTRY_VARIABLE) or f"https://{registry}").rstrip("/")
        url = f"{base}/v2/{f'{path}/' if path else ''}{chart}/tags/list?n=1000"
        found = _json(_from_registry(url, chart, {}, http), chart).get("tags") or []
    else:
        url = f"{repository.rstrip('/')}/index.yaml"
        response = http.get(url, key=chart)
        index = yaml.load(response.content, yaml.CSafeLoader) if response.status_code == 200 else None
        entries = index.get("entries", {}) if isinstance(index, dict) else {}
        found = [str(entry.get("version", "")) for entry in entries.get(chart, ())]
    releases = sorted((match for match in map(_RELEASE.fullmatch, found) if match), key=_numbers)
    if not releases:
        raise _refused(
            chart,
            "the chart repository has no release of this chart",
            repository,
            "a chart with a version that is not a pre-release",
            "mend kubernetes.charts in images/pins.toml",
        )
    return Found(releases[-1][0].removeprefix("v"), url)


def _numbers(version: re.Match[str]) -> tuple[int, ...]:
    return tuple(int(part) for part in version.groups())


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
    raise _refused(
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
            raise _refused(
                key,
                "AWS has no such parameter in this region",
                code_of(error),
                "a public parameter",
                "mend its parameter in images/pins.toml, or name an image of your own: tandem:fleet",
            ) from None
        raise UserError(problem_of(error, key)) from None
