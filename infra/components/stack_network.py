"""What every network of a stack has, made or found: subnets, and security groups that name each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack

import pulumi
from pulumi_aws import ec2, vpc

ANYWHERE = "0.0.0.0/0"
NFS_PORT = 2049
DNS_PORT = 53
POSTGRES_PORT, CACHE_PORT = 5432, 6379


class _Peer(TypedDict, total=False):
    """The other end of a security group rule."""

    cidr_ipv4: pulumi.Input[str]
    referenced_security_group_id: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class GatewayTraffic:
    """Who may speak to the gateway for teams, and it to whom.

    Attributes:
        port: on which the load balancer reaches its copies.
        ports: which it reaches anywhere.
        cache: it has one.
        inside: its copies reach the load balancer by private addresses, and no NAT.
    """

    port: int
    ports: Sequence[int]
    cache: bool
    inside: bool


@dataclass(frozen=True, kw_only=True)
class TrafficArgs:
    """Who may speak to whom.

    Attributes:
        edge_port: port of the hosts' edge that the load balancer may reach.
        client_cidrs: who may reach the load balancer, on client_ports only.
        client_ports: of HTTPS, and of HTTP where it leads there.
        host_ports: which hosts reach anywhere: HTTPS, the package mirrors' HTTP, and what else they are told of.
        name_servers: addresses that hosts ask for names; none for AWS's own, which security groups let through anyhow.
        gateway: ports of the gateway for teams; None for none.
    """

    edge_port: int
    client_cidrs: Sequence[str]
    client_ports: Sequence[int] = (443, 80)
    host_ports: Sequence[int] = (443, 80)
    name_servers: Sequence[str] = ()
    gateway: GatewayTraffic | None = None


class StackNetwork(pulumi.ComponentResource):
    """Where a stack stands.

    Attributes:
        first: the first that is made of a network.
        vpc_id: its VPC.
        account_id: that owns all of the stack.
        load_balancer_subnet_ids: one a zone, for the load balancer.
        load_balancer_networks: ranges that these are in: what hosts run says so.
        host_subnet_ids: zone to the subnet that its hosts and mount targets live in.
        load_balancer_security_group_id: in from the clients, out to the hosts' edge.
        host_security_group_id: in from the load balancer, out to host_ports, name servers and the model cache.
        cache_security_group_id: in from the hosts on NFS, nothing out.
        gateway_security_group_ids: of the gateway's copies, its database and its cache; none without a gateway.
    """

    first: pulumi.Resource
    vpc_id: pulumi.Input[str]
    account_id: pulumi.Input[str]
    load_balancer_subnet_ids: Sequence[pulumi.Input[str]]
    load_balancer_networks: Sequence[str]
    host_subnet_ids: Mapping[str, pulumi.Input[str]]
    gateway_security_group_ids: Mapping[str, pulumi.Output[str]]

    def __init__(self, type_: str, name: str, opts: pulumi.ResourceOptions | None) -> None:
        super().__init__(type_, name, None, opts)
        self._name = name
        self._child = pulumi.ResourceOptions(parent=self)

    def _group(self, role: str, description: str) -> ec2.SecurityGroup:
        label = f"{self._name}-{role}"
        return ec2.SecurityGroup(
            label, vpc_id=self.vpc_id, description=description, tags={"Name": label}, opts=self._child
        )

    def _security_groups(self, args: TrafficArgs) -> ec2.SecurityGroup:
        """Returns the first of them."""
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
        for server in args.name_servers:
            self._egress(f"names-{server}", hosts, DNS_PORT, cidr_ipv4=f"{server}/32")
            self._egress(f"names-udp-{server}", hosts, DNS_PORT, "udp", cidr_ipv4=f"{server}/32")
        self.gateway_security_group_ids = self._gateway(args, args.gateway, balancer) if args.gateway else {}
        return balancer

    def _gateway(
        self, args: TrafficArgs, traffic: GatewayTraffic, balancer: ec2.SecurityGroup
    ) -> dict[str, pulumi.Output[str]]:
        """It is the load balancer's client, too: of the stack's own models."""
        copies = self._group("gateway", "Gateway: only the load balancer comes in")
        database = self._group("gateway-database", "Gateway's database: only the gateway comes in")
        self._connect("gateway", balancer, copies, traffic.port)
        self._connect("gateway-database", copies, database, POSTGRES_PORT)
        groups = {"copies": copies.id, "database": database.id}
        if traffic.cache:
            cache = self._group("gateway-cache", "Gateway's cache: only the gateway comes in")
            self._connect("gateway-cache", copies, cache, CACHE_PORT)
            groups["cache"] = cache.id
        for port in traffic.ports:
            self._egress(f"gateway-{port}", copies, port, cidr_ipv4=ANYWHERE)
        if traffic.inside:
            self._ingress("gateway-client", balancer, 443, referenced_security_group_id=copies.id)
        for server in args.name_servers:
            self._egress(f"gateway-names-{server}", copies, DNS_PORT, cidr_ipv4=f"{server}/32")
            self._egress(f"gateway-names-udp-{server}", copies, DNS_PORT, "udp", cidr_ipv4=f"{server}/32")
        return groups

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

    def _egress(
        self,
        label: str,
        of: ec2.SecurityGroup,
        port: int,
        protocol: Literal["tcp", "udp"] = "tcp",
        **peer: Unpack[_Peer],
    ) -> None:
        """Lets a group reach one port of a peer: cidr_ipv4 or referenced_security_group_id."""
        vpc.SecurityGroupEgressRule(
            f"{self._name}-{label}",
            security_group_id=of.id,
            ip_protocol=protocol,
            from_port=port,
            to_port=port,
            opts=self._child,
            **peer,
        )
