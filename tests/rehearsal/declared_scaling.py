"""What AWS would say of the policies that the program declares, without an engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehearsal.played_scaling import Account
from tandem import type_tokens as types
from tandem.ops.kinds.kind import Found
from tandem.settings import Settings
from tests.infra.declared import declared_by


def settings_of(**fleet: Any) -> dict[str, Any]:
    """Of a stack whose hosts follow the load, from two to six."""
    sizes = {"instanceTypes": ["g6e.12xlarge"], "hosts": 1, "spareHosts": 1, "maxHosts": 6, "followLoad": True}
    return {
        "region": "us-east-1",
        "fleet": {**sizes, **fleet},
        "inference": {"model": "Qwen/Qwen3-32B", "quantization": "fp8", "maxModelLen": 16384},
    }


def found_of(values: Mapping[str, Any]) -> list[Found]:
    """Group, policies and alarms, with the facts that boto3 tells of them."""
    made = declared_by(values)
    found = []
    for one in made.resources:
        if one.type in (types.GROUP, types.POLICY, types.ALARM):
            facts = _facts(one.inputs)
            facts |= {"PolicyName": one.name} if one.type == types.POLICY else {}
            if one.type == types.ALARM:
                facts["Metrics"] = [_query(query) for query in one.inputs.get("metricQueries", ())]
            arn = f"arn:aws:mock:us-east-1:123456789012:{one.type.rpartition(':')[2]}/{one.name}"
            found.append(Found(type=one.type, id=one.name, arn=arn, name=one.name, facts=facts))
    return found


def account_of(values: Mapping[str, Any]) -> tuple[Settings, Account]:
    account = Account.of(found_of(values))
    assert account is not None
    return Settings.model_validate(values), account


def _facts(value: Any) -> Any:
    """Of inputs, in AWS's capitals."""
    if isinstance(value, Mapping):
        return {name[0].upper() + name[1:]: _facts(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_facts(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _query(query: Mapping[str, Any]) -> dict[str, Any]:
    if "expression" in query:
        return {"Id": query["id"], "Expression": query["expression"]}
    metric = query["metric"]
    of = {"Namespace": metric["namespace"], "MetricName": metric["metricName"]}
    return {"Id": query["id"], "MetricStat": {"Metric": of, "Period": int(metric["period"]), "Stat": metric["stat"]}}


def settings_of_pods() -> dict[str, Any]:
    """The same on pods: from four to twelve replicas, two on a node."""
    fleet = {"instanceTypes": ["g6e.12xlarge"], "maxHosts": 6}
    scaling = {"minReplicas": 4, "maxReplicas": 12}
    return {**settings_of(), "platform": "eks", "ephemeral": True, "fleet": fleet, "scaling": scaling}
