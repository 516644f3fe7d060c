"""Whether the place that lines of servers and edges go to is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from tandem.ops.aws import code_of
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, error, ok
from tandem.settings.commands import removed, set_to

TAKES = ("ACTIVE", "UPDATING", "INACTIVE")
"""Of a function the last means that nobody called it for long."""


def place_of_lines_is_there(examination: Examination) -> Iterator[Finding]:
    """The stream or function of logs.sendTo exists and takes lines; without it CloudWatch Logs refuses the subscription
    with words about a test message. A destination belongs to another account, and cannot be looked at from here."""
    arn = examination.settings.logs.send_to
    service = arn.split(":")[2] if arn else ""
    if arn is None or service not in LOOKS:
        return
    try:
        state = LOOKS[service](examination.clients(service), arn)
    except ClientError as refused:
        if code_of(refused) != "ResourceNotFoundException":
            raise
        state = ""
    if state.upper() in TAKES:
        yield ok("lines of servers and edges have a place to go to", value=arn)
        return
    yield error(
        f"logs.sendTo takes no lines: it is {state.lower()}" if state else "logs.sendTo is not there",
        value=arn,
        needed="a stream or a function of this account and region that is active",
        fix=f"make it, or {set_to('logs.sendTo', arn.rpartition(':')[0] + ':...')}, or {removed('logs.sendTo')}",
    )


def _kinesis(client: Any, arn: str) -> str:
    return client.describe_stream_summary(StreamARN=arn)["StreamDescriptionSummary"]["StreamStatus"]


def _firehose(client: Any, arn: str) -> str:
    found = client.describe_delivery_stream(DeliveryStreamName=arn.rpartition("/")[2])
    return found["DeliveryStreamDescription"]["DeliveryStreamStatus"]


def _function(client: Any, arn: str) -> str:
    return client.get_function_configuration(FunctionName=arn)["State"]


LOOKS: Mapping[str, Callable[[Any, str], str]] = {"kinesis": _kinesis, "firehose": _firehose, "lambda": _function}
"""Its state, by the service that has it."""
