"""dev's rendered user data boots a guest to ready, serves, survives, starts again and leaves: one machine's life.

The tests follow each other on one guest. What stands in for what cannot be had is in rehearsal/host/.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import stacks

from rehearsal.host import packages, scene
from rehearsal.host.cloud import API_KEY, WEIGHTS, Cloud
from rehearsal.host.guest import Guest

pytestmark = pytest.mark.real

BEFORE, BESIDE, AFTER = ["gate", "toolkit", "storage"], {"driver", "weights"}, ["serve", "ready"]
SECONDS = 600
"""Longest wait for anything: software emulation on a busy machine is slow, and that is not what is tested."""


@dataclass(frozen=True)
class Host:
    """The guest and what is around it."""

    guest: Guest
    cloud: Cloud

    def ask(self, path: str = "/v1/completions", key: str | None = API_KEY, **body: Any) -> tuple[int, str]:
        """Status and text of an answer through the edge, asked from outside."""
        connection = http.client.HTTPConnection("127.0.0.1", self.guest.edge_port, timeout=120)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        with contextlib.closing(connection):
            connection.request("POST", path, json.dumps({"prompt": "1", "max_tokens": 1, **body}), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def health(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.guest.edge_port, timeout=120)
        with contextlib.closing(connection):
            connection.request("GET", "/healthz")
            return connection.getresponse().status

    def inspect(self, container: str) -> dict[str, Any]:
        (found,) = json.loads(self.guest.run(f"docker inspect {container}"))
        return found


def eventually(condition: Any, what: str, seconds: float = SECONDS) -> None:
    """Waits until a condition holds; errors of a machine in between count as not yet."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException, AssertionError, ValueError):
            if condition():
                return
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not in {seconds} s")
        time.sleep(0.5)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host that came to ready."""
    directory = tmp_path_factory.mktemp("boot")
    cloud = Cloud()
    with scene.powered_on(stacks.config("dev"), scene.parts(directory), cloud, directory) as guest:
        guest.wait_for_line(scene.READY, scene.READY_SECONDS)
        guest.wait_for_agent(SECONDS)
        yield Host(guest, cloud)


def details(ledger: list[dict[str, Any]]) -> dict[str, str]:
    """What each stage of a boot did; the ledger must tell each once, in order, done at the first attempt."""
    stages = [line["stage"] for line in ledger]
    assert (stages[:3], set(stages[3:5]), stages[5:]) == (BEFORE, BESIDE, AFTER)
    assert {(line["outcome"], line["attempts"]) for line in ledger} == {("done", 1)}
    return {line["stage"]: line["detail"] for line in ledger}


def test_the_ledger_tells_each_stage_once_and_in_order(host: Host) -> None:
    ledger = host.guest.ledger()
    assert all(line["seconds"] >= 0 and line["start"].endswith("Z") for line in ledger)
    said = details(ledger)
    assert said["gate"] == "driver branch 580"
    assert said["driver"] == f"{packages.DRIVER} installed, 4 GPUs"
    assert said["toolkit"] == "4 packages installed"
    assert said["storage"].startswith("no NVMe, root volume, EFS, ")
    assert said["weights"] == "downloaded to EFS, copied to local storage"
    assert said["serve"] == "replicas on GPUs [(0, 2), (1, 3)]", "paired by the matrix of `nvidia-smi topo -m`"
    assert said["ready"] == "first token, lifecycle hook completed"


def test_the_group_and_the_load_balancer_get_the_host_after_its_first_token(host: Host) -> None:
    calls = host.cloud.actions("CompleteLifecycleAction", "RegisterTargets", "SetInstanceHealth")
    assert calls == ["CompleteLifecycleAction", "RegisterTargets"]
    (hook,) = [parameters for _, action, parameters in host.cloud.calls if action == "CompleteLifecycleAction"]
    assert (hook["LifecycleActionResult"], hook["LifecycleHookName"]) == ("CONTINUE", "first-token")


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


def test_a_server_has_its_two_gpus_no_privilege_and_no_secret(host: Host) -> None:
    for replica in (0, 1):
        found = host.inspect(f"vllm-{replica}")
        assert API_KEY not in json.dumps(found)
        assert found["Config"]["User"] == "2000:0"
        assert found["HostConfig"]["CapDrop"] == ["ALL"]
        assert found["HostConfig"]["ShmSize"] == 8 << 30
        assert "@sha256:" in found["Config"]["Image"]
        (request,) = found["HostConfig"]["DeviceRequests"]
        assert request["Driver"] == "cdi"
        assert request["DeviceIDs"] == [f"nvidia.com/gpu={gpu}" for gpu in ((0, 2), (1, 3))[replica]]
    # What CDI gave, the servers say themselves, by way of the log group.
    for pair in ("[0 2]", "[1 3]"):
        line = f"gpus {pair}, uid 2000, {len(WEIGHTS)} bytes of weights".encode()
        eventually(lambda line=line: line in b"".join(host.cloud.bodies), "the servers' words in the log group")


def test_no_list_of_processes_and_no_log_shows_a_key(host: Host) -> None:
    key = f"{API_KEY[:-1]}[{API_KEY[-1]}]"  # so that the search does not find itself
    places = "/proc/[0-9]*/cmdline /proc/[0-9]*/environ /var/log/tandem /var/lib/tandem /var/lib/cloud"
    assert host.guest.run(f"grep -rlsa '{key}' {places}", check=False) == ""
    assert host.guest.run(f"journalctl --no-pager | grep -c '{key}'", check=False).strip() == "0"
    assert API_KEY not in "\n".join(line.text for line in host.guest.console)


def test_the_edge_serves_clients_outside(host: Host) -> None:
    assert host.ask() == (200, '{"choices":[{"text":"1"}]}')
    assert host.ask(key=None)[0] == 401
    assert host.ask("/invocations")[0] == 404
    eventually(lambda: host.health() == 200, "health for the load balancer")


def test_user_data_follows_the_schema_of_cloud_init(host: Host) -> None:
    assert "Valid schema user-data" in host.guest.run("cloud-init schema --system", SECONDS)


def test_efs_is_mounted_through_the_access_point_with_tls_and_iam(host: Host) -> None:
    efs = stacks.RESOURCES.efs_file_system_id
    (line,) = host.guest.run("cat /var/log/mount.efs").splitlines()
    assert line.startswith(f"{efs}:/ /mnt/efs -o ")
    assert {"tls", "iam", f"accesspoint={stacks.RESOURCES.efs_access_point_id}"} <= set(line.split()[-1].split(","))
    kept = host.guest.run("find /srv/efs -name '*.complete' -o -name graph").splitlines()
    assert [Path(path).name for path in kept if path.endswith("complete")] == [f"{'0' * 40}.complete"]
    assert [Path(path).name for path in kept if path.endswith("graph")] == ["graph"], "the compile cache is kept too"


def test_a_server_has_no_way_to_the_roles_credentials(host: Host) -> None:
    for replica in (0, 1):
        pid = host.inspect(f"vllm-{replica}")["State"]["Pid"]
        assert "/vllm.slice/" in host.guest.run(f"cat /proc/{pid}/cgroup")
    curl = "curl -s -o /dev/null -m 5 -w '%{http_code}' http://169.254.169.254/latest/meta-data/"
    assert host.guest.run(f"systemd-run -q --slice vllm.slice --wait --pipe {curl}", check=False).strip() == "000"
    assert host.guest.run(curl).strip() == "401", "which outside of the slice asks for a session"


def test_a_killed_engine_comes_back_and_costs_no_later_request(host: Host) -> None:
    before = host.inspect("vllm-1")["Id"]
    statuses: list[int] = []
    host.guest.run("docker kill -s USR2 vllm-1")  # the stub ends with status 0, as a dead engine ends vLLM

    def another() -> bool:
        statuses.append(host.ask()[0])
        return host.inspect("vllm-1")["Id"] != before

    eventually(another, "another container in place of the dead one")
    assert set(statuses) == {200}
    assert host.health() == 200


def test_a_hung_server_is_restarted_and_the_other_serves_meanwhile(host: Host) -> None:
    before, since = host.inspect("vllm-0")["Id"], len(host.guest.console)
    host.guest.run("docker kill -s USR1 vllm-0")
    said = host.guest.wait_for_line("vllm-0: no token in 25 s: .*, 3 times: restart", SECONDS, since)
    assert said
    eventually(lambda: host.inspect("vllm-0")["Id"] != before, "another container in place of the hung one")
    assert host.health() == 200
    assert "SetInstanceHealth" not in host.cloud.actions("SetInstanceHealth")


def test_an_unattended_upgrade_leaves_driver_and_toolkit_alone(host: Host) -> None:
    """Everything is allowed to be upgraded; a package without a pin shows that the upgrade does work."""
    host.guest.run(
        "apt-get install -yq --allow-downgrades canary=1; echo 'Unattended-Upgrade::Origins-Pattern {\"origin=*\";};'"
        " > /etc/apt/apt.conf.d/60everything; unattended-upgrade",
        SECONDS,
    )
    versions = host.guest.run("dpkg-query -W -f '${Package}=${Version}\\n' canary nvidia-open nvidia-container-toolkit")
    assert versions.split() == [
        "canary=2",
        f"nvidia-container-toolkit={packages.TOOLKIT}-1",
        f"nvidia-open={packages.DRIVER}-0ubuntu1",
    ]
    assert host.guest.run("modinfo -F version nvidia").strip() == packages.DRIVER


def test_a_reboot_takes_the_short_way(host: Host) -> None:
    downloads, calls, lines = list(host.cloud.downloads), len(host.cloud.calls), len(host.guest.ledger())
    since = len(host.guest.console)
    host.guest.power_off(SECONDS)
    host.guest.power_on()
    host.guest.wait_for_line(scene.READY, scene.READY_SECONDS, since)
    host.guest.wait_for_agent(SECONDS)
    leave, *ledger = host.guest.ledger()[lines:]
    assert (leave["stage"], leave["outcome"]) == ("leave", "done"), "a shutdown leaves the load balancer first"
    said = details(ledger)
    assert said["driver"] == f"{packages.DRIVER} was there, 4 GPUs"
    assert said["toolkit"] == "0 packages installed"
    assert said["weights"] == "were there"
    assert said["ready"] == "first token, no lifecycle hook was waiting"
    assert host.cloud.downloads == downloads
    later = [action for _, action, _ in host.cloud.calls[calls:]]
    assert [name for name in later if name in ("DeregisterTargets", "RegisterTargets")] == [
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
    assert "no NVMe, root volume, EFS never came, " in found
    host.guest.wait_for_line("storage: no EFS after 10 s, serving from local storage: ", SECONDS, since)
    assert host.guest.run("cd /opt/tandem; python3 -c 'import weights; print(weights.run())'").strip() == "were there"
    assert host.ask()[0] == 200


def test_a_spot_notice_during_a_streamed_answer_ends_it_whole(host: Host) -> None:
    tokens, answers, calls = 250, [], len(host.cloud.calls)
    stream = threading.Thread(target=lambda: answers.append(host.ask(max_tokens=tokens, stream=True)))
    stream.start()
    metrics = "curl -s localhost:8001/metrics localhost:8002/metrics"
    eventually(lambda: 'running{engine="0"} 1' in host.guest.run(metrics), "a request that runs")
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 120))
    host.cloud.lifecycle = "Terminating:Wait"
    host.cloud.metadata["meta-data/spot/instance-action"] = json.dumps({"action": "terminate", "time": end})
    stream.join(SECONDS)
    ((status, text),) = answers
    assert status == 200
    assert text.count('"text"') == tokens
    assert text.endswith("data: [DONE]\n\n")

    def actions() -> list[str]:
        return [action for _, action, _ in host.cloud.calls[calls:]]

    eventually(lambda: "CompleteLifecycleAction" in actions(), "the hook's end")
    assert [name for name in actions() if name in ("DeregisterTargets", "CompleteLifecycleAction")] == [
        "DeregisterTargets",
        "CompleteLifecycleAction",
    ]
    eventually(lambda: host.health() == 503, "health for the load balancer")
    assert host.guest.run("docker ps -q --filter name=vllm") == ""
    leave = host.guest.ledger()[-1]
    assert (leave["stage"], leave["detail"]) == ("leave", "lifecycle hook completed")
