"""What `quantization_config` in a checkpoint's config.json says about the size of its weights.

Source of the rules: vLLM's readers in `vllm/model_executor/layers/quantization/`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property

from tandem.errors import UserError
from tandem.sizing.units import divide_up

ONLINE_METHODS = ("fp8",)
"""`--quantization` values that quantize a bf16 checkpoint while it is loaded; the others name what it already is."""

READERS_OF = {
    "awq": ("awq", "awq_marlin"),
    "gptq": ("gptq", "gptq_marlin"),
    "fp8": ("fp8",),
    "compressed-tensors": ("compressed-tensors",),
    "mxfp4": ("mxfp4", "gpt_oss_mxfp4"),
    "modelopt": ("modelopt", "modelopt_fp4", "modelopt_mixed"),
}
"""Checkpoint method -> `--quantization` values that vLLM accepts for it."""

GROUPS = (-1, 16, 32, 64, 128, 256)
"""Inputs that share a scale; -1 for all of them."""
LARGEST_BLOCK = 65_536

_PREFIXES = ("model.", "language_model.", "backbone.")


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """How one kind of matrix is stored.

    Attributes:
        bits: of one weight.
        group: inputs that share a scale: a number, 0 for one scale a matrix, -1 for one scale an output.
        block: (outputs, inputs) that share a scale, in place of group.
        scale_bytes: of one scale.
        zero_points: each group also keeps a zero point of `bits`.
        kind: the number format, for messages and for the rate of arithmetic: fp8, int8, int4, fp4.
        activations_quantized: activations are quantized too, so the matrix product itself runs in the format.
    """

    kind: str
    bits: int
    group: int = 0
    block: tuple[int, int] | None = None
    scale_bytes: int = 4
    zero_points: bool = False
    activations_quantized: bool = False

    def tensors(self, outputs: int, inputs: int, copies: int = 1) -> list[int]:
        """Bytes of each tensor that stands for `copies` matrices of outputs x inputs."""
        sizes = [copies * outputs * inputs * self.bits // 8]
        if self.block:
            scales = divide_up(outputs, self.block[0]) * divide_up(inputs, self.block[1])
        else:
            scales = {0: 1, -1: outputs}.get(self.group) or outputs * divide_up(inputs, self.group)
        sizes.append(copies * scales * self.scale_bytes)
        if self.zero_points:
            sizes.append(copies * scales * self.bits // 8)
        return sizes


FP8_TENSOR = Scheme(kind="fp8", bits=8, activations_quantized=True)
MXFP4 = Scheme(kind="fp4", bits=4, group=32, scale_bytes=1)
NVFP4 = Scheme(kind="fp4", bits=4, group=16, scale_bytes=1, activations_quantized=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantization:
    """A checkpoint's quantization, or the one asked for at load.

    Attributes:
        method: `quant_method` of the checkpoint.
        rules: (targets, scheme) in order; targets are module names, patterns, or `Linear` for every matrix.
        ignored: modules that stay in the model's own dtype.
        experts_only: nothing but experts is quantized (MXFP4).
        kv_cache_dtype: what `--kv-cache-dtype auto` becomes, None for the model's own.
        online: made while a bf16 checkpoint is loaded.
    """

    method: str
    rules: tuple[tuple[tuple[str, ...], Scheme], ...]
    ignored: tuple[str, ...] = ()
    experts_only: bool = False
    kv_cache_dtype: str | None = None
    online: bool = False

    def scheme(self, module: str) -> Scheme | None:
        """How the matrix of this module is stored; None for the model's own dtype.

        Args:
            module: as the checkpoint names it without the leading parts: `layers.3.self_attn.q_proj`, `lm_head`.
        """
        if self.experts_only and ".experts" not in module:
            return None
        if self._ignored(module):
            return None
        for matches, scheme in self._rules:
            if matches(module):
                return scheme
        return None

    def compiled(self) -> None:
        """Reads all patterns, so that a bad one is told with the file.

        Raises:
            UserError: one is none.
        """
        _ = self._ignored, self._rules

    @cached_property
    def names_layers(self) -> bool:
        """Some layers are quantized otherwise than others like them."""
        names = [*self.ignored, *(target for targets, _ in self.rules for target in targets)]
        return any(re.search(r"\d", name) for name in names)

    @property
    def main_scheme(self) -> Scheme:
        """The scheme with the fewest bits, by which the checkpoint is known."""
        return min((scheme for _, scheme in self.rules), key=lambda scheme: scheme.bits)

    @cached_property
    def _ignored(self) -> _Names:
        return _Names(self.ignored)

    @cached_property
    def _rules(self) -> list[tuple[_Names, Scheme]]:
        return [(_Names(targets), scheme) for targets, scheme in self.rules]


class _Names:
    """Module names as checkpoints list them: literal, with `*`, or `re:` and a regular expression."""

    def __init__(self, names: Sequence[str]) -> None:
        self._everything = "Linear" in names
        self._literals = {_strip(name) for name in names if not name.startswith("re:") and "*" not in name}
        self._patterns = [_pattern(name) for name in names if name.startswith("re:")]
        patterns = [_strip(name) for name in names if "*" in name and not name.startswith("re:")]
        # Most end in their only star; a regular expression of a hundred of them takes 5 ms to compile.
        self._starts = tuple(name[:-1] for name in patterns if name.find("*") == len(name) - 1)
        globs = [name for name in patterns if name.find("*") != len(name) - 1]
        self._globs = re.compile("|".join(f"{translate(name)}|{translate(name + '.*')}" for name in globs) or r"(?!)")

    def __call__(self, module: str) -> bool:
        if self._everything and module != "lm_head":  # a head is quantized only where it is named
            return True
        parts = module.split(".")
        cuts = range(1, len(parts) + 1)
        if any(".".join(parts[:cut]) in self._literals or ".".join(parts[-cut:]) in self._literals for cut in cuts):
            return True
        if module.startswith(self._starts) or self._globs.match(module):
            return True
        return any(
            pattern.match(prefix + module)
            for pattern in self._patterns
            for prefix in ("model.", "", "model.language_model.", "language_model.model.")
        )


def _pattern(name: str) -> re.Pattern[str]:
    """
    Raises:
        UserError: it is no pattern.
    """
    try:
        return re.compile(name[3:])
    except (re.error, RecursionError, OverflowError) as error:
        raise UserError.of(
            key="config.json: quantization_config",
            wrong=f"names modules by what is no regular expression ({error})",
            value=name[:80],
            allowed="re: and a pattern of Python, such as re:.*lm_head",
            fix="compare with the config.json that the model's repository holds",
        ) from None


_MIXER = re.compile(r"\.mixer\.(?:(?=[qkvo]_proj)|(?=experts|shared_expert|up_proj|down_proj))")


def _strip(name: str) -> str:
    """Without leading parts; Nemotron-H calls whatever a layer does its mixer."""
    name = _MIXER.sub(lambda found: ".self_attn." if name[found.end() + 1 :].startswith("_proj") else ".mlp.", name)
    while name.startswith(_PREFIXES):
        name = name.split(".", 1)[1]
    return name


def online_fp8() -> Quantization:
    """`--quantization fp8` on a checkpoint that is not quantized: one scale a matrix, embeddings and head untouched."""
    return Quantization(method="fp8", rules=((("Linear",), FP8_TENSOR),), online=True)


def read_quantization(config: Mapping[str, object]) -> Quantization:
    """Reads `quantization_config`.

    Raises:
        UserError: for a method that has no rule here, and for values of the wrong kind.
    """
    method = _method(config)
    reader = {
        "fp8": _read_fp8,
        "awq": _read_integer,
        "gptq": _read_integer,
        "compressed-tensors": _read_groups,
        "mxfp4": _read_mxfp4,
        "modelopt": _read_modelopt,
    }[method]
    quantization = reader(config)
    quantization.compiled()
    if not quantization.rules:
        raise UserError.of(
            key="config.json: quantization_config",
            wrong="names no module that is quantized in a way that is known",
            allowed=", ".join(_ALGORITHMS),
            fix="compare with the config.json that the model's repository holds",
        )
    return quantization


def _method(config: Mapping[str, object]) -> str:
    method, inner = config.get("quant_method"), config.get("quantization")
    if method is None and (config.get("quant_algo") or (isinstance(inner, Mapping) and inner.get("quant_algo"))):
        return "modelopt"
    names = {name: checkpoint for checkpoint, readers in READERS_OF.items() for name in readers}
    if not isinstance(method, str) or method not in names:
        raise UserError.of(
            key="config.json: quantization_config.quant_method",
            wrong="there is no rule for the size of weights that are quantized this way",
            value=method,
            allowed=", ".join(sorted(names)),
            fix="size the model that it was quantized from, or choose a checkpoint in one of these formats",
        )
    return names[method]


def _number(config: Mapping[str, object], key: str, allowed: Sequence[int], default: int) -> int:
    value = config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        raise UserError.of(
            key=f"config.json: quantization_config.{key}",
            wrong="is not a value that the format has",
            value=value,
            allowed=", ".join(map(str, allowed)),
            fix="compare with the config.json that the model's repository holds",
        )
    return value


def _block(config: Mapping[str, object], key: str) -> tuple[int, int] | None:
    """Outputs and inputs that share a scale."""
    block = config.get(key)
    if block is None:
        return None
    if isinstance(block, list) and len(block) == 2:
        outputs, inputs = block
        if (
            type(outputs) is int
            and type(inputs) is int
            and 0 < outputs <= LARGEST_BLOCK
            and 0 < inputs <= LARGEST_BLOCK
        ):
            return outputs, inputs
    raise UserError.of(
        key=f"config.json: quantization_config.{key}",
        wrong="must be two positive numbers, outputs and inputs of one block",
        value=block,
        allowed="such as [128, 128]",
        fix="compare with the config.json that the model's repository holds",
    )


def _strings(config: Mapping[str, object], *keys: str) -> tuple[str, ...]:
    for key in keys:
        value = config.get(key)
        if isinstance(value, list | tuple):
            return tuple(item for item in value if isinstance(item, str))
    return ()


def _read_fp8(config: Mapping[str, object]) -> Quantization:
    block = _block(config, "weight_block_size")
    scheme = Scheme(kind="fp8", bits=8, block=block, activations_quantized=True) if block else FP8_TENSOR
    ignored = _strings(config, "modules_to_not_convert", "ignored_layers")
    return Quantization(method="fp8", rules=((("Linear",), scheme),), ignored=ignored)


def _read_integer(config: Mapping[str, object]) -> Quantization:
    bits = _number(config, "bits", (2, 3, 4, 8), 4)
    group = _number(config, "group_size", GROUPS, 128)
    zero_points = bool(config.get("zero_point", not config.get("sym", True)))
    scheme = Scheme(kind=f"int{bits}", bits=bits, group=group, scale_bytes=2, zero_points=zero_points)
    targets = ("Linear", "lm_head") if config.get("lm_head") else ("Linear",)
    ignored = _strings(config, "modules_to_not_convert")
    return Quantization(method=_method(config), rules=((targets, scheme),), ignored=ignored)


def _read_mxfp4(config: Mapping[str, object]) -> Quantization:
    del config  # vLLM quantizes the experts, whatever the list of modules says
    return Quantization(method="mxfp4", rules=((("Linear",), MXFP4),), experts_only=True)


def _read_groups(config: Mapping[str, object]) -> Quantization:
    groups = config.get("config_groups")
    if not isinstance(groups, Mapping) or not groups:
        raise UserError.of(
            key="config.json: quantization_config.config_groups",
            wrong="must name at least one group of matrices",
            value=groups,
            allowed='{"group_0": {"targets": [...], "weights": {"num_bits": ...}}}',
            fix="compare with the config.json that the model's repository holds",
        )
    rules = tuple(_read_group(group) for group in groups.values() if isinstance(group, Mapping))
    scheme = config.get("kv_cache_scheme")
    return Quantization(
        method="compressed-tensors",
        rules=rules,
        ignored=_strings(config, "ignore"),
        kv_cache_dtype="fp8" if isinstance(scheme, Mapping) and scheme.get("num_bits") == 8 else None,
    )


def _read_group(group: Mapping[str, object]) -> tuple[tuple[str, ...], Scheme]:
    weights = group.get("weights")
    weights = weights if isinstance(weights, Mapping) else {}
    bits = _number(weights, "num_bits", (2, 3, 4, 8), 8)
    is_float = weights.get("type") == "float"
    strategy = weights.get("strategy")
    size = None if weights.get("group_size") is None else _number(weights, "group_size", GROUPS, 128)
    block = _block(weights, "block_structure") if strategy == "block" else None
    activations = group.get("input_activations") is not None
    scheme = Scheme(
        kind=("fp" if is_float else "int") + str(bits),
        bits=bits,
        group=size if size is not None else {"tensor": 0}.get(str(strategy), -1),
        block=block,
        scale_bytes=1 if is_float and bits == 4 else 2 if bits < 8 else 4,
        zero_points=weights.get("symmetric") is False,
        activations_quantized=activations,
    )
    return _strings(group, "targets") or ("Linear",), scheme


_ALGORITHMS = {
    "FP8": FP8_TENSOR,
    "FP8_PER_CHANNEL_PER_TOKEN": Scheme(kind="fp8", bits=8, group=-1, activations_quantized=True),
    "FP8_PB_WO": Scheme(kind="fp8", bits=8, block=(128, 128), activations_quantized=True),
    "NVFP4": NVFP4,
    "W4A16_NVFP4": Scheme(kind="fp4", bits=4, group=16, scale_bytes=1),
    "MXFP8": Scheme(kind="fp8", bits=8, group=32, scale_bytes=1, activations_quantized=True),
}


def _read_modelopt(config: Mapping[str, object]) -> Quantization:
    inner = config.get("quantization")
    inner = inner if isinstance(inner, Mapping) else config
    algorithm = inner.get("quant_algo")
    if algorithm == "MIXED_PRECISION":
        rules = _mixed_rules(inner)
    elif isinstance(algorithm, str) and algorithm in _ALGORITHMS:
        rules = ((("Linear",), _ALGORITHMS[algorithm]),)
    else:
        raise UserError.of(
            key="config.json: quantization_config.quant_algo",
            wrong="there is no rule for the size of weights that are quantized this way",
            value=algorithm,
            allowed=", ".join([*_ALGORITHMS, "MIXED_PRECISION"]),
            fix="size the model that it was quantized from, or choose a checkpoint in one of these formats",
        )
    kv_cache = inner.get("kv_cache_scheme") or inner.get("kv_cache_quant_algo")
    is_fp8 = kv_cache == "FP8" or (isinstance(kv_cache, Mapping) and kv_cache.get("num_bits") == 8)
    return Quantization(
        method="modelopt",
        rules=rules,
        ignored=_strings(inner, "ignore", "exclude_modules"),
        kv_cache_dtype="fp8" if is_fp8 else None,
    )


def _mixed_rules(config: Mapping[str, object]) -> tuple[tuple[tuple[str, ...], Scheme], ...]:
    layers = config.get("quantized_layers")
    by_algorithm: dict[str, list[str]] = {}
    for module, details in layers.items() if isinstance(layers, Mapping) else ():
        algorithm = details.get("quant_algo") if isinstance(details, Mapping) else None
        if isinstance(algorithm, str) and algorithm in _ALGORITHMS:
            by_algorithm.setdefault(algorithm, []).append(str(module))
    return tuple((tuple(modules), _ALGORITHMS[algorithm]) for algorithm, modules in by_algorithm.items())
