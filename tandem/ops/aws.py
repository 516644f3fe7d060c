"""boto3 clients of one account and region, and AWS's refusals in words that a user can act on."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    InvalidRegionError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOTokenLoadError,
    UnauthorizedSSOTokenError,
)
from botocore.loaders import Loader, create_loader
from botocore.parsers import ResponseParserError
from botocore.session import Session

from tandem.errors import Problem, UserError

if TYPE_CHECKING:
    from tandem.ops.kinds.kind import Clients

AwsError = (BotoCoreError, ClientError, ResponseParserError)

NOT_ACCEPTED = ("UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure", "OptInRequired")
"""Codes for credentials that AWS does not know, or not in a region that the account has not enabled."""

_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)
_THROTTLED = ("Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException")

_CONFIG = Config(
    connect_timeout=10,
    read_timeout=60,
    max_pool_connections=32,
    # Throttled calls are repeated, with growing pauses, about half a minute in all; the client slows itself down.
    retries={"mode": "adaptive", "total_max_attempts": 6},
)


_QUICK = _CONFIG.merge(
    Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})
)


def aws_clients(region: str, profile: str | None = None, *, ask: bool = True) -> Clients:
    """Clients of the shell's account in one region, each made once; safe to use from several threads.

    Who asks is found out first, by a call that AWS denies nobody: where it fails, every other call would, and a
    listing that could not be made must not look like an empty one.

    Args:
        profile: of the AWS configuration; None for the shell's own.
        ask: False for who says himself what is wrong with the credentials.

    Raises:
        UserError: there is no such profile, there are no credentials, AWS does not accept them, or does not answer.
    """
    session = Session(profile=profile)
    try:
        session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    except ProfileNotFound as error:
        raise UserError(problem_of(error, "--profile")) from None
    clients: dict[str, Any] = {}
    lock = threading.Lock()

    def client(service: str) -> Any:
        with lock:
            if service not in clients:
                clients[service] = session.create_client(service, region_name=region, config=_CONFIG)
            return clients[service]

    if ask:
        with user_errors(f"AWS in {region}"):
            session.create_client("sts", region_name=region, config=_QUICK).get_caller_identity()
    return client


@cache
def _loader(data_path: str | None) -> Loader:
    """One for all regions: with one a session, each region's clients would parse the services' models again: 0.4 s."""
    return create_loader(data_path)


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


@contextmanager
def unless_gone() -> Iterator[None]:
    """That something is gone ends the block, and is no error."""
    try:
        yield
    except AwsError as error:
        if not is_gone(error):
            raise


def denied_action(error: Exception) -> str:
    """The IAM action that AWS names in a refusal (`ec2:DescribeVpcs`), else the operation's name."""
    named = re.search(r"perform:? ([\w-]+:\w+)", str(error))
    return named[1] if named else getattr(error, "operation_name", "")


def problem_of(error: Exception, key: str) -> Problem:
    """What a failed call means for the user, and what to do about it."""
    wrong, fix = _meaning(error)
    said = error.response.get("Error", {}).get("Message", "") if isinstance(error, ClientError) else str(error)
    return Problem(key=key, wrong=wrong, value=f"{code_of(error)}: {said}", fix=fix)


def _meaning(error: Exception) -> tuple[str, str]:
    """What is wrong, and what mends it."""
    code = code_of(error)
    if isinstance(error, _NO_CREDENTIALS):
        return "there are no AWS credentials in this shell", "`aws configure sso`, `aws sso login` or `AWS_PROFILE`"
    if isinstance(error, ProfileNotFound):
        return "there is no such profile", "`aws configure list-profiles` names them"
    if "Expired" in code or isinstance(error, SSOTokenLoadError | UnauthorizedSSOTokenError):
        return "the AWS credentials have expired", "log in again, such as `aws sso login`"
    if code in NOT_ACCEPTED:
        return (
            "AWS does not accept the credentials in this region",
            "log in again, or enable the region: `aws account enable-region --region-name REGION`",
        )
    if any(word in code for word in ("AccessDenied", "Unauthorized", "AuthorizationError")):  # the last is SNS's
        return f"these credentials may not do {denied_action(error)}", f"allow {denied_action(error)} for them"
    if code in _THROTTLED:
        return "AWS throttles the calls, after repeated tries", "wait a minute, then run the same command again"
    if isinstance(error, ClientError):
        return "AWS refused the call", "see AWS's own words above"
    if isinstance(error, EndpointConnectionError | InvalidRegionError):
        return (
            "AWS has no endpoint there that answers",
            "check the region's name (`aws account list-regions`), the network, AWS_ENDPOINT_URL and HTTPS_PROXY",
        )
    return "AWS cannot be reached", "check the network, AWS_ENDPOINT_URL and HTTPS_PROXY"


@contextmanager
def user_errors(key: str) -> Iterator[None]:
    """Turns what AWS refuses inside the block into a message for the user.

    Raises:
        UserError: for every error of boto3.
    """
    try:
        yield
    except AwsError as error:
        raise UserError(problem_of(error, key)) from None
