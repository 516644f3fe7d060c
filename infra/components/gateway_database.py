"""The gateway's database: PostgreSQL of RDS, in private, with backups; a last snapshot stays unless ephemeral."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import rds

from tandem.costs import FIRST_DATABASE_GIB

ENGINE_VERSION = "16"
"""Its newest minor version, and those that come: RDS takes them in the maintenance window."""
USER = NAME = "litellm"


@dataclass(frozen=True, kw_only=True)
class GatewayDatabaseArgs:
    """What a database needs.

    Attributes:
        subnet_ids: in two zones or more.
        security_group_id: lets the gateway in on TCP 5432.
        stack_id: of this life of the stack, in the name of the last snapshot.
        instance_class: RDS's name of its size.
        max_gib: it begins with 20 GiB, and grows up to so many.
        standby: another one in a second zone takes over.
        backup_days: 1 to 35.
        snapshot: of which it is made; None for an empty one.
        password: of its user. Not RDS's own secret: that changes each week, and LiteLLM reads a password at its start.
        keep_on_destroy: leaves a snapshot when the stack goes, and protects it from going with it by mistake.
        deletion_protection: AWS refuses to delete it until turned off.
    """

    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_id: pulumi.Input[str]
    stack_id: pulumi.Input[str]
    instance_class: str
    max_gib: int
    standby: bool
    backup_days: int
    password: pulumi.Output[str]
    snapshot: str | None = None
    keep_on_destroy: bool = True
    deletion_protection: bool = False


class GatewayDatabase(pulumi.ComponentResource):
    """One instance, encrypted, without a public address; nobody connects without TLS (`rds.force_ssl`, RDS's default
    from PostgreSQL 15 on).

    Attributes:
        url: with user and password, secret.
        identifier: by which metrics name it.
    """

    def __init__(self, name: str, args: GatewayDatabaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:GatewayDatabase", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        subnets = rds.SubnetGroup(
            name, description="tandem's gateway", subnet_ids=args.subnet_ids, tags={"Name": name}, opts=child
        )
        instance = rds.Instance(
            name,
            engine="postgres",
            engine_version=ENGINE_VERSION,
            instance_class=args.instance_class,
            # One of a snapshot has what that had, and AWS refuses less.
            allocated_storage=None if args.snapshot else FIRST_DATABASE_GIB,
            max_allocated_storage=args.max_gib,
            storage_type="gp3",
            storage_encrypted=True,
            db_name=NAME,
            username=USER,
            password=args.password,
            db_subnet_group_name=subnets.name,
            vpc_security_group_ids=[args.security_group_id],
            publicly_accessible=False,
            snapshot_identifier=args.snapshot,
            multi_az=args.standby,
            backup_retention_period=args.backup_days,
            copy_tags_to_snapshot=True,
            auto_minor_version_upgrade=True,
            apply_immediately=True,
            deletion_protection=args.deletion_protection,
            skip_final_snapshot=not args.keep_on_destroy,
            final_snapshot_identifier=pulumi.Output.concat(f"{name}-", args.stack_id) if args.keep_on_destroy else None,
            tags={"Name": name},
            # Another snapshot, or none, would make another database in this one's place.
            opts=pulumi.ResourceOptions(
                parent=self, protect=args.keep_on_destroy, ignore_changes=["snapshotIdentifier"]
            ),
        )
        self.identifier = instance.identifier
        address = pulumi.Output.concat(f"postgresql://{USER}:", args.password, "@", instance.endpoint, f"/{NAME}")
        self.url = pulumi.Output.secret(pulumi.Output.concat(address, "?sslmode=require"))
        self.register_outputs({"identifier": self.identifier})
