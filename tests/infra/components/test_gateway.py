"""The gateway for teams: exact resources, who reaches whom, and that no secret is where it could be read."""

from __future__ import annotations

import copy
import json
from typing import Any

import pulumi
import pulumi_random as random
import pytest

from infra.platforms.context import GATEWAY_CLIENT
from tandem.gateway.config import guard
from tests.gateway.test_config import ALL, BASE, NOVA, SECRET
from tests.infra.declared import ACCOUNT, Declared, declared_by, secret

pytestmark = pytest.mark.sweep

PLATFORMS = ("ec2", "eks")
OWN = {"alarms": {"enabled": True}, "costGuard": {"alertEmails": ["ops@example.com"]}}


def stack(values: dict[str, Any], platform: str = "ec2", **sections: Any) -> Declared:
    return declared_by({**copy.deepcopy(values), "platform": platform, **OWN, **sections}, "golden")


def without(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "gateway"}


def with_gateway(**gateway: Any) -> dict[str, Any]:
    return BASE | {"gateway": BASE["gateway"] | gateway}


def every(found: Declared, kind: str) -> list[dict[str, Any]]:
    return [*found.of(kind).values()]


def beside(found: Declared) -> dict[str, dict[str, Any]]:
    """Containers of the task by name, each with its environment."""
    [task] = every(found, "TaskDefinition")
    return {one["name"]: one for one in json.loads(task["containerDefinitions"])}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_exact_resources_alike_on_both_platforms(platform: str) -> None:
    more = stack(BASE, platform).counts()
    for kind, count in stack(without(BASE), platform).counts().items():
        more[kind] -= count
    assert {kind.rpartition(":")[2]: count for kind, count in more.items() if count} == {
        "GatewayKeys": 1,
        "GatewayDatabase": 1,
        "GatewayCache": 1,
        "Gateway": 1,
        "RandomPassword": 6,
        "SecurityGroup": 3,
        "SecurityGroupIngressRule": 3,
        "SecurityGroupEgressRule": 4,
        "TargetGroup": 1,
        "ListenerRule": 2,
        "Record": 2,
        "Instance": 1,
        "ReplicationGroup": 1,
        "Cluster": 1,
        "TaskDefinition": 1,
        "Service": 1,
        "LogGroup": 1,
        "Secret": 1,
        "SecretVersion": 1,
        "Role": 2,
        "RolePolicy": 2,
        "MetricAlarm": 4,
        "SubnetGroup": 1,  # of two types by this name, the last
    }


@pytest.mark.parametrize("platform", PLATFORMS)
def test_edges_know_the_gateway_by_a_key_of_its_own_and_hold_it_to_no_address(platform: str) -> None:
    found = stack(BASE, platform)
    [version] = [one for one in every(found, "SecretVersion") if GATEWAY_CLIENT in secret(one["secretString"])]
    client = json.loads(secret(version["secretString"]))["clients"][GATEWAY_CLIENT]
    assert client["requestsPerSecond"] == 1000
    assert client["streams"] == 512
    assert [len(key["sha256"]) for key in client["keys"]] == [64]
    acl = found.one("WebAcl")
    [rule] = secret(acl["rules"])
    limited = rule["statement"]["rateBasedStatement"]["scopeDownStatement"]["notStatement"]["statement"]
    assert limited["byteMatchStatement"]["fieldToMatch"] == {"singleHeader": {"name": "x-tandem-gateway"}}


def test_without_a_gateway_the_firewall_counts_all() -> None:
    [rule] = stack(without(BASE)).one("WebAcl")["rules"]
    assert "scopeDownStatement" not in rule["statement"]["rateBasedStatement"]


def test_no_secret_is_in_the_task_but_by_name_and_version() -> None:
    containers = beside(stack(ALL))
    text = json.dumps(containers)
    assert "r" * 48 not in text
    assert {one["name"] for one in containers["gateway"]["secrets"]} == {
        *("LITELLM_MASTER_KEY", "LITELLM_SALT_KEY", "DATABASE_URL", "STACK_KEY", "STACK_BYPASS", "REDIS_PASSWORD"),
        *("MODEL_KEY_1", "MODEL_KEY_2"),
    }
    assert containers["migrate"]["secrets"] == containers["gateway"]["secrets"]


def test_migrations_end_before_a_copy_serves_and_one_worker_stops_by_sigterm() -> None:
    containers = beside(stack(BASE))
    serve, migrate = containers["gateway"], containers["migrate"]
    assert serve["dependsOn"] == [{"containerName": "migrate", "condition": "SUCCESS"}]
    assert (serve["essential"], migrate["essential"], serve["stopTimeout"]) == (True, False, 120)
    assert serve["linuxParameters"] == {"initProcessEnabled": True}
    told = {one["name"]: one["value"] for one in serve["environment"]}
    first = {one["name"]: one["value"] for one in migrate["environment"]}
    assert (told["DISABLE_SCHEMA_UPDATE"], first["DISABLE_SCHEMA_UPDATE"]) == ("true", "false")
    assert (told["REDIS_SSL"], told["REDIS_HOST"]) == ("True", "teams.cache.amazonaws.com")
    [command] = serve["command"]
    assert "exec litellm" in command, "else the shell takes the signal"
    assert "--num_workers 1" in command
    assert json.loads(told["CONFIG"])["general_settings"]["trusted_proxy_ranges"] == ["10.20.0.0/17"]


def test_litellm_asks_the_guard_which_lies_beside_its_configuration() -> None:
    for one in beside(stack(BASE)).values():
        told = {variable["name"]: variable["value"] for variable in one["environment"]}
        assert told["GUARD"] == guard()
        assert """printf %s "$GUARD" > /tmp/guard.py && exec litellm --config /tmp/config.yaml""" in one["command"][0]


@pytest.mark.parametrize("ephemeral", [False, True])
def test_the_salt_is_protected_where_the_database_is(monkeypatch: pytest.MonkeyPatch, ephemeral: bool) -> None:
    """What the database has encrypted opens by no other."""
    protected: dict[str, bool | None] = {}

    class Password(random.RandomPassword):
        def __init__(self, name: str, *args: Any, opts: pulumi.ResourceOptions, **more: Any) -> None:
            protected[name.rpartition("-")[2]] = opts.protect
            super().__init__(name, *args, opts=opts, **more)

    monkeypatch.setattr(random, "RandomPassword", Password)
    stack(BASE, ephemeral=ephemeral)
    assert protected["salt"] is not ephemeral
    assert not any(protects for name, protects in protected.items() if name != "salt")


def test_nobody_needs_the_right_to_deregister_others_definitions() -> None:
    [task] = every(stack(BASE), "TaskDefinition")
    assert task["skipDestroy"] is True


def test_ready_is_asked_and_never_health() -> None:
    [group] = [one for one in every(stack(BASE), "TargetGroup") if one["port"] == 4000]
    assert (group["healthCheck"]["path"], group["targetType"]) == ("/health/readiness", "ip")


def test_the_public_name_has_api_paths_alone_unless_the_admin_interface_is_opened() -> None:
    def paths(**gateway: Any) -> list[str]:
        rules = every(stack(with_gateway(**gateway)), "ListenerRule")
        own = [one["conditions"] for one in rules if "teams.example.com" in json.dumps(one["conditions"])]
        assert own
        return [path for one in own for part in one for path in part.get("pathPattern", {}).get("values", [])]

    assert {path.split("/")[1] for path in paths()} == {"v1"}
    assert paths(publicAdmin=True) == ["/*"]


def test_its_rules_come_before_those_of_any_host_name() -> None:
    rules = sorted(every(stack(BASE), "ListenerRule"), key=lambda rule: rule["priority"])
    hosts = ["hostHeader" in json.dumps(rule["conditions"]) for rule in rules]
    assert hosts == sorted(hosts, reverse=True)


def test_the_database_is_private_encrypted_backed_up_and_kept() -> None:
    found = stack(BASE)
    [database] = [one for one in every(found, "Instance") if "engine" in one]
    assert (database["publiclyAccessible"], database["storageEncrypted"]) == (False, True)
    assert database["backupRetentionPeriod"] == 7
    assert database["finalSnapshotIdentifier"] == "tandem-golden-gateway-0123456789abcdef"
    assert database["skipFinalSnapshot"] is False
    assert secret(database["password"])
    gone = stack(BASE, ephemeral=True)
    [short] = [one for one in every(gone, "Instance") if "engine" in one]
    assert (short["skipFinalSnapshot"], "finalSnapshotIdentifier" in short) == (True, False)
    protected = stack(BASE | {"loadBalancer": BASE["loadBalancer"] | {"deletionProtection": True}})
    assert [one["deletionProtection"] for one in every(protected, "Instance") if "engine" in one] == [True]


def test_one_copy_has_no_cache_and_reaches_none() -> None:
    found = stack(with_gateway(replicas=1))
    assert not every(found, "ReplicationGroup")
    assert "REDIS" not in json.dumps(beside(found))
    ports = {rule["fromPort"] for rule in every(found, "SecurityGroupEgressRule")}
    assert 6379 not in ports


def test_the_load_balancer_lets_in_the_way_that_the_gateway_comes() -> None:
    def clients(**sections: Any) -> list[dict[str, Any]]:
        balancer = BASE["loadBalancer"] | sections.pop("loadBalancer", {})
        rules = stack(BASE | {"loadBalancer": balancer}, **sections).resources
        named = [one for one in rules if "gateway-client" in one.name and "ipProtocol" in one.inputs]
        return [one.inputs for one in named]

    assert clients() == [], "everyone may come"
    closed = {"clientCidrs": ["203.0.113.0/24"]}
    assert len(clients(loadBalancer=closed)) == 2, "of two NAT gateways"
    [inside] = clients(loadBalancer=closed | {"scheme": "internal"})
    assert "gateway" in inside["referencedSecurityGroupId"]


def test_its_role_asks_one_model_of_bedrock_and_nothing_without_a_fallback() -> None:
    def bedrock(values: dict[str, Any]) -> list[str]:
        pages = [json.loads(one["policy"]) for one in every(stack(values), "RolePolicy")]
        said = [one for page in pages for one in page["Statement"] if "bedrock:InvokeModel" in one["Action"]]
        return [arn for one in said for arn in one["Resource"]]

    assert bedrock(BASE) == []
    assert bedrock(with_gateway(fallback=NOVA)) == [
        "arn:aws:bedrock:*::foundation-model/amazon.nova-lite-v1:0",
        f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/us.amazon.nova-lite-v1:0",
    ]
    plain = with_gateway(fallback=NOVA | {"model": "bedrock/amazon.nova-lite-v1:0"})
    assert bedrock(plain) == ["arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"]


def test_a_spent_day_is_counted_in_the_log_and_calls() -> None:
    found = stack(with_gateway(fallback=NOVA))
    counted = found.one("LogMetricFilter")
    [alarm] = [one for one in every(found, "MetricAlarm") if one["metricName"] == "FallbackSpent"]
    assert counted["pattern"] == '"crossed budget"'
    assert counted["metricTransformation"]["namespace"] == alarm["namespace"] == "tandem/golden/gateway"


def test_the_dashboard_has_a_row_of_it() -> None:
    board = json.loads(stack(BASE).one("Dashboard")["dashboardBody"])
    own = [one["properties"]["metrics"] for one in board["widgets"] if "AWS/RDS" in json.dumps(one)]
    assert len(own) == 3
    assert all(row[2:4] == ["DBInstanceIdentifier", "teams"] for rows in own for row in rows)
    rows = [row for one in board["widgets"] for row in one["properties"].get("metrics", ())]
    named = {row[0]: row[2:-1] for row in rows if row[0] in ("AWS/ECS", "AWS/ElastiCache")}
    assert named["AWS/ElastiCache"][0] == "CacheClusterId"
    assert named["AWS/ElastiCache"][1].endswith("-001")
    assert named["AWS/ECS"][::2] == ["ClusterName", "ServiceName"]
    assert "AWS/RDS" not in stack(without(BASE)).one("Dashboard")["dashboardBody"]
    assert "AWS/ElastiCache" not in stack(with_gateway(replicas=1)).one("Dashboard")["dashboardBody"]


def test_a_database_of_a_snapshot_has_its_size_and_the_salt_that_opens_it() -> None:
    left = {"snapshot": "tandem-golden-gateway-1", "secretArn": SECRET.format("left")}
    found = stack(with_gateway(restore=left))
    [database] = [one for one in every(found, "Instance") if "engine" in one]
    assert database["snapshotIdentifier"] == left["snapshot"]
    assert "allocatedStorage" not in database, "AWS refuses less than it had"
    read = {one["name"]: one["valueFrom"] for one in beside(found)["gateway"]["secrets"]}
    assert read["LITELLM_SALT_KEY"] == f"{left['secretArn']}:LITELLM_SALT_KEY::"
    assert left["secretArn"] not in read["LITELLM_MASTER_KEY"]
    pages = [json.loads(one["policy"]) for one in every(found, "RolePolicy")]
    said = [one for page in pages for one in page["Statement"] if left["secretArn"] in one["Resource"]]
    assert [one["Action"] for one in said] == [["secretsmanager:GetSecretValue"]]


def test_fargate_may_read_what_it_injects_and_nothing_else() -> None:
    pages = [json.loads(one["policy"]) for one in every(stack(ALL), "RolePolicy")]
    said = [one for page in pages for one in page["Statement"] if SECRET.format("eu") in one["Resource"]]
    assert [one["Action"] for one in said] == [["secretsmanager:GetSecretValue"]]
    assert len(said[0]["Resource"]) == 3


def test_operators_reach_a_copy_through_session_manager() -> None:
    """A container with Session Manager's agent, which writes to its file system, and the channels that it asks for."""
    found = stack(BASE)
    [service] = every(found, "Service")
    assert service["enableExecuteCommand"] is True
    assert [one for one in beside(found).values() if one.get("readonlyRootFilesystem")] == []
