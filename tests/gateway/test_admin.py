"""The way to the admin interface: the command finds a copy with an agent, and names it as Session Manager knows it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import boto3
import jmespath
import pytest

from tandem.gateway.admin import CONTAINER, COPY, admin_command

ARN = "arn:aws:ecs:us-east-1:123456789012:task/tandem-dev-gateway-1a2b3c4/7412261320c54ef9a1ae606175e9bec1"
RUNTIME = "7412261320c54ef9a1ae606175e9bec1-3811061257"
DOCUMENT = Path(__file__).parents[2] / "docs/gateway.md"


def task(agent: str, arn: str = ARN) -> dict[str, Any]:
    """As DescribeTasks answers on Fargate."""
    ended = {"name": "migrate", "runtimeId": f"{RUNTIME}0", "managedAgents": [{"lastStatus": "STOPPED"}]}
    serves = {"name": CONTAINER, "runtimeId": RUNTIME, "managedAgents": [{"lastStatus": agent}]}
    return {"taskArn": arn, "containers": [ended, serves]}


def test_a_copy_that_still_starts_is_not_taken() -> None:
    tasks = [task("PENDING", "arn:aws:ecs:us-east-1:123456789012:task/c/0"), task("RUNNING")]
    assert jmespath.search(COPY, {"tasks": tasks}) == f"{RUNTIME}/{ARN}"


def test_the_shell_asks_for_a_copy_and_forwards_its_port(tmp_path: Path) -> None:
    """Run by a shell, with an `aws` that writes down what it is given.

    Stands for: AWS's CLI, as it takes options and answers in text.
    Held by: tests/gateway/test_admin.py::test_its_operations_know_what_it_gives (AWS's models, for the options)
    """
    told = tmp_path / "told"
    program = tmp_path / "aws"
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$*" >> {told}\n'
        f'case "$2" in list-tasks) echo {ARN};; describe-tasks) echo {RUNTIME}/{ARN};; esac\n'
    )
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(
        ["sh", "-c", admin_command("us-east-1", "tandem-dev-gateway-1a2b3c4")], env={"PATH": path}, check=True
    )
    *_, described, session = told.read_text().splitlines()
    assert f"--tasks {ARN} " in described
    cluster, id = ARN.split("/")[1:]
    assert f"--target ecs:{cluster}_{id}_{RUNTIME} " in session
    assert json.loads(session.partition("--parameters ")[2]) == {"portNumber": ["4000"], "localPortNumber": ["4000"]}


def dashed(name: str) -> str:
    """As the CLI calls an operation or an option."""
    return re.sub("(?<!^)(?=[A-Z])", "-", name).lower()


@pytest.mark.parametrize(
    ("service", "operation"), [("ecs", "ListTasks"), ("ecs", "DescribeTasks"), ("ssm", "StartSession")]
)
def test_its_operations_know_what_it_gives(service: str, operation: str) -> None:
    model = boto3.client(service, region_name="us-east-1").meta.service_model.operation_model(operation)
    known = {dashed(name) for name in model.input_shape.members}
    called = re.search(rf"aws {service} {dashed(operation)} (.*?)(?= --query| &&|$)", admin_command("us-east-1", "c"))
    assert called
    own = re.sub(r"\$\(.*?\)", "", called[1])
    assert set(re.findall(r"--([a-z-]+)", own)) - {"region"} <= known


def test_the_document_shows_it() -> None:
    text = re.sub(r" \\\n *", " ", DOCUMENT.read_text())
    assert admin_command("REGION", "CLUSTER") in text
