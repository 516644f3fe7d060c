"""Tags that one of the services in a stack does not take."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tandem.errors import Problem
from tandem.settings.commands import removed, set_to
from tandem.settings.schema import Settings
from tandem.tags import stack_tags

ROUTE_53_TAGS = 10
"""https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeTagsForResource.html"""
OF_KARPENTER = r"kubernetes\.io/cluster.*|karpenter\.(sh|k8s\.aws)/.*|eks:eks-cluster-name"
"""Keys that its EC2NodeClass refuses: https://karpenter.sh/docs/concepts/nodeclasses/#spectags"""


def tags_differ_in_more_than_capitals(settings: Settings) -> Iterator[Problem]:
    """IAM takes `team` and `Team` for one key, and refuses it twice."""
    seen: dict[str, str] = {}
    for key in settings.tags:
        other = seen.setdefault(key.lower(), key)
        if other != key:
            yield Problem(
                key=f"tags.{key}",
                wrong=f"differs from tags.{other} in capitals only, which IAM takes for the same",
                value=key,
                allowed="keys that differ in more than capitals",
                fix=removed("tags", key),
            )


def tags_fit_on_a_health_check(settings: Settings) -> Iterator[Problem]:
    """Route 53 takes ten, ours among them: the stack's, its id and a name."""
    own = len(stack_tags("", "", ephemeral=settings.ephemeral)) + 2
    most = ROUTE_53_TAGS - own
    mine = len({*settings.tags} - {"Name"})
    if settings.global_name and settings.global_name.outside_check and mine > most:
        yield Problem(
            key="tags",
            wrong=f"a health check in Route 53 has {ROUTE_53_TAGS} tags at most, and {own} are tandem's",
            value=mine,
            allowed=f"up to {most} tags with globalName.outsideCheck",
            fix=f"{set_to('globalName.outsideCheck', False)}, or remove some",
        )


def tags_fit_on_nodes(settings: Settings) -> Iterator[Problem]:
    """Karpenter keeps some keys for itself."""
    for key in settings.tags:
        if re.fullmatch(OF_KARPENTER, key):
            yield Problem(
                key=f"tags.{key}",
                wrong="is a tag that Karpenter, or the cluster, sets itself",
                value=key,
                allowed="other keys on platform eks",
                fix=removed("tags", key),
            )
