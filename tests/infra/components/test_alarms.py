"""Alarms as AWS gets them."""

from __future__ import annotations

from typing import Any

import pytest

from infra.components.alarms import Alarms, AlarmsArgs
from tandem.alarms import Both, alarms
from tandem.objectives import Objectives
from tests.infra.declared import Declared, declared, declared_by

PROMISED = Objectives(first_token_seconds=2.5, between_tokens_seconds=0.1, availability=0.995)
OF_A_MODEL = alarms(PROMISED, always_on=True, servers=2, gpus=True)


@pytest.fixture(scope="module")
def found() -> Declared:
    models = {"main": OF_A_MODEL, "small": OF_A_MODEL}
    return declared(
        lambda: Alarms(
            "tandem-dev",
            AlarmsArgs(
                stack="dev", stack_id="a1", models=models, certificate_arn="arn:certificate", topic_arn="arn:topic"
            ),
        )
    )


def of_models(found: Declared) -> dict[str, dict[str, Any]]:
    of_stack = ("tandem-dev-certificate", "tandem-dev-key-expiry")
    return {name: made for name, made in found.of("MetricAlarm").items() if name not in of_stack}


def test_that_of_keys_is_of_what_the_main_models_edges_read(found: Declared) -> None:
    made = found.of("MetricAlarm")["tandem-dev-key-expiry"]
    assert (made["namespace"], made["metricName"], made["threshold"]) == ("tandem", "KeyDays", 7)
    assert made["dimensions"] == {"Stack": "dev", "Model": "main"}
    assert (made["comparisonOperator"], made["treatMissingData"]) == ("LessThanThreshold", "notBreaching")
    assert made["alarmActions"] == ["arn:topic"]


def test_the_certificates_is_of_the_stack(found: Declared) -> None:
    made = found.of("MetricAlarm")["tandem-dev-certificate"]
    assert (made["namespace"], made["metricName"]) == ("AWS/CertificateManager", "DaysToExpiry")
    assert made["dimensions"] == {"CertificateArn": "arn:certificate"}
    assert made["alarmActions"] == ["arn:topic"]
    assert made["alarmDescription"].endswith("docs/alarms.md, certificate")


def test_each_model_has_its_own(found: Declared) -> None:
    metrics = of_models(found)
    assert {made["namespace"] for made in metrics.values()} == {"tandem"}
    assert {made["dimensions"]["Model"] for made in metrics.values()} == {"main", "small"}
    assert {made["dimensions"]["Stack"] for made in metrics.values()} == {"dev"}
    both = sum(isinstance(alarm, Both) for alarm in OF_A_MODEL)
    assert len(found.of("compositeAlarm:CompositeAlarm")) == 2 * both


def test_what_is_both_calls_and_its_parts_do_not(found: Declared) -> None:
    metrics = found.of("metricAlarm:MetricAlarm")
    composite = found.of("compositeAlarm:CompositeAlarm")["tandem-dev-small-errors-fast"]
    assert composite["alarmActions"] == composite["okActions"] == ["arn:topic"]
    assert composite["alarmRule"].count("ALARM(") == 3
    assert composite["alarmName"] == "tandem-dev-small-errors-fast-a1"
    assert "alarmActions" not in metrics["tandem-dev-small-errors-fast-1"]
    assert metrics["tandem-dev-small-queue"]["alarmActions"] == ["arn:topic"]
    assert "insufficientDataActions" not in metrics["tandem-dev-small-queue"]
    assert metrics["tandem-dev-small-no-server"]["insufficientDataActions"] == ["arn:topic"]


def test_a_percentile_is_no_plain_statistic(found: Declared) -> None:
    """CloudWatch takes one of the two (API_PutMetricAlarm)."""
    metrics = found.of("metricAlarm:MetricAlarm")
    late = metrics["tandem-dev-small-first-token-fast-1"]
    assert (late["extendedStatistic"], late.get("statistic"), late["period"]) == ("p85.6", None, 3600)
    assert metrics["tandem-dev-small-queue"]["statistic"] == "Maximum"


def test_whoever_calls_says_where_its_page_is(found: Declared) -> None:
    said = found.of("metricAlarm:MetricAlarm")["tandem-dev-small-queue"]["alarmDescription"]
    assert said.startswith("small: requests have waited")
    assert said.endswith("docs/alarms.md, queue")


def test_an_ephemeral_stack_has_none_unless_it_is_asked() -> None:
    quiet = {"region": "us-east-1", "ephemeral": True, "cost_guard": {"expires_after": "4h"}}
    assert not declared_by(quiet).urns("Alarm")
    asked = quiet | {"alarms": {"enabled": True, "hooks": ["https://events.example.com/pager"]}}
    found = declared_by(asked)
    assert found.urns("CompositeAlarm")
    hook = found.of("TopicSubscription")["tandem-dev-hook-1"]
    assert (hook["protocol"], hook["endpoint"]) == ("https", "https://events.example.com/pager")
    assert not [urn for urn in found.urns("Alarm") if "no-server" in urn], "it has an end"


def test_where_machines_tell_nothing_the_certificate_is_watched_alone() -> None:
    found = declared_by({"region": "us-east-1", "metrics": {"cloudwatch": False}})
    assert list(found.of("MetricAlarm")) == ["tandem-dev-certificate"]
