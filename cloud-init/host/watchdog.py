"""Watches each replica for tokens, not for answers to /health, and the GPUs; reports a host on which one is dead.

A busy server is not a hung one: as long as its engine moves, a late or refused probe is forgiven.
The file HEALTHY is the load balancer's health check; nginx serves it.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import re
import subprocess
import threading
import time
from typing import Any

import aws
import driver
import gpus
import probe
import serve
import starts
from host import CONFIG, RUN, TIMEOUTS, say, sh, write

HEALTHY, DEAD = RUN / "www/healthz", RUN / "dead"
EVERY = 10  # seconds between looks; one takes up to probe.SECONDS
STRIKES, FIRST = 3, 12  # looks without a token before a restart; before its first token a server may still compile
WITHOUT = 840  # seconds without a token before a replica that has worked is dead; or twice what it took to start
START = TIMEOUTS["launch"] / 4  # seconds for a start over PCIe to open its port
GPUS_UNSEEN = 300
# What AWS's own monitor of EKS nodes has a machine replaced for (WellKnownXidCodes of eks-node-monitoring-agent).
XIDS = "46|48|54|62|63|64|74|79|95|109|110|119|120|136|140|142|143|151|155|156|158"


class Replica:
    def __init__(self, row: dict[str, Any]) -> None:
        self.number, self.port = row["replica"], row["port"]
        self.name, self.starts = f"vllm-{self.number}", serve.starts_of(self.number)
        self.strikes, self.made, self.dead = 0, False, ""
        self.last, self.limit = time.monotonic(), TIMEOUTS["launch"]

    def check(self) -> bool:
        """One look; True while this replica may be counted on."""
        why = probe.trouble(self.port, **CONFIG["probe"])
        number, since = starts.read(self.starts)
        if not why:
            self.lives(number, since)
            return True
        if probe.listens(self.port):
            self.strikes += 1
            if self.strikes >= (STRIKES if self.made else FIRST):
                self.restart(f"{why}, {self.strikes} times")
        else:  # it starts, or ended and systemd starts it again
            self.strikes, self.made = 0, False
            peers = driver.profile().get("over_pcie") and not serve.without_peers(self.number).exists()
            if peers and number and time.time() - since > START:
                write(serve.without_peers(self.number), "")
                self.restart(f"port not open after {START:.0f} s, so without peer-to-peer over PCIe")
        silent = time.monotonic() - self.last
        if number > starts.TRIES + 1:
            self.dead = f"{self.name}: ended {number - 1} times without a token, also with an empty compile cache"
        elif silent > self.limit:
            self.dead = f"{self.name}: no token for {silent:.0f} s"
        return False

    def lives(self, number: int, since: float) -> None:
        if number or not self.made:
            self.limit = max(WITHOUT, number and 2 * (time.time() - since))
        if number > starts.TRIES:  # other hosts must not get it
            subprocess.Popen(["rm", "-rf", serve.saved_cache()])
        self.starts.unlink(missing_ok=True)
        self.strikes, self.made, self.dead, self.last = 0, True, "", time.monotonic()

    def restart(self, why: str) -> None:
        say(f"{self.name}: {why}: restart")
        self.strikes = 0
        sh("timeout", "30", "docker", "kill", self.name, check=False)  # hung, so it would not drain


class Gpus:
    """Looks in a thread of its own: a driver that has lost a GPU may never answer."""

    def __init__(self) -> None:
        self.seen, self.error, self.said = time.monotonic(), "", ""
        self.used: gpus.Figures = {}

    def once(self) -> None:
        """One look, which may never end."""
        try:
            found = re.search(rf"NVRM: (Xid .*?: (?:{XIDS}),.*)", sh("dmesg"))
            self.error = found[1] if found else ""
            self.said = sh("nvidia-smi", "-L")
            if len(re.findall("(?m)^GPU ", self.said)) == driver.profile()["gpus"]:
                self.seen = time.monotonic()
            self.used = gpus.read(sh("nvidia-smi", f"--query-gpu={gpus.QUERY}", "--format=csv,noheader,nounits"))
        except RuntimeError as error:
            self.said = str(error)

    def watch(self) -> None:
        while True:
            self.once()
            time.sleep(60)

    @property
    def dead(self) -> str:
        unseen = time.monotonic() - self.seen > GPUS_UNSEEN
        return self.error or (f"not all GPUs were seen for {GPUS_UNSEEN} s: {self.said[-200:]}" if unseen else "")


def report(why: str) -> None:
    """Has this host replaced: by the group, or while it boots by stage ready, which reads DEAD."""
    if not DEAD.exists():
        say(f"{why}: reporting this host unhealthy")
    write(DEAD, why)
    with contextlib.suppress(OSError, RuntimeError):  # asked again at the next look
        aws.report_unhealthy()


def main() -> None:
    replicas, watched = [Replica(row) for row in serve.rows()], Gpus()
    threading.Thread(target=watched.watch, daemon=True).start()
    with concurrent.futures.ThreadPoolExecutor(len(replicas)) as pool:
        while True:
            if any(list(pool.map(Replica.check, replicas))) and not serve.LEAVING.exists():
                write(HEALTHY, "ok\n")
            else:
                HEALTHY.unlink(missing_ok=True)
            gpus.tell(watched.used, dead=bool(watched.dead))
            dead = [why for why in (watched.dead, *(replica.dead for replica in replicas)) if why]
            if dead:
                report(dead[0])
            else:
                DEAD.unlink(missing_ok=True)
            time.sleep(EVERY)


if __name__ == "__main__":
    main()
