"""`make bench-start`: processor time until an operator sees something, beside the libraries that it cannot do without.

All four alternate in one run, so that a busy machine is busy for each; the medians of processor time count.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys

ROUNDS = 9
RATIO_BAR = 2.0
TANDEM = "import sys; sys.argv = ['tandem', *{words!r}]; from tandem.ops.cli import main; main()"
PAIRS = {
    "tandem --help": (["--help"], "import typer, rich.table"),
    # `import pydantic` alone loads nothing: it is a package of names that load when they are used.
    "tandem cost dev": (["cost", "dev"], "import typer, rich.table, pydantic\nclass A(pydantic.BaseModel): a: int = 0"),
}


def processor_seconds(program: str) -> float:
    """Of a Python process that runs the program.

    Raises:
        CalledProcessError: it failed; a time of it would mean nothing.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL, env=kept)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Prints the table; exit status 1 when a bar is missed."""
    worst = 0.0
    for name, (words, least) in PAIRS.items():
        ours, theirs = TANDEM.format(words=words), least
        processor_seconds(ours)  # compiles what is not
        pairs = [(processor_seconds(ours), processor_seconds(theirs)) for _ in range(ROUNDS)]
        mine, other = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratio = statistics.median(one / other for one, other in pairs)
        worst = max(worst, ratio)
        beside = f"{least.splitlines()[0]:34} {other * 1e3:4.0f} ms"
        print(f"{name:16} {mine * 1e3:4.0f} ms   {beside}   ratio {ratio:.2f} (bar: {RATIO_BAR})")
    return 0 if worst <= RATIO_BAR else 1


if __name__ == "__main__":
    raise SystemExit(main())
