"""The stand-in for what moto lacks, asked by the SDK: it answers as the models that AWS publishes say."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from pulumi_rehearsal.account_gaps import ANSWERS, PUBLIC_IMAGE, AccountGaps
from tests.sdk_models import complete

pytestmark = pytest.mark.account

RESERVATION = {
    "CapacityReservationId": "cr-0123456789abcdef0",
    "InstanceType": "p5.48xlarge",
    "AvailabilityZone": "us-east-1a",
    "State": "active",
}
QUESTIONS: dict[str, dict[str, Any]] = {
    "ec2:DescribeInstanceTypeOfferings": {"LocationType": "availability-zone"},
    "ec2:CreateFleet": {
        "LaunchTemplateConfigs": [{"Overrides": [{"InstanceType": "g6.12xlarge", "AvailabilityZone": "us-east-1a"}]}],
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"},
        "Type": "instant",
    },
    "ec2:DescribeSpotPriceHistory": {"InstanceTypes": ["g6.12xlarge"]},
    "ec2:GetSpotPlacementScores": {"TargetCapacity": 1, "InstanceTypes": ["g6.12xlarge"]},
    "ec2:DescribeCapacityReservations": {"CapacityReservationIds": [RESERVATION["CapacityReservationId"]]},
    "ec2:DescribeImages": {"ImageIds": [PUBLIC_IMAGE]},
    "service-quotas:GetServiceQuota": {"ServiceCode": "ec2", "QuotaCode": "L-DB2E81BA"},
    "service-quotas:ListRequestedServiceQuotaChangeHistoryByQuota": {"ServiceCode": "ec2", "QuotaCode": "L-DB2E81BA"},
    "pricing:GetProducts": {
        "ServiceCode": "AmazonEC2",
        "Filters": [{"Type": "TERM_MATCH", "Field": "instanceType", "Value": "g6.12xlarge"}],
    },
    "ssm:GetParameter": {"Name": "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"},
    "iam:SimulatePrincipalPolicy": {
        "PolicySourceArn": "arn:aws:iam::123456789012:role/deployer",
        "ActionNames": ["ec2:RunInstances", "s3:GetObject"],
    },
    "iam:GetRole": {"RoleName": "AWSServiceRoleForEC2Spot"},
    "ce:GetCostAndUsage": {
        "TimePeriod": {"Start": "2026-11-01", "End": "2026-11-02"},
        "Granularity": "MONTHLY",
        "Metrics": ["UnblendedCost"],
    },
    "ce:ListCostAllocationTags": {"TagKeys": ["tandem:stack"]},
    "savingsplans:DescribeSavingsPlansOfferingRates": {
        "savingsPlanTypes": ["Compute"],
        "filters": [{"name": "instanceType", "values": ["g6.12xlarge"]}],
    },
    "eks:DescribeClusterVersions": {"clusterVersions": ["1.35"]},
}


def test_every_answer_is_asked_for_here() -> None:
    assert set(QUESTIONS) == set(ANSWERS)


@pytest.mark.parametrize("action", QUESTIONS)
def test_it_answers_as_the_sdks_models_say(action: str, aws_account: AccountGaps) -> None:
    """It has what AWS always answers, words are those that the model lists, and nothing is lost on the wire."""
    aws_account.reservations.append(dict(RESERVATION))
    aws_account.exhausted.add("g6.12xlarge")
    aws_account.denied["s3:GetObject"] = "implicitDeny"
    aws_account.monthly_usd["Amazon Elastic Compute Cloud - Compute"] = 1.5
    service, _, operation = action.partition(":")
    client = boto3.client(service, region_name="us-east-1")
    aws_account.asked.clear()
    answer = client._make_api_call(operation, QUESTIONS[action])
    (call,) = aws_account.asked
    assert call.action == action
    shape = client.meta.service_model.operation_model(operation).output_shape
    complete(shape, answer)
    meant = aws_account.answer(call)
    assert meant
    unknown = meant.keys() - shape.members.keys()
    assert not unknown
    for name, value in meant.items():
        assert plain(answer[name]) == plain(value), f"{name}: read by the SDK as it was meant"


def plain(value: Any) -> Any:
    """Without what the wire does to moments: microseconds and zones."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.replace(microsecond=0, tzinfo=None, second=0) if hasattr(value, "tzinfo") else value
