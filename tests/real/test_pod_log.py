"""vLLM's own lines leave a pod: the file that pods have, in the real vLLM, and the agent that hears the edge, too."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import ship
import traffic
from asking import ask
from edge import KEY, nginx
from served import NAME, completion, config
from vllm_cpu import environment, server

from pulumi_rehearsal.servers import free_port
from tandem.kubernetes.names import LOGGING
from tandem.scripts import DIRECTORY
from tandem.serving.vllm import admission_arguments, logging_configuration, server_environment, vllm_arguments

pytestmark = pytest.mark.real

SAYS = """
import json, sys
import uvicorn.config
from vllm.config.logging import LoggingConfig
from vllm.logger import configure_logging, init_logger
from vllm.entrypoints.launchers.utils.server_utils import get_uvicorn_log_config
from argparse import Namespace
config = LoggingConfig(formatter="json")
configure_logging(config)
log = get_uvicorn_log_config(Namespace(
    logging_config=config, disable_access_log_for_endpoints=None, uvicorn_log_level="info"))
uvicorn.Config(None, log_config=log, access_log=False)
init_logger("vllm.engine").info("Added request %s.", "r-1")
import logging
logging.getLogger("uvicorn.error").info("Started server process")
logging.getLogger("uvicorn.access").info("no request")
try:
    raise RuntimeError("é" * 70_000)
except RuntimeError:
    init_logger("vllm.engine").exception("died")
"""


def of_a_pod(directory: Path, port: int) -> dict[str, str]:
    """What a pod's server has in its environment for its log."""
    (directory / LOGGING).write_text(json.dumps(logging_configuration(port)))
    return {"VLLM_LOGGING_CONFIG_PATH": str(directory / LOGGING), "PYTHONPATH": str(DIRECTORY / "pod")}


def said(more: dict[str, str]) -> list[dict[str, Any]]:
    """The console's lines of JSON; vLLM's first ones on a host come before it knows that they are to be."""
    done = subprocess.run(
        [environment(), "-c", SAYS], env={"PATH": "/usr/bin:/bin", **more}, capture_output=True, check=True
    )
    lines = [json.loads(line) for line in (done.stdout + done.stderr).splitlines() if line.startswith(b"{")]
    return sorted(lines, key=lambda line: line["message"])


def test_a_pods_lines_are_a_hosts_on_the_console_and_at_the_agent(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        agent.bind(("127.0.0.1", 0))
        agent.settimeout(10)
        host, pod = said({}), said(of_a_pod(tmp_path, agent.getsockname()[1]))
        texts = [agent.recv(65536) for _ in pod]
    own = ["Added request r-1.", "Started server process", "died"]
    told = [line for line in pod if line["message"] in own]
    assert [line["message"] for line in told] == own
    assert [list(line) for line in told] == [list(line) for line in host if line["message"] in own]
    assert [line["levelname"] for line in told] == ["INFO", "INFO", "ERROR"]
    sent = sorted((json.loads(text[text.index(b"{") :]) for text in texts), key=lambda line: line["message"])
    assert [list(line) for line in sent] == [list(line) for line in pod]
    assert sent[:-1] == pod[:-1]
    assert "characters]" in sent[-1]["exc_info"], "what no datagram holds is cut"
    assert len(pod[-1]["exc_info"]) > 70_000, "not on the console"


def test_one_request_id_finds_the_edges_line_and_the_servers(tmp_path: Path) -> None:
    """As the runbook's query: request_id = ID or message like ID. Nothing has the prompt or the key."""
    small, agent, lines = config(), free_port(), []
    arguments = [
        *vllm_arguments(small.engine, small.timeouts)[1:],
        *admission_arguments(small.engine, small.instance_types),
    ]
    variables = {**server_environment(small.timeouts, small.engine), **of_a_pod(tmp_path, agent)}

    def call(_action: str, **parameters: Any) -> dict[str, Any]:
        lines.extend(one["message"] for one in parameters["logEvents"])
        return {}

    shipper = ship.Shipper(call, "group", "pod-0", print)
    traffic.listen(agent, shipper)
    with (
        server(arguments, variables, tmp_path / "vllm.log") as running,
        nginx(small, [running.port], tmp_path, place="pod", agent=agent) as edge,
    ):
        assert ask(edge.port, completion(prompt="a secret of theirs"), KEY, **{"X-Request-Id": "r-77"}).status == 200
        time.sleep(1)
        shipper.flush()
    entries = [json.loads(line) for line in lines]
    found = [one for one in entries if one.get("request_id") == "r-77" or "r-77" in one.get("message", "")]
    assert [one["status"] for one in found if "status" in one] == [200]
    messages = [one["message"] for one in found if "message" in one]
    assert any("Received request" in message for message in messages), messages
    assert any("Added request" in message for message in messages), messages
    assert NAME in "".join(lines)
    assert not [line for line in lines if "secret of theirs" in line or KEY in line]
    console = [line for line in (tmp_path / "vllm.log").read_text().splitlines() if "r-77" in line]
    assert len(console) == len(messages)
