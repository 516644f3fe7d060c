"""What a model does for those who ask it: which paths vLLM then answers, and what a server is asked to show it.

vLLM 0.32.0 answers paths by what its model supports (`vllm/entrypoints/pooling/factories.py`); real servers are asked
for all of them in tests/real/test_pooling.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

Task = Literal["generate", "embed", "score"]

READ_PATHS = ("/v1/models", "/v1/models/*")
"""Of every server; read, and by no other method (vLLM 0.32.0's own table of routes)."""
PATHS: Mapping[Task, tuple[str, ...]] = {
    "embed": ("/v1/embeddings", "/v1/score", "/v1/rerank"),
    "score": ("/v1/score", "/v1/rerank"),
}
"""What else a model answers that makes no tokens. One that embeds scores by how alike two vectors are."""
POOLED = frozenset(path for paths in PATHS.values() for path in paths)
PROBES: Mapping[Task, Mapping[str, Mapping[str, Any]]] = {
    "generate": {
        "/v1/completions": {"prompt": "1", "max_tokens": 1},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "1"}], "max_tokens": 1},
    },
    "embed": {"/v1/embeddings": {"input": "1"}},
    "score": {
        "/v1/rerank": {"query": "1", "documents": ["1"]},  # each /v1/score is a warning in vLLM's log
        "/v1/score": {"queries": "1", "documents": "1"},
    },
}
"""The smallest requests that show that a server does its task, by path, the best first."""


def answers(task: Task, path: str) -> bool:
    """Whether vLLM answers this path with such a model; of one that generates, whatever is no other task's."""
    if path in READ_PATHS:
        return True
    return path not in POOLED if task == "generate" else path in PATHS[task]


def probe(task: Task, name: str, paths: Collection[str] = ()) -> dict[str, Any]:
    """As cloud-init/shared/probe.py takes it: path and body.

    Args:
        name: that requests carry.
        paths: those that are open where it is asked; none where all are.
    """
    asked = PROBES[task]
    path = next((one for one in asked if one in paths), next(iter(asked)))
    return {"path": path, "body": {"model": name, **asked[path]}}
