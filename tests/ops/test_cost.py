"""`tandem cost`: parts, savings and differences in exact figures; live prices and the bill against the stand-in."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from typer.testing import CliRunner

from pulumi_rehearsal.account_gaps import AccountGaps
from tandem import costs, lifetime
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.cost.bill import spent
from tandem.ops.cost.comparison import compare, comparison
from tandem.ops.cost.parts import Prices, Use, catalog, share_of_week
from tandem.ops.cost.plan import plan
from tandem.ops.cost.purchases import ways
from tandem.ops.plot import bars
from tandem.settings import Settings
from tandem.settings.schema import BusinessHoursSettings

REPORTS, WATCHED = 60 * 730 * 1e-5, 15 * 0.3 + 24 * 0.1 + 7 * 0.5 + 3
"""What a host's reports to CloudWatch cost a month, and what a stack's figures and alarms do."""
ALWAYS_ON = 2 * 0.1
"""Of the two alarms that a stack has only where no schedule stops it."""
NOTHING_USED = Use(stored_gb=0, starts=0, internet_gb=0, logs_gb=0)


def stack(**sections: Any) -> Settings:
    return Settings.model_validate({"region": "us-east-1", **sections})


CATALOG = catalog(stack())
HALF_PRICE_SPOT = Prices(
    on_demand=CATALOG.on_demand, spot={name: usd / 2 for name, usd in CATALOG.on_demand.items()}, source="a test"
)


def months(settings: Settings, known: Prices = CATALOG, use: Use = NOTHING_USED) -> dict[str, float]:
    return {part.name: round(part.usd_per_month, 2) for part in plan(settings, known, use).parts}


def savings(settings: Settings, known: Prices = CATALOG) -> dict[str, float]:
    return {item.change.partition(" (")[0]: round(item.usd_per_month, 2) for item in plan(settings, known).savings}


def test_each_part_by_the_month() -> None:
    assert months(stack(), use=Use()) == {
        "g6.12xlarge on demand": 3359.17,
        "model cache reads": 90.0,
        "NAT gateways with address": 73.0,
        "model cache storage": 30.0,
        "load balancer": 16.43,
        "root volumes": 16.0,
        "logs": 10.0,
        "figures of cold starts": 0.05,
        "load balancer addresses": 7.3,
        "web ACL": 6.0,
        "NAT traffic": 4.5,
        "alarms": 5.9,
        "dashboard": 3.0,
        "figures in CloudWatch": 4.5,
        "reports to CloudWatch": 0.44,
    }


def test_the_dearest_part_comes_first_and_shares_add_up() -> None:
    planned = plan(stack())
    assert planned.parts[0].name == "g6.12xlarge on demand"
    assert sum(planned.share(part) for part in planned.parts) == pytest.approx(1)


def test_the_hour_is_the_one_that_the_stack_exports() -> None:
    settings = stack(fleet={"hosts": 2, "spareHosts": 1}, network={"interfaceEndpoints": ["ssm"]})
    assert plan(settings, use=NOTHING_USED).usd_per_hour == pytest.approx(costs.usd_per_hour(settings))


def test_spot_and_on_demand_are_split_and_priced_apart() -> None:
    settings = stack(fleet={"hosts": 3, "onDemandBase": 1, "onDemandPercentage": 0})
    found = months(settings, HALF_PRICE_SPOT)
    assert (found["g6.12xlarge on demand"], found["g6.12xlarge spot"]) == (3359.17, 3359.17)


def test_business_hours_count_for_hosts_only() -> None:
    always, by_day = stack(), stack(costGuard={"businessHours": {}})
    assert share_of_week(BusinessHoursSettings()) == pytest.approx(60 / 168)
    assert months(by_day)["g6.12xlarge on demand"] == round(3359.17 * 60 / 168, 2)
    assert months(by_day)["load balancer"] == months(always)["load balancer"]


def test_a_stack_that_ends_can_spend_so_much() -> None:
    settings = stack(costGuard={"expiresAfter": "4h"})
    assert plan(settings).ends == lifetime.usd_at_most(settings, timedelta(hours=4))
    assert plan(stack()).ends is None
    capped = plan(stack(costGuard={"expiresAfter": "4h", "maxUsd": 20})).ends
    assert capped is not None
    assert 19.8 < capped <= 20


def test_what_would_save_most_is_computed() -> None:
    settings = stack(
        network={"zones": ["us-east-1a", "us-east-1b", "us-east-1c"], "interfaceEndpoints": ["ssm"]},
        modelCache={"provisionedMibps": 100},
        fleet={"hosts": 2, "spareHosts": 1, "instanceTypes": ["g5.12xlarge", "g6.12xlarge"]},
    )
    assert savings(settings, HALF_PRICE_SPOT) == {
        "costGuard.businessHours": round(3 * (5.672 * 730 + 16 + REPORTS) * (1 - 60 / 168) + ALWAYS_ON, 2),
        "fleet.onDemandBase: 1, onDemandPercentage: 0": round(2 * 5.672 / 2 * 730, 2),
        "fleet.spareHosts: 0": round(5.672 * 730 + 16 + REPORTS, 2),
        "fleet.instanceTypes: g6.12xlarge first": round(3 * (5.672 - 4.6016) * 730, 2),
        "modelCache.provisionedMibps: null": 510.0,  # Elastic reads cost 90 instead
        "network.egress: publicHosts": round(3 * 0.05 * 730 - 3 * 0.005 * 730 + 4.5, 2),
        "network.egress: singleNat": 73.0,
        "network.interfaceEndpoints: []": 21.9,
    }


def test_each_models_hosts_may_be_had_for_less() -> None:
    """By the keys that are its own; a model without a fleet of its own changes with the main one's."""
    domain = {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"}
    fleet = {"hosts": 2, "spareHosts": 1, "instanceTypes": ["g5.12xlarge", "g6.12xlarge"]}
    models = {
        "own": {"hostName": "own.example.com", "inference": {"model": "Qwen/Qwen3-32B-FP8"}, "fleet": fleet},
        "shared": {"hostName": "shared.example.com", "inference": {"model": "Qwen/Qwen3-14B"}},
    }
    found = savings(stack(loadBalancer=domain, models=models), HALF_PRICE_SPOT)
    assert {change: usd for change, usd in found.items() if change.startswith("models")} == {
        "models.own.fleet.onDemandBase: 1, onDemandPercentage: 0": round(2 * 5.672 / 2 * 730, 2),
        "models.own.fleet.spareHosts: 0": round(5.672 * 730 + 16 + REPORTS, 2),
        "models.own.fleet.instanceTypes: g6.12xlarge first": round(3 * (5.672 - 4.6016) * 730, 2),
    }
    assert not any(change.startswith("fleet") for change in found), "one host each, which nothing makes cheaper"
    reserved = {"capacityReservations": {"byZone": {"us-east-1a": "cr-" + "0" * 17}}, "instanceTypes": ["g6.12xlarge"]}
    found = savings(stack(loadBalancer=domain, models={"own": models["own"] | {"fleet": fleet | reserved}}))
    assert not {change for change in found if "fleet" in change or "businessHours" in change}


def test_a_network_that_is_there_costs_nothing_and_saves_nothing() -> None:
    """Its NAT, and what goes through it, is on its owner's bill."""
    private, public = ({f"us-east-1{zone}": f"subnet-{zone * 16}{kind}" for zone in "ab"} for kind in "01")
    there = {"vpcId": f"vpc-{'0' * 17}", "privateSubnetIds": private, "publicSubnetIds": public}
    settings = stack(network={"existing": there})
    parts = {part.name for part in plan(settings).parts}
    assert "load balancer addresses" in parts
    assert not {"NAT gateways with address", "NAT traffic", "host addresses"} & parts
    assert not any("network" in change for change in savings(settings))


def test_what_is_reserved_is_paid_for_whatever_stops_hosts(tmp_path: Path) -> None:
    reserved = {"capacityReservations": {"byZone": {"us-east-1a": "cr-" + "0" * 17}}}
    fleet = {"hosts": 2, "spareHosts": 1}
    saved = {*savings(stack(fleet=fleet), HALF_PRICE_SPOT)} - {*savings(stack(fleet=fleet | reserved), HALF_PRICE_SPOT)}
    assert saved == {"costGuard.businessHours", "fleet.spareHosts: 0", "fleet.onDemandBase: 1, onDemandPercentage: 0"}
    assert plan(stack(fleet=fleet | reserved)).parts == plan(stack(fleet=fleet)).parts
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_text(yaml.safe_dump({"config": {"tandem:region": "us-east-1", "tandem:fleet": reserved}}))
    said = CliRunner().invoke(app, ["cost", str(path)]).stdout
    assert "Reserved (cr-00000000000000000): paid for whether hosts run in it or not" in said


def test_spot_at_the_same_price_saves_nothing() -> None:
    assert not any("onDemandBase" in change for change in savings(stack(fleet={"hosts": 3})))


def test_a_comparison_fits_a_pull_request() -> None:
    before = plan(stack(), use=NOTHING_USED)
    after = plan(stack(network={"egress": "singleNat"}, fleet={"hosts": 2}), use=NOTHING_USED)
    assert comparison(("main", "this"), before, after).splitlines() == [
        "**Cost: +$3,339.11 a month (+95.6%)**",
        "",
        "| $ a month | main | this | difference |",
        "|---|---:|---:|---:|",
        "| g6.12xlarge on demand | 3,359.17 | 6,718.34 | +3,359.17 |",
        "| NAT gateways with address | 73.00 | 36.50 | -36.50 |",
        "| root volumes | 16.00 | 32.00 | +16.00 |",
        "| reports to CloudWatch | 0.44 | 0.88 | +0.44 |",
        "| **all parts** | **3,491.73** | **6,830.84** | **+3,339.11** |",
        "| $ an hour | 4.78 | 9.36 | +4.57 |",
        "",
        f"<sub>{CATALOG.source}. Assumed: {NOTHING_USED}.</sub>",
    ]


def test_equal_settings_compare_equal() -> None:
    same = plan(stack())
    assert compare(same, same) == []
    assert comparison(("a", "b"), same, same).startswith("**Cost: a and b cost the same**")


def test_bars_are_one_scale_and_well_formed() -> None:
    root = ElementTree.fromstring(bars("a & b", [("NAT", 50), ("hosts <1>", 100)]))
    space = "{http://www.w3.org/2000/svg}"
    assert [float(bar.get("width", "0")) for bar in root.findall(f"{space}rect")[1:]] == [210.0, 420.0]
    assert [text.text for text in root.findall(f"{space}text")] == ["a & b", "NAT", "$50.00", "hosts <1>", "$100.00"]


def test_live_prices_are_those_of_the_region(aws_account: AccountGaps) -> None:
    aws_account.prices["g6.12xlarge"] = 5.0
    aws_account.spot_share = 0.3
    result = CliRunner().invoke(app, ["cost", "dev", "--live", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["parts"][0]["name"] == "g6.12xlarge spot"
    assert report["parts"][0]["usdPerHour"] == pytest.approx(1.5)
    assert report["prices"].startswith("AWS's prices in us-east-1")


def test_the_bill_is_asked_for_by_tag(aws_account: AccountGaps) -> None:
    aws_account.monthly_usd = {"Amazon Elastic File System": 3.5, "Amazon Elastic Compute Cloud - Compute": 120.25}
    bill = spent(aws_clients("us-east-1"), "dev", date(2026, 11, 21))
    assert bill.usd == pytest.approx(123.75)
    assert list(bill.by_service) == ["Amazon Elastic Compute Cloud - Compute", "Amazon Elastic File System"]
    (call,) = aws_account.asked
    assert call.params["Filter"] == {"Tags": {"Key": "tandem:stack", "Values": ["dev"]}}
    assert call.params["TimePeriod"] == {"Start": "2026-11-01", "End": "2026-11-22"}


def test_a_denied_bill_leaves_the_plan(aws_account: AccountGaps) -> None:
    aws_account.refused["ce:GetCostAndUsage"] = (
        "AccessDeniedException",
        "User: arn:aws:iam::123456789012:user/x is not authorized to perform: ce:GetCostAndUsage",
    )
    result = CliRunner().invoke(app, ["cost", "dev", "--actual", "--json"])
    report = json.loads(result.stdout)
    assert result.exit_code == 1
    assert report["parts"][0]["name"] == "g6.12xlarge spot"
    assert report["actual"]["problem"] == "these credentials may not do ce:GetCostAndUsage"


def test_an_empty_bill_says_how_to_activate_the_tag(aws_account: AccountGaps) -> None:
    result = CliRunner().invoke(app, ["cost", "dev", "--actual"], env={"COLUMNS": "400"})
    assert "Nothing is booked under dev" in result.stdout
    assert "TagKey=tandem:stack,Status=Active" in result.stdout


def test_the_command_compares_files_and_draws(tmp_path: Path) -> None:
    other = tmp_path / "Pulumi.dev.yaml"
    other.write_text("config: {'tandem:region': us-east-1}\n", encoding="utf-8")
    compared = CliRunner().invoke(app, ["cost", "dev", "--compare", str(other)])
    assert compared.exit_code == 0
    assert "| g6.12xlarge on demand | 0.00 | 3,359.17 | +3,359.17 |" in compared.stdout
    drawn = CliRunner().invoke(app, ["cost", "dev", "--plot", str(tmp_path / "cost.svg")])
    assert drawn.exit_code == 0
    assert (tmp_path / "cost.svg").read_text().startswith("<svg")


def test_prices_of_today_name_their_day() -> None:
    assert f"{datetime(2026, 7, 20, tzinfo=UTC):%Y-%m-%d}" in CATALOG.source


# -- bounds, limits, other ways to pay


@pytest.mark.parametrize("guard", [{}, {"businessHours": {}}, {"expiresAfter": "4h"}, {"maxUsd": 20}])
@pytest.mark.parametrize(
    "fleet", [{"hosts": 1}, {"hosts": 2, "maxHosts": 9, "instanceTypes": ["g6.12xlarge", "p5.48xlarge"]}]
)
def test_there_is_always_an_upper_bound(fleet: dict[str, Any], guard: dict[str, Any]) -> None:
    found = plan(stack(fleet=fleet, costGuard=guard))
    assert found.most_per_month >= found.usd_per_month - 1e-6
    assert found.most <= found.most_per_month


def test_the_bound_is_max_hosts_of_the_dearest_type_whenever_hosts_may_run() -> None:
    settings = stack(
        fleet={"instanceTypes": ["g6.12xlarge", "p5.48xlarge"], "hosts": 1, "maxHosts": 4},
        costGuard={"businessHours": {}},
    )
    fixed = 0.0225 + 2 * 0.005 + 6 / 730 + 2 * 0.05 + (WATCHED - ALWAYS_ON) / 730
    hosts = (4 + 2) * (55.04 + 200 * 0.08 / 730 + REPORTS / 730)
    assert plan(settings, use=NOTHING_USED).most_per_month == pytest.approx(fixed * 730 + hosts * 730 * 60 / 168)
    assert plan(settings).most_per_month == pytest.approx(fixed * 730 + hosts * 730 * 60 / 168 + 30 + 90 + 4.5 + 10)


def test_prices_of_today_that_are_higher_raise_the_bound() -> None:
    dear = Prices(on_demand={**CATALOG.on_demand, "g6.12xlarge": 9.2032}, spot=CATALOG.spot, source="a test")
    raised = plan(stack(), dear, NOTHING_USED).most_per_month - plan(stack(), use=NOTHING_USED).most_per_month
    assert raised == pytest.approx(2 * 4.6016 * 730 + 16, rel=0.01), "and of the one that a rollout starts"


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        (None, ""),
        (3000, "lies below what the stack costs as it comes up"),
        (4000, "lies below the most that the stack can cost"),
        (25000, ""),
    ],
)
def test_a_budget_below_the_bound_is_said(budget: float | None, told: str) -> None:
    guard = {"monthlyBudgetUsd": budget, "alertEmails": ["a@example.com"]} if budget else {}
    found = plan(stack(fleet={"hosts": 1, "maxHosts": 4}, costGuard=guard))
    assert found.budget_warning.startswith(told)
    assert bool(found.budget_warning) == bool(told)


def test_batches_come_on_top(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.dev.yaml"
    for batch, most in (("", None), ("  tandem:batch: {maxUsd: 40}\n", 40)):
        path.write_text(f"config:\n  tandem:region: us-east-1\n{batch}")
        said = CliRunner().invoke(app, ["cost", str(path)]).stdout
        assert ("Batches come on top, each up to $40.00 (batch.maxUsd)." in said) is (most is not None)
        report = json.loads(CliRunner().invoke(app, ["cost", str(path), "--json"]).stdout)
        assert report.get("mostPerBatch") == most


def other_file(tmp_path: Path, hosts: int) -> str:
    path = tmp_path / f"{hosts}.yaml"
    path.write_text(f"config: {{'tandem:region': us-east-1, 'tandem:fleet': {{hosts: {hosts}}}}}\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        (["--fail-above", "4000"], 0, ""),
        (["--fail-above", "3000"], 1, "$3,626.28 a month is above --fail-above 3000"),
        (["--fail-above", "3000", "--json"], 1, "is above --fail-above 3000"),
    ],
)
def test_a_pipeline_can_refuse_a_month(tmp_path: Path, options: list[str], status: int, told: str) -> None:
    result = CliRunner().invoke(app, ["cost", other_file(tmp_path, 1), *options])
    assert (result.exit_code, told in result.stderr) == (status, True), result.output


@pytest.mark.parametrize(
    ("before", "after", "options", "status", "told"),
    [
        (1, 2, ["--fail-above-change", "100"], 0, ""),
        (1, 2, ["--fail-above-change", "50"], 1, "+93.1 % is above --fail-above-change 50"),
        (2, 1, ["--fail-above-change", "0"], 0, ""),
        (1, 1, ["--fail-above-change", "0"], 0, ""),
        (1, 2, ["--fail-above", "5000"], 1, "$7,001.89 a month is above --fail-above 5000"),
        (2, 1, ["--fail-above", "5000"], 0, ""),
    ],
)
def test_a_pipeline_can_refuse_a_change(
    tmp_path: Path, before: int, after: int, options: list[str], status: int, told: str
) -> None:
    command = ["cost", other_file(tmp_path, before), "--compare", other_file(tmp_path, after), *options]
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, told in result.stderr) == (status, True), result.output


@pytest.mark.parametrize("value", ["inf", "-1", "ten", "nan"])
@pytest.mark.parametrize("option", ["--fail-above", "--fail-above-change", "--stored-gb"])
def test_a_limit_is_a_number_from_0(tmp_path: Path, option: str, value: str) -> None:
    command = ["cost", other_file(tmp_path, 1), "--compare", other_file(tmp_path, 2), f"{option}={value}"]
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, f"Invalid value for '{option}'" in result.stderr) == (2, True), result.output


@pytest.mark.parametrize(("region", "nearest"), [("us-esat-1", "did you mean us-"), ("nonsense", "correct it")])
def test_a_region_that_aws_lacks_costs_nothing(tmp_path: Path, region: str, nearest: str) -> None:
    (file := tmp_path / "x.yaml").write_text("config: {'tandem:region': us-esat-1}\n", encoding="utf-8")
    for command in (["cost", "dev", "--region", region], ["audit", "dev", "--region", region], ["cost", str(file)]):
        told = str(CliRunner().invoke(app, command).exception)
        assert "AWS has no such region" in told
        assert nearest in told or str(file) in command


def test_a_region_without_listed_prices_is_a_region() -> None:
    result = CliRunner().invoke(app, ["cost", "dev", "--region", "ap-southeast-7"])
    assert (result.exit_code, "not known in ap-southeast-7" in result.output) == (0, True), result.output


def test_a_change_needs_two_sides() -> None:
    result = CliRunner().invoke(app, ["cost", "dev", "--fail-above-change", "5"])
    assert "there is nothing to compare with" in str(result.exception)


def test_ways_to_pay_with_what_the_catalog_knows() -> None:
    settings = stack(fleet={"hosts": 2, "instanceTypes": ["g6e.12xlarge"]}, costGuard={"businessHours": {}})
    found = {way.name: way for way in ways(settings, catalog(settings))}
    on_demand, reserved = found["on demand"], found["reserved, standard, no upfront"]
    assert on_demand.usd_per_month == pytest.approx(2 * 10.49264 * 730 * 60 / 168)
    assert reserved.usd_per_month == pytest.approx(2 * 6.61036 * 730), "a commitment is paid at night, too"
    assert (reserved.commits, "2026-01-21" in reserved.source) == ("1 year", True)
    assert all(
        found[name].usd_per_hour is None for name in ("spot", "Compute Savings Plan", "EC2 Instance Savings Plan")
    )
    assert next(iter(found)) == "on demand"


def test_a_type_that_is_not_sold_for_a_year_is_said() -> None:
    settings = stack(fleet={"hosts": 1, "instanceTypes": ["p5.48xlarge"]})
    (reserved,) = (way for way in ways(settings, catalog(settings)) if way.name.startswith("reserved"))
    assert (reserved.usd_per_hour, "not known in us-east-1" in reserved.source) == (None, True)


def test_ways_to_pay_as_aws_tells_them(aws_account: AccountGaps) -> None:
    aws_account.prices["g6.12xlarge"] = 5.0
    aws_account.spot_share = 0.3
    result = CliRunner().invoke(app, ["cost", "dev", "--live", "--purchases", "--json"])
    assert result.exit_code == 0, result.output
    found = {(way["name"], way["commits"]): way for way in json.loads(result.stdout)["purchases"]}
    assert found["spot", ""]["usdPerHour"] == pytest.approx(1.5)
    assert found["EC2 Instance Savings Plan", "1 year"]["usdPerHour"] == pytest.approx(3.5)
    assert found["Compute Savings Plan", "3 years"]["usdPerMonth"] == pytest.approx(2.5 * 730)
    call = next(call for call in aws_account.asked if call.service == "savingsplans")
    assert {item["name"]: item["values"] for item in call.params["filters"]}["region"] == ["us-east-1"]
