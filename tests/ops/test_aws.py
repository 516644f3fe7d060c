"""What AWS refuses, in words that a user can act on."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError

from tandem.errors import UserError
from tandem.ops.aws import aws_clients, problem_of, user_errors


def refusal(code: str, message: str = "no", operation: str = "DescribeVpcs") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.mark.parametrize(
    ("error", "wrong", "fix"),
    [
        (NoCredentialsError(), "there are no AWS credentials in this shell", "`aws configure sso`"),
        (refusal("ExpiredToken"), "the AWS credentials have expired", "`aws sso login`"),
        (refusal("ExpiredTokenException"), "the AWS credentials have expired", "`aws sso login`"),
        (refusal("RequestExpired"), "the AWS credentials have expired", "`aws sso login`"),
        (refusal("AuthFailure"), "AWS does not accept the credentials in this region", "enable-region"),
        (refusal("UnrecognizedClientException"), "AWS does not accept the credentials in this region", "log in again"),
        (
            refusal("AccessDenied", "User: arn:x is not authorized to perform: sns:Subscribe on resource: y"),
            "these credentials may not do sns:Subscribe",
            "allow sns:Subscribe",
        ),
        (refusal("UnauthorizedOperation"), "these credentials may not do DescribeVpcs", "allow DescribeVpcs"),
        (refusal("Throttling"), "AWS throttles the calls, after repeated tries", "wait a minute"),
        (refusal("RequestLimitExceeded"), "AWS throttles the calls, after repeated tries", "wait a minute"),
        (EndpointConnectionError(endpoint_url="https://x"), "AWS has no endpoint there that answers", "region's name"),
        (ReadTimeoutError(endpoint_url="https://x"), "AWS cannot be reached", "HTTPS_PROXY"),
        (refusal("InternalError"), "AWS refused the call", "AWS's own words"),
    ],
)
def test_each_refusal_has_its_remedy(error: Exception, wrong: str, fix: str) -> None:
    problem = problem_of(error, "a key")
    assert (problem.key, problem.wrong) == ("a key", wrong)
    assert fix in problem.fix


def test_an_unknown_profile_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(UserError) as caught:
        aws_clients("us-east-1", "nosuch")
    assert caught.value.problems[0].fix == "`aws configure list-profiles` names them"


def test_errors_of_boto3_become_errors_of_the_user() -> None:
    with pytest.raises(UserError, match="credentials have expired"), user_errors("prices"):
        raise refusal("ExpiredToken")
