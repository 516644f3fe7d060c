"""Lines on what clients sent in the last week: as machines told CloudWatch, and of prompts as a Prometheus knows."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlencode

from tandem import checks
from tandem.ops import figures
from tandem.ops.figures import Figure
from tandem.ops.ready.visit import Seen, Unmet, Visit
from tandem.ops.status import Unknown
from tandem.registry import json_of
from tandem.rules.cluster import prefix_of

WEEK, DAY = timedelta(days=7), 86400
FULL = 90
"""Percent of the KV cache, in 95 of 100 looks: above it the next burst throws requests out."""
SHORT = 50
"""Tokens: probes, six a minute, are shorter, and what is so short says nothing of the longest."""
FEW = 100
"""Prompts: of fewer there is no 99th percentile."""
WIDE, AT_ONCE = 16, 4
"""So many times longer than prompts is more than anybody asks for. It costs only where fewer such requests fit at once,
so that a single client fills the KV cache: the cache is given out by pages, as requests grow."""

COUNTS = 'sum by (le) (increase(vllm:request_prompt_tokens_bucket{{model_name="{name}"}}[7d]))'
"""Requests that had a prompt of up to so many tokens; the last bound is half to three quarters of max-model-len."""
USE = (
    Figure(name="kv", metric="KvCacheUsed", statistic="p95", period=DAY),
    Figure(name="gpus", metric="GpuUse", statistic="p95", period=DAY),
    Figure(name="tokens", metric="TokensOut", statistic="Sum", period=DAY),
)


def prompts(visit: Visit) -> Seen:
    """max-model-len beside the 99th percentile of prompts. Machines tell CloudWatch nothing of these: a figure more
    would take a small stack beyond $5 a month."""
    return _each(visit, _prompts) if visit.prometheus else Unknown("no --prometheus was named, and CloudWatch has none")


def _prompts(visit: Visit, name: str) -> Seen:
    own = visit.settings.of(name)
    inference = own.inference
    query = urlencode({"query": COUNTS.format(name=inference.served_name)})
    answer = json_of(visit.http.get(f"{visit.prometheus}/api/v1/query?{query}", key="--prometheus"), "--prometheus")
    found = answer.get("data", {}).get("result", ())
    counts = sorted((float(one["metric"]["le"]), float(one["value"][1])) for one in found)
    total = counts[-1][1] if counts else 0
    number = total - max((count for bound, count in counts if bound <= SHORT), default=0)
    if number < FEW:
        return Unknown(f"{number:.0f} prompts of more than {SHORT} tokens in a week, too few")
    longest = next(bound for bound, count in counts if count >= total - number / 100)
    plan = checks.size(own)
    if plan.max_model_len is None:
        return Unknown("max-model-len is the model's own, which tandem's catalog lacks: inference.modelConfigFile")
    seen = f"99 of 100 prompts have up to {min(longest, plan.max_model_len):,.0f} tokens of {plan.max_model_len:,}"
    crowded = (plan.max_concurrency or AT_ONCE) < AT_ONCE and plan.max_model_len > WIDE * longest
    if math.isfinite(longest) and not crowded:
        return seen
    length = 1 << round(2 * min(longest, plan.max_model_len) - 1).bit_length()
    key = f"tandem:{prefix_of(name)}inference.maxModelLen"
    fix = f"`pulumi config set --path {key} {length}` if `tandem size {inference.model}"
    return Unmet(seen, f"{fix} --max-model-len {length}` says that it fits, then `pulumi up`")


def utilization(visit: Visit) -> Seen:
    """What cache and GPUs carried. Idle ones are a matter of cost, not of readiness."""
    why = "metrics.cloudwatch is false, so that only the Prometheus which scrapes the servers knows"
    return _each(visit, _used) if visit.settings.metrics.cloudwatch else Unknown(why)


def _used(visit: Visit, name: str) -> Seen:
    """The worst day."""
    told = figures.told(visit.clients, visit.stack, name, visit.now, USE, WEEK)
    days = {key: [value for _, value in values] for key, values in told.items()}
    if visit.settings.scaled[name][0].makes_tokens and not sum(days["tokens"]):
        return Unknown("no token was made in a week")
    gpus = f", GPUs {max(days['gpus']):.0f} %" if days["gpus"] else ""
    full = max(days["kv"], default=0)
    seen = f"KV cache {full:.0f} %{gpus}, or less in 95 of 100 looks"
    return seen if full <= FULL else Unmet(seen)


def _each(visit: Visit, judge: Callable[[Visit, str], Seen]) -> Seen:
    """What is worst of the models."""
    seen = {name: judge(visit, name) for name in visit.settings.scaled}
    for kind in (Unmet, Unknown):
        if bad := {name: one for name, one in seen.items() if isinstance(one, kind)}:
            whys = "; ".join(f"{name}: {one.why}" for name, one in bad.items())
            mends = dict.fromkeys(one.mends for one in bad.values() if isinstance(one, Unmet))
            return Unmet(whys, "; ".join(mends)) if kind is Unmet else Unknown(whys)
    return "; ".join(f"{name}: {one}" for name, one in seen.items())
