"""`tandem rollout`: a good version, a bad one, and the way back, on groups of the simulated account."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pulumi_rehearsal.account_gaps import AccountGaps
from pulumi_rehearsal.moto import SimulatedAccount
from rehearsal.played_hosts import Hosts, play
from tandem.alarms import OBJECTIVES, name_of_both
from tandem.errors import UserError
from tandem.ops import options
from tandem.ops.cli import app
from tandem.ops.commands import rollout as command
from tandem.ops.kinds.kind import Clients
from tandem.ops.rollout import Rollout, follow, objectives
from tandem.ops.rollout.group import HostGroup
from tandem.ops.whose import Own
from tandem.settings import Settings
from tandem.tags import PROJECT_TAG, STACK_ID_TAG, STACK_TAG
from tests.two_hosts import ONE_MORE_FIRST, Group

SETTINGS = Settings.model_validate({"region": "us-east-1", "fleet": {"hosts": 2, "maxHosts": 3}})
TAGS = {PROJECT_TAG: "tandem", STACK_TAG: "dev", STACK_ID_TAG: "life-1"}

pytestmark = pytest.mark.account


@pytest.fixture(params=[True, False], ids=["mixed instances", "one template"])
def group(account: SimulatedAccount, request: pytest.FixtureRequest) -> Group:
    return Group(account, "tandem-dev-hosts", tags=TAGS, mixed=request.param)


@pytest.fixture
def platform(clients: Clients, group: Group) -> HostGroup:
    return HostGroup(clients, "dev", "life-1", SETTINGS, sleep=lambda _seconds: None)


def look(platform: HostGroup) -> Rollout:
    [found] = platform.look()
    return found


def roll_out(group: Group, number: int = 2) -> None:
    """What `pulumi up` does with a new version."""
    group.release(number)
    group.start(ONE_MORE_FIRST)


def in_service(hosts: Hosts) -> int:
    return sum(count for (_, state), count in hosts.items() if state == "InService")


def test_a_group_at_rest_is_done(platform: HostGroup) -> None:
    found = look(platform)
    assert (found.state, found.size, found.before) == ("done", 2, None)
    assert [(one.name, one.wanted, one.serving, one.moving) for one in found.versions] == [("1", True, 2, 0)]
    assert found.wanted.runs["image"] == "v1"


def test_a_good_version_is_followed_to_its_end(group: Group, platform: HostGroup, clients: Clients) -> None:
    roll_out(group)
    hosts = play(clients, group.name)

    def hosts_do(_seconds: float) -> None:
        next(hosts, None)

    seen = list(follow(platform, 600, sleep=hosts_do))
    assert seen[0][0].state == "running"
    assert "0 of 2 hosts of tandem-dev-hosts serve version 2, 2 another one" in seen[0][0].summary
    assert (seen[-1][0].state, seen[-1][0].wanted.serving) == ("done", 2)


def test_a_bad_version_is_noticed_and_the_way_back_leaves_the_old_one_serving(
    group: Group, platform: HostGroup, clients: Clients
) -> None:
    roll_out(group)
    looks = play(clients, group.name, bad={"2"})
    seen = [next(looks) for _ in range(4)]
    found = look(platform)
    assert (found.state, found.before) == ("failing", "1")
    assert "was abandoned" in found.failures[0]
    platform.take(found, "1")
    seen += list(play(clients, group.name, bad={"2"}))
    assert all(in_service(hosts) >= 2 for hosts in seen)
    assert (look(platform).state, group.hosts()) == ("done", [("1", "InService")] * 2)
    assert group.refresh()["Status"] == "Cancelled"  # nothing was left to replace
    platform.take(look(platform), "1")  # again, as after an interruption
    assert look(platform).state == "done"


def test_the_way_back_replaces_what_has_the_bad_version_already(
    group: Group, platform: HostGroup, clients: Clients
) -> None:
    roll_out(group)
    for hosts in play(clients, group.name):
        if hosts == Hosts({("1", "InService"): 1, ("2", "InService"): 1, ("2", "Pending:Wait"): 1}):
            break
    platform.take(look(platform), "1")
    assert look(platform).state == "running"
    assert all(in_service(hosts) >= 2 for hosts in play(clients, group.name))
    assert group.hosts() == [("1", "InService")] * 2


def test_a_version_that_is_everywhere_goes_back_to_the_one_before_it(
    group: Group, platform: HostGroup, clients: Clients
) -> None:
    roll_out(group)
    list(play(clients, group.name))
    assert look(platform).before == "1"


def is_at_the_third_version(group: Group, clients: Clients, hosts: int) -> None:
    """The second one was everywhere; of the third so many serve."""
    roll_out(group)
    list(play(clients, group.name))
    roll_out(group, 3)
    for found in play(clients, group.name):
        if found[("3", "InService")] == hosts:
            break


@pytest.mark.parametrize("hosts", [0, 1, 2])
def test_the_way_back_leads_to_the_same_version_however_often_it_is_taken(
    group: Group, platform: HostGroup, clients: Clients, hosts: int
) -> None:
    is_at_the_third_version(group, clients, hosts)
    for _ in range(3):
        found = look(platform)
        assert found.before == "2"
        platform.take(found, found.before)
        next(play(clients, group.name), None)
    list(play(clients, group.name))
    assert (look(platform).state, look(platform).before, group.hosts()) == ("done", "2", [("2", "InService")] * 2)


def test_a_cancelled_one_stays_as_it_is_and_says_so(group: Group, platform: HostGroup, clients: Clients) -> None:
    roll_out(group)
    for hosts in play(clients, group.name):
        if hosts[("2", "InService")]:
            break
    platform.cancel(look(platform))
    list(play(clients, group.name))
    found = look(platform)
    assert (found.state, found.wanted.serving, found.before) == ("stopped", 1, "1")


def test_what_is_held_goes_on(group: Group, platform: HostGroup, clients: Clients) -> None:
    group.take(2)
    group.start({**ONE_MORE_FIRST, "CheckpointPercentages": [33, 100], "CheckpointDelay": 3600})
    list(play(clients, group.name))
    assert (look(platform).state, look(platform).wanted.serving) == ("held", 1)
    platform.go_on(look(platform))
    list(play(clients, group.name))
    assert (look(platform).state, group.hosts()) == ("done", [("2", "InService")] * 2)


def test_a_version_by_name_is_told_by_its_number(group: Group, platform: HostGroup) -> None:
    given = json.loads(json.dumps(group.version(1)).replace('"1"', '"$Latest"'))
    group.api.update_auto_scaling_group(AutoScalingGroupName=group.name, **given)
    found = look(platform)
    assert (found.state, found.wanted.name, found.before) == ("stopped", "2", "1")


def test_an_unknown_version_is_refused_before_anything_is_cancelled(group: Group, platform: HostGroup) -> None:
    roll_out(group)
    with pytest.raises(UserError, match="no such version") as refused:
        platform.take(look(platform), "9")
    assert refused.value.problems[0].allowed == "1, 2"
    assert group.refresh()["Status"] == "InProgress"


def test_another_life_is_not_touched(clients: Clients, group: Group) -> None:
    with pytest.raises(UserError, match="no Auto Scaling group"):
        HostGroup(clients, "dev", "life-2", SETTINGS).look()


# -- the command


class Shell:
    """Runs `tandem rollout dev` where the stack's file, its state and its hosts are."""

    def __init__(self, clients: Clients, group: Group) -> None:
        self.clients, self.group, self.bad = clients, group, set[str]()

    def __call__(self, *arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["rollout", "dev", *arguments])
        if isinstance(result.exception, UserError):
            return 2, str(result.exception)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        return result.exit_code, result.output

    def hosts_do(self, _seconds: float) -> None:
        """Time passes."""
        for _ in zip(range(2), play(self.clients, self.group.name, self.bad), strict=False):
            pass


@pytest.fixture
def shell(
    aws_account: AccountGaps, clients: Clients, group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Shell:
    (tmp_path / "Pulumi.dev.yaml").write_text(
        "config: {tandem:region: us-east-1, tandem:fleet: {hosts: 2, maxHosts: 3}}"
    )
    monkeypatch.setattr(options, "PROJECT", tmp_path)
    monkeypatch.setattr(command, "own", lambda _engine: Own("life-1", True, True))
    made = Shell(clients, group)
    monkeypatch.setattr(command, "sleep", made.hosts_do)
    return made


def test_a_good_rollout_ends_with_0(shell: Shell) -> None:
    roll_out(shell.group)
    code, said = shell()
    assert code == 0
    assert "done     2 of 2 hosts of tandem-dev-hosts serve version 2" in said


def test_a_bad_one_ends_with_1_and_names_the_way_back(shell: Shell) -> None:
    roll_out(shell.group)
    shell.bad = {"2"}
    code, said = shell()
    assert code == 1
    assert "was abandoned" in said
    assert "`tandem rollout dev --back --yes`" in said


def test_without_yes_the_plan_is_shown_and_nothing_changes(shell: Shell) -> None:
    roll_out(shell.group)
    shell.group.refresh()
    code, said = shell("--back")
    assert code == 0
    assert "tandem-dev-hosts: from 2 to 1 (v1); nothing was changed" in said
    assert shell.group.refresh()["Status"] == "InProgress"


@pytest.mark.parametrize("yes", [["--yes"], []], ids=["--yes", "plan"])
@pytest.mark.parametrize("version", ["99", "-1", "abc", "", "0"])
def test_a_version_that_there_is_not_is_refused_at_once(shell: Shell, version: str, yes: list[str]) -> None:
    roll_out(shell.group)
    code, said = shell(f"--to={version}", *yes)
    assert code == 2
    assert "no such version" in said
    assert "from" not in said
    assert shell.group.refresh()["Status"] == "InProgress"


@pytest.mark.parametrize("arguments", [["--to", "1"], ["--to", "1", "--yes"]])
def test_where_it_is_already_there_is_nothing_to_change(shell: Shell, arguments: list[str]) -> None:
    code, said = shell(*arguments)
    assert code == 0
    assert "nothing to change: 1 is wanted, and all serve it" in said
    assert "from 1" not in said


def test_back_once_more_changes_nothing(shell: Shell) -> None:
    is_at_the_third_version(shell.group, shell.clients, 0)
    shell.bad = {"3"}
    assert shell("--back", "--yes")[0] == 0
    refresh = shell.group.refresh()
    code, said = shell("--back", "--yes")
    assert code == 0
    assert "nothing to change: 2 is wanted, and all serve it" in said
    assert (shell.group.refresh(), shell.group.hosts()) == (refresh, [("2", "InService")] * 2)


def test_back_after_an_interruption_ends_what_was_begun(shell: Shell, platform: HostGroup) -> None:
    is_at_the_third_version(shell.group, shell.clients, 1)
    platform.cancel(look(platform))
    shell.group.take(2)  # and no refresh
    assert look(platform).state == "stopped"
    code, said = shell("--back", "--yes")
    assert code == 0, said
    assert "go on to 2 (v2)" in said
    assert shell.group.hosts() == [("2", "InService")] * 2


def test_a_model_that_the_stack_has_not_is_refused(shell: Shell) -> None:
    code, said = shell("--back", "--model", "large")
    assert code == 2
    assert "--model" in said
    assert "main" in said


def test_back_with_yes_goes_back(shell: Shell) -> None:
    roll_out(shell.group)
    shell.bad = {"2"}
    assert shell()[0] == 1
    code, said = shell("--back", "--yes")
    assert code == 0, said
    assert shell.group.hosts() == [("1", "InService")] * 2


def test_a_held_one_is_followed_beyond_its_hold(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.group.release(2)
    shell.group.start({**ONE_MORE_FIRST, "CheckpointPercentages": [33, 100], "CheckpointDelay": 3600})
    list(play(shell.clients, shell.group.name))

    def its_hour_is_over(seconds: float) -> None:
        if shell.group.refresh().get("Preferences", {}).get("CheckpointPercentages"):
            shell.group.cancel(WaitForTransitioningInstances=False)
            shell.group.start({**ONE_MORE_FIRST, "SkipMatching": True})
        shell.hosts_do(seconds)

    monkeypatch.setattr(command, "sleep", its_hour_is_over)
    code, said = shell()
    assert code == 0, said
    assert "held     1 of 2 hosts" in said
    assert "done     2 of 2 hosts" in said


@pytest.mark.parametrize(("well", "code", "version"), [(True, 0, "2"), (False, 1, "1")])
def test_a_check_goes_on_or_back(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, well: bool, code: int, version: str
) -> None:
    shell.group.take(2)
    shell.group.start({**ONE_MORE_FIRST, "CheckpointPercentages": [33, 100], "CheckpointDelay": 3600})
    monkeypatch.setattr(command, "_smoke", lambda *_: well)
    found, said = shell("--check")
    assert found == code, said
    assert shell.group.hosts() == [(version, "InService")] * 2


class Promised:
    """An alarm of an objective of the stack, as CloudWatch keeps it."""

    def __init__(self, clients: Clients, alarm: str = "errors-fast", life: str = "life-1") -> None:
        self.watch, self.name = clients("cloudwatch"), name_of_both("dev", "main", alarm, life)
        said = f"main: requests fail. docs/alarms.md, {alarm}"
        self.watch.put_composite_alarm(AlarmName=self.name, AlarmRule='ALARM("part")', AlarmDescription=said)

    def rings(self, state: str = "ALARM") -> None:
        self.watch.set_alarm_state(AlarmName=self.name, StateValue=state, StateReason="played")


@pytest.mark.parametrize("alarm", OBJECTIVES)
@pytest.mark.parametrize("held", [True, False])
def test_an_objective_that_is_kept_no_more_takes_a_rollout_back(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, held: bool, alarm: str
) -> None:
    promised = Promised(shell.clients, alarm)
    hold = {"CheckpointPercentages": [33, 100], "CheckpointDelay": 3600} if held else {}
    shell.group.release(2)
    shell.group.start({**ONE_MORE_FIRST, **hold})
    monkeypatch.setattr(command, "_smoke", lambda *_: promised.rings() is None)
    code, said = shell("--check")
    assert code == 1, said
    words = " ".join(said.split())
    assert f"begun since 2 is rolled out: main: requests fail. docs/alarms.md, {alarm}" in words
    assert "from 2 to 1 (v1)" in words
    assert shell.group.hosts() == [("1", "InService")] * 2


def test_an_alarm_that_rang_before_does_not_hold_what_may_mend_it(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    promised, other = Promised(shell.clients), Promised(shell.clients, life="life-2")
    promised.rings()
    roll_out(shell.group)

    def smoke(*_: object) -> bool:
        promised.rings()  # once more, as CloudWatch does with each look
        other.rings()
        return True

    monkeypatch.setattr(command, "_smoke", smoke)
    code, said = shell("--check")
    assert code == 0, said
    assert shell.group.hosts() == [("2", "InService")] * 2


@pytest.mark.parametrize(("minutes", "version"), [("180", "1"), ("1", "2")])
def test_a_rollout_that_is_over_is_judged_for_as_long_as_it_may_take(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, minutes: str, version: str
) -> None:
    roll_out(shell.group)
    list(play(shell.clients, shell.group.name))
    Promised(shell.clients).rings()
    monkeypatch.setattr(objectives, "_now", lambda: datetime.now(UTC) + timedelta(minutes=30))
    monkeypatch.setattr(command, "_smoke", lambda *_: True)
    code, said = shell("--check", "--wait-minutes", minutes)
    assert (code, shell.group.hosts()) == (int(version == "1"), [(version, "InService")] * 2), said


def test_a_stack_without_alarms_says_that_nothing_watches(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    file = options.PROJECT / "Pulumi.dev.yaml"
    file.write_text(file.read_text().replace("}}", "}, tandem:alarms: {enabled: false}}"))
    monkeypatch.setattr(command, "_smoke", lambda *_: True)
    code, said = shell("--check")
    assert (code, "No objective has an alarm here" in said) == (0, True)


def test_a_check_goes_back_when_no_host_ever_serves(shell: Shell) -> None:
    roll_out(shell.group)
    shell.bad = {"2"}
    assert shell("--check")[0] == 1
    assert shell.group.hosts() == [("1", "InService")] * 2


def test_a_check_of_what_was_not_rolled_out_just_now_goes_nowhere(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    roll_out(shell.group)
    list(play(shell.clients, shell.group.name))
    monkeypatch.setattr(command, "_smoke", lambda *_: False)
    assert shell("--check")[0] == 1
    assert shell.group.hosts() == [("2", "InService")] * 2


def test_json_is_one_document(shell: Shell) -> None:
    code, said = shell("--json", "--no-wait")
    found = json.loads(said[said.index("{") :])
    assert (code, found["rollouts"][0]["state"]) == (0, "done")


def test_two_things_at_once_are_refused(shell: Shell) -> None:
    code, said = shell("--back", "--check")
    assert code == 2
    assert "exclude each other" in said


def test_nothing_is_changed_without_a_state_that_says_whose_it_is(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "own", lambda _engine: Own())
    code, said = shell("--cancel", "--yes")
    assert code == 2
    assert "no state here tells that this stack is its own" in said
