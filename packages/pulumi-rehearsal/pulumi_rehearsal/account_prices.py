"""What AWS says of money, as far as moto does not: the price list, spot prices, savings plans, Cost Explorer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pulumi_rehearsal.aws_wire import Call

if TYPE_CHECKING:
    from pulumi_rehearsal.account_gaps import AccountGaps


def spot_prices(gaps: AccountGaps, call: Call) -> dict[str, Any]:
    types = call.params.get("InstanceTypes") or gaps.catalog
    return {
        "SpotPriceHistory": [
            {
                "InstanceType": name,
                "AvailabilityZone": f"{call.region}{letter}",
                "ProductDescription": "Linux/UNIX",
                "SpotPrice": f"{price * gaps.spot_share:.6f}",
                "Timestamp": datetime.now(UTC) - timedelta(hours=1),
            }
            for name in types
            for letter in "abcd"
            if gaps.spot_share is not None and (price := gaps.price(name)) is not None
        ]
    }


def products(gaps: AccountGaps, call: Call) -> dict[str, Any]:
    """The price list, for instance types and for what `gaps.part_prices` names.

    Stands for: the price list's query API.
    Held by: tests/ops/test_price_list.py::test_the_stand_in_answers_in_the_form_of_the_published_sample
    """
    wanted = {item["Field"]: item["Value"] for item in call.params.get("Filters", ())}
    service = call.params["ServiceCode"]
    if "instanceType" in wanted:
        price = gaps.price(wanted["instanceType"])
        found = {} if price is None else {f"BoxUsage:{wanted['instanceType']}": price}
    elif service == "AmazonEC2" and wanted.get("productFamily", "").startswith("Compute Instance"):
        prices = {name: gaps.price(name) for name in gaps.catalog}
        all_types = [
            _product(service, {**wanted, "instanceType": name}, f"BoxUsage:{name}", price)
            for name, price in prices.items()
            if price is not None
        ]
        return {"FormatVersion": "aws_v1", "PriceList": all_types}
    else:
        only = wanted.get("volumeApiName") or wanted.get("throughputClass") or ""
        found = {usage: usd for (one, usage), usd in gaps.part_prices.items() if one == service and only in usage}
    return {"FormatVersion": "aws_v1", "PriceList": [_product(service, wanted, *item) for item in found.items()]}


def _product(service: str, attributes: Mapping[str, str], usage: str, usd: float) -> str:
    sku, rate = "WQGC34PB2AWS8R4U", "WQGC34PB2AWS8R4U.JRTCKXETXF.6YS6EN2CT7"
    dimension = {
        "unit": "Hrs",
        "endRange": "Inf",
        "description": f"${usd} for {usage}",
        "appliesTo": [],
        "rateCode": rate,
        "beginRange": "0",
        "pricePerUnit": {"USD": f"{usd:.10f}"},
    }
    term = {
        "priceDimensions": {rate: dimension},
        "sku": sku,
        "effectiveDate": "2026-11-01T00:00:00Z",
        "offerTermCode": "JRTCKXETXF",
        "termAttributes": {},
    }
    product = {
        "productFamily": attributes.get("productFamily", "Compute Instance"),
        "attributes": {**attributes, "servicecode": service, "usagetype": usage, "operation": ""},
        "sku": sku,
    }
    return json.dumps(
        {
            "product": product,
            "serviceCode": service,
            "terms": {"OnDemand": {rate.rpartition(".")[0]: term}},
            "version": "20261101000000",
            "publicationDate": "2026-11-01T00:00:00Z",
        }
    )


def savings_plans(gaps: AccountGaps, call: Call) -> dict[str, Any]:
    """No-upfront rates: 0.7 of the on-demand price for a year, 0.5 for three.

    Stands for: AWS Savings Plans' rates.
    Held by: tests/ops/test_account_gaps.py::test_it_answers_as_the_sdks_models_say
    """
    wanted = {item["name"]: item["values"][0] for item in call.params.get("filters", ())}
    price = gaps.price(wanted["instanceType"])
    if price is None:
        return {"searchResults": []}
    return {
        "searchResults": [
            {
                "savingsPlanOffering": {
                    "offeringId": "12345678-1234-1234-1234-123456789012",
                    "paymentOption": "No Upfront",
                    "planType": plan,
                    "durationSeconds": years * 365 * 24 * 3600,
                    "currency": "USD",
                },
                "rate": f"{price * share:.5f}",
                "unit": "Hrs",
                "productType": "EC2",
                "serviceCode": "AmazonEC2",
                "usageType": f"BoxUsage:{wanted['instanceType']}",
                "properties": [{"name": name, "value": value} for name, value in wanted.items()],
            }
            for plan in call.params["savingsPlanTypes"]
            for years, share in ((1, 0.7), (3, 0.5))
        ]
    }


def allocation_tags(gaps: AccountGaps, call: Call) -> dict[str, Any]:
    """Stands for: Cost Explorer's list of cost allocation tags.
    Held by: tests/ops/test_account_gaps.py::test_it_answers_as_the_sdks_models_say
    """
    return {
        "CostAllocationTags": [
            {"TagKey": key, "Type": "UserDefined", "Status": gaps.allocation_tags[key]}
            for key in call.params["TagKeys"]
            if key in gaps.allocation_tags
        ]
    }


def cost_and_usage(gaps: AccountGaps, call: Call) -> dict[str, Any]:
    period = call.params["TimePeriod"]
    groups = [
        {"Keys": [name], "Metrics": {"UnblendedCost": {"Amount": f"{usd:.4f}", "Unit": "USD"}}}
        for name, usd in gaps.monthly_usd.items()
    ]
    return {"ResultsByTime": [{"TimePeriod": period, "Total": {}, "Groups": groups, "Estimated": True}]}
