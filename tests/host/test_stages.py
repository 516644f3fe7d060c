"""Driver, toolkit, storage, ready and the runner: which commands, in which order. The real ones run in tests/real."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest
from scripts import Load


class Machine:
    """Stands for a host's commands: records each, answers from a table by its beginning."""

    def __init__(self, answers: dict[str, str | Exception] | None = None) -> None:
        self.answers = answers or {}
        self.commands: list[str] = []

    def sh(self, *command: str, **_: object) -> str:
        line = " ".join(command)
        self.commands.append(line)
        for beginning, answer in self.answers.items():
            if line.startswith(beginning):
                if isinstance(answer, Exception):
                    raise answer
                return answer
        return ""

    def apt(self, *arguments: str) -> str:
        return self.sh("apt-get", *arguments)

    def install(self, packages: list[str]) -> None:
        self.sh("install", *packages)


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Machine]:
    def put(module: ModuleType, answers: dict[str, str | Exception] | None = None) -> Machine:
        machine = Machine(answers)
        for name in ("sh", "apt", "install"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, getattr(machine, name))
        return machine

    return put


FOUR_GPUS = {"nvidia-smi -L": "GPU 0\nGPU 1\nGPU 2\nGPU 3\n"}


def test_a_driver_of_the_pinned_branch_is_kept(load: Load, on) -> None:
    scripts = load()
    machine = on(scripts.driver, {"modinfo": "580.126.09\n", **FOUR_GPUS})
    assert scripts.driver.run() == "580.126.09 was there, 4 GPUs"
    assert machine.commands == [
        "modinfo -F version nvidia",
        "nvidia-smi -pm 1",
        "nvidia-smi -L",
        "nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml",
    ]


def test_a_bare_host_gets_headers_modules_and_driver(load: Load, on, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    machine = on(scripts.driver, FOUR_GPUS)
    monkeypatch.setattr(scripts.driver, "present", iter(["", "580.0.0"]).__next__)
    assert scripts.driver.run() == "580.0.0 installed, 4 GPUs"
    assert machine.commands[0].startswith("install linux-headers-")
    assert machine.commands[0].endswith(" nvidia-open")
    assert machine.commands[1] == "modprobe nvidia"


def test_another_branch_is_taken_out_first(load: Load, on, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    machine = on(scripts.driver, FOUR_GPUS)
    monkeypatch.setattr(scripts.driver, "present", iter(["570.10.01", "580.0.0"]).__next__)
    (scripts.root / "sys/module/nvidia").mkdir(parents=True)
    assert scripts.driver.run() == "580.0.0 installed, 4 GPUs"
    purged = next(index for index, line in enumerate(machine.commands) if line.startswith("apt-get purge"))
    unloaded = machine.commands.index("modprobe -r nvidia")
    installed = next(index for index, line in enumerate(machine.commands) if line.startswith("install"))
    assert purged < unloaded < installed
    assert "570.10.01 was there, branch 580 is pinned" in (scripts.root / "dev/console").read_text()


def test_58_is_not_branch_580(load: Load, on) -> None:
    scripts = load()
    on(scripts.driver, {"modinfo": "5801.1\n", **FOUR_GPUS})
    assert "installed" in scripts.driver.run()


def test_nvswitch_needs_fabric_manager(load: Load, on) -> None:
    scripts = load("eight-gpus")
    scripts.aws.identity = lambda: {"instanceType": "p5en.48xlarge"}
    machine = on(scripts.driver, {"modinfo": "580.1\n", "nvidia-smi -L": "GPU\n" * 8})
    assert scripts.driver.run() == "580.1 was there, 8 GPUs"
    assert "systemctl enable --now nvidia-fabricmanager" in machine.commands


def test_a_missing_gpu_is_an_error(load: Load, on) -> None:
    scripts = load()
    on(scripts.driver, {"modinfo": "580.1\n", "nvidia-smi -L": "GPU 0\nGPU 1\nGPU 2\n"})
    with pytest.raises(RuntimeError, match="3 GPUs answer, 4 expected"):
        scripts.driver.run()


def test_a_driver_too_old_for_the_image_stops_before_anything_is_installed(load: Load, on) -> None:
    scripts = load(minimum_driver_branch=590)
    machine = on(scripts.driver)
    with pytest.raises(scripts.host.GiveUp, match="driver 580 is older than branch 590, which the image's CUDA needs"):
        scripts.driver.gate()
    assert machine.commands == []


def test_an_instance_type_without_a_profile_is_refused(load: Load, on) -> None:
    scripts = load()
    scripts.aws.identity = lambda: {"instanceType": "g4dn.12xlarge"}
    with pytest.raises(scripts.host.GiveUp, match=r"g4dn\.12xlarge is not one of g6\.12xlarge, g5\.12xlarge"):
        scripts.driver.gate()


def test_toolkit_installs_only_what_is_missing(load: Load, on, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    machine = on(scripts.toolkit)
    monkeypatch.setattr(scripts.toolkit.shutil, "which", lambda name: "/sbin/mount.efs")
    monkeypatch.setattr(scripts.toolkit, "missing", lambda packages: packages[:4])
    assert scripts.toolkit.run() == "4 packages installed"
    assert machine.commands == [
        "systemctl mask nginx",
        "install nvidia-container-toolkit nvidia-container-toolkit-base libnvidia-container-tools libnvidia-container1",
        "systemctl start docker",
    ]


def test_efs_utils_come_from_aws(load: Load, on, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    machine = on(scripts.toolkit)
    monkeypatch.setattr(scripts.toolkit.shutil, "which", lambda name: None)
    monkeypatch.setattr(scripts.toolkit, "missing", lambda packages: [])
    monkeypatch.setattr(scripts.toolkit, "fetch", lambda url: f"# from {url}")
    assert scripts.toolkit.run() == "0 packages installed"
    assert machine.commands[0] == "sh -s -- --install"


def test_what_dpkg_knows_is_not_missing(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    monkeypatch.setattr(scripts.host, "sh", lambda *_, **__: "nginx-light installed\nmdadm config-files\n")
    assert scripts.host.missing(["nginx-light", "mdadm", "docker-ce"]) == ["mdadm", "docker-ce"]


def drives(root, count: int) -> None:
    for number in range(count):
        device = root / f"sys/block/nvme{number + 1}n1/device"
        device.mkdir(parents=True)
        (device / "model").write_text("Amazon EC2 NVMe Instance Storage        \n")
    volume = root / "sys/block/nvme0n1/device"
    volume.mkdir(parents=True)
    (volume / "model").write_text("Amazon Elastic Block Store              \n")


def test_several_drives_become_one_file_system_under_docker(load: Load, on) -> None:
    scripts = load()
    drives(scripts.root, 2)
    machine = on(scripts.storage)
    local = scripts.storage.LOCAL
    assert scripts.storage.mount_local() == "2 NVMe drives"
    assert machine.commands == [
        "blkid -L tandem",
        "mdadm --create /dev/md/tandem --run --level=0 --raid-devices=2 /dev/nvme1n1 /dev/nvme2n1",
        "mkfs.ext4 -q -F -L tandem -m 0 -E nodiscard /dev/md/tandem",
        f"mount -o noatime LABEL=tandem {local}",
        "systemctl stop docker.socket docker",
        f"mount --bind {local}/docker /var/lib/docker",
        "systemctl start docker",
    ]


def test_a_reboot_finds_the_file_system(load: Load, on) -> None:
    scripts = load()
    drives(scripts.root, 1)
    machine = on(scripts.storage, {"blkid": "/dev/nvme1n1\n"})
    assert scripts.storage.mount_local() == "1 NVMe drives"
    assert not any(line.startswith(("mkfs", "mdadm")) for line in machine.commands)


def test_docker_stays_where_a_baked_image_has_the_container_image(load: Load, on) -> None:
    scripts = load()
    drives(scripts.root, 1)
    scripts.storage.BAKED.mkdir(parents=True)
    machine = on(scripts.storage)
    assert scripts.storage.mount_local() == "1 NVMe drives, Docker in the machine image"
    assert machine.commands[-1] == f"mount -o noatime LABEL=tandem {scripts.storage.LOCAL}"


def test_without_nvme_the_root_volume_serves(load: Load, on) -> None:
    scripts = load()
    drives(scripts.root, 0)
    machine = on(scripts.storage)
    assert scripts.storage.mount_local() == "no NVMe, root volume"
    assert machine.commands == []


def test_efs_is_mounted_with_tls_and_the_role(load: Load, on, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    names = []
    monkeypatch.setattr(scripts.storage.socket, "getaddrinfo", lambda name, port: names.append((name, port)))
    machine = on(scripts.storage)
    assert scripts.storage.mount_shared() == "EFS"
    assert names == [("fs-00000000000000000.efs.us-east-1.amazonaws.com", 2049)]
    assert machine.commands == [
        "mount -t efs -o tls,iam,accesspoint=fsap-00000000000000000,_netdev,noresvport "
        f"fs-00000000000000000:/ {scripts.storage.SHARED}"
    ]


def test_efs_that_never_comes_is_said_and_survived(load: Load, on, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()

    def unknown(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    waits = iter([True, True, False])
    monkeypatch.setattr(scripts.storage.socket, "getaddrinfo", unknown)
    monkeypatch.setattr(scripts.storage, "wait", lambda seconds: next(waits))
    on(scripts.storage)
    assert scripts.storage.mount_shared() == "EFS never came"
    assert (scripts.root / "dev/console").read_text() == (
        "tandem: storage: no EFS after 180 s, serving from local storage: [Errno -2] Name or service not known\n"
    )


def ready(load: Load, monkeypatch: pytest.MonkeyPatch, *, held: bool = True) -> tuple[SimpleNamespace, list[str]]:
    """Two replicas, the second of which makes its first token a little later; then the edge."""
    scripts = load()
    events: list[str] = []
    errors = {8002: [OSError("refused")], 8080: [OSError("502")]}

    def token(port: int, timeout: float) -> None:
        events.append(f"token {port}")
        if late := errors.get(port):
            raise late.pop()

    monkeypatch.setattr(scripts.watchdog, "token", token)
    scripts.host.write(scripts.serve.REPLICAS, '[{"replica": 0, "port": 8001}, {"replica": 1, "port": 8002}]')
    monkeypatch.setattr(scripts.ready, "wait", lambda seconds: True)
    monkeypatch.setattr(scripts.aws, "complete", lambda result: events.append(result) or held)
    monkeypatch.setattr(scripts.aws, "target", events.append)
    monkeypatch.setattr(scripts.ready, "sh", lambda *command: events.append(" ".join(command)))
    monkeypatch.setattr(scripts.serve, "save_cache", lambda: events.append("save"))
    scripts.errors = errors
    return scripts, events


def test_the_hook_is_completed_after_a_token_of_every_replica(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts, events = ready(load, monkeypatch)
    assert scripts.ready.run() == "first token, lifecycle hook completed"
    assert events == [
        "token 8001", "token 8002", "token 8002",
        "token 8080", "token 8080", "CONTINUE", "RegisterTargets", "systemctl start tandem-member", "save",
    ]  # fmt: skip
    assert scripts.watchdog.HEALTHY.read_text() == "ok\n"


def test_a_reboot_is_ready_without_a_hook(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts, _ = ready(load, monkeypatch, held=False)
    assert scripts.ready.run() == "first token, no lifecycle hook was waiting"


@pytest.mark.parametrize(
    ("port", "said"), [(8002, "no token from vllm-1"), (8080, "no token came through the edge: 502")]
)
def test_no_token_by_the_deadline_is_an_error_that_says_from_whom(
    load: Load, monkeypatch: pytest.MonkeyPatch, port: int, said: str
) -> None:
    scripts, events = ready(load, monkeypatch)
    scripts.errors.pop(8002 if port == 8080 else 8080)
    monkeypatch.setattr(scripts.ready, "wait", lambda seconds: False)
    with pytest.raises(RuntimeError, match=said):
        scripts.ready.run()
    assert "CONTINUE" not in events


def test_a_replica_that_the_watchdog_found_dead_ends_the_boot_with_its_words(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts, events = ready(load, monkeypatch)
    scripts.host.write(scripts.watchdog.DEAD, "vllm-1: ended 4 times without a token")
    with pytest.raises(scripts.host.GiveUp, match="vllm-1: ended 4 times"):
        scripts.ready.run()
    assert events == ["token 8001", "token 8002"]


def test_a_failed_host_is_replaced_by_its_hook_or_as_unhealthy(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    events: list[str] = []
    monkeypatch.setattr(scripts.aws, "report_unhealthy", lambda: events.append("unhealthy"))
    monkeypatch.setattr(scripts.aws, "complete", lambda result: events.append(result) or "done")
    scripts.boot.abandon()
    monkeypatch.setattr(scripts.aws, "complete", lambda result: events.append(result))
    scripts.boot.abandon()
    assert events == ["ABANDON", "ABANDON", "unhealthy"]


def order(load: Load, monkeypatch: pytest.MonkeyPatch, driver_status: int) -> tuple[SimpleNamespace, list[str]]:
    """The runner with stages that are only written down, and a driver's process that ends with a status."""
    scripts, events = load(), []
    monkeypatch.setattr(scripts.boot, "keep_hook_alive", lambda: None)
    monkeypatch.setattr(scripts.boot, "attempt", lambda name, action, seconds: events.append(name))

    class Process:
        def __init__(self, command: list[str]) -> None:
            events.append(f"{command[-1]} beside")

        def wait(self) -> int:
            events.append("driver waited for")
            return driver_status

    monkeypatch.setattr(scripts.boot.subprocess, "Popen", Process)
    return scripts, events


def test_the_driver_is_installed_while_image_and_weights_are_fetched(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts, events = order(load, monkeypatch, 0)
    scripts.boot.main()
    assert events == [
        "gate", "toolkit", "storage", "driver beside", "weights", "driver waited for", "serve", "ready",
    ]  # fmt: skip


def test_without_a_driver_nothing_is_served(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts, events = order(load, monkeypatch, 1)
    with pytest.raises(SystemExit):
        scripts.boot.main()
    assert events[-1] == "driver waited for"


def test_a_compile_cache_is_kept_by_gpu_type_image_and_model(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    monkeypatch.setattr(scripts.serve, "sh", lambda *_: "")
    monkeypatch.setattr(scripts.serve.os.path, "ismount", lambda path: True)
    own = scripts.serve.compile_cache(1)
    assert own.relative_to(scripts.storage.LOCAL).as_posix() == (
        f"compile/g6-vllm-openai@sha256-{'0' * 64}-models--Qwen--Qwen3-8B/1"
    )
    scripts.serve.restore_cache(0)
    (scripts.serve.compile_cache(0) / "graph").write_text("compiled")
    scripts.serve.save_cache()
    scripts.serve.restore_cache(1)
    assert (own / "graph").read_text() == "compiled"
