"""What a stack runs, as parts with a version each, and as a CycloneDX document.

From settings and pins alone: what an `up` of now would bring. A part whose pin is empty is in it without a version, and
says that it is not pinned; what an image has inside is told by the image's own document.
"""

from __future__ import annotations

import uuid
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as version_of
from typing import Any, Literal
from urllib.parse import quote

from tandem.catalog.models import MODELS
from tandem.pins import ContainerImage, Pins
from tandem.platforms import platform_of
from tandem.settings import Settings

Kind = Literal["container", "model", "package", "operating system", "platform", "add-on", "chart"]
TYPES: Mapping[Kind, str] = {
    "container": "container",
    "model": "machine-learning-model",
    "package": "library",
    "operating system": "operating-system",
    "platform": "platform",
    "add-on": "application",
    "chart": "application",
}
"""As CycloneDX calls them."""
SPDX = {"apache-2.0": "Apache-2.0", "mit": "MIT"}
"""Licences of models by SPDX's names; those of a maker's own have none."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part.

    Attributes:
        version: as its maker counts; empty while it is not pinned.
        purl: package URL; empty where no type of them fits.
        sha256: of what is fetched; empty where the version is not by content.
        licence: as its maker names it; empty where only its own document tells.
        pinned: the same at each `up`.
    """

    kind: Kind
    name: str
    version: str = ""
    purl: str = ""
    sha256: str = ""
    licence: str = ""
    pinned: bool = True


def parts(settings: Settings, pins: Pins, hosts: Sequence[Mapping[str, Any]]) -> list[Part]:
    """All parts of a stack, in the order in which one asks for them.

    Args:
        hosts: host.json of each model, which says what its hosts install; none on platform eks.
    """
    runs = _of_hosts(settings, pins, hosts) if hosts else _of_cluster(settings, pins)
    models = (*settings.models_served, *settings.served_beside)
    teams = [_image(pins.gateway)] if settings.gateway else []
    return [_image(pins.vllm), *teams, *(_model(model, pins) for model in models), *runs]


def _image(image: ContainerImage) -> Part:
    name = image.image.rpartition("/")[2]
    return Part(
        kind="container",
        name=image.image,
        version=image.tag,
        purl=_purl("oci", name, image.digest, repository_url=image.image, tag=image.tag),
        sha256=image.digest.removeprefix("sha256:"),
        pinned=bool(image.digest),
    )


def _model(model: str, pins: Pins) -> Part:
    revision = pins.model_revision(model)
    return Part(
        kind="model",
        name=model,
        version=revision,
        purl=_purl("huggingface", model, revision),
        licence=MODELS[model].licence if model in MODELS else "",
        pinned=bool(revision),
    )


def _of_hosts(settings: Settings, pins: Pins, hosts: Sequence[Mapping[str, Any]]) -> Iterator[Part]:
    """What a host starts from and installs; where its type decides, of any of them."""
    pinned, name = pins.machine_image.in_region(settings.region), f"machine image ({pins.machine_image.default})"
    for id in dict.fromkeys(own.fleet.machine_image_id or pinned for own in settings.groups.values()):
        yield Part(kind="operating system", name=name, version=id, pinned=bool(id))
    of_types = (name for host in hosts for item in host["instance_types"].values() for name in item["driver_packages"])
    versions = dict(ChainMap(*(host["pins"] for host in hosts)))
    for package in dict.fromkeys([*of_types, *hosts[0]["host_packages"]]):
        yield _deb(package, versions.get(package, ""))
    file, _, sha256 = pins.efs_utils.file.partition("#sha256=")
    yield _deb(pins.efs_utils.package, "_".join(file.rpartition("/")[2].split("_")[1:2]), sha256)


def _deb(name: str, version: str, sha256: str = "") -> Part:
    """A package of Ubuntu's, NVIDIA's or Docker's archive; one without a pin is the newest on the day, then held."""
    exact = "" if "*" in version else version
    return Part(
        kind="package",
        name=name,
        version=exact,
        purl=_purl("deb", name, exact, arch="amd64", distro="ubuntu-24.04"),
        sha256=sha256,
        pinned=bool(sha256 or exact),
    )


def _of_cluster(settings: Settings, pins: Pins) -> Iterator[Part]:
    """What nodes start from, and what runs beside the servers."""
    found, pool = pins.kubernetes, settings.node_pool
    yield _image(pins.edge)
    yield Part(kind="platform", name="Amazon EKS", version=found.version)
    if pool.provisioner == "managed":
        version = found.releases[pool.image].version
    else:
        version = settings.fleet.machine_image_id or found.node_image_id(pool.image, settings.region) or ""
    system = found.releases["system"].version
    for name, one in ((f"node image ({pool.image}, GPU)", version), ("node image (al2023, system)", system)):
        yield Part(kind="operating system", name=name, version=one, pinned=bool(one))
    for name, addon in sorted(found.addons.items()):
        yield Part(kind="add-on", name=name, version=addon.version, pinned=bool(addon.version))
    for name in sorted(platform_of(settings).charts):
        chart = found.charts[name]
        yield Part(
            kind="chart",
            name=name,
            version=chart.version,
            purl=_purl("helm", name, chart.version, repository_url=chart.repository),
            sha256=chart.digest.removeprefix("sha256:"),
            pinned=all((chart.version, chart.digest, *chart.images.values())),
        )
        for reference in filter(None, chart.images.values()):
            named, _, digest = reference.partition("@")
            image, _, tag = named.rpartition(":")
            yield _image(ContainerImage(image=image, tag=tag, digest=digest))


def cyclonedx(stack: str, found: Sequence[Part], now: datetime) -> dict[str, Any]:
    """The parts as a CycloneDX 1.6 document; the same parts have the same serial number.

    https://cyclonedx.org/docs/1.6/json/
    """
    components = [_component(part) for part in found]
    whole = {"bom-ref": stack, "type": "application", "group": "tandem", "name": stack, "version": version_of("tandem")}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, f"{stack} {found}").urn,
        "version": 1,
        "metadata": {"timestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}", "component": whole},
        "components": components,
        "dependencies": [{"ref": stack, "dependsOn": [one["bom-ref"] for one in components]}],
        "compositions": [{"aggregate": "incomplete", "assemblies": [one["bom-ref"] for one in components]}],
    }


def _component(part: Part) -> dict[str, Any]:
    said = {"kind": part.kind, "pinned": str(part.pinned).lower()}
    licence = {"id": SPDX[part.licence]} if part.licence in SPDX else {"name": part.licence}
    made = {
        "bom-ref": f"{part.kind}:{part.name}",
        "type": TYPES[part.kind],
        "name": part.name,
        "version": part.version,
        "purl": part.purl,
        "hashes": [{"alg": "SHA-256", "content": part.sha256}] if part.sha256 else [],
        "licenses": [{"license": licence}] if part.licence else [],
        "properties": [{"name": f"tandem:{name}", "value": value} for name, value in said.items()],
    }
    return {name: value for name, value in made.items() if value}


def _purl(type_: str, name: str, version: str = "", **qualifiers: str) -> str:
    """A package URL: https://github.com/package-url/purl-spec"""
    at = f"@{quote(version, safe=':')}" if version else ""
    after = "&".join(f"{key}={quote(value, safe='/:')}" for key, value in sorted(qualifiers.items()))
    return f"pkg:{type_}/{quote(name)}{at}{f'?{after}' if after else ''}"
