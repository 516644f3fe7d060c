"""What must hold between the settings of platform `eks`, and which settings belong to it alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tandem import capacity
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.errors import Problem
from tandem.settings.cluster import MONITORING, NodePoolSettings, ScalingSettings
from tandem.settings.commands import removed, set_to
from tandem.settings.fleet import FleetSettings
from tandem.settings.inference import InferenceSettings
from tandem.settings.schema import Settings
from tandem.settings.types import PRIVATE
from tandem.tags import MAIN_MODEL
from tandem.timing import DEREGISTRATION_SECONDS, MANAGED_DRAIN_SECONDS, MINUTE, STOP_MARGIN_SECONDS

Rule = Callable[[Settings], Iterator[Problem]]


def models(settings: Settings) -> Iterator[tuple[str, InferenceSettings, ScalingSettings]]:
    """(prefix of its keys, what it serves, how it scales) of each model, the main one first."""
    for name, (inference, scaling) in settings.scaled.items():
        yield prefix_of(name), inference, scaling


def prefix_of(model: str) -> str:
    """Of the keys of a model's settings."""
    return "" if model == MAIN_MODEL else f"models.{model}."


def only_on_kubernetes(settings: Settings) -> Iterator[Problem]:
    """A setting that has no effect is a mistake of which one does not see what was meant."""
    defaults = Settings(region=settings.region)
    for key, value, default in (
        ("cluster", settings.cluster, defaults.cluster),
        ("nodePool", settings.node_pool, defaults.node_pool),
        ("metrics.operatorLabels", settings.metrics.operator_labels, None),
    ):
        if value is not None and value != default:
            yield Problem(
                key=key,
                wrong="has no effect on platform ec2",
                value=sorted(value) if isinstance(value, dict) else sorted(value.model_dump(exclude_defaults=True)),
                allowed="with platform: eks",
                fix=f"{set_to('platform', 'eks')}, or {removed(key)}",
            )
    if settings.inference.is_pipeline:
        yield Problem(
            key="inference.pipelineParallelSize",
            wrong="an Auto Scaling group starts and replaces hosts one by one; a replica over two needs both at once",
            value=settings.inference.pipeline_parallel_size,
            allowed="1 on platform ec2",
            fix=f"{set_to('platform', 'eks')}, or {removed('inference.pipelineParallelSize')} and an instance type "
            "with larger GPUs",
        )


def only_on_hosts(settings: Settings) -> Iterator[Problem]:
    """Nodes pull by themselves, with what their own image is set up for; they come and go with pods."""
    for key, value in (
        ("registryMirror", settings.fleet.registry_mirror),
        ("registryLoginSecretArn", settings.fleet.registry_login_secret_arn),
    ):
        if value is not None:
            yield Problem(
                key=f"fleet.{key}",
                wrong="has no effect on platform eks: kubelet pulls the image, not a script of ours",
                value=value,
                allowed="on platform ec2",
                fix=f"{removed(f'fleet.{key}')}; a pull-through cache in ECR as [vllm] image in images/pins.toml is "
                "read by the nodes' role",
            )
    if settings.metrics.remote_write is not None:
        yield Problem(
            key="metrics.remoteWrite",
            wrong="has no effect on platform eks: a Prometheus in the cluster asks the pods, and writes on from there",
            value=settings.metrics.remote_write,
            allowed="on platform ec2",
            fix=f"{removed('metrics.remoteWrite')}; `remote_write` of that Prometheus, or a managed collector "
            "(docs/alarms.md, who has a Prometheus)",
        )
    if settings.metrics.managed_prometheus:
        yield Problem(
            key="metrics.managedPrometheus",
            wrong="nothing would write there on platform eks: Amazon's collector comes from addresses of the subnets, "
            "and the pods' network policy lets only namespaces of the cluster read their metrics",
            value=True,
            allowed="on platform ec2",
            fix=f"{removed('metrics.managedPrometheus')}; a Prometheus in the cluster writes on from there "
            "(docs/alarms.md, who has a Prometheus)",
        )
    if settings.metrics.managed_grafana:
        yield Problem(
            key="metrics.managedGrafana",
            wrong="asks the workspace of metrics.managedPrometheus, which platform eks does not have",
            value=True,
            allowed="on platform ec2",
            fix=f"{removed('metrics.managedGrafana')}; `tandem observe` prints the dashboard for any Grafana",
        )
    for name, model in settings.models.items():
        if model.fleet is not None:
            key = f"models.{name}.fleet"
            yield Problem(
                key=key,
                wrong="has no effect on platform eks: models share nodes, which `fleet` describes",
                value=model.fleet.model_dump(mode="json", by_alias=True, exclude_unset=True),
                allowed="on platform ec2",
                fix=removed(key),
            )
    if settings.fleet.follow_load:
        yield Problem(
            key="fleet.followLoad",
            wrong="has no effect on platform eks: replicas follow the load by `scaling`, and nodes follow them",
            value=True,
            allowed="on platform ec2",
            fix=removed("fleet.followLoad"),
        )
    if (hold := settings.fleet.hold_after_first_host) is not None:
        yield Problem(
            key="fleet.holdAfterFirstHost",
            wrong="has no effect on platform eks: there is no instance refresh that could be held",
            value=f"{hold // MINUTE}m",
            allowed="on platform ec2",
            fix=removed("fleet.holdAfterFirstHost"),
        )
    if (after := settings.cost_guard.idle_after) is not None:
        yield Problem(
            key="costGuard.idleAfter",
            wrong="a cluster's nodes follow its pods, and an alarm that takes nodes away leaves pods that ask for them",
            value=f"{after // MINUTE}m",
            allowed="on platform ec2",
            fix=f"{removed('costGuard.idleAfter')} and {set_to('scaling.minReplicas', 0)}: with nodePool.provisioner "
            "karpenter nothing runs while nobody asks",
        )


def replicas_have_bounds(settings: Settings) -> Iterator[Problem]:
    """From the least to the most, with what metrics fall back to between them."""
    for prefix, _, scaling in models(settings):
        if scaling.max_replicas < scaling.min_replicas:
            yield Problem(
                key=f"{prefix}scaling.maxReplicas",
                wrong=f"is smaller than minReplicas ({scaling.min_replicas})",
                value=scaling.max_replicas,
                allowed=f"{scaling.min_replicas} or more",
                fix=f"{set_to(f'{prefix}scaling.maxReplicas', scaling.min_replicas)}, or lower minReplicas",
            )
        chosen = scaling.fallback_replicas
        if chosen is not None and not scaling.min_replicas <= chosen <= scaling.max_replicas:
            yield Problem(
                key=f"{prefix}scaling.fallbackReplicas",
                wrong="lies outside minReplicas and maxReplicas",
                value=chosen,
                allowed=f"{scaling.min_replicas} to {scaling.max_replicas}",
                fix=f"{removed(f'{prefix}scaling.fallbackReplicas')}, to fall back to minReplicas",
            )


def drains_can_go_on(settings: Settings) -> Iterator[Problem]:
    """A disruption budget that is never met stops every node upgrade."""
    for prefix, inference, scaling in models(settings):
        keep = scaling.min_available
        if keep is not None and inference.is_pipeline:
            yield Problem(
                key=f"{prefix}scaling.minAvailable",
                wrong="a budget counts pods, and each pod that goes takes the others of its pipeline along",
                value=keep,
                allowed="unset with pipelineParallelSize above 1: drains take one pipeline at a time",
                fix=removed(f"{prefix}scaling.minAvailable"),
            )
        elif keep is not None and keep >= max(1, scaling.min_replicas):
            yield Problem(
                key=f"{prefix}scaling.minAvailable",
                wrong=f"no node could ever be drained: there may be no more than {scaling.min_replicas} replicas",
                value=keep,
                allowed=f"below minReplicas ({scaling.min_replicas})",
                fix=f"{removed(f'{prefix}scaling.minAvailable')}: drains then take one replica at a time; or lower "
                "it, or raise minReplicas",
            )


def pods_find_gpus(settings: Settings) -> Iterator[Problem]:
    """What may be started fits into what may be bought."""
    if any(name not in INSTANCE_TYPES for name in settings.fleet.instance_types):
        return
    fewest = capacity.smallest_types(settings)[0].gpus
    if any(fewest < inference.tensor_parallel_size for _, inference, _ in models(settings)):
        return  # said of the type
    nodes = capacity.most_nodes(settings)
    most = capacity.gpus_of(settings, most=True)
    needed = capacity.nodes_at_worst(settings)
    if needed > nodes:
        mixed = capacity.nodes_for(settings, most) < needed
        yield Problem(
            key="scaling.maxReplicas",
            wrong=f"all replicas have {most} GPUs, which are {needed} nodes of {fewest}"
            f"{', where small servers stand on nodes that large ones need whole' if mixed else ''}, "
            f"and the fleet has {nodes} at most: the last pods would wait for ever",
            value=settings.scaling.max_replicas,
            allowed=f"up to {nodes * fewest // settings.inference.gpus}"
            if not settings.models
            else f"replicas of all models on {nodes} nodes, wherever they are put",
            fix=f"{set_to(_more_nodes(settings), needed)}, or lower maxReplicas",
        )


def _more_nodes(settings: Settings) -> str:
    return "fleet.hosts" if settings.node_pool.provisioner == "managed" else "fleet.maxHosts"


def spread_can_be_met(settings: Settings) -> Iterator[Problem]:
    """A pod waits where its zone or its node cannot come."""
    reserved = settings.fleet.reserved_zones
    zones = len(reserved or settings.zones)
    for prefix, _, scaling in models(settings):
        if scaling.spread == "prefer":
            continue
        if zones == 1 and scaling.spread == "zones" and scaling.max_replicas > 1:
            yield Problem(
                key=f"{prefix}scaling.spread",
                wrong=f"what is reserved is in one zone ({reserved[0]}), so replicas cannot be spread",
                value=scaling.spread,
                allowed="prefer or nodes, with a Capacity Block or reservations in one zone",
                fix=set_to(f"{prefix}scaling.spread", "nodes"),
            )
            continue
        in_zones = min(zones, scaling.max_replicas) if scaling.spread == "zones" else 1
        needed = max(scaling.min_replicas, in_zones)
        if (nodes := capacity.most_nodes(settings)) < needed:
            yield Problem(
                key=f"{prefix}scaling.spread",
                wrong=f"{scaling.min_replicas} replicas, each on a node of its own, need {needed} nodes"
                + (f" in {zones} zones" if in_zones > 1 else "")
                + f", and the fleet has {nodes} at most",
                value=scaling.spread,
                allowed=f"prefer, or as many {_more_nodes(settings)}",
                fix=f"{set_to(f'{prefix}scaling.spread', 'prefer')}, or {set_to(_more_nodes(settings), needed)}",
            )


def pods_leave_in_order(settings: Settings) -> Iterator[Problem]:
    """The load balancer lets go, then the longest answer ends, then the pod; all within its grace."""
    timeouts = settings.timeouts
    needed = DEREGISTRATION_SECONDS + timeouts.longest_generation_seconds + STOP_MARGIN_SECONDS
    if timeouts.termination_grace_seconds < needed:
        yield Problem(
            key="timeouts.terminationGraceSeconds",
            wrong=f"is shorter than a pod's way out: {DEREGISTRATION_SECONDS} s until the load balancer lets go, "
            f"{timeouts.longest_generation_seconds} s for the longest answer, {STOP_MARGIN_SECONDS} s to end",
            value=timeouts.termination_grace_seconds,
            allowed=f"{needed} s or more",
            fix=f"{set_to('timeouts.terminationGraceSeconds', needed)}, or lower timeouts.longestGenerationSeconds",
        )


def something_outside_can_stop_it(settings: Settings) -> Iterator[Problem]:
    """Expiry is a call of AWS's API; Karpenter's nodes come back as long as there are pods."""
    guard = settings.cost_guard
    if settings.node_pool.provisioner == "karpenter":
        for key, value in (
            ("expiresAfter", guard.expires_after),
            ("expiresAt", guard.expires_at),
            ("maxUsd", guard.max_usd),
        ):
            if value is not None:
                yield Problem(
                    key=f"costGuard.{key}",
                    wrong="nothing outside the cluster can stop nodes that Karpenter starts again",
                    value=str(value),
                    allowed="with nodePool.provisioner: managed, or on platform ec2",
                    fix=f"{set_to('nodePool.provisioner', 'managed')}; costGuard.monthlyBudgetUsd works with both",
                )
        if guard.business_hours is not None:
            yield Problem(
                key="costGuard.businessHours",
                wrong="Karpenter's nodes follow the load, not the clock",
                value=f"{guard.business_hours.start} to {guard.business_hours.stop}",
                allowed="with nodePool.provisioner: managed, or on platform ec2",
                fix=f"{removed('costGuard.businessHours')} and {set_to('scaling.minReplicas', 0)}: then nothing runs "
                "while nobody asks",
            )


def nodes_are_to_be_had(settings: Settings) -> Iterator[Problem]:
    """Karpenter has a base on demand and one purchase above it; an EKS node group one purchase, and images of EKS's."""
    fleet = settings.fleet
    if settings.node_pool.provisioner != "managed":
        if fleet.on_demand_percentage not in (0, 100):
            yield Problem(
                key="fleet.onDemandPercentage",
                wrong="what comes on top of fleet.onDemandBase is spot as long as there is any, or all on demand",
                value=fleet.on_demand_percentage,
                allowed="0 or 100 on platform eks",
                fix=f"{set_to('fleet.onDemandPercentage', 0)}, and fleet.onDemandBase to the nodes that must be on "
                "demand",
            )
        return
    if fleet.machine_image_id is not None:
        yield Problem(
            key="fleet.machineImageId",
            wrong="is for Karpenter's nodes: a managed node group names a release of EKS's image",
            value=fleet.machine_image_id,
            allowed="with nodePool.provisioner: karpenter",
            fix=f"{removed('fleet.machineImageId')}; kubernetes.releases in images/pins.toml has the release",
        )
    if fleet.reservation_ids:
        setting = "fleet.capacityReservations" if fleet.capacity_block is None else "fleet.capacityBlock"
        yield Problem(
            key=setting,
            wrong="is for Karpenter's nodes: a node group's launch template names one reservation, and nothing that "
            "starts when it is full",
            value=", ".join(fleet.reservation_ids),
            allowed="with nodePool.provisioner: karpenter",
            fix=karpenter_or(removed(setting), settings),
        )
    if fleet.on_demand_base or fleet.on_demand_percentage not in (0, 100):
        yield Problem(
            key="fleet.onDemandBase" if fleet.on_demand_base else "fleet.onDemandPercentage",
            wrong="a managed node group is all on demand or all spot",
            value=fleet.on_demand_base or fleet.on_demand_percentage,
            allowed="onDemandBase 0 with onDemandPercentage 0 or 100",
            fix=karpenter_or("use one purchase", settings),
        )


def karpenter_or(otherwise: str, settings: Settings) -> str:
    """A fix of what a managed node group cannot do; in a cluster of somebody else's there is no Karpenter to change
    to."""
    return otherwise if settings.cluster.existing else f"{set_to('nodePool.provisioner', 'karpenter')}, or {otherwise}"


def managed_nodes_can_be_replaced(settings: Settings) -> Iterator[Problem]:
    """By EKS, at an update, in the time that it gives each of them."""
    if settings.node_pool.provisioner != "managed":
        return
    most = MANAGED_DRAIN_SECONDS - STOP_MARGIN_SECONDS
    if (grace := settings.timeouts.termination_grace_seconds) > most:
        yield Problem(
            key="timeouts.terminationGraceSeconds",
            wrong="EKS gives a node of a managed group 15 minutes to be empty, then an update ends with "
            "PodEvictionFailure",
            value=grace,
            allowed=f"up to {most} s with nodePool.provisioner: managed",
            fix=karpenter_or(
                f"{set_to('timeouts.terminationGraceSeconds', most)} with timeouts.longestGenerationSeconds below it",
                settings,
            ),
        )
    if (window := settings.node_pool.replacement_window) is not None:
        yield Problem(
            key="nodePool.replacementWindow",
            wrong="EKS replaces nodes of a managed group during `pulumi up`, and at no other time",
            value=f"{window.start} UTC for {window.hours} h",
            allowed="with nodePool.provisioner: karpenter",
            fix=f"{removed('nodePool.replacementWindow')}, and `pulumi up` when nodes may be replaced",
        )


def scrapes_are_let_in(settings: Settings) -> Iterator[Problem]:
    """Servers let in the namespace that scrapes them, and no other."""
    for prefix, _, scaling in models(settings):
        if scaling.scraped_from is None:
            yield Problem(
                key=f"{prefix}scaling.prometheusNamespace",
                wrong="servers let in who scrapes them by namespace, and prometheusUrl names none",
                value=scaling.prometheus_url,
                allowed="set with such a prometheusUrl, or http://NAME.NAMESPACE.svc:PORT",
                fix=f"{set_to(f'{prefix}scaling.prometheusNamespace', 'NAMESPACE')}, whose pods scrape this cluster",
            )
        elif not scaling.prometheus_url and scaling.scraped_from != MONITORING:
            yield Problem(
                key=f"{prefix}scaling.prometheusNamespace",
                wrong=f"servers would let in this namespace alone, and the stack's own Prometheus is in {MONITORING}",
                value=scaling.prometheus_namespace,
                allowed=f"unset, or with scaling.prometheusUrl of a Prometheus in {scaling.prometheus_namespace}",
                fix=f"{removed(f'{prefix}scaling.prometheusNamespace')}, or "
                f"{set_to(f'{prefix}scaling.prometheusUrl', f'http://NAME.{scaling.prometheus_namespace}.svc:9090')}",
            )


def endpoint_is_one_thing(settings: Settings) -> Iterator[Problem]:
    """A private endpoint has no clients outside, and a public one no others."""
    cluster = settings.cluster
    for number, cidr in enumerate(cluster.endpoint_cidrs):
        if cidr.is_loopback or cidr.is_link_local or cidr.is_multicast or any(map(cidr.subnet_of, PRIVATE)):
            yield Problem(
                key="cluster.endpointCidrs",
                wrong="nobody comes from there over the internet, and EKS takes no reserved addresses",
                value=str(cidr),
                allowed="public ranges, such as 203.0.113.0/24",
                fix=f"{set_to(f'cluster.endpointCidrs[{number}]', 'CIDR')}, the public address behind which clients "
                "are; the VPC needs no entry",
            )
    if cluster.endpoint == "private" and cluster.endpoint_cidrs != type(cluster)().endpoint_cidrs:
        yield Problem(
            key="cluster.endpointCidrs",
            wrong="is of no use with a private endpoint",
            value=[str(cidr) for cidr in cluster.endpoint_cidrs],
            allowed="with cluster.endpoint: public",
            fix=f"{removed('cluster.endpointCidrs')}, or {set_to('cluster.endpoint', 'public')}",
        )


def only_with_one_provisioner(settings: Settings) -> Iterator[Problem]:
    """Karpenter has as many nodes as pods need, up to a bound; a managed node group those that it was made with."""
    fleet, empty = settings.fleet, settings.node_pool.empty_minutes
    if settings.node_pool.provisioner == "karpenter":
        for key, value, default in (
            ("hosts", fleet.hosts, FleetSettings().hosts),
            ("spareHosts", fleet.spare_hosts, FleetSettings().spare_hosts),
        ):
            if value != default and fleet.max_hosts is not None:
                yield Problem(
                    key=f"fleet.{key}",
                    wrong="has no effect beside fleet.maxHosts: Karpenter's nodes follow the pods",
                    value=value,
                    allowed="unset beside fleet.maxHosts with nodePool.provisioner: karpenter",
                    fix=f"{removed(f'fleet.{key}')}; scaling.minReplicas says how many replicas there always are",
                )
        return
    if fleet.max_hosts not in (None, settings.group_size):
        yield Problem(
            key="fleet.maxHosts",
            wrong="has no effect: a managed node group has hosts + spareHosts nodes, and never more",
            value=fleet.max_hosts,
            allowed="unset with nodePool.provisioner: managed",
            fix=f"{removed('fleet.maxHosts')}, or {set_to('nodePool.provisioner', 'karpenter')}",
        )
    if empty != NodePoolSettings().empty_minutes:
        yield Problem(
            key="nodePool.emptyMinutes",
            wrong="has no effect: nodes of a managed node group stay without pods, too",
            value=empty,
            allowed="with nodePool.provisioner: karpenter",
            fix=f"{removed('nodePool.emptyMinutes')}, or {set_to('nodePool.provisioner', 'karpenter')}",
        )


def an_operator_is_let_in(settings: Settings) -> Iterator[Problem]:
    """Its Prometheus is not the small one of the stack, which reads no rules and is in a namespace of its own."""
    if settings.metrics.operator_labels is not None and settings.scaling.prometheus_url is None:
        yield Problem(
            key="metrics.operatorLabels",
            wrong="asks for objects of a Prometheus operator, whose Prometheus may not ask the servers",
            value=settings.metrics.operator_labels,
            allowed="together with scaling.prometheusUrl",
            fix=f"{set_to('scaling.prometheusUrl', 'http://NAME.NAMESPACE.svc:9090')}, or "
            f"{removed('metrics.operatorLabels')}; `tandem observe STACK` prints rules for any Prometheus",
        )


RULES: tuple[Rule, ...] = (
    replicas_have_bounds,
    drains_can_go_on,
    pods_find_gpus,
    spread_can_be_met,
    pods_leave_in_order,
    something_outside_can_stop_it,
    nodes_are_to_be_had,
    managed_nodes_can_be_replaced,
    scrapes_are_let_in,
    an_operator_is_let_in,
    endpoint_is_one_thing,
    only_on_hosts,
    only_with_one_provisioner,
)
