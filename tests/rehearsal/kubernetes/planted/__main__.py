"""The project's own program, in which faults are planted: a file beside the stack's says what differs.

It holds a list of `{"type", "name", "path", "value"}`: in resources of that type whose name has that ending, the input
at the path becomes the value; null takes it away, and `{"replace": [this, that]}` changes a text.
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pulumi

FAULTS = Path(pulumi.runtime.get_root_directory() or ".") / "planted.json"


def plant(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult:
    """Changes the inputs of a resource as the file says."""
    for fault in faults:
        if args.type_ == fault["type"] and args.name.endswith(fault["name"]):
            change(args.props, fault["path"], fault["value"])
    return pulumi.ResourceTransformResult(args.props, args.opts)


def change(place: Any, path: list[Any], value: Any) -> None:
    """Changes what is at a path."""
    *way, last = path
    for key in way:
        place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
    if value is None:
        del place[last]
    elif isinstance(value, dict) and "replace" in value:
        this, that = value["replace"]
        place[last] = pulumi.Output.from_input(place[last]).apply(lambda text: text.replace(this, that))
    else:
        place[last] = value


faults = json.loads(FAULTS.read_text()) if FAULTS.exists() else []
pulumi.runtime.register_resource_transform(plant)
runpy.run_module("infra", run_name="__main__")
