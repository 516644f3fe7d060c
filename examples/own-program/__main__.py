"""A team's own program: its load balancer and its queue, and tandem's network, model cache and GPU hosts.

`tandem` is a wheel here like any other. Settings are those of a stack file, checked in the same way.
"""

from __future__ import annotations

import pulumi
import pulumi_aws as aws
from pulumi.runtime.config import get_config_env

from tandem import pins as pin_file
from tandem.checks import check
from tandem.edge import edge_of, render_edge
from tandem.errors import UserError
from tandem.infra.components.gpu_fleet import GpuFleet, GpuFleetArgs
from tandem.infra.components.host_role import HostRole
from tandem.infra.components.host_scripts import HostScripts
from tandem.infra.components.log_group import LogGroup
from tandem.infra.components.model_cache import ModelCache, ModelCacheArgs
from tandem.infra.components.network import Network, NetworkArgs
from tandem.infra.components.secrets import Secrets, SecretsArgs
from tandem.infra.components.user_data import user_data
from tandem.loading import load
from tandem.ports import HEALTH_PATH, SERVING_PORT
from tandem.serving.engine import timeouts
from tandem.tags import stack_tags

STACK = pulumi.get_stack()
NAME = f"assistant-{STACK}"
try:
    settings, pins = load(get_config_env()), pin_file.load()
    plan = check(settings, pins, STACK, pulumi.log.warn)
except UserError as error:
    raise pulumi.RunError(str(error)) from None

tags = stack_tags(STACK, settings.region, ephemeral=False)
here = pulumi.ResourceOptions(
    provider=aws.Provider("here", region=settings.region, default_tags={"tags": {**tags, "team": "assistant"}})
)

# Ours: what the assistant needs besides a model.
questions = aws.sqs.Queue(f"{NAME}-questions", sqs_managed_sse_enabled=True, opts=here)

network = Network(
    NAME,
    NetworkArgs(
        region=settings.region,
        cidr_block=settings.network.cidr_block,
        zones=settings.zones,
        egress=settings.network.egress,
        edge_port=SERVING_PORT,
        client_cidrs=[str(settings.network.cidr_block)],
    ),
    here,
)
role = HostRole(NAME, pins.vllm.image, here)
cache = ModelCache(
    NAME,
    ModelCacheArgs(
        subnet_ids=network.host_subnet_ids,
        security_group_id=network.cache_security_group_id,
        host_role_arns=[role.role_arn],
        keep_on_destroy=False,  # a lab's cache may go with it
    ),
    here,
)
keys = Secrets(NAME, SecretsArgs(reader_role_name=role.role_name), here)
logs = LogGroup(f"{NAME}-hosts", 30, here, f"/{NAME}/hosts")
nginx = render_edge(edge_of(settings, [str(settings.network.cidr_block)]), timeouts(settings), place="host")
scripts = HostScripts(NAME, role.role_name, nginx, here)

# Ours: an internal load balancer, for this network only.
inside = aws.lb.LoadBalancer(
    STACK,
    internal=True,
    load_balancer_type="application",
    security_groups=[network.load_balancer_security_group_id],
    subnets=[*network.host_subnet_ids.values()],
    opts=here,
)
target = aws.lb.TargetGroup(
    STACK,
    vpc_id=network.vpc_id,
    port=SERVING_PORT,
    protocol="HTTP",
    deregistration_delay=settings.timeouts.deregistration_delay_seconds,
    health_check={"path": HEALTH_PATH},
    opts=here,
)
listener = aws.lb.Listener(
    STACK,
    load_balancer_arn=inside.arn,
    port=80,
    protocol="HTTP",
    default_actions=[{"type": "forward", "target_group_arn": target.arn}],
    opts=here,
)


fleet = GpuFleet(
    NAME,
    GpuFleetArgs(
        region=settings.region,
        account_id=network.account_id,
        subnet_ids=network.host_subnet_ids,
        security_group_id=network.host_security_group_id,
        public_address=False,
        role_name=role.role_name,
        instance_profile_arn=role.instance_profile_arn,
        target_group_arn=target.arn,
        log_group_arn=logs.arn,
        machine_image_id=pins.machine_image_id(settings.region),
        user_data=user_data(
            settings,
            pins,
            plan,
            stack=STACK,
            load_balancer_networks=[str(settings.network.cidr_block)],
            target_group_arn=target.arn,
            logs=logs,
            stored=keys,
            scripts_url=scripts.url,
            cache=cache,
        ),
        settings=settings.fleet,
        group_name=NAME,
        min_hosts=settings.group_size,
        max_hosts=settings.max_group_size,
        after=[listener],
        tags=tags,
    ),
    here,
)

pulumi.export("url", pulumi.Output.concat("http://", inside.dns_name))
pulumi.export("questions", questions.url)
pulumi.export("hosts", fleet.group_name)
