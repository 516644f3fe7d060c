"""The checks without the command around them: `python -m tandem.ops.smoke`, and the end of `tandem smoke --script`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from tandem.ops.smoke.checks import PATHS, Smoke
from tandem.ops.smoke.connection import Target
from tandem.ops.smoke.suite import run


def main() -> int:
    """0 no surprise, 1 a surprise; argparse itself ends with 2."""
    parser = argparse.ArgumentParser(
        description="Ask an API for what clients want and for what nobody should get; exit status 1 on any surprise.",
    )
    parser.add_argument("--url", default=os.environ.get("TANDEM_URL", ""), help="of the API; TANDEM_URL by default")
    parser.add_argument("--api-key-file", metavar="FILE", type=Path, help="holds the key; else TANDEM_API_KEY does")
    parser.add_argument("--ca", metavar="FILE.pem", type=Path, help="trust this certificate authority, too")
    parser.add_argument("--model", help="to ask; the first that the API lists by default")
    parser.add_argument("--task", choices=[*PATHS], default="generate", help="what it does; default generate")
    parser.add_argument("--timeout", metavar="SECONDS", type=float, default=120, help="for one pause; default 120")
    parser.add_argument("--json", action="store_true", help="print results as JSON, for programs")
    wanted = parser.parse_args()
    try:
        key = wanted.api_key_file.read_text() if wanted.api_key_file else os.environ.get("TANDEM_API_KEY", "")
        authority = wanted.ca.read_text() if wanted.ca else None
    except OSError as error:
        parser.error(str(error))
    if not wanted.url.startswith(("http://", "https://")) or not key.strip():
        parser.error("it takes a --url that begins with https://, and a key in TANDEM_API_KEY or --api-key-file")
    results = []
    target = Target(wanted.url.rstrip("/"), key.strip(), authority, wanted.timeout)
    for result in run(Smoke(target, wanted.model, wanted.task)):
        results.append(result)
        if not wanted.json:
            print(f"{result.outcome:<9}{result.line().encode('ascii', 'backslashreplace').decode()}", flush=True)
    if wanted.json:
        print(json.dumps({"url": wanted.url, "results": [result.as_json() for result in results]}, indent=2))
    return int(any(result.outcome == "surprise" for result in results))


if __name__ == "__main__":
    sys.exit(main())
