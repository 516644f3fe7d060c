"""dev's rendered user data boots a guest to ready, serves, and survives. The tests follow each other on one guest.

Its life goes on in test_boot_ubuntu.py (upgrades, a reboot) and ends in test_boot_way_out.py.
"""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest
import stacks
from boot import REGION, SECONDS, Host, details
from botocore.auth import SigV4Auth
from botocore.credentials import Credentials
from test_aws import KEY, SECRET, TOKEN, is_signed

from rehearsal.host import packages
from rehearsal.host.aws import REMOTE_WRITE
from rehearsal.host.cloud import API_KEY, INSTANCE, WEIGHTS
from tandem.scripts import sources
from tests.observing.live import receiving

pytestmark = pytest.mark.real


def test_the_ledger_tells_each_stage_once_and_in_order(host: Host) -> None:
    ledger = host.guest.ledger()
    assert all(line["seconds"] >= 0 and line["start"].endswith("Z") for line in ledger)
    said = details(ledger)
    assert said["scripts"] == f"fetched, {len(sources('host', 'shared', 'batch')) + 2} files"
    assert said["gate"] == "driver branch 580"
    assert said["driver"] == f"{packages.DRIVER} installed, 4 GPUs"
    assert said["toolkit"] == "5 packages installed"
    assert said["storage"].startswith("2 NVMe drives, EFS, ")
    assert said["weights"] == "downloaded to EFS, copied to local storage"
    assert said["image"] == "pulled"
    assert said["serve"] == "replicas on GPUs [(0, 2), (1, 3)]", "paired by the matrix of `nvidia-smi topo -m`"
    assert said["ready"] == "first token, lifecycle hook completed"


def test_the_group_and_the_load_balancer_get_the_host_after_its_first_token(host: Host) -> None:
    calls = host.cloud.actions("CompleteLifecycleAction", "RegisterTargets", "SetInstanceHealth")
    assert calls == ["CompleteLifecycleAction", "RegisterTargets"]
    (hook,) = [parameters for _, action, parameters in host.cloud.calls if action == "CompleteLifecycleAction"]
    assert (hook["LifecycleActionResult"], hook["LifecycleHookName"]) == ("CONTINUE", "first-token")


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
        host.eventually(lambda line=line: line in b"".join(host.cloud.bodies), "the servers' words in the log group")


def test_no_list_of_processes_and_no_log_shows_a_key(host: Host) -> None:
    key = f"{API_KEY[:-1]}[{API_KEY[-1]}]"  # so that the search does not find itself
    places = "/proc/[0-9]*/cmdline /proc/[0-9]*/environ /var/log/tandem /var/lib/tandem /var/lib/cloud"
    assert host.guest.run(f"grep -rlsa '{key}' {places}", check=False) == ""
    assert host.guest.run(f"journalctl --no-pager | grep -c '{key}'", check=False).strip() == "0"
    assert API_KEY not in "\n".join(line.text for line in host.guest.console)


def test_the_edge_serves_clients_outside(host: Host) -> None:
    status, text = host.ask()
    assert (status, json.loads(text)["choices"][0]["text"]) == (200, "1")
    assert host.ask(key=None)[0] == 401
    assert host.ask("/invocations")[0] == 404
    host.eventually(lambda: host.health() == 200, "health for the load balancer")


def test_what_servers_and_edge_tell_leaves_signed_by_the_role(host: Host, tmp_path: Path) -> None:
    """By Ubuntu's own package and our unit; what comes is taken by a real Prometheus."""
    of = ("dev", "main", INSTANCE)
    told = {
        "vllm:num_requests_running": {(*of, "0"), (*of, "1")},
        "tandem_keys_age_seconds": {(*of, None)},
    }
    with receiving(tmp_path) as live:
        taken = 0

        def arrived() -> bool:
            """Whether Prometheus knows both servers and the edge, once it has taken what was written since."""
            nonlocal taken
            for headers, body in host.cloud.written[taken:]:
                kept = {name: headers[name] for name in headers if name.startswith(("content-", "x-prometheus-"))}
                request = urllib.request.Request(f"{live.url}/api/v1/write", body, kept)
                urllib.request.urlopen(request, timeout=30).close()
                taken += 1
            names = ("stack", "model", "host", "replica")
            return told == {
                series: {tuple(one["metric"].get(name) for name in names) for one in live.ask(series)}
                for series in told
            }

        host.eventually(arrived, "what vmagent writes of both servers and the edge")
    signer = SigV4Auth(Credentials(KEY, SECRET), "aps", REGION)
    for headers, body in list(host.cloud.written):
        assert headers["x-amz-security-token"] == TOKEN
        assert is_signed(signer, "POST", f"http://{headers['host']}{REMOTE_WRITE}", headers, body)
    (agent,) = host.main_pids("tandem-metrics")
    status = host.guest.run(f"cat /proc/{agent}/status")
    figures = {line.split()[0]: line.split()[1] for line in status.splitlines() if len(line.split()) > 1}
    assert (figures["Name:"], figures["CapEff:"], int(figures["VmHWM:"]) < 60_000) == ("vmagent", "0" * 16, True)
    assert host.guest.run("systemctl is-enabled victoria-metrics", check=False).strip() == "masked"


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

    host.eventually(another, "another container in place of the dead one")
    assert set(statuses) == {200}
    assert host.health() == 200


def test_a_hung_server_is_restarted_and_the_other_serves_meanwhile(host: Host) -> None:
    before, since = host.inspect("vllm-0")["Id"], len(host.guest.console)
    host.guest.run("docker kill -s USR1 vllm-0")
    said = host.guest.wait_for_line("vllm-0: no token in 25 s: .*, 3 times: restart", SECONDS, since)
    assert said
    host.eventually(lambda: host.inspect("vllm-0")["Id"] != before, "another container in place of the hung one")
    assert host.health() == 200
    assert "SetInstanceHealth" not in host.cloud.actions("SetInstanceHealth")
