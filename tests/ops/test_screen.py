"""What an account's data says is shown as it is: no markup, no emoji, no escape sequence."""

from __future__ import annotations

import contextlib
import io
import json

import pytest
from typer.testing import CliRunner

from pulumi_rehearsal.account_gaps import AccountGaps
from tandem.errors import Problem, UserError, merged
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.screen import Screen, columns, visible

NASTY = "[red]a[/] [/b] :smile: [link=http://x]y[/link] \x1b[31mred\x1b[0m \x9b2J \x07 \u202etxt"
SHOWN = r"[red]a[/] [/b] :smile: [link=http://x]y[/link] \x1b[31mred\x1b[0m \x9b2J \x07 \u202etxt"


@pytest.fixture
def screen() -> Screen:
    """One that prints into a file, also where the tests themselves print to a terminal."""
    with contextlib.redirect_stdout(io.StringIO()) as file:
        made = Screen()
    made.file = file
    return made


def printed(screen: Screen) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_text_is_shown_as_it_is(screen: Screen) -> None:
    assert visible(NASTY) == SHOWN
    screen.print(NASTY)
    screen.marked("ok", "green", f" {NASTY}")
    assert printed(screen) == f"{SHOWN}\nok {SHOWN}\n"


def test_cells_and_titles_too(screen: Screen) -> None:
    table = columns("id", "$", title=NASTY)
    table.add_row(NASTY, "1")
    screen.print(table)
    assert printed(screen).count(SHOWN) == 2
    assert "\x1b" not in printed(screen)


def test_an_id_is_never_cut_in_a_pipe(screen: Screen) -> None:
    table = columns("id", "id", "id")
    table.add_row(*("x" * 200,) * 3)
    screen.print(table)
    assert printed(screen).count("x" * 200) == 3
    assert "…" not in printed(screen)


@pytest.mark.parametrize("command", [["image", "list", "dev"], ["image", "clean", "dev", "--keep", "0"]])
def test_names_from_an_account(aws_account: AccountGaps, command: list[str]) -> None:
    """A machine image with a name that a terminal or rich would obey."""
    ec2 = aws_clients("us-east-1")("ec2")
    (instance,) = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"]
    ec2.create_image(
        InstanceId=instance["InstanceId"],
        Name="[red]:smile:",
        TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "tandem:baked", "Value": "true"}]}],
    )
    aws_account.images.clear()
    text = CliRunner().invoke(app, command)
    assert "[red]:smile:" in text.output, text.output
    found = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert "[red]:smile:" in json.dumps(found)


def test_one_cause_is_said_once() -> None:
    same = [Problem(key=f"type {number}", wrong="denied", value="no", fix="allow it") for number in range(5)]
    other = Problem(key="z", wrong="slow", value=1, fix="wait")
    assert merged([*same, other]) == [
        Problem(key="type 0, type 1, type 2 and 2 more", wrong="denied", value="no", fix="allow it"),
        other,
    ]
    assert str(UserError(*same, other)).count("denied") == 1
    apart = [Problem(key="a", wrong="bad", value="x"), Problem(key="b", wrong="bad", value="y")]
    assert merged(apart) == [Problem(key="a, b", wrong="bad", value="x; y")]
