"""Which files of a model are taken, and the manifest that names each of them with size and hash.

One rule for `tandem pin` and for the machines: the hash of the manifest, which is pinned, depends on the list.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

# A file: its hash (SHA-256 where it is in LFS or Xet, else git's SHA-1), its size in bytes, its path in the repository.
Row = tuple[str, int, str]
# Weights, in the formats that vLLM's default loader takes, the better first.
WEIGHTS = (r"[^/]+\.safetensors", r"pytorch_model[^/]*\.bin")
# All that vLLM reads of a LoRA adapter; a folder may have its base's config.json and tokenizer beside it.
ADAPTER = ["adapter_config.json", "adapter_model.safetensors"]
# Of layers that sentence-transformers puts on top: without them vLLM makes other vectors, and says nothing.
DENSE = (r"\d+_Dense/model\.safetensors", r"\d+_Dense/pytorch_model\.bin")
# Configuration, tokenizer, chat template, index, code of the model's own; of any folder.
SMALL = r"[^/].*\.(json|jinja|txt|py|tiktoken|bpe|model(\.v\w+)?)"


def taken(names: Iterable[str]) -> list[str]:
    """What vLLM loads of a repository, sorted: weights of the root folder in one format, those of layers on top, and
    the small files; of a LoRA adapter, which has no weights of its own beside it, two files.

    Of safetensors that begin with `consolidated` (Mistral's own format) vLLM takes none while there are others: without
    network it looks for no other format than the general one, and both together break it.

    Raises:
        ValueError: no config.json, or no weights.
    """

    def like(pattern: str) -> list[str]:
        return [name for name in names if re.fullmatch(pattern, name) and ".." not in name]

    names = list(names)
    weights, dense = (next(filter(None, map(like, formats)), []) for formats in (WEIGHTS, DENSE))
    if weights == ADAPTER[1:] and ADAPTER[0] in names:
        return ADAPTER
    weights = [name for name in weights if not name.startswith("consolidated")] or weights
    if not weights or "config.json" not in names:
        raise ValueError("no config.json, or no weights (safetensors, pytorch_model*.bin) beside it")
    return sorted({*weights, *dense, *like(SMALL)})


def of_hub(siblings: Iterable[dict[str, Any]]) -> list[Row]:
    """The manifest of a revision, from the `siblings` of the hub's answer about it with `blobs=true`.

    Raises:
        ValueError: no config.json, or no weights; or no sizes and hashes, as a mirror's answer may have none.
    """
    files = {file["rfilename"]: file for file in siblings}
    chosen = ((path, files[path]) for path in taken(files))
    try:
        return [((file.get("lfs") or {}).get("sha256") or file["blobId"], file["size"], path) for path, file in chosen]
    except KeyError as error:
        raise ValueError(f"no {error} of each file in the hub's answer") from None


def digest(rows: Iterable[Row]) -> str:
    """SHA-256 of a manifest, which stands for all that is in it."""
    return hashlib.sha256(json.dumps(list(rows)).encode()).hexdigest()
