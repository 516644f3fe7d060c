"""The lines, what each wants and what mends it, and a visit to one stack by them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from tandem.errors import UserError
from tandem.ops.aws import AwsError, problem_of
from tandem.ops.ready import account, load, logs, servers
from tandem.ops.ready.visit import Seen, Unmet, Visit


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        wants: in a few words.
        mends: a command or a setting; {stack} and {region} are the visited one's.
    """

    wants: str
    measure: Callable[[Visit], Seen]
    mends: str


_SET, _AGAIN = "`pulumi config set --path tandem:", "`pulumi up --refresh`"
_PROMPTS = (
    "`--prometheus URL` of one that scrapes the servers, after some traffic; by hand `histogram_quantile(0.99, "
    "sum by (le) (increase(vllm:request_prompt_tokens_bucket[7d])))`, beside inference.maxModelLen"
)
_LIMITS = (
    "tandem:clients.NAME.streams; of an issued key `tandem keys revoke {stack} NAME`, then "
    "`tandem keys add {stack} NAME --streams 4 --requests-per-second 5`"
)
_COPY = (
    "declare them (`tandem keys digest`), or `aws secretsmanager replicate-secret-to-regions --region {region} "
    "--secret-id ID --add-replica-regions Region=REGION` ($0.40 a month; take it back before a destroy)"
)
LINES = {
    "versions": Line("each version pinned, and one on all hosts", servers.versions, "`tandem pin`, then `pulumi up`"),
    "prompts": Line("max-model-len as prompts are", load.prompts, _PROMPTS),
    "utilization": Line(
        f"at most {load.FULL} % of the KV cache",
        load.utilization,
        "more servers where it is full (fleet.hosts, scaling.maxReplicas), else some traffic",
    ),
    "probes": Line("each server in service, by a token", servers.probes, _AGAIN),
    "alarms": Line(
        "somebody who hears each", account.alarms, f"open the link of AWS's message; {_AGAIN} sends it again"
    ),
    "limits": Line("a limit for each client and address", account.limits, _LIMITS),
    "load test": Line(
        "one in the last 30 days", account.load_test, "`tandem load {stack} --rate REQUESTS_A_SECOND`, at your peak"
    ),
    "keys": Line("a copy of issued keys' digests", account.keys, _COPY),
    "budget": Line("a budget that tells somebody, or a cap", account.budget, f"{_SET}costGuard.monthlyBudgetUsd USD`"),
    "canary": Line(
        "somebody who asks while no client does", account.canary, f"{_SET}canary.gate true`, then `pulumi up`"
    ),
    "logs": Line("lines where logs.sendTo points", logs.delivery, _AGAIN),
    "zones": Line(
        "servers in two zones",
        servers.zones,
        "network.zones, or network.existing.privateSubnetIds; `tandem doctor {stack}`",
    ),
    "N+1": Line("one server more than the load needs", servers.spare, f"{_SET}fleet.spareHosts 1`, then `pulumi up`"),
    "certificate": Line("one that clients trust", account.certificate, _AGAIN),
    "expiry": Line("an end, where it is ephemeral", account.expiry, f"{_SET}costGuard.expiresAfter 4h`, `pulumi up`"),
}
"""By name, in the order in which they are shown."""

_WORKERS = 8


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was measured of one line.

    Attributes:
        state: met, not met, not known; or accepted, where the caller answers for it.
        mends: empty where it is met.
    """

    line: str
    state: str
    value: str
    wants: str
    mends: str = ""

    @property
    def holds(self) -> bool:
        return self.state in ("met", "accepted")

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def examine(visit: Visit, accepted: Collection[str] = ()) -> list[Found]:
    """Measures all lines, side by side."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        seen = pool.map(lambda line: _seen(line, visit), LINES.values())
        return [_found(name, one, visit, name in accepted) for name, one in zip(LINES, seen, strict=True)]


def _seen(line: Line, visit: Visit) -> Seen:
    """A measure that AWS refuses has not seen that all is well."""
    try:
        return line.measure(visit)
    except AwsError as error:
        problem = problem_of(error, "")
    except UserError as error:
        problem = error.problems[0]
    said = f" ({problem.value})" if problem.value else ""
    return Unmet(f"{problem.wrong}{said}", problem.fix, known=False)


def _found(name: str, seen: Seen, visit: Visit, accepted: bool) -> Found:
    line = LINES[name]
    if isinstance(seen, str):
        return Found(line=name, state="met", value=seen, wants=line.wants)
    unmet = isinstance(seen, Unmet)
    state = "accepted" if accepted else "not met" if unmet and seen.known else "not known"
    mends = (unmet and seen.mends) or line.mends.format(stack=visit.stack, region=visit.region)
    return Found(line=name, state=state, value=seen.why, wants=line.wants, mends=mends)
