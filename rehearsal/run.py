"""The rehearsal of a stack: up, unchanged, a new image, expired, gone, each step judged by what must hold after it."""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from pulumi_rehearsal.engine import Engine
from pulumi_rehearsal.kubernetes import declared, provider_plugin
from pulumi_rehearsal.kubernetes.build import KUBECTL
from pulumi_rehearsal.kubernetes.cluster import Cluster, title
from pulumi_rehearsal.kubernetes.control_plane import BAD_DIGEST
from pulumi_rehearsal.kubernetes.watch import lowest_available
from pulumi_rehearsal.operations import Operation, Step
from pulumi_rehearsal.workspace import OnStep
from rehearsal import expectations, expiry, idle, placeholders, plain_text, rollout, scaling
from rehearsal.account import simulated_account
from rehearsal.expectations import Verdict
from rehearsal.kubernetes import expectations as kubernetes
from rehearsal.kubernetes.autoscaling import try_load
from rehearsal.kubernetes.connections import are_as_promised, connections
from rehearsal.kubernetes.disruption import deployments, drain, lose_zone, servers
from rehearsal.kubernetes.lent_roles import asked_by, lent_roles
from rehearsal.kubernetes.shortage import run_out_of_gpus
from rehearsal.kubernetes.verdicts import of_cluster, versions
from rehearsal.phases import go_through
from rehearsal.played_scaling import Account
from rehearsal.report import Phase, StackReport
from rehearsal.scene import PROJECT, Scene, pins_of, region_of, set_the_scene, stack_config
from tandem import type_tokens as types
from tandem.kubernetes.kubectl import Kubectl
from tandem.lifetime import is_open
from tandem.loading import load_stack_file
from tandem.ops import inventory, removal
from tandem.ops.kinds import KINDS, state_key
from tandem.ops.kinds.kind import Found
from tandem.ops.kinds.left_behind import cluster_name
from tandem.ops.rollout.cluster import Deployments
from tandem.settings import Settings
from tandem.tags import MAIN_MODEL

LOAD_BALANCER = "aws:lb/loadBalancer:LoadBalancer"


class Watcher(Protocol):
    """Is told how the rehearsal of a stack goes, from the thread that does it."""

    def phase_started(self, stack: str, phase: str) -> None: ...

    def step_done(self, stack: str, step: Step) -> None: ...

    def phase_ended(self, stack: str, phase: Phase) -> None: ...


def rehearse(scene: Scene, watcher: Watcher) -> StackReport:
    """Goes through all phases; a phase that breaks the stack is the last one."""
    return _Rehearsal(scene, watcher).run()


def rehearse_all(stacks: Sequence[str], engine: Engine, watcher: Watcher, project: Path = PROJECT) -> list[StackReport]:
    """Rehearses stacks side by side in one simulated account, where their names could clash as in a real one.

    Raises:
        UserError: a stack has no file, or names no region; nothing has been started then.
    """
    for stack in stacks:
        region_of(project, stack)

    def one(stack: str) -> StackReport:
        with set_the_scene(stack, engine, account, project) as scene:
            return rehearse(scene, watcher)

    with simulated_account() as account, ThreadPoolExecutor(len(stacks)) as pool:
        return list(pool.map(one, stacks))


class _Rehearsal:
    def __init__(self, scene: Scene, watcher: Watcher) -> None:
        self.workspace = scene.workspace
        self.scene = scene
        self.cluster = scene.cluster
        self.watcher = watcher
        self.stack = scene.workspace.stack
        self.pins = pins_of(scene.workspace)
        self.report = StackReport(self.stack, placeholders=scene.placeholders)
        # A token that exists nowhere else, so that finding it proves a leak.
        self.secrets = {"tandem:huggingFaceToken": f"hf_{secrets.token_hex(17)}"}
        self.announced = Operation("preview")
        self.shown: dict[str, str] = {}
        self.broken = False

    def run(self) -> StackReport:
        for name, phase in (
            ("preview", self._preview),
            ("up", self._up),
            ("second up", self._second_up),
            ("load", self._follow_load),
            ("new image", self._new_image),
            ("bad image", self._bad_image),
            *([("disruption", self._disrupt), ("load", self._load)] if self.cluster else []),
            ("secrets", self._look_for_secrets),
            ("idle", self._fall_idle),
            ("business hours", self._keep_hours),
            ("expiry", self._expire),
            ("destroy", self._destroy),
        ):
            self._phase(name, phase)
            if self.broken:
                break
        return self.report

    def _phase(self, name: str, body: Callable[[Phase], None]) -> None:
        self.watcher.phase_started(self.stack, name)
        phase, broken = go_through(name, body)
        self.broken |= broken
        if phase.verdicts:  # some stacks do not expire, some projects have no image
            self.report.phases.append(phase)
        self.watcher.phase_ended(self.stack, phase)

    def _operate(self, phase: Phase, operation: Callable[[OnStep], Operation]) -> Operation:
        done = operation(lambda step: self.watcher.step_done(self.stack, step))
        phase.changes = dict(done.changes())
        phase.warnings += [message for message in done.messages if message.startswith("warning")]
        self.shown[f"what `pulumi {done.name}` shows ({phase.name})"] = "\n".join(done.messages)
        return done

    def _must_succeed(self, phase: Phase, operation: Callable[[OnStep], Operation]) -> Operation:
        """An operation without which the phases after it mean nothing."""
        done = self._operate(phase, operation)
        phase.verdicts.append(expectations.succeeds(done))
        self.broken |= not done.succeeded
        return done

    # -- phases

    def _preview(self, phase: Phase) -> None:
        self.workspace.set_secrets(self.secrets)
        self.announced = self._must_succeed(phase, self.workspace.preview)

    def _up(self, phase: Phase) -> None:
        up = self._must_succeed(phase, self.workspace.up)
        if up.succeeded:
            phase.verdicts.append(expectations.keeps_the_previews_word(self.announced, up))
            phase.verdicts.append(expectations.is_seen_by_boto3(self._in_state(), self._in_account()))
            if stack_id := self.workspace.outputs().get("stackId"):
                ephemeral = bool(stack_config(self.workspace.directory, self.stack).get("tandem:ephemeral"))
                phase.verdicts.append(expectations.carries_the_tags(self.stack, stack_id, ephemeral, self._found()))
            if self.cluster:
                self.report.connections = connections(self.cluster, self._found(), self._settings.monitoring_namespaces)
                phase.verdicts += of_cluster(self.cluster, self.workspace.resources(), self._settings)
                phase.verdicts.append(are_as_promised(self.report.connections))
            self._note_facts()

    def _second_up(self, phase: Phase) -> None:
        phase.verdicts.append(expectations.changes_nothing(self._must_succeed(phase, self.workspace.up)))

    def _follow_load(self, phase: Phase) -> None:
        """Traffic on a played group, by the policies that the account keeps. Then there are as many hosts as
        may be, for `up` and for the rollouts that follow."""
        if not self._settings.follows_load:
            return
        account = Account.of(self._found())
        day = scaling.play_day(self._settings, account) if account else None
        phase.verdicts.append(expectations.follow_the_load(self._settings, account, day))
        self.report.day = scaling.told(self._settings, day) if day else ""
        for group in self._groups():
            self.scene.clients("autoscaling").set_desired_capacity(
                AutoScalingGroupName=group["AutoScalingGroupName"], DesiredCapacity=group["MaxSize"]
            )
        scaled = self._groups()
        self.workspace.pulumi("up", "--refresh", "--yes", "--skip-preview")
        phase.verdicts.append(expectations.leaves_the_hosts(scaled, self._groups()))

    def _new_image(self, phase: Phase) -> None:
        if self.pins.exists():
            self._roll_out(phase)

    def _bad_image(self, phase: Phase) -> None:
        """No server starts with it, and the way back is taken; then the pin is put back, as docs/runbook.md says."""
        if not self.pins.exists() or self._settings.fleet.rollout != "launchFirst":
            return
        if self.cluster:
            self._bad_image_of_pods(phase, self.cluster)
        elif any(group["DesiredCapacity"] for group in self._groups()):
            self._bad_image_of_hosts(phase)

    def _bad_image_of_hosts(self, phase: Phase) -> None:
        self._change_image(phase, BAD_DIGEST)
        phase.verdicts.append(expectations.goes_back(rollout.go_back(self.scene.clients, self.stack, self._settings)))
        self._roll_out(phase)

    def _bad_image_of_pods(self, phase: Phase, cluster: Cluster) -> None:
        kubectl = Kubectl(cluster.plane.kubeconfig, str(KUBECTL.command("kubectl")))
        platform = Deployments(kubectl)
        placeholders.change_image(self.pins, BAD_DIGEST)
        with lowest_available(cluster.api) as lowest, ThreadPoolExecutor(1) as pool:
            up = pool.submit(self._operate, phase, self.workspace.up)
            noticed = rollout.watch_and_go_back(platform, up.done)
        served = deployments(cluster.api)
        phase.verdicts += [
            kubernetes.are_noticed(noticed, served),
            kubernetes.is_not_called_a_success(up.result(), cluster.api.list("v1", "ConfigMap")),
            kubernetes.keep_serving(lowest, served),
        ]
        self._roll_out_to_pods(phase, cluster, kubernetes.are_back)

    def _roll_out(self, phase: Phase) -> None:
        """The next release of the image, until it is everywhere."""
        if self.cluster:
            self._roll_out_to_pods(phase, self.cluster, kubernetes.changes_servers)
            return
        self._change_image(phase, placeholders.OTHER_DIGEST)
        if self._groups():
            seen = rollout.roll_out(self.scene.clients, self.stack, self._settings)
            phase.verdicts.append(expectations.replaces_hosts(seen))

    def _change_image(self, phase: Phase, digest: str) -> None:
        placeholders.change_image(self.pins, digest)
        up = self._must_succeed(phase, self.workspace.up)
        phase.verdicts.append(expectations.changes_launch_template_and_group(up))

    def _roll_out_to_pods(self, phase: Phase, cluster: Cluster, judge: Callable[..., Verdict]) -> None:
        placeholders.change_image(self.pins)
        with lowest_available(cluster.api) as lowest:
            up = self._must_succeed(phase, self.workspace.up)
        served = deployments(cluster.api)
        phase.verdicts += [
            judge(up, served, placeholders.OTHER_DIGEST),
            kubernetes.keep_serving(lowest, served),
            kubernetes.have_their_replicas(served),
        ]

    def _disrupt(self, phase: Phase) -> None:
        """A node is drained, a zone is lost, and GPUs run out; after it all is as it was."""
        assert self.cluster is not None
        api = self.cluster.api
        if not servers(api):
            return
        served = deployments(api)
        budgets = api.list("policy/v1", "PodDisruptionBudget")
        phase.verdicts.append(kubernetes.leave_within_the_budget(drain(api), served, budgets))
        with self.cluster.groups_stay_as_they_are():
            loss = lose_zone(api, self.cluster.let_nodes_join)
        phase.verdicts.append(kubernetes.outlive_a_zone(loss, served))
        shortage = run_out_of_gpus(api)
        phase.verdicts += [
            kubernetes.are_told_why(shortage),
            kubernetes.come_first(shortage),
            kubernetes.have_their_replicas(deployments(api)),
            kubernetes.share_no_gpu(api.list("v1", "Pod"), api.list("v1", "Node")),
        ]

    def _load(self, phase: Phase) -> None:
        """For each model whose replicas follow the load."""
        assert self.cluster is not None
        api = self.cluster.api
        for scaled in self.cluster.scaled():
            answer = try_load(api, self.cluster.prometheus.servers, scaled)
            phase.verdicts.append(kubernetes.follow_the_load(answer))

    def _look_for_secrets(self, phase: Phase) -> None:
        found, clients = self._found(), self.scene.clients
        places = {
            **self.shown,
            "the state on disk": "\n".join(self.workspace.state_files().values()),
            **dict(plain_text.launch_templates(clients, found)),
            "the stack's outputs": json.dumps(self.workspace.outputs()),
            "the report": json.dumps(dataclasses.asdict(self.report)),
            **{title(object): json.dumps(object) for object in (self.cluster.objects() if self.cluster else [])},
        }
        stored = dict(plain_text.stored_secrets(clients, found))
        phase.verdicts = [
            expectations.reach_the_secret_store(self.secrets, stored),
            expectations.shows_no_secret(self.secrets | stored, places),
        ]

    def _keep_hours(self, phase: Phase) -> None:
        """The week to come, on a played clock."""
        clients = self.scene.clients
        hours = self._settings.cost_guard.business_hours
        if hours is None:
            return
        now = datetime.now(UTC)

        def hosts() -> list[int]:
            found = self._found()
            nodes = [one.facts for one in found if one.type == types.NODE_GROUP and "NVIDIA" in one.facts["amiType"]]
            return [
                *(one.facts["DesiredCapacity"] for one in found if one.type == expectations.GROUP),
                *(group["scalingConfig"]["desiredSize"] for group in nodes),
            ]

        week = expiry.hours_kept(expiry.calls(clients, self._found()), clients, now, now + timedelta(days=7), hosts)
        phase.verdicts = [expectations.follow_the_hours(week, lambda moment: is_open(hours, moment))]

    def _fall_idle(self, phase: Phase) -> None:
        """No request comes, then somebody wants the hosts back."""
        found = self._found()
        for alarm in idle.alarms(found):
            phase.verdicts.append(expectations.rings_only_when_idle(alarm))
            alarm.act(self.scene.clients)
            phase.verdicts.append(expectations.has_no_host(self._groups()))
            for group in (one.facts for one in found if one.type == expectations.GROUP):
                self.scene.clients("autoscaling").set_desired_capacity(
                    AutoScalingGroupName=group["AutoScalingGroupName"], DesiredCapacity=group["DesiredCapacity"]
                )
            phase.verdicts.append(expectations.comes_back(self._groups()))

    def _groups(self) -> list[Mapping[str, Any]]:
        return [resource.facts for resource in self._found() if resource.type == expectations.GROUP]

    def _expire(self, phase: Phase) -> None:
        if self.report.expires_at is None:
            return
        clients, outputs = self.scene.clients, self.workspace.outputs()
        fleets = outputs.get("fleetNames") or {MAIN_MODEL: outputs.get("fleetName")}
        calls = expiry.calls(clients, self._found())
        if not self.cluster:
            targets = [call.arguments for call in calls]
            phase.verdicts = [expectations.stops_the_fleet(fleet, targets) for fleet in fleets.values()]
        for call in calls:
            documents = expiry.policies(clients, call.role)
            phase.verdicts.append(expectations.role_allows(call.action, call.role, documents))
            call.invoke(clients)
        phase.verdicts.append(expectations.is_at_zero(self._groups()))
        if self.cluster:
            nodes = [object for object in self.cluster.objects() if object["kind"] == "Node"]
            phase.verdicts.append(kubernetes.have_no_gpu(nodes))

    def _destroy(self, phase: Phase) -> None:
        state = self.workspace.resources()
        lent = lent_roles(self.scene.clients, cluster_name(self.stack)) if self.cluster else {}
        if any(resource.get("protect") for resource in state):
            refused = self._operate(phase, self.workspace.destroy_with_preview)
            phase.verdicts.append(expectations.refuses_to_go(refused, _urns(state), _urns(self.workspace.resources())))
        self._lift_protection(phase, state)
        if not self._must_succeed(phase, self.workspace.destroy).succeeded:
            return
        kept = (one for one in state if one.get("retainOnDelete") and one["type"] in KINDS)
        self.report.kept = [_name(state_key(resource)) for resource in kept]
        left = self._found()
        phase.verdicts.append(
            expectations.leaves_nothing_but(self.report.kept, (_name(resource.key) for resource in left))
        )
        if self.cluster:
            phase.verdicts.append(kubernetes.is_empty(map(title, self.cluster.objects())))
            phase.verdicts.append(kubernetes.kept_running(self.cluster.controllers))
            phase.verdicts.append(kubernetes.call_what_their_roles_allow(asked_by(self.cluster), lent))
        removal.remove(self.scene.clients, left, deadline_seconds=60, poll_seconds=0.2)
        phase.verdicts.append(expectations.leaves_nothing_but([], self._in_account()))
        phase.verdicts.append(expectations.are_within_the_rights(self.scene.provider.account.calls))

    # -- evidence

    @property
    def _settings(self) -> Settings:
        return load_stack_file(self.workspace.stack_file)

    def _lift_protection(self, phase: Phase, state: Sequence[Mapping[str, Any]]) -> None:
        """As docs/runbook.md does, under "Remove a production stack for good"."""
        if any(_inputs(resource, LOAD_BALANCER).get("enableDeletionProtection") for resource in state):
            self.workspace.pulumi("config", "set", "--path", "tandem:loadBalancer.deletionProtection", "false")
            self._must_succeed(phase, self.workspace.up)
        if any(resource.get("protect") for resource in state):
            self.workspace.pulumi("state", "unprotect", "--all", "--yes")

    def _note_facts(self) -> None:
        outputs, report = self.workspace.outputs(), self.report
        report.resources = self.scene.stage.resources()
        if self.cluster:
            report.kubernetes = "Kubernetes {}, where the program asks for {}".format(*versions(self.cluster))
            charts = declared.recorded_charts(self.workspace.resources())
            report.provider, report.recorded = provider_plugin.label(), charts
        report.usd_per_hour, report.max_usd_per_hour = outputs.get("usdPerHour"), outputs.get("maxUsdPerHour")
        report.user_data_bytes = outputs.get("userDataBytes")
        report.expires_at = outputs.get("expiresAt")
        if report.expires_at and report.max_usd_per_hour:
            left = datetime.fromisoformat(report.expires_at) - datetime.now(UTC)
            report.usd_until_expiry = round(report.max_usd_per_hour * max(0.0, left.total_seconds()) / 3600, 2)

    def _found(self) -> list[Found]:
        """What boto3 finds of the stack. A listing that fails would make everything after it look clean."""
        found = inventory.find(self.scene.clients, self.stack)
        if found.unreadable:
            raise RuntimeError("\n".join(map(str, found.unreadable)))
        return found.resources

    def _in_account(self) -> list[str]:
        return [_name(resource.key) for resource in self._found()]

    def _in_state(self) -> list[str]:
        """The resources of the state that boto3 can list."""
        return [_name(state_key(resource)) for resource in self.workspace.resources() if resource["type"] in KINDS]


def _urns(state: Sequence[Mapping[str, Any]]) -> set[str]:
    return {resource["urn"] for resource in state}


def _name(key: tuple[str, str]) -> str:
    """A resource of the state or of the account, in a line: type and id."""
    return " ".join(key)


def _inputs(resource: Mapping[str, Any], type: str) -> Mapping[str, Any]:
    return resource.get("inputs", {}) if resource["type"] == type else {}
