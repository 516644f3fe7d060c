"""The GPU fleet: an Auto Scaling group of hosts, each held back until it has made a token and until it has drained."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_aws import autoscaling, ec2, iam

from tandem.rollout import LAUNCH_HOOK, TERMINATE_HOOK, refresh_percentages
from tandem.scaling import WARM_UP_SECONDS
from tandem.settings.fleet import CapacityBlockSettings, FleetSettings
from tandem.timing import HEARTBEAT_SECONDS

from .. import policies

LIFE_CYCLE = ("CompleteLifecycleAction", "RecordLifecycleActionHeartbeat")
TARGETS = ("RegisterTargets", "DeregisterTargets")
GROUPS = ":autoScalingGroup:*:autoScalingGroupName"


@dataclass(frozen=True, kw_only=True)
class GpuFleetArgs:
    """What a fleet needs.

    Attributes:
        region, account_id: of the stack.
        subnet_ids: zone to subnet of the hosts.
        security_group_id: group of the hosts.
        public_address: hosts get a public address; only for hosts in public subnets.
        role_name, instance_profile_arn: identity of the hosts; the fleet grants it what its life cycle needs.
        shares_role: another fleet grants what this one's hosts need: a role's policies have 10 240 characters, which
            those of twenty fleets would pass.
        others_targets, others_weights: target groups, and s3://bucket/path, of fleets that share this one's role.
        target_group_arn: where hosts register; None for machines that serve nobody: they have no hooks, and who calls
            for them and they themselves say how many there are.
        log_group_arn: where the hosts' logs go.
        machine_image_id: AMI id, or resolve:ssm:PARAMETER while it is not pinned.
        user_data: what the hosts run, gzip'd.
        settings: sizes, types, purchase and rollout.
        group_name: of the group; what guards it calls it by this name before it is there. None for the engine's.
        min_hosts, max_hosts: size of the group.
        most_called: hosts may set the group to so many at most, where nobody serves.
        idle_stop: an alarm may set the group to 0, and needs its metrics.
        follows_load: policies say how many there are, between the bounds.
        running: false keeps it at 0.
        after: what is there before the first host, and goes after the last.
        reports: hosts report to CloudWatch.
        weights_s3_uri: s3://bucket/path that the servers stream from; None for none.
        tags: on instances and volumes, where the provider's default tags do not reach.
        force_delete: destroy does not wait for the hosts' end. It drains none in any case: their hooks go before the
            group (docs/runbook.md).
    """

    region: str
    account_id: pulumi.Input[str]
    subnet_ids: Mapping[str, pulumi.Input[str]]
    security_group_id: pulumi.Input[str]
    public_address: bool
    role_name: pulumi.Input[str]
    instance_profile_arn: pulumi.Input[str]
    shares_role: bool = False
    others_targets: Sequence[pulumi.Input[str]] = ()
    others_weights: Sequence[str] = ()
    target_group_arn: pulumi.Input[str] | None
    log_group_arn: pulumi.Input[str]
    machine_image_id: str
    user_data: pulumi.Input[bytes]
    settings: FleetSettings
    group_name: pulumi.Input[str] | None
    min_hosts: int
    max_hosts: int
    most_called: int = 0
    idle_stop: bool = False
    follows_load: bool = False
    running: pulumi.Input[bool] = True
    after: Sequence[pulumi.Resource] = ()
    reports: bool = True
    weights_s3_uri: str | None = None
    tags: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    force_delete: bool = False

    @property
    def own_tags(self) -> dict[str, pulumi.Input[str]]:
        """Those of tandem's, which never change: whose it is."""
        return {key: value for key, value in self.tags.items() if key.startswith("tandem:")}


class GpuFleet(pulumi.ComponentResource):
    """Launch template and Auto Scaling group.

    Health is EC2's and the host's own watchdog's, not the load balancer's: an engine that restarts leaves the load
    balancer for two minutes, and a GPU host that is replaced for that may be gone for hours.

    Attributes:
        group_name, group_arn: the Auto Scaling group.
        user_data_bytes: how large it is, gzip'd.
    """

    def __init__(self, name: str, args: GpuFleetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:GpuFleet", name, None, opts)
        self._name = name
        self._child = pulumi.ResourceOptions(parent=self)
        if not args.shares_role:
            self._grant(args)
        template = self._launch_template(args)
        group = self._group(args, template)
        for hook in _lifecycle_hooks() if args.target_group_arn is not None else ():
            autoscaling.LifecycleHook(
                f"{name}-{hook.name}",
                name=hook.name,
                autoscaling_group_name=group.name,
                lifecycle_transition=hook.lifecycle_transition,
                heartbeat_timeout=hook.heartbeat_timeout,
                default_result=hook.default_result,
                opts=self._child,
            )
        self.group_name = group.name
        self.group_arn = group.arn
        self.user_data_bytes = pulumi.Output.from_input(args.user_data).apply(len)
        self.register_outputs({"group_name": group.name, "group_arn": group.arn})

    def _grant(self, args: GpuFleetArgs) -> None:
        """What a host does to itself, and only in groups and targets of its own stack; a group of batches it makes no
        larger than called (autoscaling:MaxSize, as AWS bounds it itself: "Control the minimum and maximum capacity" in
        https://docs.aws.amazon.com/autoscaling/ec2/userguide/security_iam_id-based-policy-examples.html)."""
        group = pulumi.Output.concat(f"arn:aws:autoscaling:{args.region}:", args.account_id, GROUPS, f"/{self._name}-*")
        own = {f"aws:ResourceTag/{key}": value for key, value in args.own_tags.items()}
        target = args.target_group_arn
        ends = ["UpdateAutoScalingGroup"] if target is None else LIFE_CYCLE
        most = {"NumericLessThanEqualsIfExists": {"autoscaling:MaxSize": str(args.most_called)}}
        targets = [one for one in (target, *args.others_targets) if one is not None]
        statements = [
            policies.allow(
                [f"autoscaling:{action}" for action in (*ends, "SetInstanceHealth")],
                [group],
                {"StringEquals": own} | (most if target is None else {}),
                sid="OwnGroupByTag",
            ),
            policies.allow(
                ["autoscaling:DescribeAutoScalingInstances", "elasticloadbalancing:DescribeTargetHealth"],
                ["*"],
                policies.in_region(args.region),
                sid="DescribeKnowsNoResources",
            ),
            *([policies.allow([f"elasticloadbalancing:{one}" for one in TARGETS], targets)] if targets else []),
            policies.write_log(args.log_group_arn),
            *([policies.put_metrics()] if args.reports else []),
            *policies.read_weights(*filter(None, (args.weights_s3_uri, *args.others_weights))),
        ]
        iam.RolePolicy(
            f"{self._name}-host-life-cycle",
            role=args.role_name,
            policy=policies.document(*statements),
            opts=self._child,
        )

    def _launch_template(self, args: GpuFleetArgs) -> ec2.LaunchTemplate:
        block = args.settings.capacity_block
        return ec2.LaunchTemplate(
            self._name,
            image_id=args.machine_image_id,
            instance_type=args.settings.instance_types[0],
            user_data=pulumi.Output.from_input(args.user_data).apply(lambda data: base64.b64encode(data).decode()),
            iam_instance_profile={"arn": args.instance_profile_arn},
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                # One hop keeps the role out of containers' reach; streaming from S3 is done by the container itself.
                "http_put_response_hop_limit": 2 if args.weights_s3_uri else 1,
            },
            network_interfaces=[
                {
                    "device_index": 0,
                    "security_groups": [args.security_group_id],
                    "associate_public_ip_address": str(args.public_address).lower(),
                    "delete_on_termination": "true",
                }
            ],
            block_device_mappings=[
                {
                    "device_name": "/dev/sda1",
                    "ebs": {
                        "volume_size": args.settings.root_volume_gib,
                        "volume_type": "gp3",
                        "encrypted": "true",
                        "delete_on_termination": "true",
                    },
                }
            ],
            instance_market_options={"market_type": "capacity-block"} if block else None,
            capacity_reservation_specification=_reservation(block),
            # Instances get all tags from the group. One of the user's here would replace each host when it changes.
            tag_specifications=[{"resource_type": "volume", "tags": {"Name": f"{self._name}-host", **args.own_tags}}],
            update_default_version=True,
            tags={"Name": self._name},
            opts=self._child,
        )

    def _group(self, args: GpuFleetArgs, template: ec2.LaunchTemplate) -> autoscaling.Group:
        settings, reserved = args.settings, args.settings.reserved_zones
        # A number, not $Latest: only a number that changes starts an instance refresh.
        version = template.latest_version.apply(str)
        running = pulumi.Output.from_input(args.running)
        wanted = running.apply(lambda it: args.min_hosts if it else 0)
        spot = settings.on_demand_percentage < 100
        launch_first = settings.rollout == "launchFirst"
        target = args.target_group_arn
        called = [] if target is not None else ["desiredCapacity", "maxSize"]
        return autoscaling.Group(
            self._name,
            vpc_zone_identifiers=[args.subnet_ids[zone] for zone in reserved or args.subnet_ids],
            **_reservations(settings),
            name=args.group_name,
            min_size=0 if args.idle_stop else wanted,
            # Fewer hosts would else go on running: AWS takes the bounds for no wish. Where policies wish, the
            # first `up` alone does, too; bounds that move past the number take it along.
            desired_capacity=wanted,
            default_instance_warmup=WARM_UP_SECONDS if args.follows_load else None,
            enabled_metrics=[autoscaling.Metric.GROUP_IN_SERVICE_INSTANCES] if args.idle_stop else None,
            max_size=running.apply(lambda it: args.max_hosts if it else 0),
            launch_template={"id": template.id, "version": version} if reserved else None,
            mixed_instances_policy=None if reserved else _mixed_instances(settings, template.id, version),
            capacity_rebalance=spot and launch_first,
            # Either starts a host more than the group may have, before another goes.
            suspended_processes=None if launch_first else ["AZRebalance"],
            target_group_arns=None if target is None else [target],
            health_check_type="EC2",
            health_check_grace_period=0,
            initial_lifecycle_hooks=None if called else _lifecycle_hooks(),
            instance_refresh=None
            if called
            else autoscaling.GroupInstanceRefreshArgs(
                strategy="Rolling", preferences=_refresh(settings, args.min_hosts, args.max_hosts)
            ),
            # `up` returns when the group stands; hosts take 10 to 40 minutes to their first token.
            wait_for_capacity_timeout="0",
            force_delete=args.force_delete,
            tags=[
                {"key": key, "value": value, "propagate_at_launch": True}
                for key, value in {"Name": f"{self._name}-host", **args.tags}.items()
            ],
            # Hosts that were draining before are waited for; others have no hook any more.
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                custom_timeouts=pulumi.CustomTimeouts(delete="130m"),
                ignore_changes=called or (["desiredCapacity"] if args.follows_load else None),
            ),
        )


def _lifecycle_hooks() -> list[autoscaling.GroupInitialLifecycleHookArgs]:
    """The hooks, given to the group twice: with it, so that its very first host is held, and as resources of their
    own, since the former are ignored once the group exists."""
    return [
        autoscaling.GroupInitialLifecycleHookArgs(
            name=LAUNCH_HOOK,
            lifecycle_transition="autoscaling:EC2_INSTANCE_LAUNCHING",
            heartbeat_timeout=HEARTBEAT_SECONDS,
            default_result="ABANDON",
        ),
        autoscaling.GroupInitialLifecycleHookArgs(
            name=TERMINATE_HOOK,
            lifecycle_transition="autoscaling:EC2_INSTANCE_TERMINATING",
            heartbeat_timeout=HEARTBEAT_SECONDS,
            default_result="CONTINUE",
        ),
    ]


def _mixed_instances(
    settings: FleetSettings, template_id: pulumi.Output[str], version: pulumi.Output[str]
) -> autoscaling.GroupMixedInstancesPolicyArgs:
    return autoscaling.GroupMixedInstancesPolicyArgs(
        instances_distribution=autoscaling.GroupMixedInstancesPolicyInstancesDistributionArgs(
            on_demand_base_capacity=settings.on_demand_base,
            on_demand_percentage_above_base_capacity=settings.on_demand_percentage,
            on_demand_allocation_strategy="prioritized",
            spot_allocation_strategy="price-capacity-optimized",
        ),
        launch_template=autoscaling.GroupMixedInstancesPolicyLaunchTemplateArgs(
            launch_template_specification=autoscaling.GroupMixedInstancesPolicyLaunchTemplateLaunchTemplateSpecificationArgs(
                launch_template_id=template_id, version=version
            ),
            overrides=[
                autoscaling.GroupMixedInstancesPolicyLaunchTemplateOverrideArgs(instance_type=name)
                for name in settings.instance_types
            ],
        ),
    )


def _reservations(settings: FleetSettings) -> dict[str, Any]:
    """On-Demand Capacity Reservations, filled before zones are balanced; AWS's defaults are said, since what is left
    out of an update stays as it was. (https://docs.aws.amazon.com/autoscaling/ec2/userguide/target-capacity-reservations.html)
    """
    reservations = settings.capacity_reservations
    specification, spread = {"capacity_reservation_preference": "default"}, "balanced-best-effort"
    if reservations is not None:
        preference = {"onDemand": "capacity-reservations-first", "wait": "capacity-reservations-only"}
        specification = {
            "capacity_reservation_preference": preference[reservations.when_full],
            "capacity_reservation_target": {"capacity_reservation_ids": list(reservations.by_zone.values())},
        }
        spread = "reservations-then-balanced"
    return {
        "capacity_reservation_specification": specification,
        "availability_zone_distribution": {"capacity_distribution_strategy": spread},
    }


def _reservation(block: CapacityBlockSettings | None) -> ec2.LaunchTemplateCapacityReservationSpecificationArgs | None:
    if block is None:
        return None
    return ec2.LaunchTemplateCapacityReservationSpecificationArgs(
        capacity_reservation_target=ec2.LaunchTemplateCapacityReservationSpecificationCapacityReservationTargetArgs(
            capacity_reservation_id=block.reservation_id
        )
    )


def _refresh(settings: FleetSettings, least: int, most: int) -> autoscaling.GroupInstanceRefreshPreferencesArgs:
    """How a new launch template reaches the hosts.

    With nothing that makes the provider send a desired configuration (`auto_rollback`, `skip_matching`): that locks
    the group until the refresh ends, is refused with an image alias, and goes "back" to what the provider has given
    the group before, the new one. The way back is `tandem rollout --back`.
    """
    low, high = refresh_percentages(settings.rollout, least, most)
    hold = settings.hold_after_first_host
    return autoscaling.GroupInstanceRefreshPreferencesArgs(
        min_healthy_percentage=low,
        max_healthy_percentage=high,
        # The launch hook already waits for a token.
        instance_warmup="0",
        # The first host of the largest group; of a smaller one its first host is a larger part. AWS takes 1 to 100.
        checkpoint_percentages=[max(1, 100 // most), 100] if hold else None,
        checkpoint_delay=str(int(hold.total_seconds())) if hold else None,
    )
