"""`tandem size` and `tandem memory` as they are called: what scripts read, mistakes in words, a live server, a plot."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer.main
import yaml

from tandem.catalog.instances import INSTANCE_TYPES
from tandem.catalog.measurements import MEASUREMENTS
from tandem.checks import problems
from tandem.checks import size as sizing_of
from tandem.loading import load_stack_file
from tandem.ops import cli
from tandem.pins import load as load_pins
from tests.sizing.configs import experts, hybrid, latent, llama, windows
from tests.sizing.rows import ROWS
from tests.sizing.test_bad_inputs import CONTENTS, FILES

H200 = ["--gpu-mib", "143156", "--compute-capability", "9.0"]
SETTINGS = ["--max-model-len", "8192", "--max-num-seqs", "256", "--max-num-batched-tokens", "2048"]


COMMAND = typer.main.get_command(cli.app)
"""Made once: the whole tree of commands takes 45 ms to make, and hundreds of calls follow."""


class Call:
    """Runs a command as the entry point does, in this process.

    Attributes:
        status: exit status; a traceback would be an exception of the test.
    """

    def __init__(self, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._name, self._capsys, self._monkeypatch = name, capsys, monkeypatch
        self.status = 0
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr(cli, "app", COMMAND)

    def __call__(self, *arguments: object) -> str:
        self._monkeypatch.setattr(sys, "argv", ["tandem", self._name, *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        self.status = code or 0
        captured = self._capsys.readouterr()
        return captured.err if self.status else captured.out

    def json(self, *arguments: object) -> dict[str, Any]:
        answer = self(*arguments, "--json")
        assert self.status == 0, answer
        return json.loads(answer)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return Call("size", capsys, monkeypatch)


@pytest.fixture
def memory(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return Call("memory", capsys, monkeypatch)


@pytest.fixture
def config(tmp_path: Path) -> Callable[[object], Path]:
    def write(content: object) -> Path:
        path = tmp_path / "config.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write


# -- one GPU, for scripts ----------------------------------------------------------------------------------------------


def test_one_object_with_what_scripts_read(memory: Call, config: Callable[[object], Path]) -> None:
    row = ROWS["C1"]
    answer = memory.json(
        *("--config", config(row["config"]), "--tp", 2, *H200, "--gpu-memory-utilization", 0.147091, *SETTINGS),
        *("--vllm-version", "0.25.1"),
    )
    assert answer["weightsGibPerGpu"] == pytest.approx(row["weights_gib"], rel=0.01)
    assert answer["kvCacheTokens"] == pytest.approx(row["kv_cache_tokens"], rel=0.0002)
    assert answer["maxConcurrency"] == pytest.approx(23.84, abs=0.01)
    parts = (answer[f"{name}GibPerGpu"] for name in ("weights", "kvCache", "overhead"))
    assert sum(parts) == pytest.approx(answer["budgetGibPerGpu"], abs=0.001)
    assert (answer["fits"], answer["reasons"], answer["vllm"]) == (True, [], "0.25.1")


def test_the_pinned_release_is_what_is_shown(memory: Call) -> None:
    """A 70B in FP8 with the memory of one H100, which 0.25.1 started and 0.32.0 does not."""
    asked = ["meta-llama/Llama-3.3-70B-Instruct", "--quantization", "fp8", "--tp", 1, "--compute-capability", "9.0"]
    asked += ["--gpu-mib", "81000", "--max-model-len", "8192"]
    shown, older = memory.json(*asked), memory.json(*asked, "--vllm-version", "0.25.1")
    assert (shown["vllm"], shown["fits"], older["fits"]) == ("0.32.0", False, True)


FLAGS = [
    ("--quantization", "fp8"),
    ("--kv-cache-dtype", "fp8"),
    ("--enforce-eager",),
    ("--gpu-memory-utilization", "0.5"),
    tuple(SETTINGS),
    ("--tp", "2"),
]


@pytest.mark.parametrize("make", [llama, experts, latent, hybrid, windows])
def test_every_flag_may_be_left_out(memory: Call, config: Callable[[object], Path], make: Callable[[], Any]) -> None:
    path = config(make())
    for chosen in product((False, True), repeat=len(FLAGS)):
        flags = [word for flag, taken in zip(FLAGS, chosen, strict=True) if taken for word in flag]
        answer = memory.json("--config", path, *H200, *flags)
        assert {"fits", "weightsGibPerGpu", "kvCacheGibPerGpu", "overheadGibPerGpu", "reasons"} <= set(answer)
        # These small models were made for 4096 tokens, so 8192 are refused and nothing else is.
        assert answer["fits"] is ("--max-model-len" not in flags), answer["reasons"]
        assert answer["kvCacheTokens"] > 0


def test_what_does_not_fit_says_why_and_the_status_is_zero(memory: Call, config: Callable[[object], Path]) -> None:
    path = config(ROWS["C2"]["config"])
    answer = memory.json("--config", path, "--tp", 2, "--gpu-mib", 22888, "--compute-capability", 8.9)
    assert answer["fits"] is False
    assert answer["kvCacheTokens"] == 0
    assert answer["reasons"][0].startswith("model: does not fit on 2 x 22888 MiB GPU: 30.7 GiB of weights and ")


def test_a_size_that_does_not_divide(memory: Call, config: Callable[[object], Path]) -> None:
    answer = memory.json("--config", config(llama()), "--tp", 3, *H200)
    assert answer["fits"] is False
    assert "does not divide num_attention_heads, which is 16; is 3; allowed: 1, 2, 4, 8" in answer["reasons"][0]


def test_settings_are_told_with_their_cost(memory: Call, config: Callable[[object], Path], tmp_path: Path) -> None:
    draft = tmp_path / "draft.json"
    draft.write_text(json.dumps(llama()))
    path = config(llama(num_hidden_layers=32))
    costs = memory.json(
        *("--config", path, "--tp", 2, *H200, "--quantization", "fp8", "--kv-cache-dtype", "fp8"),
        *("--enforce-eager", "--speculative-tokens", 3, "--draft", draft),
    )["kvCacheTokensBySetting"]
    assert set(costs) == {"speculativeDecoding", "prefixCaching", "kvCacheDtype", "enforceEager", "quantization"}
    assert costs["speculativeDecoding"] < 0 == costs["prefixCaching"] < costs["quantization"]
    assert costs["kvCacheDtype"] > 1_000_000
    screen = memory("--config", path, "--tp", 2, *H200, "--kv-cache-dtype", "fp8")
    assert re.search(r"kv cache dtype: \+[\d,]+ KV-cache tokens", screen)


def test_prefix_caching_costs_hybrid_models_a_second_state(memory: Call, config: Callable[[object], Path]) -> None:
    answer = memory.json("--config", config(hybrid()), *H200, "--vllm-version", "0.32.0")
    assert answer["kvCacheTokensBySetting"]["prefixCaching"] < 0


def test_a_replica_over_several_hosts_is_sized_and_refused_with_the_reason(call: Call, memory: Call) -> None:
    model = ["Qwen/Qwen3-32B", "--max-model-len", 8192]
    on_one = memory.json(*model, "--tp", 2, "--pp", 2, "--instance-type", "g6.12xlarge")
    assert (on_one["fits"], on_one["reasons"]) == (True, [])
    on_two = memory.json(*model, "--tp", 4, "--pp", 2, "--instance-type", "g6.12xlarge")
    assert on_two["fits"] is False
    assert on_two["kvCacheTokens"] > on_one["kvCacheTokens"]
    assert "an Auto Scaling group starts and replaces hosts one by one" in on_two["reasons"][0]
    assert "is 8 GPUs on 2 hosts" in on_two["reasons"][0]
    rows = call.json(*model, "--pp", 2, "--all")["candidates"]
    for row in rows:
        gpus = INSTANCE_TYPES[row["instanceType"]].gpus
        assert any("several hosts" in reason for reason in row["reasons"]) is (2 * row["tensorParallelSize"] > gpus)


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "wrong"),
    [(case[1], case[3]) for case in CONTENTS] + [(case[1], case[2]) for case in FILES],
    ids=[case[0] for case in (*CONTENTS, *FILES)],
)
def test_a_config_that_cannot_be_sized(
    memory: Call, config: Callable[[object], Path], content: object, wrong: str
) -> None:
    message = memory("--config", config(content), "--tp", 2, *H200, "--json")
    assert memory.status == 2
    assert message.startswith("tandem: ")
    assert wrong in message
    assert "fix: " in message


MISTAKES: list[tuple[list[str], str]] = [
    ([], "name a model, or give a config.json"),
    (["Qwen/Qwen3-8B", "--config", "x"], "and not both"),
    (["--config", "/nonexistent"], "there is no such file"),
    (["--config", "/dev/zero"], "so it is no config.json"),
    (["--config", "/"], "there is no such file"),
    (["../../etc/passwd"], "is not in the catalog"),
    (["Qwen/Qwen3-8B"], "no GPU is named"),
    (["Qwen/Qwen3-8B", "--gpu-mib", "22888"], "one is described by its type, or by both others"),
    (["Qwen/Qwen3-8B", *H200, "--gpu-mib", "inf"], "--gpu-mib"),
    (["Qwen/Qwen3-8B", *H200, "--gpu-mib", "nan"], "--gpu-mib"),
    (["Qwen/Qwen3-8B", *H200, "--gpu-memory-utilization", "1.5"], "--gpu-memory-utilization"),
    (["Qwen/Qwen3-8B", *H200, "--tp", "0"], "--tp"),
    (["Qwen/Qwen3-8B", *H200, "--tp", "two"], "--tp"),
    (["Qwen/Qwen3-8B", *H200, "--pp", "100000"], "--pp"),
    (["Qwen/Qwen3-8B", *H200, "--max-model-len", "-1"], "--max-model-len"),
    (["Qwen/Qwen3-8B", *H200, "--max-num-seqs", "1" + 20 * "0"], "--max-num-seqs"),
    (["Qwen/Qwen3-8B", *H200, "--quantization", "nonsense"], "the checkpoint is not quantized"),
    (["Qwen/Qwen3-8B", *H200, "--vllm-version", "9.9"], "how this release counts memory is not known"),
    (["Qwen/Qwen3-8B", *H200, "--draft", "x"], "but not how many tokens it proposes"),
    (["Qwen/Qwen3-8B", "--instance-type", "z9.huge"], "z9.huge"),
    (["Qwen/Qwen3-8B", *H200, "--check", "nonsense"], "cannot be reached"),
]


@pytest.mark.parametrize(("arguments", "wrong"), MISTAKES, ids=[" ".join(case[0][-2:]) for case in MISTAKES])
def test_a_mistake_in_the_call_is_said_in_words(memory: Call, arguments: list[str], wrong: str) -> None:
    message = memory(*arguments)
    assert memory.status == 2
    assert wrong in re.sub(r"\s*│\s*│?\s*", " ", message)


def test_a_plot_that_cannot_be_written_is_said(call: Call, tmp_path: Path) -> None:
    assert "cannot be written" in call("Qwen/Qwen3-8B", "--plot", tmp_path / "missing" / "x.svg")
    assert call.status == 2


# -- a live server -----------------------------------------------------------------------------------------------------


def metrics(text: str, status: int = 200) -> AbstractContextManager[str]:
    """A server that answers `/metrics` with this text; it stands in for vLLM."""
    return serving({"/metrics": text}, status)


@contextmanager
def serving(pages: Mapping[str, str], status: int = 200) -> Iterator[str]:
    """Answers these paths with these texts, parts of them where a range is asked for, and others with 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, part = (
                pages.get(self.path, "").encode(),
                re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or ""),
            )
            if part:
                body = body[int(part[1]) : int(part[2]) + 1]
            self.send_response((206 if part else status) if self.path in pages else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def cache_info(tokens: int) -> str:
    """As vLLM 0.32.0 writes it, with a few of its 30 labels."""
    return (
        "# TYPE vllm:cache_config_info gauge\n"
        f'vllm:cache_config_info{{block_size="16",engine="0",gpu_memory_utilization="0.9",kv_cache_size_tokens='
        f'"{tokens}",num_gpu_blocks="{tokens // 16}"}} 1.0\n'
    )


ON_L4 = ["Qwen/Qwen3-8B", "--instance-type", "g6.12xlarge", "--max-model-len", "8192"]


@pytest.mark.parametrize(("share", "as_planned"), [(1.0, True), (0.96, True), (0.9, False), (1.2, False)])
def test_the_plan_against_a_live_server(memory: Call, share: float, as_planned: bool) -> None:
    planned = memory.json(*ON_L4)["kvCacheTokens"]
    with metrics(cache_info(int(planned * share))) as url:
        answer = memory.json(*ON_L4, "--check", url)
        assert (", as planned" in memory(*ON_L4, "--check", url)) is as_planned
    assert answer["plannedKvCacheTokens"] == planned
    assert answer["kvCacheTokens"] == int(planned * share)
    assert answer["difference"] == pytest.approx(1 / share - 1, abs=0.001)
    assert (answer["asPlanned"], answer["gpuMemoryUtilization"]) == (as_planned, 0.9)


def test_an_older_server_tells_blocks_only(memory: Call) -> None:
    with metrics('vllm:cache_config_info{block_size="16",num_gpu_blocks="1000"} 1.0\n') as url:
        assert memory.json(*ON_L4, "--check", url)["kvCacheTokens"] == 16000


@pytest.mark.parametrize(
    ("text", "status"), [("up 1\n", 200), ("", 404), ('vllm:cache_config_info{block_size="x"} 1\n', 200)]
)
def test_what_is_no_vllm_server_is_said(memory: Call, text: str, status: int) -> None:
    with metrics(text, status) as url:
        message = memory(*ON_L4, "--check", url)
    assert memory.status == 2
    assert "does not tell the size of its KV cache" in message
    assert "through a tunnel to the host" in message


def test_a_model_of_the_hub_is_quantized_as_the_file_beside_its_config_says(
    memory: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = "/maker/model/resolve/main/"
    pages = {f"{at}config.json": json.dumps(llama(num_hidden_layers=16))}
    weights = []
    for more in ({}, {f"{at}hf_quant_config.json": json.dumps({"quantization": {"quant_algo": "NVFP4"}})}):
        with serving({**pages, **more}) as url:
            monkeypatch.setenv("HF_ENDPOINT", url)
            weights.append(memory.json("maker/model", *H200)["weightsGibPerGpu"])
    assert weights[1] < 0.6 * weights[0]


def test_a_model_of_the_hub_weighs_what_its_files_do(memory: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the index; of a single file by its header, of which the tensors are not fetched."""
    at = "/maker/model/resolve/main/"
    config = {f"{at}config.json": json.dumps(llama(num_hidden_layers=16))}
    header = json.dumps({"a": {"dtype": "BF16", "data_offsets": [0, 8 * 2**30]}})
    single = chr(len(header)) + 7 * "\0" + header + "the tensors"
    index = json.dumps({"metadata": {"total_size": 8 * 2**30}, "weight_map": {"a": "1"}})
    for file, text in (("model.safetensors.index.json", index), ("model.safetensors", single)):
        with serving({**config, f"{at}{file}": text}) as url:
            monkeypatch.setenv("HF_ENDPOINT", url)
            answer = memory.json("maker/model", "--tp", 1, *H200)
        assert answer["weightsGibPerGpu"] == pytest.approx(8, rel=0.001)
        assert any("are scaled to them" in warning for warning in answer["warnings"])


def test_a_cpu_server(memory: Call, config: Callable[[object], Path]) -> None:
    """Two layers with two of four key-value heads of 64 on each worker, in bf16: 1 KiB a token."""
    path = config(llama())
    answer = memory.json("--config", path, "--tp", 2, "--cpu-kvcache-space", 3, "--max-model-len", 4096)
    assert answer["kvCacheTokens"] == 3 * 2**20
    assert answer["maxConcurrency"] == 768
    # Eight blocks of 128 for a request of 900.
    short = memory.json("--config", path, "--tp", 2, "--cpu-kvcache-space", 3, "--max-model-len", 900)
    assert (short["maxConcurrency"], short["kvCacheTokens"]) == (3072, 3072 * 900)
    with metrics(cache_info(3 * 2**20)) as url:
        checked = memory("--config", path, "--tp", 2, "--cpu-kvcache-space", 3, "--check", url)
    assert "+0.0%, as planned" in checked
    assert "blocks of a CPU server are known for plain attention only" in memory(
        "--config", config(hybrid()), "--cpu-kvcache-space", 3
    )


# -- choice ------------------------------------------------------------------------------------------------------------


def test_the_table_fits_eighty_columns_and_says_what_is_estimated(call: Call) -> None:
    screen = call("Qwen/Qwen3-32B", "--max-model-len", 16384, "--concurrency", 20)
    lines = screen.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in screen
    text = " ".join(screen.split())
    row = next(line for line in lines if line.startswith("g7e.12xlarge"))
    assert row.split()[-4:-2] == ["29.0", "8.29"]
    assert "0 of 1 measured" not in text
    assert "~ modelled (docs/sizing.md)" in text
    assert re.search(r"Over \d+ measured loads that was \d+% off in the median, [+-]\d+% at worst", text)
    assert "list prices of us-east-1, on demand, read on 2026-07-20" in text


def test_a_table_without_a_row_says_nothing_of_tokens(call: Call) -> None:
    screen = " ".join(call("Qwen/Qwen3-8B", "--tp", 1, "--concurrency", 512).split())
    assert "nothing in the catalog fits; --all says why Prices: list prices" in screen


@pytest.mark.parametrize(("model", "noted"), [("Qwen/Qwen3-32B-FP8", True), ("Qwen/Qwen3-8B", False)])
def test_what_was_measured_without_the_images_kernels_is_said_to(call: Call, model: str, noted: bool) -> None:
    """Else the table has an H100, which is modelled with them, before an H200, which was measured without."""
    screen = call(model, "--tp", 1, "--max-model-len", 2048, "--concurrency", 512)
    assert ("measured without DeepGEMM" in " ".join(screen.split())) == noted


def test_measured_rows_are_told_from_modelled_ones(call: Call) -> None:
    answer = call.json("Qwen/Qwen3-8B")
    known = {(row["instanceType"], row["tensorParallelSize"]): row["estimates"] for row in answer["candidates"]}
    assert {key for key, one in known.items() if one["measured"]} == {("p5en.48xlarge", 2)}
    assert known["p5en.48xlarge", 2]["tokensPerSecond"] == pytest.approx(7835, rel=0.1)
    assert known["p5en.48xlarge", 2]["limitTokensPerSecond"] > known["p5en.48xlarge", 2]["tokensPerSecond"]
    assert answer["tokensPerSecond"]["errors"]["loads"] > 40
    lines = call("Qwen/Qwen3-8B").splitlines()
    assert {line.split()[2] for line in lines if line.startswith("p5en.48xlarge ") and "~" not in line} == {"2"}


def test_the_projects_measurements_count(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tandem.ops.options.PROJECT", tmp_path)
    own = [replace(row, card="L4", tokens_per_second=100 * (row.at_once or 1)) for row in MEASUREMENTS if row.tp == 2]
    own = [replace(row, max_num_batched_tokens=2048) for row in own]
    (tmp_path / "loads").mkdir()
    file = tmp_path / "loads/measurements.json"
    file.write_text(json.dumps({"rows": [asdict(row) for row in own]}))
    rows = call.json("Qwen/Qwen3-8B", "--max-model-len", 4096, "--tp", 2, "--concurrency", 16)["candidates"]
    one = next(row for row in rows if row["instanceType"] == "g6.12xlarge")["estimates"]
    assert (one["measured"], one["requests"], one["tokensPerSecond"]) == (True, 8, pytest.approx(800))
    file.write_text("{}")
    assert "holds no measurements" in call("Qwen/Qwen3-8B")
    assert call.status == 2


ENCODER = Path(__file__).parent.parent / "real/shapes/BAAI--bge-reranker-v2-m3_config.json"


def test_what_makes_no_tokens_is_sized_and_sorted_by_the_hour(call: Call, memory: Call) -> None:
    answer = call.json("--config", ENCODER)
    hours = [row["usdPerHour"] for row in answer["candidates"]]
    assert hours == sorted(hours)
    assert {row["estimates"] for row in answer["candidates"]} == {None}
    text = " ".join(call("--config", ENCODER).split())
    assert "It makes no tokens, so none are counted" in text
    assert "it keeps no KV cache; longest request 8,192" in memory("--config", ENCODER, "--tp", 1, *H200)
    refused = call("--config", ENCODER, *ASKED, "--itl", "50ms")
    assert call.status == 2
    assert "--itl: is from one token to the next" in refused


@pytest.mark.parametrize(
    ("model", "task"),
    [(["--config", ENCODER], "score"), (["Qwen/Qwen3-8B", "--task", "embed"], "embed")],
)
def test_the_settings_of_what_makes_no_tokens_hold(
    call: Call, tmp_path: Path, model: list[str | Path], task: str
) -> None:
    fleets = call.json(*model, "--requests-per-second", 20, "--prompt", 500, "--ttft", "500ms")["fleets"]
    for fleet in fleets:
        path = tmp_path / "Pulumi.x.yaml"
        for platform in ("settings", "settingsOnEks"):
            path.write_text(yaml.safe_dump(fleet[platform]))
            settings = load_stack_file(path)
            assert settings.inference.task == task
            assert sizing_of(settings).fits
        assert fleet["usdPerMillionAnswerTokens"] == 0
        asked = fleet["usdPerMillionPromptTokens"] / 1e6 * 500 * 20 * 3600
        assert asked == pytest.approx(fleet["usdPerHour"], rel=0.01)
    text = " ".join(call(*model, "--requests-per-second", 20, "--prompt", 500).split())
    assert "99 of 100 vectors or scores come sooner" in text
    assert "between tokens" not in text


@pytest.mark.parametrize("load", [(), ("--requests-per-second", 1)])
def test_a_task_that_the_class_does_not_do_is_refused(load: tuple[object, ...], call: Call) -> None:
    message = call("Qwen/Qwen3-8B", "--task", "score", *load)
    assert call.status == 2
    assert "--task: is not what Qwen3ForCausalLM does" in message


def test_rows_hold_the_requests_that_are_asked_for(call: Call) -> None:
    for row in call.json("Qwen/Qwen3-32B", "--max-model-len", 16384, "--concurrency", 20)["candidates"]:
        assert row["maxConcurrency"] * row["replicasPerHost"] >= 20
        assert row["estimates"]["usdPerMillionTokens"] > 0


def test_what_does_not_fit_is_shown_with_its_reason_when_asked(call: Call) -> None:
    screen = call("Qwen/Qwen3-32B", "--max-model-len", 8192, "--all")
    assert "g6.12xlarge TP=2: model: does not fit on 2 x L4" in screen


def test_the_plot_has_two_bars_for_each_candidate(call: Call, tmp_path: Path) -> None:
    plot = tmp_path / "c.svg"
    rows = call.json("Qwen/Qwen3-32B", "--max-model-len", 8192, "--plot", plot)["candidates"]
    svg = ElementTree.fromstring(plot.read_text())
    bars = [one for one in svg.iter("{http://www.w3.org/2000/svg}rect") if one.get("fill") != "white"]
    assert len(bars) == 2 * len(rows)
    texts = " ".join(text for text in svg.itertext())
    assert f"{rows[0]['instanceType']} TP={rows[0]['tensorParallelSize']}" in texts
    assert "measured or modelled" in texts


def test_a_region_has_its_own_prices_and_says_so(call: Call) -> None:
    answer = call.json("Qwen/Qwen3-8B", "--max-model-len", 8192, "--region", "eu-west-1")
    assert {row["instanceType"]: row["usdPerHour"] for row in answer["candidates"]}["g5.12xlarge"] == 6.33167
    assert answer["prices"].startswith("list prices of eu-west-1, on demand, read on 2026-01-21; ")
    assert "have none there, and are left out" in answer["prices"]


def test_a_region_whose_prices_are_not_known_says_how_to_get_them(call: Call) -> None:
    message = call("Qwen/Qwen3-8B", "--region", "mx-central-1")
    assert call.status == 2
    assert "tandem pin --prices --region mx-central-1" in message


# -- fleets ------------------------------------------------------------------------------------------------------------

ASKED = ["--requests-per-second", 8, "--prompt", 2000, "--answer", 300, "--ttft", "2s"]


def test_the_settings_of_a_fleet_hold_and_plan_what_was_promised(call: Call, tmp_path: Path) -> None:
    for model, more in (("Qwen/Qwen3-8B", ["--itl", "50ms"]), ("Qwen/Qwen3-32B-FP8", []), ("openai/gpt-oss-120b", [])):
        for fleet in call.json(model, *ASKED, *more, "--all")["fleets"]:
            path = tmp_path / "Pulumi.x.yaml"
            for platform in ("settings", "settingsOnEks"):
                path.write_text(yaml.safe_dump(fleet[platform]))
                settings = load_stack_file(path)
                planned = sizing_of(settings)
                assert problems(settings, load_pins(), "x1", planned) == []
                assert planned.fits
                assert planned.max_num_batched_tokens in (None, fleet["maxNumBatchedTokens"])
                if platform == "settings":
                    assert settings.fleet.hosts + settings.fleet.spare_hosts == fleet["hostsNeeded"] + 1
                else:
                    assert settings.scaling.min_replicas == fleet["replicas"]


def test_the_screen_names_the_fleet_its_price_its_limits_and_its_settings(call: Call) -> None:
    screen = call("Qwen/Qwen3-8B", *ASKED, "--itl", "50ms", "--tp", 2)
    assert max(map(len, screen.splitlines())) <= 80
    text = " ".join(screen.split())
    assert re.search(r"1\+1 g7e.12xlarge fp8 2x2 16.57 ~0.\d+ ~\d+ \d+ 0.\d+ 0.\d+", text)
    assert "the first at 4 requests a second: first token in 0." in text
    assert re.search(r"the first at 16 requests a second: .* \(not kept\); needs 2\+1", text)
    assert "hosts: 1 spareHosts: 1" in text
    assert "with eks: in place of fleet.hosts and fleet.spareHosts, which have no effect there: platform: eks" in text
    assert "fleet.maxHosts: 3, scaling.minReplicas: 2, scaling.maxReplicas: 2" in text
    assert "firstTokenSeconds is 2.5, the next above 2 of the bounds by which vLLM counts" in text
    assert "betweenTokensSeconds is" not in text
    assert "NVIDIA kernel tables of RTX PRO 6000" in text
    assert re.search(r"On \d+ measured loads first tokens were \d+% off in the median", text)


def test_the_turning_point_of_a_pair_is_named(call: Call) -> None:
    point = call.json("Qwen/Qwen3-8B", *ASKED, "--tp", 2)["turningPoint"]
    assert INSTANCE_TYPES[point["instanceType"]].gpus >= 2
    assert (point["measured"], 1 < point["atOnce"] <= 1024) == (False, True)
    text = " ".join(call("Qwen/Qwen3-8B", *ASKED, "--tp", 2).split())
    assert f"below {point['atOnce']} requests at once on both (~modelled" in text
    assert call.json("Qwen/Qwen3-235B-A22B-FP8", *ASKED)["turningPoint"] is None


def test_spot_costs_what_is_given_and_nothing_is_made_up(call: Call) -> None:
    given = ["--spot-discount", 50, "--spot-price", "g7e.12xlarge=2.5"]
    rows = call.json("Qwen/Qwen3-8B", *ASKED, *given, "--all")["fleets"]
    spot = {(row["instanceType"], row["quantization"]): row for row in rows if row["purchase"] == "spot"}
    for row in rows:
        if row["purchase"] == "on demand":
            type_name, hosts = row["instanceType"], row["hostsNeeded"] + 1
            usd = 2.5 if type_name == "g7e.12xlarge" else INSTANCE_TYPES[type_name].usd_per_hour / 2
            assert spot[type_name, row["quantization"]]["usdPerHour"] == pytest.approx(hosts * usd, abs=1e-3)
    assert rows[0]["settings"]["config"]["tandem:fleet"]["onDemandPercentage"] == 0
    text = " ".join(call("Qwen/Qwen3-8B", *ASKED, *given).split())
    assert "fp8, spot" in text
    assert "Spot at the prices that --spot-price and --spot-discount say" in text
    assert ", spot" not in call("Qwen/Qwen3-8B", *ASKED)
    assert "--spot-price: is asked of a fleet" in call("Qwen/Qwen3-8B", "--spot-price", "g7e.12xlarge=2.5")


def test_what_no_fleet_keeps_says_what_is_missing(call: Call) -> None:
    text = " ".join(call("Qwen/Qwen3-32B", *ASKED, "--itl", "2ms").split())
    assert call.status == 0
    assert text.startswith("no fleet that a stack can have keeps this: 8 requests a second, prompts of 2,000 tokens")
    assert re.search(r"p5en.48xlarge: at best, on 100 hosts: first token in 0.\d\d s, [3-9] ms between tokens", text)
    assert "What would help: a longer --itl, a smaller model, or one in fewer bits. --all" in text
    none = call.json("Qwen/Qwen3-32B", *ASKED, "--itl", "2ms")
    assert none["fleets"] == []
    assert "does not fit on 4 x T4" in none["missing"]["g4dn.12xlarge"]


def test_more_than_a_stack_can_have_is_for_several(call: Call) -> None:
    text = " ".join(call("Qwen/Qwen3-8B", "--requests-per-second", 50_000, "--ttft", "2s").split())
    assert "100 hosts cannot keep up with 50000 requests a second" in text
    assert "What would help: fewer requests a second, by several stacks, a smaller model, or one in fewer bits." in text


FLEET_MISTAKES = [
    (["--itl", "50"], "--itl: is a time without a unit value: '50' allowed: a number of s or ms fix: 50ms or 50s"),
    (["--spot-price", "g6.12xlarge=5"], "g6.12xlarge costs no more than that on demand, and is not taken back"),
    (["--spot-price", "g6.12xlarge=1", "--spot-price", "g6.12xlarge=2"], "has two prices value: 'g6.12xlarge=2'"),
    (["--ttft", "soon"], "a number of s or ms"),
    (["--itl", "0ms"], "is no time above 0"),
    (["--itl", "nan"], "is no time above 0"),
    (["--concurrency", "3"], "--concurrency: is nothing that a stack's fleet can be asked for"),
    (["--plot", "x.svg"], "--plot: is nothing that a stack's fleet can be asked for"),
    (["--enforce-eager"], "--enforce-eager: is nothing that a stack's fleet can be asked for"),
    (["--no-prefix-caching"], "--no-prefix-caching: is nothing"),
    (["--speculative-tokens", "3", "--draft", "x"], "--draft: is nothing"),
    (["--tp", "3"], "a stack's servers have no such number of GPUs value: 3 allowed: 1, 2, 4, 8"),
    (["--tp", "1024"], "allowed: 1, 2, 4, 8"),
    (["--max-model-len", "500"], "refuse every request of this load value: 500 allowed: 2300 to 40960 fix: set it to"),
    (["--max-model-len", "2299"], "value: 2299 allowed: 2300 to 40960"),
    (["--prompt", "40900"], "more tokens than the model was made for"),
    (["--pp", "2"], "a fleet's replicas have GPUs of one host each"),
    (["--max-num-seqs", "5000"], "--max-num-seqs: as a stack's inference.maxNumSeqs it is not a valid value"),
    (["--region", "us-gov-west-1"], "--region: as a stack's region it is of a partition of AWS"),
    (["--spot-price", "g6.12xlarge=0"], "is no price above 0"),
    (["--spot-price", "g6.12xlarge"], "aws ec2 describe-spot-price-history --instance-types g6.12xlarge"),
    (["--spot-price", "z9.huge=1"], "this instance type is not in the catalog"),
    (["--spot-discount", "100"], "--spot-discount"),
    (["--requests-per-second", "0"], "--requests-per-second"),
    (["--requests-per-second", "inf"], "--requests-per-second"),
]


def test_fleets_of_other_replicas_say_so_in_their_settings(call: Call) -> None:
    (first, *_) = call.json("Qwen/Qwen3-8B", *ASKED, "--tp", "1")["fleets"]
    assert first["tensorParallelSize"] == first["settings"]["config"]["tandem:inference"]["tensorParallelSize"] == 1


@pytest.mark.parametrize(("more", "wrong"), FLEET_MISTAKES, ids=lambda value: str(value))
def test_a_load_that_is_none_is_said(call: Call, more: list[str], wrong: str) -> None:
    message = call("Qwen/Qwen3-8B", *ASKED, *more)
    assert call.status == 2
    assert wrong in " ".join(re.sub(r"\s*│\s*│?\s*", " ", message).split())


@pytest.mark.parametrize("objective", ["--ttft", "--itl"])
def test_an_objective_without_a_load_is_refused(call: Call, objective: str) -> None:
    message = call("Qwen/Qwen3-8B", objective, "2s")
    assert call.status == 2
    assert f"{objective}: is asked of a fleet, and none is" in message


def test_what_is_asked_for_is_in_the_settings(call: Call) -> None:
    more = ["--max-model-len", 2300, "--gpu-memory-utilization", 0.8]
    (first, *_) = call.json("Qwen/Qwen3-8B", *ASKED, *more)["fleets"]
    inference = first["settings"]["config"]["tandem:inference"]
    assert (inference["maxModelLen"], inference["gpuMemoryUtilization"]) == (2300, 0.8)


def test_what_stops_every_type_is_the_reason_and_has_its_own_remedy(
    call: Call, config: Callable[[object], Path]
) -> None:
    path = config(llama(num_attention_heads=12))
    text = " ".join(call("--config", path, *ASKED, "--itl", "50ms", "--tp", 8, "--region", "us-east-1").split())
    assert "--tensor-parallel-size does not divide num_attention_heads, which is 12; is 8; allowed: 1, 2, 4" in text
    assert "its GPUs are 4, in no whole groups of 8" in call("--config", path, *ASKED, "--tp", 8, "--all")
    assert "What would help: use --tp 4, or a smaller --tp, or none: 1, 2, 4 and 8 are then tried." in text
    longer = " ".join(call("Qwen/Qwen3-8B", *ASKED, "--max-model-len", 50000).split())
    assert "g4dn.xlarge: --max-model-len is more than the 40960 tokens that the model was made for" in longer
    assert "What would help: set it to 40960 or less." in longer


def test_a_model_of_a_file_is_named_by_it(
    call: Call, config: Callable[[object], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = config(llama(num_hidden_layers=16))
    load = ["--requests-per-second", 1, "--config", path]
    for project, named in ((tmp_path, "config.json"), (tmp_path.parent, f"{tmp_path.name}/config.json")):
        for reads in ("ops.fleet_settings", "checks"):
            monkeypatch.setattr(f"tandem.{reads}.PROJECT", project)
        (first, *_) = call.json(*load)["fleets"]
        inference = first["settings"]["config"]["tandem:inference"]
        assert (inference["model"], inference["modelConfigFile"]) == ("ORGANISATION/MODEL", named)
    monkeypatch.setattr("tandem.ops.fleet_settings.PROJECT", tmp_path / "elsewhere")
    said = "".join(call(*load).split())  # a path may be broken anywhere
    assert f"Beforethat,copy{path}tomodels/config.jsonintheproject." in said
