"""What Ubuntu and Docker do to a host that serves: pins, drives, upgrades, a reboot. The guest is test_boot.py's."""

from __future__ import annotations

import pytest
from boot import SECONDS, Clients, Host, details

from rehearsal.host import packages, scene

pytestmark = pytest.mark.real


def test_the_pinned_versions_are_installed_and_held_although_newer_ones_are_offered(host: Host) -> None:
    installed = host.guest.run("dpkg-query -W -f '${Package} ${Version} ${db:Status-Want}\\n' '*nvidia*'")
    rows = sorted(line for line in installed.splitlines() if " hold" in line)
    assert rows == [
        f"libnvidia-container-tools {packages.TOOLKIT}-1 hold",
        f"libnvidia-container1 {packages.TOOLKIT}-1 hold",
        f"nvidia-container-toolkit {packages.TOOLKIT}-1 hold",
        f"nvidia-container-toolkit-base {packages.TOOLKIT}-1 hold",
        f"nvidia-open {packages.DRIVER}-0ubuntu1 hold",
    ]
    assert packages.NEWER_DRIVER in host.guest.run("apt-cache madison nvidia-open")


def test_a_pin_that_the_repository_lacks_stops_the_host_by_its_name(host: Host) -> None:
    """apt by itself would install the newest."""
    program = 'import packages; packages.CONFIG["pins"]["canary"] = "3"; packages.install(["canary"])'
    said = host.guest.run(f"cd /opt/tandem; python3 -c '{program}'", SECONDS, check=False)
    assert said.endswith("GiveUp: no package repository has canary 3, the version of images/pins.toml\n")
    assert "canary" not in host.guest.run("dpkg-query -W -f '${Package}\\n'").split()


def test_the_images_bytes_are_on_the_data_drives(host: Host) -> None:
    """Docker's and containerd's: from Docker 29 on it is the latter that has images, and nothing else says so."""
    assert "raid0 nvme1n1[1] nvme0n1[0]" in host.guest.run("cat /proc/mdstat")
    assert host.guest.run("docker info -f '{{.Driver}} {{.DriverStatus}}'").strip() == (
        "overlayfs [[driver-type io.containerd.snapshotter.v1]]"
    )
    places = ("/mnt/local", "/var/lib/docker", "/var/lib/containerd")
    device, *mounted = host.guest.run("".join(f"findmnt -no SOURCE {place};" for place in places)).split()
    assert mounted == [f"{device}[/docker]", f"{device}[/containerd]"]
    blobs = [path.rpartition("sha256:")[2] for path in host.cloud.pulled if "/blobs/" in path]
    named = " -o ".join(f"-name {blob}" for blob in blobs)
    assert len(host.guest.run(f"find /mnt/local/containerd {named}").splitlines()) == len(blobs) > 0
    host.guest.run("mkdir /tmp/root; mount --bind / /tmp/root")
    assert host.guest.run(f"find /tmp/root/var/lib {named}") == ""
    host.guest.run("umount /tmp/root")


SERVING = ("tandem-edge", "tandem-watchdog", "tandem-notices", "vllm@0", "vllm@1", "docker", "containerd")


def test_an_unattended_upgrade_of_a_library_cuts_no_stream_and_refuses_no_health_check(host: Host) -> None:
    """Everything may be upgraded: the C library, which all that runs has open, and a package without a pin."""
    host.guest.run(
        "apt-get install -yq --allow-downgrades canary=1;"
        " echo 'Unattended-Upgrade::Origins-Pattern {\"origin=*\";};' > /etc/apt/apt.conf.d/60everything",
        SECONDS,
    )
    serving, agent = host.main_pids(*SERVING), host.main_pids("qemu-guest-agent")
    servers = [host.inspect(f"vllm-{replica}")["State"]["Pid"] for replica in (0, 1)]
    with Clients(host, tokens=50).asking():
        host.guest.run("systemctl start --no-block apt-daily-upgrade")  # as its timer does
        log = "/var/log/unattended-upgrades/unattended-upgrades-dpkg.log"
        host.eventually(lambda: "Service restarts being deferred" in host.guest.run(f"cat {log}"), "needrestart's end")
        host.eventually(lambda: host.main_pids("qemu-guest-agent") != agent, "a restart of what carries no request")
        canary = "dpkg-query -W -f '${Version}' canary"  # packages are upgraded one by one
        host.eventually(lambda: host.guest.run(canary).strip() == "2", "the last upgrade")
    versions = host.guest.run(
        "dpkg-query -W -f '${Package}=${Version}\\n' canary nvidia-open nvidia-container-toolkit libc6"
    ).split()
    assert versions[0] == "canary=2"
    assert versions[1].endswith("+upgrade")
    assert versions[2:] == [
        f"nvidia-container-toolkit={packages.TOOLKIT}-1",
        f"nvidia-open={packages.DRIVER}-0ubuntu1",
    ]
    assert host.guest.run("modinfo -F version nvidia").strip() == packages.DRIVER
    said = {line.strip() for line in host.guest.run(f"cat {log}").splitlines()}
    assert {f"systemctl restart {unit}.service" for unit in SERVING if unit != "tandem-edge"} <= said, "deferred"
    assert "tandem-edge.service" in said, "systemd refuses to restart it, whoever asks"
    assert host.main_pids(*SERVING) == serving
    assert [host.inspect(f"vllm-{replica}")["State"]["Pid"] for replica in (0, 1)] == servers


def test_the_edge_is_reloaded_and_never_stopped(host: Host) -> None:
    master = host.main_pids("tandem-edge")
    workers = f"pgrep -P {master[0]}"
    before = host.guest.run(workers).split()
    with Clients(host, tokens=50).asking():
        host.guest.run("systemctl reload tandem-edge")
        host.eventually(lambda: not set(before) & set(host.guest.run(workers).split()), "other workers")
        refused = host.guest.run("systemctl restart tandem-edge", check=False)
    assert "Operation refused" in refused
    assert host.main_pids("tandem-edge") == master


def test_a_reboot_takes_the_short_way_with_the_registry_away(host: Host) -> None:
    host.cloud.registry_away = True
    pulled = list(host.cloud.pulled)
    downloads, calls, lines = list(host.cloud.downloads), len(host.cloud.calls), len(host.guest.ledger())
    since = len(host.guest.console)
    host.guest.power_off(SECONDS)
    host.guest.power_on()
    host.guest.wait_for_line(scene.READY, scene.READY_SECONDS, since)
    host.guest.wait_for_agent(SECONDS)
    leave, *ledger = host.guest.ledger()[lines:]
    assert (leave["stage"], leave["outcome"]) == ("leave", "done"), "a shutdown leaves the load balancer first"
    said = details(ledger)
    assert said["scripts"].startswith("were there, ")
    assert said["driver"] == f"{packages.DRIVER} was there, 4 GPUs"
    assert said["toolkit"] == "0 packages installed"
    assert said["storage"].startswith("2 NVMe drives, EFS, ")
    assert said["weights"] == "were there"
    assert host.cloud.pulled == pulled
    assert said["ready"] == "first token, no lifecycle hook was waiting"
    assert host.cloud.downloads == downloads
    later = [action for _, action, _ in host.cloud.calls[calls:]]
    assert [name for name in later if name in ("DeregisterTargets", "RegisterTargets", "GetObject")] == [
        "DeregisterTargets",
        "RegisterTargets",
    ]
    assert host.ask()[0] == 200


def test_efs_whose_name_never_resolves_is_said_and_the_host_serves_from_its_own_storage(host: Host) -> None:
    """The stage's own code and the guest's resolver; only the patience of three minutes is shortened to ten seconds."""
    since = len(host.guest.console)
    found = host.guest.run(
        "umount -l /mnt/efs; sed -i 's/ fs-.*//' /etc/hosts; cd /opt/tandem;"
        " python3 -c 'import storage; storage.EFS_SECONDS = 10; print(storage.run())'",
        SECONDS,
    )
    assert "NVMe, EFS never came, " in found
    host.guest.wait_for_line("storage: no EFS, serving from local storage: ", SECONDS, since)
    assert host.guest.run("cd /opt/tandem; python3 -c 'import weights; print(weights.run())'").strip() == "were there"
    assert host.ask()[0] == 200
