"""What the pod's own role may read and write: EKS Pod Identity lends it, by variables of the container and a token in a
file (https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html)."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import keysync
import sigv4
from basics import left

ANSWER = 5  # seconds without a byte


def _ask(request: urllib.request.Request) -> str:
    with urllib.request.urlopen(request, timeout=max(0.1, min(ANSWER, left()))) as answer:  # noqa: S310
        text = b""
        while block := answer.read1(65536):
            text += block
            if not left():
                raise TimeoutError("no end before the deadline")
    return text.decode()


def _credentials() -> list[str]:
    token = Path(os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]).read_text()  # which the kubelet renews
    url = os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    found = json.loads(_ask(urllib.request.Request(url, headers={"Authorization": token})))  # noqa: S310
    return [found[name] for name in ("AccessKeyId", "SecretAccessKey", "Token")]


def _post(service: str, region: str, domain: str, about: str, body: str, headers: dict[str, str]) -> str:
    """A signed request, until the deadline of whoever asks.

    Args:
        about: begins an error.

    Raises:
        RuntimeError: no answer, or a refusal, with AWS's own words; never with what was asked for.
    """
    url = os.environ.get("AWS_ENDPOINT_URL", f"https://{service}.{region}.{domain}").rstrip("/") + "/"
    try:
        headers = sigv4.signed(_credentials(), service, region, "POST", url, body, headers)
        return _ask(urllib.request.Request(url, body.encode(), headers))  # noqa: S310
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{about}: {error.code} {error.read(400).decode(errors='replace')}") from None
    except KeyError as error:
        raise RuntimeError(f"{about}: no {error}: this container has no role, or the answer is not AWS's") from None
    except (OSError, ValueError, TypeError) as error:
        raise RuntimeError(f"{about}: {type(error).__name__}: {error}") from None


def call(service: str, target: str, arn: str, **parameters: Any) -> dict[str, Any]:
    """A call of the JSON protocol; errors as of a request.

    Args:
        arn: of what the call is about; it says where the service is.
    """
    _, partition, _, region, *_ = arn.split(":")
    domain = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": target}
    answer = _post(service, region, domain, arn, json.dumps(parameters), headers)
    try:
        return json.loads(answer or "{}")
    except ValueError as error:
        raise RuntimeError(f"{arn}: {type(error).__name__}: {error}") from None


def query(service: str, version: str, action: str, region: str, **parameters: str) -> str:
    """A call of the query protocol; the answer is XML."""
    body = urllib.parse.urlencode({"Action": action, "Version": version, **parameters})
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return _post(service, region, "amazonaws.com", action, body, headers)


def secret(arn: str) -> str | None:
    """Text of a secret; None for one that nothing was written into yet."""
    try:
        found = call("secretsmanager", "secretsmanager.GetSecretValue", arn, SecretId=arn)
    except RuntimeError as error:
        if keysync.unwritten(error):
            return None
        raise
    if not isinstance(found, dict) or "SecretString" not in found:
        raise RuntimeError(f"{arn}: no 'SecretString': the answer is not AWS's")
    return found["SecretString"]
