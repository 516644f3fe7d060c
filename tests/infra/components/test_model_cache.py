"""The model cache: encrypted, over TLS, for the hosts' role alone; kept unless the stack is ephemeral."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from infra.components.model_cache import ModelCache, ModelCacheArgs
from tests.infra.declared import Declared, declared

ROLE = "arn:aws:iam::123456789012:role/hosts"


@functools.cache
def cache(**changes: Any) -> Declared:
    args: dict[str, Any] = {
        "subnet_ids": {"us-east-1a": "subnet-a", "us-east-1b": "subnet-b"},
        "security_group_id": "sg-cache",
        "host_role_arns": [ROLE],
    }
    return declared(lambda: ModelCache("c", ModelCacheArgs(**args | changes)))


def test_exact_resources() -> None:
    assert cache().counts() == {
        "tandem:index:ModelCache": 1,
        "aws:efs/fileSystem:FileSystem": 1,
        "aws:efs/accessPoint:AccessPoint": 1,
        "aws:efs/fileSystemPolicy:FileSystemPolicy": 1,
        "aws:efs/mountTarget:MountTarget": 2,
    }


def test_one_that_was_left_is_used_and_left_again() -> None:
    found = cache(file_system_id="fs-0123456789abcdef0")
    assert "FileSystem" not in found.retained()
    ids = {kind: {one["fileSystemId"] for one in found.of(kind).values()} for kind in ("AccessPoint", "MountTarget")}
    assert ids == {"AccessPoint": {"fs-0123456789abcdef0"}, "MountTarget": {"fs-0123456789abcdef0"}}


def test_encrypted_elastic_and_moved_when_unread() -> None:
    file_system = cache().one("FileSystem")
    assert file_system["encrypted"] is True
    assert file_system["throughputMode"] == "elastic"
    assert "provisionedThroughputInMibps" not in file_system
    assert file_system["lifecyclePolicies"] == [
        {"transitionToIa": "AFTER_30_DAYS"},
        {"transitionToPrimaryStorageClass": "AFTER_1_ACCESS"},
    ]


@pytest.mark.parametrize(("days", "expected"), [(1, "AFTER_1_DAY"), (7, "AFTER_7_DAYS")])
def test_lifecycle_speaks_the_services_words(days: int, expected: str) -> None:
    assert cache(infrequent_access_after_days=days).one("FileSystem")["lifecyclePolicies"][0] == {
        "transitionToIa": expected
    }


def test_provisioned_throughput_by_setting() -> None:
    file_system = cache(provisioned_mibps=256).one("FileSystem")
    assert (file_system["throughputMode"], file_system["provisionedThroughputInMibps"]) == ("provisioned", 256)


def test_each_zone_has_a_mount_target_behind_the_caches_group() -> None:
    assert {name: (m["subnetId"], m["securityGroups"]) for name, m in cache().of("MountTarget").items()} == {
        "c-a": ("subnet-a", ["sg-cache"]),
        "c-b": ("subnet-b", ["sg-cache"]),
    }


def test_one_owner_for_every_file() -> None:
    access_point = cache().one("AccessPoint")
    assert access_point["posixUser"] == {"uid": 2000, "gid": 2000}
    assert access_point["rootDirectory"]["creationInfo"] == {"ownerUid": 2000, "ownerGid": 2000, "permissions": "0750"}


def test_the_policy_demands_tls_and_the_hosts_role() -> None:
    allow, deny = json.loads(cache().one("FileSystemPolicy")["policy"])["Statement"]
    assert allow["Effect"] == "Allow"
    assert allow["Principal"] == {"AWS": ROLE}
    assert allow["Action"] == ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    assert allow["Condition"]["StringEquals"] == {
        "elasticfilesystem:AccessPointArn": "arn:aws:mock:us-east-1:123456789012:AccessPoint/c"
    }
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", {"AWS": "*"}, "*")
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
