"""Where a stack is played: its workspace on the real engine, with the simulated providers attached to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pulumi_rehearsal.aws.provider import AwsProvider
from pulumi_rehearsal.engine import Engine
from pulumi_rehearsal.kubernetes import declared
from pulumi_rehearsal.moto import Clients, SimulatedAccount
from pulumi_rehearsal.plugin import attach
from pulumi_rehearsal.providers import random_provider, time_provider, tls_provider
from pulumi_rehearsal.workspace import Workspace, nothing, open_workspace


@dataclass(frozen=True)
class ResourceCount:
    """How many resources of one type a stack has, and where they exist.

    Attributes:
        simulated: in the simulated account or cluster, where boto3 and kubectl see them.
        recorded: nowhere but in the provider's notes, because the simulation cannot hold them.
        recorded_inputs: properties that the simulation does not store.
    """

    type: str
    simulated: int
    recorded: int
    recorded_inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """A stack, before anything of it is made.

    Attributes:
        workspace: in which the engine works.
        provider: this stack's own view of the simulated account.
        clients: boto3 clients of the account in the stack's region.
    """

    workspace: Workspace
    provider: AwsProvider
    clients: Clients

    def resources(self) -> list[ResourceCount]:
        """What the stack has by now, by type, and what of it is only recorded."""
        of_aws = [
            ResourceCount(type, count.in_moto, count.recorded, count.recorded_inputs)
            for type, count in self.provider.report().items()
        ]
        return of_aws + [ResourceCount(*counts) for counts in declared.by_type(self.workspace.resources())]


@contextmanager
def stage(
    stack: str,
    engine: Engine,
    account: SimulatedAccount,
    region: str,
    project: Path,
    *,
    variables: Mapping[str, str] | None = None,
    beside: Callable[[Path, Path], Mapping[str, str]] = nothing,
) -> Iterator[Stage]:
    """Prepares a stack of a project; all goes away with the block, but for what is in the account.

    Args:
        region: to which AWS clients of the program and of the caller are led.
        project: the directory of its Pulumi.yaml.
        variables: of the program's environment, besides those that lead to the account.
        beside: of `open_workspace`.

    Raises:
        SetupError: there is no such stack file.
    """
    provider = AwsProvider(account)
    given = {**account.environment(region), **(variables or {})}
    with (
        attach(provider, random_provider(), tls_provider(), time_provider()) as providers,
        open_workspace(stack, engine, providers, given, project, beside) as workspace,
    ):
        yield Stage(workspace, provider, account.clients(region))
