"""Collects the places in which a secret could show, and the secrets themselves from the one place where they belong."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from tandem.ops.aws import code_of, is_gone
from tandem.ops.kinds.kind import Clients, Found

LAUNCH_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
SECRET = "aws:secretsmanager/secret:Secret"  # noqa: S105

GONE = "InvalidLaunchTemplateId.NotFound"
SHORTEST_SECRET = 12
"""Shorter values occur by chance."""


def launch_templates(clients: Clients, found: list[Found]) -> Iterator[tuple[str, str]]:
    """Every version of every launch template, and the user data in it as the host would read it."""
    for template in found:
        if template.type != LAUNCH_TEMPLATE:
            continue
        pages = clients("ec2").get_paginator("describe_launch_template_versions").paginate(LaunchTemplateId=template.id)
        try:
            versions = list(pages.search("LaunchTemplateVersions[]"))
        except ClientError as error:
            if code_of(error) != GONE:
                raise
            continue  # Karpenter's go by themselves
        for version in versions:
            place = f"launch template {template.name} version {version['VersionNumber']}"
            yield place, json.dumps(version, default=str)
            if data := version["LaunchTemplateData"].get("UserData"):
                yield f"user data of {place}", unpacked(base64.b64decode(data))


def unpacked(data: bytes) -> str:
    """Text of user data, which may be compressed with gzip."""
    if data[:2] == b"\x1f\x8b":
        data = zlib.decompress(data, wbits=31)
    return data.decode(errors="replace")


def stored_secrets(clients: Clients, found: list[Found]) -> Iterator[tuple[str, str]]:
    """Every value in Secrets Manager by name: the values that must be nowhere else."""
    for secret in found:
        if secret.type == SECRET:
            try:
                text = clients("secretsmanager").get_secret_value(SecretId=secret.id)["SecretString"]
            except ClientError as error:
                if not is_gone(error):
                    raise
                continue  # that of the issued keys, before the first
            for index, value in enumerate(_strings(text)):
                yield f"{secret.name}[{index}]", value


def _strings(text: str) -> Iterator[str]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError:
        document = text
    yield from _leaves(document)


def _leaves(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        document = list(document.values())
    if isinstance(document, list):
        for item in document:
            yield from _leaves(item)
    elif isinstance(document, str) and len(document) >= SHORTEST_SECRET:
        yield document
