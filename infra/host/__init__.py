"""Renders what runs on a GPU host (cloud-init/) into user data: settings in, bytes out, no Pulumi and no AWS."""

from infra.host.config import Edge, Engine, HostConfig, Packages, Pinned, Repository, Timeouts
from infra.host.render import render_bake_user_data, render_compose, render_files, render_nginx, render_user_data
from infra.host.vllm import vllm_arguments

__all__ = [
    "Edge",
    "Engine",
    "HostConfig",
    "Packages",
    "Pinned",
    "Repository",
    "Timeouts",
    "render_bake_user_data",
    "render_compose",
    "render_files",
    "render_nginx",
    "render_user_data",
    "vllm_arguments",
]
