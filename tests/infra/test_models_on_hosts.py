"""Several models on platform ec2: each its own hosts beside what they share; the main one's stay as they were."""

from __future__ import annotations

import functools
import json
from collections import Counter
from typing import Any

import pytest

from tandem import costs, rules
from tandem.settings import Settings
from tests.infra.declared import Declared, declared_by

pytestmark = pytest.mark.sweep

FURTHER = {
    "embed": {
        "hostName": "embed.example.com",
        "inference": {
            "model": "BAAI/bge-m3",
            "task": "embed",
            "modelConfigFile": "tests/real/shapes/BAAI--bge-m3_config.json",
            "tensorParallelSize": 1,
        },
        "fleet": {"instanceTypes": ["g6.xlarge"], "hosts": 2, "maxHosts": 3, "followLoad": True},
    },
    "large": {
        "hostName": "large.example.com",
        "inference": {"model": "Qwen/Qwen3-32B", "tensorParallelSize": 4},
        "fleet": {"instanceTypes": ["g6e.12xlarge"], "onDemandPercentage": 0},
        "canary": {},
    },
}
BASE: dict[str, Any] = {
    "region": "us-east-1",
    "ephemeral": True,
    "loadBalancer": {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789"},
    "costGuard": {
        "expiresAfter": "8h",
        "maxUsd": 500,
        "businessHours": {"start": "08:00", "stop": "20:00"},
        "alertEmails": ["ops@example.com"],
    },
    "alarms": {"enabled": True},
}


REAL_ARN = 108
"""Characters of a target group's, whose name has 32 at most; the engine's answers here are shorter."""


@functools.cache
def built(*models: str) -> Declared:
    values = BASE | {"models": {model: FURTHER[model] for model in models}}
    assert rules.problems(Settings.model_validate(values)) == []
    return declared_by(values)


def test_each_further_model_adds_its_own_and_nothing_else() -> None:
    """The embedding one follows the load: three policies and alarms fewer, and neither tells of tokens."""
    alone, both = Counter(built().counts()), Counter(built("embed", "large").counts())
    assert not alone - both
    more = {token.split(":")[-1]: number for token, number in (both - alone).items()}
    assert {name: more.pop(name) for name in ("MetricAlarm", "CompositeAlarm")} == {
        "MetricAlarm": 39,
        "CompositeAlarm": 12,
    }
    assert more == {
        "BucketObjectv2": 2,
        "GpuFleet": 2,
        "Group": 2,
        "LaunchTemplate": 2,
        "LifecycleHook": 4,
        "ListenerRule": 3,
        "LoadScaling": 1,
        "Policy": 2,
        "RandomId": 2,
        "Record": 4,
        "Schedule": 2 * 4,
        "TargetGroup": 2,
    }


def test_of_the_main_model_nothing_changes_beside_others() -> None:
    """No byte of its launch template, no word of its group: no host goes when a model comes or goes."""
    kinds = (
        "LaunchTemplate",
        "autoscaling/group:Group",
        "LifecycleHook",
        "BucketObjectv2",
        "TargetGroup",
        "ListenerRule",
    )
    for kind in kinds:
        alone, beside = built().of(kind), built("embed", "large").of(kind)
        assert {name: beside[name] for name in alone} == alone, kind


@pytest.mark.parametrize("model", FURTHER)
def test_of_a_further_model_nothing_changes_beside_another(model: str) -> None:
    """Before or behind it in the file; its rules in the load balancer stay in their place as well."""
    for kind in ("LaunchTemplate", "autoscaling/group:Group", "BucketObjectv2", "ListenerRule"):
        alone, beside = built(model).of(kind), built("embed", "large").of(kind)
        assert {name: beside[name] for name in alone} == alone, kind


def test_each_group_is_of_its_models_types_sizes_purchase_and_name() -> None:
    groups = built("embed", "large").of("autoscaling/group:Group")
    assert {*groups} == {"tandem-dev", "tandem-dev-embed", "tandem-dev-large"}

    def told(name: str) -> tuple[Any, ...]:
        one = groups[name]
        policy = one["mixedInstancesPolicy"]
        types = [item["instanceType"] for item in policy["launchTemplate"]["overrides"]]
        share = policy["instancesDistribution"]["onDemandPercentageAboveBaseCapacity"]
        model = [tag["value"] for tag in one["tags"] if tag["key"] == "tandem:model"]
        return one["minSize"], one["maxSize"], types, share, model

    assert told("tandem-dev") == (1, 1, ["g6.12xlarge"], 100, [])
    assert told("tandem-dev-embed") == (2, 3, ["g6.xlarge"], 100, ["embed"])
    assert told("tandem-dev-large") == (1, 1, ["g6e.12xlarge"], 0, ["large"])
    assert len({one["name"] for one in groups.values()}) == 3
    assert len({tuple(one["targetGroupArns"]) for one in groups.values()}) == 3


def test_the_schedules_stop_every_group_and_the_role_may() -> None:
    found = built("embed", "large")
    names = {one["name"] for one in found.of("autoscaling/group:Group").values()}
    called: dict[str, set[str]] = {}
    for label, one in found.of("scheduler/schedule:Schedule").items():
        target = json.loads(one["target"]["input"])
        if "AutoScalingGroupName" in target:
            what = next(what for what in ("keep-stopped", "stop", "open", "close") if what in label)
            called.setdefault(what, set()).add(target["AutoScalingGroupName"])
            assert (target["MaxSize"] == 0) == (what != "open")
    assert called == dict.fromkeys(("stop", "keep-stopped", "open", "close"), names)
    (may,) = (one for name, one in found.of("RolePolicy").items() if name == "tandem-dev-expiry")
    allowed = json.loads(may["policy"])["Statement"][0]["Resource"]
    assert {arn.rpartition("/")[2] for arn in allowed} == names


def test_the_shared_role_stays_within_its_characters_with_twenty_models() -> None:
    """Of all inline policies of a role: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""
    model = FURTHER["large"] | {
        "inference": {"model": "Qwen/Qwen3-32B", "weights": "s3", "weightsS3Uri": "s3://weights/qwen"}
    }
    many = {f"model-{number:014}": model | {"hostName": f"m{number}.example.com"} for number in range(20)}
    found = declared_by(BASE | {"models": many})
    policies = [one for one in found.of("RolePolicy").values() if one["role"] == "tandem-dev-host"]
    (registers,) = (one for one in policies if "RegisterTargets" in one["policy"])
    (targets,) = (
        one["Resource"]
        for one in json.loads(registers["policy"])["Statement"]
        if "elasticloadbalancing:RegisterTargets" in one["Action"]
    )
    assert len(targets) == 21
    longer = 21 * (REAL_ARN - len(targets[0]))
    assert sum(len(one["policy"].replace(" ", "")) for one in policies) + longer < 10_240


def test_what_hosts_tell_is_told_apart_by_model_and_so_is_what_follows_it() -> None:
    found = built("embed", "large")
    alarms = found.of("metricAlarm:MetricAlarm")
    (out,) = (one for name, one in alarms.items() if name == "tandem-dev-embed-out")
    of = {query["metric"]["dimensions"]["Model"] for query in out["metricQueries"] if query.get("metric")}
    assert of == {"embed"}
    models = {one["dimensions"].get("Model") for one in alarms.values() if "dimensions" in one}
    assert {"main", "embed", "large"} <= models


def test_the_most_that_a_stack_can_cost_is_that_of_all_groups() -> None:
    def most(*models: str) -> float:
        return costs.max_usd_per_hour(
            Settings.model_validate(BASE | {"models": {model: FURTHER[model] for model in models}})
        )

    whole = Settings.model_validate(BASE | {"models": FURTHER})
    hosts = {
        model: costs.total(costs.dearest_hosts(own, costs.overlapping_hosts(own)))
        for model, own in whole.groups.items()
    }
    fixed = costs.total(costs.fixed_costs(whole))
    assert most("embed", "large") == pytest.approx(fixed + sum(hosts.values()))
    assert hosts["embed"] > 3 * 0.8
    assert most("embed", "large") > most("large") > most()
