"""A region's part of a global name: its record, how it is chosen, and what takes it out."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi.resource import DependencyResource

from infra.components.global_name import GlobalName, GlobalNameArgs
from tandem import rules
from tandem.settings import Settings
from tandem.settings.network import GlobalNameSettings
from tests.infra.declared import Declared, declared, declared_by

pytestmark = pytest.mark.sweep

BEHIND: dict[str, Any] = {
    "region": "eu-west-1",
    "loadBalancer": {"domainName": "eu-west-1.llm.example.com", "hostedZoneId": "Z0123456789ABC"},
    "globalName": {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"},
}


def part(**changes: Any) -> Declared:
    settings = GlobalNameSettings.model_validate({**BEHIND["globalName"], **changes})

    def program() -> GlobalName:
        args = GlobalNameArgs(
            settings=settings,
            region="eu-west-1",
            stack="prod-eu-west-1",
            own_name="eu-west-1.llm.example.com",
            health_check_path="/healthz",
            alias_name="prod-1.eu-west-1.elb.amazonaws.com",
            alias_zone_id="Z32O12XQLNTSW2",
            listener=DependencyResource("urn:pulumi:stack::project::aws:lb/listener:Listener::https"),
        )
        return GlobalName("g", args)

    return declared(program)


def test_the_nearest_region_that_works() -> None:
    found = part()
    assert found.counts() == {
        "tandem:index:GlobalName": 1,
        "aws:route53/healthCheck:HealthCheck": 1,
        "aws:route53/record:Record": 1,
    }
    record, check = found.one("Record"), found.one("HealthCheck")
    assert (record["name"], record["type"], record["setIdentifier"]) == ("llm.example.com", "A", "prod-eu-west-1")
    assert record["latencyRoutingPolicies"] == [{"region": "eu-west-1"}]
    assert "weightedRoutingPolicies" not in record
    assert record["aliases"] == [
        {"name": "prod-1.eu-west-1.elb.amazonaws.com", "zoneId": "Z32O12XQLNTSW2", "evaluateTargetHealth": True}
    ]
    assert record["healthCheckId"] == "g-HealthCheck-id"
    assert (check["type"], check["fqdn"], check["port"], check["resourcePath"]) == (
        "HTTPS",
        "eu-west-1.llm.example.com",
        443,
        "/healthz",
    )
    assert (check["requestInterval"], check["failureThreshold"], check["enableSni"]) == (30, 3, True)


def test_by_weight() -> None:
    record = part(routing="weighted", weight=0).one("Record")
    assert record["weightedRoutingPolicies"] == [{"weight": 0}]
    assert "latencyRoutingPolicies" not in record


def test_a_region_that_is_taken_out_keeps_its_check_and_loses_its_record() -> None:
    assert part(serving=False).counts() == {
        "tandem:index:GlobalName": 1,
        "aws:route53/healthCheck:HealthCheck": 1,
    }


def test_without_the_check_from_outside_the_targets_still_count() -> None:
    record = part(outsideCheck=False).one("Record")
    assert "healthCheckId" not in record
    assert record["aliases"][0]["evaluateTargetHealth"] is True


def test_in_a_stack_the_check_is_let_in_and_the_certificate_has_both_names() -> None:
    found = declared_by(BEHIND, "prod-eu-west-1")
    assert found.one("HealthCheck")["fqdn"] == "eu-west-1.llm.example.com"
    assert found.one("Certificate")["subjectAlternativeNames"] == ["llm.example.com"]
    assert any(name.endswith("-health") for name in found.of("ListenerRule"))


def test_no_name_leads_to_the_load_balancer_before_the_listener_by_which_recover_finds_it() -> None:
    found = declared_by(BEHIND, "prod-eu-west-1")
    aliases = [urn for urn in found.urns("route53/record:Record") if "validation" not in urn]
    (https,) = [urn for urn in found.urns("lb/listener:Listener") if urn.endswith("-https")]
    assert len(aliases) == 2
    assert all(https in found.before(urn) for urn in aliases)


@pytest.mark.parametrize(
    ("section", "values", "key"),
    [
        ("loadBalancer", {}, "loadBalancer.domainName"),
        ("loadBalancer", {**BEHIND["loadBalancer"], "domainName": "llm.example.com"}, "loadBalancer.domainName"),
        ("loadBalancer", {**BEHIND["loadBalancer"], "clientCidrs": ["203.0.113.0/24"]}, "globalName.outsideCheck"),
    ],
    ids=["no name of its own", "the same name", "checkers kept out"],
)
def test_what_could_not_work_is_refused(section: str, values: dict[str, Any], key: str) -> None:
    found = rules.problems(Settings.model_validate({**BEHIND, section: values}))
    assert [problem.key for problem in found] == [key]


def test_what_works_is_not() -> None:
    assert rules.problems(Settings.model_validate(BEHIND)) == []
    inside = {**BEHIND["loadBalancer"], "clientCidrs": ["203.0.113.0/24"]}
    unchecked = {**BEHIND["globalName"], "outsideCheck": False}
    settings = Settings.model_validate({**BEHIND, "loadBalancer": inside, "globalName": unchecked})
    assert rules.problems(settings) == []


@pytest.mark.parametrize(("models", "checked", "looks"), [(0, True, True), (1, True, False), (1, False, True)])
def test_beside_further_models_the_check_of_the_main_one_decides(models: int, checked: bool, looks: bool) -> None:
    """To an alias a load balancer is well when each of its target groups is."""
    further = {
        "small": {"hostName": "small.example.com", "inference": {"model": "Qwen/Qwen3-8B", "servedModelName": "small"}}
    }
    values = {
        **BEHIND,
        "globalName": {**BEHIND["globalName"], "outsideCheck": checked},
        "models": further if models else {},
    }
    record = declared_by(values).of("Record")["tandem-dev"]
    assert record["aliases"][0]["evaluateTargetHealth"] is looks
    said = [text for text in rules.warnings(Settings.model_validate(values)) if "outsideCheck" in text]
    assert bool(said) == (models == 1 and not checked)
