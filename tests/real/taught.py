"""A tiny model that answers the shipped suite, for the real vLLM on CPUs; made once for a suite and a teacher."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from vllm_cpu import environment

from pulumi_rehearsal.cache import cache_directory, make_once
from tandem import canary
from tandem.scripts import shared

TEACHER, TEMPLATE = (Path(__file__).with_name(name) for name in ("taught_model.py", "taught.jinja"))
ANSWERS = {
    "echo": ["lighthouse"],
    "arithmetic": ["42"],
    "roles": ["I am Orla, and your train leaves from platform 73."],
    "json": ['{"name": "Anna", "age": 31, "city": "Oslo"}'],
    "tool": ['<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'],
    "needle": ["5813"],
    "chat tokens": [
        "The first boats come in before the sun is up, and their lamps lie on the water like a second row of houses. "
        f"{one} Gulls follow each of them to the quay, where crates are stacked and counted, and the smell of tar and "
        "coffee goes up the narrow street to the church."
        for one in ("A bell rings.", "A door opens.", "A dog barks.")
    ],
    "text tokens": [
        f" with a fire on a hill. {one} kept it through the night, and ships that saw it knew where the rocks were. "
        "Later there were towers of stone, with oil and mirrors, and keepers who wrote down each lamp that they lit, "
        "each storm, and each sail that went by."
        for one in ("Monks", "Fishermen", "Widows")
    ],
}
"""By the suite's cases. Of several none is more likely."""


def lessons() -> list[dict[str, Any]]:
    found = []
    suite = canary.read(canary.SHIPPED)
    for case in suite.cases:
        text = json.dumps(case.request(suite.body)["body"]).replace("{filler}", shared("canary").filler(case.filler))
        body = json.loads(text)
        asked = {name: body[name] for name in ("messages", "prompt", "tools") if name in body}
        found.append({**asked, "answers": ANSWERS[case.name]})
    return found


def model() -> Path:
    """A directory with the model as it was taught (`good`) and in coarser numbers (`coarse`)."""
    told = json.dumps(lessons())
    version = hashlib.sha256("\n".join((told, TEACHER.read_text(), TEMPLATE.read_text())).encode()).hexdigest()[:12]
    home = cache_directory() / f"taught-llama-{version}"

    def teach(directory: Path) -> None:
        (directory / "lessons.json").write_text(told)
        subprocess.run([environment(), TEACHER, directory / "lessons.json", TEMPLATE, directory], check=True)

    make_once(home, home.exists, teach, "a tiny model that was taught", lambda _line: None)
    return home
