"""What AWS says that moto does not: offerings, quotas, permissions, public parameters, versions of Kubernetes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from pulumi_rehearsal import account_prices
from pulumi_rehearsal.aws_wire import Call, Refused

if TYPE_CHECKING:
    from pulumi_rehearsal.account_gaps import AccountGaps

KEYS_OF_AN_OVERRIDE = ("InstanceType", "SubnetId", "AvailabilityZone")
PUBLIC_IMAGE = "ami-00000000000002404"
"""What public parameters of machine images name. moto's own images are ten years old."""


def _offerings(gaps: AccountGaps, call: Call) -> dict[str, Any] | None:
    if not gaps.catalog:
        return None
    wanted = {item["Name"]: item["Values"] for item in call.params.get("Filters", ())}
    types = wanted.get("instance-type", list(gaps.catalog))
    zones = wanted.get("location", [f"{call.region}{letter}" for letter in "abcd"])
    return {
        "InstanceTypeOfferings": [
            {"InstanceType": name, "LocationType": "availability-zone", "Location": zone}
            for name in types
            for zone in zones
            if name in gaps.catalog and (name, zone) not in gaps.not_offered and zone[-1] in "abcd"
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
    found = [item for item in gaps.reservations if not wanted or item["CapacityReservationId"] in wanted]
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


ANSWERS: dict[str, Callable[[AccountGaps, Call], dict[str, Any] | None]] = {
    "ec2:DescribeInstanceTypeOfferings": _offerings,
    "ec2:CreateFleet": _fleet,
    "ec2:DescribeSpotPriceHistory": account_prices.spot_prices,
    "ec2:GetSpotPlacementScores": _placement_scores,
    "ec2:DescribeCapacityReservations": _reservations,
    "ec2:DescribeImages": _images,
    "service-quotas:GetServiceQuota": _quota,
    "service-quotas:ListRequestedServiceQuotaChangeHistoryByQuota": lambda _gaps, _call: {"RequestedQuotas": []},
    "pricing:GetProducts": account_prices.products,
    "ssm:GetParameter": _parameter,
    "iam:SimulatePrincipalPolicy": _simulation,
    "iam:GetRole": _spot_role,
    "ce:GetCostAndUsage": account_prices.cost_and_usage,
    "ce:ListCostAllocationTags": account_prices.allocation_tags,
    "savingsplans:DescribeSavingsPlansOfferingRates": account_prices.savings_plans,
    "eks:DescribeClusterVersions": _kubernetes_versions,
}
"""The calls that are answered here; moto has none of them, or only made-up values."""
