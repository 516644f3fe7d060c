"""Stage ready: a completion through the edge, then the group and the load balancer may have this host."""

import contextlib

import aws
import serve
import watchdog
from host import CONFIG, sh, wait, write


def run():
    while not any(watchdog.listens(row["port"]) for row in serve.rows()) and wait(0.2):
        pass  # asking through the edge would have nginx leave the replicas out for ten seconds
    while True:
        try:
            watchdog.token(CONFIG["port"], 60)
            break
        except OSError as error:
            if not wait(2):
                raise RuntimeError(f"no token came through the edge: {error}") from None
    write(watchdog.HEALTHY, "ok\n")  # the watchdog would see it seconds later
    held = aws.complete("CONTINUE")
    aws.target("RegisterTargets")  # the group does it for a new host; after a reboot nobody else does
    sh("systemctl", "start", "tandem-member")
    with contextlib.suppress(OSError):  # the next host compiles again, that is all
        serve.save_cache()
    return "first token, " + ("lifecycle hook completed" if held else "no lifecycle hook was waiting")
