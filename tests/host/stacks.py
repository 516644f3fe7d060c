"""Host configurations for the tests: the two shipped stacks, types with eight GPUs behind NVSwitch, a model that
embeds, and a further model of a stack.

Pins and ids are placeholders (zeros), so that a new pin or another sizing does not change the golden files.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import infra
from tandem import pins
from tandem.checks import size
from tandem.host.config import HostConfig
from tandem.host.from_settings import HostResources, host_config
from tandem.loading import load, load_stack_file
from tandem.settings import Settings
from tandem.tags import MAIN_MODEL

ROOT = Path(infra.__file__).parents[1]
RESOURCES = HostResources(
    target_group_arn="arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/tandem/0000000000000000",
    log_group_name="/tandem/golden/hosts",
    keys_secret_arns=[
        f"arn:aws:secretsmanager:us-east-1:000000000000:secret:tandem-{name}-keys-000000"
        for name in ("issued", "declared")
    ],
    scripts_url=f"https://tandem-golden-host-scripts-0000000.s3.us-east-1.amazonaws.com/{'0' * 64}.tar.bz2",
    hugging_face_token_secret_arn=None,
    efs_file_system_id="fs-00000000000000000",
    efs_access_point_id="fsap-00000000000000000",
)


EIGHT_GPUS = {"eight-gpus": "p5en.48xlarge", "b200": "p6-b200.48xlarge"}


EMBEDS = {
    "model": "BAAI/bge-m3",
    "task": "embed",
    "modelConfigFile": "tests/real/shapes/BAAI--bge-m3_config.json",
    "tensorParallelSize": 1,
}


FURTHER = {
    "hostName": "small.example.com",
    "inference": {"model": "Qwen/Qwen3-8B", "servedModelName": "small", "tensorParallelSize": 1, "routing": {}},
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "hosts": 2, "maxHosts": 4, "followLoad": True},
}


def _settings(name: str) -> Settings:
    if name == "further":
        stack = {
            "tandem:region": "us-east-1",
            "tandem:inference": '{"model": "Qwen/Qwen3-32B-FP8", "maxModelLen": 16384}',
            "tandem:loadBalancer": '{"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"}',
            "tandem:clients": json.dumps({"alice": {"sha256": ["0" * 64], "models": ["small"]}}),
            "tandem:models": json.dumps(
                {"small": FURTHER, "embed": {"hostName": "e.example.com", "inference": EMBEDS}}
            ),
        }
        return load(stack).of("small")
    if name == "embed":
        return load({"tandem:region": "us-east-1", "tandem:inference": json.dumps(EMBEDS)})
    if name not in EIGHT_GPUS:
        return load_stack_file(ROOT / f"Pulumi.{name}.yaml")
    return load(
        {
            "tandem:region": "us-east-1",
            "tandem:fleet": f'{{"instanceTypes": ["{EIGHT_GPUS[name]}"]}}',
            "tandem:inference": '{"model": "openai/gpt-oss-120b", "servedModelName": "gpt-oss", "kvCacheDtype": "fp8", '
            '"speculation": {"method": "eagle3", "model": "acme/head"}, "routing": {"by": "session"}, '
            '"adapters": {"sql": {"model": "acme/sql", "rank": 16}, "legal.2": {"model": "acme/legal", "rank": 8}}}',
            "tandem:loadBalancer": '{"paths": ["/v1/chat/completions", "/v1/responses", "/v1/responses/*"]}',
        }
    )


@cache
def config(name: str) -> HostConfig:
    """One of NAMES, or of EIGHT_GPUS."""
    settings = _settings(name)
    pinned = pins.load()
    found = host_config(
        settings,
        pinned,
        replace(size(settings), gpu_memory_utilization=0.85),
        stack=name,
        load_balancer_networks=["10.20.0.0/24", "10.20.1.0/24"],
        resources=RESOURCES,
        model="small" if name == "further" else MAIN_MODEL,
    )
    return replace(
        found,
        engine=replace(
            found.engine,
            image=f"{pinned.vllm.image}@sha256:{'0' * 64}",
            revision="0" * 40,
            adapters=[replace(one, revision="0" * 40, manifest="0" * 64) for one in found.engine.adapters],
            draft=found.engine.draft and replace(found.engine.draft, revision="0" * 40, manifest="0" * 64),
        ),
        packages=replace(
            found.packages,
            driver_version="580.0.0",
            toolkit=replace(found.packages.toolkit, version="1.20.0"),
            docker=replace(found.packages.docker, version="29.0.0"),
            containerd=replace(found.packages.containerd, version="2.0.0"),
            subnet_manager=replace(found.packages.subnet_manager, version="2025.1.1"),
            efs_utils=f"https://amazon-efs-utils.aws.com/repo/efs-utils-3.0.0-1_amd64.deb#sha256={'0' * 64}",
        ),
    )


NAMES = ("dev", "prod-ec2", "eight-gpus", "embed", "further")
