"""This host's canary: who runs it (the agent beside the edge), who waits for it (stage ready), where what was found is.

A host without a canary has no DOCUMENT.
"""

from __future__ import annotations

import hashlib
import json
import os

import aws
import serve
import trial
from host import CONFIG, ROOT, RUN, STATE, GiveUp, say, wait
from storage import SHARED

DOCUMENT, TOLD = ROOT / "opt/tandem/canary.json", RUN / "canary.json"


def start() -> None:
    """In a thread of the agent."""
    if DOCUMENT.exists():
        servers = {f"vllm-{row['replica']}": trial.asker(f"http://127.0.0.1:{row['port']}") for row in serve.rows()}
        proven = (SHARED if os.path.ismount(SHARED) else STATE) / "canary"
        asked = DOCUMENT.read_text()
        version = hashlib.sha256(json.dumps([asked, CONFIG["engine"], CONFIG["arguments"]]).encode()).hexdigest()[:12]
        trial.Trial(json.loads(asked), version, servers, TOLD, proven, aws.secret, say).start()


def passed() -> None:
    """Waits until requests may come; gives up when this version's canary has failed, before any did."""
    while DOCUMENT.exists() and not trial.opened(TOLD).exists():
        if found := trial.failed(TOLD):
            raise GiveUp("canary: " + "; ".join(found))
        if not wait(1):
            raise RuntimeError("the canary was not answered")
