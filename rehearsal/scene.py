"""What a rehearsal plays on: a stack's workspace with the simulated account and the other providers attached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.errors import Problem, UserError
from ops.kinds.kind import Clients
from rehearsal import placeholders
from rehearsal.aws.provider import AwsProvider
from rehearsal.engine import Engine
from rehearsal.kubernetes import provider_plugin
from rehearsal.kubernetes.cluster import Cluster
from rehearsal.kubernetes.cluster import cluster as start_cluster
from rehearsal.moto import ACCOUNT_ID, SimulatedAccount
from rehearsal.plugin import attach
from rehearsal.providers import random_provider, time_provider, tls_provider
from rehearsal.workspace import PROJECT, Workspace, open_workspace, stack_config

CLUSTER = "aws:eks/cluster:Cluster"


@dataclass(frozen=True)
class Scene:
    """A stack's workspace with everything attached that it needs.

    Attributes:
        provider: the simulated AWS, this stack's own view of the account.
        clients: boto3 clients of the simulated account in the stack's region.
        placeholders: empty pins that were filled.
        cluster: stands for the stack's EKS cluster, on platform eks.
    """

    workspace: Workspace
    provider: AwsProvider
    clients: Clients
    placeholders: list[str]
    cluster: Cluster | None = None


@contextmanager
def set_the_scene(stack: str, engine: Engine, account: SimulatedAccount, project: Path = PROJECT) -> Iterator[Scene]:
    """A fresh workspace for the stack, with the simulated providers attached.

    Raises:
        UserError: there is no such stack file, or it names no region.
    """
    region = region_of(project, stack)
    provider = AwsProvider(account)
    with ExitStack() as up:

        def clients(service: str) -> Any:
            return account.client(service, region)

        providers = up.enter_context(attach(provider, random_provider(), tls_provider(), time_provider()))
        _let_administrators_be(clients("iam"), stack_config(project, stack).get("tandem:cluster") or {})
        variables = account.environment(region)
        workspace = up.enter_context(open_workspace(stack, engine, providers, variables, project))
        filled = placeholders.fill(workspace.pins) if workspace.pins.exists() else []
        cluster = None
        if on_kubernetes(project, stack):
            cluster = up.enter_context(start_cluster(stack, account, region, placeholders.charts(workspace.pins)))
            _join(workspace, cluster, provider)
        yield Scene(workspace, provider, clients, filled, cluster)


def _join(workspace: Workspace, cluster: Cluster, provider: AwsProvider) -> None:
    """Leads the workspace's program, its charts and its provider to the cluster."""
    provider.elsewhere[CLUSTER] = provider_plugin.cluster_outputs(cluster.plane)
    provider_plugin.install(workspace.directory / "home", workspace.directory / "bin", cluster.plane)
    cluster.charts.pin(workspace.pins)


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
