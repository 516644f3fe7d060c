"""The way out: what is told to whom and when, with little time, with none, and when AWS answers oddly."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from played import Host

from infra.components.cost_guard import schedule_expression
from pulumi_rehearsal.schedule_times import moments
from rehearsal.host.metadata import ROLE, SPOT_NOTICE, TORN
from tandem import lifetime
from tandem.settings import Settings

STATE = "meta-data/autoscaling/target-lifecycle-state"
UNITS = "systemctl stop --no-block tandem-watchdog vllm@0 vllm@1"


@pytest.fixture
def serving(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host in service with two replicas, one of which has requests for 40 s."""
    host.scripts.host.TIMEOUTS.update(termination_grace=420, deregistration_delay=300)
    host.cloud.member.complete("i-0", "CONTINUE")
    host.scripts.host.write(host.scripts.serve.REPLICAS, '[{"replica": 0, "port": 1}, {"replica": 1, "port": 2}]')
    host.scripts.host.write(host.scripts.watchdog.HEALTHY, "ok")
    idle_at = host.clock() + 40
    monkeypatch.setattr(host.scripts.probe, "metric", lambda port, *_: port == 2 and host.clock() < idle_at)
    return host


def leave(host: Host) -> float:
    """Leaves as the unit does, and returns the seconds that it took."""
    start = host.clock()
    with host.scripts.host.deadline(host.scripts.leave.grace()):
        assert host.scripts.leave.leave() == "2 replicas stopped"
    return host.clock() - start


def test_leaving_is_ordered(serving: Host) -> None:
    assert leave(serving) == 40
    assert list(dict.fromkeys(serving.commands)) == [
        "DeregisterTargets", "DescribeTargetHealth", UNITS, "docker stop -t 375 vllm-0 vllm-1",
    ]  # fmt: skip
    assert not serving.scripts.watchdog.HEALTHY.exists()
    assert serving.scripts.serve.LEAVING.exists(), "or the watchdog would report health again"


def test_the_load_balancers_word_ends_the_wait(serving: Host) -> None:
    serving.cloud.member.drain_seconds = 20
    assert leave(serving) == 20


def test_an_endless_request_is_cut_at_the_deregistration_delay(serving: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving.scripts.probe, "metric", lambda *_: 1)
    serving.cloud.member.drain_seconds = 3600
    serving.scripts.host.TIMEOUTS["deregistration_delay"] = 60
    assert leave(serving) == 60
    assert serving.commands[-1] == "docker stop -t 355 vllm-0 vllm-1"


@pytest.mark.parametrize("silent_seconds", [0, 600], ids=["leaves", "falls silent in the end"])
def test_a_host_of_a_capacity_block_has_left_before_aws_takes_it(
    serving: Host, monkeypatch: pytest.MonkeyPatch, silent_seconds: int
) -> None:
    """From the stack's own schedule on, called within its minute, with answers that never end; a host that falls silent
    is held by its hook for a heartbeat."""
    block = {"reservationId": "cr-" + "0" * 17, "zone": "us-east-1a", "endsAt": "2026-11-21T11:30:00Z"}
    fleet = {"instanceTypes": ["p5.48xlarge"], "capacityBlock": block}
    settings = Settings.model_validate({"region": "us-east-1", "fleet": fleet})
    created = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
    end = lifetime.expires_at(settings, created)
    assert end is not None
    (called,) = moments(schedule_expression(f"{end:%Y-%m-%dT%H:%M:%SZ}"), "UTC", created, end)

    monkeypatch.setattr(serving.scripts.probe, "metric", lambda *_: 1)
    serving.cloud.member.drain_seconds = 3600
    seconds = leave(serving)
    stop = int(serving.commands[-1].removeprefix("docker stop -t ").split()[0])
    assert seconds + stop > 400, "it took all of its time"
    gone = called + timedelta(minutes=1, seconds=seconds + stop + silent_seconds)
    taken = datetime.fromisoformat(block["endsAt"]) - timedelta(minutes=30)
    assert gone <= taken < gone + timedelta(minutes=20)


def test_a_spot_instance_keeps_time_for_sigterm(serving: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving.scripts.probe, "metric", lambda *_: 1)
    serving.spot_notice(120)
    assert leave(serving) == 80
    assert serving.commands[-1] == "docker stop -t 25 vllm-0 vllm-1"


@pytest.mark.parametrize("end", [5, -300])
def test_without_any_time_left_it_still_goes_in_order(serving: Host, end: int) -> None:
    serving.spot_notice(end)
    assert leave(serving) == 10
    assert [serving.commands[0], *serving.commands[-2:]] == [
        "DeregisterTargets", UNITS, "docker stop -t 15 vllm-0 vllm-1",
    ]  # fmt: skip


def test_a_load_balancer_that_refuses_does_not_keep_a_host(serving: Host) -> None:
    serving.cloud.refused["DeregisterTargets"] = ("AccessDenied", "no")
    leave(serving)
    assert serving.commands == ["DeregisterTargets", UNITS, "docker stop -t 415 vllm-0 vllm-1"]
    said = (serving.scripts.root / "dev/console").read_text()
    assert said.startswith("tandem: leaving without the load balancer: curl -sS http://127.0.0.1")


def test_a_metadata_service_that_is_gone_does_not_keep_a_spot_instance(serving: Host) -> None:
    serving.spot_notice(120)
    start = serving.clock()
    with serving.scripts.host.deadline(serving.scripts.leave.grace()):
        serving.cloud.odd_answers["api/token"] = [500] * 1000
        serving.scripts.leave.leave()
    assert serving.clock() - start == 61
    assert serving.commands == [UNITS, "docker stop -t 44 vllm-0 vllm-1"]


def watching(host: Host, monkeypatch: pytest.MonkeyPatch, stop: Any = lambda: None) -> None:
    """Watches to the end. `stop` happens while systemd stops the units."""

    class Systemctl:
        def __init__(self, command: list[str]) -> None:
            host.commands.append(" ".join(command))

        def wait(self, seconds: float) -> int:
            stop()
            return 0

    played = SimpleNamespace(Popen=Systemctl, TimeoutExpired=subprocess.TimeoutExpired)
    monkeypatch.setattr(host.scripts.leave, "subprocess", played)
    host.scripts.leave.watch()


def test_the_hook_is_completed_once_it_waits_and_not_before(serving: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The load balancer drains for five minutes after the servers are gone, and only then the hook waits."""
    serving.cloud.member.terminate()
    start = serving.clock()
    watching(serving, monkeypatch)
    assert 300 <= serving.clock() - start < 310
    assert serving.cloud.member.transitions[-2:] == ["Terminating:Wait", "Terminating:Proceed"]
    assert serving.commands[0] == "systemctl stop tandem-boot tandem-member"
    assert serving.commands.count("CompleteLifecycleAction") == 1
    assert (serving.scripts.root / "dev/console").read_text() == "tandem: lifecycle hook completed\n"


def test_a_host_that_boots_is_abandoned_at_once(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.spot_notice(120)
    watching(host, monkeypatch)
    results = [p["LifecycleActionResult"] for _, name, p in host.cloud.calls if name == "CompleteLifecycleAction"]
    assert results == ["ABANDON", "CONTINUE"]
    assert host.cloud.member.state == "Terminating:Proceed"
    assert "RegisterTargets" not in host.commands
    assert host.scripts.serve.LEAVING.exists()


def test_the_hook_gets_time_while_the_units_stop(serving: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as that takes: here longer than the hook's own timeout."""
    serving.cloud.member.drain_seconds = 0
    serving.cloud.member.terminate()
    serving.scripts.host.TIMEOUTS["termination_grace"] = 3600
    beats = iter([200.0] * 8)

    def stop() -> None:
        for seconds in beats:
            serving.scripts.host.time.sleep(seconds)
            raise subprocess.TimeoutExpired("systemctl", seconds)

    watching(serving, monkeypatch, stop)
    assert serving.commands.count("RecordLifecycleActionHeartbeat") == 8
    assert serving.commands[-1] == "CompleteLifecycleAction"


@pytest.mark.parametrize("odd", [404, 500, "", TORN, "{}", '{"action": "terminate"}', '{"time": "soon"}'])
def test_an_odd_answer_is_no_notice_and_ends_no_watch(
    serving: Host, monkeypatch: pytest.MonkeyPatch, odd: int | str
) -> None:
    serving.cloud.odd_answers = {SPOT_NOTICE: [odd] * 3, "api/token": [404, 500, ""]}
    start = serving.clock()
    look, looks = serving.scripts.aws.told_to_go, []

    def noticed() -> bool:
        looks.append(1)
        if len(looks) == 8:
            serving.spot_notice(120)
        return look()

    serving.scripts.leave.until(noticed)
    assert (len(looks), serving.clock() - start) == (8, 35)


def test_the_groups_word_is_heard_after_odd_answers(serving: Host) -> None:
    serving.cloud.odd_answers[STATE] = [503, TORN, ""]
    serving.cloud.member.terminate()
    start = serving.clock()
    serving.scripts.leave.until(serving.scripts.aws.told_to_go)
    assert serving.clock() - start == 15


def test_refusals_and_a_missing_role_do_not_end_the_completion(serving: Host) -> None:
    serving.cloud.member.drain_seconds = 0
    serving.cloud.member.terminate()
    serving.cloud.odd_answers = {ROLE: [404] * 5, f"{ROLE}tandem-host": [404, TORN, "{}"]}
    serving.cloud.refused["CompleteLifecycleAction"] = ("Throttling", "Rate exceeded")
    looks = []

    def completed() -> bool:
        looks.append(1)
        if len(looks) == 3:
            serving.cloud.refused.clear()
        return serving.scripts.aws.complete(serving.scripts.leave.HOOKS) == "Terminating:Wait"

    serving.scripts.leave.until(completed)
    assert (len(looks), serving.cloud.member.state) == (3, "Terminating:Proceed")


def test_a_spot_notice_gives_the_moment(serving: Host) -> None:
    assert serving.scripts.aws.spot_end() is None
    serving.cloud.metadata[SPOT_NOTICE] = '{"action": "stop", "time": "2026-11-21T08:22:00Z"}'
    assert serving.scripts.aws.spot_end() == 1795249320
