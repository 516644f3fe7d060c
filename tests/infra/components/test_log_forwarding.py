"""Lines of servers and edges on their way to another place, by each kind of destination."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest
from pulumi import ResourceOptions

from infra.components.log_forwarding import LogForwarding, LogForwardingArgs, foreign
from infra.components.log_group import LogGroup
from tandem.errors import UserError
from tests.infra.declared import ACCOUNT, Declared, declared, declared_by
from tests.infra.roles import HOSTS, PODS

STREAM = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/lines"
FIREHOSE = f"arn:aws:firehose:us-east-1:{ACCOUNT}:deliverystream/lines"
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:forwarder:live"
THEIRS = "arn:aws:logs:us-east-1:999999999999:destination:lines"
FILTER = "aws:cloudwatch/logSubscriptionFilter:LogSubscriptionFilter"


@functools.cache
def sent(arn: str) -> Declared:
    def program() -> None:
        group = LogGroup("hosts", 30, ResourceOptions())
        LogForwarding("l", LogForwardingArgs(region="us-east-1", group=group, destination_arn=arn), ResourceOptions())

    return declared(program)


@pytest.mark.parametrize(("arn", "action"), [(STREAM, "kinesis:PutRecord"), (FIREHOSE, "firehose:PutRecord")])
def test_a_stream_is_written_by_a_role_that_may_do_nothing_else(arn: str, action: str) -> None:
    found = sent(arn)
    (statement,) = json.loads(found.one("iam/rolePolicy:RolePolicy")["policy"])["Statement"]
    assert statement == {"Effect": "Allow", "Action": [action], "Resource": [arn]}
    trust: dict[str, Any] = json.loads(found.one("Role")["assumeRolePolicy"])["Statement"][0]
    assert trust["Principal"] == {"Service": "logs.amazonaws.com"}
    assert trust["Condition"] == {"ArnLike": {"aws:SourceArn": f"arn:aws:logs:us-east-1:{ACCOUNT}:*"}}
    assert found.one("LogSubscriptionFilter") == {
        "logGroup": "hosts",
        "destinationArn": arn,
        "filterPattern": "",
        "roleArn": f"arn:aws:mock:us-east-1:{ACCOUNT}:Role/l",
    }


@pytest.mark.parametrize("arn", [FUNCTION, THEIRS])
def test_a_function_and_a_destination_say_themselves_who_may_send(arn: str) -> None:
    assert sent(arn).counts() == {"tandem:index:LogForwarding": 1, "aws:cloudwatch/logGroup:LogGroup": 1, FILTER: 1}
    assert "roleArn" not in sent(arn).one("LogSubscriptionFilter")


@pytest.mark.parametrize(("stack", "group"), [(HOSTS, "dev-hosts"), (PODS, "dev-pods")])
def test_both_platforms_send_what_servers_and_edges_say(stack: dict[str, Any], group: str) -> None:
    found = declared_by(stack).one("LogSubscriptionFilter")
    assert (found["destinationArn"], found["logGroup"].rpartition("/")[2]) == (
        stack["logs"]["sendTo"],
        group.partition("-")[2],
    )


@pytest.mark.parametrize("service", ["kinesis:{}:stream/lines", "lambda:{}:function:lines"])
def test_what_is_in_another_account_is_refused_with_the_way_there(service: str) -> None:
    region, account, name = "us-east-1", "999999999999", service.partition("{}")
    arn = f"arn:aws:{name[0]}{region}:{account}{name[2]}"
    with pytest.raises(UserError) as refused:
        declared_by({"region": region, "logs": {"sendTo": arn}})
    (problem,) = refused.value.problems
    assert (problem.key, problem.value) == ("logs.sendTo", arn)
    assert f"arn:aws:logs:{region}:{account}:destination:NAME" in problem.allowed
    assert "pulumi config set --path 'tandem:logs.sendTo'" in problem.fix
    assert foreign(THEIRS, ACCOUNT) is None
