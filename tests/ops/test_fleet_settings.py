"""What `tandem size` prints to paste: each block loads, passes tandem's own checks, and plans what was promised."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from tandem import checks
from tandem.catalog.instances import INSTANCE_TYPES, OFFERED
from tandem.catalog.models import MODELS
from tandem.costs import uses_spot
from tandem.loading import load_stack_file
from tandem.ops.fleet_settings import PLATFORMS, Named, Stack, named, not_settings, settings_of, stacks
from tandem.ops.serving_options import speculation
from tandem.pins import load as load_pins
from tandem.sizing.fleet import SIZES, Demand, Fleet, fleets
from tandem.sizing.known import catalog_shape
from tandem.sizing.reading import with_quantization
from tandem.sizing.serving import Serving
from tandem.sizing.throughput import Load

pytestmark = pytest.mark.sweep

FIRST_TOKENS, BETWEEN_TOKENS = (None, 0.1, 0.3, 2, 7, 90), (None, 0.03, 0.06, 0.15, 0.4, 2)
REQUESTS, STEPS = (None, None, 1, 8, 31, 300, 2000, 4096), (None, None, 512, 3000, 131_072)


def found(model: str, tp: int, seed: str) -> tuple[Fleet, ...]:
    """Fleets for a load, objectives and a batch by chance, some of them far from what anybody asks for."""
    chance = random.Random(seed)
    shape = catalog_shape(model)
    prompt, answer = (int(10 ** chance.uniform(0, most)) for most in (4.2, 3.5))
    demand = Demand(
        rate=10 ** chance.uniform(-3, 3.5),
        load=Load(prompt_tokens=prompt, answer_tokens=answer),
        first_token=chance.choice(FIRST_TOKENS),
        between_tokens=chance.choice(BETWEEN_TOKENS),
    )
    serving = Serving(
        gpu_memory_utilization=None,
        max_model_len=max(prompt + answer, 128),
        max_num_seqs=chance.choice(REQUESTS),
        max_num_batched_tokens=chance.choice(STEPS),
        kv_cache_dtype=chance.choice(("auto", "fp8")),
        speculation=chance.choice((None, speculation(5, None))),
    )
    tried = (None,) if shape.quantization else (None, "fp8")
    shapes = [(one, with_quantization(shape, one), ()) for one in tried]
    spot = dict.fromkeys(INSTANCE_TYPES, 1.0) if chance.random() < 0.5 else {}
    return fleets(shapes, serving, demand, OFFERED, (tp,), spot).fleets


def stack_of(document: Any, path: Path) -> checks.Settings:
    path.write_text(yaml.safe_dump(document))
    return load_stack_file(path)


def held(stack: Stack, path: Path) -> None:
    sizing = stack.fleet.way.sizing
    for document in stack.settings.values():
        settings = stack_of(document, path)
        planned = checks.size(settings)
        assert checks.problems(settings, load_pins(), "x1", planned) == []
        assert planned.kv_cache_tokens == sizing.kv_cache_tokens
        assert planned.max_num_batched_tokens in (None, sizing.batch.tokens)
        assert settings.max_group_size >= stack.fleet.hosts
        assert uses_spot(settings) is (stack.fleet.spot_usd is not None)


@pytest.mark.parametrize("model", MODELS)
def test_what_is_printed_holds_on_both_platforms(model: str, tmp_path: Path) -> None:
    for tp in SIZES:
        some, none = stacks(found(model, tp, f"{model} {tp}"), Named(inference={"model": model}), "eu-west-1")
        assert none == ()
        for stack in some:
            held(stack, tmp_path / "Pulumi.x.yaml")
            assert "ec2" in stack.settings
            many = stack.fleet.replicas > 400
            assert [problem.key for problem in stack.refused.values()] == ["scaling.minReplicas"] * many


def one_fleet(**serving: Any) -> Fleet:
    demand = Demand(rate=1, load=Load())
    how = Serving(gpu_memory_utilization=None, max_model_len=4096, **serving)
    shapes = [(None, catalog_shape("Qwen/Qwen3-8B"), ())]
    return fleets(shapes, how, demand, [INSTANCE_TYPES["g6.12xlarge"]], (2,)).fleets[0]


def test_what_no_platform_takes_is_no_fleet() -> None:
    some, (lack,) = stacks([one_fleet(max_num_seqs=5000, max_num_batched_tokens=5000)], named("a/b", None), "eu-west-1")
    assert some == ()
    assert lack.name == "g6.12xlarge"
    assert "its settings are refused: inference.maxNumSeqs is not a valid value; is 5000" in lack.why
    assert lack.fix


def test_pods_of_small_batches_scale_by_them() -> None:
    fleet, model = one_fleet(max_num_seqs=8), named("Qwen/Qwen3-8B", None)
    (stack,), _ = stacks([fleet], model, "eu-west-1")
    assert stack.settings["eks"]["config"]["tandem:scaling"]["runningRequestsPerReplica"] == 8
    usual = settings_of(one_fleet(), model, "eu-west-1", "eks")["config"]["tandem:scaling"]
    assert "runningRequestsPerReplica" not in usual


def test_of_a_model_that_a_stack_does_not_size_all_is_written_that_was_chosen(tmp_path: Path) -> None:
    fleet = one_fleet()
    for platform in PLATFORMS:
        document = settings_of(fleet, named("other/model", None), "eu-west-1", platform)
        planned = checks.size(stack_of(document, tmp_path / "Pulumi.x.yaml"))
        assert not planned.sized
        assert planned.gpu_memory_utilization == fleet.way.sizing.utilization
        assert planned.max_num_batched_tokens == fleet.way.sizing.batch.tokens


def test_a_file_is_named_where_settings_take_it_else_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tandem.ops.fleet_settings.PROJECT", tmp_path)
    for inside in ("config.json", "models/own.json"):
        assert named(None, tmp_path / inside).inference["modelConfigFile"] == inside
        assert named(None, tmp_path / inside).copy is None
    for outside in (tmp_path / "a b.json", tmp_path / "config.txt", tmp_path.parent / "config.json"):
        assert named(None, outside).inference["modelConfigFile"] == "models/config.json"
        assert named(None, outside).copy == outside
    assert named(None, tmp_path).inference["modelConfigFile"] == "config.json"


@pytest.mark.parametrize(
    ("region", "asked", "flag"),
    [
        ("us-gov-west-1", {}, "--region"),
        ("us-east-1", {"maxNumSeqs": 5000}, "--max-num-seqs"),
        ("us-east-1", {"maxNumBatchedTokens": 200_000}, "--max-num-batched-tokens"),
        ("us-east-1", {"kvCacheDtype": "fp8_e5m2"}, "--kv-cache-dtype"),
        ("us-east-1", {"gpuMemoryUtilization": 0.99}, "--gpu-memory-utilization"),
        ("us-east-1", {"maxModelLen": 100}, "--max-model-len"),
        ("us-east-1", {"quantization": "modelopt"}, "--quantization"),
        ("us-east-1", {"model": "gpt2"}, "MODEL"),
    ],
)
def test_an_option_of_which_there_is_no_setting_is_refused(region: str, asked: dict[str, Any], flag: str) -> None:
    (problem,) = not_settings(region, asked)
    assert problem.key == flag
    assert "as a stack's " in problem.wrong
    assert f"choose another {flag}" in problem.fix


def test_options_of_which_there_are_settings_are_not() -> None:
    asked = {"model": "a/b", "quantization": "fp8", "maxNumSeqs": None, "maxModelLen": 4096}
    assert list(not_settings("eu-west-1", asked)) == []
