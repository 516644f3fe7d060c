"""The name of the EKS cluster: the stack's own, since a cluster cannot be renamed, and free before anything is made."""

from __future__ import annotations

import pulumi
from pulumi_aws import eks

from tandem.claim import taken
from tandem.errors import UserError
from tandem.type_tokens import SECURITY_GROUP, VPC

from .existing_network import ExistingNetwork


def refuse_taken_cluster(name: str, stack: str, opts: pulumi.ResourceOptions) -> pulumi.ResourceTransformation:
    """A transformation of a network, which stops a new stack where somebody's cluster has the name of its own.

    The parameter that holds a stack's name tells another life of it; this tells a cluster from before stacks had one,
    and one that is not of this project. The engine asks before it makes the VPC, or security groups in one that is
    there, and only then: a stack that has these has its cluster, too.

    Args:
        opts: with the provider of the stack's region.
    """
    there = eks.get_clusters(opts=pulumi.InvokeOptions(provider=opts.provider)).names

    def claim(_hook: pulumi.ResourceHookArgs) -> None:
        if name in there:
            raise UserError(taken(stack, [f"EKS cluster {name}"]))

    ask = pulumi.ResourceHook(f"name of cluster {name}", claim, pulumi.ResourceHookOptions(on_dry_run=True))
    asked = pulumi.ResourceOptions(hooks=pulumi.ResourceHookBinding(before_create=[ask]))

    def transform(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        in_others = args.type_ == SECURITY_GROUP and args.opts and isinstance(args.opts.parent, ExistingNetwork)
        if not (args.type_ == VPC or in_others):
            return None
        return pulumi.ResourceTransformationResult(args.props, pulumi.ResourceOptions.merge(args.opts, asked))

    return transform
