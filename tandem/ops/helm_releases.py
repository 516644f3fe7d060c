"""Helm releases that a killed `up` left pending: Helm refuses to work on one for ever after.

Helm writes a secret for each revision of a release before it does anything, and refuses whatever comes next while the
newest says pending (`errPending` in https://github.com/helm/helm/blob/v3.18.4/pkg/action/upgrade.go; an install fails
on the name that is in use). Without that secret the revision before is the newest again, and is upgraded from; a first
revision is installed again, and takes over what it had made, by Helm's own labels (`existingResourceConflict` in
https://github.com/helm/helm/blob/v3.18.4/pkg/action/validate.go). So the secret goes, and nothing that runs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from tandem.errors import Problem, UserError
from tandem.ops.kinds.kind import Clients, Found
from tandem.ops.pulumi import Deployment
from tandem.ops.rollout.cluster import Kubectl, of_stack

RELEASE = "kubernetes:helm.sh/v3:Release"
PENDING = ("pending-install", "pending-upgrade", "pending-rollback")
"""https://github.com/helm/helm/blob/v3.18.4/pkg/release/status.go"""


@dataclass(frozen=True)
class Stuck:
    """A revision of one of the stack's releases that nobody works on any more.

    Attributes:
        urn: of the release in the state, or in what was under way.
        secret: that says that it is pending.
    """

    urn: str
    namespace: str
    name: str
    status: str
    secret: str

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.secret}"


@dataclass(frozen=True)
class Releases:
    """What was found.

    Attributes:
        unseen: why nothing could be found out; the cluster may be out of reach from here.
        recorded: URNs that the state has.
    """

    stuck: Sequence[Stuck] = ()
    unseen: Sequence[Problem] = ()
    recorded: Collection[str] = ()

    @property
    def known(self) -> list[str]:
        """URNs of what the state has, and the cluster then has no more, or has as it was before."""
        return [one.urn for one in self.stuck if one.urn in self.recorded]


def releases(deployment: Deployment) -> dict[tuple[str, str], str]:
    """Namespace and name to the URN of each release that the state has, or that was under way."""
    state = deployment["deployment"]
    under_way = [operation["resource"] for operation in state.get("pending_operations") or []]
    found = [one for one in (*(state.get("resources") or []), *under_way) if one["type"] == RELEASE]
    named = ((one["urn"], one.get("inputs") or {}) for one in found)
    return {(inputs["namespace"], inputs["name"]): urn for urn, inputs in named if {"namespace", "name"} <= {*inputs}}


def look(clients: Clients, stack: str, stack_id: str, deployment: Deployment, clusters: Collection[Found]) -> Releases:
    """The stack's releases that are pending; nobody may be at work on the stack.

    Args:
        clusters: what the account has of this life.

    Raises:
        botocore's errors.
    """
    own = releases(deployment)
    if not own or not any(one.facts.get("status") == "ACTIVE" for one in clusters):
        return Releases()
    try:
        with ExitStack() as up:
            found = pending(_kubectl(clients, stack, stack_id, up), own)
            recorded = {one["urn"] for one in deployment["deployment"].get("resources") or []}
            return Releases(found, recorded=recorded)
    except UserError as error:
        return Releases(unseen=error.problems)


def mend(clients: Clients, stack: str, stack_id: str, stuck: Sequence[Stuck]) -> None:
    """Removes what says that they are pending.

    Raises:
        UserError: the cluster refuses, or does not answer.
        botocore's errors.
    """
    if stuck:
        with ExitStack() as up:
            forget(_kubectl(clients, stack, stack_id, up), stuck)


def pending(kubectl: Kubectl, own: Mapping[tuple[str, str], str]) -> list[Stuck]:
    """Of these releases, by the labels that Helm gives its secrets."""
    selector = f"owner=helm,status in ({','.join(PENDING)})"
    found = kubectl.read("secrets", "--all-namespaces", "--selector", selector)
    return [one for secret in found if (one := _stuck(secret["metadata"], own))]


def _stuck(metadata: Mapping[str, Any], own: Mapping[tuple[str, str], str]) -> Stuck | None:
    labels, namespace = metadata["labels"], metadata["namespace"]
    urn = own.get((namespace, labels["name"]))
    return Stuck(urn, namespace, labels["name"], labels["status"], metadata["name"]) if urn else None


def forget(kubectl: Kubectl, stuck: Sequence[Stuck]) -> None:
    """Removes their secrets; one that is gone is no error."""
    for one in stuck:
        kubectl.run("delete", "secret", one.secret, "--namespace", one.namespace, "--ignore-not-found")


def _kubectl(clients: Clients, stack: str, stack_id: str, up: ExitStack) -> Kubectl:
    return of_stack(clients, stack, stack_id, clients("eks").meta.region_name, up).kubectl
