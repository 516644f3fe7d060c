"""The properties of a resource type, read from the pulumi_aws package that the program itself uses."""

from __future__ import annotations

import importlib
import inspect
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_origin

from pulumi import _types


@dataclass(frozen=True)
class Schema:
    """What pulumi_aws knows about a type.

    Attributes:
        inputs: names of its inputs.
        required: those without which it cannot be.
        outputs: its outputs, inputs included, with their Python types.
    """

    inputs: frozenset[str]
    required: frozenset[str]
    outputs: Mapping[str, Any]


_importing = threading.Lock()
"""pulumi_aws loads its modules when they are first used, and shows a second thread a half-loaded one."""


@cache
def schema(token: str) -> Schema | None:
    """The schema of `aws:ec2/vpc:Vpc`, or None when pulumi_aws has no such type."""
    module_name, _, class_name = token.removeprefix("aws:").rpartition(":")
    module_name = module_name.partition("/")[0]
    try:
        with _importing:
            module = importlib.import_module(f"pulumi_aws.{'lambda_' if module_name == 'lambda' else module_name}")
            resource = getattr(module, class_name)
    except (ImportError, AttributeError):
        return None
    # where a nested type has the name already, the resource's arguments are called InitArgs
    own = sys.modules[resource.__module__]
    args = getattr(own, f"{class_name}InitArgs", None) or getattr(own, f"{class_name}Args")
    names = _types.input_type_py_to_pulumi_names(args)
    required = {
        names[name]
        for name, parameter in inspect.signature(args.__init__).parameters.items()
        if name in names and parameter.default is inspect.Parameter.empty
    }
    return Schema(frozenset(names.values()), frozenset(required), _types.resource_types(resource))


@cache
def fields(kind: Any) -> Mapping[str, Any] | None:
    """The properties of a nested type; None for scalars, lists and maps."""
    return _types.output_type_types(kind) if isinstance(kind, type) and _types.is_output_type(kind) else None


def element(kind: Any) -> tuple[str, Any]:
    """`("list", X)`, `("map", X)`, `("object", X)` or `("scalar", X)`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is not None and arguments:
        return ("map", arguments[1]) if len(arguments) == 2 else ("list", arguments[0])
    return ("object", kind) if fields(kind) is not None else ("scalar", kind)
