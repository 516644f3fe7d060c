"""GPU nodes of the cluster: Karpenter's, which come as pods need them, or an EKS node group of a fixed size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_aws import eks

from tandem.kubernetes.names import GPU, GPU_NODE
from tandem.pins import Chart
from tandem.settings.cluster import NodePoolSettings
from tandem.settings.fleet import FleetSettings

from ..kubernetes.node_disks import user_data, volumes
from ..kubernetes.nodes import Nodes, node_objects
from ..kubernetes.objects import declare
from .cluster import launch_template, node_repair, node_role
from .karpenter import Karpenter, KarpenterArgs
from .node_group_name import IMAGES, capacity_type, group_role
from .node_tags import warn_of_new_tags


@dataclass(frozen=True, kw_only=True)
class NodePoolArgs:
    """What a node pool needs.

    Attributes:
        region, account_id: of the stack.
        cluster_name: that the nodes join.
        subnet_ids: of the nodes, one a zone.
        security_group_ids: of the nodes: the cluster's, and the hosts', which the load balancer reaches.
        public_address: nodes get a public address; only in public subnets.
        pool: who provides nodes, and when they are replaced.
        fleet: types, purchase, root volume.
        base_types: instance types of the base on demand.
        gpus_on_demand, gpus: of the base, and at most.
        batch_gpus, batch_spot: of Karpenter's nodes for batches, beside the others; 0 for none.
        nodes: of a managed node group.
        drain_seconds: what a drain of Karpenter's nodes may take.
        group_name: of a managed node group; what guards it calls it by this name before it is there.
        running: false keeps a managed node group at 0.
        after: what is there before the first node, and goes after the last.
        image_id: of Karpenter's nodes, pinned; None takes the newest of the day.
        version: of Kubernetes, major.minor; a node group's release of another version is refused without it.
        release: of the image of a managed node group; empty takes EKS's newest when the group is made.
        charts: pinned, Karpenter's among them.
        tags: on instances and volumes.
    """

    region: str
    account_id: pulumi.Input[str]
    cluster_name: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_ids: Sequence[pulumi.Input[str]]
    public_address: bool
    pool: NodePoolSettings
    fleet: FleetSettings
    base_types: Sequence[str]
    gpus_on_demand: int
    gpus: int
    nodes: int
    drain_seconds: int
    group_name: pulumi.Input[str] | None
    image_id: str | None
    version: str
    release: str
    charts: Mapping[str, Chart]
    batch_gpus: int = 0
    batch_spot: bool = False
    tags: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    running: pulumi.Input[bool] = True
    after: Sequence[pulumi.Resource] = ()


class NodePool(pulumi.ComponentResource):
    """GPU nodes.

    Attributes:
        ready: what pods depend on, so that when a stack goes its nodes go after them.
        role_arn: of the nodes.
    """

    def __init__(
        self,
        name: str,
        args: NodePoolArgs,
        kubernetes: pulumi.ProviderResource,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tandem:index:NodePool", name, None, opts)
        self._name = name
        self._child = pulumi.ResourceOptions(parent=self)
        # A role of each one's own: EKS makes the access entry of a group's role by itself, and refuses a second one.
        # https://github.com/aws/containers-roadmap/issues/2631
        by_karpenter = args.pool.provisioner == "karpenter"
        role = f"{name}-gpu-node" if by_karpenter else group_role(name)
        self._role, self._attached = node_role(role, "GPU nodes", self._child)
        self.role_arn = self._role.arn
        self.ready: list[pulumi.Resource]
        if by_karpenter:
            self.ready = self._karpenter(args, kubernetes)
        else:
            self.ready = [self._managed(args)]
        self.register_outputs({})

    def _karpenter(self, args: NodePoolArgs, kubernetes: pulumi.ProviderResource) -> list[pulumi.Resource]:
        entry = eks.AccessEntry(
            f"{self._name}-gpu-nodes",
            cluster_name=args.cluster_name,
            principal_arn=self._role.arn,
            type="EC2_LINUX",
            opts=self._child,
        )
        karpenter = Karpenter(
            self._name,
            KarpenterArgs(
                region=args.region,
                account_id=args.account_id,
                cluster_name=args.cluster_name,
                node_role_arn=self._role.arn,
                charts=args.charts,
            ),
            kubernetes,
            self._child,
        )
        fleet, pool, reserved = args.fleet, args.pool, args.fleet.capacity_reservations
        manifests = node_objects(
            Nodes(
                instance_types=fleet.instance_types,
                base_types=args.base_types,
                gpus_on_demand=args.gpus_on_demand,
                gpus=args.gpus,
                spot=fleet.on_demand_percentage < 100,
                batch_gpus=args.batch_gpus,
                batch_spot=args.batch_spot,
                image=pool.image,
                image_id=args.image_id,
                reservation_ids=fleet.reservation_ids,
                in_block=fleet.capacity_block is not None,
                reserved_only=reserved is not None and reserved.when_full == "wait",
                role_name=self._role.name,
                subnet_ids=args.subnet_ids,
                security_group_ids=args.security_group_ids,
                public_address=args.public_address,
                root_volume_gib=fleet.root_volume_gib,
                empty_minutes=pool.empty_minutes,
                drain_seconds=args.drain_seconds,
                window=pool.replacement_window and pool.replacement_window.minutes_and_hours,
                tags=args.tags,
            )
        )
        here = pulumi.ResourceOptions(
            parent=self, provider=kubernetes, depends_on=[karpenter.release, entry, *self._attached, *args.after]
        )
        node_class, pools = manifests[0], manifests[1:]
        says = pulumi.ResourceOptions(hooks=warn_of_new_tags(f"{self._name} EC2NodeClass", "GPU nodes"))
        declared = declare(self._name, [node_class], pulumi.ResourceOptions.merge(here, says))
        after = pulumi.ResourceOptions(parent=self, provider=kubernetes, depends_on=declared)
        return [*declared, *declare(self._name, pools, after)]

    def _managed(self, args: NodePoolArgs) -> eks.NodeGroup:
        template = launch_template(
            f"{self._name}-gpu",
            volumes(args.pool.image, args.fleet.root_volume_gib),
            args.tags,
            self._child,
            args.security_group_ids,
            user_data(args.pool.image),
            nodes="GPU nodes",
        )
        nodes = pulumi.Output.from_input(args.running).apply(lambda it: args.nodes if it else 0)
        return eks.NodeGroup(
            f"{self._name}-gpu",
            cluster_name=args.cluster_name,
            node_group_name=args.group_name,
            node_role_arn=self._role.arn,
            subnet_ids=args.subnet_ids,
            ami_type=IMAGES[args.pool.image],
            version=args.version,
            release_version=args.release or None,
            capacity_type=capacity_type(args.fleet),
            instance_types=list(args.fleet.instance_types),
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            scaling_config={"min_size": nodes, "desired_size": nodes, "max_size": nodes.apply(lambda n: max(1, n))},
            update_config={
                "max_unavailable": 1,
                # EKS's own way starts up to two nodes a zone before it ends one.
                "update_strategy": "MINIMAL" if args.fleet.rollout == "terminateFirst" else "DEFAULT",
            },
            node_repair_config=node_repair(args.nodes),
            labels={GPU_NODE: "true"},
            taints=[{"key": GPU, "value": "true", "effect": "NO_SCHEDULE"}],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*self._attached, *args.after]),
        )
