"""A stand-in for what moto's AWS lacks: quotas, prices, offerings, spot scores, permissions, public parameters.

It is **not AWS and not moto**: a small server in front of a moto server. It answers the calls in ANSWERS from plain
fields that a test or a rehearsal sets, refuses what it is told to refuse, and passes all else on to moto. What it
answers by default is an account in which everything is right. boto3 talks to it over the wire like to any endpoint;
moto's own parsers and serializers, fed with botocore's models, do the protocols.

Stands for: AWS, where moto has no answer: quotas, prices, offerings, permissions, public parameters.
Held by: tests/ops/test_account_gaps.py::test_it_answers_as_the_sdks_models_say
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pulumi_rehearsal.account_answers import ANSWERS, PUBLIC_IMAGE
from pulumi_rehearsal.aws_wire import Answer, Call, Refused, received
from pulumi_rehearsal.instance_types import Catalog
from pulumi_rehearsal.servers import QuietServer, serving


def _public_image() -> dict[str, Any]:
    return {
        "ImageId": PUBLIC_IMAGE,
        "Name": "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-stand-in",
        "OwnerId": "099720109477",
        "State": "available",
        "Architecture": "x86_64",
        "RootDeviceName": "/dev/sda1",
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8, "VolumeType": "gp3"}}],
    }


@dataclass
class AccountGaps:
    """The facts from which the stand-in answers. Everything is right until a field says otherwise.

    Attributes:
        url: its endpoint (`AWS_ENDPOINT_URL`).
        catalog: instance types that it has, with their prices; those of moto, without prices, where it is empty.
        quotas: quota code to value; default_quota for all others.
        not_offered: (instance type, zone) pairs that EC2 does not offer.
        exhausted: instance types of which EC2 has none left, for fleets.
        prices: instance type to US dollars an hour on demand; the catalog's where nothing is set.
        part_prices: service code and usage type (`EU-NatGateway-Hours`) to US dollars, in any region.
        spot_share: spot price as a share of the on-demand one; None for no price history at all.
        placement_score: of every zone, 1 to 10.
        denied: IAM actions that the simulation denies, to `implicitDeny` or `explicitDeny`.
        allowed_on: denied actions that are allowed on resources that match a pattern (`arn:aws:s3:::mine-*`).
        parameters: names of public parameters to values; None for one that does not exist.
        images: machine images beside moto's, by id.
        reservations: what DescribeCapacityReservations knows.
        kubernetes: versions that EKS has, to their status; every other is in standard support.
        supported_until: when standard support ends, of each version.
        disabled_regions: AWS accepts no credentials there.
        refused: `service:Operation`, or `*`, to the code and message of a refusal.
        throttled: `service:Operation` to how many of its next calls are throttled.
        monthly_usd: group key to US dollars that Cost Explorer reports, by SERVICE.
        spot_role: the account has the service-linked role of EC2 Spot.
        allocation_tags: keys of cost allocation tags that Cost Explorer has seen, to `Active` or `Inactive`.
        asked: calls that were answered here, in order.
        seen: all calls but S3's with what they were answered, those that moto answered, too, in the order in which they
            ended.
    """

    url: str = ""
    catalog: Catalog = field(default_factory=dict)
    quotas: dict[str, float] = field(default_factory=dict)
    default_quota: float = 1000.0
    not_offered: set[tuple[str, str]] = field(default_factory=set)
    exhausted: set[str] = field(default_factory=set)
    prices: dict[str, float] = field(default_factory=dict)
    part_prices: dict[tuple[str, str], float] = field(default_factory=dict)
    spot_share: float | None = 0.4
    placement_score: int = 8
    denied: dict[str, str] = field(default_factory=dict)
    allowed_on: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str | None] = field(default_factory=dict)
    images: dict[str, dict[str, Any]] = field(default_factory=lambda: {PUBLIC_IMAGE: _public_image()})
    reservations: list[dict[str, Any]] = field(default_factory=list)
    kubernetes: dict[str, str] = field(default_factory=dict)
    supported_until: datetime = datetime(2027, 3, 27, tzinfo=UTC)
    disabled_regions: set[str] = field(default_factory=set)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    throttled: dict[str, int] = field(default_factory=dict)
    monthly_usd: dict[str, float] = field(default_factory=dict)
    spot_role: bool = True
    allocation_tags: dict[str, str] = field(default_factory=dict)
    asked: list[Call] = field(default_factory=list)
    seen: list[tuple[Call, Answer]] = field(default_factory=list)

    def add_images(self, file: Path) -> None:
        """The machine images that a file names exist, those that stand in for others, too."""
        for image in re.findall(r"ami-[0-9a-f]{17}", file.read_text(encoding="utf-8")):
            self.images[image] = {**_public_image(), "ImageId": image}

    def price(self, instance_type: str) -> float | None:
        known = self.catalog.get(instance_type)
        return self.prices.get(instance_type, (known.usd_per_hour or None) if known else None)

    def answer(self, call: Call) -> dict[str, Any] | None:
        """What AWS would say; None for what moto says.

        Raises:
            Refused: what AWS would refuse.
        """
        if call.region in self.disabled_regions:
            raise Refused("AuthFailure", "AWS was not able to validate the provided access credentials")
        if self.throttled.get(call.action, 0) > 0:
            self.throttled[call.action] -= 1
            raise Refused("ThrottlingException", "Rate exceeded")
        for name in (call.action, "*"):
            if name in self.refused:
                raise Refused(*self.refused[name])
        found = ANSWERS.get(call.action)
        return found(self, call) if found else None


@contextmanager
def account_gaps(moto_url: str, catalog: Catalog | None = None) -> Iterator[AccountGaps]:
    """Starts the stand-in in front of a moto server, and ends it with the block.

    Args:
        catalog: instance types of the account, with their prices.
    """
    gaps = AccountGaps(catalog=catalog or {})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            call = received(self, body)
            answer = (call and call.readable and _own_answer(gaps, call)) or _forward(moto_url, self, body)
            if call:
                gaps.seen.append((call, answer))
            status, headers, content = answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    server = QuietServer(("127.0.0.1", 0), Handler)
    gaps.url = f"http://127.0.0.1:{server.server_address[1]}"
    with serving(server):
        yield gaps


def _own_answer(gaps: AccountGaps, call: Call) -> Answer | None:
    try:
        result: Any = gaps.answer(call)
    except Refused as refusal:
        result = refusal
    else:
        if result is None:
            return None
        gaps.asked.append(call)
    return call.answer(result)


_HOP_BY_HOP = {"connection", "content-length", "transfer-encoding", "date", "server", "keep-alive"}


def _forward(moto_url: str, request: BaseHTTPRequestHandler, body: bytes) -> Answer:
    passed = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
    connection = http.client.HTTPConnection(urlsplit(moto_url).netloc, timeout=60)
    try:
        connection.request(request.command, request.path, body, passed)
        response = connection.getresponse()
        return response.status, _kept(response.headers), response.read()
    finally:
        connection.close()


def _kept(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}
