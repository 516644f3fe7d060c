"""The runner of the stages, and stage ready: what ends a launch, and what a host that is told to go does not do."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from played import Host
from scripts import Load

from rehearsal.host.metadata import ROLE, TORN


def results(found: Host) -> list[str]:
    """How the hooks were completed."""
    return [call["LifecycleActionResult"] for _, name, call in found.cloud.calls if name == "CompleteLifecycleAction"]


def stages(found: Host, tmp_path: Path, text: str, seconds: float) -> None:
    """Stages that are a script, and a deadline."""
    (tmp_path / "stages.py").write_text(text)
    found.scripts.boot.__file__ = str(tmp_path / "stages.py")
    found.scripts.boot.MARGIN = 0
    found.scripts.host.TIMEOUTS.update(launch=seconds, heartbeat=0.6)


def test_an_edge_serves_its_model_and_its_adapters_to_whom_the_stacks_secrets_name(load: Load) -> None:
    scripts = load(engine={**load().config["engine"], "adapters": [{"name": "sql"}]}, keys_arns=["arn:one", "arn:two"])
    scripts.host.write(scripts.edge_keys.OWN, "k" * 43)
    edge = scripts.edge_keys.edge()
    assert edge.models == [scripts.config["probe"]["body"]["model"], "sql"]
    assert edge.arns == ["arn:one", "arn:two"]
    assert (edge.keys, edge.kept) == (scripts.host.RUN / "keys", scripts.host.STATE / "clients.json")
    (key,) = edge.own["clients"]["tandem-probe"]["keys"]
    assert key == {"sha256": hashlib.sha256(b"k" * 43).hexdigest()}
    assert edge.say is scripts.host.say


def test_a_read_that_blocks_for_ever_ends_neither_deadline_nor_host(in_real_time: Host, tmp_path: Path) -> None:
    """It is a real one, and in the way of the interpreter's own end: a thread that a pool waits for."""
    os.mkfifo(tmp_path / "weights")
    blocks = (
        "import concurrent.futures, os, signal\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "with concurrent.futures.ThreadPoolExecutor() as pool:\n"
        f"    pool.submit(lambda: open({str(tmp_path / 'weights')!r}).read())\n"
    )
    stages(in_real_time, tmp_path, blocks, 4)
    start = time.monotonic()
    with pytest.raises(SystemExit):
        in_real_time.scripts.boot.main()
    assert time.monotonic() - start < 10
    process = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    while process.exists() and process.read_text().split()[2] != "Z":
        assert time.monotonic() - start < 15, "it still runs"
    names = [name for _, name, _ in in_real_time.cloud.calls if name != "DescribeAutoScalingInstances"]
    assert names.count("RecordLifecycleActionHeartbeat") >= 3
    assert (names[-1], results(in_real_time)) == ("CompleteLifecycleAction", ["ABANDON"])
    said = (tmp_path / "dev/console").read_text()
    assert said == "tandem: gave up: no end after 4 s, as when a read blocks\n"


def test_stages_that_end_well_are_a_boot_that_ends_well(in_real_time: Host, tmp_path: Path) -> None:
    stages(in_real_time, tmp_path, "", 10)
    in_real_time.scripts.serve.LEAVING.parent.mkdir(parents=True)
    in_real_time.scripts.serve.LEAVING.touch()
    in_real_time.scripts.boot.main()
    assert in_real_time.cloud.calls == []
    assert not in_real_time.scripts.serve.LEAVING.exists(), "or a host that came back would never report health"


@pytest.mark.parametrize("text", ["raise SystemExit(1)", "import os; os.kill(os.getpid(), 9)", "1 / 0"])
def test_stages_that_fail_give_the_host_up(in_real_time: Host, tmp_path: Path, text: str) -> None:
    stages(in_real_time, tmp_path, text, 10)
    with pytest.raises(SystemExit):
        in_real_time.scripts.boot.main()
    assert results(in_real_time) == ["ABANDON"]


def test_a_host_in_service_is_reported_unhealthy(host: Host) -> None:
    host.cloud.member.complete("i-0", "CONTINUE")
    host.scripts.aws.abandon()
    assert host.cloud.member.state == "Terminating"
    assert host.commands == ["DescribeAutoScalingInstances", "SetInstanceHealth"]


def test_the_group_is_told_whatever_aws_answers_first(host: Host) -> None:
    host.cloud.odd_answers = {ROLE: [404, 500, ""], f"{ROLE}tandem-host": [404, TORN, "{}"], "api/token": [404, 503]}
    host.cloud.refused["CompleteLifecycleAction"] = ("Throttling", "Rate exceeded")
    host.scripts.aws.wait = lambda seconds: host.cloud.refused.clear() or True
    host.scripts.aws.abandon()
    assert host.cloud.member.state == "Terminating"


def test_a_group_that_cannot_be_told_is_given_up_in_a_quarter_of_an_hour(host: Host) -> None:
    host.cloud.odd_answers["api/token"] = [500] * 10_000
    start = host.clock()
    host.scripts.aws.abandon()
    assert 900 <= host.clock() - start <= 970
    said = (host.scripts.root / "dev/console").read_text()
    assert said.startswith("tandem: the group was not told: metadata service: <HTTPError 500")


def order(load: Load, monkeypatch: pytest.MonkeyPatch, driver_status: int) -> tuple[SimpleNamespace, list[str]]:
    """The stages only written down, and a driver's process that ends with a status."""
    scripts, events = load(), []
    monkeypatch.setattr(scripts.boot, "attempt", lambda name, action, seconds: events.append(name))

    class Process:
        def __init__(self, command: list[str]) -> None:
            events.append(f"{command[-1]} beside")

        def wait(self) -> int:
            events.append("driver waited for")
            return driver_status

    monkeypatch.setattr(scripts.boot, "subprocess", SimpleNamespace(Popen=Process))
    return scripts, events


def test_the_driver_is_installed_while_image_and_weights_are_fetched(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts, events = order(load, monkeypatch, 0)
    scripts.boot.stages()
    assert events == [
        "gate", "toolkit", "storage", "driver beside", "weights", "driver waited for", "serve", "ready",
    ]  # fmt: skip


def test_without_a_driver_nothing_is_served(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts, events = order(load, monkeypatch, 1)
    with pytest.raises(SystemExit):
        scripts.boot.stages()
    assert events[-1] == "driver waited for"


def test_a_driver_that_cannot_be_had_gives_the_host_up_beside_a_download(host: Host, monkeypatch: Any) -> None:
    def fail() -> str:
        raise host.scripts.host.GiveUp("no such version")

    monkeypatch.setattr(host.scripts.driver, "run", fail)
    with pytest.raises(SystemExit):
        host.scripts.boot.install_driver()
    assert results(host) == ["ABANDON"]


@pytest.fixture
def warm(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host with two replicas, the second of which makes its first token a little later; then the edge."""
    scripts = host.scripts
    late = {8002: [OSError("refused")], 8080: [OSError("502")]}

    def token(port: int, path: str, body: dict[str, Any], timeout: float, key: str = "") -> None:
        assert (key == scripts.edge_keys.OWN.read_text()) if port == 8080 else key == ""
        host.commands.append(f"token {port}")
        if errors := late.get(port):
            raise errors.pop()

    scripts.host.write(scripts.serve.REPLICAS, '[{"replica": 0, "port": 8001}, {"replica": 1, "port": 8002}]')
    monkeypatch.setattr(scripts.probe, "token", token)
    monkeypatch.setattr(scripts.serve, "save_cache", lambda: host.commands.append("save"))
    scripts.late = late
    return host


TOKENS = ["token 8001", "token 8002", "token 8002", "token 8080", "token 8080"]


def test_the_hook_is_completed_after_a_token_of_every_replica_and_not_before(warm: Host) -> None:
    assert warm.scripts.ready.run() == "first token, lifecycle hook completed"
    assert [step for step in warm.commands if step != "DescribeAutoScalingInstances"] == [
        *TOKENS, "systemctl start tandem-member", "CompleteLifecycleAction", "RegisterTargets", "save",
    ]  # fmt: skip
    assert results(warm) == ["CONTINUE"]
    assert warm.scripts.watchdog.HEALTHY.read_text() == "ok\n"


@pytest.fixture
def tried(warm: Host) -> Host:
    """The same, with a canary, of which the agent has told nothing yet."""
    warm.scripts.host.write(warm.scripts.trying.DOCUMENT, "{}")
    return warm


def test_a_host_whose_canary_passes_serves(tried: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    told, waited = tried.scripts.trying.TOLD, []

    def passes_in_the_end(seconds: float) -> bool:
        waited.append(seconds)
        if len(waited) == 3:
            tried.scripts.host.write(told, "[]")
            tried.scripts.host.write(tried.scripts.trial.opened(told), "")
        return len(waited) < 4

    monkeypatch.setattr(tried.scripts.trying, "wait", passes_in_the_end)
    tried.scripts.ready.run()
    assert results(tried) == ["CONTINUE"]
    assert len(waited) == 3


def test_a_version_whose_canary_fails_never_serves(tried: Host) -> None:
    """The host is given up, so that a rollout comes no further."""
    tried.scripts.host.write(tried.scripts.trying.TOLD, '["vllm-1, echo: wrong"]')
    with pytest.raises(tried.scripts.host.GiveUp, match="canary: vllm-1, echo: wrong"):
        tried.scripts.ready.run()
    assert "CompleteLifecycleAction" not in tried.commands
    assert not tried.scripts.watchdog.HEALTHY.exists()


def test_a_canary_that_fails_later_or_elsewhere_holds_no_host_up(tried: Host) -> None:
    told = tried.scripts.trying.TOLD
    tried.scripts.host.write(told, '["vllm-1, echo: wrong"]')
    tried.scripts.host.write(tried.scripts.trial.opened(told), "")
    tried.scripts.ready.run()
    assert results(tried) == ["CONTINUE"]


def test_a_canary_that_nobody_answers_ends_with_the_stage(tried: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tried.scripts.trying, "wait", lambda seconds: False)
    with pytest.raises(RuntimeError, match="the canary was not answered"):
        tried.scripts.ready.run()


def test_the_agent_tries_each_replica_and_tells(tried: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts, made = tried.scripts, []
    monkeypatch.setattr(scripts.trial.Trial, "start", lambda one: made.append(one))
    scripts.trying.start()
    assert list(made[0].servers) == ["vllm-0", "vllm-1"]
    assert made[0].proven == scripts.host.STATE / "canary"
    assert made[0].say is scripts.host.say, "what fails is read on the console"
    scripts.host.write(scripts.trying.TOLD, "[]")
    assert scripts.edge_keys.figures() == {"CanaryFailed": 0}
    told = scripts.edge_keys.text()
    assert told.endswith("# TYPE tandem_canary_failed gauge\ntandem_canary_failed 0\n")


def boot(day: int, **seconds: float) -> list[str]:
    """Lines of the ledger of one boot, each stage a minute after the one before."""
    return [
        json.dumps(
            {"stage": stage, "start": f"2026-11-{day:02}T12:{minute:02}:00Z", "seconds": took, "outcome": "done"}
        )
        for minute, (stage, took) in enumerate(seconds.items())
    ]


def keep(scripts: Any, *lines: str) -> None:
    scripts.host.write(scripts.edge_keys.LEDGER, "\n".join(lines))


FIRST_BOOT = boot(1, scripts=1.5, toolkit=40, image=95, weights=812.5, serve=2, ready=101.25)


def test_a_start_is_told_to_prometheus_while_it_lasts_and_whole_once_a_token_came(tried: Host) -> None:
    scripts = tried.scripts
    assert scripts.coldstart.text(scripts.edge_keys.start()) == ""
    keep(scripts, *FIRST_BOOT[:4], '{"stage": "we')
    assert scripts.edge_keys.start() == scripts.coldstart.ColdStart(
        {"scripts": 1.5, "toolkit": 40, "image": 95, "weights": 812.5}, None
    )
    keep(scripts, *FIRST_BOOT)
    assert scripts.edge_keys.start().whole == 5 * 60 + 101.25
    text = scripts.edge_keys.text()
    assert 'tandem_stage_seconds{stage="weights"} 812.5\n' in text
    assert "# TYPE tandem_start_seconds gauge\ntandem_start_seconds 401.25\n" in text


def test_a_reboot_begins_anew_and_one_that_gave_up_made_no_token(tried: Host) -> None:
    scripts = tried.scripts
    keep(scripts, *FIRST_BOOT, *boot(2, scripts=1, weights=3.1))
    assert scripts.edge_keys.start() == scripts.coldstart.ColdStart({"scripts": 1, "weights": 3.1}, None)
    gave_up = boot(2, scripts=1, ready=3600)[1].replace("done", "gave up")
    keep(scripts, *FIRST_BOOT, boot(2, scripts=1)[0], gave_up)
    assert scripts.edge_keys.start().whole is None


def test_cloudwatch_is_told_of_a_start_once_when_it_has_taken_it(tried: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the edge measures beside what the host does."""
    scripts, told = tried.scripts, list[dict[str, str]]()
    monkeypatch.setattr(scripts.serve, "rows", list)
    monkeypatch.setitem(scripts.host.CONFIG, "metrics", {"Stack": "dev", "Model": "main"})

    def query(_service: str, _version: str, _action: str, **parameters: str) -> None:
        told.append(parameters)
        if len(told) == 2:
            raise RuntimeError("Throttling: Rate exceeded")

    monkeypatch.setattr(scripts.aws, "query", query)
    for number in range(4):
        # An agent that starts again goes on.
        agent = scripts.edge_keys.report(scripts.traffic.Counts(), lambda: {"KeyDays": 5.0})
        keep(scripts, *(FIRST_BOOT if number else FIRST_BOOT[:4]))
        agent.report()
    found = [{value for name, value in one.items() if name.endswith(".MetricName")} for one in told]
    starts = {"StartImage", "StartWeights", "StartReady", "StartWhole"}
    assert [one & starts for one in found] == [set(), starts, starts, set()]
    assert all("KeyDays" in one for one in found)
    values = {
        told[2][f"MetricData.member.{n}.MetricName"]: (
            told[2][f"MetricData.member.{n}.Values.member.1"],
            told[2][f"MetricData.member.{n}.Unit"],
        )
        for n in range(1, 20)
        if f"MetricData.member.{n}.MetricName" in told[2]
    }
    assert values["StartWhole"] == ("401.25", "Seconds")
    assert values["StartImage"] == ("95", "Seconds")


def test_a_version_is_all_that_is_served_and_asked(tried: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts, made = tried.scripts, []
    monkeypatch.setattr(scripts.trial.Trial, "start", lambda one: made.append(one.version))
    for change in (None, None, "image", "argument", "suite"):
        if change == "image":
            monkeypatch.setitem(scripts.host.CONFIG, "engine", {**scripts.host.CONFIG["engine"], "image": "another"})
        if change == "argument":
            monkeypatch.setitem(scripts.host.CONFIG, "arguments", [*scripts.host.CONFIG["arguments"], "--another"])
        if change == "suite":
            scripts.host.write(scripts.trying.DOCUMENT, '{"gate":false}')
        scripts.trying.start()
    assert made[0] == made[1]
    assert len({*made}) == 4


def test_a_host_without_a_canary_tries_nothing(warm: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm.scripts.trial.Trial, "start", lambda one: pytest.fail("it has none"))
    warm.scripts.trying.start()
    assert warm.scripts.edge_keys.figures() == {}


def test_a_reboot_is_ready_without_a_hook_and_registers(warm: Host) -> None:
    warm.cloud.member.complete("i-0", "CONTINUE")
    assert warm.scripts.ready.run() == "first token, no lifecycle hook was waiting"
    assert "RegisterTargets" in warm.commands


def test_a_host_on_standby_does_not_register(warm: Host) -> None:
    warm.cloud.member.state = "Standby"
    warm.scripts.ready.run()
    assert "RegisterTargets" not in warm.commands


@pytest.mark.parametrize("how", ["spot", "drains", "waits", "late"])
def test_a_host_that_must_go_registers_nowhere_and_completes_nothing(warm: Host, how: str) -> None:
    if how == "spot":
        warm.spot_notice(120)
    else:
        warm.cloud.member.drain_seconds = 0 if how == "waits" else 300
        warm.cloud.member.complete("i-0", "CONTINUE")
        warm.cloud.member.terminate()
    if how == "late":  # the metadata service is, behind the group
        warm.cloud.metadata["meta-data/autoscaling/target-lifecycle-state"] = "InService"
    with pytest.raises(warm.scripts.host.GiveUp, match="told to go"):
        warm.scripts.ready.run()
    assert set(warm.commands) - set(TOKENS) == {"DescribeAutoScalingInstances"}


@pytest.mark.parametrize(
    ("port", "said"), [(8002, "no token from vllm-1"), (8080, "no token came through the edge: 502")]
)
def test_no_token_by_the_deadline_is_an_error_that_says_from_whom(
    warm: Host, monkeypatch: pytest.MonkeyPatch, port: int, said: str
) -> None:
    warm.scripts.late.pop(8002 if port == 8080 else 8080)
    monkeypatch.setattr(warm.scripts.ready, "wait", lambda seconds: False)
    with pytest.raises(RuntimeError, match=said):
        warm.scripts.ready.run()
    assert warm.cloud.calls == []


def test_a_replica_that_the_watchdog_found_dead_ends_the_boot_with_its_words(warm: Host) -> None:
    warm.scripts.host.write(warm.scripts.watchdog.DEAD, "vllm-1: ended 4 times without a token")
    with pytest.raises(warm.scripts.host.GiveUp, match="vllm-1: ended 4 times"):
        warm.scripts.ready.run()
    assert warm.commands == ["token 8001", "token 8002"]
