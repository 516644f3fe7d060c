"""The name of the hosts' group, known before the group is there, so that what guards it is there first."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pulumi
import pulumi_random as random
from pulumi_aws import autoscaling

from tandem.tags import PROJECT, PROJECT_TAG, STACK_TAG

ID_BYTES = 4


def fleet_name(name: str, stack: str, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """The name of a stack's Auto Scaling group: a random one, or the one that the engine once chose for it.

    A group cannot be renamed, only replaced, with all its hosts. One from before its name was known beforehand keeps
    it; its tags tell it, and what the engine puts behind a name: 7 hex digits, where ours has 8.

    Args:
        name: that the group's begins with.
        opts: with the provider of the stack's region.
    """
    own = random_name(name)
    tags = {PROJECT_TAG: PROJECT, STACK_TAG: stack}
    found = autoscaling.get_ami_ids(
        filters=[autoscaling.GetAmiIdsFilterArgs(name=f"tag:{key}", values=[value]) for key, value in tags.items()],
        opts=pulumi.InvokeOptions(provider=opts.provider),
    )
    former = chosen_by_engine(name, found.names)
    return pulumi.Output.from_input(former) if former else own


def random_name(name: str) -> pulumi.Output[str]:
    """A random name that begins with this one."""
    return random.RandomId(f"{name}-fleet", byte_length=ID_BYTES).hex.apply(lambda id: f"{name}-{id}")


def chosen_by_engine(name: str, found: Sequence[str]) -> str | None:
    """Which of the names the engine made of this one."""
    return next((one for one in sorted(found) if re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{7}}", one)), None)
