"""A moto server: one simulated AWS account, every service on one local port, all of it in memory.

Stands for: AWS: every service that a stack uses.
Held by: nothing, there is no account; moto is its authors' model of AWS, and what it lets pass and AWS refuses is a
    list of our own (pulumi_rehearsal/aws/checks).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boto3.session import Session
from botocore.config import Config

from pulumi_rehearsal import constraints
from pulumi_rehearsal.instance_types import OF_THE_ACCOUNT
from pulumi_rehearsal.servers import ending_with_us, free_port, stop

Clients = Callable[[str], Any]
"""A service's name to its boto3 client, of one account and region."""

ACCOUNT_ID = "123456789012"
"""The account that moto plays."""

CREDENTIALS = "rehearsal"
"""Key and secret key. moto checks neither, but requests must be signed; it is no secret."""

SETTINGS = {
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    "MOTO_AMIS_PATH": str(Path(__file__).with_name("moto_images.json")),
    "MOTO_ACCOUNT_ID": ACCOUNT_ID,
}
"""AWS's own policies (`AmazonSSMManagedInstanceCore`) exist, as in every account; of machine images, one of today in
place of moto's own of ten years ago, 1,300 with a volume and a snapshot each; and there is no other account to look for
in all partitions at each request."""

START_DEADLINE_SECONDS = 60
CLUSTERS = "/moto-api/clusters"
"""Of our own, beside what moto has to be told (https://docs.getmoto.org/en/latest/docs/server_mode.html#reset-api)."""


@dataclass(eq=False)
class SimulatedAccount:
    """The simulated account, for boto3.

    Attributes:
        url: endpoint of every service (`AWS_ENDPOINT_URL`).
        key: access key of these clients; by that of a session of a role, AWS knows the role.
        calls: boto3's name of a service and AWS's name of an operation, of each call by these clients.
    """

    url: str
    key: str = CREDENTIALS
    calls: set[tuple[str, str]] = field(default_factory=set, repr=False)
    _session: Session = field(default_factory=Session, repr=False)
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def client(self, service: str, region: str) -> Any:
        """A boto3 client, made once per service and region; safe to use from several threads."""
        with self._lock:
            if (service, region) not in self._clients:
                made = self._clients[service, region] = self._session.client(
                    service,
                    region_name=region,
                    endpoint_url=self.url,
                    config=Config(
                        max_pool_connections=32,
                        s3={"addressing_style": "path"},
                        retries={"mode": "standard", "max_attempts": 3},
                    ),
                    aws_access_key_id=self.key,
                    aws_secret_access_key=CREDENTIALS,
                )
                constraints.initialize_client_plugin(made)
                made.meta.events.register("before-call", lambda model, **_: self.calls.add((service, model.name)))
            return self._clients[service, region]

    def clients(self, region: str) -> Clients:
        """The clients of a region."""
        return lambda service: self.client(service, region)

    def environment(self, region: str) -> dict[str, str]:
        """Environment variables that lead any AWS SDK and the `aws` command to this account, and hold those of boto3 to
        what AWS's models allow."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": CREDENTIALS,
            # a profile or a metadata service of the machine must not lead anywhere else
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            "BOTOCORE_EXPERIMENTAL__PLUGINS": f"constraints={constraints.__name__}",
        }

    def reset(self) -> None:
        """Empties the account, in all regions."""
        self._tell("/moto-api/reset")

    def lead_cluster(self, name: str, endpoint: str, authority: str) -> None:
        """An EKS cluster that gets this name is reached at this endpoint.

        Args:
            authority: of its certificate, PEM in base64, as DescribeCluster answers.
        """
        self._tell(CLUSTERS, {"name": name, "endpoint": endpoint, "data": authority})

    def _tell(self, path: str, told: Mapping[str, str] | None = None) -> None:
        data, head = json.dumps(told or {}).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data, head)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30):  # noqa: S310
            pass


@contextmanager
def simulated_account(instance_types: Iterable[str] = ()) -> Iterator[SimulatedAccount]:
    """Starts a moto server of our own, and ends it with the block.

    Args:
        instance_types: those that the account has; all that moto knows by default.

    Raises:
        RuntimeError: when it does not answer within a minute; the message ends with what the server printed.
    """
    port = free_port()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            ending_with_us([sys.executable, "-m", "pulumi_rehearsal.moto_server", "-H", "127.0.0.1", "-p", str(port)]),
            env=os.environ | SETTINGS | {OF_THE_ACCOUNT: ",".join(instance_types)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            account = SimulatedAccount(f"http://127.0.0.1:{port}")
            _wait_until_ready(account.url, process, log)
            yield account
        finally:
            stop(process)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Any) -> None:
    deadline = time.monotonic() + START_DEADLINE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/moto-api/", timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    log.seek(0)
    raise RuntimeError(f"the moto server did not start: {log.read()[-2000:]}")
