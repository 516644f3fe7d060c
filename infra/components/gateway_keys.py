"""What the gateway for teams is told of itself in secret: made once, and kept in the encrypted part of the state."""

from __future__ import annotations

import hashlib

import pulumi
import pulumi_random as random

LENGTH = 48


class GatewayKeys(pulumi.ComponentResource):
    """Keys and passwords of one gateway. None changes by itself: behind the salt lies what the database has encrypted,
    and a new one opens none of it.

    Args:
        keep_on_destroy: protects the salt, as the database is, from going by mistake where that stays.

    Attributes:
        master: opens LiteLLM's admin interface and API.
        salt: by which it encrypts in the database.
        database_password, cache_password: of the database's only user, and of the cache.
        client: of the gateway at the stack's own servers.
        client_sha256: the digest of that, which edges know.
        bypass: tells the firewall the gateway's requests from others'.
    """

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None, *, keep_on_destroy: bool = True) -> None:
        super().__init__("tandem:index:GatewayKeys", name, None, opts)
        self._name, self._child = name, pulumi.ResourceOptions(parent=self, ignore_changes=["length", "special"])
        self.master = self._made("master")
        self.salt = self._made("salt", protect=keep_on_destroy)
        self.database_password = self._made("database", prefix="")
        self.cache_password = self._made("cache", prefix="")
        self.client = self._made("client")
        self.client_sha256 = pulumi.Output.unsecret(
            self.client.apply(lambda key: hashlib.sha256(key.encode()).hexdigest())
        )
        self.bypass = self._made("bypass", prefix="")
        self.register_outputs({})

    def _made(self, what: str, prefix: str = "sk-", *, protect: bool = False) -> pulumi.Output[str]:
        opts = pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(protect=protect))
        made = random.RandomPassword(f"{self._name}-{what}", length=LENGTH, special=False, opts=opts)
        return pulumi.Output.secret(pulumi.Output.concat(prefix, made.result))
