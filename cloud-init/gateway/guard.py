"""What clients of the gateway for teams may not say: LiteLLM obeys more of them than teams are told.

LiteLLM finds this beside its config.yaml, and asks it before each request and for each list of models
(https://docs.litellm.ai/docs/proxy/call_hooks). Names are those of LiteLLM 1.108.7.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fastapi import HTTPException  # pyright: ignore[reportMissingImports]
from litellm.integrations.custom_logger import CustomLogger  # pyright: ignore[reportMissingImports]
from litellm.litellm_core_utils import token_counter  # pyright: ignore[reportMissingImports]
from litellm.proxy.common_utils.proxy_rate_limit_error import (  # pyright: ignore[reportMissingImports]
    ProxyRateLimitError,
)

CONFIG = Path(__file__).with_name("config.yaml")
UNASKED = "cloud/"
"""Before ids of what only fallbacks and tags lead to."""
HOW_OFTEN = {"num_retries", "max_retries", "timeout", "request_timeout", "stream_timeout"}
"""One that gives up at once makes a fallback of any request; retries multiply it."""
WHERE_TO = {
    *("fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "specific_deployment"),
    *("custom_llm_provider", "api_key", "api_version", "litellm_credential_name", "extra_headers", "headers"),
    *("litellm_params", "model_info", "ssl_verify"),
}
"""A provider or key of the client's own fails, and LiteLLM then asks the model for nobody for some seconds."""
MEDIA = {"url", "image_url", "video_url", "audio_url", "file_url", "file_id", "file_data"}
CITED = "annotations"
"""Of an answer, which a client sends back in the next request."""
SIZE = (2048, 2048)
"""Of a picture that is counted before hooks are asked."""
NOT_TAKEN = HOW_OFTEN | WHERE_TO | {"no-log"}


def asked(config: dict[str, Any]) -> set[str]:
    """Names of models that clients may send."""
    return {one["model_name"] for one in config["model_list"] if not one["model_info"]["id"].startswith(UNASKED)}


def unasked(config: dict[str, Any]) -> set[str]:
    """Names that only fallbacks lead to."""
    return {one["model_name"] for one in config["model_list"]} - asked(config)


def named(value: Any) -> bool:
    """Whether there is the address of a picture, a sound or a file: LiteLLM would fetch it, however large it is."""
    if isinstance(value, list):
        return any(map(named, value))
    if not isinstance(value, dict):
        return False
    return any(
        "://" in one[:16] if isinstance(one, str) and key in MEDIA else named(one)
        for key, one in value.items()
        if key != CITED
    )


def refused(data: dict[str, Any], names: set[str]) -> str | None:
    """What is wrong with a request; None lets it through.

    Args:
        data: as LiteLLM hands it to hooks: the body, with what headers have added to it.
        names: of models that may be asked for.
    """
    request = data.get("proxy_server_request") or {}
    query = {name for name, _ in parse_qsl(urlsplit(str(request.get("url", ""))).query, keep_blank_values=True)}
    if "model" in query:
        # LiteLLM would ask that one, and has looked whether the key may ask the one in the body.
        return "model belongs in the body, not behind the path"
    if found := sorted(NOT_TAKEN & {*data, *(request.get("body") or {}), *query}):
        return f"{', '.join(found)}: not taken from clients, neither in the body nor as an x-litellm header"
    if named(data.get("messages")) or named(data.get("input")):
        return "pictures, sound and files come inside the request (data: URLs), not by an address"
    model = data.get("model")
    if isinstance(model, str) and model not in names:
        return f"{model}: no model by this name; /v1/models lists those that there are"
    return None


class Guard(CustomLogger):
    """LiteLLM's hooks."""

    def __init__(self) -> None:
        super().__init__()
        config = json.loads(CONFIG.read_text(encoding="utf-8"))
        self._names, self._unasked = asked(config), unasked(config)

    async def async_pre_call_hook(
        self,
        user_api_key_dict: object,  # noqa: ARG002
        cache: object,  # noqa: ARG002
        data: dict[str, Any],
        call_type: str,  # noqa: ARG002
    ) -> dict[str, Any]:
        if wrong := refused(data, self._names):
            error = {"message": wrong, "type": "invalid_request_error", "param": None, "code": "400"}
            if data.get("model") in self._unasked:
                # So LiteLLM asks itself, too, for a key at its limit, and answers 429 when it hears this.
                limit = ProxyRateLimitError(detail={"error": error})
                limit.status_code = 400
                raise limit
            raise HTTPException(status_code=400, detail={"error": error})
        return data

    async def async_filter_listed_models(
        self,
        user_api_key_dict: object,  # noqa: ARG002
        model_names: list[str],
    ) -> list[str]:
        return [name for name in model_names if name in self._names]


def size(data: str) -> tuple[int, int]:
    """Of a picture, width and height; of one that is not in the request, the most."""
    return SIZE if "://" in data[:16] else _size(data)


_size = token_counter.get_image_dimensions
token_counter.get_image_dimensions = size
"""For keys with a budget LiteLLM would fetch it while it looks at the key, and answer nobody else meanwhile."""
guard = Guard()
