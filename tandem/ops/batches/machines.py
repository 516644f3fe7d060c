"""Who comes for a batch: hosts of a group that is at 0 otherwise, or pods of a Job on nodes that come for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from tandem import type_tokens as types
from tandem.capacity import servers_per_host
from tandem.errors import UserError
from tandem.kubernetes.jobs import job
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.names import BATCH, NAMESPACE, OF_BATCH
from tandem.ops.kinds import is_for_batches, ours
from tandem.ops.kinds.kind import Clients
from tandem.ops.rollout.cluster import kubectl
from tandem.settings import Settings

ENDS = "tandem-batch-ends"
"""The group's action that takes it to 0 when the money could be spent, whoever looks."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """For machines, all at once.

    Attributes:
        batch: its id. number: how often machines were called for it, with this time.
        hosts: that come.
        since: the moment. ends: when they end in any case.
    """

    batch: str
    number: int
    hosts: int
    since: datetime
    ends: datetime


class Machines(Protocol):
    """That work at a stack's batch, one batch at a time."""

    def reach(self) -> None:
        """Before anything is written.

        Raises:
            UserError: they cannot be called.
        """
        ...

    def call(self, call: Call, /) -> None:
        """What ends them is there before they are."""
        ...

    def end(self, batch: str, /) -> None: ...

    def told(self, batch: str, /) -> str:
        """What is to be known of machines while a batch runs that its bucket does not tell; empty where nothing is."""
        ...


@dataclass(frozen=True)
class Group:
    """An Auto Scaling group."""

    autoscaling: Any
    name: str

    def reach(self) -> None:
        """Who has seen the group reaches it."""

    def call(self, call: Call) -> None:
        group = {"AutoScalingGroupName": self.name}
        self.autoscaling.put_scheduled_update_group_action(
            **group, ScheduledActionName=ENDS, StartTime=call.ends, MinSize=0, MaxSize=0, DesiredCapacity=0
        )
        self.autoscaling.update_auto_scaling_group(**group, MinSize=0, MaxSize=call.hosts, DesiredCapacity=call.hosts)

    def end(self, _batch: str) -> None:
        self.autoscaling.update_auto_scaling_group(
            AutoScalingGroupName=self.name, MinSize=0, MaxSize=0, DesiredCapacity=0
        )

    def told(self, _batch: str) -> str:
        return ""


@dataclass(frozen=True)
class Jobs:
    """Jobs, one for each time that pods are called.

    Attributes:
        cluster: `kubectl`, until the block ends.
        pods_per_host: that a node has room for, of whichever type it is.
    """

    cluster: Callable[[ExitStack], Kubectl]
    pods_per_host: int

    def reach(self) -> None:
        with ExitStack() as up:
            _template(self.cluster(up))

    def call(self, call: Call) -> None:
        with ExitStack() as up:
            kubectl = self.cluster(up)
            template = _template(kubectl)
            seconds = int((call.ends - call.since).total_seconds())
            kubectl.create(job(template, call.batch, call.number, call.hosts * self.pods_per_host, seconds))

    def end(self, batch: str) -> None:
        with ExitStack() as up:
            self.cluster(up).run("delete", "jobs", *_of(batch), "--wait=false")

    def told(self, batch: str) -> str:
        """Also where the cluster is out of reach, as the bucket is not."""
        try:
            with ExitStack() as up:
                why = _gave_up(self.cluster(up).read("jobs", *_of(batch)))
        except UserError:
            why = ""
        shown = f"Its pods: kubectl --namespace {NAMESPACE} get jobs,pods {' '.join(_of(batch))}"
        mend = "`tandem batch cancel` it, and once that is mended `resume` it"
        return f"Its pods gave up ({why}): {mend}.\n{shown}" if why else shown


def _of(batch: str) -> tuple[str, str]:
    return "--selector", f"{OF_BATCH}={batch}"


def _gave_up(jobs: Sequence[Mapping[str, Any]]) -> str:
    """Why the Job that was made last ended with an error, if it did."""
    last = max(jobs, key=lambda one: one["metadata"]["creationTimestamp"], default={})
    failed = [one for one in last.get("status", {}).get("conditions", ()) if one["type"] == "Failed"]
    return f"{failed[0]['reason']}: {failed[0]['message']}" if failed and failed[0]["status"] == "True" else ""


def _template(kubectl: Kubectl) -> dict[str, Any]:
    return kubectl.one("podtemplate", BATCH)


def _group(clients: Clients, stack: str, stack_id: str | None, _settings: Settings) -> Group | None:
    found = [one for one in ours(clients, stack, types.GROUP, stack_id) if is_for_batches(one)]
    return Group(clients("autoscaling"), found[0].id) if found else None


def _jobs(clients: Clients, stack: str, stack_id: str | None, settings: Settings) -> Jobs:
    def cluster(up: ExitStack) -> Kubectl:
        return kubectl(clients, stack, stack_id, settings.region, up)

    return Jobs(cluster, min(servers_per_host(settings)))


MACHINES: Mapping[str, Callable[[Clients, str, str | None, Settings], Machines | None]] = {"ec2": _group, "eks": _jobs}
"""Of a stack that is up, by platform; None where there are none."""
