"""Secrets: digests of clients' keys and the Hugging Face token in Secrets Manager, readable by the servers' role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_aws import iam, secretsmanager

from tandem.tags import DECLARED_KEYS, ISSUED_KEYS

from .. import policies


@dataclass(frozen=True, kw_only=True)
class SecretsArgs:
    """What the secrets of a stack need.

    Attributes:
        reader_role_name: the hosts' role, which is granted GetSecretValue on these secrets and no other.
        hugging_face_token: for gated models; None makes no secret for it.
        declared: client name to its digests and limits.
        others: ARNs of secrets that are not the stack's, which the role may read, too.
        recovery_window_days: how long a deleted secret can be restored, 7 to 30; 0 deletes at once.
    """

    reader_role_name: pulumi.Input[str]
    hugging_face_token: pulumi.Output[str] | None = None
    declared: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    others: Sequence[str] = ()
    recovery_window_days: int = 30


class Secrets(pulumi.ComponentResource):
    """The stack's secrets. The token never leaves Secrets Manager and the encrypted part of the state; of clients' keys
    nothing but digests is anywhere.

    Attributes:
        keys_secret_arns: of documents of clients (docs/keys.md): the issued ones, whose text belongs to `tandem keys`
            and is not there before its first, then the declared ones.
        issued_keys_secret_name: of the first of them.
        hugging_face_token_secret_arn: the token; None where there is none.
    """

    def __init__(self, name: str, args: SecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:Secrets", name, None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self._recovery_window_days = args.recovery_window_days
        issued = self._secret(f"{name}-{ISSUED_KEYS}", "Clients and digests of their keys, as `tandem keys` made them")
        # There from the start, so that the first declared client is no news to hosts but in what they read.
        text = pulumi.Output.json_dumps({"clients": args.declared})
        secrets = [issued, self._secret(f"{name}-{DECLARED_KEYS}", "Clients that the settings declare", text)]
        self.issued_keys_secret_name = issued.name
        self.keys_secret_arns = [secret.arn for secret in secrets]
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
        self.register_outputs({"keys_secret_arns": self.keys_secret_arns})

    def _secret(self, label: str, description: str, value: pulumi.Input[str] | None = None) -> secretsmanager.Secret:
        secret = secretsmanager.Secret(
            label,
            description=description,
            recovery_window_in_days=self._recovery_window_days,
            opts=self._child,
        )
        if value is not None:
            secretsmanager.SecretVersion(
                label, secret_id=secret.id, secret_string=pulumi.Output.secret(value), opts=self._child
            )
        return secret
