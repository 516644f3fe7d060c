"""The moto server (`python -m rehearsal.moto_server`): one request at a time, and four faults of moto 5.2.5 mended.

moto changes shared dictionaries from many threads and answers 500 when two meet, or when one meets a service that is
half loaded. Python runs one thread at a time anyhow, so nothing is lost.
"""

from __future__ import annotations

import threading
from copy import deepcopy
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.server import main

from rehearsal.moto_speed import quicker

ONE_AT_A_TIME = threading.Lock()


def one_request_at_a_time() -> None:
    """Puts a lock around the application."""
    answer = DomainDispatcherApplication.__call__

    def locked(self: DomainDispatcherApplication, environ: Any, start_response: Any) -> Any:
        with ONE_AT_A_TIME:
            return answer(self, environ, start_response)

    DomainDispatcherApplication.__call__ = locked


def launchable_versions() -> None:
    """moto keeps the user data of every launch template version but the first as the text that was sent, from which no
    instance can be launched."""
    from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateVersion
    from moto.ec2.utils import parse_user_data

    create_version = LaunchTemplate.create_version

    def with_user_data(self: LaunchTemplate, data: dict[str, Any], description: str) -> LaunchTemplateVersion:
        if self.versions and data.get("UserData"):
            data = data | {"UserData": parse_user_data(data["UserData"])}
        return create_version(self, data, description)

    LaunchTemplate.create_version = with_user_data


def zone_ids_that_begin_with_z() -> None:
    """AWS's do (https://docs.aws.amazon.com/Route53/latest/APIReference/API_HostedZone.html), and settings insist."""
    from moto.route53 import models

    made = models.create_route53_zone_id
    models.create_route53_zone_id = lambda **named: f"Z{made(**named)[1:]}"


def clusters_that_are_gone() -> None:
    """moto answers 500, not ResourceNotFoundException, when asked for the node groups of a cluster that is gone."""
    from moto.eks.exceptions import ResourceNotFoundException
    from moto.eks.models import EKSBackend

    listed = EKSBackend.list_nodegroups

    def or_refused(self: EKSBackend, cluster_name: str, *args: Any, **kwargs: Any) -> Any:
        if cluster_name not in self.clusters:
            raise ResourceNotFoundException(clusterName=cluster_name, message="No cluster found for this name.")
        return listed(self, cluster_name, *args, **kwargs)

    EKSBackend.list_nodegroups = or_refused


def policies_that_stay() -> None:
    """moto takes a group's mixed instances policy away with each update that does not mention it."""
    from moto.autoscaling.models import FakeAutoScalingGroup

    update = FakeAutoScalingGroup.update

    def keeping(self: FakeAutoScalingGroup, *args: Any, **changes: Any) -> None:
        mentioned = any(changes[name] for name in ("launch_config_name", "launch_template", "mixed_instances_policy"))
        if self.mixed_instances_policy and not mentioned:
            changes["mixed_instances_policy"] = kept = deepcopy(self.mixed_instances_policy)
            kept["LaunchTemplate"]["LaunchTemplateSpecification"].pop("LaunchTemplateName", None)
        update(self, *args, **changes)

    FakeAutoScalingGroup.update = keeping


if __name__ == "__main__":
    quicker()
    one_request_at_a_time()
    launchable_versions()
    zone_ids_that_begin_with_z()
    clusters_that_are_gone()
    policies_that_stay()
    main()
