"""The examples: actions pinned by commit, and roles that one branch or environment alone can take."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from pulumi_rehearsal.policy_evaluator import ACCOUNT, Request, allowed

EXAMPLES = Path(__file__).parents[1] / "examples"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
KEYS, KNOWN = "token.actions.githubusercontent.com", "accounts.google.com"
"""The evaluator takes subject and audience of providers that IAM has by itself, such as the second."""

FOREIGN = (
    "repo:OWNER/REPOSITORY:pull_request",
    "repo:OWNER/REPOSITORY:ref:refs/heads/feature",
    "repo:OWNER/REPOSITORY:environment:staging",
    "repo:OWNER/OTHER:ref:refs/heads/main",
    "repo:OTHER/REPOSITORY:environment:production",
)


@pytest.mark.parametrize("name", ["deploy.yml", "reap.yml"])
def test_actions_are_pinned_by_commit(name: str) -> None:
    jobs = yaml.safe_load((EXAMPLES / name).read_text())["jobs"]
    uses = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert len(uses) == 3
    assert [one for one in uses if not re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", one)] == []


@pytest.mark.parametrize(
    ("role", "subject"),
    [
        ("deployer", "repo:OWNER/REPOSITORY:environment:production"),
        ("reaper", "repo:OWNER/REPOSITORY:ref:refs/heads/main"),
    ],
)
def test_a_role_trusts_one_branch_or_environment(role: str, subject: str) -> None:
    text = (EXAMPLES / f"trust-{role}.json").read_text().replace("ACCOUNT_ID", ACCOUNT)
    assert "*" not in text
    trust = json.loads(text.replace(f"{KEYS}:", f"{KNOWN}:"))
    cases = [(subject, "sts.amazonaws.com"), (subject, "theirs"), *((one, "sts.amazonaws.com") for one in FOREIGN)]
    requests = [
        Request(
            action="sts:AssumeRoleWithWebIdentity",
            resource=f"arn:aws:iam::{ACCOUNT}:role/tandem-{role}",
            on_resource=trust,
            principal=PROVIDER,
            context={f"{KNOWN}:sub": sub, f"{KNOWN}:aud": audience},
        )
        for sub, audience in cases
    ]
    assert allowed(requests) == [True] + [False] * (len(cases) - 1)


def test_the_page_of_clients_has_each_program() -> None:
    page = (EXAMPLES.parent / "docs/clients.md").read_text()
    programs = {path.name for path in (EXAMPLES / "clients").iterdir() if path.suffix in (".py", ".sh", ".mjs")}
    assert set(re.findall(r"\.\./examples/clients/([\w.]+)\)", page)) == programs
    assert len(programs) >= 10
