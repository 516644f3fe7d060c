"""`make bench-regions`: ten copies of production, up three at a time and down again, by `tandem region` itself.

On the real engine and a simulated account. A bar each for the whole time, and for how much longer a late region takes
than an early one: both with two others beside it, since one that has the machine for itself says nothing.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pulumi_rehearsal import engine
from pulumi_rehearsal.moto import SimulatedAccount
from rehearsal.account import account_gaps, simulated_account
from rehearsal.scene import pins_of, set_the_scene
from tandem.ops import inventory

REGIONS = (
    "us-east-2",
    "us-west-2",
    "ca-central-1",
    "eu-west-1",
    "eu-west-2",
    "eu-central-1",
    "eu-north-1",
    "ap-northeast-1",
    "ap-southeast-1",
    "ap-southeast-2",
)
AT_A_TIME = 3
WHOLE_BAR_SECONDS = 600
GROWTH_BAR = 1.10


def tandem(directory: Path, environment: Mapping[str, str], *arguments: str) -> str:
    """Runs a command of ours as a user would; returns what it prints.

    Raises:
        SystemExit: it failed; a time of it would mean nothing.
    """
    done = subprocess.run(
        [sys.executable, "-c", "from tandem.ops.cli import main; main()", *arguments],
        cwd=directory,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"`tandem {' '.join(arguments)}` failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def left(account: SimulatedAccount) -> list[str]:
    """What boto3 still finds of ours, in all the regions."""
    found = []
    for region in REGIONS:
        looked = inventory.find(lambda service, region=region: account.client(service, region), None)
        found += [str(problem) for problem in looked.unreadable]
        found += [f"{region}: {resource.type} {resource.id}" for resource in looked.resources]
    return found


def main() -> int:
    """Prints the table; exit status 1 when a bar is missed."""
    built = engine.ensure(lambda line: print(line, file=sys.stderr))
    with (
        simulated_account() as account,
        account_gaps(account.url) as gaps,
        set_the_scene("prod-ec2", built, account) as scene,
    ):
        directory = scene.workspace.directory
        gaps.add_images(pins_of(scene.workspace))
        environment = {
            **scene.workspace.environment,
            "AWS_ENDPOINT_URL": gaps.url,
            "HF_ENDPOINT": "http://127.0.0.1:9",  # the model hub is not part of this
        }
        # What is protected is not removed: these copies are not.
        unprotected = ("tandem:loadBalancer.deletionProtection=false", "tandem:ephemeral=true")
        pairs = [text for pair in ("tandem:requirePins=false", *unprotected) for text in ("--plaintext", pair)]
        scene.workspace.pulumi("config", "set-all", "--path", *pairs)
        started = time.monotonic()
        added = tandem(
            directory, environment, "region", "add", *REGIONS, "--at-a-time", str(AT_A_TIME), "--yes", "--json"
        )
        up = time.monotonic() - started
        seconds = [one["outcome"]["seconds"] for one in json.loads(added)["stacks"]]
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            for _ in pool.map(
                lambda region: tandem(directory, environment, "region", "remove", f"prod-ec2-{region}", "--yes"),
                REGIONS,
            ):
                pass
        whole = time.monotonic() - started
        remains = left(account)
    for region, took in zip(REGIONS, seconds, strict=True):
        print(f"{region:<16} {took:6.1f} s up")
    early, late = statistics.median(seconds[:3]), statistics.median(seconds[6:9])
    print(f"all {len(REGIONS)} up, {AT_A_TIME} at a time {up:6.0f} s")
    print(f"all up and down      {whole:6.0f} s  (bar: {WHOLE_BAR_SECONDS})")
    print(
        f"late over early      {late / early:6.2f}    (bar: {GROWTH_BAR:.2f}; medians of the first and last full three)"
    )
    print(f"left in the account  {len(remains):6d}    (bar: 0)", *remains[:20], sep="\n  ")
    return 0 if whole <= WHOLE_BAR_SECONDS and late / early <= GROWTH_BAR and not remains else 1


if __name__ == "__main__":
    raise SystemExit(main())
