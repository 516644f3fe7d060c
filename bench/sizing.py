"""`make bench-sizing`: what sizing costs whoever waits for it, in fresh processes, so that no cache helps.

Processor time is counted: sizing neither reads nor waits, and a busy machine does not make it slower than it is.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROUNDS = 5
ONE_CALL_BAR_SECONDS = 0.005
CATALOG_BAR_SECONDS = 0.5
FLEETS_BAR_SECONDS = 2.0
FLEETS = "size Qwen/Qwen3-8B --requests-per-second 20 --prompt 2000 --answer 300 --ttft 2s --itl 100ms --json"

SCRIPT = """
import json, time
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.catalog.models import MODELS
from tandem.sizing.choice import candidates
from tandem.sizing.gpus import gpu_of
from tandem.sizing.fits import verdict
from tandem.sizing.known import catalog_shape
from tandem.sizing.memory import size
from tandem.sizing.reading import read_shape
from tandem.sizing.serving import Serving

gpu, _ = gpu_of(INSTANCE_TYPES["g6.12xlarge"])
calls = []
for model in MODELS.values():
    start = time.process_time()
    verdict(size(read_shape(model.config), Serving(max_model_len=8192), gpu))
    calls.append(time.process_time() - start)
start = time.process_time()
rows = sum(len(candidates(catalog_shape(model), Serving(gpu_memory_utilization=None))) for model in MODELS)
print(json.dumps({"calls": calls, "rows": rows, "catalog": time.process_time() - start}))
"""


def main() -> int:
    """Prints the table; exit status 1 when a bar is missed."""
    runs = [
        json.loads(subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True).stdout)
        for _ in range(ROUNDS)
    ]
    calls = [statistics.median(times) for times in zip(*(run["calls"] for run in runs), strict=True)]
    catalog = statistics.median(run["catalog"] for run in runs)
    print(f"one model on one GPU, from its config.json   {statistics.median(calls) * 1e3:6.2f} ms  (median)")
    print(f"the slowest of {len(calls):2} models                     {max(calls) * 1e3:6.2f} ms  (bar: 5)")
    fleets = statistics.median(_fleets() for _ in range(ROUNDS))
    print(f"all models on all types, {runs[0]['rows']:5} rows         {catalog * 1e3:6.0f} ms  (bar: 500)")
    print(f"fleets for a load, the whole command          {fleets * 1e3:6.0f} ms  (bar: 2000)")
    return (
        0 if fleets < FLEETS_BAR_SECONDS and max(calls) < ONE_CALL_BAR_SECONDS and catalog < CATALOG_BAR_SECONDS else 1
    )


def _fleets() -> float:
    """Processor time of the command, its start and imports included; no name can be looked up."""
    before = os.times()
    command = [str(Path(sys.executable).with_name("tandem")), *FLEETS.split()]
    subprocess.run(["unshare", "--user", "--net", *command], capture_output=True, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    raise SystemExit(main())
