"""What a checkpoint weighs: by the headers of its safetensors files, or by the index beside them.

A file begins with the length of its header (8 bytes, little-endian), then has the header, JSON that gives each tensor's
place: https://huggingface.co/docs/safetensors/index#format. An index names each tensor's file, and the bytes of all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from tandem.errors import UserError
from tandem.sizing.shapes import ModelShape
from tandem.sizing.units import DTYPE_BYTES
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
FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
"""Bytes of an element, by the format's names."""
OTHER_DTYPES = (0.5, 2, 4)
"""How much heavier a checkpoint in 8, 32 or 64 bits is than one in 16."""
CLOSE = 0.01
"""Within it the arithmetic of the shape stands: it knows what each GPU gets, and how the allocator rounds."""


def weighed(shape: ModelShape, directory: Path) -> ModelShape:
    """With the bytes of the files beside a config.json, where all that vLLM loads are there; else by their index.

    Raises:
        UserError: one of them is no safetensors file, or no index.
    """
    file = directory / INDEX
    index = _parsed(file.read_bytes(), str(file)) if file.is_file() else None
    headers = {str(path): _header_of(path) for path in _loaded_files(directory, index)}
    read = {name: header for name, header in headers.items() if header is not None}
    if headers and len(read) == len(headers):
        return weighed_by_headers(shape, read)
    return weighed_by_index(shape, index)


def _loaded_files(directory: Path, index: Any) -> list[Path]:
    """Mistral's own where there are any, else those of the index, else all; none where one of the index is missing
    (vLLM's `model_loader/default_loader.py`: many repositories have the same weights twice)."""
    files = sorted(directory.glob("*.safetensors"))
    own = [file for file in files if file.name.startswith("consolidated")]
    listed = index.get("weight_map") if isinstance(index, Mapping) else None
    if own or not isinstance(listed, Mapping):
        return own or files
    names = {str(name) for name in listed.values()}
    found = [file for file in files if file.name in names]
    return found if len(found) == len(names) else []


def weighed_by_headers(shape: ModelShape, headers: Mapping[str, bytes]) -> ModelShape:
    """With what files hold, by their headers.

    Raises:
        UserError: one is no header.
    """
    tensors: dict[str, int] = {}
    for name, header in headers.items():
        tensors |= tensor_bytes(header, name, None if shape.quantization else shape.dtype)
    return replace(shape, checkpoint_bytes=loaded(shape, tensors.items()) or None)


def weighed_by_index(shape: ModelShape, index: Any) -> ModelShape:
    """With what an index says of all tensors together; not where some of them are not loaded, or where it differs as
    another dtype does: it counts what is stored, and vLLM makes the model's dtype of that."""
    try:
        total, names = int(index["metadata"]["total_size"]), list(index["weight_map"])
    except (KeyError, OverflowError, TypeError, ValueError):
        return shape
    whole = all(_is_loaded(shape, str(name)) for name in names)
    ratio = total / weight_bytes(shape, 1)
    cast = shape.quantization is None and any(abs(ratio / times - 1) <= CLOSE for times in OTHER_DTYPES)
    return replace(shape, checkpoint_bytes=total) if whole and total > 0 and not cast else shape


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


def tensor_bytes(header: bytes, name: str, dtype: str | None) -> dict[str, int]:
    """By tensor, as a GPU has it.

    Args:
        header: of a file.
        name: of that file.
        dtype: what vLLM makes of each tensor; None where a quantized model keeps the file's own.

    Raises:
        UserError: it is no header.
    """
    try:
        tensors = _parsed(header, name).items()
        return {key: _bytes_of(value, dtype) for key, value in tensors if key != _METADATA}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _no_safetensors(name) from None


def _bytes_of(tensor: Any, dtype: str | None) -> int:
    begin, end = tensor["data_offsets"]
    if not (isinstance(begin, int) and isinstance(end, int) and 0 <= begin <= end):
        raise ValueError
    width = None if dtype is None else FLOATS.get(tensor["dtype"])
    return end - begin if width is None else (end - begin) // width * DTYPE_BYTES[str(dtype)]


_METADATA = "__metadata__"


def _header_of(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            start = file.read(len(POINTER))
            if start == POINTER:
                return None
            length = header_length(start, str(path))
            file.seek(LENGTH)
            return file.read(length)
    except OSError:
        return None  # a link to what was not downloaded, or nothing that may be read


def _parsed(text: bytes, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _no_safetensors(name) from None


def _no_safetensors(name: str) -> UserError:
    return UserError.of(
        key=name,
        wrong="is no file of safetensors, nor an index of such files",
        allowed="what the model's repository has under this name",
        fix="download it again, or give config.json in a directory of its own: it is then sized by its shape",
    )


@lru_cache(maxsize=256)
def scale(shape: ModelShape, hopper: bool) -> float:
    """By how much the checkpoint is heavier than its shape says; 1 where it is not, or was not weighed."""
    if shape.checkpoint_bytes is None:
        return 1.0
    ratio = shape.checkpoint_bytes / weight_bytes(shape, 1, hopper)
    return 1.0 if abs(ratio - 1) <= CLOSE else ratio
