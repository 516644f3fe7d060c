"""AWS's price list: read as botocore's published sample has it, and put into the catalog's file."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import botocore
import pytest
from typer.testing import CliRunner

from pulumi_rehearsal.account_gaps import AccountGaps
from tandem.catalog import prices
from tandem.ops import price_list
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.price_list import PARTS, Part

SAMPLE = Path(botocore.__file__).parent / "data/pricing/2017-10-15/examples-1.json"


def published() -> dict[str, Any]:
    """AWS's own example of an answer of GetProducts: a volume in Canada."""
    example = json.loads(SAMPLE.read_text(encoding="utf-8"))["examples"]["GetProducts"][0]
    return json.loads(example["output"]["PriceList"][0])


def product(usage: str, *dimensions: str, kind: str = "OnDemand", term: dict[str, str] | None = None) -> dict[str, Any]:
    """The published sample with other figures in it."""
    found = published()
    (sku_term,) = found["terms"]["OnDemand"].values()
    (dimension,) = sku_term["priceDimensions"].values()
    found["product"]["attributes"]["usagetype"] = usage
    sku_term["priceDimensions"] = {
        str(number): {**dimension, "pricePerUnit": {"USD": usd}} for number, usd in enumerate(dimensions)
    }
    sku_term["termAttributes"] = term or {}
    found["terms"] = {kind: {"term": sku_term}}
    return found


def test_the_published_sample_is_read() -> None:
    assert price_list.usd(published()) == [0.138]
    assert Part("AmazonEC2", "EBS:VolumeUsage.piops").is_it(published())
    assert price_list.usd(published(), "Reserved") == []


def test_a_free_tier_is_no_price() -> None:
    assert price_list.usd(product("DataProcessing-Bytes", "0.0000000000", "0.5000000000", "0.25")) == [0.5, 0.25]


def test_a_year_s_reservation_is_told_from_others() -> None:
    term = {"LeaseContractLength": "1yr", "OfferingClass": "standard", "PurchaseOption": "No Upfront"}
    wanted = {"LeaseContractLength": "1yr", "PurchaseOption": "No Upfront"}
    assert price_list.usd(product("BoxUsage", "2.99", kind="Reserved", term=term), "Reserved", wanted) == [2.99]
    other = {**term, "PurchaseOption": "All Upfront"}
    assert price_list.usd(product("BoxUsage", "9", kind="Reserved", term=other), "Reserved", wanted) == []


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("nat_gateway_hour", "NatGateway-Hours"),
        ("nat_gateway_hour", "EU-NatGateway-Hours"),
        ("nat_gateway_gb", "CAN1-NatGateway-Bytes"),
        ("public_ipv4_hour", "APS1-PublicIPv4:InUseAddress"),
        ("interface_endpoint_hour", "APS1-VpcEndpoint-Hours"),
        ("load_balancer_hour", "APS1-LoadBalancerUsage"),
        ("web_acl_month", "APS1-WebACLV2"),
        ("web_acl_rule_month", "APS1-RuleV2"),
        ("secret_month", "APS1-AWSSecretsManager-Secret"),
        ("key_month", "ap-southeast-1-KMS-Keys"),
        ("alarm_metric_month", "APN2-CW:AlarmMonitorUsage"),
        ("logs_gb", "APS1-DataProcessing-Bytes"),
        ("efs_gb_month", "USE2-TimedStorage-ByteHrs"),
        ("efs_infrequent_gb_month", "USE2-IATimedStorage-ET-ByteHrs"),
        ("efs_read_gb", "APN1-ETDataAccess-Bytes"),
        ("eks_cluster_hour", "EUW2-AmazonEKS-Hours:perCluster"),
    ],
)
def test_usage_types_as_bills_and_lists_show_them(name: str, usage: str) -> None:
    assert PARTS[name].is_it(product(usage, "1"))


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("nat_gateway_hour", "EU-RegionalNatGateway-Hours"),
        ("efs_gb_month", "USE2-IATimedStorage-ByteHrs"),
        ("eks_cluster_hour", "EUW2-AmazonEKS-Hours:extendedSupport"),
        ("load_balancer_hour", "APS1-LCUUsage"),
        ("alarm_metric_month", "APN2-CW:HighResAlarmMonitorUsage"),
    ],
)
def test_what_only_sounds_like_it_is_not_it(name: str, usage: str) -> None:
    assert not PARTS[name].is_it(product(usage, "1"))


def test_every_part_is_one_of_the_catalog_s() -> None:
    by_hand = {"health_check_month", "dashboard_month", "prometheus_sample", "grafana_editor_month"}
    assert set(PARTS) | by_hand == set(prices.PARTS[prices.HOME].usd)


def test_the_stand_in_answers_in_the_form_of_the_published_sample(aws_account: AccountGaps) -> None:
    pricing = aws_clients("us-east-1")("pricing")
    (found,) = price_list.products(pricing, "AmazonEC2", "eu-west-1", {"instanceType": "g6.12xlarge"})

    def form(value: Any) -> Any:
        return {key: form(one) for key, one in value.items()} if isinstance(value, dict) else type(value)

    def shape(listed: dict[str, Any]) -> Any:
        (term,) = listed["terms"]["OnDemand"].values()
        (dimension,) = term["priceDimensions"].values()
        rest = {key: form(value) for key, value in term.items() if key != "priceDimensions"}
        outside = {key: form(value) for key, value in listed.items() if key not in ("terms", "product")}
        return rest, form(dimension), outside, form({**listed["product"], "attributes": {}})

    assert shape(found) == shape(published())
    assert {"servicecode", "usagetype", "operation"} <= published()["product"]["attributes"].keys()
    (call,) = aws_account.asked
    assert {item["Field"]: item["Value"] for item in call.params["Filters"]} == {
        "instanceType": "g6.12xlarge",
        "regionCode": "eu-west-1",
    }


def test_a_region_is_written_with_its_day_and_source(
    aws_account: AccountGaps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws_account.prices = {"g6.12xlarge": 5.5}
    aws_account.part_prices = {
        ("AmazonEC2", "EU-NatGateway-Hours"): 0.048,
        ("AmazonVPC", "EU-VpcEndpoint-Hours"): 0.011,
    }
    path = tmp_path / "prices.json"
    before = prices.PATH.read_text(encoding="utf-8")
    path.write_text(before, encoding="utf-8")
    monkeypatch.setattr(prices, "PATH", path)
    checked = CliRunner().invoke(app, ["pin", "--prices", "--region", "eu-west-1", "--check"])
    assert checked.exit_code == 1, checked.output
    assert path.read_text(encoding="utf-8") == before
    result = CliRunner().invoke(app, ["pin", "--prices", "--region", "eu-west-1", "--json"])
    assert result.exit_code == 0, result.output
    told = {(row["kind"], row["name"]): (row["old"], row["new"]) for row in json.loads(result.stdout)["prices"]}
    assert told["on_demand", "g6.12xlarge"] == (None, 5.5)
    assert told["parts", "nat_gateway_hour"] == (None, 0.048)
    written = prices.load(path)
    listed = written["on_demand"]["eu-west-1"]
    assert (listed.usd["g6.12xlarge"], listed.source) == (5.5, price_list.SOURCE)
    assert listed.read_on >= date(2026, 7, 20)
    assert written["parts"]["eu-west-1"].usd == {"nat_gateway_hour": 0.048, "interface_endpoint_hour": 0.011}
    assert written["on_demand"]["us-east-1"] == prices.ON_DEMAND["us-east-1"]


def test_what_the_list_does_not_tell_of_us_east_1_stays(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(prices.PATH.read_text(encoding="utf-8"), encoding="utf-8")
    price_list.write(path, prices.HOME, {"on_demand": {"g6.12xlarge": 4.7}, "parts": {}}, date(2026, 12, 1))
    written = prices.load(path)
    assert written["on_demand"][prices.HOME].usd == {**prices.ON_DEMAND[prices.HOME].usd, "g6.12xlarge": 4.7}
    assert written["parts"] == prices.PARTS
