"""The watchdog: a busy server is left alone, a dead one is reported, and neither waits for hours."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from played_server import PlayedServer, played_server
from scripts import Load

BODY = {"path": "/v1/completions", "body": {"model": "m", "prompt": "1", "max_tokens": 1}}
STEPS = [0.03, 0.05, 0.1, 0.25]


@pytest.fixture
def vllm() -> Iterator[PlayedServer]:
    with played_server() as running:
        yield running


@pytest.fixture
def replica(load: Load, vllm: PlayedServer, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    scripts = load(probe=BODY)
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(scripts.watchdog, "sh", lambda *command, **_: commands.append(command))
    watched = scripts.watchdog.Replica({"replica": 1, "port": vllm.port})
    return SimpleNamespace(watched=watched, commands=commands, scripts=scripts)


@pytest.fixture
def hasty(replica: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look takes a second in place of 25."""
    monkeypatch.setattr(replica.scripts.probe, "SECONDS", 1.0)
    monkeypatch.setattr(replica.scripts.probe, "LAST", 0.5)


@pytest.fixture
def pauses(replica: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of each pause of its looks; a busy machine makes fewer of them, never more."""
    found: list[float] = []

    def sleep(seconds: float) -> None:
        found.append(seconds)
        time.sleep(seconds)

    monkeypatch.setattr(replica.scripts.probe, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    return found


KILLED = ("timeout", "30", "docker", "kill", "vllm-1")


def test_a_token_is_health(replica: SimpleNamespace) -> None:
    assert replica.watched.check() is True


@pytest.mark.parametrize("step", STEPS)
def test_a_full_server_is_left_alone_however_long_its_steps_are(
    replica: SimpleNamespace, vllm: PlayedServer, pauses: list[float], step: float
) -> None:
    """It refuses after 10 ms; its counter moves by the clock, a batch a step."""
    vllm.step, vllm.refuses = step, True
    assert [replica.watched.check() for _ in range(8)] == [True] * 8
    assert replica.commands == []
    assert pauses == [0.25] * len(pauses)
    assert len(pauses) <= 8, "no look waits longer than it must: a pause is as long as a step"


@pytest.mark.usefixtures("hasty")
def test_a_server_that_is_busy_with_others_is_left_alone(replica: SimpleNamespace, vllm: PlayedServer) -> None:
    vllm.step, vllm.hangs = 0.25, True
    assert [replica.watched.check() for _ in range(4)] == [True] * 4
    assert replica.commands == []


@pytest.mark.usefixtures("hasty")
def test_a_long_prompt_makes_no_token_and_is_no_hang(replica: SimpleNamespace, vllm: PlayedServer) -> None:
    """Nothing but the cache that it fills moves while it is read."""
    vllm.reads_prompt, vllm.step, vllm.hangs = True, 0.1, True
    assert [replica.watched.check() for _ in range(4)] == [True] * 4
    assert replica.commands == []


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("how", ["hangs", "refuses"])
def test_a_server_that_embeds_moves_by_what_it_reads(replica: SimpleNamespace, vllm: PlayedServer, how: str) -> None:
    """It makes no token and keeps nothing: a busy one is left alone, and one that stands still is killed."""
    vllm.embeds, vllm.says = True, '{"data": [{"embedding": [1.0]}]}'
    assert replica.watched.check() is True
    setattr(vllm, how, True)
    vllm.step = 0.1
    assert [replica.watched.check() for _ in range(4)] == [True] * 4
    vllm.step = 0
    assert [replica.watched.check() for _ in range(3)] == [False] * 3
    assert replica.commands == [KILLED]


@pytest.mark.parametrize("answer", ["{}", '{"data": []}', '{"error": {"message": "no"}}'])
def test_an_answer_with_nothing_in_it_is_none(replica: SimpleNamespace, vllm: PlayedServer, answer: str) -> None:
    vllm.says = answer
    with pytest.raises(OSError, match="with nothing in it"):
        replica.scripts.probe.token(vllm.port, **BODY, timeout=5)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("how", ["hangs", "refuses"])
def test_a_server_that_hangs_after_it_worked_is_killed_at_the_third_look(
    replica: SimpleNamespace, vllm: PlayedServer, pauses: list[float], how: str
) -> None:
    replica.watched.check()
    setattr(vllm, how, True)
    started, looks = time.monotonic(), []
    for _ in range(3):
        assert replica.watched.check() is False
        looks.append(list(replica.commands))
    assert looks == [[], [], [KILLED]]
    assert sum(pauses) <= 3 * 1.25, "a look ends in its time"
    assert time.monotonic() - started < 60, "and does not wait for the answer"
    said = (replica.scripts.root / "dev/console").read_text()
    assert re.fullmatch(r"tandem: vllm-1: no token in 1\.0 s: .+, 3 times: restart\n", said)


def test_a_hang_is_acted_on_within_two_minutes(replica: SimpleNamespace) -> None:
    watchdog, probe = replica.scripts.watchdog, replica.scripts.probe
    assert watchdog.STRIKES * (watchdog.EVERY + probe.SECONDS) <= 120


def test_a_server_that_loads_is_left_alone(replica: SimpleNamespace, vllm: PlayedServer) -> None:
    vllm.close()
    assert [replica.watched.check() for _ in range(30)] == [False] * 30
    assert replica.commands == []


def test_a_first_token_that_is_long_in_coming_is_waited_for(replica: SimpleNamespace, vllm: PlayedServer) -> None:
    """The port is open, and the first request still compiles."""
    replica.scripts.probe.SECONDS = 0.1
    vllm.hangs = True
    looks = [replica.watched.check() for _ in range(11)]
    vllm.hangs = False
    assert [*looks, replica.watched.check()] == [False] * 11 + [True]
    assert replica.commands == []


def test_metrics_add_up_by_their_exact_names(replica: SimpleNamespace, vllm: PlayedServer) -> None:
    metric = replica.scripts.probe.metric
    assert metric(vllm.port, "num_requests_running", "num_requests_waiting") == 3
    assert metric(vllm.port, "generation_tokens_total") == 0


class Unit:
    """Stands for vllm@N.service on a played clock: starts after 5 s what has ended, and each start goes as `fate` says.

    Stands for: systemd's `Restart=always` with RestartSec=5.
    Held by: tests/real/test_boot.py::test_a_killed_engine_comes_back_and_costs_no_later_request

    Attributes:
        fate: start number to (seconds until its port opens, seconds until it ends).
    """

    def __init__(self, host: PlayedHost, number: int, fate: Callable[[int], tuple[float, float]]) -> None:
        self.host, self.number, self.fate = host, number, fate
        self.begun = 0
        self.start()

    def start(self) -> None:
        self.begun += 1
        self.host.scripts.serve.start(self.number)
        opens, ends = self.fate(self.begun)
        self.opens, self.ends = self.host.now + opens, self.host.now + ends

    def advance(self) -> None:
        while self.host.now >= self.ends + 5:
            self.start()

    @property
    def open(self) -> bool:
        return self.opens <= self.host.now < self.ends


class OneAfterAnother(contextlib.nullcontext["OneAfterAnother"]):
    """Looks that take no time need not be made at the same time."""

    map = staticmethod(map)

    def __enter__(self) -> OneAfterAnother:
        return self


class PlayedHost:
    """The host's own watchdog and start of units, on a clock that moves by their waits.

    Stands for: a host's clock, its servers and `docker kill`.
    Held by: tests/real/test_boot.py::test_a_hung_server_is_restarted_and_the_other_serves_meanwhile
    """

    def __init__(self, scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scripts, self.now, self.units = scripts, 0.0, dict[int, Unit]()
        self.reported: float | None = None
        self.said: list[tuple[float, str]] = []
        clock = SimpleNamespace(monotonic=lambda: self.now, time=lambda: self.now, sleep=self.sleep)
        for module in (scripts.watchdog, scripts.starts):
            monkeypatch.setattr(module, "time", clock)
        for module in (scripts.watchdog, scripts.serve):
            monkeypatch.setattr(module, "say", lambda text: self.said.append((self.now, text)))
        for module in (scripts.watchdog, scripts.gpus):
            monkeypatch.setattr(module, "write", self.write)
        monkeypatch.setattr(scripts.watchdog.concurrent.futures, "ThreadPoolExecutor", OneAfterAnother)
        monkeypatch.setattr(scripts.serve, "sh", lambda *command: "")
        monkeypatch.setattr(scripts.serve.os, "execvp", lambda file, line: None)
        monkeypatch.setattr(scripts.watchdog, "sh", self.sh)
        monkeypatch.setattr(scripts.watchdog, "Gpus", lambda: SimpleNamespace(dead="", used={}, watch=lambda: None))
        monkeypatch.setattr(scripts.watchdog.aws, "report_unhealthy", self.report)
        monkeypatch.setattr(scripts.probe, "trouble", self.trouble)
        monkeypatch.setattr(scripts.probe, "listens", lambda port: self.units[port].open)

    def sh(self, *command: str, **_: object) -> str:
        assert command[:4] == ("timeout", "30", "docker", "kill")
        self.units[int(command[4].removeprefix("vllm-"))].ends = self.now
        return ""

    def write(self, path: Path, text: str) -> None:
        """A disk that a day of the same health does not keep busy."""
        if not path.exists() or path.read_text() != text:
            self.scripts.host.write(path, text)

    def report(self) -> None:
        self.reported = self.now
        raise SystemExit

    def trouble(self, port: int, *_: object, **__: object) -> str:
        return "" if self.units[port].open else "it does not answer: refused"

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for unit in self.units.values():
            unit.advance()
        if self.now > 86400:
            raise SystemExit

    def run(self, *fates: Callable[[int], tuple[float, float]]) -> None:
        """Until the host is reported, or a day is over."""
        rows = [{"replica": number, "gpus": [], "port": number} for number in range(len(fates))]
        self.scripts.host.write(self.scripts.serve.REPLICAS, json.dumps(rows))
        for number, fate in enumerate(fates):
            self.units[number] = Unit(self, number, fate)
        with pytest.raises(SystemExit):
            self.scripts.watchdog.main()


@pytest.fixture
def played(load: Load, monkeypatch: pytest.MonkeyPatch) -> PlayedHost:
    return PlayedHost(load(probe=BODY), monkeypatch)


NEVER = 1e9
WORKED = 1000
"""Seconds for which the first start serves."""


def sound(start: int) -> tuple[float, float]:
    return 130, NEVER


def at_once(start: int) -> tuple[float, float]:
    """Works once; each later start ends soon, as without its GPU or with a damaged cache."""
    return (130, WORKED) if start == 1 else (NEVER, 40)


def after_loading(start: int) -> tuple[float, float]:
    """Each start ends after six minutes of loading."""
    return (130, WORKED) if start == 1 else (NEVER, 360)


def never_opens(start: int) -> tuple[float, float]:
    return (130, WORKED) if start == 1 else (NEVER, NEVER)


@pytest.mark.parametrize("fate", [at_once, after_loading, never_opens])
@pytest.mark.parametrize("other", [sound, None])
def test_a_dead_replica_is_reported_within_15_minutes_whether_another_serves_or_not(
    played: PlayedHost, fate: Any, other: Any
) -> None:
    played.run(fate, other or fate)
    assert played.reported is not None
    assert played.reported - WORKED < 15 * 60
    assert played.scripts.watchdog.HEALTHY.exists() is (other is sound)


def test_what_ends_three_times_is_tried_with_an_empty_cache_before_the_report(played: PlayedHost) -> None:
    played.run(sound, at_once)
    texts = [text for _, text in played.said]
    assert texts == [
        "vllm-1: ended 3 times without a token: once more with an empty compile cache",
        "vllm-1: ended 4 times without a token, also with an empty compile cache: reporting this host unhealthy",
    ]
    assert played.scripts.watchdog.DEAD.read_text().startswith("vllm-1: ended 4 times")


def test_an_empty_cache_that_helps_takes_the_saved_one_from_the_other_hosts(
    played: PlayedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[Any] = []
    monkeypatch.setattr(played.scripts.watchdog.subprocess, "Popen", removed.append)
    played.run(lambda start: (130, NEVER) if start == 5 else at_once(start))
    assert played.reported is None
    assert removed == [["rm", "-rf", played.scripts.serve.saved_cache()]]


def test_one_crash_a_day_is_no_crash_loop(played: PlayedHost) -> None:
    played.run(lambda start: (130, 7200))
    assert played.reported is None
    assert played.units[0].begun > 10


def test_a_model_that_takes_long_to_load_is_given_its_time_again(played: PlayedHost) -> None:
    played.run(lambda start: (1500, 10_000))
    assert played.reported is None


def test_a_start_over_pcie_that_never_opens_its_port_goes_without_peers(played: PlayedHost) -> None:
    played.run(lambda start: (NEVER, NEVER) if start == 1 else (130, NEVER), sound)
    assert played.reported is None
    said = "vllm-0: port not open after 900 s, so without peer-to-peer over PCIe: restart"
    assert [text for _, text in played.said] == [said]
    assert played.units[0].begun == 2
    assert played.scripts.serve.without_peers(0).exists()
    assert not played.scripts.serve.without_peers(1).exists()


def test_a_start_over_nvlink_is_given_the_whole_time(played: PlayedHost) -> None:
    played.scripts.driver.CONFIG["instance_types"]["g6.12xlarge"].pop("over_pcie")
    played.run(lambda start: (NEVER, NEVER), sound)
    assert played.units[0].begun == 1
    assert played.reported is not None
    assert played.reported == pytest.approx(3600, abs=60)


# As the driver writes it, with the GPU's address on the bus.
XID = "[ 8042.7] NVRM: Xid (PCI:0000:3b:00): {}, pid=4711, name=VLLM::Worker_TP, GPU has fallen off the bus."


@pytest.fixture
def gpus(load: Load, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Four GPUs, an empty kernel log and a clock."""
    scripts = load()
    scripts.now, scripts.log, scripts.listed = (
        0.0,
        "",
        "".join(f"GPU {n}: NVIDIA L4 (UUID: GPU-{n})\n" for n in range(4)),
    )
    monkeypatch.setattr(scripts.watchdog, "time", SimpleNamespace(monotonic=lambda: scripts.now))

    def sh(*command: str) -> str:
        answer = {"dmesg": scripts.log, "nvidia-smi": scripts.listed}[command[0]]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(scripts.watchdog, "sh", sh)
    scripts.watched = scripts.watchdog.Gpus()
    return scripts


def look_for(gpus: SimpleNamespace, seconds: int) -> None:
    for _ in range(seconds // 60):
        gpus.now += 60
        gpus.watched.once()


def test_sound_gpus_are_not_reported(gpus: SimpleNamespace) -> None:
    gpus.log = (
        XID.format(13) + "\n" + XID.format(31) + "\n[1.0] NVRM: loading NVIDIA UNIX Open Kernel Module 580.95.05\n"
    )
    look_for(gpus, 3600)
    assert not gpus.watched.dead, "13 and 31 are a program's own mistakes"


@pytest.mark.parametrize("code", [48, 79, 95, 119])
def test_an_error_that_takes_a_gpu_away_is_reported_at_the_next_look(gpus: SimpleNamespace, code: int) -> None:
    gpus.log = XID.format(code) + "\n"
    look_for(gpus, 60)
    assert gpus.watched.dead.startswith(f"Xid (PCI:0000:3b:00): {code}, pid=4711")


@pytest.mark.parametrize(
    "listed",
    [
        "GPU 0: NVIDIA L4 (UUID: GPU-0)\nGPU 2: NVIDIA L4 (UUID: GPU-2)\n",
        RuntimeError(
            "nvidia-smi -L: exit 15: Unable to determine the device handle for GPU0000:3B:00.0: Unknown Error"
        ),
    ],
)
def test_a_gpu_that_nvidia_smi_does_not_show_is_reported_after_five_minutes(
    gpus: SimpleNamespace, listed: str | Exception
) -> None:
    look_for(gpus, 600)
    gpus.listed = listed
    look_for(gpus, 300)
    assert not gpus.watched.dead
    look_for(gpus, 60)
    assert gpus.watched.dead.startswith("not all GPUs were seen for 300 s: ")
    assert gpus.watched.dead.endswith(str(listed)[-200:])


def test_a_driver_that_never_answers_is_reported_too(gpus: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(gpus.watchdog, "sh", lambda *command: answered.wait(30) and "")
    stuck = threading.Thread(target=gpus.watched.once, daemon=True)
    stuck.start()
    gpus.now = 301
    assert gpus.watched.dead
    answered.set()
    stuck.join()
