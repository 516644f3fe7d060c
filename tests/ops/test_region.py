"""A stack's copies in other regions: what differs, what is refused, and their life on the real engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from pulumi_rehearsal import engine
from pulumi_rehearsal.account_gaps import AccountGaps
from pulumi_rehearsal.moto import SimulatedAccount
from rehearsal.account import account_gaps
from rehearsal.scene import pins_of, set_the_scene
from tandem import type_tokens as types
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.errors import UserError
from tandem.ops import inventory, options
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.kinds import KINDS
from tandem.ops.kinds.kind import Scope
from tandem.ops.regions import NewRegion, free_range, nearest, new_region, offerings

PROD = options.PROJECT / "Pulumi.prod.yaml"
EVERYWHERE = {name: frozenset({"eu-west-1a", "eu-west-1b", "eu-west-1c"}) for name in INSTANCE_TYPES}


def config(**changes: Any) -> dict[str, Any]:
    found = {**yaml.safe_load(PROD.read_text())["config"], "tandem:requirePins": False}
    return {**found, **{f"tandem:{key}": value for key, value in changes.items()}}


def made(offered: Any = EVERYWHERE, global_name: str | None = None, **changes: Any) -> NewRegion:
    taken = [IPv4Network("10.20.0.0/16"), IPv4Network("10.0.0.0/15")]
    return new_region("prod-eu-west-1", config(**changes), "eu-west-1", taken, offered, global_name)


# -- what differs ------------------------------------------------------------------------------------------------------


def test_a_copy_differs_in_region_range_and_zones_only() -> None:
    new, source = made().draft.config, config()
    assert new.pop("tandem:region") == "eu-west-1"
    network = new.pop("tandem:network")
    assert network == {
        "zones": ["eu-west-1a", "eu-west-1b", "eu-west-1c"],
        "egress": "natPerZone",
        "flowLogRetentionDays": 90,
        "cidrBlock": "10.2.0.0/16",
    }
    assert new == {key: value for key, value in source.items() if key not in ("tandem:region", "tandem:network")}
    assert made().told == []


def test_a_network_that_is_there_is_not_there_elsewhere() -> None:
    private = {f"us-east-1{zone}": f"subnet-{zone * 17}" for zone in "ab"}
    public = {f"us-east-1{zone}": f"subnet-{zone * 16}0" for zone in "ab"}
    there = {"vpcId": f"vpc-{'0' * 17}", "privateSubnetIds": private, "publicSubnetIds": public}
    new = made(network={"existing": there})
    assert new.settings.network.existing is None
    assert new.settings.zones == ("eu-west-1a", "eu-west-1b")
    assert any(line.startswith("left behind, it is us-east-1's own: network.existing") for line in new.told)


def test_further_models_get_host_names_of_the_region() -> None:
    small = {
        "hostName": "small.example.com",
        "inference": {"model": "Qwen/Qwen3-8B"},
        "scaling": {"minReplicas": 0, "maxReplicas": 1},
    }
    domain = {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC", "deletionProtection": True}
    new = made(models={"small": small}, loadBalancer=domain)
    assert new.settings.models["small"].host_name == "eu-west-1.small.example.com"
    assert new.settings.models["small"].scaling.min_replicas == 0
    assert "its model small is at eu-west-1.small.example.com" in new.told


def test_ranges_never_overlap_whatever_their_size() -> None:
    taken: list[IPv4Network] = [IPv4Network("10.0.0.0/16"), IPv4Network("10.1.128.0/20")]
    for prefix in (16, 20, 18, 22, 16, 17):
        found = free_range(prefix, taken)
        assert not any(found.overlaps(other) for other in taken)
        taken.append(found)
    with pytest.raises(UserError, match="is left"):
        free_range(16, [IPv4Network("10.0.0.0/8")])


def test_a_type_that_is_not_offered_is_swapped_and_said() -> None:
    offered = EVERYWHERE | {"g6e.12xlarge": frozenset()}
    found = made(offered)
    assert found.settings.fleet.instance_types == ("g6e.24xlarge", "g6e.48xlarge")
    assert found.told == [
        "eu-west-1 does not offer g6e.12xlarge: g6e.24xlarge instead, $25.61 for $10.49 an hour",
    ]


def test_the_nearest_type_is_the_cheapest_that_is_no_smaller() -> None:
    only = {name: frozenset({"x"}) for name in ("g5.12xlarge", "g6e.12xlarge", "p5.48xlarge", "g4dn.12xlarge")}
    assert nearest("g6.12xlarge", only) == "g5.12xlarge"
    assert nearest("g4dn.12xlarge", {**only, "g4dn.12xlarge": frozenset()}) == "g5.12xlarge"
    assert nearest("g6e.12xlarge", {**only, "g6e.12xlarge": frozenset()}) == "p5.48xlarge"
    assert nearest("g5.48xlarge", only) == "p5.48xlarge"
    assert nearest("p5en.48xlarge", only) is None


def test_zones_are_those_that_offer_the_most() -> None:
    offered = EVERYWHERE | {
        "g6e.12xlarge": frozenset({"eu-west-1b", "eu-west-1d"}),
        "g6e.48xlarge": frozenset({"eu-west-1a", "eu-west-1c", "eu-west-1d"}),
    }
    assert made(offered).settings.zones == ("eu-west-1a", "eu-west-1b", "eu-west-1d")


@pytest.mark.parametrize(
    ("offered", "key"),
    [
        ({}, "fleet.instanceTypes"),
        ({"g6e.12xlarge": frozenset({"eu-west-1a"})}, "network.zones"),
    ],
    ids=["no GPUs", "one zone"],
)
def test_a_region_that_cannot_hold_the_stack_is_refused(offered: Any, key: str) -> None:
    with pytest.raises(UserError) as refused:
        made(offered)
    assert [problem.key for problem in refused.value.problems] == [key]


def test_what_is_the_source_regions_own_is_left_behind_and_said() -> None:
    fleet = {**config()["tandem:fleet"], "machineImageId": "ami-0123456789abcdef0"}
    assert made(fleet=fleet).told == ["left behind, it is us-east-1's own: fleet.machineImageId: ami-0123456789abcdef0"]


NAMED = {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"}
BEHIND = {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC", "routing": "weighted", "weight": 50}


def test_a_name_is_made_the_regions_own() -> None:
    balancer = made(loadBalancer=NAMED).settings.load_balancer
    assert (balancer.domain_name, balancer.hosted_zone_id) == ("eu-west-1.llm.example.com", "Z0123456789ABC")


def test_a_region_stands_behind_the_sources_global_name() -> None:
    own = {**NAMED, "domainName": "us-east-1.llm.example.com"}
    settings = made(loadBalancer=own, globalName=BEHIND).settings
    assert settings.load_balancer.domain_name == "eu-west-1.llm.example.com"
    assert settings.global_name is not None
    assert (settings.global_name.domain_name, settings.global_name.routing) == ("llm.example.com", "weighted")


def test_a_new_global_name_says_what_the_source_still_needs() -> None:
    found = made(loadBalancer=NAMED, global_name="api.example.com")
    assert found.settings.load_balancer.domain_name == "eu-west-1.api.example.com"
    assert "the source does not stand behind api.example.com yet" in found.told[-1]


def test_a_name_without_a_zone_is_refused() -> None:
    arn = "arn:aws:acm:us-east-1:123456789012:certificate/0a"
    with pytest.raises(UserError, match="need a Route 53 zone"):
        made(loadBalancer={"domainName": "llm.example.com", "certificateArn": arn})


# -- the commands ------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(aws_account: AccountGaps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two stacks, in an account in which all is right."""
    (tmp_path / "Pulumi.dev.yaml").write_text((options.PROJECT / "Pulumi.dev.yaml").read_text())
    (tmp_path / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": config()}))
    monkeypatch.setattr(options, "PROJECT", tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # no model hub: the doctor says so and goes on
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["region", *arguments], env={"COLUMNS": "250"})


def test_zones_that_the_account_lacks_are_not_offered(aws_account: AccountGaps) -> None:
    aws_account.not_offered = {("g6.12xlarge", "us-east-1a")}
    offered = offerings(aws_clients("us-east-1"))
    assert offered["g6.12xlarge"] == {"us-east-1b", "us-east-1c", "us-east-1d"}


def test_without_yes_the_plan_is_shown_and_nothing_written(project: Path, aws_account: AccountGaps) -> None:
    aws_account.not_offered = {("g6e.12xlarge", f"eu-west-1{letter}") for letter in "abcd"}
    result = call("add", "eu-west-1", "ap-northeast-1", "--json")
    assert result.exit_code == 0, result.output
    first, second = json.loads(result.stdout)["stacks"]
    assert (first["stack"], first["cidrBlock"], first["instanceTypes"]) == (
        "prod-eu-west-1",
        "10.0.0.0/16",
        ["g6e.24xlarge", "g6e.48xlarge"],
    )
    assert (second["stack"], second["cidrBlock"]) == ("prod-ap-northeast-1", "10.1.0.0/16")
    assert sorted(path.name for path in project.glob("Pulumi.*")) == ["Pulumi.dev.yaml", "Pulumi.prod.yaml"]


def test_what_the_doctor_finds_stops_it(project: Path, aws_account: AccountGaps) -> None:
    aws_account.default_quota = 0
    result = call("add", "eu-west-1", "--yes")
    assert result.exit_code == 2
    assert "error GPU quota" in result.output
    assert "Nothing was changed" in result.output
    assert not list(project.glob("Pulumi.prod-*"))


def test_files_alone(project: Path) -> None:
    assert call("add", "eu-west-1", "--yes", "--no-up").exit_code == 0
    again = call("add", "eu-west-1", "--yes", "--no-up")
    assert "its file is there already" in again.output
    listed = json.loads(call("list", "--json").stdout)["stacks"]
    assert [(row["stack"], row["region"], row["image"], row["usdPerHour"]) for row in listed] == [
        ("dev", "us-east-1", "not up", 0.0),
        ("prod", "us-east-1", "not up", 0.0),
        ("prod-eu-west-1", "eu-west-1", "not up", 0.0),
    ]


def test_removal_is_shown_step_by_step(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("prod-eu-west-1", "prod-eu-west-2"):
        region = name.removeprefix("prod-")
        own = {"domainName": f"{region}.llm.example.com", "hostedZoneId": "Z0123456789ABC"}
        values = config(region=region, loadBalancer=own, globalName=BEHIND, network={})
        (project / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump({"config": values}))
    monkeypatch.setattr("tandem.ops.status.row.Row.serves", property(lambda row: row.stack == "prod-eu-west-2"))
    assert call("remove", "prod-eu-west-1").stdout.splitlines() == [
        "take prod-eu-west-1 out of llm.example.com, which leaves prod-eu-west-2 there",
        "wait 420 s, until clients have gone elsewhere and their answers have ended",
        "stop at its model cache, which is protected, until `pulumi state unprotect --all --stack prod-eu-west-1`",
        "destroy the stack in eu-west-1, its data stays; then forget its state and its file",
        "Nothing was changed. To do this: `tandem region remove prod-eu-west-1 --yes`.",
    ]


@pytest.fixture
def workshop(moto_server: SimulatedAccount, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the project with the real engine, in an empty simulated account that owns example.com."""
    moto_server.reset()
    built = engine.ensure(lambda _line: None)
    with account_gaps(moto_server.url) as gaps, set_the_scene("dev", built, moto_server) as scene:
        for name, value in {**scene.workspace.environment, "AWS_ENDPOINT_URL": gaps.url}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.setattr(options, "PROJECT", scene.workspace.directory)
        gaps.add_images(pins_of(scene.workspace))
        yield scene.workspace.directory


@pytest.mark.engine
@pytest.mark.long
def test_two_regions_behind_one_name_come_and_go(workshop: Path) -> None:
    """Side by side; each with its record and its check; one is taken out of the name before it goes."""
    route53 = aws_clients("us-east-1")("route53")
    zone = route53.create_hosted_zone(Name="example.com", CallerReference="x")["HostedZone"]["Id"].rpartition("/")[2]
    names = {
        "tandem:loadBalancer": {"domainName": "us-east-1.llm.example.com", "hostedZoneId": zone},
        "tandem:globalName": {"domainName": "llm.example.com", "hostedZoneId": zone},
    }
    source = workshop / "Pulumi.dev.yaml"
    document = yaml.safe_load(source.read_text())
    del document["config"]["tandem:costGuard"]["idleAfter"]  # the check from outside asks all day
    source.write_text(yaml.safe_dump({**document, "config": {**document["config"], **names}}))

    added = call("add", "eu-west-1", "ap-northeast-1", "--from", "dev", "--at-a-time", "2", "--yes")
    assert added.exit_code == 0, added.output + str(added.exception)

    def answers() -> set[tuple[str, str]]:
        records = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        return {(one["SetIdentifier"], one["Region"]) for one in records if one["Name"] == "llm.example.com."}

    assert answers() == {("dev-eu-west-1", "eu-west-1"), ("dev-ap-northeast-1", "ap-northeast-1")}
    rows = {row["stack"]: row for row in json.loads(call("list", "--json").stdout)["stacks"]}
    assert rows["dev-eu-west-1"]["serving"] == "1 of 1 hosts, 2 replicas"
    assert rows["dev-eu-west-1"]["model"] == "Qwen/Qwen3-8B"
    for region in ("eu-west-1", "ap-northeast-1"):
        (check,) = KINDS[types.HEALTH_CHECK].find(Scope(aws_clients(region), f"dev-{region}"))
        assert check.facts["HealthCheckConfig"]["FullyQualifiedDomainName"] == f"{region}.llm.example.com"

    removed = call("remove", "dev-eu-west-1", "--yes", "--drain-seconds", "0")
    assert removed.exit_code == 0, removed.output + str(removed.exception)
    assert removed.output.index("waiting 0 s") < removed.output.index("dev-eu-west-1 is gone")
    assert answers() == {("dev-ap-northeast-1", "ap-northeast-1")}
    assert inventory.find(aws_clients("eu-west-1"), None).resources == []
    assert not (workshop / "Pulumi.dev-eu-west-1.yaml").exists()
    assert (workshop / "Pulumi.dev-ap-northeast-1.yaml").exists()
