"""What the stages share: the configuration, commands under a deadline, retries, the ledger, the console."""

import contextlib
import fnmatch
import functools
import json
import os
import re
import subprocess
import time
from pathlib import Path

from basics import GiveUp, deadline, left, wait, write

ROOT = Path(os.environ.get("TANDEM_ROOT", "/"))  # tests work in a scratch tree
STATE, RUN = ROOT / "var/lib/tandem", ROOT / "run/tandem"
CONFIG = json.loads((ROOT / "etc/tandem/host.json").read_text())
TIMEOUTS = CONFIG["timeouts"]


def say(text):
    """One line for the journal and the instance's console, which can be read without a login."""
    print(f"tandem: {text}", flush=True)
    with contextlib.suppress(OSError):  # no console is no reason to fail
        (ROOT / "dev/console").write_text(f"tandem: {text}\n")


def sh(*command, check=True, input=None, **options):
    """Runs a command until the deadline and returns its output; the last lines of what it said are the error."""
    name, pipe = " ".join(command[:3]), subprocess.PIPE
    options |= {"stdin": pipe} if input else {}
    process = subprocess.Popen(command, text=True, stdout=pipe, stderr=pipe, **options)
    try:
        out, err = process.communicate(input, left())
    except subprocess.TimeoutExpired:
        process.kill()  # not waited for: what a dead file server holds does not even end by this
        raise RuntimeError(f"{name}: no end before the deadline") from None
    if check and process.returncode:
        said = " | ".join((err + out).strip().splitlines()[-3:])
        raise RuntimeError(f"{name}: exit {process.returncode}: {said[-400:]}")
    return out


def fetch(url, *options):
    return sh("curl", "-fsSL", "--max-time", "30", *options, url)


def record(stage, started, outcome, detail, attempts=1):
    """Appends a line to the ledger; `seconds` is time on the clock, attempts and waits included."""
    entry = {
        "stage": stage,
        "start": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(time.time() - started, 2),
        "outcome": outcome,
        "attempts": attempts,
        "detail": detail,
    }
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / "ledger.jsonl").open("a") as ledger:
        print(json.dumps(entry), file=ledger)
    print(f"tandem: {stage}: {outcome}: {detail}", flush=True)


def attempt(stage, action, seconds):
    """Runs a stage until it is done, with pauses of 2, 4, 8 ... 30 s; ends the program when it will not be."""
    started, attempts = time.time(), 0
    with deadline(seconds):
        while True:
            attempts += 1
            try:
                return record(stage, started, "done", action(), attempts)
            except Exception as error:  # whatever a stage meets, the host must end in a clear line
                reason = f"{type(error).__name__}: {error}"
                print(f"tandem: {stage}: attempt {attempts}: {reason}", flush=True)
                if isinstance(error, GiveUp) or not wait(min(2**attempts, 30)):
                    break
    record(stage, started, "gave up", reason, attempts)
    say(f"{stage}: gave up after {attempts} attempts in {time.time() - started:.0f} s: {reason}")
    raise SystemExit(1)


def apt(*arguments):
    """apt-get without questions."""
    options = ("-yq", "-o", "DPkg::Lock::Timeout=300", "--no-install-recommends", "--allow-change-held-packages")
    more = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}  # nothing runs yet that it could restart
    return sh("apt-get", *options, *arguments, env={**os.environ, **more})


def pin(name):
    """The pinned upstream version of a package, a pattern; anything where there is no pin."""
    return CONFIG["pins"].get(name, "*")


def as_pinned(name, version):
    """Compares a Debian version with the pin; its epoch and revision do not count."""
    return fnmatch.fnmatch(re.sub(r"^\d+:|-[^-]*$", "", version), pin(name))


def missing(packages):
    """Those that are not installed, or not at the pinned version."""
    said = sh("dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n", *packages, check=False)
    there = {name for name, version in re.findall(r"(?m)^installed (\S+) (\S+)", said) if as_pinned(name, version)}
    return [name for name in packages if name not in there]


def install(packages):
    """Installs at the pinned versions, and holds. apt by itself takes another version where the pinned one lacks."""
    add_repositories()
    offered = {}  # newest first
    for name, version in re.findall(r"(?m)^ *(\S+) \| *(\S+)", sh("apt-cache", "madison", *packages)):
        if as_pinned(name, version):
            offered.setdefault(name, f"{name}={version}")
    for name in packages:
        if name not in offered:
            raise GiveUp(f"no package repository has {name} {pin(name)}, the version of images/pins.toml")
    try:
        apt("install", *map(offered.get, packages))
    except RuntimeError:
        add_repositories.cache_clear()  # the lists may be out of date
        raise
    sh("apt-mark", "hold", *packages)
    if wrong := missing(packages):
        raise RuntimeError(f"not at the pinned version: {' '.join(wrong)}")


@functools.cache
def add_repositories():
    """Adds the pinned repositories and reads their lists, once a boot. A key file may hold the pinned key alone."""
    for entry in CONFIG["repositories"]:
        key = ROOT / f"etc/apt/keyrings/{entry['name']}.asc"
        if not key.exists():
            text = fetch(entry["key_url"])
            said = sh("gpg", "--show-keys", "--with-colons", input=text)
            keys = re.findall(r"(?m)^pub:.*\nfpr:+(\w+):", said)
            if keys != [entry["fingerprint"]]:
                raise GiveUp(f"{entry['key_url']} holds {keys}, not {entry['fingerprint']} alone")
            write(key, text)
        write(ROOT / f"etc/apt/sources.list.d/{entry['name']}.list", f"deb [signed-by={key}] {entry['source']}\n")
    apt("update", "-o", "APT::Update::Error-Mode=any")
