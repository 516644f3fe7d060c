"""What LiteLLM is told: its config.yaml, and its environment. Pure.

Names of settings are those of LiteLLM 1.108.7 (`litellm/proxy/_types.py`, `litellm/router.py`). Secrets are not in it:
`os.environ/NAME` is read where LiteLLM runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tandem.gateway.prices import TokenPrice
from tandem.scripts import sources
from tandem.settings import Settings
from tandem.settings.gateway import GatewayFallbackSettings, GatewaySettings
from tandem.settings.inference import InferenceSettings
from tandem.tasks import Task

PORT = 4000
"""On which a copy listens."""
READY_PATH = "/health/readiness"
"""Asks the database, and needs no key. /health would make each model answer, for GPU time."""
CONNECTIONS = 10
"""To the database, of each copy."""
BYPASS_HEADER = "X-Tandem-Gateway"
"""By its value the firewall knows the gateway's own requests, and does not count them as one client's."""
MODES: Mapping[Task, str] = {"generate": "chat", "embed": "embedding", "score": "rerank"}
OVER_CAP = "crossed budget"
"""Of what LiteLLM says when the fallback's day is spent (`RouterErrors`, litellm/types/router.py)."""

MASTER_KEY, SALT_KEY, DATABASE_URL = "LITELLM_MASTER_KEY", "LITELLM_SALT_KEY", "DATABASE_URL"
STACK_KEY, BYPASS, CACHE_PASSWORD = "STACK_KEY", "STACK_BYPASS", "REDIS_PASSWORD"
FALLBACK_KEY = "FALLBACK_KEY"
GUARD = "guard"
"""The module beside config.yaml that LiteLLM asks before each request (cloud-init/gateway)."""
TAG = "cloud"
"""Of requests that go to the fallback at once."""


def own_secrets(gateway: GatewaySettings) -> tuple[str, ...]:
    """Variables whose values the stack makes and keeps."""
    salt = () if gateway.restore else (SALT_KEY,)
    return (MASTER_KEY, *salt, DATABASE_URL, STACK_KEY, BYPASS, *((CACHE_PASSWORD,) if gateway.has_cache else ()))


def given_secrets(gateway: GatewaySettings) -> dict[str, str]:
    """Variables whose values are secrets of the settings: name to ARN, and to one value in it as Fargate names that
    (https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html)."""
    found = {_key_of(number): one.key_secret_arn for number, one in enumerate(gateway.models.values(), 1)}
    if gateway.fallback and gateway.fallback.key_secret_arn:
        found[FALLBACK_KEY] = gateway.fallback.key_secret_arn
    if gateway.restore:
        found[SALT_KEY] = f"{gateway.restore.secret_arn}:{SALT_KEY}::"
    return found


def environment() -> dict[str, str]:
    """What is no secret, and the same for each stack."""
    return {
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it is fetched from GitHub at each start
        "DISABLE_SCHEMA_UPDATE": "true",  # a container before it brings the database up to date
        "NUM_WORKERS": "1",
        "NO_DOCS": "True",
        "NO_REDOC": "True",
        # Its default ends any stream at the hundredth equal piece, as of a long row of blanks.
        "REPEATED_STREAMING_CHUNK_LIMIT": "1000000",
    }


def config(settings: Settings, prices: Mapping[str, TokenPrice], proxies: Sequence[str] = ()) -> dict[str, Any]:
    """config.yaml.

    Args:
        prices: of own models, by name (`own_prices`).
        proxies: ranges of the load balancer, whose X-Forwarded-For is believed.
    """
    assert settings.gateway
    gateway = settings.gateway
    return {
        "model_list": [*_own(settings, prices), *_elsewhere(settings, gateway), *_cloud(settings, gateway)],
        "router_settings": _router(settings, gateway),
        "litellm_settings": _litellm(settings, gateway),
        "general_settings": _general(gateway, proxies),
    }


def as_text(document: Mapping[str, Any]) -> str:
    """As LiteLLM reads it: JSON is YAML."""
    return json.dumps(document, indent=2) + "\n"


def guard() -> str:
    """The text of the module."""
    return sources("gateway")[f"{GUARD}.py"]


def _own(settings: Settings, prices: Mapping[str, TokenPrice]) -> Iterator[dict[str, Any]]:
    """By the direct way, with a key of the gateway's own."""
    fallback = settings.gateway and settings.gateway.fallback
    for model, own in settings.each.items():
        host = own.load_balancer.domain_name
        for name in own.inference.names:
            waits: dict[str, Any] = {"timeout": settings.timeouts.client_seconds}
            if fallback and own.inference.makes_tokens:
                waits["stream_timeout"] = min(fallback.after_seconds, settings.timeouts.client_seconds)
            if settings.gateway and name in settings.gateway.models:
                waits["order"] = 1
            yield _entry(
                name,
                f"stack/{model}/{name}",
                MODES[own.inference.task],
                prices[name],
                model=f"hosted_vllm/{name}",
                api_base=f"https://{host}/v1",
                api_key=_variable(STACK_KEY),
                extra_headers={BYPASS_HEADER: _variable(BYPASS)},
                **waits,
                **_untagged(settings, name),
            )


def _elsewhere(settings: Settings, gateway: GatewaySettings) -> Iterator[dict[str, Any]]:
    """One of an own model's name is asked after that, for whoever may ask for this name."""
    for number, (name, one) in enumerate(gateway.models.items(), 1):
        own = _inference_of(settings, name)
        yield _entry(
            name,
            f"elsewhere/{name}",
            MODES[own.task] if own else None,
            TokenPrice.of(one),
            model=f"hosted_vllm/{name}",
            api_base=f"{one.url}/v1",
            api_key=_variable(_key_of(number)),
            timeout=settings.timeouts.client_seconds,
            **({"order": 2} if own else {}),
            **_untagged(settings, name),
        )


def _untagged(settings: Settings, name: str) -> dict[str, list[str]]:
    """Of what requests without a tag lead to, where one leads elsewhere."""
    fallback = settings.gateway and settings.gateway.fallback
    tagged = fallback and "tagged" in fallback.when and name in _generating(settings)
    return {"tags": ["default"]} if tagged else {}


def _cloud(settings: Settings, gateway: GatewaySettings) -> Iterator[dict[str, Any]]:
    """Once by its own name, which fallbacks lead to; and of each model that may be tagged for it."""
    fallback = gateway.fallback
    if fallback is None:
        return
    names = [fallback.model] if "failing" in fallback.when else []
    names += _generating(settings) if "tagged" in fallback.when else []
    for name in names:
        tagged = {} if name == fallback.model else {"tags": [TAG]}
        yield _entry(
            name,
            f"cloud/{name}",
            "chat",
            TokenPrice.of(fallback),
            model=fallback.model,
            timeout=settings.timeouts.client_seconds,
            **_reached(settings, fallback),
            **tagged,
        )


def _reached(settings: Settings, fallback: GatewayFallbackSettings) -> dict[str, str]:
    found = {"api_base": fallback.url} if fallback.url else {}
    if fallback.key_secret_arn:
        found["api_key"] = _variable(FALLBACK_KEY)
    if _provider(fallback) == "bedrock":
        found["aws_region_name"] = settings.region
    return found


def _router(settings: Settings, gateway: GatewaySettings) -> dict[str, Any]:
    fallback = gateway.fallback
    found: dict[str, Any] = {
        "num_retries": 0,  # a full queue says 503 at once, and would hear the same request again
        "allowed_fails": 3,
        "cooldown_time": 5,
        "fallbacks": _fallbacks(settings, gateway),
    }
    if fallback:
        cap = {"budget_limit": fallback.max_usd_per_day, "time_period": "1d"}
        found["provider_budget_config"] = {_provider(fallback): cap}
        found["enable_tag_filtering"] = "tagged" in fallback.when
    return found | (_cache("redis_") if gateway.has_cache else {})


def _fallbacks(settings: Settings, gateway: GatewaySettings) -> list[dict[str, list[str]]]:
    """After the same model in another region, which has the same name."""
    fallback = gateway.fallback
    if fallback is None or "failing" not in fallback.when:
        return []
    return [{name: [fallback.model]} for name in _generating(settings)]


def _litellm(settings: Settings, gateway: GatewaySettings) -> dict[str, Any]:
    found: dict[str, Any] = {
        "request_timeout": settings.timeouts.client_seconds,
        "json_logs": True,
        "callbacks": [f"{GUARD}.{GUARD}"],
        "global_disable_no_log_param": True,  # with it a request is not counted either
        "turn_off_message_logging": not gateway.keep_prompts,
    }
    if gateway.has_cache:
        # Of counters alone: with no call types no answer is kept.
        found |= {"cache": True, "cache_params": {"type": "redis", "supported_call_types": [], **_cache()}}
    return found


def _cache(prefix: str = "") -> dict[str, str]:
    return {
        f"{prefix}host": _variable("REDIS_HOST"),
        f"{prefix}port": _variable("REDIS_PORT"),
        f"{prefix}password": _variable(CACHE_PASSWORD),
    }


def _general(gateway: GatewaySettings, proxies: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "master_key": _variable(MASTER_KEY),
        "database_url": _variable(DATABASE_URL),
        "database_connection_pool_limit": CONNECTIONS,
        "allow_requests_on_db_unavailable": False,  # true lets anyone in, with a key or without
        "store_prompts_in_spend_logs": gateway.keep_prompts,
        "maximum_spend_logs_retention_period": f"{gateway.spend_log_days}d",
        "disable_error_logs": True,
        "user_api_key_cache_ttl": 60,  # a deleted key lives so long on other copies, a blocked one not
    }
    if gateway.has_cache:
        found["use_redis_transaction_buffer"] = True
    if proxies:
        found |= {"use_x_forwarded_for": True, "trusted_proxy_ranges": [*proxies]}
    return found


def _entry(name: str, id: str, mode: str | None, price: TokenPrice, **reached: Any) -> dict[str, Any]:
    priced = {"input_cost_per_token": price.prompt, "output_cost_per_token": price.answer}
    info = {"id": id} | ({"mode": mode} if mode else {})
    return {"model_name": name, "litellm_params": reached | priced, "model_info": info}


def _inference_of(settings: Settings, name: str) -> InferenceSettings | None:
    return next((one for one, _ in settings.scaled.values() if name in one.names), None)


def _generating(settings: Settings) -> list[str]:
    return [name for one, _ in settings.scaled.values() if one.makes_tokens for name in one.names]


def _provider(fallback: GatewayFallbackSettings) -> str:
    return fallback.model.partition("/")[0]


def _key_of(number: int) -> str:
    return f"MODEL_KEY_{number}"


def _variable(name: str) -> str:
    return f"os.environ/{name}"
