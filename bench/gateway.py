"""`python -m bench.gateway`: what a gateway for teams costs a request, beside the direct way, the edge and a router.

One run and one stub server, as `bench.edge` has it: direct, our edge alone, vllm-router, LiteLLM with its PostgreSQL
and Redis as the gateway runs it (a key of a team with a budget and a limit by minute; spend is written), and rolter, a
gateway in Rust that is built for speed. What PyPI has of that one knows keys and no database, so no teams and no
budgets: it is what such a gateway costs at least.
"""

from __future__ import annotations

import sys

from bench.ways import CONNECTIONS, KEY, ROUTER, TESTS, Figures, Way, Ways, compare, program, table, ways

sys.path[:0] = TESTS

from tests.real.databases import redis  # noqa: E402
from tests.real.gateway_server import DATABASE, VERSION, database, gateways, rendered  # noqa: E402

ROLTER = "rolter==0.1.0"
ROLTER_CONFIG = f"""\
[server]
host = "127.0.0.1"

[[providers]]
name = "stub"
kind = "openai_compatible"
api_base = "http://127.0.0.1:PORT"

[[routes]]
model = "bench"
[[routes.targets]]
provider = "stub"

[[virtual_keys]]
key = "{KEY}"
name = "bench"
models = ["bench"]

[[model_prices]]
model = "bench"
input_per_mtok = 1.0
output_per_mtok = 2.0
"""


def litellm(way: Ways) -> Way:
    """One copy with all that the gateway has."""
    cluster = way.stack.enter_context(database())
    cache = way.stack.enter_context(redis(way.directory))
    text, variables = rendered("bench", f"http://127.0.0.1:{way.server.port}", "none", cache)
    [copy] = way.stack.enter_context(gateways(1, text, cluster.url(DATABASE), way.directory, variables))
    team = copy.team("bench", max_budget=1000)
    copy.key(key=KEY, team_id=team, rpm_limit=1_000_000)
    print(f"LiteLLM was ready after {copy.seconds:.0f} s", file=sys.stderr)
    assert copy.process
    return Way(copy.port, copy.process.pid)


def rolter(way: Ways) -> Way:
    (file := way.directory / "rolter.toml").write_text(ROLTER_CONFIG.replace("PORT", str(way.server.port)))
    command = [str(program("rolter", ROLTER)), "gateway", "--config", str(file), "--port"]
    return way.started(lambda port: [*command, str(port)])


def main() -> int:
    """Prints the table."""
    with ways() as way:
        found = compare(
            {
                "direct": way.server,
                "our edge": way.edge(),
                ROUTER: way.router(),
                ROLTER: rolter(way),
                f"LiteLLM {VERSION}": litellm(way),
            },
            way.script,
        )
    print(table(found))
    print(added(found))
    return 0


def added(found: dict[str, Figures]) -> str:
    """What each adds to the direct way."""
    direct = found["direct"]
    return "\n".join(
        f"{name}: adds {one.median_ms - direct.median_ms:.2f} ms, {one.per_second / direct.per_second:.1%} of direct's "
        f"requests at {CONNECTIONS} connections"
        for name, one in found.items()
        if one is not direct
    )


if __name__ == "__main__":
    raise SystemExit(main())
