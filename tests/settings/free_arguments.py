"""Each argument that a stack may add, with a value of its kind: for the rule, and for vLLM's own parser."""

from __future__ import annotations

from tandem.catalog.vllm_arguments import arguments

VALUES = {"int": "64", "float": "0.5", "json": "{}", "text": "auto"}


def examples() -> list[str]:
    """In both forms where it is a switch, and with each choice where it has some."""
    known = arguments()
    found: list[str] = []
    for name, kind in known.kinds.items():
        if known.base(name) not in known.free:
            continue
        if kind == "switch":
            found.append(name)
        else:
            found += [f"{name}={value}" for value in (kind if isinstance(kind, tuple) else (VALUES[kind],))]
    return found


MEDIA_LIMITS = {
    '{"image": 4}': True,
    '{"image": 0, "video": 2, "audio": 1}': True,
    '{"image": {"count": 4, "width": 512, "height": 512}}': True,
    '{"video": {"num_frames": 32}}': True,
    '{"audio": {"length": 30}, "vision_chunk": 1}': True,
    '{"image": -1}': False,
    '{"image": "4"}': False,
    '{"image": null}': False,
    '{"image": [4]}': False,
    '{"image": {"count": 4, "length": 3}}': False,
    '{"image": {"width": 0}}': False,
}
"""Whether vLLM reads them as what its --limit-mm-per-prompt takes."""
