"""The gateway's cache: one node of Valkey, by which limits hold over all copies. It keeps counters, and no answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import elasticache

from tandem.costs import CACHE_NODE

ENGINE, ENGINE_VERSION = "valkey", "8.0"


@dataclass(frozen=True, kw_only=True)
class GatewayCacheArgs:
    """What a cache needs.

    Attributes:
        subnet_ids: in which its node may be.
        security_group_id: lets the gateway in on TCP 6379.
        password: without which nobody is answered.
    """

    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_id: pulumi.Input[str]
    password: pulumi.Output[str]


class GatewayCache(pulumi.ComponentResource):
    """One node, encrypted at rest and on its way. While it is away each copy counts for itself.

    Attributes:
        host, port: where it listens, for TLS alone.
        node: by which metrics name it.
    """

    def __init__(self, name: str, args: GatewayCacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:GatewayCache", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        subnets = elasticache.SubnetGroup(
            name, description="tandem's gateway", subnet_ids=args.subnet_ids, tags={"Name": name}, opts=child
        )
        group = elasticache.ReplicationGroup(
            name,
            description="tandem's gateway: limits over all copies",
            engine=ENGINE,
            engine_version=ENGINE_VERSION,
            node_type=CACHE_NODE,
            num_cache_clusters=1,
            port=6379,
            subnet_group_name=subnets.name,
            security_group_ids=[args.security_group_id],
            at_rest_encryption_enabled=True,
            transit_encryption_enabled=True,
            auth_token=args.password,
            apply_immediately=True,
            tags={"Name": name},
            opts=child,
        )
        self.host, self.port = group.primary_endpoint_address, "6379"
        self.node = pulumi.Output.concat(group.id, "-001")
        self.register_outputs({"host": self.host})
