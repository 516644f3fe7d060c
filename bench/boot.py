"""`python -m bench.boot`: what our stages add to a guest's boot, and to a reboot, over a user data that does nothing.

Two guests of one run, one after the other: an empty cloud-config, and the rendered user data of dev with its stand-ins
(a stub driver, a stub model, a registry and a hub on this machine). Each is booted for the first time and rebooted.
What counts is `ready` (the last stage's end, by the guest's own clock since its kernel started) less the end of the
empty guest's boot.

RAW figures are seconds on the guest's clock. A part of them is the work of commands that are not ours (apt, docker,
systemctl, the stub of nvidia-smi ...): each command of the stages is timed inside, by a hook that only guests of the
bench have. What is left is our own: starting Python, our code, our polls, and waiting for the servers.

SCALED figures are raw ones divided by the emulation's slowness. Without KVM a guest runs in software emulation, some
ten times slower than the machine is. Two fixed pieces of shell work (a loop, and starting processes) are timed inside
the guest and outside; the smaller ratio divides, so that the scaled figures are the larger ones. A poll waits for work
that is emulated, so its seconds are divided, too; but one whole pause, the longest of the boot, is added undivided,
since a faster machine shortens no pause. With KVM the ratio is about 1. The bars are held against the scaled figures.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.host import scene
from rehearsal.host.cloud import Cloud
from rehearsal.host.guest import Guest
from rehearsal.host.pace import accelerator
from tandem.host.render import render_user_data
from tandem.ops.commands.render import stack_config

FIRST_BAR, REBOOT_BAR = 10.0, 3.0
STACK = "dev"
OURS = ("unpack.py", "boot.py")
SECONDS = 900
NOTHING = b"#cloud-config\n{}\n"
WORK = {
    "a loop": "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done",
    "100 processes": "for i in $(seq 100); do /bin/true; done",
}
# Times every command and pause of the scripts in /opt/tandem, to a file that a reboot empties.
HOOK = """\
import sys
if getattr(sys, "orig_argv", ["", ""])[1:2] and sys.orig_argv[1].startswith("/opt/tandem/"):
    import json, subprocess, time
    def timed(kind, function):
        def call(*arguments, **options):
            start = time.monotonic()
            try:
                return function(*arguments, **options)
            finally:
                what = " ".join(map(str, arguments[0][:3])) if kind == "command" else ""
                entry = [sys.orig_argv[1][12:], kind, what, start, time.monotonic()]
                with open("/run/bench.jsonl", "a") as file:
                    print(json.dumps(entry), file=file)
        return call
    subprocess.run = timed("command", subprocess.run)
    time.sleep = timed("pause", time.sleep)
"""
PRELUDE = "cat /hook.py >> /usr/lib/python3.12/sitecustomize.py\n"


@dataclass(frozen=True)
class Boot:
    """One boot, in seconds on the guest's clock since its kernel started.

    Attributes:
        cloud_init: end of cloud-init's last stage.
        ready: end of the boot: our last stage's, or without ours systemd's.
        started: start of our first unit; None without it.
        stages: the ledger's lines.
        commands: [script, kind, command, start, end] of each command and pause of the stages.
    """

    cloud_init: float
    ready: float
    started: float | None
    stages: list[dict[str, Any]]
    commands: list[tuple[str, str, str, float, float]]

    def spans(self, kind: str) -> list[tuple[float, float]]:
        return [(start, end) for script, what, _, start, end in self.commands if script in OURS and what == kind]


def covered(spans: list[tuple[float, float]]) -> float:
    """Seconds that lie in at least one span: what ran side by side counts once."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def timed(guest: Guest | None) -> dict[str, float]:
    """Seconds of each piece of WORK, in a guest or on this machine."""
    found = {}
    for name, work in WORK.items():
        script = f"s=$(date +%s%N); {work}; echo $(( $(date +%s%N) - s ))"
        text = guest.run(script, SECONDS) if guest else subprocess.check_output(["/bin/sh", "-c", script], text=True)
        found[name] = int(text) / 1e9
    return found


def stamp(guest: Guest, unit: str, name: str) -> float:
    """A moment of a systemd unit (of systemd itself for an empty unit): seconds since the kernel started."""
    return int(guest.run(f"systemctl show {unit} --value -p {name}TimestampMonotonic")) / 1e6


def observe(guest: Guest, ours: bool, since: int, earlier: int) -> Boot:
    """Waits for a boot's end and reads how it went.

    Args:
        since: number of console lines before this boot.
        earlier: number of ledger lines before this boot.
    """
    if ours:
        guest.wait_for_line(scene.READY, SECONDS, since)
    guest.wait_for_agent(SECONDS)
    guest.run("systemctl is-system-running --wait", SECONDS, check=False)
    cloud_init = stamp(guest, "cloud-final", "ActiveEnter")
    if not ours:
        return Boot(cloud_init, stamp(guest, "", "Finish"), None, [], [])
    return Boot(
        cloud_init,
        stamp(guest, "tandem-boot", "ExecMainExit"),
        stamp(guest, "tandem-scripts", "ExecMainStart"),
        [line for line in guest.ledger()[earlier:] if line["stage"] != "leave"],
        [tuple(json.loads(line)) for line in guest.run("cat /run/bench.jsonl").splitlines()],
    )


def boots(found: scene.Parts, ours: bool, directory: Path) -> tuple[Boot, Boot, dict[str, float]]:
    """A first boot and a reboot of one guest, and seconds of WORK in it."""
    directory.mkdir()
    hook = directory / "hook.py"
    hook.write_text(HOOK)
    drive = scene.prelude(directory, PRELUDE, {"hook.py": hook})
    render = render_user_data if ours else lambda _: NOTHING
    with scene.powered_on(stack_config(STACK), found, Cloud(), directory, drive, render) as guest:
        first = observe(guest, ours, 0, 0)
        since, earlier = len(guest.console), len(guest.ledger()) if ours else 0
        guest.power_off(SECONDS)
        guest.power_on()
        return first, observe(guest, ours, since, earlier), timed(guest)


def report(title: str, empty: Boot, ours: Boot, slowness: float) -> float:
    """Prints one comparison; returns the scaled seconds that ours adds."""
    assert ours.started is not None
    pauses, commands = ours.spans("pause"), ours.spans("command")
    busy, longest = covered(commands), max((end - start for start, end in pauses), default=0)
    added, total = ours.ready - empty.ready, ours.ready - ours.started
    scaled = added / slowness + longest
    print(f"\n{title}: RAW seconds since the guest's kernel started")
    print(f"  empty user data: end of cloud-init {empty.cloud_init:6.2f}, end of the boot {empty.ready:6.2f}")
    print(f"  ours: end of cloud-init {ours.cloud_init:6.2f}, stages {ours.started:6.2f} to {ours.ready:6.2f} (ready)")
    print(f"  stages {total:6.2f}: in commands {busy:.2f}, pauses {covered(pauses):.2f},", end="")
    print(f" our own code and waits {total - covered(commands + pauses):.2f}")
    for line in ours.stages:
        print(f"    {line['stage']:10}{line['seconds']:7.2f}  {line['detail']}")
    kinds: dict[str, float] = defaultdict(float)
    for script, kind, what, start, end in ours.commands:
        if script in OURS and kind == "command":
            kinds[what] += end - start
    for what, seconds in sorted(kinds.items(), key=lambda item: -item[1])[:12]:
        print(f"      {seconds:6.2f}  {what}")
    print(f"  added, RAW    {added:6.2f} s")
    print(f"  added, SCALED {scaled:6.2f} s   (raw / {slowness:.1f} + a pause of {longest:.1f})")
    return scaled


def main() -> int:
    """Prints both comparisons; exit status 1 when a bar is missed."""
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as name:
        directory = Path(name)
        found = scene.parts(directory)
        print(f"guests run with {accelerator(found.guest.kernel).partition(',')[0]}", file=sys.stderr)
        # Read once before: else the first guest alone would wait for this machine's drive.
        subprocess.run(["cat", found.guest.disk], stdout=subprocess.DEVNULL, check=True)
        outside = timed(None)
        *empty, _ = boots(found, False, directory / "empty")
        *ours, inside = boots(found, True, directory / "ours")
    ratios = {work: inside[work] / outside[work] for work in WORK}
    print("fixed work         outside     inside")
    for work, ratio in ratios.items():
        print(f"  {work:14}{outside[work]:10.3f}{inside[work]:11.3f} s {ratio:6.1f} times slower")
    slowness = max(1.0, min(ratios.values()))
    first = report("First boot", empty[0], ours[0], slowness)
    again = report("Reboot", empty[1], ours[1], slowness)
    print(f"\nSCALED: first boot {first:.2f} s (bar: {FIRST_BAR:.0f}), reboot {again:.2f} s (bar: {REBOOT_BAR:.0f})")
    return 0 if first <= FIRST_BAR and again <= REBOOT_BAR else 1


if __name__ == "__main__":
    raise SystemExit(main())
