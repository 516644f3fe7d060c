"""What a checkpoint weighs: by the headers of its safetensors files, or by the index beside them.

A file begins with the length of its header (8 bytes, little-endian), then has the header, JSON that gives each tensor's
place: https://huggingface.co/docs/safetensors/index#format. An index names each tensor's file, and the bytes of all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from tandem.errors import Problem, UserError
from tandem.sizing.shapes import ModelShape
from tandem.sizing.weights import weight_bytes

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
LENGTH = 8
"""Bytes that tell how long the header is."""
LARGEST_HEADER = 100_000_000
"""Of the format itself."""
LARGEST_INDEX = 64 * 2**20
"""The largest known one, of some 90,000 tensors, has 9 MB."""
POINTER = b"version https://git-lfs"
"""What is in place of a file that Git has not fetched."""
CLOSE = 0.01
"""Within it the arithmetic of the shape stands: it knows what each GPU gets, and how the allocator rounds."""


def weighed(shape: ModelShape, directory: Path) -> ModelShape:
    """With the bytes of the files beside a config.json, where there are any.

    Raises:
        UserError: one of them is no safetensors file, or no index.
    """
    files = sorted(directory.glob("*.safetensors"))
    headers = [header for header in map(_header_of, files) if header is not None]
    if files and len(headers) == len(files):
        return replace(shape, checkpoint_bytes=loaded(shape, [sizes for header in headers for sizes in header.items()]))
    index = directory / INDEX
    return weighed_by_index(shape, _parsed(index.read_bytes(), str(index))) if index.is_file() else shape


def weighed_by_index(shape: ModelShape, index: Any) -> ModelShape:
    """With what an index says of all tensors together; not where some of them are not loaded."""
    try:
        total, names = int(index["metadata"]["total_size"]), list(index["weight_map"])
    except (KeyError, TypeError, ValueError):
        return shape
    whole = all(_is_loaded(shape, str(name)) for name in names)
    return replace(shape, checkpoint_bytes=total) if whole and total > 0 else shape


def loaded(shape: ModelShape, sizes: Iterable[tuple[str, int]]) -> int:
    """Bytes of the tensors that vLLM loads."""
    return sum(size for name, size in sizes if _is_loaded(shape, name))


def _is_loaded(shape: ModelShape, name: str) -> bool:
    """Not layers that only draft, tables that vLLM makes itself, or a head that is the embedding."""
    layer = re.match(r"(?:model\.|language_model\.)*layers\.(\d{1,6})\.", name)
    drafts = name.startswith("mtp.") or (layer is not None and int(layer[1]) >= len(shape.layers))
    is_head = shape.tied_embeddings and re.search(r"(^|\.)lm_head\.weight$", name) is not None
    return not (drafts or is_head or name.endswith("rotary_emb.inv_freq"))


def header_length(start: bytes, name: str) -> int:
    """Bytes of the header that follows.

    Raises:
        UserError: these are not the first bytes of a safetensors file.
    """
    length = int.from_bytes(start[:LENGTH], "little")
    if len(start) < LENGTH or not 2 <= length <= LARGEST_HEADER:
        raise _no_safetensors(name)
    return length


def tensor_bytes(header: bytes, name: str) -> dict[str, int]:
    """By tensor.

    Raises:
        UserError: it is no header.
    """
    try:
        tensors = _parsed(header, name).items()
        return {key: value["data_offsets"][1] - value["data_offsets"][0] for key, value in tensors if key != _METADATA}
    except (AttributeError, KeyError, TypeError, IndexError):
        raise _no_safetensors(name) from None


_METADATA = "__metadata__"


def _header_of(path: Path) -> dict[str, int] | None:
    with path.open("rb") as file:
        start = file.read(len(POINTER))
        if start == POINTER:
            return None
        length = header_length(start, str(path))
        file.seek(LENGTH)
        return tensor_bytes(file.read(length), str(path))


def _parsed(text: bytes, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _no_safetensors(name) from None


def _no_safetensors(name: str) -> UserError:
    return UserError(
        Problem(
            key=name,
            wrong="is no file of safetensors, nor an index of such files",
            allowed="what the model's repository has under this name",
            fix="download it again, or give config.json in a directory of its own: it is then sized by its shape",
        )
    )


@lru_cache(maxsize=256)
def scale(shape: ModelShape, hopper: bool) -> float:
    """By how much the checkpoint is heavier than its shape says; 1 where it is not, or was not weighed."""
    if shape.checkpoint_bytes is None:
        return 1.0
    ratio = shape.checkpoint_bytes / weight_bytes(shape, 1, hopper)
    return 1.0 if abs(ratio - 1) <= CLOSE else ratio
