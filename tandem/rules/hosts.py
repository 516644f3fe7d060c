"""What hosts need of the settings, and would find out only once they are paid for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from ipaddress import IPv4Network

from tandem.errors import Problem
from tandem.settings.commands import removed, set_to
from tandem.settings.schema import Settings
from tandem.timing import SPOT_NOTICE_SECONDS

LONGEST_HOLD = timedelta(days=2)


def registry_login_is_in_the_region(settings: Settings) -> Iterator[Problem]:
    """Hosts ask Secrets Manager of their own region, and are granted what is there."""
    arn = settings.fleet.registry_login_secret_arn
    if arn and f":secretsmanager:{settings.region}:" not in arn:
        yield Problem(
            key="fleet.registryLoginSecretArn",
            wrong="the secret is in another region than the stack",
            value=arn,
            allowed=f"a secret in {settings.region}",
            fix=f"replicate the secret to {settings.region}, and {set_to('fleet.registryLoginSecretArn', 'ARN')}",
        )


def a_rollout_can_be_held(settings: Settings) -> Iterator[Problem]:
    """A refresh stops at a share of the group's hosts, for up to 48 hours:
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_RefreshPreferences.html"""
    hold = settings.fleet.hold_after_first_host
    if hold and (settings.max_group_size < 2 or hold > LONGEST_HOLD):
        yield Problem(
            key="fleet.holdAfterFirstHost",
            wrong="no instance refresh can be held so",
            value=f"{hold // timedelta(minutes=1)}m",
            allowed="10m to 2d, with two hosts or more",
            fix=f"{removed('fleet.holdAfterFirstHost')}, or set it to 2d or less",
        )


DOCKERS = IPv4Network("172.17.0.0/16")
"""Of Docker's bridge, unless a daemon is told otherwise: https://docs.docker.com/engine/daemon/#configure-the-bridge"""


def network_is_not_dockers(settings: Settings) -> Iterator[Problem]:
    """A host's kernel would send to its own bridge what is meant for the VPC: its resolver, EFS, the load balancer."""
    network = settings.network.cidr_block
    if network.overlaps(DOCKERS):
        yield Problem(
            key="network.cidrBlock",
            wrong="these addresses are those of Docker's bridge on each host",
            value=str(network),
            allowed=f"a private range outside {DOCKERS}",
            fix=set_to("network.cidrBlock", "10.20.0.0/16"),
        )


def region_is_of_the_main_partition(settings: Settings) -> Iterator[Problem]:
    """China, GovCloud and the isolated regions have other ARNs, and names of services."""
    if settings.region.startswith(("cn-", "us-gov-", "us-iso")):
        yield Problem(
            key="region",
            wrong="is of a partition of AWS whose ARNs tandem does not write",
            value=settings.region,
            allowed="a region whose ARNs begin with arn:aws:",
            fix=f"{set_to('region', 'us-east-1')}, or another such region",
        )


def may_be_taken_back(settings: Settings) -> bool:
    """Whether AWS may end a host with two minutes' notice: a spot host, or one in a Capacity Block at its end."""
    return settings.fleet.on_demand_percentage < 100 or settings.fleet.capacity_block is not None


def warnings(settings: Settings) -> Iterator[str]:
    """What is allowed on platform ec2 and may surprise."""
    fleet = settings.fleet
    if fleet.on_demand_base and fleet.on_demand_percentage == 100:
        yield (
            f"fleet.onDemandBase is {fleet.on_demand_base} and has no effect: fleet.onDemandPercentage is 100, so that "
            "all hosts are on demand; 0 makes spot hosts of those above the base"
        )
    delay = settings.timeouts.deregistration_delay_seconds
    if may_be_taken_back(settings) and delay > SPOT_NOTICE_SECONDS:
        yield (
            f"timeouts.deregistrationDelaySeconds is {delay} and spot gives {SPOT_NOTICE_SECONDS} s of notice: answers "
            "longer than that are cut off when a spot host is reclaimed"
        )
