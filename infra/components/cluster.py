"""The EKS cluster: control plane, add-ons, and the nodes of its own controllers. GPUs are the node pool's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_aws import ec2, eks, iam, kms

from tandem.kubernetes.kubeconfig import kubeconfig
from tandem.settings.cluster import ClusterSettings
from tandem.tags import CREATOR_TAG

from .. import policies
from ..kubernetes.node_disks import volumes
from .cluster_before import Creator
from .log_group import LogGroup
from .node_tags import warn_of_new_tags
from .pod_role import PodRole, Pods

LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")
ADMIN_POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
NODE_POLICIES: Mapping[str, str] = {
    "AmazonEKSWorkerNodePolicy": "the kubelet looks up its instance; nothing is changed",
    "AmazonEC2ContainerRegistryPullOnly": "EKS's own images, and images of one's own, come from registries by name",
}
CNI_POLICY = "AmazonEKS_CNI_Policy"
POD_POLICIES: Mapping[str, str] = {
    CNI_POLICY: "the network plugin gives pods addresses; its needs change with it, and EKS keeps this policy",
}
"""AWS's own policies that nodes and pods have, each with its reason: their statements have no bounds of ours."""
FIRST_ADDONS: Mapping[str, dict[str, Any]] = {
    "vpc-cni": {"enableNetworkPolicy": "true"},
    "kube-proxy": {},
    "eks-pod-identity-agent": {},
}
"""Without these no node becomes ready."""
LATER_ADDONS: Mapping[str, dict[str, Any]] = {
    "coredns": {},
    "metrics-server": {},
    "aws-efs-csi-driver": {},
    # What looks at GPUs tolerates no taint by itself: dcgmAgent in
    # https://github.com/aws/eks-node-monitoring-agent/blob/main/charts/eks-node-monitoring-agent/values.yaml
    "eks-node-monitoring-agent": {"dcgmAgent": {"tolerations": [{"operator": "Exists"}]}},
}
"""These are pods, and need a node."""
FILE_SYSTEM_ACCOUNTS = ("efs-csi-controller-sa", "efs-csi-node-sa")
"""The add-on itself lends a role to the first only (https://github.com/kubernetes-sigs/aws-efs-csi-driver/issues/1759)."""


@dataclass(frozen=True, kw_only=True)
class ClusterArgs:
    """What a cluster needs.

    Attributes:
        region, account_id: of the stack.
        subnet_ids: of the control plane's interfaces and of the controllers' nodes.
        version: of Kubernetes, major.minor.
        settings: endpoint, administrators, nodes of the controllers.
        creator: who EKS lets in by itself.
        node_release: of the image of the controllers' nodes; empty takes EKS's newest when they are made.
        addon_versions: add-on to pinned version; one that is missing takes EKS's default.
        mount_role: with which the file system driver mounts the model cache.
        log_retention_days: of the control plane's log.
        node_tags: on the controllers' instances and volumes.
        keep_key_days: how long a deleted encryption key can be restored, 7 to 30.
    """

    region: str
    account_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    version: str
    settings: ClusterSettings
    creator: Creator
    node_release: str
    addon_versions: Mapping[str, str]
    mount_role: PodRole
    log_retention_days: int = 30
    node_tags: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    keep_key_days: int = 30


class Cluster(pulumi.ComponentResource):
    """EKS cluster with encrypted secrets, its log kept, access by IAM only.

    Attributes:
        cluster_name: what controllers are told.
        security_group_id: joins control plane and nodes.
        kubeconfig: for `kubectl` and the Kubernetes provider; it holds a command, no credential.
        ready: the add-ons and nodes that everything in the cluster depends on.
    """

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:Cluster", name, None, opts)
        self._name = name
        self._child = pulumi.ResourceOptions(parent=self)
        self._cluster = self._control_plane(args)
        self.cluster_name = self._cluster.name
        self.security_group_id = self._cluster.vpc_config.apply(lambda config: str(config.cluster_security_group_id))
        self._access(args.creator.others(args.settings.admins))
        network = self._network_role(args)
        first = [
            self._addon(addon, values, args, network if addon == "vpc-cni" else [])
            for addon, values in FIRST_ADDONS.items()
        ]
        nodes = self._system_nodes(args, first)
        lent = args.mount_role.lend(self.cluster_name)
        later = [self._addon(addon, values, args, [nodes, *lent]) for addon, values in LATER_ADDONS.items()]
        self.ready: list[pulumi.Resource] = [*first, nodes, *later]
        self.kubeconfig = pulumi.Output.all(
            name=self._cluster.name,
            endpoint=self._cluster.endpoint,
            authority=self._cluster.certificate_authority.apply(lambda authority: authority.data),
        ).apply(lambda known: kubeconfig(args.region, **known))
        self.register_outputs({"cluster_name": self.cluster_name})

    def _control_plane(self, args: ClusterArgs) -> eks.Cluster:
        settings = args.settings
        source = pulumi.Output.concat(f"arn:aws:eks:{args.region}:", args.account_id, f":cluster/{self._name}")
        role = iam.Role(
            f"{self._name}-cluster",
            description="Control plane of the EKS cluster",
            assume_role_policy=policies.assumed_by("eks", policies.on_behalf_of(args.account_id, source)),
            opts=self._child,
        )
        granted = iam.RolePolicy(
            f"{self._name}-cluster",
            role=role.name,
            policy=policies.document(*_control_plane_statements(args.region)),
            opts=self._child,
        )
        key = kms.Key(
            f"{self._name}-cluster",
            description=f"Secrets in etcd of {self._name}",
            enable_key_rotation=True,
            deletion_window_in_days=args.keep_key_days,
            opts=self._child,
        )
        # Before the cluster, which would make it itself, to be kept for ever.
        log = LogGroup(f"{self._name}-cluster", args.log_retention_days, self._child, f"/aws/eks/{self._name}/cluster")
        return eks.Cluster(
            self._name,
            name=self._name,
            role_arn=role.arn,
            version=args.version,
            vpc_config={
                "subnet_ids": args.subnet_ids,
                "endpoint_private_access": True,
                "endpoint_public_access": settings.endpoint == "public",
                "public_access_cidrs": [str(cidr) for cidr in settings.endpoint_cidrs]
                if settings.endpoint == "public"
                else None,
            },
            encryption_config={"provider": {"key_arn": key.arn}, "resources": ["secrets"]},
            # The latter cannot be changed without another cluster:
            # https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/eks/cluster.go
            access_config={"authentication_mode": "API", "bootstrap_cluster_creator_admin_permissions": True},
            # Add-ons with a version of ours come right after; unmanaged copies of them would be in the way.
            bootstrap_self_managed_addons=False,
            enabled_cluster_log_types=list(LOG_TYPES),
            upgrade_policy={"support_type": "STANDARD"},
            tags={CREATOR_TAG: args.creator.name},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[granted, log]),
        )

    def _access(self, admins: Sequence[str]) -> None:
        for admin in admins:
            label = f"{self._name}-{admin.rpartition('/')[2]}"
            entry = eks.AccessEntry(label, cluster_name=self.cluster_name, principal_arn=admin, opts=self._child)
            eks.AccessPolicyAssociation(
                label,
                cluster_name=self.cluster_name,
                principal_arn=entry.principal_arn,
                policy_arn=ADMIN_POLICY,
                access_scope={"type": "cluster"},
                opts=self._child,
            )

    def _network_role(self, args: ClusterArgs) -> list[pulumi.Resource]:
        """Of the network plugin's pods alone; nodes, and so whatever reaches their credentials, change no network.

        Pods get a role when they start, so that it is lent before the plugin is there. Its agent needs no plugin: it
        is on the node's own network.
        """
        pods = Pods(
            account_id=args.account_id, cluster=self._name, namespace="kube-system", service_accounts=["aws-node"]
        )
        role = PodRole(f"{self._name}-network", "Network plugin: addresses of pods", pods, self._child)
        return [role.attach(CNI_POLICY), *role.lend(self.cluster_name)]

    def _addon(
        self, addon: str, values: dict[str, Any], args: ClusterArgs, depends_on: Sequence[pulumi.Resource]
    ) -> eks.Addon:
        return eks.Addon(
            f"{self._name}-{addon}",
            cluster_name=self.cluster_name,
            addon_name=addon,
            addon_version=args.addon_versions.get(addon) or None,
            configuration_values=json.dumps(values) if values else None,
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="OVERWRITE",
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(depends_on)),
        )

    def _system_nodes(self, args: ClusterArgs, depends_on: Sequence[pulumi.Resource]) -> eks.NodeGroup:
        settings = args.settings
        role, attached = node_role(f"{self._name}-system-node", "Nodes of the cluster's controllers", self._child)
        template = launch_template(
            f"{self._name}-system", volumes("al2023", 50), args.node_tags, self._child, nodes="nodes of the controllers"
        )
        return eks.NodeGroup(
            f"{self._name}-system",
            cluster_name=self.cluster_name,
            node_role_arn=role.arn,
            subnet_ids=args.subnet_ids,
            ami_type="AL2023_x86_64_STANDARD",
            version=args.version,
            release_version=args.node_release or None,
            instance_types=[settings.system_instance_type],
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            scaling_config={
                "min_size": settings.system_nodes,
                "desired_size": settings.system_nodes,
                "max_size": settings.system_nodes + 1,
            },
            update_config={"max_unavailable": 1},
            node_repair_config=node_repair(settings.system_nodes),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*attached, *depends_on]),
        )


def _control_plane_statements(region: str) -> list[dict[str, Any]]:
    """What EKS names as the least
    (https://docs.aws.amazon.com/eks/latest/userguide/cluster-iam-role.html); AmazonEKSClusterPolicy would also let it
    make load balancers and change any instance."""
    looks = ("AvailabilityZones", "DhcpOptions", "Instances", "InstanceTopology", "NetworkInterfaces", "Vpcs")
    return [
        policies.allow(
            ["ec2:CreateTags"],
            [f"arn:aws:ec2:{region}:*:instance/*"],
            {"ForAnyValue:StringLike": {"aws:TagKeys": "kubernetes.io/cluster/*"}},
            sid="TagInstancesForTheCluster",
        ),
        policies.allow(
            [*(f"ec2:Describe{what}" for what in looks), "kms:DescribeKey"],
            ["*"],
            policies.in_region(region),
            sid="DescribeKnowsNoResources",
        ),
    ]


def file_system_role(
    name: str, cluster: str, region: str, account_id: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> PodRole:
    """The identity with which the file system driver mounts the model cache; made before the cache, which names it."""
    pods = Pods(account_id=account_id, cluster=cluster, namespace="kube-system", service_accounts=FILE_SYSTEM_ACCOUNTS)
    role = PodRole(name, "EFS driver: mounts the model cache", pods, opts)
    role.grant(
        "file-system",
        policies.allow(
            [
                "ec2:DescribeAvailabilityZones",
                *(f"elasticfilesystem:Describe{what}" for what in ("AccessPoints", "FileSystems", "MountTargets")),
            ],
            ["*"],
            policies.in_region(region),
            sid="DescribeKnowsNoResources",
        ),
    )
    return role


def node_repair(nodes: int) -> eks.NodeGroupNodeRepairConfigArgsDict:
    """EKS replaces a node that its monitoring agent, or the kubelet's silence, calls broken: one at a time, and none
    while more than a fifth are, rounded up, as Karpenter does: then it is rather the network, or the agent."""
    return {
        "enabled": True,
        "max_parallel_nodes_repaired_count": 1,
        "max_unhealthy_node_threshold_count": max(1, -(-nodes // 5)),
    }


def node_role(name: str, description: str, opts: pulumi.ResourceOptions) -> tuple[iam.Role, list[pulumi.Resource]]:
    """The role of nodes, and what a node must have been given before it starts."""
    role = iam.Role(name, description=description, assume_role_policy=policies.assumed_by("ec2"), opts=opts)
    session_manager = iam.RolePolicy(
        f"{name}-session-manager", role=role.name, policy=policies.document(policies.session_manager()), opts=opts
    )
    attached = [
        iam.RolePolicyAttachment(
            f"{name}-{policy}", role=role.name, policy_arn=f"arn:aws:iam::aws:policy/{policy}", opts=opts
        )
        for policy in NODE_POLICIES
    ]
    return role, [session_manager, *attached]


def launch_template(
    name: str,
    disks: Mapping[str, int],
    tags: Mapping[str, pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
    security_group_ids: Sequence[pulumi.Input[str]] = (),
    user_data: str | None = None,
    *,
    nodes: str,
) -> ec2.LaunchTemplate:
    """What EKS's own node groups leave open: IMDSv2 out of pods' reach, encrypted volumes, tags on both.

    Args:
        disks: device to GiB.
        user_data: in base64; EKS adds its own to it.
        security_group_ids: of the nodes, the cluster's own among them; none leaves them in that one alone
            (https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html).
        nodes: what people call them.
    """
    return ec2.LaunchTemplate(
        name,
        metadata_options={"http_endpoint": "enabled", "http_tokens": "required", "http_put_response_hop_limit": 1},
        block_device_mappings=[
            {
                "device_name": device,
                "ebs": {
                    "volume_size": gib,
                    "volume_type": "gp3",
                    "encrypted": "true",
                    "delete_on_termination": "true",
                },
            }
            for device, gib in disks.items()
        ],
        user_data=user_data,
        vpc_security_group_ids=list(security_group_ids) or None,
        tag_specifications=[{"resource_type": kind, "tags": {"Name": name, **tags}} for kind in ("instance", "volume")],
        update_default_version=True,
        tags={"Name": name},
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(hooks=warn_of_new_tags(name, nodes))),
    )
