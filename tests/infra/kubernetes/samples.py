"""Stacks whose manifests are kept as golden files, built by the program itself."""

from __future__ import annotations

import functools
from typing import Any

import yaml

from infra import pins, stack
from infra.settings import Settings
from tests.infra.declared import declared

BASE: dict[str, Any] = {
    "region": "us-east-1",
    "platform": "eks",
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "hosts": 2, "maxHosts": 4},
    "inference": {"model": "Qwen/Qwen3-32B", "quantization": "fp8", "maxModelLen": 32768},
}
SAMPLES: dict[str, dict[str, Any]] = {
    "karpenter": BASE | {"fleet": BASE["fleet"] | {"onDemandBase": 1, "onDemandPercentage": 0}},
    "pipeline": BASE
    | {
        "inference": BASE["inference"] | {"pipelineParallelSize": 2, "weights": "efs"},
        "scaling": {"maxReplicas": 2, "spread": "zones"},
        "nodePool": {"image": "bottlerocket", "replacementWindow": {"start": "22:30", "hours": 5}},
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
    settings = Settings.model_validate(values)
    found = declared(lambda: stack.build(settings, pins.load(), "golden"), stack="golden")
    return [
        whole(one.inputs)
        for one in found.resources
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
    """The same as YAML; the script that pods run is left out, it is a file of its own."""
    documents = [one | {"data": {"pod.py": "..."}} if one["kind"] == "ConfigMap" else one for one in manifests(sample)]
    return yaml.safe_dump_all(sorted(documents, key=lambda one: (one["kind"], one["metadata"]["name"])), sort_keys=True)


def pod(name: str = "vllm-main-a", *true: str, node: str = "n", **status: Any) -> dict[str, Any]:
    """A server's pod on a node, with these conditions."""
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/instance": "vllm-main"}},
        "spec": {"nodeName": node},
        "status": {"conditions": [{"type": one, "status": "True"} for one in true], **status},
    }
