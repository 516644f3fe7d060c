"""The network: a VPC over two to four zones, the hosts' way out, and security groups that name each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

import pulumi
from pulumi_aws import ec2, iam

from tandem.subnets import Egress, SubnetPlan, nat_zones, plan_subnets, public_range

from .. import policies
from .log_group import LogGroup
from .stack_network import ANYWHERE, StackNetwork, TrafficArgs


@dataclass(frozen=True, kw_only=True)
class NetworkArgs(TrafficArgs):
    """What a network needs.

    Attributes:
        region: AWS region, for the names of endpoint services.
        cidr_block: range of the VPC, /16 to /22; cut into eight equal subnets, four public and four private.
        zones: availability zones, two to four.
        egress: the hosts' way out; publicHosts puts them into public subnets, with no inbound rule but the load
            balancer's.
        interface_endpoints: AWS services to reach inside the VPC.
        open_endpoints: they let in all of the VPC, not only GPU hosts: their names lead there for everything in it.
        flow_log_retention_days: keeps flow logs so many days; None keeps none.
    """

    region: str
    cidr_block: IPv4Network
    zones: Sequence[str]
    egress: Egress
    interface_endpoints: Sequence[str] = ()
    open_endpoints: bool = False
    flow_log_retention_days: int | None = None


class Network(StackNetwork):
    """VPC, subnets, routes, endpoints and security groups of one stack.

    Its subnets are known once they lead out: a load balancer is refused where there is no way out.
    """

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:Network", name, opts)
        self.vpc = self.first = ec2.Vpc(
            name,
            cidr_block=str(args.cidr_block),
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags={"Name": name},
            opts=self._child,
        )
        self.vpc_id = self.vpc.id
        self.account_id = self.vpc.owner_id
        # The group every VPC is born with allows its members everything; nothing here uses it.
        ec2.DefaultSecurityGroup(name, vpc_id=self.vpc_id, ingress=[], egress=[], opts=self._child)

        gateway = ec2.InternetGateway(name, vpc_id=self.vpc_id, tags={"Name": name}, opts=self._child)
        subnets = {
            (plan.zone, plan.public): self._subnet(plan, args.egress)
            for plan in plan_subnets(args.cidr_block, args.zones, args.egress)
        }
        public = {zone: subnet for (zone, is_public), subnet in subnets.items() if is_public}
        private = {zone: subnet for (zone, is_public), subnet in subnets.items() if not is_public}
        self.host_subnet_ids = {zone: subnet.id for zone, subnet in (private or public).items()}
        self._ways_out: dict[str, pulumi.Output[str]] = {}

        self.load_balancer_networks = [str(public_range(args.cidr_block))]
        table, self.load_balancer_subnet_ids = self._route_table("public", public.values(), gateway_id=gateway.id)
        tables = [table]
        if private:
            tables += self._private_routes(args, public, private, gateway)
        ec2.VpcEndpoint(
            f"{name}-s3",
            vpc_id=self.vpc_id,
            service_name=f"com.amazonaws.{args.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id for table in tables],
            tags={"Name": f"{name}-s3"},
            opts=self._child,
        )
        balancer = self._security_groups(args)
        if args.gateway and not args.gateway.inside and ANYWHERE not in args.client_cidrs:
            for zone, address in self._ways_out.items():
                cidr = pulumi.Output.concat(address, "/32")
                self._ingress(f"gateway-client-{zone[-1]}", balancer, 443, cidr_ipv4=cidr)
        if args.interface_endpoints:
            self._interface_endpoints(args)
        if args.flow_log_retention_days is not None:
            self._flow_log(args.region, args.flow_log_retention_days)
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "public_subnet_ids": self.load_balancer_subnet_ids,
                "host_subnet_ids": self.host_subnet_ids,
            }
        )

    def _subnet(self, plan: SubnetPlan, egress: Egress) -> ec2.Subnet:
        label = f"{self._name}-{'public' if plan.public else 'private'}-{plan.zone[-1]}"
        return ec2.Subnet(
            label,
            vpc_id=self.vpc_id,
            availability_zone=plan.zone,
            cidr_block=plan.cidr_block,
            # Node groups of EKS join from a public subnet only if it gives them an address.
            map_public_ip_on_launch=plan.public and egress == "publicHosts",
            tags={"Name": label},
            opts=self._child,
        )

    def _route_table(
        self,
        label: str,
        subnets: Iterable[ec2.Subnet],
        *,
        gateway_id: pulumi.Input[str] | None = None,
        nat_gateway_id: pulumi.Input[str] | None = None,
    ) -> tuple[ec2.RouteTable, list[pulumi.Output[str]]]:
        """A table, and the ids of its subnets, known once they lead out."""
        name = f"{self._name}-{label}"
        table = ec2.RouteTable(name, vpc_id=self.vpc_id, tags={"Name": name}, opts=self._child)
        route = ec2.Route(
            name,
            route_table_id=table.id,
            destination_cidr_block=ANYWHERE,
            gateway_id=gateway_id,
            nat_gateway_id=nat_gateway_id,
            opts=self._child,
        )
        ids = []
        for subnet in subnets:
            own = ec2.RouteTableAssociation(
                subnet._name, route_table_id=table.id, subnet_id=subnet.id, opts=self._child
            )
            ids.append(pulumi.Output.all(subnet.id, own.id, route.id).apply(lambda known: str(known[0])))
        return table, ids

    def _private_routes(
        self,
        args: NetworkArgs,
        public: dict[str, ec2.Subnet],
        private: dict[str, ec2.Subnet],
        gateway: ec2.InternetGateway,
    ) -> list[ec2.RouteTable]:
        """One table a zone, to the zone's own NAT or to the only one."""
        nats = {zone: self._nat(zone, public[zone], gateway) for zone in nat_zones(args.zones, args.egress)}
        self._ways_out = {zone: nat.public_ip for zone, nat in nats.items()}
        first = next(iter(nats.values()))
        return [
            self._route_table(f"private-{zone[-1]}", [subnet], nat_gateway_id=nats.get(zone, first).id)[0]
            for zone, subnet in private.items()
        ]

    def _nat(self, zone: str, subnet: ec2.Subnet, gateway: ec2.InternetGateway) -> ec2.NatGateway:
        label = f"{self._name}-nat-{zone[-1]}"
        # It costs, and a VPC that may not be made is made without it.
        after = pulumi.ResourceOptions(parent=self, depends_on=[self.vpc])
        address = ec2.Eip(label, domain="vpc", tags={"Name": label}, opts=after)
        return ec2.NatGateway(
            label,
            allocation_id=address.id,
            subnet_id=subnet.id,
            tags={"Name": label},
            # A NAT gateway made before its VPC has a way out stays in state "failed".
            opts=pulumi.ResourceOptions(parent=self, depends_on=[gateway]),
        )

    def _interface_endpoints(self, args: NetworkArgs) -> None:
        group = self._group("endpoints", "Interface endpoints: HTTPS from GPU hosts")
        if args.open_endpoints:
            self._ingress("endpoints-of-all", group, 443, cidr_ipv4=str(args.cidr_block))
        else:
            self._ingress("endpoints", group, 443, referenced_security_group_id=self.host_security_group_id)
        for service in args.interface_endpoints:
            ec2.VpcEndpoint(
                f"{self._name}-{service}",
                vpc_id=self.vpc_id,
                service_name=f"com.amazonaws.{args.region}.{service}",
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=list(self.host_subnet_ids.values()),
                security_group_ids=[group.id],
                tags={"Name": f"{self._name}-{service}"},
                opts=self._child,
            )

    def _flow_log(self, region: str, retention_days: int) -> None:
        label = f"{self._name}-flow-logs"
        source = pulumi.Output.concat(f"arn:aws:ec2:{region}:", self.account_id, ":vpc-flow-log/*")
        group = LogGroup(label, retention_days, self._child)
        role = iam.Role(
            label,
            description="Lets VPC flow logs write to their log group",
            assume_role_policy=policies.assumed_by("vpc-flow-logs", policies.on_behalf_of(self.account_id, source)),
            opts=self._child,
        )
        iam.RolePolicy(
            label,
            role=role.name,
            policy=policies.document(
                policies.allow(
                    ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
                    [group.arn, pulumi.Output.concat(group.arn, ":*")],
                    sid="StreamsOfOneGroup",
                )
            ),
            opts=self._child,
        )
        ec2.FlowLog(
            label,
            vpc_id=self.vpc_id,
            traffic_type="ALL",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            tags={"Name": label},
            opts=self._child,
        )
