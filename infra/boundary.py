"""A permissions boundary on each role of a stack: the most that the role can do, whatever policies it is given."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from tandem.type_tokens import ROLE


def bounded(boundary_arn: str | None) -> Sequence[pulumi.ResourceTransformation]:
    """The transformations that give all roles below a component the boundary; none without one.

    A boundary that comes, changes or goes is an update of the role in place: `permissions_boundary` of the AWS
    provider's role does not force a new one
    (https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/iam/role.go).
    """

    def bind(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if args.type_ != ROLE:
            return None
        return pulumi.ResourceTransformationResult({**args.props, "permissions_boundary": boundary_arn}, args.opts)

    return [bind] if boundary_arn else []
