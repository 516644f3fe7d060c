"""A region that leaves, cut off after each step and gone on with: clients are drained, nothing comes up again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tandem.errors import UserError
from tandem.loading import load_stack_file
from tandem.ops import options
from tandem.ops.cli import app
from tandem.ops.leaving import Removal, drain_seconds, phase
from tandem.ops.pulumi import Stack

NAMES = {
    "tandem:loadBalancer": {"domainName": "eu-west-1.llm.example.com", "hostedZoneId": "Z0123456789ABC"},
    "tandem:globalName": {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"},
}


class Cut(Exception):
    """Where the removal was interrupted."""


class Played:
    """What the removal does, in order; it is cut off at one call.

    Stands for: the `pulumi` command.
    Held by: tests/ops/test_region.py::test_two_regions_behind_one_name_come_and_go
    """

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = directory / "Pulumi.prod-eu-west-1.yaml"
        config = {"tandem:region": "eu-west-1", **NAMES, "tandem:requirePins": False}
        self.path.write_text(yaml.safe_dump({"config": config}), encoding="utf-8")
        self.done: list[str] = []
        self.cut_at = -1
        self.resources: list[dict[str, Any]] = []
        for name in ("up", "destroy", "remove"):
            monkeypatch.setattr(Stack, name, self._step(name))
        monkeypatch.setattr(Stack, "export", lambda _stack: {"deployment": {"resources": self.resources}})

    def _step(self, name: str) -> Callable[..., None]:
        def step(_stack: Stack, *_arguments: Any) -> None:
            self.did(name if name != "up" else f"up, serving {load_stack_file(self.path).global_name.serving}")  # pyright: ignore

        return step

    def did(self, what: str) -> None:
        self.done.append(what)
        if len(self.done) - 1 == self.cut_at:
            raise Cut

    def remove(self, cut_at: int = -1) -> list[str]:
        """What a run does; cut off at its call of that number."""
        self.done, self.cut_at = [], cut_at
        with contextlib.suppress(Cut):
            Removal(
                path=self.path,
                engine=Stack("prod-eu-west-1"),
                seconds=420,
                told=lambda _line: None,
                sleep=lambda seconds: self.did(f"wait {seconds}"),
            ).run()
        return self.done


WHOLE = ["up, serving False", "wait 420", "destroy", "remove"]


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(tmp_path, monkeypatch)


def test_a_removal_drains_before_it_destroys(played: Played) -> None:
    assert drain_seconds(load_stack_file(played.path)) == 420
    assert played.remove() == WHOLE
    assert not played.path.exists()


@pytest.mark.parametrize(("cut_at", "rest"), [(0, WHOLE), (1, WHOLE), (2, WHOLE[2:]), (3, WHOLE[2:])])
def test_a_removal_that_was_cut_off_goes_on(played: Played, cut_at: int, rest: list[str]) -> None:
    """The wait is served whole, however often it was cut off; nothing is brought up once destroying has begun."""
    for _again in range(2):
        played.remove(cut_at if phase(played.path) != "destroying" else cut_at - 2)
    assert played.remove() == rest


def test_what_stands_behind_no_name_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(tmp_path, monkeypatch)
    played.path.write_text(yaml.safe_dump({"config": {"tandem:region": "eu-west-1"}}), encoding="utf-8")
    assert played.remove() == ["destroy", "remove"]


def test_one_that_had_left_the_name_long_before_is_not_waited_for(played: Played) -> None:
    document = yaml.safe_load(played.path.read_text(encoding="utf-8"))
    document["config"]["tandem:globalName"]["serving"] = False
    played.path.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert played.remove() == WHOLE[2:]


BALANCER = {
    "urn": "urn:pulumi:prod-eu-west-1::tandem::aws:lb/loadBalancer:LoadBalancer::prod",
    "type": "aws:lb/loadBalancer:LoadBalancer",
    "id": "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/prod/1",
    "outputs": {"enableDeletionProtection": True},
}
CACHE = {"urn": "urn:pulumi:prod-eu-west-1::tandem::aws:efs/fileSystem:FileSystem::cache", "type": "x", "protect": True}


@pytest.mark.parametrize("by_file", [False, True], ids=["in the account", "by the file"])
def test_a_protected_load_balancer_stops_it_before_anything_is_done(played: Played, by_file: bool) -> None:
    if by_file:
        document = yaml.safe_load(played.path.read_text(encoding="utf-8"))
        document["config"]["tandem:loadBalancer"]["deletionProtection"] = True
        played.path.write_text(yaml.safe_dump(document), encoding="utf-8")
    else:
        played.resources = [BALANCER]
    before = played.path.read_text(encoding="utf-8")
    with pytest.raises(UserError, match=r"tandem:loadBalancer\.deletionProtection false --stack prod-eu-west-1"):
        played.remove()
    assert played.done == []
    assert played.path.read_text(encoding="utf-8") == before


def test_a_protected_cache_stops_it_once_clients_are_elsewhere_and_no_up_protects_it_again(played: Played) -> None:
    played.resources = [CACHE]
    for done in (WHOLE[:2], []):
        with pytest.raises(UserError, match="pulumi state unprotect --all --stack prod-eu-west-1"):
            played.remove()
        assert played.done == done
    played.resources = [{**CACHE, "protect": False}]
    assert played.remove() == WHOLE[2:]
    assert not played.path.exists()


@pytest.mark.usefixtures("aws_account")
@pytest.mark.parametrize(("options_", "refused"), [([], True), (["--last"], False)])
def test_the_last_region_of_a_name_needs_a_word_of_its_own(
    played: Played, monkeypatch: pytest.MonkeyPatch, options_: list[str], refused: bool
) -> None:
    """Another stack has a file with the same name, and is not up: nobody would answer its clients."""
    monkeypatch.setattr(options, "PROJECT", played.path.parent)
    other = yaml.safe_load(played.path.read_text(encoding="utf-8"))
    other["config"] |= {"tandem:region": "us-east-1"}
    other["config"]["tandem:loadBalancer"] = {**NAMES["tandem:loadBalancer"], "domainName": "us.llm.example.com"}
    (played.path.parent / "Pulumi.prod.yaml").write_text(yaml.safe_dump(other), encoding="utf-8")
    result = CliRunner().invoke(app, ["region", "remove", "prod-eu-west-1", *options_])
    if refused:
        assert isinstance(result.exception, UserError)
        assert "no other region serves behind llm.example.com" in str(result.exception)
        assert "--last" in result.exception.problems[0].fix
    else:
        assert result.exit_code == 0, result.output
        assert "which leaves nobody there" in result.output
    assert played.path.exists()
