"""Add-ons, access entries and pod identity associations of EKS clusters, which moto has none of; new versions of a
cluster, and tags of what is in it.

All of it stands on the cluster, and goes with it, as on AWS. Nothing takes time: what is made is active at once.

Stands for: EKS's add-ons, access entries and pod identity associations.
Held by: tests/aws/test_eks_parts.py::test_its_answers_fit_the_sdks_models
"""

from __future__ import annotations

from moto.core.responses import ActionResult
from moto.eks import urls
from moto.eks.models import EKSBackend
from moto.eks.responses import EKSResponse
from moto.moto_api._internal import urls as own_urls
from moto.sts.models import sts_backends

from pulumi_rehearsal.eks import access_entries as access
from pulumi_rehearsal.eks import addons, endpoints, pod_identities
from pulumi_rehearsal.eks.part import ARNS, cluster_of, entries, given_to, iam_of, parts_of, update
from pulumi_rehearsal.moto import CLUSTERS

PATHS = [
    f"{{0}}/clusters/(?P<name>[^/]+)/{part}(?P<more>.*)$"
    for part in ("addons", "access-entries", "pod-identity-associations", "updates")
]


def update_cluster_version(self: EKSResponse) -> ActionResult:
    cluster = cluster_of(self)
    cluster.version = given_to(self)["version"]
    return ActionResult({"update": update("VersionUpdate")})


OPERATIONS = (
    *(addons.create_addon, addons.describe_addon, addons.list_addons, addons.update_addon, addons.delete_addon),
    *(access.create_access_entry, access.describe_access_entry, access.list_access_entries),
    *(access.update_access_entry, access.delete_access_entry),
    *(access.associate_access_policy, access.disassociate_access_policy, access.list_associated_access_policies),
    *(pod_identities.create_pod_identity_association, pod_identities.describe_pod_identity_association),
    *(pod_identities.list_pod_identity_associations, pod_identities.update_pod_identity_association),
    *(pod_identities.delete_pod_identity_association, update_cluster_version),
)


def with_eks_parts() -> None:
    """Gives moto's EKS the operations above."""
    for operation in OPERATIONS:
        setattr(EKSResponse, operation.__name__, operation)
    urls.url_paths.update(dict.fromkeys(PATHS, EKSResponse.dispatch))
    own_urls.url_paths[f"{{0}}{CLUSTERS}"] = endpoints.tell
    _clusters_are_born()
    _node_groups_enter()
    _tags_of_all()


def _clusters_are_born() -> None:
    """A cluster is reached where its name was told. Who makes it gets an access entry, unless told not to: the role,
    where a session of it asks (https://docs.aws.amazon.com/eks/latest/userguide/access-entries.html)."""
    create = EKSResponse.create_cluster

    def with_entry(self: EKSResponse) -> ActionResult:
        answer = create(self)
        given = self._get_param("accessConfig") or {}
        cluster = self.eks_backend.describe_cluster(self._get_param("name"))
        endpoints.lead(cluster)
        vars(cluster)["mode"] = given.get("authenticationMode") or "CONFIG_MAP"
        if access.has_entries(cluster) and given.get("bootstrapClusterCreatorAdminPermissions", True):
            access.enter(cluster, _caller(self), "STANDARD", {})
        return answer

    EKSResponse.create_cluster = with_entry


def _node_groups_enter() -> None:
    """The role of a node group gets an access entry, unless it has one; it stays when the group goes
    (https://github.com/aws/containers-roadmap/issues/2631)."""
    create = EKSResponse.create_nodegroup

    def with_entry(self: EKSResponse) -> ActionResult:
        answer = create(self)
        cluster, role = self.eks_backend.describe_cluster(self._get_param("name")), self._get_param("nodeRole")
        if access.has_entries(cluster) and role not in entries(cluster):
            access.enter(cluster, role, "EC2_LINUX", {})
        return answer

    EKSResponse.create_nodegroup = with_entry


def _caller(request: EKSResponse) -> str:
    sts = sts_backends[request.current_account][request.partition]
    _, arn, _ = sts.get_caller_identity(request.access_key, request.region)
    return iam_of(request).get_role(arn.split("/")[1]).arn if ":assumed-role/" in arn else arn


def _tags_of_all() -> None:
    """moto tags clusters only."""
    tag, untag, listed = EKSBackend.tag_resource, EKSBackend.untag_resource, EKSBackend.list_tags_for_resource

    def own(backend: EKSBackend, arn: str) -> dict[str, str] | None:
        for cluster in backend.clusters.values():
            found = {group.arn: group.tags for group in cluster.nodegroups.values()}
            for kind, member in ARNS.items():
                found |= {part[member]: part["tags"] for part in parts_of(cluster, kind).values()}
            if arn in found:
                return found[arn]
        return None

    def tagged(self: EKSBackend, resource_arn: str, tags: dict[str, str]) -> None:
        if (found := own(self, resource_arn)) is None:
            tag(self, resource_arn, tags)
        else:
            found.update(tags)

    def untagged(self: EKSBackend, resource_arn: str, tag_keys: list[str]) -> None:
        if (found := own(self, resource_arn)) is None:
            untag(self, resource_arn, tag_keys)
        else:
            for key in [tag_keys] if isinstance(tag_keys, str) else tag_keys:
                found.pop(key, None)

    def tags_of(self: EKSBackend, resource_arn: str) -> dict[str, str]:
        found = own(self, resource_arn)
        return listed(self, resource_arn) if found is None else found

    EKSBackend.tag_resource, EKSBackend.untag_resource = tagged, untagged
    EKSBackend.list_tags_for_resource = tags_of
