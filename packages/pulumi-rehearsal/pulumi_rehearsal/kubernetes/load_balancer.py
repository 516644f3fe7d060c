"""The real AWS Load Balancer Controller, as its chart runs it, with its webhooks behind the chart's own certificate."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pulumi_rehearsal.kubernetes.api import Object
from pulumi_rehearsal.kubernetes.build import CONTROLLERS
from pulumi_rehearsal.kubernetes.control_plane import ControlPlane
from pulumi_rehearsal.kubernetes.hosting import (
    AT_LOCALHOST,
    Controller,
    Process,
    account_of,
    call_at,
    container,
    variables,
)
from pulumi_rehearsal.servers import free_ports, running

NAME = "aws-load-balancer-controller"
NAMESPACE = "kube-system"
WEBHOOKS = "aws-load-balancer-webhook"
SERVICE = "aws-load-balancer-webhook-service"
CERTIFICATE = "aws-load-balancer-tls"

LOOK_SECONDS = 1
"""Between two looks at a target's health; the controller takes 15, which no promise of ours depends on."""


def load_balancer_controller(plane: ControlPlane, account: Mapping[str, str]) -> Controller:
    """The controller, which asks the account that these variables lead to."""
    log = plane.directory / f"{NAME}.log"

    @contextmanager
    def start(deployment: Object) -> Iterator[Process]:
        metrics, health, webhook = free_ports(3)
        _lead_webhooks_to(plane, webhook)
        command = [
            CONTROLLERS.command(NAME),
            *container(deployment)["args"],
            f"--kubeconfig={plane.kubeconfig_of(NAMESPACE, account_of(deployment))}",
            *("--enable-leader-election=false", f"--targetgroupbinding-requeue-duration={LOOK_SECONDS}s"),
            *(f"--metrics-bind-addr=127.0.0.1:{metrics}", f"--health-probe-bind-addr=127.0.0.1:{health}"),
            *(f"--webhook-bind-port={webhook}", f"--webhook-cert-dir={_certificate(plane)}"),
            *("--webhook-cert-file=tls.crt", "--webhook-key-file=tls.key"),
        ]
        own = {**variables(deployment), **account, "GOGC": "50"}
        with running(command, log, own) as process:
            yield Process(f"http://127.0.0.1:{health}/readyz", lambda: process.poll() is None)

    def needs() -> bool:
        api = plane.api
        return bool(
            api.get("v1", "Secret", CERTIFICATE, NAMESPACE)
            and api.get("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", WEBHOOKS)
            and api.get("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", WEBHOOKS)
        )

    return Controller(NAME, NAMESPACE, start, needs, log)


def _lead_webhooks_to(plane: ControlPlane, port: int) -> None:
    service = plane.api.get("v1", "Service", SERVICE, NAMESPACE)
    if service is not None:
        plane.api.patch(service, {"spec": AT_LOCALHOST})

    def there(client: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**client, "service": {**client["service"], "port": port}}

    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        call_at(plane, kind, WEBHOOKS, there)


def _certificate(plane: ControlPlane) -> Path:
    """The files of the certificate that the chart made."""
    directory = plane.directory / f"{NAME}-certificate"
    directory.mkdir(exist_ok=True)
    secret = plane.api.get("v1", "Secret", CERTIFICATE, NAMESPACE)
    assert secret is not None
    for name, content in secret["data"].items():
        (directory / name).write_bytes(base64.b64decode(content))
    return directory
