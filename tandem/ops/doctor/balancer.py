"""Whether the load balancer that is there may go, where the settings want another."""

from __future__ import annotations

from collections.abc import Iterator

from tandem import type_tokens as types
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, error
from tandem.ops.kinds import ours

PROTECTED = "deletion_protection.enabled"


def former_may_go(examination: Examination) -> Iterator[Finding]:
    """Another scheme takes another load balancer, and AWS removes none that is protected: `up` would end red at its
    last step, and each one after it."""
    wanted, elbv2 = examination.settings.load_balancer, examination.clients("elbv2")
    for balancer in ours(examination.clients, examination.stack, types.LOAD_BALANCER):
        arn, internal = balancer.arn, balancer.facts.get("Scheme") == "internal"
        attributes = elbv2.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
        if internal != wanted.internal and {"Key": PROTECTED, "Value": "true"} in attributes:
            yield error(
                f"loadBalancer.scheme: {wanted.scheme} makes another load balancer, and the one that is there is "
                "protected from deletion",
                arn,
                "loadBalancer.deletionProtection: false by an `up` before the scheme changes",
                f"`aws elbv2 modify-load-balancer-attributes --load-balancer-arn {arn} "
                f"--attributes Key={PROTECTED},Value=false`, then `pulumi up`",
            )
