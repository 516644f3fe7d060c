"""The agents beside edges, as processes with their own pace, and the account that they read keys from."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pod_identity
from edge import Nginx

from rehearsal.host.cloud import Cloud
from rehearsal.host.handler import listening
from rehearsal.host.metadata import Metadata
from tandem.host.config import HostConfig
from tandem.host.render import render_files
from tandem.scripts import DIRECTORY

Place = Literal["host", "pod"]
HOST = """
import aws, sys
aws.METADATA = sys.argv[1]
import edge_keys
edge_keys.main()
"""
POD = """
import agent, pathlib, sys
agent.RUN = pathlib.Path(sys.argv[1])
agent.KEPT = agent.RUN / "kept.json"
raise SystemExit(agent.main())
"""


def root(directory: Path, place: Place) -> Path:
    """Where the edge of an agent in a directory keeps what it runs with."""
    return directory / "run/tandem" if place == "host" else directory


@contextlib.contextmanager
def agent(place: Place, config: HostConfig, directory: Path, edge: Nginx, arn: str, account: str) -> Iterator[None]:
    """The agent of a host or a pod, as a process of its own.

    Args:
        directory: of the machine; its edge runs in `root` of it.
        arn: of the secret that it reads.
        account: the endpoint of Secrets Manager.
    """
    variables = {**os.environ, "AWS_ENDPOINT_URL": account}
    with contextlib.ExitStack() as stack:
        if place == "host":
            values = json.loads(render_files(config)["/etc/tandem/host.json"])
            values |= {"keys_arns": [arn], "agent_port": edge.agent_port, "endpoint_url": account}
            (directory / "etc/tandem").mkdir(parents=True)
            (directory / "etc/tandem/host.json").write_text(json.dumps(values))
            variables["TANDEM_ROOT"] = str(directory)
            port = stack.enter_context(listening(Metadata, cloud=Cloud()))
            script, argument = HOST, f"http://127.0.0.1:{port}/latest/"
        else:
            pod = {"served_model_name": edge.model, "agent_port": edge.agent_port}
            variables |= {
                "TANDEM_POD": json.dumps(pod),
                "TANDEM_SECRETS": json.dumps({"keys": [arn], "hubToken": None}),
            }
            token = directory / "token"
            token.write_text("the pod's own")
            lender = stack.enter_context(pod_identity.serving(pod_identity.Store({}), "127.0.0.1"))
            variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{lender}/v1/credentials"
            variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(token)
            script, argument = POD, str(edge.directory)
        variables["PYTHONPATH"] = os.pathsep.join(str(DIRECTORY / room) for room in (place, "shared"))
        log = stack.enter_context((directory / "agent.log").open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-c", script, argument], env=variables, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield
            assert process.poll() is None, (directory / "agent.log").read_text()
        finally:
            process.terminate()
            process.wait(20)
