"""A machine of a batch: what it starts in place of servers, and how it ends."""

from __future__ import annotations

import bz2
import contextlib
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import stacks
from scripts import Load
from scripts import load as load

from tandem.host.render import render_files
from tandem.scripts import DIRECTORY, host_archive

MODULES = ("batching", "batch", "bucket", "job")
URL = "https://tandem-dev-batch-0a1b2c3.s3.us-east-1.amazonaws.com"


@pytest.fixture
def machine(load: Load, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The scripts of a batch's machine, with one pair of GPUs."""
    found = load(batch=URL)
    monkeypatch.syspath_prepend(str(DIRECTORY / "batch"))
    for name in MODULES:
        sys.modules.pop(name, None)
    for name in MODULES:
        setattr(found, name, importlib.import_module(name))
    found.host.write(found.serve.REPLICAS, json.dumps([{"replica": 0, "gpus": [0, 1], "port": 8001}]))
    yield found
    for name in MODULES:
        sys.modules.pop(name, None)


def test_user_data_starts_no_server() -> None:
    config = stacks.config("dev")
    files = render_files(replace(config, batch_bucket_url=URL, target_group_arn="", keys_secret_arns=[]))
    assert json.loads(files["/etc/tandem/host.json"])["batch"] == URL
    unit = "/etc/systemd/system/tandem-batch@.service"
    assert "batching.py %i" in files[unit]
    assert unit not in render_files(config)


def test_what_it_runs_is_in_the_archive_of_all_hosts() -> None:
    names = bz2.decompress(host_archive("")[1]).decode(errors="replace")
    for name in (*MODULES, "runner"):
        assert f"{name}.py" in names


def test_a_worker_for_each_pair_of_gpus(machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(machine.serve, "sh", lambda *command: "")
    monkeypatch.setattr(machine.batching, "sh", lambda *command: ran.append(command) or "")
    assert machine.batching.run() == "workers on GPUs [(0, 1), (2, 3)]"
    assert ran == [("systemctl", "start", "tandem-batch@0", "tandem-batch@1")]


@pytest.mark.parametrize("batch", [True, False])
def test_the_stages_end_with_workers_or_with_servers(
    machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, batch: bool
) -> None:
    stages: list[str] = []
    if not batch:
        monkeypatch.delitem(machine.boot.CONFIG, "batch")
    monkeypatch.setattr(machine.boot, "attempt", lambda stage, action, seconds: stages.append(stage))
    monkeypatch.setattr(machine.boot.subprocess, "Popen", lambda *_: SimpleNamespace(wait=lambda: 0))
    machine.boot.stages()
    assert stages == ["gate", "toolkit", "storage", "weights", *(["batch"] if batch else ["serve", "ready"])]


def test_a_gate_without_clients_asks_for_no_key(machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.boot.driver, "gate", lambda: "fits")
    assert machine.boot.gate() == "fits"


def test_the_runner_has_the_servers_arguments_and_turns_nobody_away(machine: SimpleNamespace) -> None:
    row = {"replica": 0, "gpus": [0, 1], "port": 8001}
    served = machine.serve.command(**row)
    command = machine.batching.command(row, machine.root / "run/tandem/batch/0")
    options = served.index("--entrypoint")
    assert command[:options] == served[:options]
    assert "/runner.py:ro" in " ".join(command)
    assert command[command.index("/runner.py") + 1] == "/batch/batch.sock"
    ours, theirs = command[command.index("/batch/batch.sock") + 1 :], served[served.index("serve") + 1 :]
    place = theirs.index("--max-num-queued-reqs")
    assert "--enable-log-requests" in theirs, "as it is by default"
    kept = [*theirs[:place], *theirs[place + 2 : theirs.index("--host")]]
    assert ours == [one for one in kept if one != "--enable-log-requests"]
    assert "--max-num-seqs" in ours


@pytest.fixture
def working(machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Works until `why`; what Auto Scaling was asked for since."""

    def work(run: Callable[..., str], *wanted: int) -> list[Any]:
        looks = iter(wanted or (0, 0))
        asked: list[Any] = []
        monkeypatch.setattr(machine.batching.signal, "signal", lambda *_: None)
        monkeypatch.setattr(machine.batch.Worker, "_current", lambda _: "batch-1")
        monkeypatch.setattr(machine.batch.Worker, "wanted", lambda _: next(looks))
        monkeypatch.setattr(machine.batch, "run", run)
        monkeypatch.setattr(machine.aws, "membership", lambda: ("InService", "tandem-dev-batch-0a1b2c3"))
        monkeypatch.setattr(machine.aws, "autoscaling", lambda action, **more: asked.append((action, more)))
        with contextlib.suppress(SystemExit):
            machine.batching.work(0)
            asked.append("ended")
        return asked

    return work


def sizes(asked: list[Any]) -> list[Any]:
    """To which the group was set."""
    for action, values in (one for one in asked if one != "ended"):
        assert (action, values["AutoScalingGroupName"]) == ("UpdateAutoScalingGroup", "tandem-dev-batch-0a1b2c3")
        assert (values["MinSize"], values["DesiredCapacity"]) == ("0", values["MaxSize"])
    return [one if one == "ended" else int(one[1]["MaxSize"]) for one in asked]


def test_when_nothing_is_left_the_group_goes_to_0(working: Callable[..., list[Any]]) -> None:
    seen: list[Any] = []

    def run(worker: Any, started: Any) -> str:
        seen.extend([worker.name, worker.machine, worker.at_once])
        return "the batch is done"

    assert sizes(working(run)) == [0, "ended"]
    assert seen == ["i-0-0", "i-0", 256]


@pytest.mark.parametrize(
    ("looks", "set_to"),
    [
        ((3,), []),
        # A batch called 3 machines after the first look, and the group was set to 0 since.
        ((0, 3, 3), [0, 3]),
        ((0, 3, 0, 0), [0, 3, 0, "ended"]),
    ],
)
def test_machines_that_another_batch_wants_stay(
    working: Callable[..., list[Any]], looks: tuple[int, ...], set_to: list[Any]
) -> None:
    """Where it is over the worker has ended well, and is not begun anew."""
    assert sizes(working(lambda *_: "the batch is done", *looks)) == set_to


def test_a_start_that_hangs_is_without_peers_the_next_time(
    machine: SimpleNamespace, working: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def runner(path: Any, seconds: float, command: list[str]) -> None:
        assert path.name == "batch.sock"
        given.extend([seconds, "NCCL_P2P_DISABLE" in " ".join(command)])
        raise machine.batch.NotStarted

    monkeypatch.setattr(machine.batch, "Runner", runner)
    for _ in range(2):
        with pytest.raises(machine.batch.NotStarted):
            working(lambda _worker, started: started())
    launch = machine.host.TIMEOUTS["launch"]
    assert given == [launch / 2, False, launch / 2, True]
