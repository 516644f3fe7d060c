"""Stage ready: a completion through the edge, then the group and the load balancer may have this host."""

import contextlib

import aws
import serve
import watchdog
from host import CONFIG, sh, wait


def run():
    while True:
        try:
            watchdog.token(CONFIG["port"], 60)
            break
        except OSError as error:
            if not wait(2):
                raise RuntimeError(f"no token came through the edge: {error}") from None
    held = aws.complete("CONTINUE")
    aws.target("RegisterTargets")  # the group does it for a new host; after a reboot nobody else does
    sh("systemctl", "start", "tandem-member")
    with contextlib.suppress(OSError):  # the next host compiles again, that is all
        serve.save_cache()
    return "first token, " + ("lifecycle hook completed" if held else "no lifecycle hook was waiting")
