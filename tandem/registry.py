"""A registry of images and charts, asked without an account (the distribution specification of OCI)."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlencode

import requests

from tandem.errors import UserError
from tandem.http import Http

REGISTRY_VARIABLE = "TANDEM_REGISTRY_URL"
"""A mirror to ask instead of the registry that the image's name holds, such as https://mirror.example.com."""


def refused(key: str, wrong: str, value: object, allowed: str, fix: str) -> UserError:
    return UserError.of(key=key, wrong=wrong, value=value, allowed=allowed, fix=fix)


def json_of(response: requests.Response, key: str) -> dict[str, Any]:
    try:
        return response.json()
    except requests.JSONDecodeError:
        raise refused(
            key,
            "the answer is not JSON: a proxy or a login page stands in between",
            response.headers.get("Content-Type", ""),
            "the answer of the registry or the hub itself",
            "log in to the network, or run this elsewhere",
        ) from None


def base_of(registry: str) -> str:
    """Where a registry, as images name it, answers."""
    home = "https://registry-1.docker.io" if registry == "docker.io" else f"https://{registry}"
    return (os.environ.get(REGISTRY_VARIABLE) or home).rstrip("/")


def ask(url: str, key: str, headers: dict[str, str], http: Http) -> requests.Response:
    """An answer of the registry, with an anonymous token where it asks for one."""
    response = http.get(url, key=key, headers=headers)
    if response.status_code != 401:
        return response
    token = _token(response.headers.get("WWW-Authenticate", ""), key, http)
    return http.get(url, key=key, headers=headers | {"Authorization": f"Bearer {token}"})


def _token(challenge: str, key: str, http: Http) -> str:
    """An anonymous pull token, as the registry's challenge describes it (Docker's token authentication)."""
    scheme, _, parameters = challenge.partition(" ")
    values = requests.utils.parse_dict_header(parameters)
    realm = values.pop("realm", "")
    if scheme.lower() != "bearer" or not realm:
        raise refused(
            key,
            "the registry asks for a login that `tandem pin` does not know",
            challenge,
            "a registry that gives anonymous pull tokens",
            "set TANDEM_REGISTRY_URL to a mirror, or write the digest by hand: `docker buildx imagetools inspect`",
        )
    response = http.get(f"{realm}?{urlencode(values)}", key=key)
    answer = json_of(response, key) if response.status_code == 200 else {}
    token = answer.get("token") or answer.get("access_token")
    if not token:
        raise refused(
            key,
            "the registry's token service gives no anonymous token",
            f"HTTP {response.status_code}",
            "a public image",
            "check the image's name in images/pins.toml",
        )
    return token
