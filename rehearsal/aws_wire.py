"""AWS's protocols on the server's side: which call a request is, and how its answer looks on the wire.

moto's own parsers and serializers do it, fed with botocore's models, so that an answer has the shape of AWS's.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

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


def received(request: BaseHTTPRequestHandler, body: bytes, by_path: Collection[str] = ()) -> Call | None:
    """The call that a signed request is; None where that cannot be told.

    Args:
        by_path: actions of services that name an operation by method and path, among which it is looked for.
    """
    scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/", request.headers.get("Authorization", ""))
    if not scope:
        return None
    region, service = scope[1], _SIGNING_NAMES.get(scope[2], scope[2])
    if service not in _services() or _model(service).protocol not in PROTOCOL_PARSERS:
        return None
    target, address = request.headers.get("X-Amz-Target", ""), urlsplit(request.path)
    form = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
    operation = target.rpartition(".")[2] or form.get("Action", "")
    operation = operation or _by_path(service, request.command, address.path, tuple(by_path))
    if not operation:
        return None
    parser = PROTOCOL_PARSERS[_model(service).protocol](_model(service).operation_model(operation))
    params = parser.parse(
        {
            "method": request.command,
            "values": MultiDict(form or parse_qs(address.query)),
            "headers": Headers(list(request.headers.items())),
            "body": body,
            "url_path": address.path,
            "url_params": {},
        }
    )
    return Call(service, operation, region, params)


@cache
def _by_path(service: str, method: str, path: str, actions: Collection[str]) -> str:
    for action in actions:
        name, _, operation = action.partition(":")
        if name == service and _model(service).operation_model(operation).http.items() >= {
            ("method", method),
            ("requestUri", path),
        }:
            return operation
    return ""


@cache
def _services() -> frozenset[str]:
    return frozenset(Session().get_available_services())


@cache
def _model(service: str) -> Any:
    return get_service_model(service)
