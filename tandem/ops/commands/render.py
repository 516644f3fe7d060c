"""`tandem render`: what a stack's hosts run, as files to read, without AWS and without an engine."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tandem import pins
from tandem.checks import size
from tandem.errors import UserError
from tandem.files import PROJECT
from tandem.host.config import HostConfig
from tandem.host.from_settings import HostResources, host_config
from tandem.host.render import render_cloud_config, render_compose, render_files, render_nginx, render_user_data
from tandem.loading import load_stack_file
from tandem.ops.options import AsJson, named, print_json
from tandem.scripts import edge_script, sources
from tandem.tags import DECLARED_KEYS, ISSUED_KEYS, MAIN_MODEL

# What only `pulumi up` knows. The lengths are those of real ones, so that the size of the user data is right.
PLACEHOLDERS = HostResources(
    target_group_arn=f"arn:aws:elasticloadbalancing:REGION:{'0' * 12}:targetgroup/KNOWN-AFTER-UP/{'0' * 16}",
    log_group_name="/tandem/KNOWN-AFTER-UP/hosts",
    keys_secret_arns=[
        f"arn:aws:secretsmanager:REGION:{'0' * 12}:secret:KNOWN-AFTER-UP-{name}-000000"
        for name in (ISSUED_KEYS, DECLARED_KEYS)
    ],
    scripts_url=f"https://tandem-KNOWN-AFTER-UP-host-scripts-0000000.s3.REGION.amazonaws.com/{'0' * 64}.tar.bz2",
    hugging_face_token_secret_arn=None,
    efs_file_system_id=f"fs-{'0' * 17}",
    efs_access_point_id=f"fsap-{'0' * 17}",
)


def stack_config(stack: str, project: Path = PROJECT, model: str = MAIN_MODEL) -> HostConfig:
    """The host configuration of a stack file, with placeholders for what only `pulumi up` knows.

    Raises:
        UserError: when there is no such stack file or model, or its settings are wrong.
    """
    settings = load_stack_file(project / f"Pulumi.{stack}.yaml")
    if settings.platform != "ec2":
        raise UserError.of(
            key="tandem:platform",
            wrong="this stack has no hosts of its own to render, but pods on nodes of EKS's making",
            value=settings.platform,
            allowed="ec2",
            fix="`pulumi preview --diff` shows the manifests, and docs/kubernetes.md what they are",
        )
    if model not in settings.each:
        wrong, allowed = "the stack has no such model", ", ".join(settings.each)
        raise UserError.of(key="--model", wrong=wrong, value=model, allowed=allowed)
    own = settings.of(model)
    return host_config(
        own,
        pins.load(),
        size(own),
        stack=stack,
        model=model,
        load_balancer_networks=[str(settings.network.cidr_block)],
        resources=PLACEHOLDERS,
    )


def documents(config: HostConfig) -> dict[str, str | bytes]:
    """Everything that can be rendered: relative path to content."""
    replicas = config.instance_types[0].servers(config.engine.tensor_parallel_size)
    return {
        "user-data.gz": render_user_data(config),
        "user-data.yaml": render_cloud_config(config),
        "nginx.conf": render_nginx(config),
        "compose/compose.yaml": render_compose(config, edge_image=pins.load().edge.reference),
        "compose/edge.js": edge_script(),
        "compose/nginx.conf": render_nginx(config, compose_replicas=replicas),
        **{f"compose/tandem/{name}": text for name, text in sources("pod", "shared").items()},
        **{f"host{path}": text for path, text in render_files(config).items()},
        **{f"host/opt/tandem/{name}": text for name, text in sources("host", "shared", "batch").items()},
        "host/opt/tandem/edge.js": edge_script(),
        "host/opt/tandem/nginx.conf": render_nginx(config),
    }


def render(
    stack: Annotated[str, typer.Argument(help="Stack whose file (Pulumi.STACK.yaml) to render.", callback=named)],
    document: Annotated[
        str | None, typer.Argument(help="Print this one, such as nginx.conf or compose/compose.yaml.")
    ] = None,
    model: Annotated[str, typer.Option(help="Of this model's hosts, as the settings name it.")] = MAIN_MODEL,
    output: Annotated[Path | None, typer.Option(help="Write all documents below this directory.")] = None,
    as_json: AsJson = False,
) -> None:
    """Render user data, systemd units, nginx.conf, and a compose project for a plain GPU box.

    Without a document or --output it lists what there is, with sizes. Ids that only `pulumi up` knows are placeholders.

    Exit status: 0, or 2 for a mistake.

    Examples: `tandem render dev`, `tandem render prod-ec2 nginx.conf`, `tandem render dev --output /srv/vllm`.
    """
    rendered = documents(stack_config(stack, model=model))
    if output:
        for path, content in rendered.items():
            target = output / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
    if as_json and document in (None, *rendered):
        print_json(_as_json(rendered, document, output))
    elif output:
        typer.echo(f"{len(rendered)} files in {output}")
    elif document is None:
        for path, content in rendered.items():
            typer.echo(f"{len(content):>7,}  {path}")
    elif document in rendered:
        content = rendered[document]
        sys.stdout.buffer.write(content if isinstance(content, bytes) else content.encode())
    else:
        raise UserError.of(
            key="document",
            wrong="there is no such document",
            value=document,
            allowed=", ".join(path for path in rendered if not path.startswith("host/")) + ", host/...",
            fix=f"`tandem render {stack}` lists them",
        )


def _as_json(rendered: dict[str, str | bytes], document: str | None, output: Path | None) -> dict[str, Any]:
    """What there is, with sizes; one document with its text, or as base64 where it is none."""
    if document is None:
        sizes = [{"path": path, "bytes": len(content)} for path, content in rendered.items()]
        return {"documents": sizes, "writtenTo": str(output) if output else None}
    content = rendered[document]
    if isinstance(content, bytes):
        return {"path": document, "base64": base64.b64encode(content).decode()}
    return {"path": document, "text": content}
