"""The end of a host's life, by a spot notice. The guest is test_boot.py's."""

from __future__ import annotations

import json
import threading
import time

import pytest
from boot import Host

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("boot")]


def test_a_spot_notice_during_a_streamed_answer_ends_it_whole(host: Host) -> None:
    tokens, answers, calls = 250, [], len(host.cloud.calls)
    stream = threading.Thread(target=lambda: answers.append(host.ask(max_tokens=tokens, stream=True)))
    stream.start()
    host.eventually(lambda: host.running() == 1, "a request that runs")
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 120))
    host.cloud.lifecycle = "Terminating:Wait"
    host.cloud.metadata["meta-data/spot/instance-action"] = json.dumps({"action": "terminate", "time": end})
    host.eventually(lambda: not stream.is_alive(), "the stream's end")
    ((status, text),) = answers
    assert status == 200
    assert text.count('"text"') == tokens
    assert text.endswith("data: [DONE]\n\n")

    def actions() -> list[str]:
        return [action for _, action, _ in host.cloud.calls[calls:]]

    host.eventually(lambda: "CompleteLifecycleAction" in actions(), "the hook's end")
    assert [name for name in actions() if name in ("DeregisterTargets", "CompleteLifecycleAction")] == [
        "DeregisterTargets",
        "CompleteLifecycleAction",
    ]
    host.eventually(lambda: host.health() == 503, "health for the load balancer")
    assert host.guest.run("docker ps -q --filter name=vllm") == ""
    leave = host.guest.ledger()[-1]
    assert (leave["stage"], leave["detail"]) == ("leave", "lifecycle hook completed")
