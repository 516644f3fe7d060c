"""`tandem doctor` reads who may use a stack, as its servers do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pulumi_rehearsal.account_gaps import AccountGaps
from tandem.ops.aws import aws_clients
from tandem.ops.doctor import Finding
from tandem.ops.doctor.run import run_check
from tests.ops.broken_account import Account, Case, World, assert_found

TAGS = [{"Key": "tandem:project", "Value": "tandem"}, {"Key": "tandem:stack", "Value": "dev"}]
A, B = "a" * 64, "b" * 64
ALICE = {"clients": {"alice": {"keys": [{"sha256": A}]}}}
NOBODY: dict[str, Any] = {"clients": {}}
MISTAKE = "sk-a-key-by-mistake"


@pytest.fixture
def account(aws_account: AccountGaps, world: World, monkeypatch: pytest.MonkeyPatch) -> Account:
    return Account(aws_account, world, aws_clients("us-east-1", ask=False), monkeypatch)


def holding(issued: Any, declared: Any = NOBODY, settings: Any = None) -> Callable[[Account], None]:
    """A stack that is up with these two documents; a text is written as it is, None not at all."""

    def write(account: Account) -> None:
        for name, held in (("issued", issued), ("declared", declared)):
            text = held if isinstance(held, str) else json.dumps(held)
            more = {} if held is None else {"SecretString": text}
            account.clients("secretsmanager").create_secret(Name=f"tandem-dev-{name}-keys-0a1b", Tags=TAGS, **more)
        account.sections["clients"] = settings or {}

    return write


NO_DOCUMENT = "holds no document of clients"
BROKEN: dict[str, Case] = {
    "an issued document that is none": (holding("{"), "clients", "error", NO_DOCUMENT, "AWSPREVIOUS"),
    "an empty one": (holding("{}"), "clients", "error", NO_DOCUMENT, "AWSPREVIOUS"),
    "an issued text of nothing": (holding(" "), "clients", "error", NO_DOCUMENT, "AWSPREVIOUS"),
    "a foreign one": (holding({"API_KEY": MISTAKE}), "clients", "error", NO_DOCUMENT, "AWSPREVIOUS"),
    "one of keys": (holding({MISTAKE: "alice"}), "clients", "error", NO_DOCUMENT, "AWSPREVIOUS"),
    "one that servers alone refuse": (
        holding({"clients": {"alice": {"keys": [{"sha256": A}]}, "bob": {"keys": [{"sha256": A}]}}}),
        "clients",
        "error",
        "clients alice and bob have the same key",
        "AWSPREVIOUS",
    ),
    "a declared document that is none": (holding(ALICE, MISTAKE), "clients", "error", NO_DOCUMENT, "AWSPREVIOUS"),
    "a declared one that was never written": (
        holding(ALICE, None),
        "clients",
        "warning",
        "the document of declared clients was never written",
        "pulumi up",
    ),
    "nobody": (holding(None), "clients", "warning", "nobody has a key that works", "tandem keys add dev NAME"),
    "keys that have ended": (
        holding({"clients": {"alice": {"keys": [{"sha256": A, "until": "2020-01-01T00:00:00Z"}]}}}),
        "clients",
        "warning",
        "nobody has a key that works",
        "tandem keys add dev NAME",
    ),
    "a declared client that is not in the secret": (
        holding(ALICE, settings={"bob": {"sha256": [B]}}),
        "clients",
        "warning",
        "the settings declare keys that servers refuse",
        "pulumi up",
    ),
    "a client in the secret whom nobody declared": (
        holding(None, {"clients": {"eve": {"keys": [{"sha256": B}]}}}),
        "clients",
        "warning",
        "servers let in keys that the settings do not declare",
        "pulumi up --refresh",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_with_clients_is_found_with_its_remedy(name: str, account: Account) -> None:
    assert_found(account, BROKEN[name])
    said = " ".join(str(finding.as_json()) for finding in run_check("clients", account.examination()))
    assert MISTAKE not in said
    assert A not in said
    assert B not in said


@pytest.mark.parametrize(
    ("broken", "value"),
    [
        (holding(ALICE, {"clients": {"bob": {"keys": [{"sha256": B}]}}}, {"bob": {"sha256": [B]}}), "alice, bob"),
        (holding(None, {"clients": {"bob": {"keys": [{"sha256": B}]}}}, {"bob": {"sha256": [B]}}), "bob"),
        (lambda _: None, "none before the first `pulumi up`"),
    ],
)
def test_who_may_use_a_sound_stack_is_named(broken: Callable[[Account], None], value: str, account: Account) -> None:
    broken(account)
    (found,) = run_check("clients", account.examination())
    assert found == Finding(severity="ok", what="clients", value=value, check="clients")


def test_the_gateways_key_is_no_strangers(account: Account) -> None:
    """Unless no gateway is set."""
    holding(ALICE, {"clients": {"tandem-gateway": {"keys": [{"sha256": B}]}}})(account)
    (found, _) = run_check("clients", account.examination())
    assert (found.severity, "tandem-gateway" in str(found.value)) == ("warning", True)
    account.sections["gateway"] = {"hostName": "teams.example.com"}
    account.sections["loadBalancer"] = {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"}
    (found,) = run_check("clients", account.examination())
    assert found == Finding(severity="ok", what="clients", value="alice", check="clients")


def test_who_may_not_read_them_has_found_nothing_wrong(account: Account) -> None:
    holding(ALICE)(account)
    message = "User: arn:aws:iam::123456789012:user/x is not authorized to perform: secretsmanager:GetSecretValue"
    account.gaps.refused["secretsmanager:GetSecretValue"] = ("AccessDeniedException", message)
    (found,) = run_check("clients", account.examination())
    assert (found.severity, found.fix) == ("unknown", "allow secretsmanager:GetSecretValue for them")
