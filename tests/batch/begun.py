"""A bucket with a batch in it, by moto, and what plays vLLM's runner."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import batch as machine
import boto3
import bucket as buckets
import job
import pytest
from moto.server import ThreadedMotoServer

ID, BUCKET = "batch-1", "batches"
RUNNER = [sys.executable, str(Path(__file__).with_name("played_runner.py"))]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[buckets.Bucket]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    urllib.request.urlopen(f"{url}/moto-api/reset", b"").close()
    s3 = boto3.client("s3", region_name="us-east-1", endpoint_url=url, aws_access_key_id="x", aws_secret_access_key="y")
    s3.create_bucket(Bucket=BUCKET)
    monkeypatch.setattr(machine, "KEEP_SECONDS", 0.1)
    monkeypatch.setattr(machine, "LOOK_SECONDS", 0.1)
    yield buckets.Bucket(f"{url}/{BUCKET}", "us-east-1", lambda: ["key", "secret", "token"])
    server.stop()


def begin(bucket: buckets.Bucket, names: list[str], **more: Any) -> None:
    lines = [
        json.dumps({"custom_id": name, "method": "POST", "url": job.URLS[0], "body": {"of": name}}) for name in names
    ]
    parts = [*job.parts(lines)]
    for number, part in enumerate(parts, 1):
        bucket.replace(job.place(ID, "input", number), "\n".join(part))
    bucket.replace(f"jobs/{ID}/job.json", json.dumps({"parts": len(parts), "ends": time.time() + 600, **more}))
    bucket.replace(job.CURRENT, json.dumps({"id": ID}))


def done(bucket: buckets.Bucket) -> list[dict[str, Any]]:
    texts = [bucket.get(key) for key in bucket.list(job.place(ID, "done"))]
    return [json.loads(line) for text in texts if text for line in text[0].splitlines()]
