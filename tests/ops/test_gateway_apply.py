"""`tandem gateway apply` and `tandem cost --by team` against a stand-in of LiteLLM and a simulated account."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pulumi_rehearsal.account_gaps import AccountGaps
from pulumi_rehearsal.servers import free_port
from tandem.errors import UserError
from tandem.ops import key_store, options
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.cost.by_team import held_against
from tandem.ops.teams.litellm import Admin, checked
from tandem.ops.teams.plan import mark
from tandem.tags import stack_tags
from tests.ops.litellm_stand_in import MASTER, LiteLLM, litellm
from tests.ops.test_teams_file import SETTINGS, example

REGION = "us-east-1"
GATEWAY = "tandem-dev-gateway-0a1b2c3"


@dataclass
class Desk:
    """Where an operator works: a project, an account, and LiteLLM at the end of the tunnel."""

    litellm: LiteLLM
    url: str
    home: Path
    secrets: Any

    def write(self, text: str = "", **teams: Any) -> None:
        (self.home / "teams.yaml").write_text(text or yaml.safe_dump({"teams": teams}), encoding="utf-8")

    def run(self, *words: str, url: str = "") -> tuple[int, str, str]:
        """Exit status, all that was printed, and standard output."""
        result = CliRunner().invoke(app, [*words, "--url", url or self.url])
        error = result.exception
        assert isinstance(error, SystemExit | UserError | None), error
        said = f"{result.output}{error if isinstance(error, UserError) else ''}"
        for value in (MASTER, *self.values().values()):
            assert value not in said
        return (2 if isinstance(error, UserError) else result.exit_code), said, result.stdout

    def apply(self, *more: str, url: str = "") -> tuple[int, str, str]:
        return self.run("gateway", "apply", "dev", str(self.home / "teams.yaml"), *more, url=url)

    def values(self) -> dict[str, str]:
        prefix = "tandem-dev-team-keys/"
        names = [one["Name"] for one in self.secrets.list_secrets(MaxResults=100)["SecretList"]]
        found = {name: self.secrets.get_secret_value(SecretId=name)["SecretString"] for name in names if "/" in name}
        return {name.removeprefix(prefix): value for name, value in found.items()}


def secret_of_gateway(ephemeral: bool = True) -> None:
    values = {**stack_tags("dev", REGION, ephemeral=ephemeral), "tandem:stack-id": "tandem-dev-one", "Name": GATEWAY}
    aws_clients(REGION)("secretsmanager").create_secret(
        Name=GATEWAY,
        SecretString=json.dumps({"LITELLM_MASTER_KEY": MASTER}),
        Tags=[{"Key": key, "Value": value} for key, value in values.items()],
    )


def project(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stack that has a gateway."""
    config = {
        f"tandem:{key}": value
        for key, value in SETTINGS.model_dump(
            mode="json", by_alias=True, include={"region", "load_balancer", "gateway"}, exclude_unset=True
        ).items()
    }
    (home / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}), encoding="utf-8")
    monkeypatch.setattr(options, "PROJECT", home)
    monkeypatch.setattr("tandem.ops.teams.opening.life_here", lambda _stack: None)


@pytest.fixture
def desk(aws_account: AccountGaps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    project(tmp_path, monkeypatch)
    secret_of_gateway()
    with litellm() as (state, url):
        yield Desk(state, url, tmp_path, aws_clients(REGION)("secretsmanager"))


def test_the_documents_example_is_applied_and_then_nothing_differs(desk: Desk) -> None:
    desk.write(example())
    status, said, _ = desk.apply()
    assert status == 0
    assert "the same command with --yes" in said
    assert desk.values() == {}
    assert not [path for method, path in desk.litellm.asked if method == "POST"]
    assert desk.apply("--check")[0] == 1
    status, said, _ = desk.apply("--yes")
    assert status == 0, said
    assert "made: key research/notebooks" in said
    assert {row["key_alias"]: row["token"] for row in desk.litellm.keys.values()} == {
        name: hashlib.sha256(value.encode()).hexdigest() for name, value in desk.values().items()
    }
    assert desk.litellm.teams["research"]["metadata"] == mark("dev")
    assert desk.apply("--check") == (0, "LiteLLM is as the file says.\n", "LiteLLM is as the file says.\n")


def test_a_keys_secret_carries_the_stacks_tags_and_is_no_other_secret_of_it(desk: Desk) -> None:
    """What removes an ephemeral stack removes it; and a key may be called as the stack's own secrets are."""
    desk.write(a={"keys": {"issued-keys": {}, "x-gateway": {}}})
    assert desk.apply("--yes")[0] == 0
    described = desk.secrets.describe_secret(SecretId="tandem-dev-team-keys/a/x-gateway")
    assert {tag["Key"]: tag["Value"] for tag in described["Tags"]} == {
        **stack_tags("dev", REGION, ephemeral=True), "tandem:stack-id": "tandem-dev-one",
    }  # fmt: skip
    assert desk.apply("--check")[0] == 0
    assert key_store.stores(aws_clients(REGION), "dev") == []


def test_what_leaves_the_file_ends_with_its_value(desk: Desk) -> None:
    desk.write(a={"keys": {"one": {}, "two": {}}}, b={"keys": {"k": {}}})
    desk.apply("--yes")
    desk.write(a={"keys": {"one": {}}})
    status, said, out = desk.apply("--yes", "--json")
    assert status == 0, said
    told = json.loads(out)
    assert [(one["do"], one["team"], one["key"]) for one in told["changes"]] == [
        ("remove", "a", "two"), ("remove", "b", "k"), ("remove", "b", None),
    ]  # fmt: skip
    assert (told["applied"], told["left"]) == (True, [])
    assert set(desk.values()) == {"a/one"}
    assert {row["key_alias"] for row in desk.litellm.keys.values()} == {"a/one"}
    assert set(desk.litellm.teams) == {"a"}


def test_a_key_that_somebody_made_meanwhile_keeps_its_team(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write(a={})
    desk.apply("--yes")
    desk.write(b={})
    real = Admin.teams

    def teams(admin: Admin) -> Any:
        found = real(admin)
        desk.litellm.keys["t"] = {"token": "t", "key_alias": "late", "team_id": "a", "metadata": {}}
        monkeypatch.setattr(Admin, "keys", lambda admin, **of: [] if not of else [desk.litellm.keys["t"]])
        return found

    monkeypatch.setattr(Admin, "teams", teams)
    status, said, _ = desk.apply("--yes")
    assert status == 1
    assert "left: team a stays: 1 keys that were made elsewhere would end with it" in said
    assert set(desk.litellm.teams) == {"a", "b"}


def test_a_value_that_was_kept_before_its_key_was_made_is_used(desk: Desk) -> None:
    desk.write(a={"keys": {"k": {}}})
    desk.litellm.busy = [0] * 4 + [500]  # a look, two listings, a team; then the key fails
    assert desk.apply("--yes")[0] == 2
    (kept,) = desk.values().values()
    assert desk.litellm.keys == {}
    assert desk.apply("--yes")[0] == 0
    (value,) = desk.values().values()
    assert value == kept
    assert [row["token"] for row in desk.litellm.keys.values()] == [hashlib.sha256(value.encode()).hexdigest()]


def test_a_value_that_was_revoked_opens_nothing_again(desk: Desk) -> None:
    """Somebody blocked and deleted a key that had leaked, and the next run of a pipeline has it in its file."""
    desk.write(a={"keys": {"leaked": {}, "k": {}}}, b={"keys": {"k": {}}})
    desk.apply("--yes")
    before = desk.values()
    token = hashlib.sha256(before["a/leaked"].encode()).hexdigest()
    for path, body in (
        ("/key/block", {"key": token}),
        ("/key/delete", {"keys": [token]}),
        ("/team/delete", {"team_ids": ["b"]}),
    ):
        desk.litellm.answer("POST", path, {}, body)
    status, said, _ = desk.apply("--yes")
    assert status == 0, said
    assert "note: key a/leaked has a value: the same, or a new one if LiteLLM deleted that key" in said
    after = desk.values()
    assert {name for name, value in after.items() if value != before[name]} == {"a/leaked", "b/k"}
    assert {row["key_alias"]: row["token"] for row in desk.litellm.keys.values()} == {
        name: hashlib.sha256(value.encode()).hexdigest() for name, value in after.items()
    }
    assert desk.apply("--check")[0] == 0


@pytest.mark.parametrize("way", ["stayed", "can be restored"])
def test_values_of_a_life_before_are_used_and_become_this_ones(desk: Desk, way: str) -> None:
    """A stack that was destroyed leaves them, and what reaps makes them go in a week: their names stay taken."""
    former = "tandem-dev-team-keys/a/k"
    tags = {"tandem:project": "tandem", "tandem:stack": "dev", "tandem:stack-id": "tandem-dev-former"}
    desk.secrets.create_secret(
        Name=former,
        SecretString="sk-of-a-life-before",  # pragma: allowlist secret
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    if way == "can be restored":
        desk.secrets.delete_secret(SecretId=former, RecoveryWindowInDays=7)
    desk.write(a={"keys": {"k": {}}})
    assert desk.apply("--yes")[0] == 0
    assert desk.values() == {"a/k": "sk-of-a-life-before"}
    tagged = {one["Key"]: one["Value"] for one in desk.secrets.describe_secret(SecretId=former)["Tags"]}
    assert tagged["tandem:stack-id"] == "tandem-dev-one"
    assert desk.apply("--check")[0] == 0


def test_a_restored_database_finds_its_values(desk: Desk) -> None:
    desk.write(a={"keys": {"k": {}}})
    desk.apply("--yes")
    tags = [{"Key": "tandem:stack-id", "Value": "tandem-dev-two"}]
    desk.secrets.tag_resource(SecretId=GATEWAY, Tags=tags)
    assert desk.apply("--check")[0] == 0


def test_of_much_that_was_made_elsewhere_some_is_named(desk: Desk) -> None:
    desk.litellm.teams |= {f"t{n:02}": {"team_id": f"t{n:02}", "metadata": {}} for n in range(30)}
    desk.write()
    assert "team t19 and 10 more, all with --json" in desk.apply()[1]
    assert len(json.loads(desk.apply("--json")[2])["others"]) == 30


def test_a_step_that_fails_says_what_is_done_and_what_is_not(desk: Desk) -> None:
    desk.write(a={}, b={})
    desk.litellm.busy = [0, 0, 0, 0, 500]  # a look, two listings, a team
    status, said, _ = desk.apply("--yes")
    assert status == 2
    assert "made: team a" in said
    assert "LiteLLM refused /team/new" in said
    assert "create team b: failed: 1 of 2 steps are done" in said
    assert "run the same command again" in said
    assert desk.apply("--yes")[0] == 0
    assert set(desk.litellm.teams) == {"a", "b"}


def test_a_read_is_repeated_while_litellm_is_busy_and_a_change_is_not(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    admin = Admin(desk.url, "dev", MASTER, sleep=slept.append)
    desk.litellm.busy = [429, 503]
    assert admin.teams() == []
    assert slept == [1, 2]
    desk.litellm.busy = [503]
    with pytest.raises(UserError, match="HTTP 503: busy"):
        admin.post("/team/new", {"team_id": "a"})
    assert desk.litellm.teams == {}
    desk.litellm.busy = [429] * 99
    monkeypatch.setattr("tandem.ops.teams.litellm.DEADLINE_SECONDS", 4)
    with pytest.raises(UserError, match="HTTP 429"):
        admin.teams()


def test_a_refusal_that_repeats_the_key_is_shown_without_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write(a={"keys": {"k": {}}})
    real = desk.litellm.answer

    def answer(method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        return (422, {"detail": [{"input": body}]}) if path == "/key/generate" else real(method, path, query, body)

    monkeypatch.setattr(desk.litellm, "answer", answer)
    status, said, _ = desk.apply("--yes")
    assert (status, "LiteLLM refused /key/generate" in said, "[secret]" in said) == (2, True, True)


def test_who_cannot_be_asked_is_told_apart(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write()
    status, said, _ = desk.apply(url=f"http://127.0.0.1:{free_port()}")
    assert status == 2
    assert "nothing answers there" in said
    assert 'eval "$(pulumi stack output --stack dev gatewayAdminCommand)"' in said
    monkeypatch.setattr("tandem.ops.teams.litellm.DEADLINE_SECONDS", 0)
    for status, answer, wrong in (
        (200, {"a": 1}, "is no LiteLLM"),
        (404, {"db": 1}, "is no LiteLLM"),
        (503, {}, "is not ready"),
    ):
        desk.litellm.readiness = (status, answer)
        assert f"what listens there {wrong}" in desk.apply()[1]
    assert desk.litellm.asked == [], "it has not heard the key"
    desk.litellm.readiness = (200, {"db": "connected"})
    other = json.dumps({"LITELLM_MASTER_KEY": "sk-of-another-stack"})  # pragma: allowlist secret
    desk.secrets.put_secret_value(SecretId=GATEWAY, SecretString=other)
    assert "does not take the master key of dev" in desk.apply()[1]
    desk.secrets.put_secret_value(SecretId=GATEWAY, SecretString="{}")
    assert f"{GATEWAY}: holds no LITELLM_MASTER_KEY" in desk.apply()[1]
    desk.secrets.delete_secret(SecretId=GATEWAY, ForceDeleteWithoutRecovery=True)
    assert "it has no secret of a gateway" in desk.apply()[1]


@pytest.mark.parametrize(
    "url", ["http://teams.example.com", "ftp://127.0.0.1", "127.0.0.1:4000", "https://a.example.com/ui", "http://[::2]"]
)
def test_the_master_key_is_sent_over_no_network_in_plain_text(url: str) -> None:
    with pytest.raises(UserError, match="no place that the master key may be sent to"):
        checked(url)


def test_the_master_key_goes_through_no_proxy_to_this_machine(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    assert Admin(desk.url, "dev", MASTER).teams() == []
    assert checked("https://teams.example.com/") == "https://teams.example.com"


def test_a_stack_without_a_gateway_and_two_wishes_at_once_are_refused(desk: Desk) -> None:
    desk.write()
    assert "--yes does" in desk.apply("--yes", "--check")[1]
    (desk.home / "Pulumi.dev.yaml").write_text("config: {tandem:region: us-east-1}")
    assert "its settings have no gateway" in desk.apply()[1]
    assert "its settings have no gateway" in desk.run("cost", "dev", "--by", "team")[1]


# -- spend -------------------------------------------------------------------------------------------------------------


def day(**teams: tuple[int, float]) -> dict[str, Any]:
    """Requests and dollars by team; a tenth went to the cloud."""
    metrics = {
        team: {"api_requests": number, "prompt_tokens": 10 * number, "completion_tokens": number, "spend": usd}
        for team, (number, usd) in teams.items()
    }
    cloud = sum(usd for _, usd in teams.values()) / 10
    providers = {"hosted_vllm": {"metrics": {"spend": 9 * cloud}}, "bedrock": {"metrics": {"spend": cloud}}}
    return {
        "breakdown": {"providers": providers, "entities": {team: {"metrics": one} for team, one in metrics.items()}}
    }


def test_spend_by_team_with_budgets_removed_teams_and_the_cloud(desk: Desk) -> None:
    desk.write(a={"budget": {"usd": 40, "per": "month"}}, b={}, idle={})
    desk.apply("--yes")
    desk.litellm.teams["a"]["spend"] = 10.0
    desk.litellm.days = [day(a=(1, 6.0), b=(2, 1.0)), day(a=(3, 3.0), removed=(4, 10.0))]
    status, said, out = desk.run("cost", "dev", "--by", "team", "--json")
    assert status == 0, said
    told = json.loads(out)
    assert told["since"] == f"{datetime.now(UTC):%Y-%m-01}"
    assert [(one["name"], one["usd"], one["share"], one["requests"]) for one in told["teams"]] == [
        ("removed", 10.0, 0.5, 4), ("a", 9.0, 0.45, 4), ("b", 1.0, 0.05, 2), ("idle", 0.0, 0.0, 0),
    ]  # fmt: skip
    assert (told["usd"], told["fallbackUsd"]) == (20.0, 2.0)
    (a,) = (one for one in told["teams"] if one["name"] == "a")
    assert (a["promptTokens"], a["answerTokens"], a["periodUsd"], a["budgetUsd"], a["per"]) == (40, 4, 10, 40, "month")
    said = desk.run("cost", "dev", "--by", "team", "--days", "7")[1]
    assert "$10.00 of $40.00 a month (25%)" in said
    assert "on the fallback, which its provider bills: $2.00" in said


def test_what_was_charged_is_held_against_the_bill() -> None:
    assert held_against(25, 100).startswith("Charged for own models: $25.00 of $100.00 billed (25%); the other $75.00")
    assert "more than it cost" in held_against(110, 100)
    assert "Nothing is booked" in held_against(10, 0)


def test_a_bill_that_is_not_told_is_exit_status_1(desk: Desk, aws_account: AccountGaps) -> None:
    aws_account.refused["ce:GetCostAndUsage"] = ("AccessDeniedException", "not authorized")
    status, said, _ = desk.run("cost", "dev", "--by", "team", "--actual")
    assert (status, "No bill: " in said) == (1, True)
    status, _, out = desk.run("cost", "dev", "--by", "team", "--actual", "--json")
    assert (status, "GetCostAndUsage" in json.loads(out.partition("tandem: ")[0])["billed"]["fix"]) == (1, True)


def test_the_bill_is_asked_for_once_and_only_then(desk: Desk) -> None:
    desk.litellm.days = [day(a=(1, 6.0))]
    status, said, _ = desk.run("cost", "dev", "--by", "team", "--actual")
    assert status == 0, said
    assert "Charged for own models: $5.40" in said
    assert "--actual" in desk.run("cost", "dev", "--by", "team")[1]


@pytest.mark.parametrize(
    "words", [("--days", "3"), ("--by", "team", "--live"), ("--by", "team", "--days", "3", "--actual")]
)
def test_what_says_nothing_together_is_refused(desk: Desk, words: tuple[str, ...]) -> None:
    assert desk.run("cost", "dev", *words)[0] == 2
