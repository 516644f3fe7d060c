"""Each file of examples/clients, as its user runs it: behind TLS, the real edge and the real vLLM, and in trouble."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from asking import ask
from edge import KEY, Nginx, document, nginx, wait_for
from npm import NODE, node_modules
from served import ARGUMENTS, LASTING, NAME, config
from troubled import BEGUN, Trouble, Troubled, troubled
from vllm_cpu import Server

from pulumi_rehearsal import python_environment
from pulumi_rehearsal.servers import free_port
from tandem.tasks import Task
from tests.ops.api_stand_in import certificate

pytestmark = pytest.mark.real

CLIENTS = Path(__file__).parents[2] / "examples/clients"
PRINTS = {
    "chat.py": r"\d+ tokens\n\Z",
    "streaming.py": r"\n(stop|length), \d+ tokens\n\Z",
    "structured.py": r"\A[A-Za-z ]{1,40}: [1-5] of 5\n\Z",
    "tools.py": r"""\Apopulation\({"city": ?"(Ulm"}\) = 128928|Bonn"}\) = 335789)\n""",
    "embeddings.py": r"\A(-?\d\.\d{3}  .*\n){3}\Z",
    "patient.py": r"\S",
    "langchain_chat.py": r"city='(Ulm|Bonn)' rating=[1-5]\n\Z",
    "langchain_embeddings.py": r"\A2 vectors of 256 numbers\n\Z",
    "curl.sh": r'"finish_reason":"(stop|length)"',
    "openai.mjs": r"\n(stop|length)\n\Z",
    "fetch.mjs": r"\S",
}
EMBED = ("embeddings.py", "langchain_embeddings.py")
"""Of a server that embeds: tests/real/test_pooling.py."""
CHAT = [name for name in PRINTS if name not in EMBED]
STREAM = ("streaming.py", "langchain_chat.py", "curl.sh", "openai.mjs")
PATIENT = ("patient.py", "fetch.mjs")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples' directory, beside what package.json wants."""
    home = tmp_path_factory.mktemp("clients")
    shutil.copytree(CLIENTS, home, dirs_exist_ok=True)
    (home / "node_modules").symlink_to(node_modules("clients-node", CLIENTS))
    return home


def python() -> Path:
    """Of an environment with what requirements.txt wants; made once."""
    wanted = CLIENTS / "requirements.txt"
    name = f"clients-python-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:12]}"
    return python_environment.environment(name, ["--require-hashes", "-r", str(wanted)]) / "bin/python"


@dataclass(frozen=True)
class Way:
    """To an API, as clients have it.

    Attributes:
        ca: of its certificate.
    """

    url: str
    ca: Path
    edge: Nginx

    def run(self, programs: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One of the examples, or another program of that kind."""
        return subprocess.run(
            [*COMMANDS[Path(name).suffix](), name, *arguments],
            cwd=programs, env=self.variables(), capture_output=True, text=True, timeout=300, check=False,
            errors="replace",
        )  # fmt: skip

    def variables(self) -> Mapping[str, str]:
        trusted = {"SSL_CERT_FILE": str(self.ca), "NODE_EXTRA_CA_CERTS": str(self.ca)}
        return {"PATH": os.environ["PATH"], "TANDEM_URL": self.url, "TANDEM_API_KEY": KEY, **trusted}


COMMANDS = {
    ".py": lambda: [python(), "-I"],
    ".sh": lambda: ["bash"],
    ".mjs": lambda: [NODE / "bin/node"],
}


@contextlib.contextmanager
def way(port: int, directory: Path, task: Task = "generate") -> Iterator[Way]:
    """To a server: an edge, and TLS before it.

    Stands for: the load balancer, as far as it ends TLS.
    Held by: nothing, it is AWS's; that its certificate signs itself is what tests look at.
    """
    directory.mkdir(exist_ok=True)
    key, signed = certificate()
    (directory / "key.pem").write_bytes(key)
    (directory / "ca.pem").write_bytes(signed)
    tls, file = free_port(), directory / "tls.conf"
    with nginx(config(task), [port], directory) as edge:
        file.write_text(
            f"user root; pid {directory}/tls.pid; error_log stderr crit; events {{}} http {{ access_log off; server {{"
            f"listen 127.0.0.1:{tls} ssl; ssl_certificate {directory}/ca.pem; ssl_certificate_key {directory}/key.pem;"
            f"location / {{ proxy_pass http://127.0.0.1:{edge.port}; proxy_http_version 1.1; "
            f"proxy_buffering off; proxy_read_timeout 310s; }} }} }}"
        )
        process = subprocess.Popen(["nginx", "-c", str(file), "-g", "daemon off;"])
        try:
            wait_for(tls, process, 10)
            yield Way(f"https://127.0.0.1:{tls}", directory / "ca.pem", edge)
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return LASTING(config(), tmp_path_factory.mktemp("vllm"), *ARGUMENTS)


@pytest.fixture(scope="module")
def stack(vllm: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    with way(vllm.port, tmp_path_factory.mktemp("edge")) as found:
        yield found


@pytest.fixture
def trouble(vllm: Server, tmp_path: Path) -> Iterator[tuple[Troubled, Way]]:
    with troubled(vllm.port) as between, way(between.port, tmp_path) as found:
        yield between, found


def test_each_fits_the_types_of_its_packages(tmp_path: Path) -> None:
    """As an editor of its user says."""
    (tmp_path / "pyrightconfig.json").write_text(
        json.dumps({"include": [str(CLIENTS)], "typeCheckingMode": "standard", "pythonVersion": "3.11"})
    )
    command = [sys.executable, "-m", "basedpyright", "--project", tmp_path, "--pythonpath", python()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_file_is_left_out() -> None:
    assert set(PRINTS) == {path.name for path in CLIENTS.iterdir() if path.suffix in COMMANDS}


@pytest.mark.parametrize("name", CHAT)
def test_a_client_has_its_answer(stack: Way, programs: Path, name: str) -> None:
    done = stack.run(programs, name)
    assert done.returncode == 0, done.stderr
    assert re.search(PRINTS[name], done.stdout), done.stdout


@contextlib.contextmanager
def crowded(edge: Nginx) -> Iterator[threading.Event]:
    """Whoever has the key of the same client asks too often, until one of another path was refused, too."""
    over, refused = threading.Event(), threading.Event()

    def crowd() -> None:
        while not over.is_set() and not refused.is_set():
            ask(edge.port, {"no": "request"}, KEY)
            log = (edge.directory / "edge.log").read_text()
            lines = [json.loads(line) for line in log.splitlines()]
            if any(line["status"] == 429 and line["path"] != "/v1/completions" for line in lines):
                refused.set()
            time.sleep(0.002)

    thread = threading.Thread(target=crowd)
    thread.start()
    try:
        yield refused
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("name", CHAT)
def test_a_client_that_is_refused_waits_and_has_its_answer(
    vllm: Server, programs: Path, tmp_path: Path, name: str
) -> None:
    """By its limit, with 429 and Retry-After."""
    with way(vllm.port, tmp_path) as found:
        found.edge.admits(document(alice={"requestsPerSecond": 1}))
        with crowded(found.edge) as refused:
            done = found.run(programs, name)
    assert refused.is_set()
    assert done.returncode == 0, done.stderr
    assert re.search(PRINTS[name], done.stdout), done.stdout


@pytest.mark.parametrize("kind", ["refused inside", "ends early", "cut"])
@pytest.mark.parametrize("name", STREAM)
def test_half_a_stream_is_not_taken_for_an_answer(
    trouble: tuple[Troubled, Way], programs: Path, name: str, kind: Trouble
) -> None:
    between, found = trouble
    between.trouble.extend([None, kind] if name != "streaming.py" else [kind])  # the others have an answer first
    done = found.run(programs, name)
    assert not between.trouble
    assert done.returncode != 0, done.stdout


@pytest.mark.parametrize("name", PATIENT)
def test_a_patient_client_has_its_answer_in_the_end(trouble: tuple[Troubled, Way], programs: Path, name: str) -> None:
    between, found = trouble
    between.trouble.extend(["refused inside", "503", "cut", "refused inside", "ends early", "refused inside"])
    done = found.run(programs, name)
    assert done.returncode == 0, done.stderr
    assert "half" not in done.stdout
    assert not between.trouble


@pytest.mark.parametrize("name", PATIENT)
def test_what_may_have_broken_a_replica_is_not_asked_for_ever(
    trouble: tuple[Troubled, Way], programs: Path, name: str
) -> None:
    between, found = trouble
    between.trouble.extend(["cut", "500", "ends early", "500"])
    assert found.run(programs, name).returncode != 0
    assert list(between.trouble) == ["500"]


@pytest.mark.parametrize("name", PATIENT)
def test_nobody_waits_longer_than_the_deadline(trouble: tuple[Troubled, Way], programs: Path, name: str) -> None:
    between, found = trouble
    between.trouble.extend("refused inside" for _ in range(1000))
    shorter = programs / f"shorter-{name}"
    shorter.write_text(re.sub(r"DEADLINE = (600)(_000)?", r"DEADLINE = 3\2", (CLIENTS / name).read_text()))
    done = found.run(programs, shorter.name)
    assert done.returncode != 0
    assert "TimeoutError" in done.stderr
    assert 1 <= 1000 - len(between.trouble) <= 5


def test_trouble_looks_as_vllm_has_it(vllm: Server) -> None:
    """Its chunk has fields of a real one."""
    body = {"model": NAME, "messages": [{"role": "user", "content": "a host"}], "max_tokens": 4, "stream": True}
    real = events(ask(vllm.port, body, None, "/v1/chat/completions").body)
    ours = events(BEGUN)
    assert ours[0].keys() <= real[0].keys()
    assert ours[0]["choices"][0].keys() <= real[0]["choices"][0].keys()


def events(body: bytes) -> list[dict]:
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")]
