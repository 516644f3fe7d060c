"""The metadata service of a played instance."""

from __future__ import annotations

import json
import re

from rehearsal.host.handler import Handler

ROLE = "meta-data/iam/security-credentials/"
SPOT_NOTICE = "meta-data/spot/instance-action"
CREDENTIALS = {
    "Code": "Success", "AccessKeyId": "ASIATEST", "SecretAccessKey": "test-secret-key", "Token": "test-token",
    "Expiration": "2099-01-01T00:00:00Z", "LastUpdated": "2026-11-21T00:00:00Z", "Type": "AWS-HMAC",
}  # fmt: skip
TORN = '{"Code": "Suc'
"""An answer that ends in the middle; as an odd answer it is announced longer than it is."""


class Metadata(Handler):
    """Answers for a g6.12xlarge, oddly where the cloud says so.

    Stands for: EC2's instance metadata service, version 2 only.
    Held by: tests/rehearsal/host/test_metadata.py::test_the_sdks_own_client_reads_it
    """

    def items(self) -> dict[str, str | bytes]:
        instance = self.cloud.instance
        document = {
            "instanceId": instance, "instanceType": "g6.12xlarge", "region": "us-east-1",
            "accountId": "000000000000", "availabilityZone": "us-east-1a", "imageId": "ami-0",
            "privateIp": "169.254.169.15",
        }  # fmt: skip
        going = self.cloud.member.settle().startswith("Terminating")
        return {
            "meta-data/instance-id": instance, "meta-data/ami-id": "ami-0",
            "meta-data/instance-type": "g6.12xlarge", "meta-data/local-hostname": "guest",
            "meta-data/hostname": "guest", "meta-data/local-ipv4": "169.254.169.15",
            "meta-data/placement/availability-zone": "us-east-1a", "meta-data/placement/region": "us-east-1",
            "meta-data/autoscaling/target-lifecycle-state": "Terminated" if going else "InService",
            "dynamic/instance-identity/document": json.dumps(document),
            ROLE: "tandem-host", ROLE + "tandem-host": json.dumps(CREDENTIALS),
            "user-data": self.cloud.user_data, **self.cloud.metadata,
        }  # fmt: skip

    def odd(self, path: str) -> bool:
        """Answers oddly, if it is still to do so for this item."""
        left = self.cloud.odd_answers.get(path)
        if not left:
            return False
        odd = left.pop(0)
        if odd is None:
            self.connection.recv(1)  # nothing comes until the client is gone
            self.close_connection = True
        elif isinstance(odd, int):
            self.answer(odd, "")
        elif odd == TORN:
            self.answer(200, odd, more={"Content-Length": str(2 * len(odd))})
            self.close_connection = True
        else:
            self.answer(200, odd)
        return True

    def do_PUT(self) -> None:
        if self.odd("api/token"):
            return None
        if self.path != "/latest/api/token" or not self.headers.get("X-aws-ec2-metadata-token-ttl-seconds"):
            return self.answer(400, "")
        return self.answer(200, "token", more={"X-aws-ec2-metadata-token-ttl-seconds": "21600"})

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != "token":
            return self.answer(401, "")
        path = re.sub(r"^/(latest|\d{4}-\d\d-\d\d)/?", "", self.path)
        if self.odd(path):
            return None
        items = self.items()
        for item in (path, path.rstrip("/")):  # which clients ask for with either
            if item in items:
                return self.answer(200, items[item])
        folder = path if path.endswith("/") or not path else path + "/"
        names = {name.removeprefix(folder).partition("/") for name in items if name.startswith(folder)}
        listing = sorted({first + slash for first, slash, _ in names if first})
        return self.answer(200, "\n".join(listing)) if listing else self.answer(404, "")
