"""Answers requests as vLLM's runner does, ends at those that are called poison, and never answers
those that are called mute.

Stands for: cloud-init/batch/runner.py on vLLM.
Held by: tests/real/test_batch.py::test_a_thousand_requests_killed_three_times (the same worker, the real runner)
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time


def main(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        file = connection.makefile("rwb")
        for line in file:
            asked = json.loads(line)
            if asked["request"]["custom_id"].startswith("poison"):
                time.sleep(1.3)  # with all that was asked meanwhile
                os._exit(1)
            if asked["request"]["custom_id"].startswith("mute"):
                threading.Event().wait()
            time.sleep(0.002)
            body = {"asked": asked["request"]["body"], "process": os.getpid()}
            response = {"status_code": 200, "request_id": "vllm-batch-1", "body": body}
            answer = {"id": "vllm-1", "custom_id": "", "response": response, "error": None}
            file.write(json.dumps({"name": asked["name"], "answer": answer}).encode() + b"\n")
            file.flush()


if __name__ == "__main__":
    main(sys.argv[1])
