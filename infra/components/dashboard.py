"""The models of a stack on a dashboard of CloudWatch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pulumi

from tandem.observing.cloudwatch import body
from tandem.observing.watched import Watched
from tandem.type_tokens import DASHBOARD


class Dashboard(pulumi.CustomResource):
    """Declared by its type token, as the log group is. The account has its name once, in all regions, and it takes no
    tags: by its name it is found again.

    Args:
        stack_id: of this life of the stack.
        region: of the figures.
        gateway: by what figures of a gateway for teams are told from others'; None without one.
    """

    def __init__(
        self,
        name: str,
        models: Sequence[Watched],
        stack_id: pulumi.Input[str],
        region: str,
        opts: pulumi.ResourceOptions,
        gateway: Mapping[str, Mapping[str, pulumi.Input[str]]] | None = None,
    ) -> None:
        properties = {
            "dashboardName": pulumi.Output.concat(name, "-", stack_id),
            "dashboardBody": pulumi.Output.all(**gateway).apply(partial(body, models, region))
            if gateway
            else body(models, region),
        }
        super().__init__(DASHBOARD, name, properties, opts)
