"""Sections on places: the network, and the ways in."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Literal

from pydantic import Field

from tandem.settings.observing import LogRetentionDays
from tandem.settings.section import Section
from tandem.settings.types import (
    EVERYONE,
    ApiPath,
    CertificateArn,
    ClientNetwork,
    DomainName,
    HostedZoneId,
    PrivateNetwork,
    SubnetId,
    VpcId,
    Zone,
)


class ExistingNetworkSettings(Section):
    """A VPC and subnets that are there. The stack makes security groups in it, and changes nothing that it finds."""

    vpc_id: VpcId = Field(description="The VPC, with DNS support and DNS hostnames on.")
    private_subnet_ids: dict[Zone, SubnetId] = Field(
        max_length=4,
        description="Zone to the subnet of its hosts, mount target, and an internal load balancer, in two to four "
        "zones. Each leads out by a NAT or another network, since hosts have no public address.",
    )
    public_subnet_ids: dict[Zone, SubnetId] = Field(
        default_factory=dict,
        max_length=4,
        description="Zone to the subnet of the load balancer, in the same zones, each with a route to an internet "
        "gateway. Unset with loadBalancer.scheme: internal.",
    )


class NetworkSettings(Section):
    """Where the stack lives and how its hosts reach the outside."""

    cidr_block: PrivateNetwork = Field(
        default=IPv4Network("10.20.0.0/16"),
        description="Address range of the VPC. Give each stack its own if they may ever be peered.",
    )
    zones: tuple[Zone, ...] = Field(
        default=(),
        max_length=4,
        description="Availability zones, two to four. Empty: the region's a and b. The load balancer needs two; "
        "choose zones that offer the instance types.",
    )
    egress: Literal["natPerZone", "singleNat", "publicHosts"] = Field(
        default="natPerZone",
        description="The hosts' way out. natPerZone survives the loss of a zone ($0.045 an hour each, and $0.045 for "
        "each GB); singleNat saves the others; publicHosts gives hosts a public address and no inbound rule at all, "
        "and costs $0.005 an hour and host.",
    )
    interface_endpoints: tuple[
        Literal[
            "ec2", "ssm", "ssmmessages", "ec2messages", "secretsmanager", "logs", "monitoring", "autoscaling", "sts"
        ],
        ...,
    ] = Field(
        default=(),
        description="AWS services reached without leaving the VPC, $0.01 an hour each and zone. None by default: "
        "traffic to them is TLS either way. The S3 gateway endpoint is always there and free.",
    )
    flow_log_retention_days: LogRetentionDays | None = Field(
        default=None, description="Keeps VPC flow logs this long; unset keeps none. Costs $0.50 for each GB written."
    )
    existing: ExistingNetworkSettings | None = Field(
        default=None,
        description="Uses a VPC and subnets that are there (docs/operations.md, in your own VPC), without the settings "
        "above. Unset: the stack makes its own. A stack stays where it was made.",
    )


class LoadBalancerSettings(Section):
    """The only way in: HTTPS, the listed API paths, a limit on each client address."""

    domain_name: DomainName | None = Field(
        default=None,
        description="Host name of the API. Unset: the load balancer's own name with a self-signed certificate, "
        "which is good enough for a test stack only.",
    )
    hosted_zone_id: HostedZoneId | None = Field(
        default=None, description="Route 53 zone of domainName: the certificate is validated and the name set there."
    )
    certificate_arn: CertificateArn | None = Field(
        default=None, description="An existing ACM certificate for domainName, where DNS is not in Route 53."
    )
    scheme: Literal["internetFacing", "internal"] = Field(
        default="internetFacing",
        description="internal: without public addresses, for clients whose network has a route to this VPC (peering, "
        "a VPN). hostedZoneId is a public zone nevertheless: only there ACM finds the proof. A change makes another "
        "load balancer, and then removes the first, which deletionProtection refuses: turn that off by an `up` before. "
        "For some minutes nobody is served.",
    )
    client_cidrs: tuple[ClientNetwork, ...] = Field(
        default=(EVERYONE,),
        min_length=1,
        max_length=20,
        description="Who may connect to port 443, and to 80 where redirectHttp has it. Everyone by default; keys guard "
        "the rest.",
    )
    redirect_http: bool = Field(
        default=True,
        description="Port 80 leads to https. false: nothing listens there, so that a client with http:// in its "
        "address fails before it has sent its key in the clear.",
    )
    paths: tuple[ApiPath, ...] = Field(
        default=(
            *("/v1/chat/completions", "/v1/completions", "/v1/responses"),
            *("/v1/embeddings", "/v1/score", "/v1/rerank", "/v1/models"),
        ),
        min_length=1,
        max_length=50,
        description="Paths that are forwarded; all else is a 404. Of them the load balancer, and each edge, has those "
        "that the model answers, by its inference.task. vLLM's API key guards /v1 only: /invocations would serve "
        "completions to anyone.",
    )
    requests_per_minute_per_ip: int = Field(
        default=100, ge=10, le=1_000_000, description="Above this a client address gets 429 from the firewall (WAF)."
    )
    access_log_retention_days: int | None = Field(
        default=90, ge=1, le=3650, description="How long the load balancer's access logs stay in S3; null for none."
    )
    deletion_protection: bool = Field(
        default=False, description="Refuses to delete the load balancer until this is turned off again."
    )

    @property
    def internal(self) -> bool:
        """Whether only networks with a route to the VPC reach it."""
        return self.scheme == "internal"


class GlobalNameSettings(Section):
    """One name in front of the stacks of several regions: Route 53 answers with one that works."""

    domain_name: DomainName = Field(description="The name that clients use, the same in every region's stack.")
    hosted_zone_id: HostedZoneId = Field(description="Route 53 zone of that name; the certificate is validated there.")
    routing: Literal["latency", "weighted"] = Field(
        default="latency",
        description="latency: the nearest region. weighted: by weight. Either way a region that fails is left out. "
        "All stacks of one name must have the same.",
    )
    weight: int = Field(
        default=100, ge=0, le=255, description="Share among the regions, for weighted. 0: only when no other works."
    )
    serving: bool = Field(
        default=True, description="false takes this region out of the name, so that its clients go elsewhere."
    )
    outside_check: bool = Field(
        default=True,
        description="Asks this region's own name over HTTPS from several continents whether it makes tokens, $1.50 a "
        "month. Without it only the load balancer's own health checks count.",
    )
