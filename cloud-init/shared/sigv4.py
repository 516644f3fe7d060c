"""AWS's Signature Version 4, for hosts and pods alike."""

from __future__ import annotations

import hashlib
import hmac
import time
import urllib.parse


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def signed(
    credentials: list[str], service: str, region: str, method: str, url: str, body: str, headers: dict[str, str]
) -> dict[str, str]:
    """A request's headers, all of them signed
    (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).

    Args:
        credentials: key id, secret key, session token.
    """
    key, secret, token = credentials
    now, address = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), urllib.parse.urlsplit(url)
    headers |= {"host": address.netloc, "x-amz-content-sha256": _sha256(body), "x-amz-date": now}
    headers |= {"x-amz-security-token": token}
    names, scope = sorted(headers), [now[:8], region, service, "aws4_request"]
    lines = [method, address.path, address.query, *(f"{name}:{headers[name]}" for name in names), "", ";".join(names)]
    text = ["AWS4-HMAC-SHA256", now, "/".join(scope), _sha256("\n".join([*lines, headers["x-amz-content-sha256"]]))]
    signature = f"AWS4{secret}".encode()
    for word in (*scope, "\n".join(text)):
        signature = hmac.digest(signature, word.encode(), "sha256")
    credential = f"Credential={key}/{text[2]}, SignedHeaders={lines[-1]}, Signature={signature.hex()}"
    return headers | {"Authorization": f"{text[0]} {credential}"}
