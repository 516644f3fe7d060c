"""The end of a host's life: by a spot notice, in the middle of a boot, by a read that never ends. The guest is
test_boot.py's, which leaves and boots again as a new one."""

from __future__ import annotations

import json
import threading
import time

import pytest
import stacks
from boot import SECONDS, Host

from rehearsal.host.member import Member
from rehearsal.host.metadata import SPOT_NOTICE

pytestmark = pytest.mark.real


def actions(host: Host, since: int, *names: str) -> list[str]:
    """Calls of AWS after so many, those of these names if any are given."""
    return [action for _, action, _ in host.cloud.calls[since:] if not names or action in names]


def results(host: Host, since: int) -> list[str]:
    """How hooks were completed, after so many calls."""
    calls = host.cloud.calls[since:]
    return [call["LifecycleActionResult"] for _, action, call in calls if action == "CompleteLifecycleAction"]


def test_a_spot_notice_during_a_streamed_answer_ends_it_whole(host: Host) -> None:
    tokens, answers, since = 250, [], len(host.cloud.calls)
    stream = threading.Thread(target=lambda: answers.append(host.ask(max_tokens=tokens, stream=True)))
    stream.start()
    host.eventually(lambda: host.running() == 1, "a request that runs")
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 120))
    host.cloud.metadata[SPOT_NOTICE] = json.dumps({"action": "terminate", "time": end})
    host.eventually(lambda: not stream.is_alive(), "the stream's end")
    ((status, text),) = answers
    assert status == 200
    assert text.count('"text"') == tokens
    assert text.endswith("data: [DONE]\n\n")
    host.eventually(lambda: host.health() == 503, "health for the load balancer")
    host.eventually(lambda: host.guest.run("docker ps -q --filter name=vllm") == "", "servers that have ended")
    host.cloud.member.terminate()
    assert results(host, since) == [], "the load balancer has not let go of it, so no hook waits"
    host.cloud.member.drain_seconds = 0
    host.eventually(lambda: host.cloud.member.settle() == "Terminating:Proceed", "the hook's end")
    assert actions(host, since, "DeregisterTargets", "CompleteLifecycleAction") == [
        "DeregisterTargets",
        "CompleteLifecycleAction",
    ]
    leave = host.guest.ledger()[-1]
    assert (leave["stage"], leave["detail"]) == ("leave", "2 replicas stopped")


def boot_again(host: Host, prelude: str = "true") -> tuple[int, int]:
    """Boots a host that has left as one that its group has just launched; console lines and calls until then."""
    host.cloud.metadata.clear()
    host.cloud.member = Member()
    before = len(host.guest.console), len(host.cloud.calls)
    host.guest.run(f"{prelude}; systemctl start --no-block tandem-boot", SECONDS)
    return before


def test_a_host_that_is_told_to_go_while_it_boots_goes_at_once_and_registers_nowhere(host: Host) -> None:
    console, since = boot_again(host)
    host.eventually(lambda: actions(host, since, "GetSecretValue"), "a boot that has begun")
    host.cloud.member.terminate()
    host.guest.wait_for_line("tandem: lifecycle hook completed", SECONDS, console)
    assert results(host, since) == ["CONTINUE"]
    assert not actions(host, since, "RegisterTargets")
    assert host.guest.run("systemctl is-active tandem-boot", check=False).strip() == "inactive"
    assert not [line for line in host.guest.console[console:] if "tandem: ready" in line.text]


def test_a_read_that_blocks_for_ever_ends_neither_deadline_nor_host(host: Host) -> None:
    """The guest's own NFS server stops answering while the weights are copied from it."""
    efs = f"{stacks.RESOURCES.efs_file_system_id}.efs.us-east-1.amazonaws.com"
    console, since = boot_again(
        host,
        f"echo 127.0.0.1 {efs} >> /etc/hosts; mount -t nfs4 -o nfsvers=4.1,noresvport {efs}:/ /mnt/efs;"
        " rm -rf /mnt/local/hub; echo 0 > /proc/fs/nfsd/threads; cd /etc/tandem;"
        """ sed -i 's/"launch":[0-9]*/"launch":60/; s/"heartbeat":[0-9]*/"heartbeat":15/' host.json""",
    )
    host.guest.wait_for_line("gave up: no end after 60 s, as when a read blocks", SECONDS, console)
    host.guest.wait_for_line("tandem: lifecycle hook completed", SECONDS, console)
    assert results(host, since) == ["ABANDON", "CONTINUE"]
    names = actions(host, since, "RecordLifecycleActionHeartbeat", "CompleteLifecycleAction")
    assert names.count("RecordLifecycleActionHeartbeat") > 5
    assert names[-2:] == ["CompleteLifecycleAction"] * 2
