"""Something that is done again and again beside a block."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def meanwhile(look: Callable[[], object], every_seconds: float, name: str | None = None) -> Iterator[None]:
    """Calls `look` in a thread, with a pause before each call, until the block ends; the last call has ended by then.

    Args:
        name: of the thread.
    """
    over = threading.Event()

    def work() -> None:
        while not over.wait(every_seconds):
            look()

    worker = threading.Thread(target=work, name=name)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()
