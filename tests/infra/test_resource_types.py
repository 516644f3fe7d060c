"""Types that are loaded one by one are those of the whole package."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tandem.files import PROJECT

PROGRAM = """
import json, sys
from infra import resource_types, stack
from tandem import pins
from tandem.loading import load_stack_file
from tandem.ops.options import stack_file
from tests.infra.declared import declared
if {one_by_one}:
    resource_types.load_one_by_one()
settings = load_stack_file(stack_file("{stack}")).model_copy(update={{"require_pins": False}})
found = declared(lambda: stack.build(settings, pins.load(), "{stack}"), "{stack}")
files = sum(name.count(".") > 1 for name in sys.modules if name.startswith("pulumi_aws."))
said = [(one.type, one.name, json.dumps(one.inputs, sort_keys=True, default=str)) for one in found.resources]
print(json.dumps([files, sorted(said)]))
"""
BEGIN = "import pulumi_aws as aws; from infra import resource_types; resource_types.load_one_by_one()"


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.clock
@pytest.mark.parametrize("stack", ["prod-ec2", "prod"])
def test_a_stack_is_the_same_and_loads_a_fraction(stack: str) -> None:
    whole = json.loads(run(PROGRAM.format(one_by_one=False, stack=stack)))
    few = json.loads(run(PROGRAM.format(one_by_one=True, stack=stack)))
    assert few[1] == whole[1]
    assert few[0] < whole[0] / 3


def test_to_import_the_program_loads_no_service() -> None:
    """A name of one at a module's top would bring it whole, before types are loaded one by one."""
    loaded = "[name for name in sys.modules if name.startswith('pulumi_aws.') and name.count('.') > 1]"
    assert run(f"import sys, infra.stack; print({loaded})") == "[]"


def test_what_is_no_class_loads_all_as_ever() -> None:
    asked = "ec2.Vpc, ec2.SecurityGroupIngressArgs, ec2.VpcArgs, ec2.get_ami, ec2.Subnet, ec2.vpc.Vpc is ec2.Vpc"
    program = (
        "import pulumi_aws as aws; from infra import resource_types; resource_types.load_one_by_one(); ec2 = aws.ec2"
    )
    said = run(f"{program}; print({asked}, ec2.get_ami.__module__, ec2.outputs.__name__)")
    assert "<class 'pulumi_aws.ec2.vpc.Vpc'> <class 'pulumi_aws.ec2._inputs.SecurityGroupIngressArgs'>" in said
    assert "<function get_ami at" in said
    assert said.endswith("True pulumi_aws.ec2.get_ami pulumi_aws.ec2.outputs")


def test_a_name_that_is_not_there_is_an_error_of_the_module() -> None:
    assert run(f"{BEGIN}; print(hasattr(aws.ec2, 'Nothing'), hasattr(aws.ec2, 'nothing'))") == "False False"
