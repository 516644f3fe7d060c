"""The model cache: an EFS file system that outlives hosts, and the stack itself unless that is ephemeral."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import efs

from .. import policies

OWNER_ID = 2000
"""uid and gid of everything in the cache: the non-root user of the vLLM image (`--user 2000:0` there)."""


@dataclass(frozen=True, kw_only=True)
class ModelCacheArgs:
    """What a model cache needs.

    Attributes:
        subnet_ids: zone to subnet; each zone gets a mount target.
        security_group_id: lets the hosts in on TCP 2049.
        host_role_arns: the only identities that may mount and write.
        provisioned_mibps: throughput in MiB/s; None for Elastic (pay for each byte).
        infrequent_access_after_days: moves unread files to the cheaper class; None never.
        keep_on_destroy: protects the file system and leaves it in the account when the stack goes.
        file_system_id: one that another stack has left, used as it is and left again; None makes one.
    """

    subnet_ids: Mapping[str, pulumi.Input[str]]
    security_group_id: pulumi.Input[str]
    host_role_arns: Sequence[pulumi.Input[str]]
    provisioned_mibps: int | None = None
    infrequent_access_after_days: int | None = 30
    keep_on_destroy: bool = True
    file_system_id: str | None = None


class ModelCache(pulumi.ComponentResource):
    """Encrypted EFS file system with one access point, open to the hosts' role over TLS and to nobody else.

    Attributes:
        file_system_id: what hosts mount.
        access_point_id: through which they mount it; it makes every file theirs (OWNER_ID).
    """

    def __init__(self, name: str, args: ModelCacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:ModelCache", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        file_system = (
            efs.FileSystem.get(f"{name}-kept", args.file_system_id, opts=child)
            if args.file_system_id
            else self._file_system(name, args)
        )
        access_point = efs.AccessPoint(
            name,
            file_system_id=file_system.id,
            posix_user={"uid": OWNER_ID, "gid": OWNER_ID},
            root_directory={
                "path": "/tandem",
                "creation_info": {"owner_uid": OWNER_ID, "owner_gid": OWNER_ID, "permissions": "0750"},
            },
            tags={"Name": name},
            opts=child,
        )
        efs.FileSystemPolicy(
            name,
            file_system_id=file_system.id,
            policy=_policy(file_system.arn, access_point.arn, args.host_role_arns),
            opts=child,
        )
        mount_targets = [
            efs.MountTarget(
                f"{name}-{zone[-1]}",
                file_system_id=file_system.id,
                subnet_id=subnet_id,
                security_groups=[args.security_group_id],
                opts=child,
            )
            for zone, subnet_id in args.subnet_ids.items()
        ]
        # A host that starts before its zone's mount target would wait for a name that does not resolve yet.
        self.file_system_id = pulumi.Output.all(file_system.id, *(target.id for target in mount_targets)).apply(
            lambda ids: ids[0]
        )
        self.access_point_id = access_point.id
        self.register_outputs({"file_system_id": file_system.id, "access_point_id": access_point.id})

    def _file_system(self, name: str, args: ModelCacheArgs) -> efs.FileSystem:
        keep = args.keep_on_destroy
        return efs.FileSystem(
            name,
            encrypted=True,
            performance_mode="generalPurpose",
            throughput_mode="provisioned" if args.provisioned_mibps else "elastic",
            provisioned_throughput_in_mibps=args.provisioned_mibps,
            lifecycle_policies=_lifecycle(args.infrequent_access_after_days),
            tags={"Name": name},
            opts=pulumi.ResourceOptions(parent=self, protect=keep, retain_on_delete=keep),
        )


def _lifecycle(days: int | None) -> list[efs.FileSystemLifecyclePolicyArgs] | None:
    """Out of the standard class after so many days unread, and back at the first read."""
    if days is None:
        return None
    unit = "DAY" if days == 1 else "DAYS"
    return [
        efs.FileSystemLifecyclePolicyArgs(transition_to_ia=f"AFTER_{days}_{unit}"),
        efs.FileSystemLifecyclePolicyArgs(transition_to_primary_storage_class="AFTER_1_ACCESS"),
    ]


def _policy(
    file_system_arn: pulumi.Input[str], access_point_arn: pulumi.Input[str], role_arns: Sequence[pulumi.Input[str]]
) -> pulumi.Output[str]:
    """Hosts may mount and write through the access point; nobody may speak to the file system without TLS."""
    roles = role_arns[0] if len(role_arns) == 1 else list(role_arns)
    return policies.document(
        policies.allow(
            ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
            [file_system_arn],
            {"StringEquals": {"elasticfilesystem:AccessPointArn": access_point_arn}},
        )
        | {
            "Sid": "HostsThroughTheAccessPoint",
            "Principal": {"AWS": roles},
        },
        policies.only_tls("*", [file_system_arn], {"AWS": "*"}),
    )
