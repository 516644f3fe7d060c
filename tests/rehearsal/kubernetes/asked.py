"""The API server asks a test before it makes an object."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pulumi_rehearsal.kubernetes.control_plane import ControlPlane
from tandem.kubernetes.names import NAMESPACE

NAME = "test-asks"


@contextmanager
def asked_before(plane: ControlPlane, api_version: str, plural: str, notice: Callable[[], None]) -> Iterator[None]:
    """Calls `notice` before an object of a kind is made for real, and then lets it be made.

    Args:
        plural: of the kind; objects in other namespaces than the program's are left alone.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not review["request"].get("dryRun"):
                notice()
            response = {"uid": review["request"]["uid"], "allowed": True}
            body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    pair = plane.authority.issue(NAME, NAME)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    group, _, version = api_version.rpartition("/")
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [
            {
                "name": "asks.tandem.rehearsal",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
                "clientConfig": {
                    "url": f"https://127.0.0.1:{server.server_address[1]}/",
                    "caBundle": base64.b64encode(plane.authority.certificate.read_bytes()).decode(),
                },
                "rules": [
                    {"apiGroups": [group], "apiVersions": [version], "operations": ["CREATE"], "resources": [plural]}
                ],
            }
        ],
    }
    made = plane.api.create(configuration)
    try:
        yield
    finally:
        plane.api.delete(made)
        server.shutdown()
        server.server_close()
