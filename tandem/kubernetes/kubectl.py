"""`kubectl`, in the servers' namespace of one cluster."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tandem.errors import UserError
from tandem.kubernetes.names import NAMESPACE

KUBECTL_SECONDS = 60


@dataclass(frozen=True)
class Kubectl:
    """`kubectl` with a kubeconfig of its own, so that it never works on another cluster."""

    kubeconfig: Path
    command: str = "kubectl"

    def run(self, *arguments: str, given: str | None = None) -> str:
        """Args:
            given: on its standard input.

        Raises:
            UserError: there is no `kubectl`, or the cluster refuses or does not answer.
        """
        if not shutil.which(self.command):
            fix = "https://kubernetes.io/docs/tasks/tools/"
            raise UserError.of(key="kubectl", wrong="is not on PATH", allowed="`kubectl`", fix=fix)
        command = [self.command, "--kubeconfig", str(self.kubeconfig), "--namespace", NAMESPACE, *arguments]
        limit = f"--request-timeout={KUBECTL_SECONDS // 2}s"
        try:
            done = subprocess.run(
                [*command, limit], input=given, capture_output=True, text=True, timeout=KUBECTL_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise _refused(f"no answer in {KUBECTL_SECONDS} s") from None
        if done.returncode:
            raise _refused(done.stderr.strip())
        return done.stdout

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Makes an object that is not there yet; UserError as of `run`."""
        self.run("create", "--filename", "-", given=json.dumps(manifest))

    def read(self, kind: str, *words: str) -> list[dict[str, Any]]:
        """What there is in the servers' namespace, or as the words say (`--selector`, `--all-namespaces`)."""
        return self.one(kind, *words)["items"]

    def one(self, *words: str) -> dict[str, Any]:
        """An object: by its kind and name, or by both in one word."""
        return json.loads(self.run("get", *words, "--output", "json"))


def _refused(said: str) -> UserError:
    fix = "a private API is reached from inside the VPC only; who may is in cluster.admins: docs/kubernetes.md"
    return UserError.of(key="kubectl", wrong="the cluster does not do what it is asked", value=said, fix=fix)
