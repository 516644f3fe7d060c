"""The JSON schema of stack files, for editors: `python -m tandem.settings.json_schema docs/stack.schema.json`.

It lets through all that `pulumi preview` does, and finds what is wrong with one setting alone: its name, its type, its
range. What must hold between settings is for tandem/rules/.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tandem.settings.commands import NAMESPACE
from tandem.settings.schema import Settings

AS_TEXT = {"boolean": "^(true|false)$", "integer": "^[0-9]+$", "number": "^[0-9]+([.][0-9]+)?$"}
"""How `pulumi config set` writes what is no text: in quotes, unless it is below a key."""

SECRET = {
    "type": "object",
    "description": "Encrypted; set with `pulumi config set --secret`.",
    "properties": {"secure": {"type": "string"}},
    "required": ["secure"],
    "additionalProperties": False,
}


def stack_file() -> dict[str, Any]:
    """The schema of Pulumi.STACK.yaml. Keys of other namespaces, and the engine's own, may be anything."""
    settings = _relaxed(Settings.model_json_schema())
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Stack file of tandem",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": {f"{NAMESPACE}:{name}": node for name, node in settings["properties"].items()},
                "patternProperties": {f"^(?!({NAMESPACE}|aws):)": {}},
                "required": [f"{NAMESPACE}:{name}" for name in settings["required"]],
                "additionalProperties": False,
            }
        },
        "definitions": settings["$defs"] | {"Secret": SECRET},
    }


def text() -> str:
    """As a file."""
    return json.dumps(stack_file(), indent=2, ensure_ascii=False) + "\n"


def _relaxed(node: Any) -> Any:
    """A schema as pydantic makes it, with what stack files hold where pydantic is given a value."""
    if isinstance(node, list):
        return [_relaxed(each) for each in node]
    if not isinstance(node, dict):
        return node
    if node.get("format") == "password":
        return {"$ref": "#/definitions/Secret"}
    made = {key: _relaxed(value) for key, value in node.items() if key != "title" or not isinstance(value, str)}
    if reference := made.get("$ref"):
        made["$ref"] = reference.replace("#/$defs/", "#/definitions/")
    kind = made.get("type")
    if isinstance(kind, str) and kind in AS_TEXT and "enum" not in made:
        made |= {"type": [kind, "string"], "pattern": AS_TEXT[kind]}
    if "patternProperties" in made:
        made["additionalProperties"] = False
    return made


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
