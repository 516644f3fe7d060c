"""The pods of a model, to whose edges its edges pass requests on: those that serve, by the name that the cluster has
for them. nginx reads the file at each request, as it does keys."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from basics import write

EVERY = 5  # seconds between looks; a pod that leaves is known to its own server for 30


def look(name: str, file: Path) -> None:
    """Writes the own address, then those of all that serve."""
    own = socket.gethostbyname(socket.gethostname())
    found = {str(entry[4][0]) for entry in socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)}
    text = " ".join([own, *sorted(found)])
    if not file.exists() or file.read_text() != text:
        write(file, text)


def follow(name: str, file: Path, say: Callable[[str], object]) -> None:
    """Looks for ever, beside all else. While nobody tells them, those that were known stay: an edge that reaches
    none of them asks its own server."""

    def looks() -> None:
        trouble = ""
        while True:
            try:
                look(name, file)
                trouble = ""
            except OSError as error:
                if str(error) != trouble:
                    say(f"{name}: {error}")
                trouble = str(error)
            time.sleep(EVERY)

    threading.Thread(target=looks, daemon=True).start()
