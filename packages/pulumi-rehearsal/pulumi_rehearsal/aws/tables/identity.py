"""IAM: roles, policies, instance profiles."""

from __future__ import annotations

from dataclasses import replace

from pulumi_rehearsal.aws.lifecycle import Resource
from pulumi_rehearsal.aws.phrases import BORN_WITH
from pulumi_rehearsal.aws.row import AutoName, Call, ResourceType, Tags, change

MANAGED_POLICY_VERSIONS = 5
"""Versions that IAM keeps of a managed policy; the provider deletes the oldest to make room."""


def _tags(kind: str, parameter: str) -> Tags:
    return Tags(
        add=Call(f"tag_{kind}", f"{{{parameter}: id, Tags: pairs(tags)}}"),
        remove=Call(f"untag_{kind}", f"{{{parameter}: id, TagKeys: removed}}"),
        read=Call(f"list_{kind}_tags", f"{{{parameter}: id}}", at="Tags"),
        born=BORN_WITH,
    )


ROLE = ResourceType(
    type="aws:iam/role:Role",
    service="iam",
    create=Call("create_role", fill=True),
    id="inputs.name",
    read=Call("get_role", "{RoleName: id}", at="Role"),
    changes=(
        change(
            "assumeRolePolicy",
            by=Call("update_assume_role_policy", "{RoleName: id, PolicyDocument: inputs.assumeRolePolicy}"),
            on_create=False,
        ),
        change(
            "description",
            "maxSessionDuration",
            by=Call(
                "update_role",
                "{RoleName: id, Description: inputs.description || '', MaxSessionDuration: inputs.maxSessionDuration}",
            ),
            on_create=False,
        ),
        change(
            "permissionsBoundary",
            by=(
                Call(
                    "put_role_permissions_boundary",
                    "{RoleName: id, PermissionsBoundary: inputs.permissionsBoundary}",
                    when="inputs.permissionsBoundary",
                ),
                Call("delete_role_permissions_boundary", "{RoleName: id}", when="!(inputs.permissionsBoundary)"),
            ),
            on_create=False,
        ),
    ),
    delete=Call("delete_role", "{RoleName: id}"),
    tags=_tags("role", "RoleName"),
    autoname=AutoName(limit=64),
    outputs={"uniqueId": "found.RoleId"},
    names={"name": "RoleName", "assumeRolePolicy": "AssumeRolePolicyDocument"},
    provider_only=("namePrefix", "forceDetachPolicies"),
    import_id="{name: id}",
)

ROLE_POLICY = ResourceType(
    type="aws:iam/rolePolicy:RolePolicy",
    service="iam",
    create=Call("put_role_policy", fill=True),
    update=Call("put_role_policy", fill=True),
    id="join(':', [inputs.role, inputs.name])",
    read=Call("get_role_policy", "{RoleName: inputs.role, PolicyName: inputs.name}"),
    delete=Call("delete_role_policy", "{RoleName: inputs.role, PolicyName: inputs.name}"),
    autoname=AutoName(),
    names={"name": "PolicyName", "role": "RoleName", "policy": "PolicyDocument"},
    provider_only=("namePrefix",),
    replaces=("name", "role"),
    import_id="{role: part(id, ':', `0`), name: part(id, ':', `1`)}",
)

ROLE_POLICY_ATTACHMENT = ResourceType(
    type="aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    service="iam",
    create=Call("attach_role_policy", fill=True),
    id="join('/', [inputs.role, inputs.policyArn])",
    read=Call(
        "list_attached_role_policies",
        "{RoleName: inputs.role}",
        at="find(AttachedPolicies, {PolicyArn: inputs.policyArn})",
    ),
    delete=Call("detach_role_policy", "{RoleName: inputs.role, PolicyArn: inputs.policyArn}"),
    names={"role": "RoleName"},
    delete_before_replace=True,  # the new one would be the same as the one that is deleted after it
)


def _make_room(policy: Resource) -> None:
    versions = policy.region.call("iam", "list_policy_versions", PolicyArn=policy.id)["Versions"]
    if len(versions) >= MANAGED_POLICY_VERSIONS:
        oldest = min((v for v in versions if not v["IsDefaultVersion"]), key=lambda version: version["CreateDate"])
        policy.region.call("iam", "delete_policy_version", PolicyArn=policy.id, VersionId=oldest["VersionId"])


POLICY = ResourceType(
    type="aws:iam/policy:Policy",
    service="iam",
    create=Call("create_policy", fill=True),
    id="result.Policy.Arn",
    read=(
        Call("get_policy", "{PolicyArn: id}", at="Policy"),
        Call(
            "get_policy_version",
            "{PolicyArn: id, VersionId: found.DefaultVersionId}",
            at="PolicyVersion.Document",
            into="PolicyDocument",
        ),
    ),
    changes=(
        change(
            "policy",
            by=(
                _make_room,
                Call(
                    "create_policy_version",
                    "{PolicyArn: id, PolicyDocument: inputs.policy, SetAsDefault: `true`}",
                ),
            ),
            on_create=False,
        ),
    ),
    delete=(
        Call("list_policy_versions", "{PolicyArn: id}", at="Versions[?!IsDefaultVersion]", into="versions"),
        Call("delete_policy_version", "{PolicyArn: id, VersionId: item.VersionId}", each="found.versions"),
        Call("delete_policy", "{PolicyArn: id}"),
    ),
    tags=_tags("policy", "PolicyArn"),
    autoname=AutoName(),
    names={"name": "PolicyName", "policy": "PolicyDocument"},
    provider_only=("namePrefix",),
)

INSTANCE_PROFILE = ResourceType(
    type="aws:iam/instanceProfile:InstanceProfile",
    service="iam",
    create=Call("create_instance_profile", fill=True),
    id="inputs.name",
    read=Call("get_instance_profile", "{InstanceProfileName: id}", at="InstanceProfile"),
    changes=(
        change(
            "role",
            by=(
                Call(
                    "remove_role_from_instance_profile",
                    "{InstanceProfileName: id, RoleName: old.role}",
                    when="old.role",
                ),
                Call(
                    "add_role_to_instance_profile",
                    "{InstanceProfileName: id, RoleName: inputs.role}",
                    when="inputs.role",
                ),
            ),
        ),
    ),
    delete=(
        Call(
            "remove_role_from_instance_profile",
            "{InstanceProfileName: id, RoleName: inputs.role}",
            when="inputs.role",
        ),
        Call("delete_instance_profile", "{InstanceProfileName: id}"),
    ),
    tags=replace(
        _tags("instance_profile", "InstanceProfileName"),
        read=Call("get_instance_profile", "{InstanceProfileName: id}", at="InstanceProfile.Tags"),
    ),
    autoname=AutoName(),
    outputs={"role": "found.Roles[0].RoleName", "uniqueId": "found.InstanceProfileId"},
    names={"name": "InstanceProfileName"},
    provider_only=("namePrefix",),
    import_id="{name: id}",
)

ROWS = (ROLE, ROLE_POLICY, ROLE_POLICY_ATTACHMENT, POLICY, INSTANCE_PROFILE)
