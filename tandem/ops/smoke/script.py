"""The checks as one file for a bare Python, to be pasted where tandem is not. It is the package's own code, joined."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

MODULES = ("result", "connection", "checks", "pooled", "suite", "__main__")
"""In the order in which they need one another; none imports anything but those before it and the standard library."""
HEAD = '''#!/usr/bin/env python3
"""Whether an API does what its clients expect, and nothing that strangers hope for: `tandem smoke` in one file.

    TANDEM_URL=https://llm.example.com TANDEM_API_KEY=... python3 smoke.py

Python 3.11 or later, and nothing else. Made by `tandem smoke --script`; make it anew rather than change it.
"""

from __future__ import annotations
'''
Imports = ast.Import | ast.ImportFrom


def script() -> str:
    """All modules, without what they import of one another."""
    texts = [Path(__file__).with_name(f"{name}.py").read_text("utf-8") for name in MODULES]
    imported = [one for text in texts for one in ast.parse(text).body if isinstance(one, Imports)]
    return "\n\n".join([HEAD + "\n" + _imports(imported), *map(_own, texts)])


def _imports(found: Iterable[Imports]) -> str:
    """Of the standard library, each name once."""
    whole, parts = set[str](), defaultdict[str, set[str]](set)
    for one in found:
        names = {alias.name for alias in one.names}
        if isinstance(one, ast.Import):
            whole |= names
        elif (module := one.module or "") != "__future__" and module.partition(".")[0] != "tandem":
            parts[module] |= names
    lines = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(parts.items())]
    return "\n".join([*(f"import {name}" for name in sorted(whole)), *lines])


def _own(source: str) -> str:
    """A module's text after its docstring and its imports."""
    lines, (about, *rest) = source.splitlines(), ast.parse(source).body
    left_out = [about, *(one for one in rest if isinstance(one, Imports))]
    gone = {number for one in left_out for number in range(one.lineno, (one.end_lineno or one.lineno) + 1)}
    return "\n".join(line for number, line in enumerate(lines, 1) if number not in gone).strip() + "\n"
