"""Stacks whose manifests are kept as golden files, built by the program itself."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import yaml

from tests.infra.declared import declared_by

GOLDEN = Path(__file__).with_name("golden")
BASE: dict[str, Any] = {
    "region": "us-east-1",
    "platform": "eks",
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "maxHosts": 4},
    "inference": {"model": "Qwen/Qwen3-32B", "quantization": "fp8", "maxModelLen": 32768},
}


def production() -> dict[str, Any]:
    """Settings of Pulumi.prod.yaml; with the pins of this tree, of which some are empty until they are looked up."""
    config = yaml.safe_load(Path(__file__).parents[3].joinpath("Pulumi.prod.yaml").read_text(encoding="utf-8"))[
        "config"
    ]
    return {key.removeprefix("tandem:"): value for key, value in config.items()} | {"requirePins": False}


SAMPLES: dict[str, dict[str, Any]] = {
    "prod": production(),
    "karpenter": BASE
    | {
        "fleet": BASE["fleet"] | {"onDemandBase": 1, "onDemandPercentage": 0},
        "inference": BASE["inference"]
        | {"speculation": {"method": "draft", "model": "acme/head", "tokens": 3}, "routing": {}},
    },
    "batch": BASE | {"batch": {"maxUsd": 80, "maxHosts": 2}, "scaling": {"minReplicas": 1, "maxReplicas": 2}},
    "pipeline": BASE
    | {
        "inference": BASE["inference"]
        | {
            "pipelineParallelSize": 2,
            "weights": "efs",
            "adapters": {"sql": {"model": "acme/sql", "rank": 16}, "legal.2": {"model": "acme/legal", "rank": 40}},
            "adaptersAtOnce": 1,
        },
        "scaling": {"maxReplicas": 2, "spread": "zones"},
        "nodePool": {"image": "bottlerocket", "replacementWindow": {"start": "22:30", "hours": 5}},
    },
    "pooling": BASE
    | {
        "inference": {
            "model": "BAAI/bge-m3",
            "task": "embed",
            "modelConfigFile": "tests/real/shapes/BAAI--bge-m3_config.json",
        },
        "fleet": BASE["fleet"] | {"capacityReservations": {"byZone": {"us-east-1a": "cr-" + "1" * 17}}},
    },
    "sleeping": BASE
    | {
        "inference": {
            "model": "Qwen/Qwen3-32B",
            "quantization": "fp8",
            "weights": "s3",
            "weightsS3Uri": "s3://weights/qwen3-32b",
        },
        "scaling": {"minReplicas": 0, "prometheusUrl": "http://prometheus.observability:9090"},
        "fleet": BASE["fleet"]
        | {
            "instanceTypes": ["p5.48xlarge"],
            "capacityBlock": {
                "reservationId": "cr-" + "0" * 17,
                "zone": "us-east-1b",
                "endsAt": "2026-12-24T18:00:00Z",
            },
        },
        "huggingFaceToken": "hf_" + "t" * 30,
    },
}


@functools.cache
def manifests(sample: str) -> list[dict[str, Any]]:
    """Every object that the sample's stack declares."""
    return manifests_of(SAMPLES[sample])


def manifests_of(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Every object that a stack with these settings declares, in the order of declaration; charts are not among
    them."""
    return [
        whole(one.inputs)
        for one in declared_by(values, "golden").resources
        if one.type.startswith("kubernetes:") and not one.type.endswith((":Release", ":Provider"))
    ]


def whole(value: Any) -> Any:
    """Numbers as they were: the engine's wire format knows floats only."""
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def rendered(sample: str) -> str:
    """The same as YAML; the scripts that pods run are left out, they are files of their own."""
    documents = [one | {"data": _without_scripts(one["data"])} if "data" in one else one for one in manifests(sample)]
    return yaml.safe_dump_all(sorted(documents, key=lambda one: (one["kind"], one["metadata"]["name"])), sort_keys=True)


def _without_scripts(data: dict[str, str]) -> dict[str, str]:
    return {name: "..." if name.endswith((".py", ".js")) else text for name, text in data.items()}


def pod(name: str = "vllm-main-a", *true: str, node: str = "n", **status: Any) -> dict[str, Any]:
    """A server's pod on a node, with these conditions."""
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/instance": "vllm-main"}},
        "spec": {"nodeName": node},
        "status": {"conditions": [{"type": one, "status": "True"} for one in true], **status},
    }
