"""The scripts of the GPU hosts, as one object that each host fetches: user data has no room for them."""

from __future__ import annotations

import base64

import pulumi
from pulumi_aws import iam, s3

from tandem.scripts import host_archive

from .. import policies
from .private_bucket import private_bucket


class HostScripts(pulumi.ComponentResource):
    """A private bucket with an object for each version of a model's scripts, by its SHA-256, that hosts may read.

    The objects of earlier versions stay, 24 kB each: a launch template of before, as a rollback or a refresh under way
    starts hosts from, still finds its own. All go with the bucket, at destroy.

    Args:
        role_name: of the hosts.
        nginx, canary: of `add`.

    Attributes:
        url: of the first object.
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
        self._bucket, _ = private_bucket(label, self)
        self._granted = self.grant(label, role_name)
        self.url = self.add(name, nginx, canary)
        self.register_outputs({"url": self.url})

    def add(self, name: str, nginx: str, canary: str = "") -> pulumi.Output[str]:
        """Of an object with the scripts the URL, known once hosts may read it.

        Args:
            nginx: nginx.conf of the hosts that read it.
            canary: what their servers are asked; empty for nothing.
        """
        key, content = host_archive(nginx, canary)
        scripts = s3.BucketObjectv2(
            f"{name}-host-scripts",
            bucket=self._bucket.id,
            key=key,
            content_base64=base64.b64encode(content).decode(),
            content_type="application/x-bzip2",
            # An object takes ten tags; those of the settings are the bucket's.
            override_provider={"default_tags": {"tags": {}}},
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )
        path = pulumi.Output.all(scripts.key, self._granted.id).apply(lambda known: known[0])
        return pulumi.Output.concat("https://", self._bucket.bucket_regional_domain_name, "/", path)

    def grant(self, label: str, role_name: pulumi.Input[str]) -> iam.RolePolicy:
        """Lets a role read them."""
        return iam.RolePolicy(
            label,
            role=role_name,
            policy=policies.document(
                policies.allow(
                    ["s3:GetObject"], [pulumi.Output.concat(self._bucket.arn, "/*")], sid="ScriptsOfEachVersion"
                )
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
