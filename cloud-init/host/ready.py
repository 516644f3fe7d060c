"""Stage ready: a completion through the edge, then the group and the load balancer may have this host."""

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
    serve.save_cache()
    held = aws.complete("CONTINUE")
    aws.target("RegisterTargets")  # the group does it for a new host; after a reboot nobody else does
    sh("systemctl", "start", "tandem-member")
    return "first token, lifecycle hook completed" if held else "first token, no lifecycle hook was waiting"
