"""What machines get of the Python in cloud-init/: hosts and pods all of it, a bake what a machine reads."""

from __future__ import annotations

import ast
import hashlib
import io
import tarfile

import pytest

from tandem.scripts import archive, edge_script, host_archive, sources, without_remarks

ROOMS = ("host", "shared", "bake", "pod")
ALL = {f"{room}/{name}": text for room in ROOMS for name, text in sources(room).items()}


def bare(source: str) -> str:
    """The syntax tree without docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


@pytest.mark.parametrize("name", ALL)
def test_without_remarks_it_is_the_same_program(name: str) -> None:
    shipped = without_remarks(ALL[name])
    assert bare(shipped) == bare(ALL[name])
    assert "#" not in shipped.replace('"#', "")


def test_remarks_go_and_strings_stay() -> None:
    source = '"""Doc."""\n\n\ndef f():\n    """Doc."""\n\n\n'
    source += 'class E(Exception):\n    """Doc\n\n    more."""\n\n\nX = "# no"  # yes\n'
    assert without_remarks(source) == 'def f():\n    pass\nclass E(Exception):\n    pass\nX = "# no"\n'


def test_an_archive_is_the_same_bytes_on_each_machine() -> None:
    """Another hash of the same files, by another Python or library, would replace every host for nothing."""
    found = archive({"b.py": "b = 2\n", "a.py": "a = 1\n"})
    assert found == archive({"a.py": "a = 1\n", "b.py": "b = 2\n"})
    assert hashlib.sha256(found).hexdigest() == "dec9f7edf875e6102130560fd5cfb52b12b56c53f673259e908ace72f7683f72"


def test_hosts_fetch_the_sources_as_they_are_by_their_hash() -> None:
    name, content = host_archive("# nginx\n")
    assert name == f"{hashlib.sha256(content).hexdigest()}.tar.bz2"
    with tarfile.open(fileobj=io.BytesIO(content)) as found:
        files = {entry.name: (found.extractfile(entry) or io.BytesIO()).read().decode() for entry in found}
        assert {(entry.mtime, entry.uid, entry.gid, entry.mode) for entry in found} == {(0, 0, 0, 0o644)}
    assert files == {**sources("host", "shared", "batch"), "edge.js": edge_script(), "nginx.conf": "# nginx\n"}


def test_a_module_of_one_name_in_two_rooms_is_refused() -> None:
    with pytest.raises(AssertionError, match="share one directory"):
        sources("host", "host")
