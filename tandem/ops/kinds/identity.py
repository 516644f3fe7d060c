"""Rows: roles and what hangs on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tandem import type_tokens as types
from tandem.ops.kinds.kind import Found, Item, ResourceType, Scope, listed, tag_map


def _roles(iam: Any, scope: Scope) -> Iterator[Item]:
    """By name first: an account's roles are many, and each answers with its tags to a call of its own."""
    roles = listed("list_roles", "Roles", page_size=1000)(iam, scope)
    return (item for item in roles if item["RoleName"].startswith("tandem-"))


def _profiles(iam: Any, scope: Scope) -> Iterator[Item]:
    profiles = listed("list_instance_profiles", "InstanceProfiles", page_size=1000)(iam, scope)
    return (item for item in profiles if item["InstanceProfileName"].startswith("tandem-"))


def _profile_tags(iam: Any, item: Item) -> dict[str, str]:
    answer = iam.get_instance_profile(InstanceProfileName=item["InstanceProfileName"])
    return tag_map(answer["InstanceProfile"].get("Tags"))


def _delete_role(iam: Any, role: Found) -> None:
    for policy in (
        iam.get_paginator("list_attached_role_policies").paginate(RoleName=role.id).search("AttachedPolicies")
    ):
        iam.detach_role_policy(RoleName=role.id, PolicyArn=policy["PolicyArn"])
    for name in iam.get_paginator("list_role_policies").paginate(RoleName=role.id).search("PolicyNames"):
        iam.delete_role_policy(RoleName=role.id, PolicyName=name)
    iam.delete_role(RoleName=role.id)


def _delete_profile(iam: Any, profile: Found) -> None:
    for role in profile.facts["Roles"]:
        iam.remove_role_from_instance_profile(InstanceProfileName=profile.id, RoleName=role["RoleName"])
    iam.delete_instance_profile(InstanceProfileName=profile.id)


ROWS = (
    ResourceType(
        type=types.INSTANCE_PROFILE,
        service="iam",
        tagging_type="iam:instance-profile",
        partial=True,
        listing=_profiles,
        id="InstanceProfileName",
        name="InstanceProfileName",
        created="CreateDate",
        tags=_profile_tags,
        after=(types.INSTANCE, types.LAUNCH_TEMPLATE),
        delete=_delete_profile,
    ),
    ResourceType(
        type=types.ROLE,
        service="iam",
        listing=_roles,
        id="RoleName",
        name="RoleName",
        created="CreateDate",
        tags=lambda iam, item: tag_map(iam.list_role_tags(RoleName=item["RoleName"])["Tags"]),
        after=(types.INSTANCE_PROFILE, types.SCHEDULE_GROUP, types.FLOW_LOG),
        delete=_delete_role,
    ),
    ResourceType(
        type=types.ROLE_POLICY,
        service="iam",
        listing=listed("list_role_policies", "PolicyNames[].{Name: @}", lambda scope: {"RoleName": scope.parent_id}),
        id="join(':', [parent, Name])",
        name="Name",
        tags=None,
        parent=types.ROLE,
        delete=lambda iam, policy: iam.delete_role_policy(RoleName=policy.parent_id, PolicyName=policy.name),
    ),
)
