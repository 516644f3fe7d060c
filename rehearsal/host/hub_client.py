"""The hub's own client from PyPI, as the server image has it."""

from __future__ import annotations

from pathlib import Path

from rehearsal.python_environment import environment

OLDEST, NEWEST = "1.31.0", "2.4.0"
"""What vLLM 0.32.0 takes: its metadata asks for huggingface_hub>=1.31.0 and transformers<5.20.0,>=5.16.1, which takes
less than 3.0; on 2026-11-28 uv resolved both together to the newer one."""


def client(version: str) -> Path:
    """The directory with `hf` and `python` of a version."""
    return environment(f"huggingface-hub-{version}", [f"huggingface_hub=={version}"]) / "bin"
