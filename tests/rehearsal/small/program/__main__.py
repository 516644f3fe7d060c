"""A fleet in miniature: what a rehearsal looks at, and nothing else. With `small:broken` it does everything wrong."""

from __future__ import annotations

import base64
import json
import os
import time
import tomllib
from pathlib import Path

import boto3
import pulumi
import pulumi_aws as aws

BROKEN = pulumi.Config("small").get_bool("broken") or False

config = pulumi.Config("tandem")
region = config.require("region")
pins = tomllib.loads(Path(os.environ["TANDEM_PINS_FILE"]).read_text())
tags = {"tandem:project": "tandem", "tandem:stack": pulumi.get_stack()}
provider = aws.Provider("tagged", region=region, default_tags={"tags": tags})
here = pulumi.ResourceOptions(provider=provider)

token = config.require_secret("huggingFaceToken")
secret = aws.secretsmanager.Secret("secret", recovery_window_in_days=0, opts=here)
stored = {"token": "some other one"} if BROKEN else {"token": token}
aws.secretsmanager.SecretVersion(
    "secret", secret_id=secret.id, secret_string=pulumi.Output.json_dumps(stored), opts=here
)

plain_token = pulumi.Output.unsecret(token)
user_data = pulumi.Output.format("image={0} token={1}", pins["vllm"]["digest"], plain_token if BROKEN else "at boot")
template = aws.ec2.LaunchTemplate(
    "fleet",
    image_id="ami-0123456789abcdef0",
    instance_type="g6.12xlarge",
    user_data=user_data.apply(lambda text: base64.b64encode(text.encode()).decode()),
    opts=here,
)
group = aws.autoscaling.Group(
    "fleet",
    availability_zones=[f"{region}a"],
    min_size=1,
    max_size=1,
    launch_template={"id": template.id, "version": template.latest_version.apply(str)},
    tags=[{"key": key, "value": value, "propagate_at_launch": True} for key, value in tags.items()],
    initial_lifecycle_hooks=[
        {"name": name, "lifecycle_transition": f"autoscaling:EC2_INSTANCE_{transition}"}
        for name, transition in (("first-token", "LAUNCHING"), ("drain", "TERMINATING"))
    ],
    instance_refresh={
        "strategy": "Rolling",
        "preferences": {
            "min_healthy_percentage": 0 if BROKEN else 100,
            "max_healthy_percentage": 100 if BROKEN else 200,
        },
    },
    opts=here,
)


def policy(**statement: object) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


role = aws.iam.Role(
    f"tandem-{pulumi.get_stack()}-expiry",
    assume_role_policy=policy(Principal={"Service": "scheduler.amazonaws.com"}, Action="sts:AssumeRole"),
    opts=here,
)
action = "autoscaling:DescribeAutoScalingGroups" if BROKEN else "autoscaling:UpdateAutoScalingGroup"
aws.iam.RolePolicy("expiry", role=role.name, policy=policy(Action=action, Resource="*"), opts=here)
schedules = aws.scheduler.ScheduleGroup(f"tandem-{pulumi.get_stack()}", opts=here)
hosts = 1 if BROKEN else 0
aws.scheduler.Schedule(
    "stop",
    group_name=schedules.name,
    schedule_expression="at(2030-01-01T00:00:00)",
    flexible_time_window={"mode": "OFF"},
    target={
        "arn": "arn:aws:scheduler:::aws-sdk:autoscaling:updateAutoScalingGroup",
        "role_arn": role.arn,
        "input": pulumi.Output.json_dumps(
            {"AutoScalingGroupName": group.name, "MinSize": hosts, "MaxSize": hosts, "DesiredCapacity": hosts}
        ),
    },
    opts=here,
)
aws.sns.Topic("kept", opts=pulumi.ResourceOptions(provider=provider, protect=True, retain_on_delete=True))

pulumi.export("fleetName", "some other fleet" if BROKEN else group.name)
pulumi.export("expiresAt", "2030-01-01T00:00:00Z")
pulumi.export("usdPerHour", 2.0)
pulumi.export("maxUsdPerHour", 4.0)
pulumi.export("userDataBytes", user_data.apply(len))

if BROKEN:
    pulumi.export("token", plain_token)
    # another one with each update
    aws.sns.Topic("restless", display_name=f"{time.time():.0f}", opts=here)
    # which no look by tags finds
    untagged = aws.Provider("untagged", region=region)
    aws.sns.Topic("untagged", opts=pulumi.ResourceOptions(provider=untagged))
    if not pulumi.runtime.is_dry_run():
        # of which no preview speaks
        aws.sns.Topic("unannounced", opts=here)
        # which no state knows
        boto3.client("sns", region_name=region).create_topic(
            Name="unrecorded", Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
        )
