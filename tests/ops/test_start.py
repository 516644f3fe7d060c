"""What a command loads before it does anything: not the engine, not AWS's library, not templates."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tandem.ops import command_table
from tandem.ops.cli import COMMANDS
from tandem.ops.deferred import Deferred

HEAVY = {"boto3", "botocore", "grpc", "jinja2", "moto", "pulumi", "pulumi_aws", "rehearsal"}
SCRIPT = """
import json, sys
sys.argv = ["tandem", *json.loads(sys.argv[1])]
from tandem.ops.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules} | set(sys.modules))))
"""


def loaded(*words: str) -> set[str]:
    """Modules of a process of its own that ran the command."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(words)], capture_output=True, text=True, check=True, timeout=120
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.clock
@pytest.mark.parametrize(("words", "more"), [(["--help"], {"pydantic", "tandem.settings"}), (["cost", "dev"], set())])
def test_a_look_at_a_list_or_a_price_loads_neither_engine_nor_aws(words: list[str], more: set[str]) -> None:
    assert loaded(*words) & (HEAVY | more) == set()


@pytest.mark.clock
def test_a_command_is_there_once_it_is_called() -> None:
    assert {"tandem.ops.commands.cost", "tandem.settings"} <= loaded("cost", "--help")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_its_help_says_first(name: str) -> None:
    command = Deferred(name, COMMANDS[name]).command
    assert COMMANDS[name] == command_table.first_sentence(command.help)


@pytest.mark.clock
@pytest.mark.parametrize("package", ["pulumi_rehearsal", "rehearsal"])
def test_a_command_that_is_not_in_the_wheel_says_where_it_is(package: str) -> None:
    alone = f"import sys; sys.modules[{package!r}] = None; sys.argv = ['tandem', 'rehearse']\n"
    program = alone + "from tandem.ops.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"tandem: tandem rehearse: it needs the package {package}, which is not installed")
    assert "Traceback" not in done.stderr
