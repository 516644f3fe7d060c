"""What the settings of a stack come to: the call that settings validation makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tandem.errors import Problem
from tandem.sizing.plan import Plan, plan
from tandem.sizing.serving import Speculation
from tandem.tasks import Task
from tests.sizing.configs import llama


def planned(**changes: Any) -> Plan:
    return plan(**{"model": "Qwen/Qwen3-8B", "instance_types": ["g6.12xlarge"], **changes})


def only(found: Plan) -> Problem:
    assert not found.fits
    assert len(found.problems) == 1
    return found.problems[0]


def test_the_default_stack_fits_with_room_for_four_longest_requests() -> None:
    found = planned()
    assert (found.fits, found.sized, found.warnings) == (True, True, ())
    assert found.max_model_len == 40960
    assert found.gpu_memory_utilization == 0.958
    assert found.kv_cache_tokens == 168704
    assert found.max_concurrency == 4.12


def test_what_does_not_fit_is_refused_with_figures_and_the_nearest_choice() -> None:
    problem = only(planned(model="Qwen/Qwen3-32B"))
    assert problem.key == "inference.model"
    assert problem.wrong.startswith("g6.12xlarge: does not fit on 2 x L4: 30.6 GiB of weights and ")
    assert "the cheapest type that works is g7e.12xlarge ($8.29 an hour" in problem.fix


SHAPES = Path(__file__).parent.parent / "real/shapes"


def config_of(model: str) -> Path | None:
    """Of a model that the catalog lacks."""
    path = SHAPES / f"{model.replace('/', '--')}_config.json"
    return path if path.exists() else None


@pytest.mark.parametrize(
    ("model", "task", "allowed", "fix"),
    [
        ("BAAI/bge-m3", "generate", "embed", "set inference.task to embed"),
        ("BAAI/bge-m3", "score", "embed", "set inference.task to embed"),
        ("BAAI/bge-reranker-v2-m3", "generate", "score", "set inference.task to score"),
        ("BAAI/bge-reranker-v2-m3", "embed", "score", "set inference.task to score"),
        ("Qwen/Qwen3-8B", "score", "generate or embed", "--hf-overrides in inference.extraArguments"),
    ],
)
def test_a_class_that_does_not_do_the_task_is_refused(model: str, task: Task, allowed: str, fix: str) -> None:
    asked: dict[str, Any] = {"model": model, "config_path": config_of(model), "task": task}
    problem = only(planned(**asked))
    assert (problem.key, problem.value, problem.allowed) == ("inference.task", task, allowed)
    assert fix in problem.fix
    assert not planned(**asked, overridden=True).problems, "whoever tells vLLM another class knows what it does"


@pytest.mark.parametrize(("model", "allowed"), [("BAAI/bge-m3", False), ("Qwen/Qwen3-8B", True)])
def test_vllm_spreads_encoders_over_no_hosts(model: str, allowed: bool) -> None:
    found = planned(model=model, config_path=config_of(model), task="embed", pipeline_parallel_size=2)
    refused = [one.value for one in found.problems if one.key == "inference.pipelineParallelSize"]
    assert refused == ([] if allowed else [2])


@pytest.mark.parametrize(
    ("model", "task"),
    [("BAAI/bge-m3", "embed"), ("BAAI/bge-reranker-v2-m3", "score"), ("Qwen/Qwen3-8B", "embed")],
)
def test_what_embeds_or_scores_is_planned(model: str, task: Task) -> None:
    found = planned(model=model, config_path=config_of(model), task=task)
    assert found.fits
    assert found.max_num_batched_tokens is None, "no answer is held up by a step"


def test_a_classifier_of_many_labels_has_no_path(tmp_path: Path) -> None:
    config = json.loads((SHAPES / "BAAI--bge-reranker-v2-m3_config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"id2label": {"0": "good", "1": "bad"}}))
    problem = only(planned(model="a/b", config_path=tmp_path / "config.json", task="score"))
    assert "this one has 2" in problem.wrong


def test_an_encoder_reads_a_request_in_one_step() -> None:
    """Without a number of tokens vLLM's steps are as long as its requests; with too few it does not start."""
    encoder: dict[str, Any] = {"model": "a/b", "config_path": SHAPES / "BAAI--bge-m3_config.json", "task": "embed"}
    problem = only(planned(**encoder, max_num_batched_tokens=2048))
    assert (problem.key, problem.value) == ("inference.maxNumBatchedTokens", 2048)
    assert problem.allowed == "8192 or more"
    assert planned(**encoder, max_num_batched_tokens=2048, max_model_len=2048).fits


def test_quantization_can_make_it_fit() -> None:
    assert not planned(model="Qwen/Qwen3-32B").fits
    found = planned(model="Qwen/Qwen3-32B", quantization="fp8", max_model_len=8192)
    assert found.fits
    assert any("requests of 8192 tokens fit at once" in warning for warning in found.warnings)


def test_a_length_that_does_not_fit_names_the_one_that_does() -> None:
    problem = only(planned(model="Qwen/Qwen3-32B", quantization="fp8"))
    assert problem.key == "inference.maxModelLen"
    assert problem.value == 40960
    longest = int(problem.allowed.split()[-1])
    assert 8192 < longest < 40960
    assert f"set it to {longest // 256 * 256}" in problem.fix
    assert "inference.kvCacheDtype fp8" in problem.fix
    assert planned(model="Qwen/Qwen3-32B", quantization="fp8", max_model_len=longest // 256 * 256).fits


def test_a_utilization_that_overflows_the_card_is_refused_with_the_highest_that_does_not() -> None:
    problem = only(planned(gpu_memory_utilization=0.98))
    assert problem.key == "inference.gpuMemoryUtilization"
    assert "MiB more than the card has" in problem.wrong
    assert problem.allowed == "up to 0.958 on 2 x L4"
    assert planned(gpu_memory_utilization=0.958).warnings == ()


def test_a_utilization_that_only_just_stays_on_the_card_is_warned_about() -> None:
    found = planned(gpu_memory_utilization=0.97)
    assert found.fits
    assert found.gpu_memory_utilization == 0.97
    assert any("inference.gpuMemoryUtilization 0.97 leaves less than 256 MiB" in text for text in found.warnings)


def test_the_smallest_gpu_of_the_fleet_decides() -> None:
    both = planned(instance_types=["g6e.12xlarge", "g6.12xlarge"])
    assert both.gpu_memory_utilization == planned().gpu_memory_utilization
    assert both.kv_cache_tokens == planned().kv_cache_tokens


def test_every_type_of_the_fleet_must_fit() -> None:
    problem = only(planned(model="Qwen/Qwen3-32B", instance_types=["g7e.12xlarge", "g6.12xlarge"]))
    assert problem.wrong.startswith("g6.12xlarge: ")


def test_fp8_cache_doubles_the_tokens() -> None:
    plain, fp8 = planned().kv_cache_tokens, planned(kv_cache_dtype="fp8").kv_cache_tokens
    assert plain is not None
    assert fp8 == pytest.approx(2 * plain, abs=32)


def test_guesses_take_their_share_of_the_card() -> None:
    """A number for each token of each longest request, a bit for each word of each guess; and
    logits, where they are more than the batch's own."""
    plain = planned(max_num_seqs=256)
    few = planned(max_num_seqs=256, speculation=Speculation(tokens=4, up_to_requests=32))
    assert few.gpu_memory_utilization == plain.gpu_memory_utilization
    cached = 36 * 8 * 128 * 2 * 2 // 2
    lost = (plain.kv_cache_tokens or 0) - (few.kv_cache_tokens or 0)
    masks = 256 * 4 * 151936 / 8
    assert lost == pytest.approx((256 * 40960 * 4 + masks) / cached, abs=32)
    many = planned(max_num_seqs=256, speculation=Speculation(tokens=4))
    assert plain.guesses_pay_from == 0 < few.guesses_pay_from < many.guesses_pay_from < 0.5
    assert many.gpu_memory_utilization < few.gpu_memory_utilization


def test_a_model_that_nobody_listed_is_a_warning() -> None:
    found = planned(model="someone/something")
    assert (found.fits, found.sized, found.kv_cache_tokens) == (True, False, None)
    assert found.gpu_memory_utilization == 0.88
    assert len(found.warnings) == 1
    assert "was not sized" in found.warnings[0]


def test_its_own_config_sizes_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(llama()))
    found = planned(model="someone/something", config_path=tmp_path / "config.json")
    assert (found.sized, found.max_model_len) == (True, 4096)


def test_a_config_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    assert "there is no such file" in only(planned(config_path=tmp_path / "none.json")).wrong


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"quantization": "awq"}, "inference.quantization"),
        ({"max_model_len": 100_000}, "inference.maxModelLen"),
        ({"max_num_seqs": 256, "max_num_batched_tokens": 128}, "inference.maxNumBatchedTokens"),
        ({"tensor_parallel_size": 3}, "inference.tensorParallelSize"),
        ({"model": "google/gemma-4-26B-A4B", "quantization": "mxfp4"}, "inference.quantization"),
    ],
)
def test_what_vllm_would_refuse_is_refused_under_the_name_of_the_setting(changes: dict[str, Any], key: str) -> None:
    found = planned(**changes)
    assert key in [problem.key for problem in found.problems]
    assert not any("--max" in str(problem) or "--kv" in str(problem) for problem in found.problems)


def test_unknown_types_are_left_to_the_settings() -> None:
    assert planned(instance_types=["z9.huge"]).sized is False
