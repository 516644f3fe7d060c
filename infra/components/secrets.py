"""Secrets: API keys and the Hugging Face token in Secrets Manager, readable by the hosts' role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_random as random
from pulumi_aws import iam, secretsmanager

from infra import policies

GENERATED_KEY_LENGTH = 40


@dataclass(frozen=True, kw_only=True)
class SecretsArgs:
    """What the secrets of a stack need.

    Attributes:
        reader_role_name: the hosts' role, which is granted GetSecretValue on these secrets and no other.
        hugging_face_token: for gated models; None makes no secret for it.
        api_keys: client name to key, as secret outputs; empty generates one named `default`.
        others: ARNs of secrets that are not the stack's, which the role may read, too.
        recovery_window_days: how long a deleted secret can be restored, 7 to 30; 0 deletes at once.
    """

    reader_role_name: pulumi.Input[str]
    hugging_face_token: pulumi.Output[str] | None = None
    api_keys: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)
    others: Sequence[str] = ()
    recovery_window_days: int = 30


class Secrets(pulumi.ComponentResource):
    """The stack's secrets. Values never leave Secrets Manager and the encrypted part of the state.

    Attributes:
        api_keys_secret_arn: a JSON object, client name to key.
        api_keys_secret_name: the same secret, for the command that shows it.
        hugging_face_token_secret_arn: the token; None where there is none.
    """

    def __init__(self, name: str, args: SecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:Secrets", name, None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self._recovery_window_days = args.recovery_window_days
        keys = dict(args.api_keys) or {"default": self._generated_key(name)}
        api_keys = self._secret(f"{name}-api-keys", "API keys by client name", pulumi.Output.json_dumps(keys))
        secrets = [api_keys]
        self.api_keys_secret_arn = api_keys.arn
        self.api_keys_secret_name = api_keys.name
        self.hugging_face_token_secret_arn: pulumi.Output[str] | None = None
        if args.hugging_face_token is not None:
            token = self._secret(f"{name}-hugging-face-token", "Hugging Face token", args.hugging_face_token)
            secrets.append(token)
            self.hugging_face_token_secret_arn = token.arn
        iam.RolePolicy(
            f"{name}-read-secrets",
            role=args.reader_role_name,
            policy=policies.document(
                policies.allow(["secretsmanager:GetSecretValue"], [*(secret.arn for secret in secrets), *args.others])
            ),
            opts=self._child,
        )
        self.register_outputs({"api_keys_secret_arn": self.api_keys_secret_arn})

    def _generated_key(self, name: str) -> pulumi.Output[str]:
        return random.RandomPassword(
            f"{name}-api-key", length=GENERATED_KEY_LENGTH, special=False, opts=self._child
        ).result

    def _secret(self, label: str, description: str, value: pulumi.Output[str]) -> secretsmanager.Secret:
        secret = secretsmanager.Secret(
            label,
            description=description,
            recovery_window_in_days=self._recovery_window_days,
            opts=self._child,
        )
        secretsmanager.SecretVersion(
            label, secret_id=secret.id, secret_string=pulumi.Output.secret(value), opts=self._child
        )
        return secret
