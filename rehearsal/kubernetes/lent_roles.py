"""The roles that EKS lends to the pods of a cluster, and what IAM says of their calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pulumi_rehearsal.kubernetes.cluster import Cluster
from pulumi_rehearsal.moto import Clients, SimulatedAccount
from pulumi_rehearsal.policy_evaluator import Policy
from rehearsal import expiry
from rehearsal.policy_calls import Call, as_asked
from rehearsal.policy_questions import decided, questions


@dataclass(frozen=True)
class LentRole:
    """What the pods of a service account may do.

    Attributes:
        policies: of the role, its own and attached ones; none where no role is lent.
        boundary: of the same; None for none.
    """

    policies: Sequence[Policy] = ()
    boundary: Sequence[Policy] | None = None

    def refuses(self, calls: Sequence[Call]) -> list[str]:
        """Action and resource of what IAM would refuse, by the resources that calls are about, and by their tags."""
        try:
            asked = questions(calls, of=lambda _: True)
        except LookupError as error:
            return [f"what cannot be judged ({error})"]
        return decided(asked, self.policies, False, self.boundary)


def asked_by(cluster: Cluster) -> dict[str, list[Call]]:
    """What controllers have called, by their service accounts."""
    return {name: [as_asked(*one) for one in calls] for name, calls in cluster.calls().items()}


def lent_roles(clients: Clients, cluster: str) -> dict[str, LentRole]:
    """By service account. These looks are no calls of who deploys, and are not counted as such.

    Args:
        clients: of the simulated account.
        cluster: its name.
    """
    known = clients("eks").meta
    account, found = SimulatedAccount(known.endpoint_url), {}

    def own(service: str) -> Any:
        return account.client(service, known.region_name)

    eks = own("eks")
    for one in eks.list_pod_identity_associations(clusterName=cluster)["associations"]:
        id = {"clusterName": cluster, "associationId": one["associationId"]}
        role = eks.describe_pod_identity_association(**id)["association"]["roleArn"]
        found[one["serviceAccount"]] = _role(own, role.rpartition("/")[2])
    return found


def _role(clients: Clients, name: str) -> LentRole:
    iam = clients("iam")
    own = [json.loads(document) for document in expiry.policies(clients, name)]
    attached = [one["PolicyArn"] for one in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]]
    bound = iam.get_role(RoleName=name)["Role"].get("PermissionsBoundary")
    boundary = [*_documents(iam, [bound["PermissionsBoundaryArn"]])] if bound else None
    return LentRole([*own, *_documents(iam, attached)], boundary)


def _documents(iam: Any, arns: Iterable[str]) -> list[Policy]:
    versions = {arn: iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] for arn in arns}
    found = [iam.get_policy_version(PolicyArn=arn, VersionId=version) for arn, version in versions.items()]
    return [one["PolicyVersion"]["Document"] for one in found]
