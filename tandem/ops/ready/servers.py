"""Lines on what serves: versions, probes, zones, one server more than the load needs."""

from __future__ import annotations

from tandem import checks
from tandem.ops.ready.visit import Seen, Unmet, Visit
from tandem.ops.status import Cluster, Fleet, Host, Unknown
from tandem.ports import HEALTH_PATH


def versions(visit: Visit) -> Seen:
    """No empty pin; on hosts the image that they were given, by its digest, and all of them on one version."""
    if missing := checks.missing_pins(visit.settings, visit.pins):
        return Unmet(f"empty in images/pins.toml: {', '.join(one.key.partition(': ')[2] for one in missing)}")
    if old := visit.pins.driver_problems():
        return Unmet(f"{old[0].key}: {old[0].wrong}", old[0].fix)
    servers, running = visit.status.servers, visit.status.running
    if isinstance(servers, Cluster):
        return "images, charts and nodes are pinned; what pods run now, `tandem rollout` asks the cluster"
    if isinstance(servers, Unknown):
        return servers
    if isinstance(running, Unknown):
        return running
    if old := [host.id for host in servers.machines if not host.current]:
        return Unmet(f"another version than new hosts get: {', '.join(old)}", f"`tandem rollout {visit.stack}`")
    return running["image"] if "@sha256:" in running["image"] else Unmet(f"{running['image']} has no digest")


def probes(visit: Visit) -> Seen:
    """The load balancer asks what answers only while tokens are made, and all that should answer do."""
    asked = {group.facts.get("HealthCheckPath", "nothing") for group in visit.servers_targets}
    if asked != {HEALTH_PATH}:
        return Unmet(f"the load balancer asks {', '.join(sorted(asked)) or 'nobody'}, not {HEALTH_PATH}")
    servers = visit.serving
    if isinstance(servers, Unknown):
        return servers
    return servers.summary if servers.enough else Unmet(servers.summary, f"`tandem status {visit.stack}`")


def zones(visit: Visit) -> Seen:
    """Of the machines that serve now."""
    servers = visit.serving
    if isinstance(servers, Unknown):
        return servers
    machines = [one for one in servers.machines if not isinstance(one, Host) or one.serves]
    found = ", ".join(sorted({one.zone for one in machines}))
    few = "" if len(machines) > 1 else "two servers first, as the line N+1 says"
    return found if ", " in found else Unmet(f"all {len(machines)} in {found}" if found else "no server serves", few)


def spare(visit: Visit) -> Seen:
    """Hosts beyond those that carry the load; on a cluster each model with all its replicas, and two nodes."""
    servers = visit.serving
    if isinstance(servers, Unknown):
        return servers
    if isinstance(servers, Fleet):
        late = "" if servers.enough else f"`tandem status {visit.stack}` says what does not come"
        needed = {model: max(1, own.fleet.hosts) for model, own in visit.settings.groups.items()}
        few = [
            (f"{model}: " if servers.further else "") + f"serving {one.serving}, the load takes {needed.get(model, 1)}"
            for model, one in servers.each.items()
            if one.serving <= needed.get(model, 1)
        ]
        return Unmet("; ".join(few), late) if few else servers.summary
    mends = "`pulumi config set --path tandem:scaling.minReplicas 2` or more, then `pulumi up`"
    if few := [f"{one.name} has {one.serving}" for one in servers.models if one.serving < max(2, one.minimum)]:
        return Unmet(f"too few replicas: {', '.join(few)}", mends)
    return servers.summary if len(servers.nodes) > 1 else Unmet("all on one node", "tandem:scaling.spread: nodes")
