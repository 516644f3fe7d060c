"""Values of teams' keys: a secret each, so that a team's role can be let read its own and no other's.

A value is written before LiteLLM hears of the key: whatever interrupts a run, there is no key whose value nobody has.
One that LiteLLM has deleted never opens anything again: somebody may have deleted it because it had leaked.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from tandem import type_tokens as types
from tandem.ops.aws import AwsError, code_of, unless_gone
from tandem.ops.kinds import ours
from tandem.ops.kinds.kind import Clients
from tandem.tags import TEAM_KEYS

RANDOM_BYTES = 32
_TO_BE_DELETED = "InvalidRequestException"
"""What AWS says of a secret that is scheduled for deletion."""


@dataclass(frozen=True)
class KeyValues:
    """The secrets of one stack.

    Attributes:
        tags: of the stack, which each secret carries: what removes the stack removes them.
    """

    clients: Clients
    stack: str
    tags: Mapping[str, str]

    @property
    def prefix(self) -> str:
        return f"tandem-{self.stack}-{TEAM_KEYS}/"

    def names(self) -> set[str]:
        """Of keys, `TEAM/KEY`, whose values are kept, by a life before, too, whose keys a restored database has.

        Raises botocore's errors.
        """
        found = ours(self.clients, self.stack, types.SECRET)
        return {one.name.removeprefix(self.prefix) for one in found if one.name.startswith(self.prefix)}

    def value(self, name: str) -> tuple[str, bool]:
        """Of a key, made and kept if it was not; and whether it is new. Raises botocore's errors.

        One that a life of the stack before has left, or that can be restored, is used, and is this life's then.
        """
        service, secret, made = self.clients("secretsmanager"), self.prefix + name, _new()
        tags = [{"Key": key, "Value": value} for key, value in self.tags.items()]
        description = f"A key of the gateway of {self.stack}, made by `tandem gateway apply`"
        try:
            service.create_secret(Name=secret, SecretString=made, Description=description, Tags=tags)
        except AwsError as error:
            if code_of(error) not in ("ResourceExistsException", _TO_BE_DELETED):
                raise
        else:
            return made, True
        try:
            found = service.get_secret_value(SecretId=secret)
        except AwsError as error:
            if code_of(error) != _TO_BE_DELETED:
                raise
            service.restore_secret(SecretId=secret)
            found = service.get_secret_value(SecretId=secret)
        service.tag_resource(SecretId=secret, Tags=tags)
        return found["SecretString"], False

    def renewed(self, name: str, former: str) -> str:
        """A new value in the place of a former one; of two who ask at once both get the same. Raises botocore's errors.

        AWS takes a second text under the same token for a mistake:
        https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
        """
        service, secret, made = self.clients("secretsmanager"), self.prefix + name, _new()
        try:
            service.put_secret_value(SecretId=secret, SecretString=made, ClientRequestToken=digest(former))
        except AwsError as error:
            if code_of(error) != "ResourceExistsException":
                raise
            return service.get_secret_value(SecretId=secret)["SecretString"]
        return made

    def remove(self, name: str) -> None:
        """At once: what opens nothing any more need not be restored, and its name is free. Raises botocore's errors."""
        with unless_gone():
            self.clients("secretsmanager").delete_secret(SecretId=self.prefix + name, ForceDeleteWithoutRecovery=True)


def digest(value: str) -> str:
    """As LiteLLM knows a key by."""
    return hashlib.sha256(value.encode()).hexdigest()


def _new() -> str:
    return f"sk-{secrets.token_urlsafe(RANDOM_BYTES)}"
