"""What is asked of Prometheus, of one model's servers: one place for each name that vLLM or the edge gives. Pure.

The edge answers for a server that is gone, with its own counts alone: whether vLLM answers is asked of vLLM's series,
and not of `up`.
"""

from __future__ import annotations

PROBES_PER_SECOND = 0.2
"""Of a server, by its own machine; a full one refuses them, and they are nobody's requests
(cloud-init/shared/telemetry.py, PROBES and SAMPLE)."""
HISTOGRAMS = {"FirstToken": "vllm:time_to_first_token_seconds", "BetweenTokens": "vllm:inter_token_latency_seconds"}
"""By the figure that CloudWatch has of them."""


def span(seconds: int) -> str:
    """A duration of PromQL.

    >>> span(21600), span(300), span(90)
    ('6h', '5m', '90s')
    """
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def late(figure: str, seconds: float, window: str, labels: str) -> str:
    """Share of answers, or of tokens, that came later than so many seconds, a bound of the histogram."""
    rate = f"rate({HISTOGRAMS[figure]}_bucket{{{labels},le="
    return f'1 - sum({rate}"{float(seconds)!r}"}}[{window}])) / sum({rate}"+Inf"}}[{window}]))'


def percentile(figure: str, share: float, window: str, labels: str) -> str:
    """So many of them came within these seconds."""
    return f"histogram_quantile({share:g}, sum by (le) (rate({HISTOGRAMS[figure]}_bucket{{{labels}}}[{window}])))"


def failed(seconds: int, labels: str) -> str:
    """Requests a second that were not answered through no fault of theirs, in a window of minutes.

    What vLLM refuses inside of a stream has status 200 at the edge; what the edge sees refused, too, counts twice. Its
    probes are taken off minute by minute: they are refused only while it is full.
    """
    refused = f"sum without (reason) (rate(vllm:admission_rejections_total{{{labels}}}[2m]))"
    real = f"sum_over_time(clamp_min({refused} - {PROBES_PER_SECOND:g}, 0)[{span(seconds)}:1m])"
    return f"({answered(seconds, labels, '5..')} + (sum({real}) / {seconds // 60} or vector(0)))"


def answered(seconds: int, labels: str, code: str = "[23]..") -> str:
    """Requests a second that the edge answered with such a status."""
    return f'(sum(rate(tandem_edge_requests_total{{{labels},code=~"{code}"}}[{span(seconds)}])) or vector(0))'


def by_client(window: str, labels: str) -> str:
    """Requests a second, of each client that has a key."""
    return f'sum by (client) (rate(tandem_edge_requests_total{{{labels},client=~".+"}}[{window}]))'


def refused_by_client(window: str, labels: str) -> str:
    """Requests a second that the edge or a full server refused, of each client and by the reason; of no client those
    whose key is not known."""
    return f"sum by (client, reason) (rate(tandem_edge_refused_total{{{labels}}}[{window}]))"


def asked(seconds: int, labels: str) -> str:
    """Requests a second; what a client did wrong, or too often, is not among them."""
    return f"({answered(seconds, labels)} + {failed(seconds, labels)})"


def waiting(labels: str) -> str:
    """Requests that wait, of each server."""
    return f"vllm:num_requests_waiting{{{labels}}}"


def running(labels: str) -> str:
    """Requests that run, of each server."""
    return f"vllm:num_requests_running{{{labels}}}"


def cache_used(labels: str) -> str:
    """Share of the KV cache that is in use, 0 to 1, of each server."""
    return f"vllm:kv_cache_usage_perc{{{labels}}}"


def rate_of(counter: str, window: str, labels: str) -> str:
    """What vLLM counts, a second, of all servers.

    Args:
        counter: without `vllm:` and `_total`.
    """
    return f"sum(rate(vllm:{counter}_total{{{labels}}}[{window}]))"


def added(counter: str, window: str, labels: str) -> str:
    """What vLLM counted in the window, of all servers."""
    return f"sum(increase(vllm:{counter}_total{{{labels}}}[{window}]))"


def right_guesses(window: str, labels: str) -> str:
    """Share of the tokens that speculative decoding guessed, of all servers; nothing where nothing was guessed."""
    right, guessed = (rate_of(f"spec_decode_num_{what}_tokens", window, labels) for what in ("accepted", "draft"))
    return f"{right} / ({guessed} > 0)"


def guessing(window: str, labels: str) -> str:
    """Share of the servers that guess tokens, of those that make some."""
    guessed, made = (
        f"rate(vllm:{counter}_tokens_total{{{labels}}}[{window}])"
        for counter in ("spec_decode_num_draft", "generation")
    )
    return f"avg(({guessed} > bool 0) and ({made} > 0))"


def stuck(seconds: int, labels: str) -> str:
    """Servers that have had requests for so long and have made no token, nor read one."""
    window = span(seconds)
    busy = f"min_over_time(({running(labels)} + {waiting(labels)})[{window}:15s]) > 0"
    tokens = (f"increase(vllm:{name}_tokens_total{{{labels}}}[{window}]) == 0" for name in ("generation", "prompt"))
    return " and ".join((busy, *tokens))


def starts(window: str, labels: str) -> str:
    """Of servers anew, beside the same edge."""
    return f"sum(changes(process_start_time_seconds{{{labels}}}[{window}]))"


def servers(labels: str) -> str:
    """That answer; nothing where none does."""
    return f"count({running(labels)})"


def key_days(labels: str) -> str:
    """Until a client has no key any more, as the edge knows it that reads them first (cloud-init/shared/keysync.py)."""
    return f"min(tandem_key_days{{{labels}}})"


def canary(labels: str) -> str:
    """Answers of the worst machine that were not what its canary expects (cloud-init/shared/trial.py)."""
    return f"max(tandem_canary_failed{{{labels}}})"


def gpus(figure: str, labels: str) -> str:
    """The most of all GPUs, of what hosts tell of each (cloud-init/host/gpus.py)."""
    return f"max(tandem_gpu_{figure}{{{labels}}})"


def start(labels: str) -> str:
    """Seconds from nothing to the first token, of the slowest machine (cloud-init/shared/coldstart.py)."""
    return f"max(tandem_start_seconds{{{labels}}})"


def stage(name: str, labels: str) -> str:
    """Likewise, of one stage of it."""
    return f'max(tandem_stage_seconds{{{labels},stage="{name}"}})'
