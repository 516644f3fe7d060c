"""The moto server (`python -m rehearsal.moto_server`), answering one request at a time.

moto changes shared dictionaries from many threads and answers 500 when two meet, or when one meets a service that is
half loaded. Python runs one thread at a time anyhow, so nothing is lost.
"""

from __future__ import annotations

import threading
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.server import main

ONE_AT_A_TIME = threading.Lock()


def one_request_at_a_time() -> None:
    """Puts a lock around the application."""
    answer = DomainDispatcherApplication.__call__

    def locked(self: DomainDispatcherApplication, environ: Any, start_response: Any) -> Any:
        with ONE_AT_A_TIME:
            return answer(self, environ, start_response)

    DomainDispatcherApplication.__call__ = locked


if __name__ == "__main__":
    one_request_at_a_time()
    main()
