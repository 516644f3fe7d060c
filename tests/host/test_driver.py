"""Stage driver: which commands, in which order. The real ones run in tests/real."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts import Load

SAMPLES = Path(__file__).with_name("samples")
"""What nvidia-ctk 1.20.1 (of its Go module) wrote on an H200 with driver 580.159.04; without mounts, hooks, UUID."""

FOUR_GPUS = {"nvidia-smi -L": "GPU 0\nGPU 1\nGPU 2\nGPU 3\n"}
NODES = "nvidia-ctk system create-device-nodes --control-devices --load-kernel-modules"


@pytest.fixture(autouse=True)
def specification(tmp_path: Path) -> Path:
    """Where nvidia-ctk writes; here as it does when nvidia-uvm is there."""
    file = tmp_path / "var/run/cdi/nvidia.yaml"
    file.parent.mkdir(parents=True)
    file.write_text((SAMPLES / "cdi.yaml").read_text())
    return file


def test_a_driver_of_the_pinned_branch_is_kept(load: Load, on) -> None:
    scripts = load()
    machine = on(scripts.driver, {"modinfo": "580.126.09\n", **FOUR_GPUS})
    assert scripts.driver.run() == "580.126.09 was there, 4 GPUs"
    assert machine.commands == [
        "modinfo -F version nvidia",
        "nvidia-smi -pm 1",
        "nvidia-smi -L",
        NODES,
        f"nvidia-ctk cdi generate --output={scripts.root}/var/run/cdi/nvidia.yaml",
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


def test_nvlink_5_has_a_subnet_manager_and_infiniband_before_fabric_manager(
    load: Load, on, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NVIDIA's Fabric Manager guide and AWS's own EKS image (awslabs/amazon-eks-ami) have it for B200."""
    scripts = load("b200")
    scripts.aws.identity = lambda: {"instanceType": "p6-b200.48xlarge"}
    machine = on(scripts.driver, {"nvidia-smi -L": "GPU\n" * 8})
    monkeypatch.setattr(scripts.driver, "present", iter(["", "580.0.0"]).__next__)
    assert scripts.driver.run() == "580.0.0 installed, 8 GPUs"
    headers, modules, *packages = machine.commands[1].split()[1:]
    assert (headers[:14], modules[:20]) == ("linux-headers-", "linux-modules-extra-")
    assert packages == ["nvidia-open", "nvidia-fabricmanager", "nvlsm", "infiniband-diags"]
    assert machine.commands[3:5] == [
        "modprobe -a mlx5_ib ib_umad",
        "systemctl enable --now nvidia-fabricmanager",
    ]


def test_the_kernel_that_has_mlx5_needs_no_more_modules(load: Load, on, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ubuntu's 7.0 for AWS has mlx5_ib in linux-modules, 6.8 and 6.17 in linux-modules-extra."""
    scripts = load("b200")
    scripts.aws.identity = lambda: {"instanceType": "p6-b200.48xlarge"}
    machine = on(scripts.driver, {"nvidia-smi -L": "GPU\n" * 8, "modinfo mlx5_ib": "filename: mlx5_ib.ko\n"})
    monkeypatch.setattr(scripts.driver, "present", iter(["", "580.0.0"]).__next__)
    scripts.driver.run()
    assert "linux-modules-extra-" not in machine.commands[1]


def test_a_specification_without_uvm_is_an_error(load: Load, on, specification: Path) -> None:
    """nvidia-ctk leaves out what is not there, with a warning and exit status 0: seen with the real one."""
    scripts = load()
    on(scripts.driver, {"modinfo": "580.1\n", **FOUR_GPUS})
    specification.write_text((SAMPLES / "cdi-without-uvm.yaml").read_text())
    with pytest.raises(RuntimeError, match=r"nvidia\.yaml has no /dev/nvidia-uvm"):
        scripts.driver.run()
