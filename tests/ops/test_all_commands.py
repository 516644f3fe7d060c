"""Every command of tandem/ops/cli.py: what it says and how it ends where AWS does not tell, and what all can do.

A new command is here by itself; it says in ARGUMENTS how it is called, or in OFFLINE why it needs no AWS.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from pulumi_rehearsal.account_gaps import AccountGaps
from tandem import pins
from tandem.ops import cli, options
from tandem.ops.aws import aws_clients
from tandem.ops.kinds.kind import Clients
from tests.ops.account import IMAGE, Builder
from tests.ops.test_screen import NASTY

ARGUMENTS: dict[str, list[str]] = {
    "audit": ["dev"],
    "batch cancel": ["dev"],
    "batch list": ["dev"],
    "batch results": ["dev"],
    "batch resume": ["dev"],
    "batch run": ["dev", "requests.jsonl"],
    "batch status": ["dev"],
    "canary": ["dev"],
    "cost": ["dev", "--live"],
    "doctor": ["dev"],
    "ephemeral down": ["eph-abc123", "--region", "us-east-1"],
    "ephemeral extend": ["eph-abc123", "--ttl", "8h"],
    "ephemeral list": [],
    "ephemeral up": [],
    "gateway apply": ["teams", "teams.yaml"],
    "image bake": ["dev"],
    "image clean": ["dev"],
    "image list": ["dev"],
    "keys add": ["dev", "me"],
    "keys list": ["dev"],
    "keys revoke": ["dev", "me"],
    "keys rotate": ["dev", "me"],
    "load": ["dev"],
    "logs": ["dev", "--slow"],
    "pin": ["--region", "us-east-1", "--update"],
    "ready": ["dev"],
    "reap": [],
    "recover": ["dev", "--region", "us-east-1"],
    "region add": ["eu-west-1", "--from", "dev"],
    "region list": [],
    "region remove": ["dev"],
    "rollout": ["dev"],
    "smoke": ["dev"],
    "soak": ["dev", "--peak", "4"],
    "status": ["dev"],
    "top": ["dev"],
}
OFFLINE = {
    "diagram": "reads Pulumi's state",
    "keys digest": "reads a key from standard input",
    "observe": "reads files only",
    "memory": "counts, and asks a server of the caller's",
    "rehearse": "simulates the account",
    "render": "reads files only",
    "sbom": "reads files only",
    "size": "counts, and asks the hub for a model that the catalog lacks",
}


def leaves(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Each command as it is typed; what is listed only is imported."""
    command = getattr(command, "command", command)
    for word, inner in getattr(command, "commands", {}).items():
        yield from leaves(inner, f"{name} {word}".strip())
    if not hasattr(command, "commands"):
        yield name, command


COMMANDS = dict(leaves(typer.main.get_command(cli.app)))
ON_AWS = sorted(set(COMMANDS) - set(OFFLINE))

Broken = Callable[[AccountGaps, pytest.MonkeyPatch], str]
"""Breaks the way to AWS; returns what a command must say of it."""


def without_credentials(_account: AccountGaps, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return "there are no AWS credentials in this shell"


def with_an_expired_token(account: AccountGaps, _monkeypatch: pytest.MonkeyPatch) -> str:
    account.refused["*"] = ("ExpiredToken", "The security token included in the request is expired")
    return "the AWS credentials have expired"


def without_a_network(_account: AccountGaps, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    return "AWS has no endpoint there that answers"


GATEWAY = """
  tandem:loadBalancer: {domainName: api.example.com, hostedZoneId: Z0123456789ABC}
  tandem:gateway: {hostName: teams.example.com}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the shipped stacks and an ephemeral one, and no engine to be found."""
    shipped = options.PROJECT
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml", "Pulumi.prod.yaml", "Pulumi.prod-ec2.yaml"):
        (tmp_path / name).write_text((shipped / name).read_text(encoding="utf-8"), encoding="utf-8")
    dev = (shipped / "Pulumi.dev.yaml").read_text(encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text(f"{dev}  tandem:batch: {{maxUsd: 20}}\n", encoding="utf-8")
    (tmp_path / "Pulumi.teams.yaml").write_text(dev + GATEWAY, encoding="utf-8")
    (tmp_path / "teams.yaml").write_text("teams: {}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Pulumi.eph-abc123.yaml").write_text(dev, encoding="utf-8")
    (tmp_path / "pins.toml").write_bytes((shipped / "images/pins.toml").read_bytes())
    monkeypatch.setenv(pins.PINS_FILE_VARIABLE, str(tmp_path / "pins.toml"))
    monkeypatch.setattr(options, "PROJECT", tmp_path)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("COLUMNS", "300")
    return tmp_path


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """As from a shell: the exit status, and all that was printed."""
    said = io.StringIO()
    monkeypatch.setattr(sys, "argv", ["tandem", *words])
    monkeypatch.setattr("signal.signal", lambda *_arguments: None)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            cli.main()
    except SystemExit as end:
        return int(end.code or 0), said.getvalue()
    return 0, said.getvalue()


def test_every_command_is_known_here() -> None:
    assert set(COMMANDS) == set(ARGUMENTS) | set(OFFLINE)


@pytest.mark.parametrize("broken", [without_credentials, with_an_expired_token, without_a_network])
@pytest.mark.parametrize("command", ON_AWS)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_no_command_takes_no_answer_for_an_answer(
    command: str,
    broken: Broken,
    as_json: bool,
    aws_account: AccountGaps,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It fails, names the cause once with what mends it, and says nothing of an account that it has not seen."""
    cause = broken(aws_account, monkeypatch)
    before = {path.name: path.read_bytes() for path in project.iterdir()}
    status, said = run([*command.split(), *ARGUMENTS[command], *(["--json"] if as_json else [])], monkeypatch)
    assert status not in (0, 130), said
    message = said.partition("tandem: ")[2] if as_json else ""
    printed = message or said  # beside a message rows of JSON hold their own problem; without one the document says it
    assert printed.count(cause) == 1, said
    for claim in ("not up", " 0 left", "nothing in the account", "nothing has expired", "No ephemeral stack", "agree"):
        assert claim not in said, said
    assert "Traceback" not in said
    assert "fix" in said
    assert {path.name: path.read_bytes() for path in project.iterdir()} == before
    assert os.environ["PATH"] == "/nonexistent"


@pytest.mark.parametrize(
    "command",
    [*sorted(name for name, given in ARGUMENTS.items() if given[:1] in (["dev"], ["eph-abc123"], ["teams"])), "render"],
)
def test_no_command_takes_an_empty_name_for_a_stack(
    command: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`tandem recover "$STACK"` where the variable is not set."""
    for name in ("", " "):
        status, said = run([*command.split(), name], monkeypatch)
        assert status == 2
        assert "no stack has an empty name" in said


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_can_answer_in_json(command: str) -> None:
    assert "--json" in {option for parameter in COMMANDS[command].params for option in parameter.opts}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_says_how_it_ends(command: str) -> None:
    assert "Exit status" in (COMMANDS[command].help or ""), command


IN_XML = NASTY.replace("\x1b", "").replace("\x07", "")
"""What XML, in which EC2 and others answer, can carry of it."""


def named(clients: Clients) -> None:
    """A stack whose names, tags and machine image a terminal or rich would obey, and another with such a name."""
    made, ec2 = Builder(clients, "dev", "tandem-dev-one").everything(), clients("ec2")
    own = [resource_id for _, resource_id in made.made if re.fullmatch(r"(vpc|subnet|vol|eipalloc)-\w+", resource_id)]
    ec2.create_tags(Resources=own, Tags=[{"Key": "Name", "Value": IN_XML}])
    ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=Builder(clients, IN_XML, "x").specification("vpc"))
    (instance,) = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)["Instances"]
    baked = [{"ResourceType": "image", "Tags": [*made.tags, {"Key": "tandem:baked", "Value": "true"}]}]
    ec2.create_image(InstanceId=instance["InstanceId"], Name=IN_XML, TagSpecifications=baked)


def refusing(account: AccountGaps) -> None:
    """AWS's own words hold what somebody has made."""
    for action in ("ec2:DescribeVpcs", "ec2:DescribeImages"):
        account.refused[action] = ("UnauthorizedOperation", IN_XML)
    for action in ("pricing:GetProducts", "ssm:GetParametersByPath", "ssm:GetParameter"):
        account.refused[action] = ("AccessDeniedException", NASTY)


OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e]|\N{SMILING FACE WITH OPEN MOUTH AND SMILING EYES}"
)
"""What a terminal obeys, and what rich makes of `:smile:`."""


@pytest.mark.parametrize("scene", ["names", "refusals"])
def test_no_command_obeys_what_an_account_says(
    scene: str, aws_account: AccountGaps, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids, names and AWS's words are printed as they are, escape sequences written out; JSON escapes them itself."""
    named(aws_clients("us-east-1"))
    if scene == "refusals":
        refusing(aws_account)
    told = set()
    for command in LOOKING:
        for more in ([], ["--json"]):
            _, said = run([*command.split(), *more], monkeypatch)
            assert not OBEYED.search(said), (command, said)
            assert "Traceback" not in said, said
            told |= {command} if "[red]a[/] [/b] :smile:" in said else set()
    assert told == set(LOOKING) - set(SILENT[scene])


LOOKING = (
    "audit",
    "audit dev",
    "cost dev --live",
    "doctor dev",
    "ephemeral list",
    "image clean dev --keep 0",
    "image list dev",
    "ready dev",
    "reap",
    "region list --no-probe",
    "status dev --no-probe",
    "top dev",
)
SILENT = {
    "names": (
        "cost dev --live",
        "doctor dev",
        "ephemeral list",
        "ready dev",
        "region list --no-probe",
        "status dev --no-probe",
        "top dev",
    ),
    "refusals": ("region list --no-probe", "status dev --no-probe", "top dev"),
}
"""Commands that print no name that AWS lets anybody choose freely, and those that say a refusal in their own words."""
