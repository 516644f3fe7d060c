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
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.catalog.instances import INSTANCE_TYPES
from rehearsal.aws_wire import Answer, Call, Refused, received
from rehearsal.servers import QuietServer

KEYS_OF_AN_OVERRIDE = ("InstanceType", "SubnetId", "AvailabilityZone")
PUBLIC_IMAGE = "ami-00000000000002404"
"""What public parameters of machine images name. moto's own images are ten years old."""


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
        quotas: quota code to value; default_quota for all others.
        not_offered: (instance type, zone) pairs that EC2 does not offer.
        exhausted: instance types of which EC2 has none left, for fleets.
        prices: instance type to US dollars an hour on demand; the catalog's where nothing is set.
        part_prices: service code and usage type (`EU-NatGateway-Hours`) to US dollars, in any region.
        spot_share: spot price as a share of the on-demand one; None for no price history at all.
        placement_score: of every zone, 1 to 10.
        denied: IAM actions that the simulation denies, to `implicitDeny` or `explicitDeny`.
        allowed_on: denied actions that are allowed on resources that match a pattern (`arn:aws:s3:::tandem-*`).
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
    allocation_tags: dict[str, str] = field(default_factory=lambda: {"tandem:stack": "Active"})
    asked: list[Call] = field(default_factory=list)
    seen: list[tuple[Call, Answer]] = field(default_factory=list)

    def add_images(self, pins: Path) -> None:
        """The machine images that a file of pins names exist, those that stand in for empty pins, too."""
        for image in re.findall(r"ami-[0-9a-f]{17}", pins.read_text(encoding="utf-8")):
            self.images[image] = {**_public_image(), "ImageId": image}

    def price(self, instance_type: str) -> float | None:
        known = INSTANCE_TYPES.get(instance_type)
        return self.prices.get(instance_type, known.usd_per_hour if known else None)

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


def _offerings(gaps: AccountGaps, call: Call) -> dict[str, Any]:
    wanted = {item["Name"]: item["Values"] for item in call.params.get("Filters", ())}
    types = wanted.get("instance-type", list(INSTANCE_TYPES))
    zones = wanted.get("location", [f"{call.region}{letter}" for letter in "abcd"])
    return {
        "InstanceTypeOfferings": [
            {"InstanceType": name, "LocationType": "availability-zone", "Location": zone}
            for name in types
            for zone in zones
            if name in INSTANCE_TYPES and (name, zone) not in gaps.not_offered and zone[-1] in "abcd"
        ]
    }


def _fleet(gaps: AccountGaps, call: Call) -> dict[str, Any] | None:
    """One that got nothing, where all that it asks for is exhausted. A dry run asks only whether one may."""
    wanted = [one for template in call.params["LaunchTemplateConfigs"] for one in template.get("Overrides", ())]
    if call.params.get("DryRun") or not {one["InstanceType"] for one in wanted} <= gaps.exhausted:
        return None
    errors = [
        {
            "LaunchTemplateAndOverrides": {"Overrides": {key: one[key] for key in KEYS_OF_AN_OVERRIDE if key in one}},
            "Lifecycle": call.params["TargetCapacitySpecification"]["DefaultTargetCapacityType"],
            "ErrorCode": "InsufficientInstanceCapacity",
            "ErrorMessage": f"We currently do not have sufficient {one['InstanceType']} capacity.",
        }
        for one in wanted
    ]
    return {"FleetId": "fleet-00000000-0000-0000-0000-000000000000", "Errors": errors, "Instances": []}


def _spot_prices(gaps: AccountGaps, call: Call) -> dict[str, Any]:
    types = call.params.get("InstanceTypes") or INSTANCE_TYPES
    return {
        "SpotPriceHistory": [
            {
                "InstanceType": name,
                "AvailabilityZone": f"{call.region}{letter}",
                "ProductDescription": "Linux/UNIX",
                "SpotPrice": f"{price * gaps.spot_share:.6f}",
                "Timestamp": datetime.now(UTC) - timedelta(hours=1),
            }
            for name in types
            for letter in "abcd"
            if gaps.spot_share is not None and (price := gaps.price(name)) is not None
        ]
    }


def _placement_scores(gaps: AccountGaps, call: Call) -> dict[str, Any]:
    zones = [f"{call.region}-az{number}" for number in (1, 2, 3)]
    return {
        "SpotPlacementScores": [
            {"Region": call.region, "AvailabilityZoneId": zone, "Score": gaps.placement_score} for zone in zones
        ]
    }


def _images(gaps: AccountGaps, call: Call) -> dict[str, Any] | None:
    wanted = call.params.get("ImageIds", ())
    known = [gaps.images[image] for image in wanted if image in gaps.images]
    return {"Images": known} if known else None


def _reservations(gaps: AccountGaps, call: Call) -> dict[str, Any]:
    wanted = call.params.get("CapacityReservationIds", ())
    found = [item for item in gaps.reservations if item["CapacityReservationId"] in wanted]
    if len(found) < len(wanted):
        raise Refused("InvalidCapacityReservationId.NotFound", f"The capacity reservations {wanted} do not exist")
    return {"CapacityReservations": found}


def _kubernetes_versions(gaps: AccountGaps, call: Call) -> dict[str, Any]:
    wanted = call.params.get("clusterVersions", ())
    known = {version: gaps.kubernetes.get(version, "STANDARD_SUPPORT") for version in wanted}
    return {
        "clusterVersions": [
            {"clusterVersion": version, "versionStatus": status, "endOfStandardSupportDate": gaps.supported_until}
            for version, status in known.items()
            if status
        ]
    }


def _quota(gaps: AccountGaps, call: Call) -> dict[str, Any]:
    code = call.params["QuotaCode"]
    return {
        "Quota": {
            "ServiceCode": call.params["ServiceCode"],
            "QuotaCode": code,
            "Value": gaps.quotas.get(code, gaps.default_quota),
            "Adjustable": True,
        }
    }


def _products(gaps: AccountGaps, call: Call) -> dict[str, Any]:
    """The price list, for instance types and for what `gaps.part_prices` names.

    Stands for: the price list's query API.
    Held by: tests/ops/test_price_list.py::test_the_stand_in_answers_in_the_form_of_the_published_sample
    """
    wanted = {item["Field"]: item["Value"] for item in call.params.get("Filters", ())}
    service = call.params["ServiceCode"]
    if "instanceType" in wanted:
        price = gaps.price(wanted["instanceType"])
        found = {} if price is None else {f"BoxUsage:{wanted['instanceType']}": price}
    elif service == "AmazonEC2" and wanted.get("productFamily", "").startswith("Compute Instance"):
        prices = {name: gaps.price(name) for name in INSTANCE_TYPES}
        all_types = [
            _product(service, {**wanted, "instanceType": name}, f"BoxUsage:{name}", price)
            for name, price in prices.items()
            if price is not None
        ]
        return {"FormatVersion": "aws_v1", "PriceList": all_types}
    else:
        only = wanted.get("volumeApiName") or wanted.get("throughputClass") or ""
        found = {usage: usd for (one, usage), usd in gaps.part_prices.items() if one == service and only in usage}
    return {"FormatVersion": "aws_v1", "PriceList": [_product(service, wanted, *item) for item in found.items()]}


def _product(service: str, attributes: Mapping[str, str], usage: str, usd: float) -> str:
    sku, rate = "WQGC34PB2AWS8R4U", "WQGC34PB2AWS8R4U.JRTCKXETXF.6YS6EN2CT7"
    dimension = {
        "unit": "Hrs",
        "endRange": "Inf",
        "description": f"${usd} for {usage}",
        "appliesTo": [],
        "rateCode": rate,
        "beginRange": "0",
        "pricePerUnit": {"USD": f"{usd:.10f}"},
    }
    term = {
        "priceDimensions": {rate: dimension},
        "sku": sku,
        "effectiveDate": "2026-11-01T00:00:00Z",
        "offerTermCode": "JRTCKXETXF",
        "termAttributes": {},
    }
    product = {
        "productFamily": attributes.get("productFamily", "Compute Instance"),
        "attributes": {**attributes, "servicecode": service, "usagetype": usage, "operation": ""},
        "sku": sku,
    }
    return json.dumps(
        {
            "product": product,
            "serviceCode": service,
            "terms": {"OnDemand": {rate.rpartition(".")[0]: term}},
            "version": "20261101000000",
            "publicationDate": "2026-11-01T00:00:00Z",
        }
    )


def _spot_role(gaps: AccountGaps, call: Call) -> dict[str, Any] | None:
    """The service-linked role of EC2 Spot; moto makes none by itself.

    Stands for: IAM's answer for a role that AWS makes.
    Held by: tests/ops/test_account_gaps.py::test_it_answers_as_the_sdks_models_say
    """
    name = call.params["RoleName"]
    if name != "AWSServiceRoleForEC2Spot" or not gaps.spot_role:
        return None
    path = "/aws-service-role/spot.amazonaws.com/"
    return {
        "Role": {
            "Path": path,
            "RoleName": name,
            "RoleId": "AROA0123456789ABCDEF0",
            "Arn": f"arn:aws:iam::123456789012:role{path}{name}",
            "CreateDate": datetime(2026, 1, 1, tzinfo=UTC),
        }
    }


def _savings_plans(gaps: AccountGaps, call: Call) -> dict[str, Any]:
    """No-upfront rates: 0.7 of the on-demand price for a year, 0.5 for three.

    Stands for: AWS Savings Plans' rates.
    Held by: tests/ops/test_account_gaps.py::test_it_answers_as_the_sdks_models_say
    """
    wanted = {item["name"]: item["values"][0] for item in call.params.get("filters", ())}
    price = gaps.price(wanted["instanceType"])
    if price is None:
        return {"searchResults": []}
    return {
        "searchResults": [
            {
                "savingsPlanOffering": {
                    "offeringId": "12345678-1234-1234-1234-123456789012",
                    "paymentOption": "No Upfront",
                    "planType": plan,
                    "durationSeconds": years * 365 * 24 * 3600,
                    "currency": "USD",
                },
                "rate": f"{price * share:.5f}",
                "unit": "Hrs",
                "productType": "EC2",
                "serviceCode": "AmazonEC2",
                "usageType": f"BoxUsage:{wanted['instanceType']}",
                "properties": [{"name": name, "value": value} for name, value in wanted.items()],
            }
            for plan in call.params["savingsPlanTypes"]
            for years, share in ((1, 0.7), (3, 0.5))
        ]
    }


def _allocation_tags(gaps: AccountGaps, call: Call) -> dict[str, Any]:
    """Stands for: Cost Explorer's list of cost allocation tags.
    Held by: tests/ops/test_account_gaps.py::test_it_answers_as_the_sdks_models_say
    """
    return {
        "CostAllocationTags": [
            {"TagKey": key, "Type": "UserDefined", "Status": gaps.allocation_tags[key]}
            for key in call.params["TagKeys"]
            if key in gaps.allocation_tags
        ]
    }


def _parameter(gaps: AccountGaps, call: Call) -> dict[str, Any] | None:
    name = call.params["Name"]
    if not name.startswith("/aws/service/"):
        return None
    value = gaps.parameters.get(name, PUBLIC_IMAGE)
    if value is None:
        raise Refused("ParameterNotFound", "")
    return {"Parameter": {"Name": name, "Type": "String", "Value": value, "Version": 1}}


def _simulation(gaps: AccountGaps, call: Call) -> dict[str, Any]:
    def decision(action: str, resource: str) -> str:
        pattern = gaps.allowed_on.get(action)
        if action not in gaps.denied or (pattern is not None and fnmatchcase(resource, pattern)):
            return "allowed"
        return gaps.denied[action]

    return {
        "IsTruncated": False,
        "EvaluationResults": [
            {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": decision(action, resource)}
            for action in call.params["ActionNames"]
            for resource in call.params.get("ResourceArns") or ["*"]
        ],
    }


def _cost_and_usage(gaps: AccountGaps, call: Call) -> dict[str, Any]:
    period = call.params["TimePeriod"]
    groups = [
        {"Keys": [name], "Metrics": {"UnblendedCost": {"Amount": f"{usd:.4f}", "Unit": "USD"}}}
        for name, usd in gaps.monthly_usd.items()
    ]
    return {"ResultsByTime": [{"TimePeriod": period, "Total": {}, "Groups": groups, "Estimated": True}]}


ANSWERS: dict[str, Callable[[AccountGaps, Call], dict[str, Any] | None]] = {
    "ec2:DescribeInstanceTypeOfferings": _offerings,
    "ec2:CreateFleet": _fleet,
    "ec2:DescribeSpotPriceHistory": _spot_prices,
    "ec2:GetSpotPlacementScores": _placement_scores,
    "ec2:DescribeCapacityReservations": _reservations,
    "ec2:DescribeImages": _images,
    "service-quotas:GetServiceQuota": _quota,
    "service-quotas:ListRequestedServiceQuotaChangeHistoryByQuota": lambda _gaps, _call: {"RequestedQuotas": []},
    "pricing:GetProducts": _products,
    "ssm:GetParameter": _parameter,
    "iam:SimulatePrincipalPolicy": _simulation,
    "iam:GetRole": _spot_role,
    "ce:GetCostAndUsage": _cost_and_usage,
    "ce:ListCostAllocationTags": _allocation_tags,
    "savingsplans:DescribeSavingsPlansOfferingRates": _savings_plans,
    "eks:DescribeClusterVersions": _kubernetes_versions,
}
"""The calls that are answered here; moto has none of them, or only made-up values."""


@contextmanager
def account_gaps(moto_url: str) -> Iterator[AccountGaps]:
    """Starts the stand-in in front of a moto server, and ends it with the block."""
    gaps = AccountGaps()

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
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    gaps.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield gaps
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


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
