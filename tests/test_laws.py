"""What holds for all settings: ranges of subnets, timeouts, costs. By hypothesis, with the same settings each run."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Network
from itertools import combinations
from typing import Any

from hypothesis import assume, given
from hypothesis import settings as runs
from hypothesis import strategies as st

from infra.kubernetes.workload import InferenceService, servers
from tandem import costs, lifetime, pins, rules
from tandem.ops.cost.parts import Use, catalog, parts, share_of_week
from tandem.serving.engine import engine, timeouts
from tandem.serving.vllm import vllm_arguments
from tandem.settings import Settings
from tandem.subnets import Egress, nat_zones, plan_subnets, public_range
from tandem.timing import HOOK_SECONDS

law = runs(derandomize=True, database=None, deadline=None, max_examples=60)
REGION = "us-east-1"
EGRESS: st.SearchStrategy[Egress] = st.sampled_from(["natPerZone", "singleNat", "publicHosts"])
ZONES = st.lists(st.sampled_from("abcdefgh").map(REGION.__add__), min_size=2, max_size=4, unique=True)
TYPES = st.lists(
    st.sampled_from(["g5.12xlarge", "g6.12xlarge", "g6e.12xlarge", "p5.48xlarge"]), min_size=1, unique=True
)


@st.composite
def networks(draw: st.DrawFn) -> IPv4Network:
    """What network.cidrBlock may be, within 10.0.0.0/8."""
    prefix = draw(st.integers(16, 22))
    number = draw(st.integers(0, 2 ** (prefix - 8) - 1))
    return IPv4Network(((10 << 24) + (number << (32 - prefix)), prefix))


@st.composite
def stacks(draw: st.DrawFn, **sections: Any) -> dict[str, Any]:
    """Settings of a stack on hosts or nodes."""
    hosts, spare = draw(st.integers(0, 40)), draw(st.integers(0, 20))
    fleet = {
        "hosts": hosts,
        "spareHosts": spare,
        "maxHosts": draw(st.none() | st.integers(max(1, hosts + spare), 80)),
        "instanceTypes": draw(TYPES),
        "onDemandBase": draw(st.integers(0, 20)),
        "onDemandPercentage": draw(st.integers(0, 100)),
        "rollout": draw(st.sampled_from(["launchFirst", "terminateFirst"])),
    }
    network = {"zones": draw(ZONES), "egress": draw(EGRESS)}
    platform = draw(st.sampled_from([{}, {"platform": "eks", "nodePool": {"provisioner": "managed"}}]))
    return {"region": REGION, **platform, "fleet": fleet, "network": network} | sections


def broken(values: dict[str, Any], *keys: str) -> bool:
    """Whether a rule refuses one of these settings."""
    return any(problem.key.startswith(keys) for problem in rules.problems(Settings.model_validate(values)))


def changed(values: dict[str, Any], section: str, **more: Any) -> Settings:
    return Settings.model_validate(values | {section: values.get(section, {}) | more})


# -- subnets


@law
@given(networks(), ZONES, EGRESS)
def test_subnets_are_in_the_vpc_and_apart_wherever_no_rule_refuses_the_zones(
    vpc: IPv4Network, zones: list[str], egress: Egress
) -> None:
    subnets = plan_subnets(vpc, zones, egress)
    ranges = [IPv4Network(one.cidr_block) for one in subnets]
    apart = not any(one.overlaps(other) for one, other in combinations(ranges, 2))
    assert apart is not broken({"region": REGION, "network": {"zones": zones}}, "network.zones")
    assert all(one.subnet_of(vpc) for one in ranges)
    assert [one.subnet_of(public_range(vpc)) for one in ranges] == [one.public for one in subnets]
    assert {one.zone for one in subnets if one.public} == set(zones)
    assert {one.zone for one in subnets if not one.public} == (set() if egress == "publicHosts" else set(zones))


@law
@given(networks(), ZONES, st.randoms(use_true_random=False), EGRESS)
def test_a_zone_keeps_its_ranges_when_others_come_or_go(
    vpc: IPv4Network, zones: list[str], chance: Any, egress: Egress
) -> None:
    fewer = chance.sample(zones, chance.randint(1, len(zones)))
    assert set(plan_subnets(vpc, fewer, egress)) <= set(plan_subnets(vpc, zones, egress))


@law
@given(ZONES, EGRESS)
def test_no_nat_is_where_no_zone_is_and_each_private_subnet_has_one(zones: list[str], egress: Egress) -> None:
    nats = nat_zones(zones, egress)
    assert set(nats) <= set(zones)
    assert bool(nats) is any(not one.public for one in plan_subnets(IPv4Network("10.0.0.0/16"), zones, egress))


# -- timeouts

SPANS = st.integers(-20, 60)


@st.composite
def chains(draw: st.DrawFn) -> dict[str, int]:
    """Timeouts around those that fit, on both sides."""
    longest = draw(st.integers(10, 3300))
    client = longest + draw(SPANS)
    names = ("loadBalancerIdleSeconds", "edgeKeepaliveSeconds", "serverKeepaliveSeconds")
    chain = {"longestGenerationSeconds": longest, "clientSeconds": client}
    for name in names:
        client += draw(SPANS)
        chain[name] = client
    delay = longest + draw(SPANS)
    chain |= {"deregistrationDelaySeconds": delay, "terminationGraceSeconds": delay + draw(st.integers(-20, 3600))}
    assume(all(10 <= value <= 3600 for value in chain.values()))
    assume(chain["terminationGraceSeconds"] >= 30)
    return chain


@law
@given(chains())
def test_each_timeout_is_below_the_one_around_it_wherever_no_rule_refuses_them(chain: dict[str, int]) -> None:
    values = {"region": REGION, "timeouts": chain}
    settings = Settings.model_validate(values)
    found, idle = timeouts(settings), chain["loadBalancerIdleSeconds"]
    grows = chain["clientSeconds"] < idle < found.edge_keepalive < found.server_keepalive
    answers = chain["longestGenerationSeconds"] <= min(chain["clientSeconds"], found.deregistration_delay)
    leaves = found.deregistration_delay <= found.termination_grace < HOOK_SECONDS
    assert (grows and answers and leaves) is not broken(values, "timeouts.")


def service_of(settings: Settings) -> InferenceService:
    """With what the settings say of time."""
    served = engine(settings, settings.inference, pins.load(), None)
    return InferenceService(
        name="main",
        image="vllm",
        edge_image="nginx",
        nginx="",
        service_account="inference",
        arguments=vllm_arguments(served, timeouts(settings)),
        model="m",
        revision=None,
        served_model_name="m",
        weights="nvme",
        minimum_driver_branch=580,
        gpus=2,
        replicas=1,
        cpu=1,
        memory_gib=1,
        target_group_arn="arn",
        keys_secret_arns=["arn"],
        termination_grace_seconds=settings.timeouts.termination_grace_seconds,
    )


@law
@given(chains())
def test_a_pod_has_time_for_all_that_it_does_when_it_leaves(chain: dict[str, int]) -> None:
    values = {"region": REGION, "platform": "eks", "timeouts": chain}
    assume(not broken(values, "timeouts."))
    pod = servers(service_of(Settings.model_validate(values)))["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    waits = server["lifecycle"]["preStop"]["sleep"]["seconds"]
    ends = int(server["command"][server["command"].index("--shutdown-timeout") + 1])
    assert ends >= chain["longestGenerationSeconds"]
    assert waits + ends < pod["terminationGracePeriodSeconds"]


# -- costs


def month(settings: Settings) -> float:
    """As `tandem cost` adds it up."""
    return sum(part.usd_per_month for part in parts(settings, catalog(settings), Use()))


@law
@given(stacks(), st.integers(0, 40))
def test_more_hosts_never_cost_less(values: dict[str, Any], more: int) -> None:
    fewer = Settings.model_validate(values)
    fleet, most = values["fleet"], values["fleet"]["maxHosts"]
    larger = changed(values, "fleet", hosts=fleet["hosts"] + more, maxHosts=None if most is None else most + more)
    assert costs.usd_per_hour(fewer) <= costs.usd_per_hour(larger)
    assert costs.max_usd_per_hour(fewer) <= costs.max_usd_per_hour(larger)
    assert month(fewer) <= month(larger)
    if more:
        assert costs.usd_per_hour(fewer) < costs.usd_per_hour(larger)


@law
@given(stacks())
def test_the_most_is_no_less_than_what_runs_at_first(values: dict[str, Any]) -> None:
    settings = Settings.model_validate(values)
    assert costs.usd_per_hour(settings) <= costs.max_usd_per_hour(settings)


@law
@given(stacks(), st.integers(0, 140))
def test_each_host_is_bought_in_one_way(values: dict[str, Any], hosts: int) -> None:
    fleet = values["fleet"]
    found = costs.hosts_by_purchase(Settings.model_validate(values), hosts)
    assert found["on demand"] + found["spot"] == hosts
    assert found["on demand"] >= min(hosts, fleet["onDemandBase"])
    assert 0 <= found["on demand"] - (
        min(hosts, fleet["onDemandBase"]) + max(0, hosts - fleet["onDemandBase"]) * fleet["onDemandPercentage"] / 100
    ) < 1  # fmt: skip


@law
@given(stacks(), st.integers(0, 10_000), st.integers(0, 10_000))
def test_more_time_never_costs_less(values: dict[str, Any], first: int, more: int) -> None:
    settings = Settings.model_validate(values)
    early, late = (lifetime.usd_at_most(settings, timedelta(minutes=first + one)) for one in (0, more))
    assert early <= late
    assert (early < late) is (more > 0)


@law
@given(stacks(), st.integers(1, 1_000_000))
def test_within_the_life_that_a_cap_gives_the_cap_holds_and_a_minute_more_breaks_it(
    values: dict[str, Any], cap: int
) -> None:
    settings = changed(values, "costGuard", maxUsd=cap)
    life = lifetime.life_within_cap(settings)
    assert life is not None
    if life:
        assert lifetime.usd_at_most(settings, life) <= cap * (1 + 1e-9)
    assert lifetime.usd_at_most(settings, life + timedelta(minutes=1)) > cap * (1 - 1e-9)


@law
@given(st.tuples(*[st.integers(0, 23)] * 4))
def test_longer_hours_are_a_larger_share_of_the_week(hours: tuple[int, ...]) -> None:
    first, second, third, fourth = sorted(hours)
    assume(second < third)

    def share(start: int, stop: int, days: str) -> float:
        guard = {"businessHours": {"start": f"{start:02}:00", "stop": f"{stop:02}:00", "days": days}}
        return share_of_week(Settings.model_validate({"region": REGION, "costGuard": guard}).cost_guard.business_hours)

    assert 0 < share(second, third, "MON-FRI") <= share(first, fourth, "MON-FRI") < share(first, fourth, "MON-SAT")
    assert share(first, fourth, "MON-SAT") < share(first, fourth, "*") < share_of_week(None) == 1
