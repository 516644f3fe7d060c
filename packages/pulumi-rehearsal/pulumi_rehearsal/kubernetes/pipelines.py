"""The real controller of LeaderWorkerSets, as its chart runs it. Its certificate, which it makes itself, is ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import yaml

from pulumi_rehearsal.kubernetes.api import Object
from pulumi_rehearsal.kubernetes.build import CONTROLLERS
from pulumi_rehearsal.kubernetes.control_plane import ControlPlane
from pulumi_rehearsal.kubernetes.hosting import Controller, Process, account_of, call_at
from pulumi_rehearsal.servers import free_ports, running

NAME = "lws-controller-manager"
NAMESPACE = "lws-system"
WEBHOOKS = {
    "MutatingWebhookConfiguration": "lws-mutating-webhook-configuration",
    "ValidatingWebhookConfiguration": "lws-validating-webhook-configuration",
}


def pipeline_controller(plane: ControlPlane) -> Controller:
    """The controller of pipelines."""
    log = plane.directory / "lws.log"

    @contextmanager
    def start(deployment: Object) -> Iterator[Process]:
        metrics, health, webhook = free_ports(3)
        certificates = plane.directory / "lws-certificate"
        certificates.mkdir(exist_ok=True)
        pair = plane.authority.issue("lws", "lws")
        (certificates / "tls.crt").write_bytes(pair.certificate.read_bytes())
        (certificates / "tls.key").write_bytes(pair.key.read_bytes())
        chart = plane.api.get("v1", "ConfigMap", "lws-manager-config", NAMESPACE) or {"data": {}}
        configuration = yaml.safe_load(chart["data"]["controller_manager_config.yaml"]) | {
            "leaderElection": {"leaderElect": False},
            "internalCertManagement": {"enable": False},
            "webhook": {"port": webhook, "host": "127.0.0.1", "certDir": str(certificates)},
            "metrics": {"bindAddress": f"127.0.0.1:{metrics}"},
            "health": {"healthProbeBindAddress": f"127.0.0.1:{health}"},
        }
        file = plane.directory / "lws.yaml"
        file.write_text(yaml.safe_dump(configuration))

        def there(client: Mapping[str, Any]) -> Mapping[str, Any]:
            path = urlsplit(client["url"]).path if "url" in client else client["service"]["path"]
            return {"url": f"https://127.0.0.1:{webhook}{path}", "caBundle": plane.authority.base64}

        for kind, name in WEBHOOKS.items():
            call_at(plane, kind, name, there)
        kubeconfig = plane.kubeconfig_of(NAMESPACE, account_of(deployment))
        command = [CONTROLLERS.command("lws"), f"--config={file}", f"--kubeconfig={kubeconfig}"]
        with running(command, log, {"GOGC": "50"}) as process:
            yield Process(f"http://127.0.0.1:{health}/readyz", lambda: process.poll() is None)

    def needs() -> bool:
        version = "admissionregistration.k8s.io/v1"
        return all(plane.api.get(version, kind, name) for kind, name in WEBHOOKS.items())

    return Controller(NAME, NAMESPACE, start, needs, log)
