"""Stage weights: the image and the pinned revision of the model, checked, as near to the GPUs as the tier allows.

The hub's cache names each blob by its hash (SHA-256 for large files, git's SHA-1 for small ones), so a copy is checked
against its own name: no list of hashes to keep, and no network.
"""

import concurrent.futures
import contextlib
import errno
import fcntl
import hashlib
import os
import shutil

import aws
from host import CONFIG, RUN, left, say, sh, wait, write
from storage import BAKED, LOCAL, SHARED

ENGINE = CONFIG["engine"]
USER = "2000:0"  # the image's own unprivileged user; the EFS access point has the same


def repository(hub):
    return hub / f"models--{ENGINE['model'].replace('/', '--')}"


def snapshot(hub):
    """The pinned revision in a hub cache; without a pin, what `main` was when it was downloaded."""
    main = repository(hub) / "refs/main"
    revision = ENGINE["revision"] or (main.read_text() if main.exists() else "main")
    return repository(hub) / "snapshots" / revision


def marker(hub):
    """Exists once every blob of the snapshot has been checked."""
    return snapshot(hub).with_name(snapshot(hub).name + ".complete")


def blobs(hub):
    return sorted({path.resolve() for path in snapshot(hub).rglob("*") if path.is_file()})


def check(path, copy=None):
    """Compares a blob with its name, copying it meanwhile; removes a damaged one, so that it is fetched again."""
    small = len(path.name) == 40
    header = f"blob {path.stat().st_size}\0".encode()
    state = hashlib.sha1(header) if small else hashlib.sha256()  # noqa: S324  git's naming, not a safeguard
    with path.open("rb") as source:
        while block := source.read(2**22):
            state.update(block)
            if copy:
                copy.write(block)
            if not left():
                raise RuntimeError("out of time")
    if state.hexdigest() != path.name:
        path.unlink()
        raise RuntimeError(f"{path.name} was damaged: removed, to be fetched again")


def each(action, items):
    """Runs an action over blobs in parallel: one stream does not fill a network file system."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(action, items))


def download(hub):
    """Fetches the revision with the image's own client, which resumes what was cut off; then checks every blob."""
    pull()
    token = RUN / "hub-token"
    login = []
    if CONFIG["token_arn"]:
        write(token, aws.secret(CONFIG["token_arn"]), 0o440)
        login = ["-v", f"{token}:/token:ro", "-e", "HF_TOKEN_PATH=/token"]
    sh("docker", "rm", "-f", "download", check=False)
    sh(
        *("docker", "run", "--rm", "--name", "download", "--network", "host", "--user", USER, *login),
        *("-v", f"{hub}:/hub", "-e", "HOME=/tmp", "-e", f"HF_ENDPOINT={CONFIG['hub_url']}", "--entrypoint", "hf"),
        *(ENGINE["image"], "download", ENGINE["model"], "--revision", ENGINE["revision"] or "main"),
        *("--cache-dir", "/hub", "--exclude", "original/*", "*.pth", "*.gguf"),
    )
    token.unlink(missing_ok=True)
    each(check, blobs(hub))
    marker(hub).touch()


@contextlib.contextmanager
def turn(hub):
    """One host of the fleet at a time. The file server frees the lock of a host that dies; the next takes over."""
    with (hub / ".tandem.lock").open("w") as lock:
        while True:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not wait(5):
                    raise RuntimeError("another host was downloading until the deadline") from None
        yield


def copy(hub, local):
    """Copies a checked snapshot to local storage, checking it again on the way."""
    target = repository(local) / "blobs"
    target.mkdir(parents=True, exist_ok=True)
    todo = [blob for blob in blobs(hub) if not (target / blob.name).exists()]
    need, free = sum(blob.stat().st_size for blob in todo), shutil.disk_usage(local).free
    if need > free:
        raise OSError(errno.ENOSPC, f"{need >> 20} MiB to copy, {free >> 20} MiB free")

    def one(blob):
        part = target / f"{blob.name}.part"
        with part.open("wb") as file:
            check(blob, file)
        part.replace(target / blob.name)

    each(one, todo)
    shutil.copytree(snapshot(hub), snapshot(local), symlinks=True, dirs_exist_ok=True)
    if not ENGINE["revision"]:
        write(repository(local) / "refs/main", snapshot(hub).name)
    marker(local).touch()


def cache(base):
    """The hub cache below a mount. The servers' user owns it; on EFS the access point sees to that."""
    hub = base / "hub"
    hub.mkdir(exist_ok=True)
    if base == LOCAL:
        os.chown(hub, 2000, 0)
    return hub


def served_from():
    """The hub cache that the servers read: the local one if it is whole."""
    return LOCAL / "hub" if marker(LOCAL / "hub").exists() else SHARED / "hub"


def pull():
    """The server's image, by its digest. `image ls` would not find docker.io/x/y: it lists short names."""
    if not sh("docker", "image", "inspect", "-f", "{{.Id}}", ENGINE["image"], check=False).strip():
        sh("docker", "pull", "-q", ENGINE["image"])
    return "image there"


def run():
    with concurrent.futures.ThreadPoolExecutor() as pool:
        image = pool.submit(pull)  # beside a copy of weights that are there; to download any, it is needed first
        how = place()
        image.result()
    return how


def place():
    """Has the weights where the tier wants them; returns how."""
    if ENGINE["weights"] == "s3":
        return "streamed from S3"
    local = cache(LOCAL)
    if marker(local).exists():
        return "were there"
    if marker(BAKED / "hub").exists():
        copy(BAKED / "hub", local)
        return "copied from the machine image"
    if not os.path.ismount(SHARED):
        download(local)
        return "downloaded to local storage"
    hub, how = cache(SHARED), "found on EFS"
    if not marker(hub).exists():
        with turn(hub):
            if not marker(hub).exists():
                download(hub)
                how = "downloaded to EFS"
    if ENGINE["weights"] == "efs":
        return how
    try:
        copy(hub, local)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        say(f"weights: {error.strerror}: serving from EFS, restarts will be slower")
        return f"{how}, no room for a local copy"
    return f"{how}, copied to local storage"
