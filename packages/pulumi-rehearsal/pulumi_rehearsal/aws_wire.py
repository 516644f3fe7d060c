"""AWS's protocols on the server's side: which call a request is, and how its answer looks on the wire.

moto's own parsers and serializers do it, fed with botocore's models, so that an answer has the shape of AWS's.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.awsrequest import HeadersDict
from botocore.parsers import create_parser
from botocore.session import Session
from moto.core.exceptions import ServiceException
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.datastructures import Headers, MultiDict

# moto warns of codes that a service's model lacks; AWS sends some of them, such as ExpiredToken, from every service.
warnings.filterwarnings("ignore", message=r"Exception\(Refused\)")

_SIGNING_NAMES = {"servicequotas": "service-quotas", "elasticloadbalancing": "elbv2", "monitoring": "cloudwatch"}
"""Where the name in a signature is not boto3's name of the service."""

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""


class Refused(ServiceException):
    """AWS says no, with one of its codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Call:
    """One call of an AWS operation: `ec2`, `DescribeVpcs`, its region and its parameters as boto3 takes them."""

    service: str
    operation: str
    region: str
    params: Mapping[str, Any]

    @property
    def action(self) -> str:
        return f"{self.service}:{self.operation}"

    @property
    def readable(self) -> bool:
        """Its parameters could be read, and it can be answered."""
        return _readable(self.service)

    @property
    def model(self) -> Any:
        """botocore's model of the operation."""
        return _model(self.service).operation_model(self.operation)

    def answer(self, result: Any) -> Answer:
        """The result, or a Refused, as the service sends it."""
        protocol = _model(self.service).protocol
        serialized = get_serializer_class(self.service, protocol)(operation_model=self.model).serialize(result)
        content = serialized["body"]
        headers = {name: str(value) for name, value in serialized["headers"].items()}
        return serialized["status_code"], headers, content.encode() if isinstance(content, str) else bytes(content)


def received(request: BaseHTTPRequestHandler, body: bytes) -> Call | None:
    """The call that a signed request is; None where that cannot be told, as of S3. Without parameters where moto has no
    parser for the protocol, as of CloudWatch."""
    scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/", request.headers.get("Authorization", ""))
    if not scope:
        return None
    region, service = scope[1], _SIGNING_NAMES.get(scope[2], scope[2])
    if service not in _services():
        return None
    target, address = request.headers.get("X-Amz-Target", ""), urlsplit(request.path)
    form = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace"), True).items()}
    operation, found = target.rpartition(".")[2] or form.get("Action", ""), {}
    if not operation:
        operation, found = _by_path(service, request.command, address.path)
    if not operation:
        return None
    if not _readable(service):
        return Call(service, operation, region, {})
    parser = PROTOCOL_PARSERS[_model(service).protocol](_model(service).operation_model(operation))
    params = parser.parse(
        {
            "method": request.command,
            "values": MultiDict(form or parse_qs(address.query)),
            "headers": Headers(list(request.headers.items())),
            "body": body,
            "url_path": address.path,
            "url_params": found,
        }
    )
    return Call(service, operation, region, params)


def said(call: Call, answer: Answer) -> Mapping[str, Any]:
    """What an answer says, as boto3 gives it; nothing of a refusal."""
    status, headers, content = answer
    if status >= 300 or not call.readable or call.model.output_shape is None:
        return {}
    parts = {"status_code": status, "headers": HeadersDict(headers), "body": content}
    found = create_parser(_model(call.service).protocol).parse(parts, call.model.output_shape)
    return {key: value for key, value in found.items() if key != "ResponseMetadata"}


def _by_path(service: str, method: str, path: str) -> tuple[str, dict[str, str]]:
    """The operation that a method and a path name, and what stands in the path; the one with the longest words."""
    if cbor := re.fullmatch(r"/service/\w+/operation/(\w+)", path):
        return cbor[1], {}
    for own, pattern, operation in _paths(service):
        if own == method and (found := pattern.fullmatch(path)):
            return operation, {name: unquote(text) for name, text in found.groupdict().items()}
    return "", {}


@cache
def _paths(service: str) -> list[tuple[str, re.Pattern[str], str]]:
    """Method, path and operation of a service that names operations so, as those of JSON do."""
    model, found = _model(service), []
    for operation in model.operation_names if model.protocol == "rest-json" else ():
        http = model.operation_model(operation).http
        parts = re.split(r"{(\w+)\+?}", http["requestUri"].partition("?")[0])
        pattern = "".join(f"(?P<{part}>[^/]+)" if odd % 2 else re.escape(part) for odd, part in enumerate(parts))
        found.append((-sum(map(len, parts[::2])), http["method"], re.compile(pattern), operation))
    return [one[1:] for one in sorted(found, key=lambda one: one[0])]


@cache
def _services() -> frozenset[str]:
    return frozenset(Session().get_available_services())


def _readable(service: str) -> bool:
    return _model(service).protocol in PROTOCOL_PARSERS


@cache
def _model(service: str) -> Any:
    return get_service_model(service)
