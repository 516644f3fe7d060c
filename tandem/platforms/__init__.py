"""What platforms differ in before anything is declared: hosts, prices, times, pins. The rest is in infra/."""

from collections.abc import Callable, Mapping

from tandem.platforms import ec2, eks
from tandem.platforms.platform import CostItem, Platform
from tandem.settings.schema import Settings

PLATFORMS: Mapping[str, Callable[[Settings], Platform]] = {"ec2": ec2.Hosts, "eks": eks.nodes}

__all__ = ["PLATFORMS", "CostItem", "Platform", "platform_of"]


def platform_of(settings: Settings) -> Platform:
    """What the platform of these settings answers."""
    return PLATFORMS[settings.platform](settings)
