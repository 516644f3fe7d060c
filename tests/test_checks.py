"""What stops a stack before a resource is declared, and what it is warned of: sizing in the program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tandem import checks, pins
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.errors import Problem, UserError
from tandem.files import PROJECT
from tandem.ops.serving_options import speculation
from tandem.ops.sizing import reasons
from tandem.settings import Settings
from tandem.sizing.fits import verdict
from tandem.sizing.gpus import gpu_of
from tandem.sizing.known import catalog_shape
from tandem.sizing.memory import size
from tandem.sizing.serving import Serving
from tests.sizing.configs import llama


@pytest.fixture
def warned() -> list[str]:
    """What the program warns of."""
    return []


def settings(*types: str, **inference: Any) -> Settings:
    return Settings.model_validate(
        {"region": "us-east-1", "fleet": {"instanceTypes": list(types)}, "inference": inference}
    )


def test_what_does_not_fit_is_refused_in_the_words_of_tandem_size() -> None:
    with pytest.raises(UserError) as refused:
        checks.check(settings("g6.12xlarge", model="Qwen/Qwen3-32B"), pins.load(), "dev", print)
    [problem] = refused.value.problems
    l4 = INSTANCE_TYPES["g6.12xlarge"]
    serving = Serving(gpu_memory_utilization=None)
    [words] = reasons(verdict(size(catalog_shape("Qwen/Qwen3-32B"), serving, gpu_of(l4)[0])))
    assert problem.key == "inference.model"
    assert problem.wrong.removeprefix("g6.12xlarge: ") in words
    assert "the cheapest type that works is g7e.12xlarge ($8.29 an hour" in problem.fix


def test_guesses_are_sized_as_tandem_size_does() -> None:
    stack = settings("g6.12xlarge", speculation={"tokens": 6})
    serving = Serving(gpu_memory_utilization=None, max_num_seqs=None, speculation=speculation(6, None))
    found = size(catalog_shape("Qwen/Qwen3-8B"), serving, gpu_of(INSTANCE_TYPES["g6.12xlarge"])[0])
    assert checks.size(stack).kv_cache_tokens == found.kv_cache_tokens
    assert checks.size(settings("g6.12xlarge")).kv_cache_tokens != found.kv_cache_tokens


def test_guesses_of_a_full_batch_fit_into_a_step_beside_adapters() -> None:
    """vLLM 0.32: `max_num_batched_tokens < max_num_seqs * (num_speculative_tokens + 1)` ends a start with adapters."""
    adapters = {"tuned": {"model": "someone/adapter", "rank": 16}}
    for tokens, named, found in ((7, None, []), (8, None, [8]), (8, 2304, []), (8, 2303, [8])):
        stack = settings("g6.12xlarge", adapters=adapters, speculation={"tokens": tokens}, maxNumBatchedTokens=named)
        said = [
            one for one in checks.problems(stack, pins.load(), "dev", checks.size(stack)) if "adapters" in one.wrong
        ]
        assert [one.value for one in said] == found
    alone = settings("g6.12xlarge", speculation={"tokens": 64})
    assert checks.problems(alone, pins.load(), "dev", checks.size(alone)) == []


CANARY = {"canary": {"suite": "canary/missing.yaml"}}
TUNED = {"tuned": {"model": "someone/adapter", "rank": 16}}
SLOW = {"objectives": {"betweenTokensSeconds": 0.01}}
LONG = {"inference": {"model": "Qwen/Qwen3-8B", "maxModelLen": 100_000}}


@pytest.mark.parametrize(
    ("stack", "values", "expected"),
    [
        ("Dev", {}, {"stack_name_fits": {"stack"}}),
        (
            "dev",
            {"models": {"dev": {"hostName": "s.example.com", "inference": {"model": "Qwen/Qwen3-8B"}}}},
            {"model_names_fit": {"models.dev"}},
        ),
        ("dev", LONG, {"model_fits": {"inference.maxModelLen"}}),
        ("dev", SLOW, {"objectives_are_possible": {"objectives.betweenTokensSeconds"}}),
        ("dev", CANARY, {"canary_can_be_asked": {"canary.suite"}}),
        (
            "dev",
            {"models": {"small": {"hostName": "s.example.com", **LONG, **SLOW, **CANARY}}},
            {
                "model_fits": {"models.small.inference.maxModelLen"},
                "objectives_are_possible": {"models.small.objectives.betweenTokensSeconds"},
                "canary_can_be_asked": {"models.small.canary.suite"},
            },
        ),
        (
            "dev",
            {"inference": {"adapters": TUNED, "speculation": {"tokens": 8}}},
            {
                "guesses_fit_beside_adapters": {"inference.speculation.tokens"},
                "what_lies_beside_is_pinned": {"inference.adapters.tuned.model"},
            },
        ),
        (
            "dev",
            {"inference": {"model": "someone/something", "trustRemoteCode": True}},
            {"code_of_models_is_pinned": {"inference.trustRemoteCode"}},
        ),
    ],
)
def test_each_problem_has_its_rules_name_and_the_settings_key(
    stack: str, values: dict[str, Any], expected: dict[str, set[str]]
) -> None:
    """By the name a pipeline tells one from another; under the key a person finds the line to change."""
    base = {"region": "us-east-1", "fleet": {"instanceTypes": ["g6.12xlarge"], "maxHosts": 4}}
    found = Settings.model_validate(base | values)
    said = checks.problems(found, pins.load(), stack, checks.size(found))
    assert {code: {one.key for one in said if one.code == code} for code in {one.code for one in said}} == expected


def test_what_pins_break_has_its_rules_name() -> None:
    text, crd = (
        (PROJECT / "images/pins.toml").read_text(),
        'karpenter-crd = { repository = "oci://public.ecr.aws/karpenter"',
    )
    broken = text.replace("branch = 580 ", "branch = 570 ").replace(f'{crd}, version = ""', f'{crd}, version = "1.9.0"')
    found = Settings.model_validate({"region": "us-east-1", "platform": "eks", "requirePins": True})
    said = checks.problems(found, pins.parse(broken), "dev", checks.size(found))
    assert {one.code for one in said} == {
        "driver_runs_the_image",
        "chart_and_definitions_agree",
        "versions_are_pinned",
    }


def test_pods_of_mixed_nodes_are_sized_with_the_batch_that_all_of_them_are_told() -> None:
    """Unless told, vLLM takes 256 requests at once on A100 and 1024 on H100; pods are told the one, each host takes its
    own."""
    tokens = {}
    for platform in ("ec2", "eks"):
        fleet = {"instanceTypes": ["p4de.24xlarge", "p5.48xlarge"], "maxHosts": 4}
        values = {"region": "us-east-1", "platform": platform, "fleet": fleet}
        tokens[platform] = checks.size(Settings.model_validate(values)).kv_cache_tokens
    assert tokens == {"ec2": 962624, "eks": 974800}


def test_a_draft_is_held_against_the_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "PROJECT", tmp_path)
    (tmp_path / "draft.json").write_text(json.dumps(llama(vocab_size=32000, max_position_embeddings=40960)))
    draft = {"method": "draft", "model": "acme/draft", "modelConfigFile": "draft.json", "tokens": 3}
    (problem,) = checks.size(settings("g6.12xlarge", model="Qwen/Qwen3-8B", speculation=draft)).problems
    assert (problem.key, problem.value, problem.allowed) == ("inference.speculation.model", 32000, "151936")


@pytest.mark.parametrize("platform", ["ec2", "eks"])
def test_a_type_that_nobody_listed_is_not_sized_and_no_error(platform: str) -> None:
    """AWS has new ones each quarter."""
    values = {"region": "us-east-1", "platform": platform, "fleet": {"instanceTypes": ["p9.48xlarge"], "maxHosts": 4}}
    assert checks.size(Settings.model_validate(values)).sized is False


def test_every_problem_is_said_at_once() -> None:
    stack = settings("g6.12xlarge", model="Qwen/Qwen3-8B", maxModelLen=100_000, maxNumSeqs=512, maxNumBatchedTokens=256)
    with pytest.raises(UserError) as refused:
        checks.check(stack, pins.load(), "dev", print)
    keys = {problem.key for problem in refused.value.problems}
    assert keys == {"inference.maxModelLen", "inference.maxNumBatchedTokens"}


def test_what_is_tight_is_warned_about(warned: list[str]) -> None:
    plan = checks.check(
        settings("g6e.12xlarge", model="Qwen/Qwen3-32B", maxModelLen=32768), pins.load(), "dev", warned.append
    )
    assert plan.max_concurrency == 2.53
    assert any(text.startswith("g6e.12xlarge: only 2.5 requests of 32768 tokens fit at once") for text in warned)


def test_a_model_that_nobody_listed_is_warned_about(warned: list[str]) -> None:
    assert (
        checks.check(settings("g6.12xlarge", model="someone/something"), pins.load(), "dev", warned.append).sized
        is False
    )
    assert any("inference.modelConfigFile names its config.json" in text for text in warned)


def test_its_config_in_the_project_sizes_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, warned: list[str]) -> None:
    monkeypatch.setattr(checks, "PROJECT", tmp_path)
    stack = settings("g6.12xlarge", model="someone/something", modelConfigFile="models/config.json")
    with pytest.raises(UserError, match="there is no such file"):
        checks.check(stack, pins.load(), "dev", warned.append)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/config.json").write_text(json.dumps(llama()))
    plan = checks.check(stack, pins.load(), "dev", warned.append)
    assert (plan.sized, plan.max_model_len) == (True, 4096)
    assert not [text for text in warned if "was not sized" in text]


@pytest.mark.parametrize("path", ["../config.json", "/etc/config.json", "models/x.yaml", "a/../../b.json"])
def test_a_config_outside_the_project_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="modelConfigFile"):
        settings("g6.12xlarge", modelConfigFile=path)


def test_what_fits_with_room_is_silent_about_memory(warned: list[str]) -> None:
    plan = checks.check(settings("g6.12xlarge", model="Qwen/Qwen3-8B"), pins.load(), "dev", warned.append)
    assert plan.kv_cache_tokens == 168704
    assert [text for text in warned if "tokens" in text] == []


def test_a_replica_over_two_hosts_is_sized_and_refused_where_nothing_keeps_them_together(warned: list[str]) -> None:
    stack = settings("g6e.12xlarge", model="Qwen/Qwen3-32B", maxModelLen=32768, pipelineParallelSize=2)
    with pytest.raises(UserError, match="an Auto Scaling group starts and replaces hosts one by one") as refused:
        checks.check(stack, pins.load(), "dev", warned.append)
    assert "platform eks, which keeps the pods of one replica together" in refused.value.problems[0].fix
    on_eks = checks.size(stack.model_copy(update={"platform": "eks"}))
    assert on_eks.fits
    assert on_eks.kv_cache_tokens == 422112  # a stage has half the weights: five times the 83,008 of one host
    assert warned == []


@pytest.mark.parametrize("name", ["main", "prod"])
def test_a_further_model_is_not_called_as_the_main_one_is(name: str) -> None:
    further = {"hostName": "small.example.com", "inference": {"model": "Qwen/Qwen3-8B"}, "scaling": {"maxReplicas": 2}}
    stack = Settings.model_validate(
        {
            "region": "us-east-1",
            "platform": "eks",
            "fleet": {"maxHosts": 4},
            "inference": {"model": "Qwen/Qwen3-8B"},
            "loadBalancer": {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"},
            "models": {name: further},
        }
    )
    with pytest.raises(UserError) as refused:
        checks.check(stack, pins.load(), "prod", print)
    assert [problem.key for problem in refused.value.problems] == [f"models.{name}"]


def test_the_revision_of_each_model_is_a_pin() -> None:
    further = {"hostName": "small.example.com", "inference": {"model": "acme/small"}, "scaling": {"maxReplicas": 2}}
    stack = Settings.model_validate(
        {
            "region": "us-east-1",
            "platform": "eks",
            "fleet": {"maxHosts": 4, "machineImageId": "ami-0123456789abcdef0"},
            "loadBalancer": {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"},
            "models": {"small": further},
        }
    )
    keys = missing(stack)
    assert 'models."acme/small".revision' in keys
    assert not any(key.startswith("kubernetes.nodes") for key in keys)


def missing(stack: Settings) -> set[str]:
    return {problem.key.removeprefix("images/pins.toml: ") for problem in checks.missing_pins(stack, pins.load())}


def test_node_groups_need_the_release_of_their_image_and_karpenter_its_id() -> None:
    values = {"region": "us-east-1", "platform": "eks", "fleet": {"maxHosts": 4}}
    managed = {"fleet": {"hosts": 2}, "nodePool": {"provisioner": "managed"}}

    def nodes(**changes: Any) -> set[str]:
        keys = missing(Settings.model_validate(values | changes))
        return {key for key in keys if key.startswith(("kubernetes.nodes", "kubernetes.releases"))}

    system = "kubernetes.releases.system.version"
    assert nodes() == {"kubernetes.nodes.al2023.regions.us-east-1.id", system}
    assert nodes(**managed) == {"kubernetes.releases.al2023.version", system}


def test_a_further_model_that_nobody_listed_is_warned_about_by_its_name() -> None:
    further = {"hostName": "small.example.com", "inference": {"model": "acme/small"}, "scaling": {"maxReplicas": 2}}
    stack = Settings.model_validate(
        {
            "region": "us-east-1",
            "platform": "eks",
            "inference": {"model": "Qwen/Qwen3-8B"},
            "loadBalancer": {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"},
            "models": {"small": further},
        }
    )
    found = checks.warnings(stack, pins.load(), checks.size(stack))
    assert [text.partition(" ")[0] for text in found if "was not sized" in text] == ["models.small:"]


def test_no_guard_ends_what_a_reservation_costs() -> None:
    reserved = {"capacityReservations": {"byZone": {"us-east-1a": "cr-" + "0" * 17}}}
    for fleet, guard, expected in (
        (reserved, {"maxUsd": 500, "businessHours": {}}, "costGuard.maxUsd, costGuard.businessHours: ends hosts; "),
        (reserved, {"alertEmails": ["a@example.com"]}, ""),
        ({}, {"maxUsd": 500}, ""),
    ):
        stack = Settings.model_validate({"region": "us-east-1", "fleet": fleet, "costGuard": guard})
        found = [text for text in checks.warnings(stack, pins.load(), checks.size(stack)) if "paid for until" in text]
        assert [text.partition("fleet.")[0] for text in found] == ([expected] if expected else [])


@pytest.mark.parametrize(("platform", "image"), [("ec2", "machine_image.ubuntu"), ("eks", "kubernetes.nodes.al2023")])
def test_an_empty_pin_is_of_the_stacks_region_and_a_command_looks_it_up(platform: str, image: str) -> None:
    stack = Settings.model_validate({"region": "eu-west-1", "platform": platform})
    assert {key for key in missing(stack) if ".regions." in key} == {f"{image}.regions.eu-west-1.id"}
    [warning] = [text for text in checks.warnings(stack, pins.load(), checks.size(stack)) if "not pinned" in text]
    named = [problem.key.removeprefix("images/pins.toml: ") for problem in checks.missing_pins(stack, pins.load())]
    command = {"ec2": "tandem pin --region eu-west-1", "eks": "tandem pin --kubernetes"}[platform]
    assert f": {', '.join(named[:5])} and {len(named) - 5} more; `{command}` looks them up" in warning


@pytest.mark.parametrize(("count", "said"), [(5, "p3, p4; `"), (6, "p3, p4 and 1 more; `")])
def test_five_empty_pins_are_named_and_the_others_counted(
    count: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = [Problem(key=f"images/pins.toml: p{number}", wrong="is empty", value="") for number in range(count)]
    monkeypatch.setattr(checks, "missing_pins", lambda *_: empty)
    stack = settings("g6.12xlarge")
    (warning,) = (one for one in checks.warnings(stack, pins.load(), checks.size(stack)) if "not pinned" in one)
    assert said in warning


def test_hosts_of_media_for_a_model_that_reads_text_are_warned_of() -> None:
    fetches = {"model": "Qwen/Qwen3-8B", "mediaDomains": ["img.example.com"]}
    sees = {"hostName": "sees.example.com", "inference": fetches | {"model": "Qwen/Qwen3-VL-8B-Instruct"}}
    reads = {"hostName": "reads.example.com", "inference": fetches}
    values = {"region": "us-east-1", "inference": {"model": "Qwen/Qwen3-8B"}, "models": {"sees": sees, "reads": reads}}
    stack = Settings.model_validate(values)
    found = [one for one in checks.warnings(stack, pins.load(), checks.size(stack)) if "mediaDomains" in one]
    assert found == ["models.reads.inference.mediaDomains has no effect: Qwen/Qwen3-8B reads text alone"]


def test_what_does_not_fit_and_an_empty_pin_are_said_at_once_each_model_by_its_key() -> None:
    long = {"model": "Qwen/Qwen3-8B", "maxModelLen": 100_000}
    stack = Settings.model_validate(
        {
            "region": "us-east-1",
            "platform": "eks",
            "requirePins": True,
            "fleet": {"instanceTypes": ["g6.12xlarge"], "maxHosts": 4},
            "inference": long,
            "models": {"small": {"hostName": "small.example.com", "inference": long}},
        }
    )
    keys = [problem.key for problem in checks.problems(stack, pins.load(), "dev", checks.size(stack))]
    assert keys[:2] == ["inference.maxModelLen", "models.small.inference.maxModelLen"]
    assert "images/pins.toml: vllm.digest" in keys[2:]
