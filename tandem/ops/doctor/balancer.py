"""Whether the load balancer that is there may go, where the settings want another."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding
from tandem.tags import PROJECT, PROJECT_TAG, STACK_TAG

PROTECTED = "deletion_protection.enabled"


def former_may_go(examination: Examination) -> Iterator[Finding]:
    """Another scheme takes another load balancer, and AWS removes none that is protected: `up` would end red at its
    last step, and each one after it."""
    wanted = examination.settings.load_balancer
    tags = {PROJECT_TAG: PROJECT, STACK_TAG: examination.stack}
    found = examination.clients("resourcegroupstaggingapi").get_resources(
        ResourceTypeFilters=["elasticloadbalancing:loadbalancer"],
        TagFilters=[{"Key": key, "Values": [value]} for key, value in tags.items()],
    )["ResourceTagMappingList"]
    arns = [one["ResourceARN"] for one in found]
    elbv2 = examination.clients("elbv2")
    for balancer in elbv2.describe_load_balancers(LoadBalancerArns=arns)["LoadBalancers"] if arns else ():
        arn, internal = balancer["LoadBalancerArn"], balancer.get("Scheme") == "internal"
        attributes = elbv2.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
        if internal != wanted.internal and {"Key": PROTECTED, "Value": "true"} in attributes:
            yield Finding(
                severity="error",
                what=f"loadBalancer.scheme: {wanted.scheme} makes another load balancer, and the one that is there is "
                "protected from deletion",
                value=arn,
                needed="loadBalancer.deletionProtection: false by an `up` before the scheme changes",
                fix=f"`aws elbv2 modify-load-balancer-attributes --load-balancer-arn {arn} "
                f"--attributes Key={PROTECTED},Value=false`, then `pulumi up`",
            )
