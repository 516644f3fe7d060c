"""The containers of a batch's pod as processes: its own commands and variables, the real vLLM, and what a kubelet does.

What differs: paths of the pod are a directory's; the weights are a tiny model's, so the flag of GPU memory is left out;
and claims are short.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pod_identity
from vllm_cpu import ON_CPUS, environment, model

from tandem.scripts import sources
from tests.infra.kubernetes.samples import BASE, manifests_of

SETTINGS: dict[str, Any] = BASE | {
    "batch": {"maxUsd": 20},
    "fleet": {"instanceTypes": ["p5.48xlarge"], "maxHosts": 2},
    "inference": {
        "model": "Qwen/Qwen3-8B",
        "servedModelName": "tiny",
        "tensorParallelSize": 1,
        "maxModelLen": 1024,
        "maxNumSeqs": 64,
    },
    "scaling": {"minReplicas": 1, "maxReplicas": 2},
}
PLACES = ("batch", "local", "cache")


class Pod:
    """A pod of the template, until its worker ends or it is lost.

    Args:
        name: its own; of its Job's next pod another.
        bucket: URL.
        lent_by: what lends its worker a role.
        seconds: of a claim.
    """

    def __init__(self, name: str, bucket: str, lent_by: str, seconds: int, directory: Path, log: Path) -> None:
        self.directory, self.log = directory / name, log
        [template] = [one["template"] for one in manifests_of(SETTINGS) if one["kind"] == "PodTemplate"]
        spec = template["spec"]
        pod_identity.lend(template, lent_by)
        _, runner = spec["initContainers"]
        [worker] = spec["containers"]
        for place in ("tandem", *PLACES):
            (self.directory / place).mkdir(parents=True)
        token = self.directory / "token"
        token.write_text("token")
        for file, text in sources("pod", "shared", "batch").items():
            (self.directory / "tandem" / file).write_text(self._sooner(file, text, seconds))
        told = json.loads(_variables(worker)["TANDEM_BATCH"]) | {"url": bucket}
        changed = {"TANDEM_BATCH": json.dumps(told), "HOSTNAME": name}
        changed["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(token)
        self._worker = [sys.executable, *self._here(worker["command"])[1:]]
        command = [str(model()) if word == SETTINGS["inference"]["model"] else word for word in runner["command"]]
        at = command.index("--gpu-memory-utilization")
        self._command = [str(environment()), *self._here([*command[:at], *command[at + 2 :]])[1:]]
        on_cpus = {**ON_CPUS, "HOME": str(self.directory)}
        path = {"PATH": f"{environment().parent}:{os.environ['PATH']}"}
        self._variables = path | {key: self._here([value])[0] for key, value in _variables(runner).items()} | on_cpus
        self.begun = 0
        self._lost = threading.Event()
        self._vllm: subprocess.Popen[bytes] | None = None
        self.worker = self._start(self._worker, {**os.environ, **_variables(worker), **changed})
        self._thread = threading.Thread(target=self._attend)
        self._thread.start()

    def _here(self, words: Sequence[str]) -> list[str]:
        return [re.sub(rf"^/({'|'.join(('tandem', *PLACES))})\b", rf"{self.directory}/\1", word) for word in words]

    def _sooner(self, file: str, text: str, seconds: int) -> str:
        text = re.sub(rf'Path\("/({"|".join(PLACES)})"\)', rf'Path("{self.directory}/\1")', text)
        text = re.sub(r"^LEASE_SECONDS = \d+", f"LEASE_SECONDS = {seconds}", text, flags=re.MULTILINE)
        return re.sub(r"^(KEEP|LOOK)_SECONDS = \d+", r"\1_SECONDS = 1", text, flags=re.MULTILINE)

    def _start(self, command: Sequence[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                command, env=variables, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def _attend(self) -> None:
        """Begins vLLM anew as often as it ends, and ends it when the worker has."""
        while not self._lost.is_set() and self.worker.poll() is None:
            self.begun += 1
            self._vllm = self._start(self._command, self._variables)
            while self._vllm.poll() is None and self.worker.poll() is None and not self._lost.wait(0.2):
                pass
            _end(self._vllm)

    @property
    def vllm(self) -> int:
        """Process id of the runner, which begins its session."""
        return self._vllm.pid if self._vllm else 0

    def lose(self) -> None:
        """With its node: nothing in it is told."""
        self._lost.set()
        _end(self.worker)
        self._thread.join(60)


def _variables(container: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
