"""Secrets Manager, KMS and the parameter store."""

from __future__ import annotations

from dataclasses import replace

from pulumi_rehearsal.aws.phrases import BORN_WITH, tagged_by_arn
from pulumi_rehearsal.aws.row import AutoName, Call, ResourceType, Tags, Text, change

SECRET = ResourceType(
    type="aws:secretsmanager/secret:Secret",
    service="secretsmanager",
    create=Call("create_secret", fill=True),
    id="result.ARN",
    # a deleted secret can be described until its recovery window ends
    read=Call("describe_secret", "{SecretId: id}", at="[response][?!DeletedDate] | [0]"),
    changes=(
        change(
            "description",
            "kmsKeyId",
            by=Call("update_secret", "{SecretId: id, Description: inputs.description, KmsKeyId: inputs.kmsKeyId}"),
            on_create=False,
        ),
        change(
            "policy",
            by=(
                Call("put_resource_policy", "{SecretId: id, ResourcePolicy: inputs.policy}", when="inputs.policy"),
                Call("delete_resource_policy", "{SecretId: id}", when="!(inputs.policy)"),
            ),
        ),
    ),
    delete=(
        Call(
            "delete_secret",
            "{SecretId: id, RecoveryWindowInDays: inputs.recoveryWindowInDays}",
            when="inputs.recoveryWindowInDays != `0`",
        ),
        Call(
            "delete_secret",
            "{SecretId: id, ForceDeleteWithoutRecovery: `true`}",
            when="inputs.recoveryWindowInDays == `0`",
        ),
    ),
    tags=replace(tagged_by_arn("SecretId", "id"), read=Call("describe_secret", "{SecretId: id}", at="Tags")),
    autoname=AutoName(),
    outputs={"arn": "found.ARN"},
    defaults={"recoveryWindowInDays": 30, "forceOverwriteReplicaSecret": False},
    provider_only=("namePrefix", "recoveryWindowInDays", "forceOverwriteReplicaSecret"),
)
SECRET_VERSION = ResourceType(
    type="aws:secretsmanager/secretVersion:SecretVersion",
    service="secretsmanager",
    create=Call("put_secret_value", fill=True),
    id="join('|', [inputs.secretId, result.VersionId])",
    read=Call("get_secret_value", "{SecretId: part(id, '|', `0`), VersionId: part(id, '|', `1`)}"),
    # the current version cannot be taken away from a secret; the provider leaves it to the secret's own deletion
    delete=(),
    outputs={"arn": "found.ARN"},
    secrets=("secretString", "secretBinary"),
    import_id="{secretId: part(id, '|', `0`)}",
)

SECRET_POLICY = ResourceType(
    type="aws:secretsmanager/secretPolicy:SecretPolicy",
    service="secretsmanager",
    create=Call("put_resource_policy", "{SecretId: inputs.secretArn, ResourcePolicy: inputs.policy}", fill=True),
    update=Call("put_resource_policy", "{SecretId: inputs.secretArn, ResourcePolicy: inputs.policy}", fill=True),
    id="inputs.secretArn",
    read=Call("get_resource_policy", "{SecretId: id}", at="[response][?ResourcePolicy] | [0]"),
    delete=Call("delete_resource_policy", "{SecretId: id}"),
    outputs={"secretArn": "id"},
    names={"policy": "ResourcePolicy"},
    replaces=("secretArn",),
    import_id="{secretArn: id}",
)

KEY = ResourceType(
    type="aws:kms/key:Key",
    service="kms",
    create=Call("create_key", fill=True),
    id="result.KeyMetadata.KeyId",
    read=(
        Call("describe_key", "{KeyId: id}", at="[KeyMetadata][?KeyState != 'PendingDeletion'] | [0]"),
        Call("get_key_rotation_status", "{KeyId: id}", at="KeyRotationEnabled", into="enableKeyRotation"),
        Call("get_key_policy", "{KeyId: id, PolicyName: 'default'}", at="Policy", into="policy"),
    ),
    changes=(
        change("bypassPolicyLockoutSafetyCheck", by=(), on_create=False),
        change(
            "description",
            by=Call("update_key_description", "{KeyId: id, Description: inputs.description || ''}"),
            on_create=False,
        ),
        change(
            "policy",
            by=Call(
                "put_key_policy", "{KeyId: id, PolicyName: 'default', Policy: inputs.policy}", when="inputs.policy"
            ),
            on_create=False,
        ),
        change(
            "enableKeyRotation",
            "rotationPeriodInDays",
            by=(
                Call(
                    "enable_key_rotation",
                    "{KeyId: id, RotationPeriodInDays: inputs.rotationPeriodInDays}",
                    when="inputs.enableKeyRotation",
                ),
                Call("disable_key_rotation", "{KeyId: id}", when="!(inputs.enableKeyRotation)"),
            ),
        ),
        change(
            "isEnabled",
            by=(
                Call("enable_key", "{KeyId: id}", when="inputs.isEnabled"),
                Call("disable_key", "{KeyId: id}", when="!(inputs.isEnabled)"),
            ),
        ),
    ),
    delete=Call("schedule_key_deletion", "{KeyId: id, PendingWindowInDays: inputs.deletionWindowInDays}"),
    tags=Tags(
        add=Call("tag_resource", "{KeyId: id, Tags: pairs(tags)[*].{TagKey: Key, TagValue: Value}}"),
        remove=Call("untag_resource", "{KeyId: id, TagKeys: removed}"),
        read=Call("list_resource_tags", "{KeyId: id}", at="Tags"),
        born="{Tags: pairs(tags)[*].{TagKey: Key, TagValue: Value}}",
    ),
    outputs={"isEnabled": "found.Enabled"},
    names={"customerMasterKeySpec": "KeySpec", "bypassPolicyLockoutSafetyCheck": "BypassPolicyLockoutSafetyCheck"},
    provider_only=("deletionWindowInDays",),
)

ALIAS = ResourceType(
    type="aws:kms/alias:Alias",
    service="kms",
    create=Call("create_alias", fill=True),
    update=Call("update_alias", fill=True),
    id="inputs.name",
    read=Call("list_aliases", at="find(Aliases, {AliasName: id})"),
    delete=Call("delete_alias", "{AliasName: id}"),
    autoname=AutoName(limit=238, prefix="alias/"),
    outputs={
        "arn": "found.AliasArn",
        "targetKeyArn": Text("arn:{partition}:kms:{region}:{account}:key/{found[TargetKeyId]}"),
    },
    names={"name": "AliasName"},
    provider_only=("namePrefix",),
    replaces=("name",),
    import_id="{name: id}",
)

PARAMETER = ResourceType(
    type="aws:ssm/parameter:Parameter",
    service="ssm",
    create=Call("put_parameter", "{Value: inputs.value || inputs.insecureValue}", fill=True),
    update=Call("put_parameter", "{Value: inputs.value || inputs.insecureValue, Overwrite: `true`}", fill=True),
    id="inputs.name",
    read=Call("get_parameter", "{Name: id, WithDecryption: `true`}", at="Parameter"),
    delete=Call("delete_parameter", "{Name: id}"),
    tags=Tags(
        add=Call("add_tags_to_resource", "{ResourceType: 'Parameter', ResourceId: id, Tags: pairs(tags)}"),
        remove=Call("remove_tags_from_resource", "{ResourceType: 'Parameter', ResourceId: id, TagKeys: removed}"),
        read=Call("list_tags_for_resource", "{ResourceType: 'Parameter', ResourceId: id}", at="TagList"),
        born=BORN_WITH,
    ),
    autoname=AutoName(),
    secrets=("value",),
    provider_only=("overwrite",),
    replaces=("name",),
    import_id="{name: id}",
)

ROWS = (SECRET, SECRET_VERSION, SECRET_POLICY, KEY, ALIAS, PARAMETER)
