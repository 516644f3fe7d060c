"""What LiteLLM is told, read as a golden file; the names in it are held against LiteLLM itself in tests/real."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tandem import rules
from tandem.gateway.config import as_text, config, environment, given_secrets, own_secrets
from tandem.gateway.prices import TokenPrice
from tandem.settings import Settings
from tandem.settings.gateway import GatewaySettings

GOLDEN = Path(__file__).with_name("golden") / "config.json"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:{}-AbCdEf"
PRICE = TokenPrice(prompt=1e-6, answer=4e-6)
PRICED = {"promptUsdPerMillion": 2, "answerUsdPerMillion": 8}
BASE: dict[str, Any] = {
    "region": "us-east-1",
    "loadBalancer": {"domainName": "api.example.com", "hostedZoneId": "Z0123456789ABC"},
    "gateway": {"hostName": "teams.example.com"},
}
NOVA = {"model": "bedrock/us.amazon.nova-lite-v1:0", "maxUsdPerDay": 20, **PRICED}
ALL = BASE | {
    "inference": {
        "model": "Qwen/Qwen3-32B",
        "servedModelName": "large",
        "adapters": {"sql": {"model": "acme/sql", "rank": 16}},
    },
    "fleet": {"instanceTypes": ["g6e.12xlarge"]},
    "models": {
        "vectors": {
            "hostName": "vectors.example.com",
            "inference": {"model": "Qwen/Qwen3-8B", "task": "embed", "tensorParallelSize": 1},
        }
    },
    "gateway": {
        "hostName": "teams.example.com",
        "models": {
            "large": {"url": "https://eu.example.com", "keySecretArn": SECRET.format("eu"), **PRICED},
            "huge": {"url": "https://huge.example.com", "keySecretArn": SECRET.format("huge"), **PRICED},
        },
        "fallback": NOVA | {"when": ["failing", "tagged"]},
    },
}


def told(values: dict[str, Any], **gateway: Any) -> dict[str, Any]:
    settings = Settings.model_validate(values | {"gateway": values["gateway"] | gateway})
    return config(settings, dict.fromkeys(settings.names_served, PRICE), ["10.20.0.0/18"])


def of(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [one["litellm_params"] for one in document["model_list"] if one["model_name"] == name]


def test_such_settings_are_allowed() -> None:
    assert [rules.problems(Settings.model_validate(values)) for values in (BASE, ALL)] == [[], []]


def test_all_of_it_is_as_it_was_reviewed() -> None:
    text = as_text(told(ALL))
    if os.environ.get("GOLDEN_UPDATE"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), "`make golden`, and review the difference"


def test_a_database_that_is_away_lets_nobody_in_and_prompts_are_not_kept() -> None:
    document = told(BASE)
    general, litellm = document["general_settings"], document["litellm_settings"]
    assert general["allow_requests_on_db_unavailable"] is False
    assert (general["store_prompts_in_spend_logs"], litellm["turn_off_message_logging"]) == (False, True)
    kept = told(BASE, keepPrompts=True)
    assert kept["general_settings"]["store_prompts_in_spend_logs"] is True
    assert kept["litellm_settings"]["turn_off_message_logging"] is False


def test_one_copy_has_no_cache_and_several_share_their_limits_by_it() -> None:
    alone, several = told(BASE, replicas=1), told(BASE)
    assert "REDIS" not in json.dumps(alone)
    assert "use_redis_transaction_buffer" not in alone["general_settings"]
    assert several["router_settings"]["redis_host"] == "os.environ/REDIS_HOST"
    assert several["litellm_settings"]["cache_params"]["supported_call_types"] == [], "answers are not cached"
    one, two = (GatewaySettings(host_name="teams.example.com", replicas=copies) for copies in (1, 2))
    assert {*own_secrets(two)} - {*own_secrets(one)} == {"REDIS_PASSWORD"}


def test_only_what_generates_falls_back_first_to_the_other_region() -> None:
    document = told(ALL)
    assert document["router_settings"]["fallbacks"] == [{"large": [NOVA["model"]]}, {"sql": [NOVA["model"]]}]
    assert [(one["order"], one["api_base"]) for one in of(document, "large")[:2]] == [
        (1, "https://api.example.com/v1"),
        (2, "https://eu.example.com/v1"),
    ]
    assert not any("order" in one for name in ("sql", "huge") for one in of(document, name))
    assert "Qwen/Qwen3-8B" in {one["model_name"] for one in document["model_list"]}


def test_one_cap_holds_all_that_goes_to_the_cloud() -> None:
    document = told(ALL)
    cap = {"budget_limit": 20, "time_period": "1d"}
    assert document["router_settings"]["provider_budget_config"] == {"bedrock": cap}
    cloud = [one for one in document["model_list"] if one["litellm_params"]["model"] == NOVA["model"]]
    assert len(cloud) == 3
    assert {one["litellm_params"]["input_cost_per_token"] for one in cloud} == {2e-6}


def test_tags_lead_to_the_cloud_only_where_the_settings_say_so() -> None:
    failing = told(ALL, fallback=NOVA)
    assert not any("tags" in one["litellm_params"] for one in failing["model_list"])
    assert [one["tags"] for one in of(told(ALL), "large")] == [["default"], ["default"], ["cloud"]]
    tagged = told(ALL, fallback=NOVA | {"when": ["tagged"]})
    assert not tagged["router_settings"]["fallbacks"]
    assert not of(tagged, NOVA["model"]), "by its own name nobody is to ask for it"


def test_a_silent_stream_is_given_up_where_there_is_a_fallback() -> None:
    assert of(told(ALL), "large")[0]["stream_timeout"] == 60
    assert "stream_timeout" not in of(told(ALL), "Qwen/Qwen3-8B")[0]
    assert "stream_timeout" not in of(told(BASE), "Qwen/Qwen3-8B")[0]


def test_no_secret_is_in_it_and_each_that_it_names_is_one_of_the_stacks_or_the_settings() -> None:
    settings = Settings.model_validate(ALL)
    assert settings.gateway
    named = {*json.dumps(told(ALL)).split("os.environ/")[1:]}
    names = {text.partition('"')[0] for text in named}
    given = given_secrets(settings.gateway)
    assert given == {"MODEL_KEY_1": SECRET.format("eu"), "MODEL_KEY_2": SECRET.format("huge")}
    known = {*own_secrets(settings.gateway), *given}
    assert names - known == {"REDIS_HOST", "REDIS_PORT"}
    assert known - names == {"LITELLM_SALT_KEY"}, "which LiteLLM reads by itself"


def test_another_provider_has_its_key_and_no_region() -> None:
    fallback = NOVA | {"model": "openai/gpt", "keySecretArn": SECRET.format("key"), "url": "https://cloud.example.com"}
    (cloud,) = of(told(BASE, fallback=fallback), "openai/gpt")
    assert cloud["api_key"] == "os.environ/FALLBACK_KEY"
    assert cloud["api_base"] == "https://cloud.example.com"
    assert "aws_region_name" not in cloud


def test_all_that_is_asked_is_counted() -> None:
    """The guard refuses `no-log`; LiteLLM would not heed it either."""
    litellm = told(BASE)["litellm_settings"]
    assert litellm["callbacks"] == ["guard.guard"]
    assert litellm["global_disable_no_log_param"] is True


def test_its_environment_is_that_of_the_production_list() -> None:
    found = environment()
    assert found["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"
    assert found["NUM_WORKERS"] == "1"
    assert int(found["REPEATED_STREAMING_CHUNK_LIMIT"]) > 100
