"""Reads a model's config.json from disk, and says in words when it is none."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from tandem.errors import UserError
from tandem.sizing.checkpoint import weighed
from tandem.sizing.reading import read_shape
from tandem.sizing.shapes import ModelShape

QUANTIZATION = "hf_quant_config.json"
"""Where ModelOpt before 0.31 says how it quantized, beside a config.json that says nothing of it."""
LARGEST_CONFIG = 4 * 2**20
"""The largest known config.json has 60 KB; weights by mistake are a thousand times this."""


def load_shape(path: Path) -> ModelShape:
    """The shape of the model that this config.json describes. A directory stands for the config.json in it; of weights
    that are beside it the headers are read.

    Raises:
        UserError: when there is no such file, it is no config.json, or it cannot be sized.
    """
    file = path / "config.json" if os.path.isdir(path) else path  # noqa: PTH112  (is_dir() raises for a long name)
    return weighed(read_shape(load_config(path)), file.parent)


def load_config(path: Path) -> object:
    """The config.json alone, with what is beside it on quantization.

    Raises:
        UserError: there is no such file, or it is no JSON.
    """
    file = path / "config.json" if os.path.isdir(path) else path  # noqa: PTH112
    config, beside = parse_config(_read(file), str(path)), file.with_name(QUANTIZATION)
    if lacks_quantization(config) and os.path.isfile(beside):  # noqa: PTH113
        config = quantized_as(config, parse_config(_read(beside), str(beside)))
    return config


def lacks_quantization(config: object) -> bool:
    """Whether vLLM would look for QUANTIZATION beside it."""
    return isinstance(config, Mapping) and config.get("quantization_config") is None


def quantized_as(config: object, quantization: object) -> object:
    """The config.json with what a file of its own says of quantization."""
    return {**config, "quantization_config": quantization} if isinstance(config, Mapping) else config


def parse_config(text: bytes, name: str) -> object:
    """Parses the bytes of a config.json.

    Raises:
        UserError: names the line where it stops being JSON.
    """
    try:
        return json.loads(text.decode())
    except UnicodeDecodeError:
        raise _problem(name, "is not text, so it is no config.json", "a JSON file in UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        is_cut = error.doc.lstrip().startswith("{") and not error.doc.rstrip().endswith("}")
        cut = "; it ends too early, as after a broken download" if is_cut else ""
        raise _problem(name, f"is not JSON at {where}{cut}", "the config.json of a model") from None
    except ValueError:
        raise _problem(name, "holds a number of thousands of digits", "the config.json of a model") from None
    except RecursionError:
        raise _problem(name, "is nested deeper than any config.json", "the config.json of a model") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_CONFIG + 1)  # a device has no size that could be asked for before
    except FileNotFoundError:
        raise _problem(str(path), "there is no such file", "the path of a model's config.json") from None
    except OSError as error:
        raise _problem(str(path), f"cannot be read: {error.strerror}", "a readable file") from None
    if len(content) > LARGEST_CONFIG:
        raise _problem(str(path), "is too large, so it is no config.json", f"up to {LARGEST_CONFIG} bytes")
    return content


def _problem(name: str, wrong: str, allowed: str) -> UserError:
    return UserError.of(
        key=name, wrong=wrong, allowed=allowed, fix="download it again from the model's repository on the hub"
    )
