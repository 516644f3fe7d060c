"""Field types of the settings, each with the words that an error uses for what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    SecretStr,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema


class Allowed(str):
    """Marks an annotated type with what it allows, in words; editors show them where a pattern does not match."""

    __slots__ = ()

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        found = handler(schema)
        return {**found, "patternErrorMessage": f"Allowed: {self}"} if "pattern" in found else found


@dataclass(frozen=True)
class NotThere:
    """Marks a field with values that one may look for in it, and why each is none."""

    reasons: Mapping[str, str]


_DURATION_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"(\d+)([mhd])", str(value))
    if (
        not match
        or not 10
        <= (duration := timedelta(**{_DURATION_UNITS[match[2]]: int(match[1])})) / timedelta(minutes=1)
        <= 90 * 24 * 60
    ):
        raise ValueError("not a duration")
    return duration


def _instant(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment.astimezone(UTC)


EVERYONE = IPv4Network("0.0.0.0/0")
PRIVATE = tuple(IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
"""RFC 1918. Loopback, link-local, documentation and reserved ranges are private to Python, and no VPC to AWS:
https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html"""


def _network(value: Any) -> IPv4Network:
    network = IPv4Network(value)
    if not any(network.subnet_of(block) for block in PRIVATE) or not 16 <= network.prefixlen <= 22:
        raise ValueError("not a private range of a usable size")
    return network


@dataclass(frozen=True)
class _Matches:
    """A text, or a secret, that matches a pattern as a whole; editors learn the pattern from the JSON schema."""

    pattern: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        # In Python a letter is one of any alphabet, in an editor's JavaScript one of ASCII.
        return {**handler(schema), "pattern": f"^({self.pattern})$".replace(r"\w", r"\w\u00aa-\uffff")}

    def _checked(self, value: str | SecretStr) -> str | SecretStr:
        if not re.fullmatch(self.pattern, value.get_secret_value() if isinstance(value, SecretStr) else value):
            raise ValueError(f"does not match {self.pattern}")
        return value


def _one_of(numbers: Sequence[float]) -> Callable[[float], float]:
    def checked(value: float) -> float:
        if value not in numbers:
            raise ValueError(f"is none of {numbers}")
        return value

    return checked


_NO_PLACES = {"Factory", "localtime"}
"""In the time zone database, but of a clock that nobody has set, and of whatever machine is asked."""


def _time_zone(value: str) -> str:
    if value not in available_timezones() - _NO_PLACES:
        raise ValueError("unknown time zone")
    return value


_NETWORK_SCHEMA = {"type": "string", "pattern": "^[0-9]{1,3}([.][0-9]{1,3}){3}(/[0-9.]+)?$"}

HubToken = Annotated[
    SecretStr,
    _Matches(r"[!-~]{20,256}"),
    Allowed("20 to 256 printable ASCII characters without spaces; set with `pulumi config set --secret`"),
]
Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(lambda value: f"{value // timedelta(minutes=1)}m"),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+[mhd]$"}),
    Allowed("a duration from 10m to 90d, such as 90m, 4h or 3d"),
]
Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{4}.*(Z|[+-][0-9:]+)$"}),
    Allowed("a moment with its time zone, such as 2026-12-24T18:00:00Z"),
]
PrivateNetwork = Annotated[
    IPv4Network,
    BeforeValidator(_network),
    WithJsonSchema(_NETWORK_SCHEMA),
    Allowed(
        "a private IPv4 range from /16 to /22 in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, such as 10.20.0.0/16, "
        "with no host bits set"
    ),
]
ClientNetwork = Annotated[
    IPv4Network,
    WithJsonSchema(_NETWORK_SCHEMA),
    Allowed("an IPv4 range such as 203.0.113.0/24, or 0.0.0.0/0 for everyone"),
]
Region = Annotated[str, _Matches(r"[a-z]{2}(-[a-z]+)+-\d"), Allowed("the name of an AWS region, such as us-east-1")]
Zone = Annotated[str, _Matches(r"[a-z]{2}(-[a-z]+)+-\d[a-z]"), Allowed("the name of a zone, such as us-east-1a")]
DomainName = Annotated[
    str,
    _Matches(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}"),
    Allowed("a host name in lower case, such as llm.example.com"),
]
HostedZoneId = Annotated[
    str, _Matches(r"Z[A-Z0-9]{5,31}"), Allowed("a Route 53 hosted zone id, such as Z0123456789ABC")
]
CertificateArn = Annotated[
    str,
    _Matches(r"arn:aws:acm:[a-z0-9-]+:[0-9]{12}:certificate/[0-9a-f-]+"),
    Allowed("the ARN of an ACM certificate in the stack's region"),
]
ApiPath = Annotated[
    str,
    _Matches(r"(?=.{1,128}$)/v1(/[a-z0-9_-]+)+(/\*)?"),
    Allowed(
        "a path under /v1/ in lower case of up to 128 characters, a last /* for everything below; only /v1 is guarded "
        "by the API key"
    ),
]
ModelId = Annotated[
    str,
    _Matches(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"),
    Allowed("a Hugging Face model id, organisation/name"),
]
ProjectPath = Annotated[
    str,
    _Matches(r"(?!.*\.\.)[\w-][\w./-]*\.json"),
    Allowed("a JSON file of the project, relative to its directory, such as models/config.json"),
]
SuitePath = Annotated[
    str,
    _Matches(r"(?!.*\.\.)[\w-][\w./-]*\.(yaml|jsonl)"),
    Allowed("a YAML or JSONL file of the project, relative to its directory, such as canary/suite.yaml"),
]
ServedName = Annotated[
    str, _Matches(r"[A-Za-z0-9][\w./-]{0,127}"), Allowed("letters, digits and . _ - /, 128 characters at most")
]
HeaderName = Annotated[
    str,
    _Matches(r"[A-Za-z][A-Za-z0-9-]{0,63}"),
    Allowed("a header's name of letters, digits and -, such as X-Session-Id"),
]
ParserName = Annotated[
    str, _Matches(r"[a-z0-9][a-z0-9_-]*"), Allowed("the name of a parser that vLLM ships, such as hermes or qwen3")
]
ServerArgument = Annotated[
    str,
    _Matches(r"(?!.*\$\()--[a-z0-9][a-z0-9-]*(=[ -~]{1,2000})?"),
    Allowed(
        "an argument of `vllm serve` by its whole name, its value behind =, such as --enforce-eager or --dtype=float16"
    ),
]
S3Uri = Annotated[
    str,
    _Matches(r"s3://(?!xn--|[0-9.]+/|[^/]*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[A-Za-z0-9_./-]{1,1024}"),
    Allowed("s3://bucket/path of the weights"),
]
DatabaseSnapshotName = Annotated[
    str,
    _Matches(r"[a-z]([a-z0-9]|-(?!-)){0,253}[a-z0-9]"),
    Allowed("the name of a snapshot of RDS: lower-case letters, digits and single hyphens, the first a letter"),
]
FileSystemId = Annotated[
    str, _Matches(r"fs-([0-9a-f]{8}|[0-9a-f]{17})"), Allowed("the id of an EFS file system, fs- and 8 or 17 hex digits")
]
MachineImageId = Annotated[
    str, _Matches(r"ami-([0-9a-f]{8}|[0-9a-f]{17})"), Allowed("the id of a machine image, ami- and 17 hex digits")
]
VpcId = Annotated[
    str, _Matches(r"vpc-([0-9a-f]{8}|[0-9a-f]{17})"), Allowed("the id of a VPC, vpc- and 8 or 17 hex digits")
]
SubnetId = Annotated[
    str, _Matches(r"subnet-([0-9a-f]{8}|[0-9a-f]{17})"), Allowed("the id of a subnet, subnet- and 8 or 17 hex digits")
]
ClusterName = Annotated[
    str,
    _Matches(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"),
    Allowed("the name of an EKS cluster: up to 100 letters, digits, - and _, a letter or digit first"),
]
ReservationId = Annotated[
    str, _Matches(r"cr-[0-9a-f]{17}"), Allowed("the id of a capacity reservation, cr- and 17 hex digits")
]
RoleArn = Annotated[
    str,
    _Matches(r"arn:aws:iam::[0-9]{12}:role/(?!aws-service-role/)([!-~]{1,510}/)?[A-Za-z0-9_+=,.@-]{1,64}"),
    Allowed("the ARN of an IAM role, and not of a service-linked one"),
]
PrincipalArn = Annotated[
    str,
    _Matches(r"arn:aws:iam::[0-9]{12}:(role/(?!aws-service-role/)|user/)([!-~]{1,510}/)?[A-Za-z0-9_+=,.@-]{1,64}"),
    Allowed("the ARN of an IAM role or user, without a session, and not of a service-linked role"),
]
ServiceName = Annotated[
    str,
    _Matches(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?"),
    Allowed("1 to 20 lower-case letters, digits and -, a letter first"),
]
PolicyArn = Annotated[
    str,
    _Matches(r"arn:aws:iam::[0-9]{12}:policy/([!-~]{1,510}/)?[A-Za-z0-9_+=,.@-]{1,128}"),
    Allowed("the ARN of an IAM policy of the account"),
]
SecretArn = Annotated[
    str,
    _Matches(r"arn:aws:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9_/+=.@!-]{1,512}-[A-Za-z0-9]{6}"),
    Allowed("the whole ARN of a secret in Secrets Manager, with - and six characters at its end"),
]
LogDestinationArn = Annotated[
    str,
    _Matches(
        r"arn:aws:(kinesis:[a-z0-9-]+:[0-9]{12}:stream/[A-Za-z0-9_.-]{1,128}"
        r"|firehose:[a-z0-9-]+:[0-9]{12}:deliverystream/[A-Za-z0-9_.-]{1,64}"
        r"|lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9_-]{1,64}(:[A-Za-z0-9_$-]{1,128})?"
        r"|logs:[a-z0-9-]+:[0-9]{12}:destination:[^:*]{1,512})"
    ),
    Allowed(
        "the ARN of a Kinesis data stream, a Firehose stream, a Lambda function or a destination of CloudWatch Logs "
        "(arn:aws:logs:REGION:ACCOUNT:destination:NAME)"
    ),
]
MirrorUrl = Annotated[str, _Matches(r"https?://[a-z0-9.-]+(:\d+)?"), Allowed("https://host or https://host:port")]
HttpUrl = Annotated[
    str, _Matches(r"https?://[a-z0-9.-]+(:\d+)?(/[\w./-]*)?"), Allowed("http://host:port, the address in the cluster")
]
StackUrl = Annotated[
    str,
    _Matches(r"https://[a-z0-9.-]+(:\d+)?"),
    Allowed("https://host or https://host:port, without a / at its end"),
]
ProviderUrl = Annotated[
    str,
    _Matches(r"https://[a-z0-9.-]+(:\d+)?(/[\w./-]*[\w-])?"),
    Allowed("https://host with what stands before /chat/completions, such as https://llm.example.com/v1"),
]
ProviderModel = Annotated[
    str,
    _Matches(r"[a-z][a-z0-9_]{1,40}/[\w./:-]{1,200}"),
    Allowed("PROVIDER/MODEL as LiteLLM names it, such as bedrock/eu.amazon.nova-lite-v1:0 or openai/gpt-4.1-mini"),
]
TracesUrl = Annotated[
    str,
    _Matches(r"https?://[a-z0-9.-]+(:\d+)?/[\w./-]+"),
    Allowed("the whole address that takes traces by OTLP over HTTP, such as https://otel.example.com/v1/traces"),
]


def ports_of(address: str | None) -> tuple[int, ...]:
    """TCP port of an address over HTTP or HTTPS; none without one."""
    if address is None:
        return ()
    parts = urlsplit(address)
    return (parts.port or (443 if parts.scheme == "https" else 80),)


RemoteWriteUrl = Annotated[
    str,
    _Matches(r"https?://[a-z0-9.-]+(:\d+)?/[\w./-]+"),
    Allowed(
        "the whole address that takes Prometheus' remote write, such as "
        "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-ID/api/v1/remote_write"
    ),
]
REQUEST_RATES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""What a client's requests a second may be: the edge has a zone for each number from its start."""
STREAMS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Likewise, of requests at once."""
RequestRate = Annotated[
    int, Field(ge=1), AfterValidator(_one_of(REQUEST_RATES)), Allowed(", ".join(map(str, REQUEST_RATES)))
]
Streams = Annotated[int, Field(ge=1), AfterValidator(_one_of(STREAMS)), Allowed(", ".join(map(str, STREAMS)))]
FIRST_TOKEN = (0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
"""Seconds, bounds of vLLM's histogram: only at these it is known how many answers were faster and how many slower."""
BETWEEN_TOKENS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
"""Likewise, between two tokens."""
FirstToken = Annotated[float, AfterValidator(_one_of(FIRST_TOKEN)), Allowed(", ".join(f"{n:g}" for n in FIRST_TOKEN))]
BetweenTokens = Annotated[
    float, AfterValidator(_one_of(BETWEEN_TOKENS)), Allowed(", ".join(f"{n:g}" for n in BETWEEN_TOKENS))
]
HookUrl = Annotated[
    str,
    _Matches(r"https://[A-Za-z0-9.-]+(:\d+)?(/[!-~]*)?"),
    Allowed("an address that takes SNS's messages, https://host/path"),
]
NAMESPACE_NAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
NamespaceName = Annotated[
    str, _Matches(NAMESPACE_NAME), Allowed("the name of a namespace: lower case, digits and -, up to 63 characters")
]
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
LabelKey = Annotated[
    str,
    _Matches(rf"([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_LABEL}"),
    Allowed("a label's key of Kubernetes, such as release or example.com/team"),
]
LabelValue = Annotated[
    str, _Matches(_LABEL), Allowed("a label's value of Kubernetes: letters, digits, ., _ and -, up to 63 characters")
]
Email = Annotated[
    str,
    _Matches(r"(?=.{6,254}$)[A-Za-z0-9._%+'-]{1,64}@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"),
    Allowed("an e-mail address of ASCII letters, digits and ._%+'-"),
]
TimeOfDay = Annotated[str, _Matches(r"([01]\d|2[0-3]):[0-5]\d"), Allowed("a time of day, HH:MM from 00:00 to 23:59")]
TimeZone = Annotated[str, AfterValidator(_time_zone), Allowed("an IANA time zone, such as Europe/Berlin")]
TagKey = Annotated[
    str,
    _Matches(r"(?!([aA][wW][sS]|[tT][aA][nN][dD][eE][mM]):)[\w .:/=+@-]{1,128}"),
    Allowed("1 to 128 characters that do not begin with aws: or tandem:"),
]
TagValue = Annotated[
    str,
    _Matches(r"[\w .:/=+@-]{1,256}"),
    Allowed("1 to 256 letters, digits, spaces and .:/=+@-_; EventBridge Scheduler takes no empty one"),
]
OWN_CLIENTS = "tandem-"
"""Names of clients that begin so are tandem's own: the short-lived key of a command, a host's probe."""
ClientName = Annotated[
    str,
    _Matches(rf"(?!{OWN_CLIENTS}){NAMESPACE_NAME}"),
    Allowed(
        "the name of a client: lower case, digits and -, up to 63 characters; those that begin with tandem- are "
        "tandem's own"
    ),
]
KeyDigest = Annotated[
    str,
    _Matches(r"[0-9a-f]{64}"),
    Allowed("the SHA-256 of a key as 64 lower-case hex digits, as `tandem keys digest` prints it"),
]
