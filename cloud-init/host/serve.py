"""Stage serve: one vLLM server per group of GPUs, as systemd units, and nginx before them."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import aws
import compiled
import driver
import starts
import weights
from host import CONFIG, RUN, STATE, say, sh, write
from storage import LOCAL, SHARED

REPLICAS, LEAVING = RUN / "replicas.json", RUN / "leaving"
Pair = tuple[int, int]  # of GPUs, by number
Group = tuple[int, ...]
LINKS = "SYS NODE PHB PXB PIX"  # slowest first; NVLink (NV1 ...) is above them all


def topology(text: str) -> dict[Pair, int]:
    """Speed of each pair of GPUs, from the matrix that `nvidia-smi topo -m` prints."""
    speed = {}
    for line in text.splitlines():
        first, *links = re.sub(r"\x1b\[\d*m", "", line).split() or [""]
        if re.fullmatch(r"GPU\d+", first) and "X" in links:
            for other, link in enumerate(links):
                speed[int(first[3:]), other] = 100 + int(link[2:]) if link.startswith("NV") else LINKS.find(link)
    return speed


def groups(gpus: int, size: int, speed: dict[Pair, int]) -> list[Group]:
    """Splits GPUs into groups: the slowest link in one as fast as can be, then the sum, then the lowest numbers."""

    def splits(free: list[int]) -> Iterator[list[Group]]:
        if not free:
            yield []
            return
        first, *rest = free
        for others in combinations(rest, size - 1):
            for tail in splits([gpu for gpu in rest if gpu not in others]):
                yield [(first, *others), *tail]

    def worth(split: list[Group]) -> tuple[int, int]:
        speeds = [speed.get(pair, 0) for group in split for pair in combinations(group, 2)]
        return min(speeds, default=0), sum(speeds)

    return max(splits(list(range(gpus))), key=worth)


def compile_cache(number: int) -> Path:
    """Each replica has its own compile cache, kept apart by GPU type and GPUs of a server, image and model."""
    family, image = aws.identity()["instanceType"].split(".")[0], weights.ENGINE["image"].split("/")[-1]
    name = f"{family}x{CONFIG['gpus_each']}-{image}-{weights.model(LOCAL).repository.name}".replace(":", "-")
    return LOCAL / "compile" / name / str(number)


def saved_cache() -> Path:
    return SHARED / "compile" / compile_cache(0).parent.name


def new_cache(number: int, source: Path | None = None) -> None:
    """A compile cache for a replica, empty or a copy."""
    compiled.begin(compile_cache(number), source, lambda part: sh("chown", "-R", weights.USER, str(part)))


def restore_cache(number: int) -> None:
    """Gives a replica what an earlier host of its kind compiled: half a minute less to wait."""
    if not compile_cache(number).exists():
        new_cache(number, saved_cache() if saved_cache().exists() else None)


def save_cache() -> None:
    """Keeps the first replica's compile cache on EFS, once for the fleet; not what was found out about these GPUs."""
    if os.path.ismount(SHARED):
        compiled.keep(compile_cache(0), saved_cache(), aws.identity()["instanceId"])


def starts_of(number: int) -> Path:
    """Where a replica's starts are counted; the watchdog removes it when a token comes."""
    return RUN / f"starts/{number}"


def without_peers(number: int) -> Path:
    """Exists once a start with peer-to-peer over PCIe never opened its port."""
    return STATE / f"without-peers-{number}"


def container(replica: int, gpus: Group) -> tuple[list[str], list[str]]:
    """`docker run` for one replica, without image, and the server's arguments. Host network: no address translation,
    and a refused connection is refused."""
    engine, needs, logs = weights.ENGINE, driver.profile(), CONFIG["log_options"]
    # The slice has no way to the role's credentials; only streaming from S3 needs them.
    group = [] if engine["weights"] == "s3" else ["--cgroup-parent", "vllm.slice"]
    values = {**CONFIG["environment"], **needs.get("environment", {})}
    arguments = [*CONFIG["arguments"], *needs["arguments"]]
    if without_peers(replica).exists():
        values["NCCL_P2P_DISABLE"] = "1"
        arguments.append("--disable-custom-all-reduce")
    options = [
        *("docker", "run", "--rm", "--init", "--name", f"vllm-{replica}", "--network", "host", *group),
        *("--user", weights.USER, "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--shm-size", "8g", "--ulimit", "memlock=-1"),
        *(f"--device=nvidia.com/gpu={gpu}" for gpu in gpus),
        *("-v", f"{weights.served_from()}:/hub:ro", "-v", f"{compile_cache(replica)}:/cache"),
        *(("-v", "/opt/tandem/guessing.py:/guessing/guessing.py:ro") if "TANDEM_GUESSES_PAY" in values else ()),
        *(f"--env={name}={value}" for name, value in values.items()),
        *("--log-driver", "awslogs", "--log-opt", f"awslogs-stream={aws.identity()['instanceId']}/vllm-{replica}"),
        *(f"--log-opt={name}={value}" for name, value in logs.items()),
    ]
    return options, arguments


def command(replica: int, gpus: Group, port: int) -> list[str]:
    """The container of a replica that serves."""
    options, arguments = container(replica, gpus)
    image = weights.ENGINE["image"]
    listen = ["--host", "127.0.0.1", "--port", str(port)]
    return [*options, "--entrypoint", "vllm", image, "serve", *arguments, *listen]


def rows() -> list[dict[str, Any]]:
    """What was started: replica, gpus, port of each."""
    return json.loads(REPLICAS.read_text())


def place() -> list[dict[str, Any]]:
    """Decides which replica runs where, and gives each its compile cache."""
    split = groups(driver.profile()["gpus"], CONFIG["gpus_each"], topology(sh("nvidia-smi", "topo", "-m")))
    replicas = [{"replica": n, "gpus": pair, "port": CONFIG["first_port"] + n} for n, pair in enumerate(split)]
    write(REPLICAS, json.dumps(replicas))
    for row in replicas:
        restore_cache(row["replica"])
    return replicas


def run() -> str:
    replicas, warm = place(), CONFIG.get("warm", 0)
    for name, most in (("upstream", driver.profile()["requests"] - warm), ("warm", warm)):
        servers = "".join(f"server 127.0.0.1:{row['port']} max_conns={most};\n" for row in replicas)
        write(RUN / f"{name}.conf", servers)
    units = [f"vllm@{row['replica']}" for row in replicas] + ["tandem-metrics"] * ("remote_write" in CONFIG)
    sh("systemctl", "start", *units, "tandem-keys", "tandem-edge", "tandem-watchdog")
    return f"replicas on GPUs {[row['gpus'] for row in replicas]}"


def mend(number: int) -> None:
    """Counts a start, and once gives the replica an empty compile cache, where so many came to nothing."""
    if starts.count(starts_of(number)) == starts.TRIES + 1:
        say(f"vllm-{number}: ended {starts.TRIES} times without a token: once more with an empty compile cache")
        new_cache(number)


def start(number: int) -> None:
    """A replica's container in this process's place: systemd watches docker itself, without a process between."""
    mend(number)
    line = command(**rows()[number])
    os.execvp(line[0], line)  # noqa: S606


if __name__ == "__main__":  # ExecStart of vllm@N.service
    start(int(sys.argv[1]))
