"""What lends pods a role on EKS, and what they read by it: the webhook, the agent, and Secrets Manager."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any

from pulumi_rehearsal.kubernetes.api import Object
from rehearsal.host.handler import Handler

SKIPS = "eks.amazonaws.com/skip-containers"
AUDIENCE, VOLUME = "pods.eks.amazonaws.com", "eks-pod-identity-token"
MOUNT, FILE = f"/var/run/secrets/{AUDIENCE}/serviceaccount", VOLUME


UNWRITTEN = {
    "__type": "ResourceNotFoundException",
    "Message": "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
}
"""Of a secret that has no version."""


@dataclass
class Store:
    """Of the played account.

    Attributes:
        secrets: text by ARN; what is not there has no version.
        away: answers nobody.
        asked: ARNs, in turn.
        tokens: that came for credentials.

    Stands for: the agent of EKS Pod Identity and Secrets Manager.
    Held by: nothing, neither is in reach; tests/pod/test_role.py asks moto, and holds signatures against botocore's.
    """

    secrets: dict[str, str]
    away: bool = False
    asked: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)


class _Answers(Handler):
    store: Store

    def do_GET(self) -> None:
        if not (token := self.headers["Authorization"]):
            return self.answer(401, "no token")
        self.store.tokens.add(token)
        keys = {"AccessKeyId": "AKIAPLAYED", "SecretAccessKey": "played", "Token": "played"}
        return self.answer(200, json.dumps(keys))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.store.away:
            return self.answer(503, "away")
        if self.headers.get("X-Amz-Target") != "secretsmanager.GetSecretValue":  # lines and figures that leave
            return self.answer(200, "{}")
        arn = json.loads(body)["SecretId"]
        self.store.asked.append(arn)
        if arn not in self.store.secrets:
            return self.answer(400, json.dumps(UNWRITTEN))
        return self.answer(200, json.dumps({"SecretString": self.store.secrets[arn]}))


@contextmanager
def serving(store: Store, host: str) -> Iterator[str]:
    """Answers for both on a free port of an address."""
    server = ThreadingHTTPServer((host, 0), type("Answers", (_Answers,), {"store": store}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def lend(template: Object, url: str) -> None:
    """What the webhook adds to pods whose service account has a role: not to containers that an annotation names.

    Stands for: the webhook of EKS Pod Identity.
    Held by: nothing, it is no Go module that is served; what it does is in its pkg/handler/handler.go.
    """
    left_out = template["metadata"]["annotations"].get(SKIPS, "").split(",")
    variables = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": f"{MOUNT}/{FILE}",
        "AWS_ENDPOINT_URL": url,
    }
    token: dict[str, Any] = {"audience": AUDIENCE, "expirationSeconds": 86400, "path": FILE}
    spec = template["spec"]
    spec["volumes"].append({"name": VOLUME, "projected": {"sources": [{"serviceAccountToken": token}]}})
    for container in (*spec["initContainers"], *spec["containers"]):
        if container["name"] not in left_out:
            container["env"] += [{"name": name, "value": value} for name, value in variables.items()]
            container["volumeMounts"].append({"name": VOLUME, "mountPath": MOUNT, "readOnly": True})
