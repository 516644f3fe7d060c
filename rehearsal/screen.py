"""Shows a rehearsal while it goes on: a live line for each stack in a terminal, a line for each phase everywhere."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from pulumi_rehearsal.operations import Step
from pulumi_rehearsal.servers import stop_all
from rehearsal.report import Phase

LINE_EVERY_SECONDS = 15
"""Where nothing can be overwritten, as in a log file."""


class Interrupted(BaseException):
    """The user has had enough; as with KeyboardInterrupt, nobody takes it for a failure of what was under way."""


class Screen:
    """The watcher of `tandem rehearse`. Its methods are called from the threads that rehearse."""

    def __init__(self, console: Console, progress: Progress, tasks: dict[str, TaskID]) -> None:
        self._console = console
        self._progress = progress
        self._tasks = tasks
        self._interrupted = threading.Event()

    def interrupt(self, number: int) -> None:
        """Makes every rehearsal end at its next step; a second time, ends all servers and this process at once."""
        if self._interrupted.is_set():
            stop_all()
            os._exit(128 + number)
        self._interrupted.set()
        self._console.print("Ending after the step that is under way; the same again ends it at once.")

    def phase_started(self, stack: str, phase: str) -> None:
        self._go_on()
        self._progress.reset(self._tasks[stack], description=f"{stack}: {phase}")

    def step_done(self, stack: str, step: Step) -> None:
        self._go_on()
        self._progress.update(self._tasks[stack], advance=1, resource=step.name)

    def _go_on(self) -> None:
        if self._interrupted.is_set():
            raise Interrupted

    def phase_ended(self, stack: str, phase: Phase) -> None:
        if not phase.verdicts:
            return
        changes = ", ".join(f"{count} {operation}" for operation, count in sorted(phase.changes.items()))
        mark = "[green]ok[/]" if phase.met else "[bold red]NOT AS EXPECTED[/]"
        self._console.print(f"{stack:<8} {phase.name:<11} {phase.seconds:5.1f} s  {mark}  {changes}", highlight=False)


@contextmanager
def screen(console: Console, stacks: Sequence[str]) -> Iterator[Screen]:
    """Shows the rehearsals of these stacks until the block ends; Ctrl-C or SIGTERM ends them in good order."""
    columns = (SpinnerColumn(), TextColumn("{task.description:<22}"), BarColumn(pulse_style="cyan"))
    counted = (TextColumn("{task.completed} resources"), TimeElapsedColumn(), TextColumn("{task.fields[resource]}"))
    with Progress(*columns, *counted, console=console, transient=True) as progress:
        tasks = {stack: progress.add_task(stack, total=None, resource="") for stack in stacks}
        shown = Screen(console, progress, tasks)
        before = {
            number: signal.signal(number, lambda told, _frame: shown.interrupt(told))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield shown
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def status_line(console: Console) -> Iterator[Callable[[str], None]]:
    """Shows what is being done, each line in place of the last one; in a log, one line now and then."""
    if console.is_terminal:
        with console.status("") as status:
            yield status.update
        return
    last = -float(LINE_EVERY_SECONDS)

    def line(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_EVERY_SECONDS:
            last = time.monotonic()
            console.print(text, highlight=False)

    yield line
