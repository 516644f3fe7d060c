"""The gateway for teams: copies of LiteLLM on Fargate, behind the stack's load balancer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import ecs, iam, secretsmanager

from tandem.costs import COPY_GIB, COPY_VCPUS
from tandem.gateway.admin import CONTAINER
from tandem.gateway.config import GUARD, PORT, guard

from .. import policies
from .log_group import LogGroup

STOP_SECONDS = 120
"""The most that Fargate waits between SIGTERM and SIGKILL. Streams have ended by then: a copy that leaves is first
taken from the load balancer, which lets them end."""
START_SECONDS = 300
"""Until a copy must be ready: it starts in 15 s to 150 s, after what it brings the database up to date with."""
_RUN = (
    f'printf %s "$CONFIG" > /tmp/config.yaml && printf %s "$GUARD" > /tmp/{GUARD}.py && '
    "exec litellm --config /tmp/config.yaml"
)
SERVE = f"{_RUN} --host 0.0.0.0 --port {PORT} --num_workers 1"
MIGRATE = f"{_RUN} --skip_server_startup"
"""Prisma's migrations, of which one holds a lock while others wait; it ends with an error where they fail, and then no
copy of the new version starts."""


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    """What a gateway needs.

    Attributes:
        region, account_id: of the stack.
        image: by digest.
        replicas: copies at any time.
        config: the text of its config.yaml.
        environment: what is no secret.
        secrets: values that the stack makes, by the name of their variable.
        given_secrets: others' secrets likewise, by their ARNs, which may go on with a value's name in them.
        bedrock_models: ids of models of Amazon Bedrock that it may ask.
        subnet_ids: where copies are.
        security_group_id: in from the load balancer, out to database, cache and HTTPS.
        public_address: each copy has one, where no NAT leads out.
        target_group_arn: where copies register; known once the load balancer leads there.
        log_retention_days: keeps its log so long.
        recovery_window_days: how long its deleted secret can be restored; 0 deletes at once.
    """

    region: str
    account_id: pulumi.Input[str]
    image: str
    replicas: int
    config: str
    environment: Mapping[str, pulumi.Input[str]]
    secrets: Mapping[str, pulumi.Input[str]]
    given_secrets: Mapping[str, str]
    bedrock_models: Sequence[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_id: pulumi.Input[str]
    public_address: bool
    target_group_arn: pulumi.Input[str]
    log_retention_days: int
    recovery_window_days: int = 30


class Gateway(pulumi.ComponentResource):
    """A service of copies that are alike: a failed rollout goes back by itself, before an old copy has left.

    Attributes:
        cluster_name: of the copies; operators reach one through Session Manager.
        log_group_name: of its log.
        service_name: of their service, in that cluster.
        secret_arn: of its keys, by the names of variables, as JSON.
    """

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:Gateway", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        logs = LogGroup(name, args.log_retention_days, self._child)
        secret = secretsmanager.Secret(
            name,
            description="The gateway's keys and passwords",
            recovery_window_in_days=args.recovery_window_days,
            opts=self._child,
        )
        version = secretsmanager.SecretVersion(
            name,
            secret_id=secret.id,
            secret_string=pulumi.Output.secret(pulumi.Output.json_dumps(dict(args.secrets))),
            opts=self._child,
        )
        cluster = ecs.Cluster(name, tags={"Name": name}, opts=self._child)
        starts, granted = self._starting_role(secret.arn, logs)
        task = ecs.TaskDefinition(
            name,
            family=name,
            requires_compatibilities=["FARGATE"],
            network_mode="awsvpc",
            # One process, 0.8 GiB of it before any request; in 1,024ths of a processor, and MiB.
            cpu=str(1024 * COPY_VCPUS),
            memory=str(1024 * COPY_GIB),
            execution_role_arn=starts.arn,
            task_role_arn=self._own_role().arn,
            container_definitions=pulumi.Output.all(secret.arn, version.version_id, logs.name, args.environment).apply(
                lambda known: json.dumps(self._containers(*known))
            ),
            # AWS binds the right to deregister one to nothing: who has it can stop others' scheduled tasks.
            skip_destroy=True,
            opts=self._child,
        )
        service = ecs.Service(
            name,
            cluster=cluster.arn,
            task_definition=task.arn,
            launch_type="FARGATE",
            desired_count=args.replicas,
            deployment_minimum_healthy_percent=100,
            deployment_maximum_percent=200,
            deployment_circuit_breaker={"enable": True, "rollback": True},
            health_check_grace_period_seconds=START_SECONDS,
            enable_execute_command=True,
            network_configuration={
                "subnets": args.subnet_ids,
                "security_groups": [args.security_group_id],
                "assign_public_ip": args.public_address,
            },
            load_balancers=[
                {"target_group_arn": args.target_group_arn, "container_name": CONTAINER, "container_port": PORT}
            ],
            propagate_tags="SERVICE",
            wait_for_steady_state=True,
            tags={"Name": name},
            opts=pulumi.ResourceOptions(parent=self, depends_on=granted),
        )
        self.cluster_name, self.service_name = cluster.name, service.name
        self.log_group_name, self.secret_arn = logs.name, secret.arn
        self.register_outputs({"cluster_name": self.cluster_name})

    def _containers(
        self, secret_arn: str, version_id: str, log_group: str, environment: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """One that brings the database up to date and ends, then one that serves."""
        args = self._args
        # Of one version: a changed secret is another definition, and copies that read it.
        read = {name: f"{secret_arn}:{name}::{version_id}" for name in args.secrets} | {**args.given_secrets}
        alike = {
            "image": args.image,
            "entryPoint": ["sh", "-c"],
            "secrets": [{"name": name, "valueFrom": where} for name, where in read.items()],
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": log_group,
                    "awslogs-region": args.region,
                    "awslogs-stream-prefix": "gateway",
                },
            },
        }
        told = {**environment, "CONFIG": args.config, "GUARD": guard()}
        migrate = {
            **alike,
            "name": "migrate",
            "essential": False,
            "command": [MIGRATE],
            "environment": _pairs({**told, "DISABLE_SCHEMA_UPDATE": "false"}),
        }
        serve = {
            **alike,
            "name": CONTAINER,
            "essential": True,
            "command": [SERVE],
            "environment": _pairs(told),
            "portMappings": [{"containerPort": PORT, "protocol": "tcp"}],
            "dependsOn": [{"containerName": "migrate", "condition": "SUCCESS"}],
            "stopTimeout": STOP_SECONDS,
            # What the agent of a session leaves behind has a parent that ends it
            # (https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-exec.html).
            "linuxParameters": {"initProcessEnabled": True},
        }
        return [migrate, serve]

    def _starting_role(self, secret_arn: pulumi.Output[str], logs: LogGroup) -> tuple[iam.Role, list[pulumi.Resource]]:
        """By which Fargate reads secrets, pulls the image and writes the log; and what that has been granted."""
        name, args = f"{self._name}-start", self._args
        role = self._role(name, "Fargate: secrets and log of tandem's gateway")
        allowed = policies.document(
            policies.allow(["secretsmanager:GetSecretValue"], [secret_arn, *map(_arn_of, args.given_secrets.values())]),
            policies.write_log(logs.arn),
            *policies.pull_from_ecr(args.image),
        )
        return role, [iam.RolePolicy(name, role=role.name, policy=allowed, opts=self._child)]

    def _own_role(self) -> iam.Role:
        """Of LiteLLM itself: sessions of operators, and models of Bedrock."""
        args = self._args
        role = self._role(self._name, "tandem's gateway: sessions, and the models that it may ask")
        statements = [policies.session_channels()]
        if args.bedrock_models:
            statements.append(policies.ask_bedrock(args.region, args.account_id, args.bedrock_models))
        iam.RolePolicy(self._name, role=role.name, policy=policies.document(*statements), opts=self._child)
        return role

    def _role(self, name: str, description: str) -> iam.Role:
        source = pulumi.Output.concat(f"arn:aws:ecs:{self._args.region}:", self._args.account_id, ":*")
        condition = policies.on_behalf_of(self._args.account_id, source)
        return iam.Role(
            name,
            description=description,
            assume_role_policy=policies.assumed_by("ecs-tasks", condition),
            opts=self._child,
        )


def _arn_of(secret: str) -> str:
    """Without the name of a value in it."""
    return ":".join(secret.split(":")[:7])


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]
