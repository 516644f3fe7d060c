"""The pinned versions of images/pins.toml: read, checked, and refused where a stack demands what is still empty.

Nothing here looks anything up; `tandem pin` does. An empty string means "not looked up yet".
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from tandem.errors import Problem, UserError
from tandem.files import PROJECT, ROOT

PINS_FILE = ROOT / "images" / "pins.toml"
PINS_FILE_VARIABLE = "TANDEM_PINS_FILE"
"""Names another pins file, as the rehearsal does for its scratch copy."""


def _empty_or(pattern: str, allowed: str) -> AfterValidator:
    """A pin that is either not looked up yet ("") or matches in full."""

    def check(value: str) -> str:
        if value and not re.fullmatch(pattern, value):
            raise PydanticCustomError("malformed_pin", "malformed pin", {"allowed": allowed})
        return value

    return AfterValidator(check)


Digest = Annotated[str, _empty_or(r"sha256:[0-9a-f]{64}", "sha256: and 64 hex digits, or empty")]
ImageReference = Annotated[
    str, _empty_or(r"[^\s@]+:[\w.-]+@sha256:[0-9a-f]{64}", "repository:tag@sha256: and 64 hex digits, or empty")
]
Sha256 = Annotated[str, _empty_or(r"[0-9a-f]{64}", "64 hex digits, or empty")]
Commit = Annotated[str, _empty_or(r"[0-9a-f]{40}", "a commit hash of 40 hex digits, or empty")]
MachineImageId = Annotated[str, _empty_or(r"ami-([0-9a-f]{8}|[0-9a-f]{17})", "ami- and 17 hex digits, or empty")]
Version = Annotated[str, _empty_or(r"\d+(\.\d+)*", "numbers and dots, such as 1.20.1, or empty")]
AddonVersion = Annotated[
    str, _empty_or(r"v?\d+(\.\d+)*(-eksbuild\.\d+)?", "a version such as v1.2.3-eksbuild.1, or empty")
]
ReleaseVersion = Annotated[str, _empty_or(r"\d+(\.\d+)*(-[0-9a-z]+)?", "a release such as 1.35.0-20261112, or empty")]
CheckedFile = Annotated[
    str,
    _empty_or(r"https?://[^\s#]+#sha256=[0-9a-f]{64}", "an address, #sha256= and 64 hex digits, or empty"),
]
KubernetesVersion = Annotated[str, Field(pattern=r"^1\.\d+$")]
Cuda = Annotated[str, _empty_or(r"\d+\.\d+", "major.minor, such as 13.0")]


MachineImageKindName = Literal["ubuntu", "dlami"]
MACHINE_IMAGE_KINDS: tuple[MachineImageKindName, ...] = ("ubuntu", "dlami")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class _Pinned(_Table):
    """Attributes:
    resolved: the day of the look-up; None while the pin is empty.
    source: where it was looked up.
    """

    resolved: date | None = None
    source: str = ""


class ContainerImage(_Pinned):
    """A container image.

    Attributes:
        image: repository with its registry, without tag.
        digest: of what the tag names in the registry: an index of platforms, or one manifest.
    """

    image: str = Field(min_length=1)
    tag: str = Field(min_length=1)
    digest: Digest

    @property
    def reference(self) -> str:
        """What `docker pull` takes: by digest, or by tag while the digest is empty."""
        return f"{self.image}@{self.digest}" if self.digest else f"{self.image}:{self.tag}"


class VllmImage(ContainerImage):
    """The container image of the server.

    Attributes:
        cuda: CUDA major.minor inside the image.
        minimum_driver_branch: oldest NVIDIA driver branch that runs this CUDA.
    """

    cuda: Cuda
    minimum_driver_branch: int


class Package(_Pinned):
    """Packages of an apt repository, all at one upstream version.

    Attributes:
        version: upstream version; apt adds a revision to it (`1.20.1` is `1.20.1-1`).
        packages: those that the repository must have at this version, and that hosts hold.
        index: address of the repository's Packages file.
    """

    version: Version
    packages: tuple[str, ...] = Field(min_length=1)
    index: str = Field(pattern=r"^https?://")


class PackageFile(_Pinned):
    """One package that hosts download as a file, and know by its checksum rather than by a repository's key.

    Attributes:
        file: its address and checksum.
        package: its name in the repository.
        index: address of the repository's Packages file.
    """

    file: CheckedFile
    package: str = Field(min_length=1)
    index: str = Field(pattern=r"^https?://.*/dists/")


class NvidiaDriver(Package):
    """The driver, kernel modules and Fabric Manager: one branch, one version."""

    branch: int


IMAGE_TABLES = ("vllm", "edge", "gateway")
PACKAGE_TABLES = ("nvidia_driver", "container_toolkit", "nvlink_subnet_manager", "docker", "containerd")


class MachineImage(_Pinned):
    id: MachineImageId


class MachineImageKind(_Table):
    """One kind of machine image.

    Attributes:
        parameter: AWS's public SSM parameter that holds the newest id; empty for images of one's own.
        regions: the pinned id by region.
    """

    parameter: str = ""
    regions: dict[str, MachineImage] = {}


class MachineImages(_Table):
    """Machine images by kind.

    Attributes:
        default: the kind that hosts start from.
        ubuntu: plain Ubuntu 24.04; the host installs driver, toolkit and Docker at the pinned versions.
        dlami: AWS Deep Learning image, which carries a driver of AWS's choice.
        baked: images of one's own, by `tandem image bake`; where a region has one, hosts start from it.
    """

    default: MachineImageKindName
    ubuntu: MachineImageKind
    dlami: MachineImageKind
    baked: MachineImageKind = MachineImageKind()

    def in_region(self, region: str) -> str:
        """The id that hosts in a region start from: the baked one, else the default kind's; empty while not pinned."""
        found = (kind.regions.get(region) for kind in (self.baked, self.kind()))
        return next((image.id for image in found if image and image.id), "")

    def kind(self, name: MachineImageKindName | None = None) -> MachineImageKind:
        """The named kind, or the default one."""
        return {"ubuntu": self.ubuntu, "dlami": self.dlami}[name or self.default]


class ModelRevision(_Pinned):
    """The weights of a Hub model.

    Attributes:
        revision: commit.
        manifest: SHA-256 of the list of its files that machines take, each with size and hash.
    """

    revision: Commit
    manifest: Sha256 = ""


class Chart(_Pinned):
    """A Helm chart.

    Attributes:
        repository: an HTTP repository, with an index.yaml, or a registry (`oci://`).
        digest: of its archive: what index.yaml calls digest, and the layer of a chart in a registry.
        images: what it starts, `repository:tag@digest`, by the chart's value that says so.
    """

    repository: str = Field(pattern=r"^(https?|oci)://")
    version: Version
    digest: Digest = ""
    images: dict[Annotated[str, Field(pattern=r"\.(tag|digest)$")], ImageReference] = {}

    @property
    def image_values(self) -> dict[str, Any]:
        """Values by which the chart takes the pinned images."""
        values: dict[str, Any] = {}
        for key, reference in self.images.items():
            *way, last = key.split(".")
            place = values
            for part in way:
                place = place.setdefault(part, {})
            named, _, digest = reference.partition("@")
            place[last] = digest if last == "digest" else f"{named.rpartition(':')[2]}@{digest}"
        return values if all(self.images.values()) else {}


class Addon(_Pinned):
    version: AddonVersion


class Release(_Pinned):
    """A release of an image of EKS's own, as node groups name it.

    Attributes:
        parameter: AWS's public SSM parameter that holds the newest one.
    """

    parameter: str
    version: ReleaseVersion


class NodeImages(_Table):
    """EKS's own images with NVIDIA's driver."""

    al2023: MachineImageKind
    bottlerocket: MachineImageKind


class Kubernetes(_Table):
    """What runs on platform eks besides the server image.

    Attributes:
        version: of Kubernetes, major.minor.
        nodes: images of the GPU nodes that Karpenter starts.
        releases: the same for managed node groups, by family; `system` is of the controllers' nodes.
        addons: EKS add-ons by name.
        charts: Helm charts by name.
    """

    version: KubernetesVersion
    nodes: NodeImages
    releases: dict[Literal["al2023", "bottlerocket", "system"], Release]
    addons: dict[str, Addon]
    charts: dict[str, Chart]

    def node_image_id(self, family: Literal["al2023", "bottlerocket"], region: str) -> str | None:
        """The pinned image in `region`; None while the pin is empty."""
        images = {"al2023": self.nodes.al2023, "bottlerocket": self.nodes.bottlerocket}[family]
        pinned = images.regions.get(region)
        return pinned.id if pinned and pinned.id else None


class PulumiVersions(_Table):
    """Engine and provider plugins; they follow pyproject.toml, which installs them."""

    engine: Version
    aws: Version
    random: Version
    tls: Version
    time: Version
    kubernetes: Version


class Pins(_Table):
    """Everything in images/pins.toml."""

    vllm: VllmImage
    edge: ContainerImage
    gateway: ContainerImage
    nvidia_driver: NvidiaDriver
    container_toolkit: Package
    nvlink_subnet_manager: Package
    docker: Package
    containerd: Package
    efs_utils: PackageFile
    machine_image: MachineImages
    models: dict[str, ModelRevision]
    kubernetes: Kubernetes
    pulumi: PulumiVersions

    def machine_image_id(self, region: str, kind: MachineImageKindName | None = None) -> str:
        """The pinned id in `region`, or the reference by which EC2 itself takes the newest while the pin is empty."""
        images = self.machine_image.kind(kind)
        pinned = images.regions.get(region, MachineImage(id="")).id if kind else self.machine_image.in_region(region)
        return pinned or f"resolve:ssm:{images.parameter}"

    def model_revision(self, model: str) -> str:
        """The pinned commit of a Hub model; empty when it is not looked up yet or not listed."""
        pinned = self.models.get(model)
        return pinned.revision if pinned else ""

    def model_manifest(self, model: str) -> str:
        """The pinned hash of that commit's manifest; empty like the revision."""
        pinned = self.models.get(model)
        return pinned.manifest if pinned else ""

    def _model(self, model: str) -> tuple[str, str, str]:
        """The row for `_empty`: of the revision, or of the manifest where only that lacks."""
        lacks = "manifest" if self.model_revision(model) else "revision"
        value = self.model_revision(model) and self.model_manifest(model)
        return f'models."{model}".{lacks}', value, f"tandem pin --model {model}"

    def missing(self, region: str, models: Iterable[str], machine_image: str | None = None) -> list[Problem]:
        """What a stack in `region` that serves `models` still lacks, each with the command that looks it up.

        Args:
            machine_image: an id that the stack's settings name for all hosts; its pin is then not needed.
        """
        kind = self.machine_image.default
        pins = [
            ("vllm.digest", self.vllm.digest, "tandem pin --image"),
            *((f"{table}.version", getattr(self, table).version, "tandem pin --packages") for table in PACKAGE_TABLES),
            ("efs_utils.file", self.efs_utils.file, "tandem pin --packages"),
            (
                f"machine_image.{kind}.regions.{region}.id",
                machine_image or self.machine_image.in_region(region),
                f"tandem pin --region {region}",
            ),
            *map(self._model, models),
        ]
        return [*self._stale_digest(), *_empty(pins)]

    def missing_kubernetes(
        self,
        region: str,
        models: Iterable[str],
        family: Literal["al2023", "bottlerocket"],
        *,
        managed: bool,
        machine_image: str | None = None,
    ) -> list[Problem]:
        """The same for a stack on platform eks, which may serve several models, and whose nodes bring their driver.

        Args:
            family: of the GPU nodes' image.
            managed: GPU nodes are an EKS node group's, which names a release of an image and not its id.
        """
        found, command = self.kubernetes, "tandem pin --kubernetes"
        image = machine_image or found.node_image_id(family, region)
        nodes = [(f"kubernetes.nodes.{family}.regions.{region}.id", image, command)]
        releases = [
            (f"kubernetes.releases.{name}.version", found.releases[name].version, command)
            for name in ("system", family)
        ]
        pins = [
            *((f"{table}.digest", getattr(self, table).digest, "tandem pin --image") for table in ("vllm", "edge")),
            *map(self._model, models),
            *(releases if managed else [*nodes, releases[0]]),
            *((f"kubernetes.addons.{name}.version", addon.version, command) for name, addon in found.addons.items()),
            *((key, value, command) for name, chart in found.charts.items() for key, value in _of_chart(name, chart)),
        ]
        return [*self._stale_digest(), *_empty(pins)]

    def missing_gateway(self) -> list[Problem]:
        """The same for what a gateway for teams adds."""
        return [*_empty([("gateway.digest", self.gateway.digest, "tandem pin --image")])]

    def _stale_digest(self) -> Iterator[Problem]:
        """A tag changed by hand leaves the old image's digest behind, and the digest is what runs."""
        for table in IMAGE_TABLES:
            image: ContainerImage = getattr(self, table)
            if image.digest and image.source and not image.source.endswith(f"/{image.tag}"):
                yield Problem(
                    key=f"images/pins.toml: {table}.digest",
                    wrong=f"the digest was looked up for another tag than {image.tag}",
                    value=image.source,
                    allowed=f"a digest of {image.image}:{image.tag}",
                    fix="`tandem pin --image --update`",
                )

    def chart_problems(self) -> list[Problem]:
        """Karpenter and its definitions are two charts of one version."""
        own, definitions = (self.kubernetes.charts[name].version for name in ("karpenter", "karpenter-crd"))
        if own == definitions:
            return []
        return [
            Problem(
                key="images/pins.toml: kubernetes.charts.karpenter-crd.version",
                wrong="the definitions are of another version than Karpenter itself",
                value=definitions,
                allowed=own,
                fix="`tandem pin --kubernetes --update`",
            )
        ]

    def driver_problems(self) -> list[Problem]:
        """The gate of driver, CUDA and vLLM image: a server whose driver is too old only fails on the host."""
        problems = []
        driver, image = self.nvidia_driver, self.vllm
        if driver.branch < image.minimum_driver_branch:
            problems.append(
                Problem(
                    key="images/pins.toml: nvidia_driver.branch",
                    wrong=f"the driver is too old for CUDA {image.cuda} of {image.image}:{image.tag}",
                    value=driver.branch,
                    allowed=f"{image.minimum_driver_branch} or later",
                    fix="pin a later branch and a version of it, or an older vLLM image",
                )
            )
        if driver.version and driver.version.split(".")[0] != str(driver.branch):
            problems.append(
                Problem(
                    key="images/pins.toml: nvidia_driver.version",
                    wrong=f"the version is not of branch {driver.branch}",
                    value=driver.version,
                    allowed=f"{driver.branch}.x.y",
                    fix='set version = "" and run `tandem pin --packages`, or change the branch',
                )
            )
        return problems


def _of_chart(name: str, chart: Chart) -> Iterator[tuple[str, str]]:
    key = f"kubernetes.charts.{name}"
    yield from ((f"{key}.version", chart.version), (f"{key}.digest", chart.digest))
    yield from ((f'{key}.images."{value}"', reference) for value, reference in chart.images.items())


def _empty(pins: Iterable[tuple[str, str | None, str]]) -> Iterator[Problem]:
    """A problem for each (key, value, command) without a value."""
    for key, value, command in pins:
        if not value:
            yield Problem(
                key=f"images/pins.toml: {key}",
                wrong="this pin is empty, and the stack requires pins",
                value="",
                allowed="a pin that was looked up",
                fix=f"`{command}`, or set tandem:requirePins to false",
            )


def pins_path() -> Path:
    """The file in use: that which TANDEM_PINS_FILE names, else the project's images/pins.toml, else tandem's own."""
    own = PROJECT / "images" / "pins.toml"
    return Path(os.environ.get(PINS_FILE_VARIABLE) or (own if own.is_file() else PINS_FILE))


def load(path: Path | None = None) -> Pins:
    """Reads the pins from `path`, by default from the file in use.

    Raises:
        UserError: the file cannot be read, is not TOML, or holds unknown keys or malformed pins (all named at once).
    """
    path = path or pins_path()
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            Problem(
                key=str(path),
                wrong=f"the pins cannot be read ({error})",
                allowed="a readable TOML file in UTF-8",
                fix=f"restore images/pins.toml from version control, or unset {PINS_FILE_VARIABLE}",
            )
        ) from None


@lru_cache(maxsize=4)
def parse(text: str, name: str = "images/pins.toml") -> Pins:
    """Reads pins from TOML text, once each; `name` is what messages call the file. Raises UserError as `load` does."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(
            Problem(
                key=name,
                wrong=f"this is not TOML: {error}",
                allowed="TOML 1.0",
                fix="mend the line that the message names",
            )
        ) from None
    try:
        return Pins.model_validate(values)
    except ValidationError as error:
        raise UserError(*(_problem(name, details) for details in error.errors())) from None


def _problem(name: str, details: ErrorDetails) -> Problem:
    location = [str(part) for part in details["loc"]]
    key = f"{name}: {'.'.join(location)}"
    match details["type"]:
        case "extra_forbidden":
            known = _known_keys(Pins, location[:-1])
            return Problem(
                key=key,
                wrong="unknown key",
                value=location[-1],
                allowed=", ".join(known),
                fix="remove it, or mend its name",
            )
        case "missing":
            return Problem(
                key=key, wrong="this key is missing", allowed='a value, "" where it is not looked up yet', fix="add it"
            )
        case "malformed_pin":
            return Problem(
                key=key,
                wrong="malformed pin",
                value=details["input"],
                allowed=details.get("ctx", {})["allowed"],
                fix='set it to "" and run `tandem pin`',
            )
    return Problem(key=key, wrong="wrong value", value=details["input"], allowed=details["msg"], fix="mend the value")


def _known_keys(table: type[BaseModel], location: list[str]) -> list[str]:
    """Keys that the table at `location` may have; a mapping's own keys (regions, models) are the user's."""
    for part in location:
        field = table.model_fields.get(part)
        if field is None:
            continue
        for candidate in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                table = candidate
    return list(table.model_fields)
