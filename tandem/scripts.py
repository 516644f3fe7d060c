"""The Python that runs on machines, from cloud-init/: of hosts, of pods, and what both share.

It needs nothing but the standard library there, and is read there as it is written here.
"""

from __future__ import annotations

import ast
import bz2
import hashlib
import importlib.util
import io
import sys
import tarfile
import tokenize
from collections.abc import Mapping
from functools import cache
from types import ModuleType

from tandem.files import ROOT

DIRECTORY = ROOT / "cloud-init"


@cache
def sources(*rooms: str) -> dict[str, str]:
    """File name to text of every module in these directories of cloud-init/; names are unique among them."""
    found = [path for room in rooms for path in sorted((DIRECTORY / room).glob("*.py"))]
    assert len({path.name for path in found}) == len(found), "on a machine they share one directory"
    return {path.name: path.read_text(encoding="utf-8") for path in found}


@cache
def shared(name: str, room: str = "shared") -> ModuleType:
    """A module of cloud-init/ that imports no other, for who must go by the same rule as the machines."""
    spec = importlib.util.spec_from_file_location(f"cloud_init_{name}", DIRECTORY / room / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def archive(files: Mapping[str, str]) -> bytes:
    """A tar.bz2 of these texts by name: the same bytes on each machine, of which some have another zlib."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as out:
        for name, text in sorted(files.items()):
            data = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            out.addfile(entry, io.BytesIO(data))
    return bz2.compress(tar.getvalue())


@cache
def edge_script() -> str:
    """What nginx runs to know a client by its key."""
    return (DIRECTORY / "edge.js").read_text(encoding="utf-8")


@cache
def host_archive(nginx: str, canary: str = "") -> tuple[str, bytes]:
    """Name and content of the object that a stack's hosts fetch; the name is the content's SHA-256.

    Args:
        nginx: their nginx.conf.
        canary: what their servers are asked; empty for nothing.
    """
    own = {"nginx.conf": nginx, **({"canary.json": canary} if canary else {})}
    data = archive({**sources("host", "shared", "batch"), "edge.js": edge_script(), **own})
    return f"{hashlib.sha256(data).hexdigest()}.tar.bz2", data


@cache
def without_remarks(source: str) -> str:
    """Python source without docstrings, comments and blank lines."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) or ast.get_docstring(node) is None:
            continue
        docstring, *rest = node.body
        last = docstring.end_lineno or docstring.lineno
        lines[docstring.lineno - 1 : last] = [""] * (last - docstring.lineno + 1)
        if not rest:
            lines[docstring.lineno - 1] = " " * docstring.col_offset + "pass"
    return "\n".join(line for line in lines if line) + "\n"
