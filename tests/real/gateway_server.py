"""The real LiteLLM proxy on a real PostgreSQL and Redis: its environment, its database, and copies of it.

From PyPI and npm alone. Prisma's engine is its own build for WASM behind `litellm/query_engine.cjs`: the native binary
comes from a host of Prisma. LiteLLM and prisma-client-py are as they were published.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asking import Answer, ask
from databases import PASSWORD, Postgres, initialised, postgres, room, version
from npm import NODE, node_modules

from pulumi_rehearsal import python_environment
from pulumi_rehearsal.cache import cache_directory, make_once
from pulumi_rehearsal.servers import free_port
from tandem.gateway import config as told
from tandem.gateway.prices import own_prices
from tandem.settings import Settings
from tandem.settings.gateway import TokenPriceSettings

HERE = Path(__file__).with_name("litellm")
DATABASE = USER = "litellm"
MASTER, SALT = "sk-master-of-the-tests", "sk-salt-of-the-tests"
START_SECONDS = 600
"""A quarter of a minute on an idle core; two and a half beside many busy processes."""
IN, OUT = 1e-3, 2e-3
"""US dollars a token of own models, of a prompt and of an answer: a few answers are a share of a dollar."""


@dataclass(frozen=True)
class Release:
    """A version of LiteLLM.

    Attributes:
        pinned: its packages; of one that is laid over another, those that differ.
    """

    pinned: Path
    over: Release | None = None

    @property
    def version(self) -> str:
        return re.findall(r"(?m)^litellm==(\S+)", self.pinned.read_text())[0]

    @property
    def digest(self) -> str:
        """Of all that is pinned."""
        files = (self.pinned, HERE / "package-lock.json", HERE / "migrate/package-lock.json")
        below = self.over.digest.encode() if self.over else b""
        return hashlib.sha256(below + b"".join(file.read_bytes() for file in files)).hexdigest()[:12]

    @property
    def environment(self) -> Path:
        """Of Python, with its packages; made on first use, half a minute and 700 MB."""
        digest = hashlib.sha256(self.pinned.read_bytes()).hexdigest()[:12]
        pinned = ["--require-hashes", "--compile-bytecode", *(["--no-deps"] * bool(self.over)), "-r", str(self.pinned)]
        return python_environment.environment(f"litellm-{self.version}-{digest}", pinned)

    @property
    def packages(self) -> Path:
        return next((self.environment / "lib").glob("python*/site-packages"))

    @property
    def python(self) -> Path:
        """Of the environment below."""
        return (self.over or self).environment / "bin"

    def variables(self, directory: Path) -> dict[str, str]:
        """By which its programs find each other; some are in a directory that this makes."""
        path = os.pathsep.join((str(directory), str(self.python), str(NODE / "bin"), os.environ["PATH"]))
        laid_over = [str(self.packages)] if self.over else []
        return programs(directory) | {"PATH": path, "PYTHONPATH": os.pathsep.join(laid_over)}

    def client(self) -> Path:
        """Where Python finds the package `prisma` with LiteLLM's models in it; made on first use."""
        home = cache_directory() / f"litellm-prisma-{self.version}-{self.digest}"

        def generate(unfinished: Path) -> None:
            schema = (self.packages / "litellm/proxy/schema.prisma").read_text()
            told = re.sub(r'(provider = "prisma-client-py")', rf'\1\n  output = "{unfinished}/prisma"', schema)
            (unfinished / "schema.prisma").write_text(told)
            command = [self.python / "python", "-m", "prisma", "generate", "--schema", unfinished / "schema.prisma"]
            variables = {**os.environ, **self.variables(unfinished / "bin")}
            subprocess.run(command, env=variables, check=True, capture_output=True)
            subprocess.run([self.python / "python", "-m", "compileall", "-q", unfinished / "prisma"], check=True)

        make_once(home, home.is_dir, generate, f"the client of Prisma of LiteLLM {self.version}", print)
        return home

    def migrated(self) -> Path:
        """A cluster with its database, from which others are copied; made on first use, some ten seconds."""
        home = cache_directory() / f"litellm-postgres-{version()}-{self.version}-{self.digest}"

        def make(unfinished: Path) -> None:
            with room() as directory:
                with postgres(initialised(directory, USER), USER) as cluster:
                    cluster.sql(f"create database {DATABASE}", "postgres")
                    subprocess.run(
                        [unfinished / "bin/prisma", "migrate", "deploy"],
                        cwd=self.packages / "litellm_proxy_extras", check=True, stdout=subprocess.DEVNULL,
                        env={**os.environ, **self.variables(unfinished / "bin"), "DATABASE_URL": cluster.url(DATABASE)},
                    )  # fmt: skip
                _copy(directory / "data", unfinished / "data")

        make_once(home, home.is_dir, make, f"the database of LiteLLM {self.version}", print)
        return home / "data"


PRESENT = Release(HERE / "requirements.txt")
FORMER = Release(HERE / "former.txt", over=PRESENT)
"""Sixty migrations before."""
VERSION = PRESENT.version


def programs(directory: Path) -> dict[str, str]:
    """Variables by which prisma-client-py finds its programs; they are in a directory that this makes.

    Stands for: `prisma migrate diff`, with which LiteLLM compares its schema with the database at each start, and
    Prisma's native schema engine, which says its version here and no more: `prisma migrate deploy` and `resolve` are
    those of a later Prisma, whose schema engine is built for WASM.
    Held by: nothing, Prisma 5.17 has its engine as a native binary alone.
    """
    directory.mkdir(exist_ok=True)
    modules, later = node_modules("prisma-engine", HERE), node_modules("prisma-migrate", HERE / "migrate")
    engine = f'NODE_PATH={modules} exec {NODE}/bin/node {HERE}/query_engine.cjs "$@"'
    commit = json.loads((HERE / "package.json").read_text())["dependencies"]["@prisma/query-engine-wasm"].split(".")[-1]
    migrate = f'exec {NODE}/bin/node {later}/prisma/build/index.js "$@" --config {HERE}/migrate/prisma.config.cjs'
    unused = "PRISMA_QUERY_ENGINE_LIBRARY=$0 PRISMA_SCHEMA_ENGINE_BINARY=$0"  # else they are fetched
    for name, line in {
        "query-engine": engine,
        "schema-engine": f"echo schema-engine-cli {commit}",
        "prisma": f'case "$1 $2" in "migrate deploy" | "migrate resolve") {unused} NODE_PATH={later} {migrate} ;; esac',
    }.items():
        (directory / name).write_text(f"#!/bin/sh\n{line}\n")
        (directory / name).chmod(0o755)
    return {
        "PRISMA_QUERY_ENGINE_BINARY": str(directory / "query-engine"),
        "PRISMA_SCHEMA_ENGINE_BINARY": str(directory / "schema-engine"),
        "PRISMA_BINARY_CACHE_DIR": str(modules.parent),
        "CHECKPOINT_DISABLE": "1",
    }


def _copy(data: Path, to: Path) -> None:
    subprocess.run(["cp", "-a", data, to], check=True)


@contextlib.contextmanager
def database(release: Release = PRESENT) -> Iterator[Postgres]:
    """A cluster of this block's own, with an empty database of LiteLLM's."""
    template = release.migrated()
    with room() as directory:
        _copy(template, directory / "data")
        with postgres(directory / "data", USER) as cluster:
            yield cluster


@dataclass
class Gateway:
    """A copy of the proxy.

    Attributes:
        seconds: from its start until it was ready.
    """

    config: Path
    variables: Mapping[str, str]
    release: Release = PRESENT
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    seconds: float = 0.0

    @property
    def log(self) -> Path:
        return self.config.with_name(f"litellm-{self.port}.log")

    def start(self) -> None:
        """Returns when it is ready."""
        command = [
            self.release.python / "litellm",
            "--config",
            self.config,
            "--host",
            "127.0.0.1",
            "--num_workers",
            "1",
        ]
        began = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*map(str, command), "--port", str(self.port)],
                env=dict(self.variables), stdout=log, stderr=log, cwd=self.config.parent, start_new_session=True,
            )  # fmt: skip
        while not self.ready():
            told = self.log.read_text(errors="replace")[-3000:]
            assert self.process.poll() is None, f"LiteLLM ended: {told}"
            assert time.monotonic() < began + START_SECONDS, f"LiteLLM was not ready after {START_SECONDS} s: {told}"
            time.sleep(0.25)
        self.seconds = time.monotonic() - began

    def ready(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(self.url("/health/readiness"), timeout=10):
            return True
        return False

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def stop(self) -> None:
        """With SIGTERM, as both platforms do."""
        if self.process:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)  # the engine of one that was killed
            self.process = None

    def admin(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """What the API of those who run it says."""
        answer = ask(self.port, body, MASTER, path)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def key(self, **more: Any) -> str:
        """A new one."""
        return self.admin("/key/generate", more | {"key_alias": os.urandom(4).hex()})["key"]

    def team(self, name: str, **more: Any) -> str:
        return self.admin("/team/new", {"team_alias": name} | more)["team_id"]

    def chat(self, key: str, model: str, **more: Any) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": "a host"}], "max_tokens": 4}
        return ask(self.port, body | more, key, "/v1/chat/completions")


def rendered(
    name: str, api: str, key: str, cache: int, embeds: tuple[str, str] | None = None, **gateway: Any
) -> tuple[str, dict[str, str]]:
    """config.yaml and the environment, as tandem renders both from settings of a stack.

    Args:
        name: that its model is served under.
        api: where the model is, in place of the stack's host name.
        key: of the gateway, there.
        cache: port of a Redis of `redis`.
        embeds: name of a further model, which embeds, and where that is.
        gateway: settings beside host name and prices.
    """
    price = {"promptUsdPerMillion": IN * 1e6, "answerUsdPerMillion": OUT * 1e6}
    at = {"api.example.com": api}
    further: dict[str, Any] = {}
    if embeds:
        at["embeds.example.com"] = embeds[1]
        further = {
            "embeds": {
                "hostName": "embeds.example.com",
                "inference": {"servedModelName": embeds[0], "task": "embed"},
            }
        }
    settings = Settings.model_validate(
        {
            "region": "us-east-1",
            "loadBalancer": {"domainName": "api.example.com", "hostedZoneId": "Z0123456789ABC"},
            "inference": {"servedModelName": name},
            "models": further,
            "gateway": {"hostName": "teams.example.com", **gateway},
        }
    )
    prices = dict.fromkeys(settings.names_served, TokenPriceSettings.model_validate(price))
    assert settings.gateway
    settings = settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"prices": prices})})
    text = told.as_text(told.config(settings, own_prices(settings)))
    for host, where in at.items():
        text = text.replace(f"https://{host}/", f"{where}/")
    secrets = {
        told.MASTER_KEY: MASTER,
        told.SALT_KEY: SALT,
        told.STACK_KEY: key,
        told.BYPASS: "known-to-the-firewall",
        told.CACHE_PASSWORD: PASSWORD,
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(cache),
    }
    return text, told.environment() | secrets


@contextlib.contextmanager
def gateways(
    number: int, config: str, url: str, directory: Path, variables: Mapping[str, str], release: Release = PRESENT
) -> Iterator[Sequence[Gateway]]:
    """Copies that share a database, which start at the same time.

    Args:
        config: their config.yaml.
        url: of their database.
        directory: theirs; it may be there.
        variables: beside those that tell where programs are.
    """
    directory.mkdir(exist_ok=True)
    file = directory / "config.yaml"
    file.write_text(config)
    file.with_name(f"{told.GUARD}.py").write_text(told.guard())
    copies = [Gateway(file, told_to(release, url, directory, variables), release) for _ in range(number)]
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Gateway.start, copies))
        yield copies
    finally:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Gateway.stop, copies))


def told_to(release: Release, url: str, directory: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process of LiteLLM."""
    own = release.variables(directory / "bin")
    found = os.pathsep.join(filter(None, (own["PYTHONPATH"], str(release.client()))))
    return {**os.environ, **variables, **own, "PYTHONPATH": found, "DATABASE_URL": url}
