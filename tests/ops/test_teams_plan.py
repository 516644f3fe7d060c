"""What differs between a file of teams and what LiteLLM lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tandem.errors import UserError
from tandem.ops.teams.file import Teams
from tandem.ops.teams.plan import Difference, Plan, body, mark, plan

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
OURS = mark("prod")


def wanted(**teams: Any) -> Teams:
    return Teams.model_validate({"teams": teams})


def team(name: str, **more: Any) -> dict[str, Any]:
    return {"team_id": name, "team_alias": name, "metadata": OURS, "models": [], "spend": 0.0} | more


def key(of: str, name: str, **more: Any) -> dict[str, Any]:
    own = {"token": f"{name}-digest", "key_alias": f"{of}/{name}", "team_id": of}
    return own | {"metadata": OURS, "models": [], "spend": 0.0} | more


def compared(want: Teams, *rows: dict[str, Any], kept: set[str] | None = None) -> Plan:
    keys = [row for row in rows if "token" in row]
    names = {row["key_alias"] for row in keys if row["metadata"] == OURS} if kept is None else kept
    return plan(want, [row for row in rows if "token" not in row], keys, names, "prod", NOW)


def steps(found: Plan) -> list[str]:
    return [f"{change.do} {change.name}" for change in found.changes]


def test_what_takes_rights_away_comes_first_then_teams_then_keys() -> None:
    found = compared(
        wanted(old={"keys": {"k": {}}}, new={"keys": {"k": {}}}),
        team("old", rpm_limit=5),
        team("gone"),
        key("gone", "k"),
        key("old", "gone"),
    )
    assert steps(found) == [
        "remove gone/k", "remove old/gone", "remove gone", "change old", "create new", "create old/k", "create new/k",
    ]  # fmt: skip
    assert (found.notes, found.left, found.others) == ([], [], [])


def test_only_fields_that_differ_are_changed() -> None:
    """A period that is told again begins anew, an end is counted from now."""
    end = NOW + timedelta(days=9)
    limits = {"budget": {"usd": 5, "per": "week"}, "requestsPerMinute": 3, "models": ["b", "a"]}
    has = {"models": ["a", "b"], "max_budget": 4.0, "budget_duration": "7d", "rpm_limit": 3, "tpm_limit": 8}
    found = compared(
        wanted(t={**limits, "keys": {"k": {**limits, "until": end}}}),
        team("t", **has),
        key("t", "k", **has, expires=(end + timedelta(seconds=70)).isoformat()),
    )
    same = [Difference("max_budget", 4.0, 5.0), Difference("tpm_limit", 8, None)]
    assert [change.differences for change in found.changes] == [same, same]


@pytest.mark.parametrize(
    ("has", "until", "told"),
    [
        (None, "2026-12-03T12:00:00Z", {"duration": "172800s"}),
        ("2026-12-02T00:00:00", None, {"duration": None}),
        ("2026-12-02T00:00:00+00:00", "2026-12-01T00:00:00Z", {"duration": "1s"}),
    ],
    ids=["an end", "no end", "over"],
)
def test_an_end_is_told_as_seconds_from_now(has: str | None, until: str | None, told: dict[str, Any]) -> None:
    (change,) = compared(wanted(t={"keys": {"k": {"until": until}}}), team("t"), key("t", "k", expires=has)).changes
    assert body({one.field: one.wanted for one in change.differences}, NOW) == told


def test_a_key_whose_end_is_over_is_not_made() -> None:
    found = compared(wanted(t={"keys": {"k": {"until": "2026-11-30T00:00:00Z"}}}), team("t"))
    assert (steps(found), found.notes) == ([], ["key t/k is not made: it would have ended at 2026-11-30T00:00Z"])


def test_an_end_that_is_over_is_not_told_again() -> None:
    """Each time it would begin anew, a second long."""
    over = key("t", "k", expires=(NOW + timedelta(seconds=1)).isoformat())
    assert steps(compared(wanted(t={"keys": {"k": {"until": "2026-06-30T00:00:00Z"}}}), team("t"), over)) == []


def test_what_others_made_is_listed_and_stays() -> None:
    """Of another stack's file, too, whose database was put here."""
    foreign = [
        team("by-hand", metadata={}),
        team("theirs", metadata=mark("dev")),
        key("by-hand", "k", metadata=None),
        key("t", "in", metadata={}, key_alias=None),
    ]
    found = compared(wanted(t={}), team("t"), *foreign)
    assert steps(found) == []
    assert found.others == ["team by-hand", "team theirs", "key by-hand/k", "key in-diges..."]


def test_a_team_that_holds_others_keys_stays_without_its_own() -> None:
    found = compared(wanted(), team("t"), key("t", "own"), key("t", "in", metadata={}))
    assert steps(found) == ["remove t/own"]
    (left,) = found.left
    assert left == "team t stays: it has keys that were made elsewhere, which end with it: t/in"


@pytest.mark.parametrize(
    "row", [team("t", metadata={}), team("other-id", team_alias="t", metadata=mark("dev")), key("t", "k", metadata={})]
)
def test_a_name_that_is_taken_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="did not make"):
        compared(wanted(t={"keys": {"k": {}}}), row)


def test_what_is_blocked_by_hand_stays_so() -> None:
    found = compared(wanted(t={"keys": {"k": {}}}), team("t", blocked=True), key("t", "k", blocked=True))
    assert steps(found) == []
    assert found.notes == ["team t is blocked, by hand, and stays so", "key t/k is blocked, by hand, and stays so"]


def test_a_new_budget_that_is_spent_already_is_said() -> None:
    """LiteLLM counts what was spent before there was one."""
    spent = team("t", spend=12.5, budget_duration="1d", budget_reset_at="2026-12-02T00:00:00+00:00")
    found = compared(wanted(t={"budget": {"usd": 10, "per": "day"}}), spent)
    assert found.notes == ["team t has spent $12.50 of $10.00 already: refused until 2026-12-02T00:00Z"]
    assert compared(wanted(t={"budget": {"usd": 13, "per": "day"}}), spent).notes == []


@pytest.mark.parametrize(("per", "until"), [("day", "for the rest of the day"), (None, "from now on")])
def test_a_budget_of_another_period_does_not_last_as_long_as_the_former(per: str | None, until: str) -> None:
    spent = team("t", spend=4.0, max_budget=5.0, budget_duration="7d", budget_reset_at="2026-12-07T00:00:00+00:00")
    found = compared(wanted(t={"budget": {"usd": 3, "per": per}}), spent)
    assert found.notes == [f"team t has spent $4.00 of $3.00 already: refused {until}"]


def test_values_without_keys_go_and_keys_without_values_are_said() -> None:
    found = compared(wanted(t={"keys": {"k": {}}}), team("t"), key("t", "k"), kept={"t/old"})
    assert steps(found) == ["remove t/old"]
    assert found.changes[0].id == ""
    assert found.left == ["key t/k works, and its value is kept nowhere: another name in the file makes a new one"]


def test_a_key_that_somebody_renamed_goes() -> None:
    found = compared(wanted(t={"keys": {"k": {}}}), team("t"), key("t", "k", key_alias=None), kept={"t/k"})
    assert [(one.do, one.team, one.key, one.id) for one in found.changes] == [
        ("remove", "t", "k-digest", "k-digest"), ("create", "t", "k", ""),
    ]  # fmt: skip


def test_a_team_that_somebody_renamed_has_its_name_back() -> None:
    (change,) = compared(wanted(t={}), team("t", team_alias="other")).changes
    assert change.differences == [Difference("team_alias", "other", "t")]


def test_a_key_that_was_moved_goes_back_to_its_team() -> None:
    (change,) = compared(wanted(t={"keys": {"k": {}}}, u={}), team("t"), team("u"), key("t", "k", team_id="u")).changes
    assert change.differences == [Difference("team_id", "u", "t")]
