"""A new stack stops before its network where somebody's cluster has its name."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from infra.components.cluster_name import refuse_taken_cluster
from tandem.errors import UserError
from tests.infra import declared as mocks
from tests.infra.declared import declared


@pytest.mark.parametrize(
    ("clusters", "refused"), [([], False), (["tandem-dev-eu", "x"], False), (["tandem-dev"], True)]
)
def test_the_engine_is_told_before_it_makes_the_vpc(
    clusters: list[str], refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: dict[str, Any] = {}
    hooks: list[pulumi.ResourceHook] = []
    monkeypatch.setattr(mocks.Recorder, "call", lambda _self, _args: {"names": clusters})
    monkeypatch.setattr(mocks.Callbacks, "register_resource_hook", lambda _self, hook: hooks.append(hook))

    def seen(args: pulumi.ResourceTransformationArgs) -> None:
        bound[args.type_] = args.opts.hooks.before_create if args.opts.hooks else None

    def program() -> None:
        provider = aws.Provider("us-east-1", region="us-east-1")
        refuse = refuse_taken_cluster("tandem-dev", "dev", pulumi.ResourceOptions(provider=provider))
        for kind in (aws.ec2.Vpc, aws.ec2.InternetGateway):
            kind("one", opts=pulumi.ResourceOptions(provider=provider, transformations=[refuse, seen]))

    declared(program)
    (hook,) = hooks
    assert bound["aws:ec2/vpc:Vpc"] == [hook]
    assert bound["aws:ec2/internetGateway:InternetGateway"] is None
    arguments = pulumi.ResourceHookArgs(urn="", id="", name="one", type="aws:ec2/vpc:Vpc")
    if refused:
        with pytest.raises(UserError, match="the name is taken in this account and region by another state"):
            hook(arguments)
    else:
        hook(arguments)
