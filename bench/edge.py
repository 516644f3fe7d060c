"""`python -m bench.edge`: what the edge on a host costs a request, beside direct and beside two other ways in.

One run, one stub server (an nginx that returns a fixed completion), one load (wrk): direct, through our nginx with
everything on (allow-list, a client by its key, limits, request id, JSON log, and the agent that counts by client),
through PyPI's vllm-router, through the LiteLLM proxy without a database. At the end, whether the time of a refusal
tells how much of a key was right.
"""

from __future__ import annotations

import sys

from bench import refusals
from bench.ways import KEY, ROUTER, TESTS, Figures, compare, table, ways
from tandem.settings.inference import RoutingSettings

sys.path[:0] = TESTS

from tests.real.gateway_server import PRESENT, VERSION  # noqa: E402

ROUTED = "our edge, inference.routing"
ADDED_BAR_MS, RATIO_BAR = 0.10, 3.0
LITELLM_CONFIG = f"""\
general_settings: {{master_key: {KEY}}}
model_list:
- model_name: bench
  litellm_params: {{model: openai/bench, api_base: "http://127.0.0.1:PORT/v1", api_key: bench}}
"""


def main() -> int:
    """Prints the table; exit status 1 when a bar is missed."""
    with ways() as way:

        def litellm(port: int) -> list[str]:
            file = way.directory / "litellm.yaml"
            file.write_text(LITELLM_CONFIG.replace("PORT", str(way.server.port)))
            return [
                str(PRESENT.environment / "bin/litellm"),
                "--config",
                str(file),
                "--port",
                str(port),
                "--host",
                "127.0.0.1",
            ]

        all_ways = {
            "direct": way.server,
            "our edge": way.edge(),
            ROUTED: way.edge(RoutingSettings()),
            ROUTER: way.router(),
            f"LiteLLM {VERSION}": way.started(litellm),
        }
        found = compare(all_ways, way.script)
        even = refusals.report(refusals.times(all_ways["our edge"].port, KEY))
    return report(found) or int(not even)


def report(found: dict[str, Figures]) -> int:
    print(table(found))
    held = True
    for name in ("our edge", ROUTED):
        added = found[name].median_ms - found["direct"].median_ms
        ratio = found[name].per_second / found[ROUTER].per_second
        print(f"{name}: adds {added:.3f} ms (bar: {ADDED_BAR_MS}), {ratio:.2f} times vllm-router (bar: {RATIO_BAR})")
        held &= added <= ADDED_BAR_MS and ratio >= RATIO_BAR
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
