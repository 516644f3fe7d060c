"""What a rehearsal plays on: a stack's workspace with the simulated account and the other providers attached."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulumi_rehearsal import workspace as engines
from pulumi_rehearsal.aws.provider import AwsProvider
from pulumi_rehearsal.engine import Engine
from pulumi_rehearsal.kubernetes import provider_plugin
from pulumi_rehearsal.kubernetes.cluster import Cluster
from pulumi_rehearsal.kubernetes.cluster import cluster as start_cluster
from pulumi_rehearsal.kubernetes.control_plane import QUICK, Pace
from pulumi_rehearsal.moto import ACCOUNT_ID, Clients, SimulatedAccount
from pulumi_rehearsal.stage import Stage, stage
from pulumi_rehearsal.workspace import Workspace, stack_file
from rehearsal import placeholders
from rehearsal.kubernetes.vllm_metrics import vllm
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.errors import Problem, UserError
from tandem.pins import PINS_FILE_VARIABLE
from tandem.settings import engine_yaml
from tandem.tags import STACK_TAG

PROJECT = Path(__file__).resolve().parents[1]
"""The project that the rehearsal is part of: the directory of its Pulumi.yaml."""


@dataclass(frozen=True)
class Scene:
    """A stack on its stage, with everything that it needs.

    Attributes:
        placeholders: empty pins that were filled.
        cluster: stands for the stack's EKS cluster, on platform eks.
    """

    stage: Stage
    placeholders: list[str]
    cluster: Cluster | None = None

    @property
    def workspace(self) -> Workspace:
        return self.stage.workspace

    @property
    def provider(self) -> AwsProvider:
        """This stack's own view of the simulated account."""
        return self.stage.provider

    @property
    def clients(self) -> Clients:
        """boto3 clients of the simulated account in the stack's region."""
        return self.stage.clients


@contextmanager
def open_workspace(
    stack: str, engine: Engine, providers: str, variables: Mapping[str, str], project: Path = PROJECT
) -> Iterator[Workspace]:
    """A fresh workspace of the stack, with the project's pins in a copy. Arguments: of `pulumi_rehearsal.workspace`."""
    with engines.open_workspace(stack, engine, providers, variables, project, beside=_pins) as workspace:
        yield workspace


def _pins(project: Path, directory: Path) -> dict[str, str]:
    """Copies images/ and leads the program to it."""
    if (project / "images").is_dir():
        shutil.copytree(project / "images", directory / "images")
    return {PINS_FILE_VARIABLE: str(directory / "images" / "pins.toml")}


def pins_of(workspace: Workspace) -> Path:
    """The pins file of a workspace; not every project has one."""
    return workspace.directory / "images" / "pins.toml"


def stack_config(project: Path, stack: str) -> dict[str, Any]:
    """The configuration in a stack file.

    Raises:
        SetupError: there is no such file; it names those that there are.
    """
    return (engine_yaml.parse(stack_file(project, stack).read_text(encoding="utf-8")) or {}).get("config") or {}


@contextmanager
def set_the_scene(
    stack: str, engine: Engine, account: SimulatedAccount, project: Path = PROJECT, pace: Pace = QUICK
) -> Iterator[Scene]:
    """A fresh workspace for the stack, with the simulated providers attached.

    Raises:
        UserError: there is no such stack file, or it names no region.
    """
    region = region_of(project, stack)
    clients = account.clients(region)
    with ExitStack() as up:
        _let_administrators_be(clients("iam"), stack_config(project, stack).get("tandem:cluster") or {})
        opened = up.enter_context(stage(stack, engine, account, region, project, beside=_pins))
        workspace = opened.workspace
        pins = pins_of(workspace)
        filled = placeholders.fill(pins) if pins.exists() else []
        cluster = None
        if on_kubernetes(project, stack):
            cluster = up.enter_context(
                start_cluster(
                    account,
                    region,
                    tags={STACK_TAG: stack},
                    charts=placeholders.charts(pins),
                    catalog=INSTANCE_TYPES,
                    metrics=vllm,
                    pace=pace,
                )
            )
            _join(workspace, cluster)
            account.lead_cluster(f"tandem-{stack}", cluster.api.url, cluster.plane.authority.base64)
        yield Scene(opened, filled, cluster)


def _join(workspace: Workspace, cluster: Cluster) -> None:
    """Leads the workspace's program and its charts to the cluster."""
    provider_plugin.install(workspace.directory / "home", workspace.directory / "bin", cluster.plane)
    placeholders.pin_charts(pins_of(workspace), cluster.charts)


def _let_administrators_be(iam: Any, cluster: Mapping[str, Any]) -> None:
    """EKS lets in only roles that there are: those of the account that the stack file names are made."""
    for arn in cluster.get("admins") or ():
        path, _, name = arn.partition(":role")[2].rpartition("/")
        if f"::{ACCOUNT_ID}:" in arn:
            with suppress(iam.exceptions.EntityAlreadyExistsException):
                iam.create_role(RoleName=name, Path=f"{path}/", AssumeRolePolicyDocument="{}")


def on_kubernetes(project: Path, stack: str) -> bool:
    """Whether the stack file sets the platform that takes a control plane."""
    return stack_config(project, stack).get("tandem:platform") == "eks"


def region_of(project: Path, stack: str) -> str:
    """The region that the stack file sets."""
    region = stack_config(project, stack).get("tandem:region")
    if not region:
        raise UserError(
            Problem(
                key=f"Pulumi.{stack}.yaml: tandem:region",
                wrong="the region is not set",
                allowed="the name of an AWS region, such as us-east-1",
                fix=f"pulumi config set --stack {stack} tandem:region us-east-1",
            )
        )
    return region
