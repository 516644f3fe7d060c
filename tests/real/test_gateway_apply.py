"""`tandem gateway apply` and `tandem cost --by team` on the real LiteLLM: two copies, PostgreSQL and Redis. AWS is
simulated. Each test has a stack of its own, and so leaves the others' teams alone."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from gateway_parts import CLOUD, FALLBACK, Parts, counted, served, until
from gateway_server import IN, MASTER, OUT, Gateway
from provider import SAYS, USAGE
from served import NAME
from typer.testing import CliRunner

from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.servers import free_port
from rehearsal.account import simulated_account
from tandem.errors import UserError
from tandem.ops import options
from tandem.ops.cli import app
from tandem.ops.teams.litellm import Admin

pytestmark = pytest.mark.real

REGION = "us-east-1"
NUMBERS = itertools.count(1)
SECONDS = 60
"""Within which a copy hears what another was told."""


@pytest.fixture(scope="module")
def account() -> Iterator[SimulatedAccount]:
    with simulated_account() as found:
        yield found


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it printed: all of it, and on standard output."""

    status: int
    text: str
    out: str


@dataclass
class Operator:
    """Who has a stack, whose LiteLLM runs here, and a file."""

    parts: Parts
    secrets: Any
    home: Path
    stack: str

    def write(self, **teams: Any) -> None:
        (self.home / "teams.yaml").write_text(yaml.safe_dump({"teams": teams}), encoding="utf-8")

    def run(self, *words: str, url: str = "") -> Said:
        """No value of a key is in what it prints, whatever comes of it."""
        result = CliRunner().invoke(app, [*words, "--url", url or self.parts.second.url("")])
        error = result.exception
        assert isinstance(error, SystemExit | UserError | None), error
        said = f"{result.output}{error if isinstance(error, UserError) else ''}"
        for value in (MASTER, *self.values().values()):
            assert value not in said
        return Said(2 if isinstance(error, UserError) else result.exit_code, said, result.stdout)

    def apply(self, *more: str, url: str = "") -> Said:
        return self.run("gateway", "apply", self.stack, str(self.home / "teams.yaml"), *more, url=url)

    def applied(self, **teams: Any) -> dict[str, str]:
        """Values of all keys, once LiteLLM is as the file says."""
        self.write(**teams)
        said = self.apply("--yes")
        assert said.status == 0, said.text
        return self.values()

    def values(self) -> dict[str, str]:
        prefix = f"tandem-{self.stack}-team-keys/"
        names = [one["Name"] for one in self.secrets.list_secrets(MaxResults=100)["SecretList"]]
        own = [name for name in names if name.startswith(prefix)]
        return {name.removeprefix(prefix): self.secrets.get_secret_value(SecretId=name)["SecretString"] for name in own}

    def team(self, name: str) -> dict[str, Any]:
        return self.parts.first.admin(f"/team/info?team_id={name}")["team_info"]

    def keys(self, team: str) -> dict[str, dict[str, Any]]:
        listed = self.parts.first.admin(f"/key/list?team_id={team}&return_full_object=true&size=100")["keys"]
        return {row["key_alias"]: row for row in listed}


@pytest.fixture
def operator(parts: Parts, account: SimulatedAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    account.reset()
    stack = f"s{next(NUMBERS)}"
    for name, value in account.environment(REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(options, "PROJECT", tmp_path)
    monkeypatch.setattr("tandem.ops.teams.opening.life_here", lambda _stack: None)
    settings = {
        "region": REGION,
        "loadBalancer": {"domainName": "api.example.com", "hostedZoneId": "Z0123456789ABC"},
        "inference": {"servedModelName": NAME},
        "gateway": {
            "hostName": "teams.example.com",
            "prices": {NAME: {"promptUsdPerMillion": IN * 1e6, "answerUsdPerMillion": OUT * 1e6}},
            "fallback": FALLBACK,
        },
    }
    config = {f"tandem:{name}": value for name, value in settings.items()}
    (tmp_path / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": config}), encoding="utf-8")
    secrets = account.client("secretsmanager", REGION)
    tags = {"tandem:project": "tandem", "tandem:stack": stack, "tandem:stack-id": f"tandem-{stack}-one"}
    secrets.create_secret(
        Name=f"tandem-{stack}-gateway-0a1b2c3",
        SecretString=json.dumps({"LITELLM_MASTER_KEY": MASTER}),
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    return Operator(parts, secrets, tmp_path, stack)


def copies(parts: Parts) -> tuple[Gateway, Gateway]:
    return parts.first, parts.second


def test_a_file_becomes_teams_and_keys_and_a_second_run_changes_nothing(operator: Operator) -> None:
    end = (datetime.now(UTC) + timedelta(days=90)).replace(microsecond=0)
    operator.write(
        blue={
            "models": [NAME],
            "budget": {"usd": 50, "per": "month"},
            "requestsPerMinute": 600,
            "keys": {"web": {"budget": {"usd": 5.5, "per": "day"}, "until": end}, "batch": {"tokensPerMinute": 90_000}},
        },
        green={},
    )
    shown = operator.apply()
    assert shown.status == 0
    for line in ("+ team blue", "+ team green", "+ key blue/web", "+ key blue/batch", "budget.usd 50.0", "--yes"):
        assert line in shown.text
    assert operator.values() == {}
    assert operator.parts.first.admin("/v2/team/list?team_id=blue")["teams"] == []
    assert operator.apply("--check").status == 1

    done = operator.apply("--yes")
    assert done.status == 0, done.text
    values = operator.values()
    assert set(values) == {"blue/web", "blue/batch"}
    blue, web = operator.team("blue"), operator.keys("blue")["blue/web"]
    assert (blue["models"], blue["max_budget"], blue["budget_duration"], blue["rpm_limit"]) == ([NAME], 50, "1mo", 600)
    assert datetime.fromisoformat(blue["budget_reset_at"]).day == 1
    assert (web["max_budget"], web["budget_duration"], web["tpm_limit"]) == (5.5, "1d", None)
    assert abs(datetime.fromisoformat(web["expires"]) - end) < timedelta(seconds=60)
    for copy in copies(operator.parts):
        for value in values.values():
            assert served(copy.chat(value, NAME))
            assert copy.chat(value, CLOUD).status == 403

    again = operator.apply("--yes")
    assert (again.status, "is as the file says" in again.text) == (0, True)
    assert json.loads(operator.apply("--json").out)["changes"] == []
    assert operator.apply("--check").status == 0
    assert operator.values() == values


def test_what_was_changed_by_hand_is_shown_and_put_back_and_nothing_else(operator: Operator) -> None:
    operator.applied(
        red={"budget": {"usd": 9, "per": "month"}, "tokensPerMinute": 70_000, "keys": {"web": {"models": [NAME]}}}
    )
    before, key = operator.team("red"), operator.keys("red")["red/web"]
    first = operator.parts.first
    noted = before["metadata"] | {"owner": "ann"}
    first.admin("/team/update", {"team_id": "red", "max_budget": 500, "rpm_limit": 7, "metadata": noted})
    first.admin("/key/update", {"key": key["token"], "models": [], "tpm_limit": 5, "duration": "30d"})
    checked = operator.apply("--check")
    assert checked.status == 1
    for line in ("budget.usd: 500.0 -> 9.0", "requestsPerMinute: 7 -> none", f"models: none -> {NAME}", "-> none"):
        assert line in checked.text
    assert operator.team("red")["max_budget"] == 500, "it only looked"
    assert operator.apply("--yes").status == 0
    after, mended = operator.team("red"), operator.keys("red")["red/web"]
    same = ("max_budget", "budget_duration", "budget_reset_at", "rpm_limit", "tpm_limit", "models")
    assert [after[name] for name in same] == [before[name] for name in same]
    assert after["metadata"] == noted, "what others wrote there stays"
    assert (mended["models"], mended["tpm_limit"], mended["expires"]) == ([NAME], None, None)
    assert operator.apply("--check").status == 0


def test_what_was_made_by_hand_is_listed_and_never_touched(operator: Operator) -> None:
    """Also a key by hand in a team of the file's, which LiteLLM would delete with it."""
    first = operator.parts.first
    hand = first.team("by-hand", max_budget=3)
    loose = first.key(team_id=hand)
    operator.applied(pink={"keys": {"web": {}}})
    inside = first.key(team_id="pink")
    operator.write()
    result = operator.apply("--yes")
    assert result.status == 1
    assert "team by-hand" in result.text
    assert "team pink stays: it has keys that were made elsewhere" in result.text
    for value in (loose, inside):
        assert served(first.chat(value, NAME))
    assert operator.team(hand)["max_budget"] == 3
    assert set(operator.values()) == set()
    operator.write(**{"by-hand": {}})
    refused = operator.apply("--yes")
    assert (refused.status, "did not make" in refused.text) == (2, True)


def test_a_key_that_leaves_the_file_ends_on_both_copies_within_a_minute(operator: Operator) -> None:
    values = operator.applied(teal={"keys": {"stays": {}, "goes": {}}})
    for copy in copies(operator.parts):
        for value in values.values():
            assert served(copy.chat(value, NAME)), "both have it in memory"
    operator.applied(teal={"keys": {"stays": {}}})
    for copy in copies(operator.parts):
        seconds = until(lambda copy=copy: copy.chat(values["teal/goes"], NAME).status == 401, SECONDS, "it ends")
        print(f"ended after {seconds:.1f} s")
        assert served(copy.chat(values["teal/stays"], NAME))
    assert set(operator.values()) == {"teal/stays"}
    operator.applied()
    assert operator.parts.first.admin("/v2/team/list?team_id=teal")["teams"] == []


def test_a_key_that_was_revoked_by_hand_opens_nothing_again(operator: Operator) -> None:
    """Blocked, then deleted, as docs/gateway.md says, while the file still has it."""
    wanted = {"keys": {"leaked": {}, "stays": {}}}
    before = operator.applied(rust=wanted)
    first, token = operator.parts.first, operator.keys("rust")["rust/leaked"]["token"]
    first.admin("/key/block", {"key": token})
    first.admin("/key/delete", {"keys": [token]})
    after = operator.applied(rust=wanted)
    assert after["rust/stays"] == before["rust/stays"]
    for copy in copies(operator.parts):
        assert copy.chat(before["rust/leaked"], NAME).status == 401
        assert served(copy.chat(after["rust/leaked"], NAME))
    assert operator.apply("--check").status == 0


def test_a_budget_that_is_changed_acts_on_both_copies(operator: Operator) -> None:
    (value,) = operator.applied(gold={"budget": {"usd": 0.01}, "keys": {"web": {}}}).values()
    first, second = copies(operator.parts)
    assert {first.chat(value, NAME, ignore_eos=True).status for _ in range(4)} >= {422}
    until(lambda: operator.parts.spend("gold") > 0, SECONDS, "what it spent is in the database")
    less = {"usd": operator.parts.spend("gold") / 2, "per": "day"}
    operator.write(gold={"budget": less, "keys": {"web": {}}})
    assert "team gold has spent" in operator.apply().text
    operator.applied(gold={"budget": {"usd": 90, "per": "day"}, "keys": {"web": {}}})
    for copy in (first, second):
        seconds = until(lambda copy=copy: copy.chat(value, NAME).status == 200, SECONDS, "it may spend again")
        print(f"a budget acted after {seconds:.1f} s")


class Killed(BaseException):
    """As a signal is one, at any moment."""


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_run_that_was_killed_at_any_step_is_run_again(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    """Before LiteLLM has heard of a step, or when it has done it and nobody knows."""
    name = "ash" if done else "oak"
    operator.applied(**{f"{name}-old": {"keys": {"old": {}}}})
    real, killed, runs = Admin.post, set[str](), 0

    def post(admin: Admin, path: str, body: dict[str, Any]) -> Any:
        first = path not in killed
        killed.add(path)
        answer = real(admin, path, body) if done or not first else None
        if first:
            raise Killed
        return answer

    operator.write(**{name: {"keys": {"one": {}}}})
    with monkeypatch.context() as patched:
        patched.setattr(Admin, "post", post)
        while True:
            with contextlib.suppress(Killed):
                assert operator.apply("--yes").status == 0
                break
            runs += 1
    assert killed == {"/key/block", "/key/delete", "/team/delete", "/team/new", "/key/generate"}
    assert runs == len(killed)
    values, keys = operator.values(), operator.keys(name)
    assert {alias: row["token"] for alias, row in keys.items()} == {
        alias: hashlib.sha256(value.encode()).hexdigest() for alias, value in values.items()
    }
    assert set(values) == {f"{name}/one"}
    assert operator.parts.first.admin(f"/v2/team/list?team_id={name}-old")["teams"] == []
    assert operator.apply("--check").status == 0


def test_who_cannot_be_asked_is_told_apart(operator: Operator) -> None:
    """Nobody listens, somebody else does, and another stack's LiteLLM does."""
    operator.write()
    nobody = operator.apply(url=f"http://127.0.0.1:{free_port()}")
    assert (nobody.status, "nothing answers there" in nobody.text) == (2, True)
    edge = operator.apply(url=f"http://127.0.0.1:{operator.parts.edge.port}")
    assert (edge.status, "is no LiteLLM" in edge.text) == (2, True), edge.text
    operator.secrets.put_secret_value(
        SecretId=f"tandem-{operator.stack}-gateway-0a1b2c3", SecretString='{"LITELLM_MASTER_KEY": "sk-of-another"}'
    )
    other = operator.apply()
    assert (other.status, "does not take the master key" in other.text) == (2, True), other.text


def test_spend_by_team_is_what_vllm_counted(operator: Operator) -> None:
    """Beside it what the cloud answered, for a team whose models name it, and keys of no team."""
    web = {"keys": {"web": {}}}
    values = operator.applied(
        amber={"budget": {"usd": 400, "per": "month"}, **web},
        jade=web,
        mist={"models": [NAME, CLOUD], **web},
        fog={"models": [NAME], **web},
    )
    first, second = copies(operator.parts)
    cloud = by_team(operator)["fallbackUsd"]
    before = counted(operator.parts.vllm)
    for copy in (first, second):
        for team, number in (("amber", 1), ("jade", 2)):
            for _ in range(number):
                assert served(copy.chat(values[f"{team}/web"], NAME, ignore_eos=True, max_tokens=40))
    spent = counted(operator.parts.vllm) - before
    assert served(first.chat(first.key(), NAME))
    operator.parts.trouble.trouble.extend("503" for _ in range(9))
    for _ in range(3):
        assert SAYS.encode() in first.chat(values["mist/web"], NAME).body
    assert first.chat(values["fog/web"], NAME).status == 503, "its prompts do not leave"
    operator.parts.trouble.trouble.clear()

    def all_of_it() -> bool:
        found = by_team(operator)
        told = {row["name"]: row for row in found["teams"]}
        return (
            sum(told[name]["usd"] for name in ("amber", "jade")) >= spent * 0.99
            and found["fallbackUsd"] - cloud >= told["mist"]["usd"] * 0.99 > 0
            and told["mist"]["requests"] == 3
            and "no team" in told
        )

    until(all_of_it, SECONDS, "spend is in the database")
    found = by_team(operator)
    told = {row["name"]: row for row in found["teams"]}
    amber, jade, mist = (told[name] for name in ("amber", "jade", "mist"))
    assert amber["usd"] + jade["usd"] == pytest.approx(spent, rel=0.01)
    assert amber["usd"] == pytest.approx(spent / 3, rel=0.05)
    assert (amber["requests"], jade["requests"]) == (2, 4)
    assert (amber["answerTokens"], amber["budgetUsd"], amber["per"]) == (80, 400, "month")
    assert mist["usd"] == pytest.approx(3 * USAGE["totalTokens"] * 1e-6)
    assert found["fallbackUsd"] - cloud == pytest.approx(mist["usd"], rel=0.01)
    assert found["usd"] == pytest.approx(sum(row["usd"] for row in found["teams"]))
    assert told["no team"]["usd"] > 0
    text = operator.run("cost", operator.stack, "--by", "team").text
    assert "of $400.00 a month" in text
    print(text)


def by_team(operator: Operator) -> dict[str, Any]:
    said = operator.run("cost", operator.stack, "--by", "team", "--json")
    assert said.status == 0, said.text
    return json.loads(said.out)
