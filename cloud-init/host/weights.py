"""Stage weights: the image and the pinned revision of the model, checked, as near to the GPUs as the tier allows."""

from __future__ import annotations

import base64
import concurrent.futures
import errno
import json
import os
import re
import shutil
import time
from pathlib import Path

import aws
import cache
import hub
from host import CONFIG, RUN, record, say, sh, write
from storage import BAKED, LOCAL, SHARED

ENGINE = CONFIG["engine"]
DOCKER = "docker", "--config", str(RUN / "docker")  # /run is in memory
ECR = re.compile(r"\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
USER = "2000:0"  # the image's own unprivileged user; the EFS access point has the same


def model(base: Path) -> cache.Cache:
    """The model in the hub cache below a mount."""
    return cache.Cache(base / "hub", ENGINE)


def served(base: Path) -> list[cache.Cache]:
    """The same, its adapters and its draft, of which servers find all in one cache."""
    beside = (*ENGINE.get("adapters", ()), *ENGINE.get("drafts", ()))
    return [model(base), *(cache.Cache(base / "hub", wanted) for wanted in beside)]


def download(to: cache.Cache) -> None:
    """Fetches the revision with the image's own client, whose container has the cache, the token and no credentials."""
    to.root.mkdir(exist_ok=True)
    if to.root.stat().st_uid != 2000:  # on EFS the access point sees to that
        os.chown(to.root, 2000, 0)
    token, secret = RUN / "hub-token", CONFIG["token_arn"] and aws.secret(CONFIG["token_arn"])

    def client(environment: dict[str, str]) -> list[str]:
        pull()
        write(token, secret or "", 0o440)
        sh("docker", "rm", "-f", "download", check=False)
        values = {**environment, "HOME": "/tmp", "HF_TOKEN_PATH": "/token", "HF_HUB_CACHE": "/hub"}  # noqa: S108
        return [
            *("docker", "run", "--rm", "--name", "download", "--network", "host", "--user", USER),
            *("--cgroup-parent", "vllm.slice", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("-v", f"{token}:/token:ro", "-v", f"{to.root}:/hub", *(f"--env={k}={v}" for k, v in values.items())),
            *("--entrypoint", "hf", ENGINE["image"]),
        ]

    try:
        hub.download(to, CONFIG["hub_url"], secret, client)
    finally:
        token.unlink(missing_ok=True)


def served_from() -> Path:
    """The hub cache that the servers read: the local one if it is whole."""
    return (LOCAL if all(one.rows() for one in served(LOCAL)) else SHARED) / "hub"


def pull() -> str:
    """The server's image, by its digest. `image ls` would not find docker.io/x/y: it lists short names."""
    if not sh("docker", "image", "inspect", "-f", "{{.Id}}", ENGINE["image"], check=False).strip():
        started = time.time()
        login()
        sh(*DOCKER, "pull", "-q", ENGINE["image"])
        record("image", started, "done", "pulled")
        shutil.rmtree(RUN / "docker", ignore_errors=True)
    return "image there"


def ecr_login(region: str) -> list[str]:
    """Name and password for ECR in a region, good for twelve hours. Never logged."""
    target = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
    (found,) = aws.call_json("api.ecr", target, region)["authorizationData"]
    return base64.b64decode(found["authorizationToken"]).decode().split(":", 1)


def login() -> None:
    """Logs in to the registry by standard input, kept in memory: to ECR by the role, else by a secret if any."""
    registry = ENGINE["image"].partition("/")[0]
    if ecr := ECR.fullmatch(registry):
        name, password = ecr_login(ecr[1])
    elif arn := CONFIG["registry_login_arn"]:
        found = json.loads(aws.secret(arn))
        name, password = found["username"], found["password"]
    else:
        return
    sh(*DOCKER, "login", "-u", name, "--password-stdin", registry, input=password)


def run() -> str:
    # Beside a copy of weights that are there; to download any, it is needed first. What fails does not wait for it.
    image = concurrent.futures.ThreadPoolExecutor().submit(pull)
    how = place()
    image.result()
    return how


def place() -> str:
    """Has the weights where the tier wants them; returns how, of the model and then of what is beside it."""
    if ENGINE["weights"] == "s3":
        return "streamed from S3"
    return "; ".join(place_one(*where) for where in zip(served(LOCAL), served(BAKED), served(SHARED), strict=True))


def place_one(local: cache.Cache, baked: cache.Cache, shared: cache.Cache) -> str:
    """What is beside the model goes where that is, which comes first: the machine image may have brought that alone."""
    if local.rows():
        local.look()
        return "were there"
    if baked.rows():
        baked.copy(local)
        return "copied from the machine image"
    if not os.path.ismount(SHARED):
        download(local)
        return "downloaded to local storage"
    how = "downloaded to EFS" if shared.fetch(download) else "found on EFS"
    only_local = bool(model(LOCAL).rows()) and not model(SHARED).rows()
    try:
        if ENGINE["weights"] == "nvme" or only_local:
            shared.copy(local)
            return f"{how}, copied to local storage"
    except OSError as error:
        if error.errno != errno.ENOSPC or only_local:
            raise
        say(f"weights: {error.strerror}: serving from EFS, restarts will be slower")
        how += ", no room for a local copy"
    shared.look()
    return how
