"""The scripts of the GPU hosts, as one object that each host fetches: user data has no room for them."""

from __future__ import annotations

import base64

import pulumi
from pulumi_aws import iam, s3

from tandem.scripts import host_archive

from .. import policies
from .private_bucket import private_bucket


class HostScripts(pulumi.ComponentResource):
    """A private bucket with an object for each version of the scripts, by its SHA-256, that hosts may read.

    The objects of earlier versions stay, 24 kB each: a launch template of before, as a rollback or a refresh under way
    starts hosts from, still finds its own. All go with the bucket, at destroy.

    Args:
        role_name: of the hosts.
        nginx: their nginx.conf.
        canary: what their servers are asked; empty for nothing.

    Attributes:
        url: of the object, known once hosts may read it.
    """

    def __init__(
        self,
        name: str,
        role_name: pulumi.Input[str],
        nginx: str,
        opts: pulumi.ResourceOptions | None = None,
        canary: str = "",
    ) -> None:
        super().__init__("tandem:index:HostScripts", name, None, opts)
        label = f"{name}-host-scripts"
        bucket, _ = private_bucket(label, self)
        self._bucket_arn = bucket.arn
        key, content = host_archive(nginx, canary)
        scripts = s3.BucketObjectv2(
            label,
            bucket=bucket.id,
            key=key,
            content_base64=base64.b64encode(content).decode(),
            content_type="application/gzip",
            # An object takes ten tags; those of the settings are the bucket's.
            override_provider={"default_tags": {"tags": {}}},
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )
        grant = self.grant(label, role_name)
        path = pulumi.Output.all(scripts.key, grant.id).apply(lambda known: known[0])
        self.url = pulumi.Output.concat("https://", bucket.bucket_regional_domain_name, "/", path)
        self.register_outputs({"url": self.url})

    def grant(self, label: str, role_name: pulumi.Input[str]) -> iam.RolePolicy:
        """Lets a role read them."""
        return iam.RolePolicy(
            label,
            role=role_name,
            policy=policies.document(
                policies.allow(
                    ["s3:GetObject"], [pulumi.Output.concat(self._bucket_arn, "/*")], sid="ScriptsOfEachVersion"
                )
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
