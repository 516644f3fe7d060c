"""A VPC and subnets of somebody else's: the stack has security groups in it, and makes nothing else of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pulumi
import pulumi_aws as aws
from pulumi_aws import ec2

from tandem.errors import Problem, UserError
from tandem.settings.network import NetworkSettings
from tandem.tags import PROJECT, PROJECT_TAG, STACK_TAG

from .stack_network import StackNetwork, TrafficArgs

NO_OPTIONS = "default"
"""What EC2 says in place of an id where a VPC has no DHCP options; asked for, they do not exist
(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateDhcpOptions.html)."""


@dataclass(frozen=True, kw_only=True)
class ExistingNetworkArgs(TrafficArgs):
    """What is there.

    Attributes:
        vpc_id: the VPC; its owner may be another account, which shares it.
        host_subnet_ids: zone to subnet, with a way out that needs no public address.
        load_balancer_subnet_ids: in the same zones; the same, where the load balancer is internal.
    """

    vpc_id: str
    host_subnet_ids: Mapping[str, str]
    load_balancer_subnet_ids: Sequence[str]


class ExistingNetwork(StackNetwork):
    """Security groups in a VPC that is there. It has no tag, route, endpoint or flow log of the stack's. Hosts may ask
    the name servers that it names to them."""

    def __init__(self, name: str, args: ExistingNetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:ExistingNetwork", name, opts)
        asks = pulumi.InvokeOptions(parent=self)
        self.vpc_id = args.vpc_id
        self.account_id = aws.get_caller_identity(opts=asks).account_id
        self.host_subnet_ids = args.host_subnet_ids
        self.load_balancer_subnet_ids = args.load_balancer_subnet_ids
        self.load_balancer_networks = [_range(id, asks) for id in args.load_balancer_subnet_ids]
        self.first = self._security_groups(replace(args, name_servers=_name_servers(args.vpc_id, asks)))
        self.register_outputs({})


def _range(subnet_id: str, asks: pulumi.InvokeOptions) -> str:
    try:
        return ec2.get_subnet(id=subnet_id, opts=asks).cidr_block
    except Exception as error:  # the engine has no narrower one for a question that AWS did not answer
        raise UserError(
            Problem(
                key="network.existing",
                wrong=f"AWS does not tell the range of this subnet: {str(error).splitlines()[0]}",
                value=subnet_id,
                allowed="a subnet that the account sees in the stack's region",
                fix="`tandem doctor STACK` looks at each of them",
            )
        ) from None


def _name_servers(vpc_id: str, asks: pulumi.InvokeOptions) -> list[str]:
    """Those of the VPC's owner that are not AWS's; what has no IPv4 address no host can ask."""
    options = ec2.get_vpc(id=vpc_id, opts=asks).dhcp_options_id
    if options == NO_OPTIONS:
        return []
    servers = ec2.get_vpc_dhcp_options(dhcp_options_id=options, opts=asks).domain_name_servers
    return [server for server in servers if server.count(".") == 3]


def refuse_move(stack: str, network: NetworkSettings, provider: pulumi.ProviderResource) -> None:
    """A stack stays in its VPC: EKS moves no cluster, a load balancer and a file system no part of themselves.

    Args:
        network: where the settings want it.
        provider: of the stack's region.

    Raises:
        UserError: security groups of the stack are in another VPC.
    """
    vpc_id = network.existing.vpc_id if network.existing else None
    asks, tags = pulumi.InvokeOptions(provider=provider), {PROJECT_TAG: PROJECT, STACK_TAG: stack}
    there = {*(ec2.get_security_groups(tags=tags, opts=asks).vpc_ids or ())}
    right = {vpc_id} if vpc_id else {*ec2.get_vpcs(tags=tags, opts=asks).ids} if there else set[str]()
    if elsewhere := sorted(there - right):
        raise UserError(
            Problem(
                key="network.existing",
                wrong=f"the stack is in {', '.join(elsewhere)}, and nothing of it can go to another VPC",
                value=vpc_id,
                allowed=f"{elsewhere[0]}, as it was made" if vpc_id else "what the stack was made with",
                fix="put it back; to change networks bring up a second stack, lead clients there, and destroy this one "
                "(docs/operations.md, in your own VPC). What an earlier stack left is in `tandem audit`",
            )
        )
