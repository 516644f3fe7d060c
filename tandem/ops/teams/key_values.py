"""Values of teams' keys: a secret each, so that a team's role can be let read its own and no other's.

A value is written before LiteLLM hears of the key: whatever interrupts a run, there is no key whose value nobody has.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from tandem import type_tokens as types
from tandem.ops.aws import AwsError, code_of, is_gone
from tandem.ops.kinds import ours
from tandem.ops.kinds.kind import Clients
from tandem.tags import TEAM_KEYS

RANDOM_BYTES = 32


@dataclass(frozen=True)
class KeyValues:
    """The secrets of one stack.

    Attributes:
        tags: of the stack, which each secret carries: what removes the stack removes them.
    """

    clients: Clients
    stack: str
    tags: Mapping[str, str]
    stack_id: str | None = None

    @property
    def prefix(self) -> str:
        return f"tandem-{self.stack}-{TEAM_KEYS}/"

    def names(self) -> set[str]:
        """Of keys, `TEAM/KEY`, whose values are kept. Raises botocore's errors."""
        found = ours(self.clients, self.stack, types.SECRET, self.stack_id)
        return {one.name.removeprefix(self.prefix) for one in found if one.name.startswith(self.prefix)}

    def value(self, name: str) -> str:
        """Of a key, made and kept if it was not. Raises botocore's errors."""
        service, secret = self.clients("secretsmanager"), self.prefix + name
        made = f"sk-{secrets.token_urlsafe(RANDOM_BYTES)}"
        tags = [{"Key": key, "Value": value} for key, value in self.tags.items()]
        description = f"A key of the gateway of {self.stack}, made by `tandem gateway apply`"
        try:
            service.create_secret(Name=secret, SecretString=made, Description=description, Tags=tags)
        except AwsError as error:
            if code_of(error) != "ResourceExistsException":
                raise
            return service.get_secret_value(SecretId=secret)["SecretString"]
        return made

    def remove(self, name: str) -> None:
        """At once: what opens nothing any more need not be restored, and its name is free. Raises botocore's errors."""
        try:
            self.clients("secretsmanager").delete_secret(SecretId=self.prefix + name, ForceDeleteWithoutRecovery=True)
        except AwsError as error:
            if not is_gone(error):
                raise
