"""The operators' way to the gateway's admin interface, which no load balancer forwards. Pure."""

from __future__ import annotations

from tandem.gateway.config import PORT

CONTAINER = "gateway"
"""Of a copy, the one that serves; the other has ended by then."""
COPY = (
    f"tasks[?containers[?name=='{CONTAINER}' && managedAgents[?lastStatus=='RUNNING']]] | [0]"
    f".[containers[?name=='{CONTAINER}'].runtimeId | [0], taskArn] | join('/', @)"
)
"""Of what DescribeTasks answers: runtime id and ARN of a copy in which Session Manager's agent runs. One that is still
starting has none."""


def admin_command(region: str, cluster: str) -> str:
    """Two commands of AWS's CLI for a POSIX shell, which forward the gateway's port from 127.0.0.1 until Ctrl-C.

    The name of a container for Session Manager is as the CLI itself makes it for `aws ecs execute-command`
    (https://github.com/aws/aws-cli/blob/develop/awscli/customizations/ecs/executecommand.py); the document is
    https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-sessions-start.html.
    """
    where = f"--region {region} --cluster {cluster}"
    tasks = f"$(aws ecs list-tasks {where} --query taskArns --output text)"
    return (
        f'COPY=$(aws ecs describe-tasks {where} --tasks {tasks} --query "{COPY}" --output text) && '
        f'aws ssm start-session --region {region} --target "ecs:{cluster}_${{COPY##*/}}_${{COPY%%/*}}" '
        "--document-name AWS-StartPortForwardingSession "
        f"""--parameters '{{"portNumber":["{PORT}"],"localPortNumber":["{PORT}"]}}'"""
    )
