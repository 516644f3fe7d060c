"""Looks at a stack: everything is read from the account by tags and from the API, never from the program's state."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, TypeVar

import yaml

from infra import costs
from infra.catalog import prices
from infra.catalog.instances import INSTANCE_TYPES
from infra.errors import UserError
from infra.settings import Settings
from ops import endpoint, expiry
from ops.aws import AwsError, problem_of
from ops.endpoint import Endpoint
from ops.kinds import KINDS, types
from ops.kinds.kind import Clients, Found, Scope
from ops.smoke import Smoke, Surprise, Target
from ops.status.report import Fleet, Host, Status, Unknown

HOST_FILE = "/etc/tandem/host.json"
"""Where user data puts what a host runs."""

RECENT = timedelta(hours=1)
T = TypeVar("T")


def look(clients: Clients, stack: str, settings: Settings, now: datetime, *, probe: bool = True) -> Status:
    """The status of one stack.

    Args:
        probe: ask the API for one token; that needs the stack's key, and a way to it.
    """
    with ThreadPoolExecutor(6) as pool:
        way_in = pool.submit(_known, lambda: _endpoint(clients, stack, settings))
        fleet = pool.submit(_known, lambda: _fleet(clients, stack))
        running = pool.submit(_known, lambda: _running(clients, stack))
        expires = pool.submit(_known, lambda: _expires_at(clients, stack))
        found = way_in.result()
        requests = pool.submit(_known, lambda: _requests(clients, stack, now))
        token = pool.submit(_known, lambda: _token(clients, stack, found, probe))
    group = fleet.result()
    return Status(
        stack=stack,
        region=settings.region,
        url=found if isinstance(found, Unknown) else found.url,
        fleet=group,
        running=running.result(),
        last_token=token.result(),
        requests=requests.result(),
        queue=Unknown("servers tell it on /metrics, which is served to nobody outside"),
        cost_so_far=group if isinstance(group, Unknown) else cost_so_far(settings, group, now),
        expires_at=expires.result(),
    )


def _known(look_up: Callable[[], T | Unknown]) -> T | Unknown:
    """What a look-up finds; why it is unknown, where AWS does not tell."""
    try:
        return look_up()
    except AwsError as error:
        problem = problem_of(error, "")
        return Unknown(f"{problem.wrong} ({problem.fix})")
    except UserError as error:
        return Unknown(error.problems[0].wrong)


def _ours(clients: Clients, stack: str, type_: str) -> list[Found]:
    return KINDS[type_].find(Scope(clients, stack))


def _endpoint(clients: Clients, stack: str, settings: Settings) -> Endpoint | Unknown:
    found = endpoint.find(clients, stack, settings.load_balancer.domain_name)
    return found or Unknown("the stack has no load balancer in this account and region")


def _fleet(clients: Clients, stack: str) -> Fleet | Unknown:
    groups = _ours(clients, stack, types.GROUP)
    if not groups:
        return Unknown("the stack has no Auto Scaling group in this account and region")
    group = groups[0].facts
    wanted = _wanted_version(group)
    instances = {found.id: found.facts for found in _ours(clients, stack, types.INSTANCE)}
    targets = _target_states(clients, group.get("TargetGroupARNs", ()))
    hosts = [
        _host(item, instances.get(item["InstanceId"], {}), targets.get(item["InstanceId"], "not registered"), wanted)
        for item in group.get("Instances", ())
    ]
    return Fleet(
        name=groups[0].name,
        minimum=group["MinSize"],
        desired=group["DesiredCapacity"],
        maximum=group["MaxSize"],
        hosts=tuple(sorted(hosts, key=lambda host: (host.zone, host.id))),
    )


def _host(item: Mapping[str, Any], instance: Mapping[str, Any], target: str, wanted: str) -> Host:
    kind = item.get("InstanceType") or instance.get("InstanceType", "")
    version = str((item.get("LaunchTemplate") or {}).get("Version", ""))
    known = INSTANCE_TYPES.get(kind)
    return Host(
        id=item["InstanceId"],
        type=kind,
        zone=item["AvailabilityZone"],
        purchase=instance.get("InstanceLifecycle", "on demand"),
        state=item["LifecycleState"],
        target=target,
        version=version,
        current=version == wanted,
        since=instance.get("LaunchTime"),
        replicas=known.replicas if known else None,
    )


def _wanted_version(group: Mapping[str, Any]) -> str:
    return str((_template(group) or {}).get("Version", ""))


def _template(group: Mapping[str, Any]) -> Mapping[str, Any] | None:
    mixed = group.get("MixedInstancesPolicy")
    return mixed["LaunchTemplate"]["LaunchTemplateSpecification"] if mixed else group.get("LaunchTemplate")


def _target_states(clients: Clients, target_groups: Any) -> dict[str, str]:
    return {
        item["Target"]["Id"]: item["TargetHealth"]["State"]
        for arn in target_groups
        for item in clients("elbv2").describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    }


def _running(clients: Clients, stack: str) -> Mapping[str, str] | Unknown:
    """Image and model from the user data of the version that the group wants."""
    groups = _ours(clients, stack, types.GROUP)
    template = _template(groups[0].facts) if groups else None
    if not template:
        return Unknown("there is no launch template")
    found = clients("ec2").describe_launch_template_versions(
        LaunchTemplateId=template["LaunchTemplateId"], Versions=[str(template.get("Version") or "$Default")]
    )["LaunchTemplateVersions"]
    data = found[0]["LaunchTemplateData"] if found else {}
    engine = host_file(data.get("UserData", "")).get("engine")
    if not engine:
        return Unknown("the launch template's user data is not tandem's")
    return {
        "image": engine["image"],
        "model": engine["model"],
        "revision": engine.get("revision") or "not pinned",
        "machineImage": data.get("ImageId", ""),
        "launchTemplateVersion": str(found[0]["VersionNumber"]),
    }


def host_file(user_data: str) -> dict[str, Any]:
    """What user data (base64 of gzip'd cloud-config) tells a host; empty where it is something else."""
    try:
        text = gzip.decompress(base64.b64decode(user_data)).decode()
        files = (yaml.safe_load(text) or {}).get("write_files", ())
        return next((json.loads(file["content"]) for file in files if file["path"] == HOST_FILE), {})
    except (ValueError, OSError, EOFError, AttributeError, yaml.YAMLError):
        return {}


def _expires_at(clients: Clients, stack: str) -> str:
    """The moment of the schedule that stops the fleet."""
    moment = expiry.expires_at(clients, stack)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else "never"


def _requests(clients: Clients, stack: str, now: datetime) -> str | Unknown:
    balancers = _ours(clients, stack, types.LOAD_BALANCER)
    if not balancers:
        return Unknown("there is no load balancer")
    dimension = balancers[0].arn.partition(":loadbalancer/")[2]

    def total(metric: str) -> int | None:
        points = clients("cloudwatch").get_metric_statistics(
            Namespace="AWS/ApplicationELB",
            MetricName=metric,
            Dimensions=[{"Name": "LoadBalancer", "Value": dimension}],
            StartTime=now - RECENT,
            EndTime=now,
            Period=int(RECENT.total_seconds()),
            Statistics=["Sum"],
        )["Datapoints"]
        return int(sum(point["Sum"] for point in points)) if points else None

    requests = total("RequestCount")
    if requests is None:
        return "none in the last hour"
    failed = (total("HTTPCode_Target_5XX_Count") or 0) + (total("HTTPCode_ELB_5XX_Count") or 0)
    return f"{requests} in the last hour, {failed} failed"


def _token(clients: Clients, stack: str, way_in: Endpoint | Unknown, probe: bool) -> str | Unknown:
    """One token, asked for now; nothing else proves that the servers make progress."""
    if not probe:
        return Unknown("not asked for (--no-probe)")
    if isinstance(way_in, Unknown):
        return way_in
    target = Target(way_in.url, endpoint.api_key(clients, stack), way_in.ca_pem, timeout_seconds=30)
    try:
        answer = Smoke(target).chat("Say hello.", 1).expect(200)
    except Surprise as surprise:
        return Unknown(f"the API makes none: {target.redact(str(surprise))}")
    return f"now, after {answer.seconds:.2f} s"


def cost_so_far(settings: Settings, fleet: Fleet, now: datetime) -> float | Unknown:
    """Hosts since their start, what always runs since the oldest of them; hosts that are gone are not in it."""
    started = [host.since for host in fleet.hosts if host.since]
    if not started:
        return Unknown("no host runs, and what ran before is told by `tandem cost --actual` only")
    unknown = [host.type for host in fleet.hosts if host.type not in INSTANCE_TYPES]
    if unknown:
        return Unknown(f"the catalog has no price of {', '.join(sorted(set(unknown)))}")
    volume = settings.fleet.root_volume_gib * prices.EBS_GP3_PER_GIB_HOUR
    hosts = sum(
        (INSTANCE_TYPES[host.type].usd_per_hour + volume) * _hours(now - host.since)
        for host in fleet.hosts
        if host.since
    )
    return hosts + costs.total(costs.fixed_costs(settings)) * _hours(now - min(started))


def _hours(span: timedelta) -> float:
    return max(span, timedelta()) / timedelta(hours=1)
