"""boto3 clients of one account and region, and AWS's refusals in words that a user can act on."""

from __future__ import annotations

import threading
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound

from infra.errors import Problem, UserError
from ops.kinds.kind import Clients

AwsError = (BotoCoreError, ClientError)

_CONFIG = Config(
    connect_timeout=10,
    read_timeout=60,
    max_pool_connections=32,
    # Throttled calls are repeated, with growing pauses, about half a minute in all.
    retries={"mode": "standard", "total_max_attempts": 6},
)


def aws_clients(region: str, profile: str | None = None) -> Clients:
    """Clients of the shell's account in one region, each made once; safe to use from several threads.

    Args:
        profile: of the AWS configuration; None for the shell's own.

    Raises:
        UserError: there is no such profile.
    """
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
    except ProfileNotFound as error:
        raise UserError(problem_of(error, "--profile")) from None
    clients: dict[str, Any] = {}
    lock = threading.Lock()

    def client(service: str) -> Any:
        with lock:
            if service not in clients:
                clients[service] = session.client(service, config=_CONFIG)
            return clients[service]

    return client


def code_of(error: Exception) -> str:
    """AWS's error code; the exception's name where AWS was not even reached."""
    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Code", "")
    return type(error).__name__


def is_gone(error: Exception) -> bool:
    """AWS says that there is no such thing, in one of its services' many words."""
    code, text = code_of(error), str(error).lower()
    return any(word in code for word in ("NotFound", "NoSuch", "Nonexistent", "DoesNotExist")) or (
        code == "ValidationError" and "not found" in text
    )


def problem_of(error: Exception, key: str) -> Problem:
    """What a failed call means for the user, and what to do about it."""
    code = code_of(error)
    if isinstance(error, NoCredentialsError):
        wrong, fix = (
            "there are no AWS credentials in this shell",
            "`aws configure sso`, `aws sso login` or `AWS_PROFILE`",
        )
    elif isinstance(error, ProfileNotFound):
        wrong, fix = "there is no such profile", "`aws configure list-profiles` names them"
    elif "Expired" in code:
        wrong, fix = "the AWS credentials have expired", "log in again, such as `aws sso login`"
    elif code in ("UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure", "OptInRequired"):
        wrong = "AWS does not accept the credentials in this region"
        fix = "log in again, or enable the region: `aws account enable-region --region-name REGION`"
    elif "AccessDenied" in code or "Unauthorized" in code:
        wrong, fix = "these credentials may not do this", "allow the action that the message names"
    elif isinstance(error, ClientError):
        wrong, fix = "AWS refused the call", "see AWS's own words above"
    else:
        wrong, fix = "AWS cannot be reached", "check the network, AWS_ENDPOINT_URL and HTTPS_PROXY"
    return Problem(key=key, wrong=wrong, value=f"{code}: {error}", fix=fix)
