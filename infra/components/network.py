"""The network: a VPC over two to four zones, the hosts' way out, and security groups that name each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TypedDict, Unpack

import pulumi
from pulumi_aws import ec2, iam, vpc

from tandem.subnets import Egress, SubnetPlan, nat_zones, plan_subnets

from .. import policies
from .log_group import LogGroup

ANYWHERE = "0.0.0.0/0"
NFS_PORT = 2049


class _Peer(TypedDict, total=False):
    """The other end of a security group rule."""

    cidr_ipv4: pulumi.Input[str]
    referenced_security_group_id: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """What a network needs.

    Attributes:
        region: AWS region, for the names of endpoint services.
        cidr_block: range of the VPC, /16 to /22; cut into eight equal subnets, four public and four private.
        zones: availability zones, two to four.
        egress: the hosts' way out; publicHosts puts them into public subnets, with no inbound rule but the load
            balancer's.
        edge_port: port of the hosts' edge that the load balancer may reach.
        client_cidrs: who may reach the load balancer, on client_ports only.
        client_ports: of HTTPS, and of HTTP where it leads there.
        host_ports: which hosts reach anywhere: HTTPS, the package mirrors' HTTP, and what else they are told of.
        interface_endpoints: AWS services to reach inside the VPC.
        open_endpoints: they let in all of the VPC, not only GPU hosts: their names lead there for everything in it.
        flow_log_retention_days: keeps flow logs so many days; None keeps none.
    """

    region: str
    cidr_block: IPv4Network
    zones: Sequence[str]
    egress: Egress
    edge_port: int
    client_cidrs: Sequence[str]
    client_ports: Sequence[int] = (443, 80)
    host_ports: Sequence[int] = (443, 80)
    interface_endpoints: Sequence[str] = ()
    open_endpoints: bool = False
    flow_log_retention_days: int | None = None


class Network(pulumi.ComponentResource):
    """VPC, subnets, routes, endpoints and security groups of one stack.

    Attributes:
        vpc: the first that is made of a network.
        vpc_id: its id.
        account_id: that owns it, and so all of the stack.
        public_subnet_ids: one a zone, for the load balancer, which is refused where there is no way out.
        host_subnet_ids: zone to the subnet that its hosts and mount targets live in.
        load_balancer_security_group_id: in from the clients, out to the hosts' edge.
        host_security_group_id: in from the load balancer, out to host_ports and the model cache.
        cache_security_group_id: in from the hosts on NFS, nothing out.
    """

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:Network", name, None, opts)
        self._name = name
        self._child = pulumi.ResourceOptions(parent=self)
        self.vpc = ec2.Vpc(
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

        table, self.public_subnet_ids = self._route_table("public", public.values(), gateway_id=gateway.id)
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
        self._security_groups(args)
        if args.interface_endpoints:
            self._interface_endpoints(args)
        if args.flow_log_retention_days is not None:
            self._flow_log(args.region, args.flow_log_retention_days)
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "public_subnet_ids": self.public_subnet_ids,
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

    def _group(self, role: str, description: str) -> ec2.SecurityGroup:
        label = f"{self._name}-{role}"
        return ec2.SecurityGroup(
            label, vpc_id=self.vpc_id, description=description, tags={"Name": label}, opts=self._child
        )

    def _security_groups(self, args: NetworkArgs) -> None:
        balancer = self._group("load-balancer", "Load balancer: HTTPS from clients")
        hosts = self._group("hosts", "GPU hosts: only the load balancer comes in")
        cache = self._group("model-cache", "Model cache: NFS from GPU hosts")
        self.load_balancer_security_group_id = balancer.id
        self.host_security_group_id = hosts.id
        self.cache_security_group_id = cache.id
        for port in args.client_ports:
            for cidr in args.client_cidrs:
                self._ingress(f"clients-{port}-{cidr}", balancer, port, cidr_ipv4=cidr)
        self._connect("edge", balancer, hosts, args.edge_port)
        self._connect("nfs", hosts, cache, NFS_PORT)
        for port in args.host_ports:
            self._egress(f"hosts-{port}", hosts, port, cidr_ipv4=ANYWHERE)

    def _connect(self, label: str, source: ec2.SecurityGroup, target: ec2.SecurityGroup, port: int) -> None:
        """Opens one port from one group to another, on both sides."""
        self._egress(label, source, port, referenced_security_group_id=target.id)
        self._ingress(label, target, port, referenced_security_group_id=source.id)

    def _ingress(self, label: str, of: ec2.SecurityGroup, port: int, **peer: Unpack[_Peer]) -> None:
        """Opens one TCP port of a group to a peer: cidr_ipv4 or referenced_security_group_id."""
        vpc.SecurityGroupIngressRule(
            f"{self._name}-{label}",
            security_group_id=of.id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            opts=self._child,
            **peer,
        )

    def _egress(self, label: str, of: ec2.SecurityGroup, port: int, **peer: Unpack[_Peer]) -> None:
        """Lets a group reach one TCP port of a peer: cidr_ipv4 or referenced_security_group_id."""
        vpc.SecurityGroupEgressRule(
            f"{self._name}-{label}",
            security_group_id=of.id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            opts=self._child,
            **peer,
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
