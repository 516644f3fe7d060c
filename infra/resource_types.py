"""Loads resource types one by one. A module of pulumi_aws brings all of its service, and a preview waits for each."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from pulumi import _utils

_NOT_LOADED = getattr(_utils, "_LazyModule", None)
"""What pulumi_aws puts in a service's place until something is asked of it; where Pulumi has none, all is as ever."""


class _OneByOne(ModuleType):
    """A service of which each name is looked up in the file that is called so; for any other all of it is loaded."""

    def __getattr__(self, name: str) -> Any:
        snake = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
        for file in dict.fromkeys((snake, snake.removesuffix("_args"), snake.removesuffix("_output"), "_inputs")):
            if not (Path(self.__path__[0]) / f"{file}.py").exists():
                continue
            module = import_module(f"{self.__name__}.{file}")
            found = getattr(module, name, module if file == name else None)
            if found is not None:
                setattr(self, name, found)
                return found
        self.__class__ = _NOT_LOADED  # pyright: ignore[reportAttributeAccessIssue]
        return getattr(self, name)


def load_one_by_one() -> None:
    """From now on. ec2, s3 and the like have hundreds of types each, of which a stack uses a few."""
    for name, module in [*sys.modules.items()]:
        if name.startswith("pulumi_aws.") and type(module) is _NOT_LOADED:
            module.__class__ = _OneByOne
