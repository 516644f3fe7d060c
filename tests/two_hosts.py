"""An Auto Scaling group of the simulated account, made by hand, whose hosts do what a test says."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any

from pulumi_rehearsal.account_gaps import PUBLIC_IMAGE
from pulumi_rehearsal.moto import SimulatedAccount
from rehearsal.played_hosts import play

HOOKS = {"launch": "autoscaling:EC2_INSTANCE_LAUNCHING", "drain": "autoscaling:EC2_INSTANCE_TERMINATING"}
ONE_MORE_FIRST = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 150}
ONE_LESS_FIRST = {"MinHealthyPercentage": 50, "MaxHealthyPercentage": 100}


def _data(image: str) -> dict[str, str]:
    """Of a launch template whose user data has what tandem's tells a host."""
    host = {"engine": {"image": image, "model": "m", "revision": "r"}}
    files = {"write_files": [{"path": "/etc/tandem/host.json", "content": json.dumps(host)}]}
    user_data = base64.b64encode(gzip.compress(json.dumps(files).encode())).decode()
    return {"ImageId": PUBLIC_IMAGE, "InstanceType": "g6.12xlarge", "UserData": user_data}


class Group:
    """A group of two hosts with both hooks, and its template of two versions, whose images are `v1` and `v2`.

    Args:
        tags: of the group.
        mixed: it has a mixed instances policy, as fleets have that are no Capacity Block.
    """

    def __init__(
        self, account: SimulatedAccount, name: str, *, tags: dict[str, str] | None = None, mixed: bool = False
    ) -> None:
        self.name, self.mixed = name, mixed
        self.ec2, self.api = account.client("ec2", "us-east-1"), account.client("autoscaling", "us-east-1")
        made = self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=_data("v1"))
        self.template = made["LaunchTemplate"]["LaunchTemplateId"]
        self.ec2.create_launch_template_version(LaunchTemplateId=self.template, LaunchTemplateData=_data("v2"))
        self.api.create_auto_scaling_group(
            AutoScalingGroupName=self.name,
            MinSize=2,
            MaxSize=3,
            AvailabilityZones=["us-east-1a"],
            Tags=[{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in (tags or {}).items()],
            **self.version(1),
        )
        for name, transition in HOOKS.items():
            self.api.put_lifecycle_hook(
                AutoScalingGroupName=self.name, LifecycleHookName=name, LifecycleTransition=transition
            )

    def version(self, number: int) -> dict[str, Any]:
        """What a group is told, to start hosts of that version."""
        template = {"LaunchTemplateId": self.template, "Version": str(number)}
        if not self.mixed:
            return {"LaunchTemplate": template}
        overrides = [{"InstanceType": "g6.12xlarge"}, {"InstanceType": "g5.12xlarge"}]
        launch = {"LaunchTemplateSpecification": template, "Overrides": overrides}
        return {
            "MixedInstancesPolicy": {"LaunchTemplate": launch, "InstancesDistribution": {"OnDemandBaseCapacity": 1}}
        }

    def release(self, number: int) -> None:
        """What `pulumi up` does with a version, which it makes where there is none of that number."""
        known = self.ec2.describe_launch_template_versions(LaunchTemplateId=self.template)["LaunchTemplateVersions"]
        if number > len(known):
            data = _data(f"v{number}")
            self.ec2.create_launch_template_version(LaunchTemplateId=self.template, LaunchTemplateData=data)
        self.ec2.modify_launch_template(LaunchTemplateId=self.template, DefaultVersion=str(number))
        self.take(number)

    def take(self, number: int) -> None:
        self.api.update_auto_scaling_group(AutoScalingGroupName=self.name, **self.version(number))

    def start(self, preferences: dict[str, Any], **more: Any) -> None:
        self.api.start_instance_refresh(AutoScalingGroupName=self.name, Preferences=preferences, **more)

    def refresh(self) -> dict[str, Any]:
        return self.api.describe_instance_refreshes(AutoScalingGroupName=self.name)["InstanceRefreshes"][0]

    def cancel(self, **more: Any) -> None:
        self.api.cancel_instance_refresh(AutoScalingGroupName=self.name, **more)

    def hosts(self) -> list[tuple[str, str]]:
        """Version and state of each."""
        return sorted((one["LaunchTemplate"]["Version"], one["LifecycleState"]) for one in self.described())

    def described(self) -> list[dict[str, Any]]:
        return self.api.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"][0][
            "Instances"
        ]

    def complete(self, state: str, result: str = "CONTINUE") -> None:
        [id] = [one["InstanceId"] for one in self.described() if one["LifecycleState"] == state]
        self.api.complete_lifecycle_action(
            AutoScalingGroupName=self.name, LifecycleHookName="any", LifecycleActionResult=result, InstanceId=id
        )

    def play(self) -> Iterator[list[tuple[str, str]]]:
        """Hosts do what they have to; yields what the group has at each look."""
        clients = {"autoscaling": self.api}
        yield from (sorted(hosts.elements()) for hosts in play(clients.__getitem__, self.name))
