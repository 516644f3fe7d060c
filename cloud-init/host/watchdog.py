"""Watches each replica for tokens, not for answers to /health; restarts what makes none, and gives the host up.

A busy server is not a hung one: as long as its count of generated tokens moves, a late or refused probe is forgiven.
The file HEALTHY is the load balancer's health check; nginx serves it.
"""

import concurrent.futures
import contextlib
import socket
import time

import aws
import probe
import serve
from host import CONFIG, RUN, TIMEOUTS, say, sh, write

HEALTHY = RUN / "www/healthz"
EVERY, PATIENCE = 10, 30  # seconds between checks, and for one token of an idle server
STRIKES, RESTARTS = 3, 3  # checks without a token before a restart, restarts before the host is given up


def token(port, timeout):
    """One token, asked for as the stack's clients ask."""
    probe.token(port, CONFIG["probe"]["path"], CONFIG["probe"]["body"], serve.KEYS, timeout)


def listens(port):
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) == 0


class Replica:
    def __init__(self, row):
        self.name, self.port = f"vllm-{row['replica']}", row["port"]
        self.restarts = 0
        self.reset()

    def reset(self):
        """A server that starts has the time that a host has for its launch."""
        self.strikes, self.ready_by = 0, time.monotonic() + TIMEOUTS["launch"]

    def makes_tokens(self):
        """True when a token came, or when others' tokens came meanwhile."""
        try:
            before = probe.metric(self.port, "generation_tokens_total")
            try:
                token(self.port, PATIENCE)
                return True
            except (OSError, ValueError):
                return probe.metric(self.port, "generation_tokens_total") > before
        except (OSError, ValueError):
            return False

    def check(self):
        """One look; True while this replica may be counted on."""
        if self.makes_tokens():
            self.strikes = self.restarts = self.ready_by = 0
            return True
        if not self.ready_by and not listens(self.port):
            self.reset()  # it ended, and systemd starts it again: nothing claims health
        if time.monotonic() > self.ready_by:
            self.strikes += 1
        if self.strikes >= STRIKES:
            self.restarts += 1
            say(f"{self.name}: no token in {STRIKES} checks: restart {self.restarts}")
            sh("docker", "kill", self.name, check=False)  # hung, so it would not drain
            self.reset()
        return False


def main():
    replicas = [Replica(row) for row in serve.rows()]
    with concurrent.futures.ThreadPoolExecutor(len(replicas)) as pool:
        while True:
            if any(list(pool.map(Replica.check, replicas))) and not serve.LEAVING.exists():
                write(HEALTHY, "ok\n")
            else:
                HEALTHY.unlink(missing_ok=True)
            if any(replica.restarts > RESTARTS for replica in replicas):
                say(f"no token after {RESTARTS} restarts: reporting this host unhealthy")
                with contextlib.suppress(OSError, RuntimeError):  # asked again at the next look
                    aws.report_unhealthy()
            time.sleep(EVERY)


if __name__ == "__main__":
    main()
