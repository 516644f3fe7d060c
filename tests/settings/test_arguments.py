"""Arguments of vLLM that a stack adds: whose each is, and what is refused before a GPU is paid."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tandem import checks, pins
from tandem.catalog.vllm_arguments import Kind, arguments
from tandem.errors import UserError
from tandem.loading import load
from tandem.rules.arguments import arguments_are_free
from tandem.settings import Settings
from tandem.settings.parsing import parse
from tests.settings.free_arguments import MEDIA_LIMITS, examples


def settings(**inference: object) -> Settings:
    return load({"tandem:region": "us-east-1", "tandem:inference": json.dumps(inference)})


def refused(**inference: object) -> list[str]:
    with pytest.raises(UserError) as error:
        settings(**inference)
    return [str(problem) for problem in error.value.problems]


def test_each_argument_of_the_release_is_somebodys_and_only_one() -> None:
    known = arguments()
    groups = [known.free, known.settings, *known.closed.values()]
    assert Counter(name for group in groups for name in group) == Counter({known.base(name) for name in known.kinds})


def test_what_is_of_tokens_is_free_beside_them() -> None:
    assert arguments().of_tokens < arguments().free


def test_what_is_free_is_taken_in_each_form() -> None:
    for argument in examples():
        guesses = {} if "spec-decode" in argument else None
        assert settings(extraArguments=[argument], speculation=guesses).inference.extra_arguments == (argument,)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--max-logprobs=-2", "allowed: --max-logprobs= from -1"),
        ("--block-size=0", "allowed: --block-size= more than 0"),
        ("--block-size=17", "allowed: --block-size= more than 0, a multiple of 16"),
        ("--seed=-1", "allowed: --seed= from 0, up to 4294967295"),
        ("--stream-interval=0", "allowed: --stream-interval= from 1"),
        ("--long-prefill-token-threshold=-3", "from 0"),
        ("--kv-cache-metrics-sample=7", "more than 0, up to 1"),
        ("--mm-processor-cache-gb=-1", "from 0"),
        ("--video-pruning-rate=1", "from 0, less than 1"),
        ("--attention-backend=NOPE", "FLASH_ATTN"),
        ('--structured-outputs-config={"backend": "lmfe"}', "backend: auto, xgrammar, guidance, outlines"),
        ('--structured-outputs-config={"back": "xgrammar"}', "backend, disable_additional_properties"),
        ('--structured-outputs-config={"backend": null}', "backend: auto, xgrammar"),
        ('--structured-outputs-config={"reasoning_parser": "qwen3"}', "is what inference.reasoningParser says"),
        ("--max-model-len=4096", "is what inference.maxModelLen says"),
        ("--no-enable-log-requests", "is what logs.requests says"),
        ("--trust-remote-code", "is what inference.trustRemoteCode says"),
        ("--api-key=x", "is what clients says"),
        ("--speculative-config={}", "is what inference.speculation says"),
        ("--spec-model=x/y", "needs memory, files or other servers"),
        ("--enable-prompt-embeds", "opens what the edge keeps closed"),
        ("--allowed-local-media-path=/", "lets clients reach further"),
        ("--middleware=x.y", "runs code"),
        ("--config=/x.yaml", "that no pin of tandem's covers"),
        ("--enable-log-outputs", "writes prompts or answers down"),
        ("--disable-log-stats", "takes figures away"),
        ("--lora-modules=a=/b", "is what inference.adapters says"),
        ("--max-loras=4", "is what inference.adaptersAtOnce says"),
        ("--lora-target-modules=q_proj", "needs memory, files or other servers"),
        ("--host=0.0.0.0", "is how tandem starts a server"),
        ("--enforce-eage", "such as --enforce-eager"),
        ("--enforce_eager", "an argument of `vllm serve` by its whole name"),
        ("--compilation-config.mode=3", "an argument of `vllm serve` by its whole name"),
        ("--seed=$(TOKEN)", "an argument of `vllm serve` by its whole name"),
        ("--seed 1", "an argument of `vllm serve` by its whole name"),
        ("--seed", "takes a whole number"),
        ("--seed=x", "takes a whole number"),
        ("--watermark=x", "takes a number"),
        ("--mm-processor-kwargs={", "takes an object in JSON"),
        ("--compilation-config=5", "takes an object in JSON"),
        ("--eplb-config=null", "takes an object in JSON"),
        ('--structured-outputs-config={"reasoning_parser_plugin": "/x.py"}', "runs code"),
        ("--no-enable-chunked-prefill", "whether steps hold parts of prompts"),
        ("--dtype=int8", "allowed: --dtype= auto, bfloat16, float, float16, float32, half"),
        ("--video-pruning-rate=nan", "takes a number"),
        ("--hf-overrides=rope", "takes an object in JSON"),
        ("--hf-overrides=[1]", "takes an object in JSON"),
        ("--generation-config=someone/repository", "allowed: --generation-config= auto, vllm"),
        ("--optimization-level=9", "allowed: --optimization-level= 0, 1, 2, 3"),
        ("--tokenizer-mode=foo", "allowed: --tokenizer-mode= auto, hf, mistral"),
        ("--enforce-eager=true", "takes no value"),
    ],
)
def test_what_is_not_is_refused_by_its_place(argument: str, said: str) -> None:
    (problem,) = refused(extraArguments=["--max-logprobs=5", argument])
    assert problem.startswith(("inference.extraArguments[1]:", "inference.extraArguments.1:"))
    assert said in problem
    assert "fix:" in problem


@pytest.mark.parametrize(
    ("limits", "holds"), [*MEDIA_LIMITS.items(), ('{"images": 4}', False), ('{"image": true}', False)]
)
def test_media_are_limited_as_vllm_reads_it(limits: str, *, holds: bool) -> None:
    argument = f"--limit-mm-per-prompt={limits}"
    if holds:
        assert settings(extraArguments=[argument]).inference.extra_arguments == (argument,)
        return
    (problem,) = refused(extraArguments=[argument])
    assert "is no limit that the pinned vLLM reads" in problem
    assert "allowed: image, video, audio, vision_chunk" in problem


def test_names_of_a_model_s_own_are_no_arguments() -> None:
    argument = '--default-chat-template-kwargs={"model": "x", "reasoning_parser": 1}'
    assert settings(extraArguments=[argument]).inference.extra_arguments == (argument,)


@pytest.mark.parametrize(("value", "problems"), [("bfloat16", 1), ("float16", 0), ("auto", 0)])
def test_a_type_without_bfloat16_is_asked_for_none(value: str, problems: int) -> None:
    fleet = json.dumps({"instanceTypes": ["g6.12xlarge", "g4dn.12xlarge"]})
    stack = parse({"tandem:region": "us-east-1", "tandem:fleet": fleet})
    told = stack.inference.model_copy(update={"extra_arguments": (f"--dtype={value}",)})
    found = list(arguments_are_free(stack.model_copy(update={"inference": told})))
    assert len(found) == problems
    assert all("g4dn.12xlarge has no bfloat16" in problem.wrong for problem in found)


def test_an_argument_is_said_once_in_either_form() -> None:
    (problem,) = refused(extraArguments=["--enable-prefix-caching", "--no-enable-prefix-caching"])
    assert problem.startswith("inference.extraArguments[1]: --enable-prefix-caching is in the list already")


def test_a_parser_is_one_that_the_release_has() -> None:
    (problem,) = refused(toolCallParser="hermess", reasoningParser="qwen3")
    assert problem.startswith("inference.toolCallParser: the pinned vLLM has no such parser")
    assert "pulumi config set --path 'tandem:inference.toolCallParser' hermes" in problem


@pytest.mark.parametrize(
    ("inference", "keys"),
    [
        ({"model": "Qwen/Qwen3-8B"}, []),
        ({"model": "Somebody/Else"}, ["inference.trustRemoteCode"]),
        (
            {"model": "Qwen/Qwen3-8B", "weights": "s3", "weightsS3Uri": "s3://weights/qwen"},
            ["inference.trustRemoteCode"],
        ),
    ],
)
def test_code_of_a_model_runs_only_where_a_pin_says_which(inference: dict[str, str], keys: list[str]) -> None:
    stack = settings(**inference, trustRemoteCode=True)
    revision = pins.ModelRevision(revision="0" * 40, manifest="0" * 64)
    pinned = pins.load().model_copy(update={"models": {"Qwen/Qwen3-8B": revision}})
    found = checks.problems(stack, pinned, "dev", checks.size(stack))
    assert [problem.key for problem in found] == keys


def test_kinds_are_those_that_the_rule_knows() -> None:
    kinds: set[Kind] = {kind for kind in arguments().kinds.values() if isinstance(kind, str)}
    assert kinds == {"switch", "int", "float", "json", "text"}
