"""What LiteLLM has, compared with the file. Pure.

A row is what LiteLLM 1.108.7 lists (`/v2/team/list`, `/key/list`). Changes hold only fields that differ: LiteLLM takes
what is left out as it is, begins a budget's period anew when it hears it again, and counts `duration` from now.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from tandem.errors import Problem, UserError
from tandem.ops.teams.file import KeySection, LimitsSection, Teams

Row = Mapping[str, Any]
MANAGED_BY, STACK = "managed_by", "tandem_stack"
"""In LiteLLM's metadata of what was made here; nothing else is changed or removed."""
PERIODS = {"day": "1d", "week": "7d", "month": "1mo"}
"""LiteLLM ends them at midnight UTC, Sunday's, and the month's last."""
PERIOD_WORDS = {text: word for word, text in PERIODS.items()}
SHOWN = {
    "models": "models",
    "max_budget": "budget.usd",
    "budget_duration": "budget.per",
    "rpm_limit": "requestsPerMinute",
    "tpm_limit": "tokensPerMinute",
    "expires": "until",
    "team_id": "team",
    "team_alias": "name",
}
"""LiteLLM's fields, by the words of the file."""
SAME_MOMENT = timedelta(minutes=2)
"""An end is told to LiteLLM as seconds from now."""


@dataclass(frozen=True)
class Difference:
    """Of one field: what LiteLLM has, and what the file wants."""

    field: str
    has: Any
    wanted: Any


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing to do.

    Attributes:
        key: of the team; empty where the team itself is meant.
        id: LiteLLM's of what is there; for a key the digest of its value.
        wanted: for what is made: LiteLLM's fields.
    """

    do: Literal["create", "change", "remove"]
    team: str
    key: str = ""
    id: str = ""
    wanted: Mapping[str, Any] = field(default_factory=dict)
    differences: Sequence[Difference] = ()

    @property
    def name(self) -> str:
        return alias(self.team, self.key) if self.key else self.team


@dataclass(frozen=True)
class Plan:
    """What `apply` would do.

    Attributes:
        changes: in the order in which they are done: what takes rights away comes first.
        notes: what somebody should know of it.
        left: what differs from the file, and no run can mend.
        others: teams and keys that were made elsewhere, which are left alone.
    """

    changes: Sequence[Change] = ()
    notes: Sequence[str] = ()
    left: Sequence[str] = ()
    others: Sequence[str] = ()


def mark(stack: str) -> dict[str, str]:
    return {MANAGED_BY: "tandem", STACK: stack}


def is_ours(row: Row, stack: str) -> bool:
    return mark(stack).items() <= (row.get("metadata") or {}).items()


def alias(team: str, key: str) -> str:
    """LiteLLM wants one for all teams."""
    return f"{team}/{key}"


def plan(wanted: Teams, teams: Sequence[Row], keys: Sequence[Row], kept: Set[str], stack: str, now: datetime) -> Plan:
    """Compares.

    Args:
        teams, keys: all that LiteLLM has.
        kept: names of keys (`alias`) whose values are kept.

    Raises:
        UserError: a name of the file is taken by what was made elsewhere.
    """
    if problems := [*_taken(wanted, teams, keys, stack)]:
        raise UserError(*problems)
    return _Comparison(wanted, teams, keys, kept, stack, now).plan()


def _taken(wanted: Teams, teams: Sequence[Row], keys: Sequence[Row], stack: str) -> Iterator[Problem]:
    aliases = {alias(name, key) for name, team in wanted.teams.items() for key in team.keys}
    for what, rows, names in (("team", teams, set(wanted.teams)), ("key", keys, aliases)):
        for row in rows:
            found = {row.get(f"{what}_alias"), row.get(f"{what}_id")} & names
            if found and not is_ours(row, stack):
                yield Problem(
                    key=f"{what} {found.pop()}",
                    wrong=f"there is a {what} of this name that `tandem gateway apply {stack}` did not make",
                    allowed="a name of its own",
                    fix=f"another name in the file, or remove that {what} by LiteLLM's own interface; if this stack's "
                    f"file made it, put {MANAGED_BY}: tandem and {STACK}: {stack} back into its metadata there",
                )


@dataclass
class _Comparison:
    wanted: Teams
    teams: Sequence[Row]
    keys: Sequence[Row]
    kept: Set[str]
    stack: str
    now: datetime

    def __post_init__(self) -> None:
        self._notes, self._left = list[str](), list[str]()
        self._teams = {row["team_id"]: row for row in self.teams if is_ours(row, self.stack)}
        self._keys = {row.get("key_alias") or row["token"]: row for row in self.keys if is_ours(row, self.stack)}

    def plan(self) -> Plan:
        gone = [*self._gone_keys(), *self._gone_teams()]
        made = [*self._made_teams(), *self._made_keys()]
        return Plan([*gone, *made], self._notes, self._left, [*self._others()])

    def _aliases(self) -> dict[str, tuple[str, str, KeySection]]:
        return {
            alias(name, key): (name, key, one)
            for name, team in self.wanted.teams.items()
            for key, one in team.keys.items()
        }

    def _gone_keys(self) -> Iterator[Change]:
        """With those whose value is kept and that LiteLLM does not have any more, and those that somebody renamed."""
        for name in sorted({*self._keys, *self.kept} - set(self._aliases())):
            row = self._keys.get(name, {})
            team, _, key = name.rpartition("/")
            yield Change(do="remove", team=team or row.get("team_id") or "", key=key, id=row.get("token") or "")

    def _gone_teams(self) -> Iterator[Change]:
        for name in sorted(set(self._teams) - set(self.wanted.teams)):
            others = [row for row in self.keys if row.get("team_id") == name and not is_ours(row, self.stack)]
            if others:
                told = ", ".join(sorted(_name(row, "key") for row in others))
                self._left.append(f"team {name} stays: it has keys that were made elsewhere, which end with it: {told}")
            else:
                yield Change(do="remove", team=name, id=name)

    def _made_teams(self) -> Iterator[Change]:
        for name, team in self.wanted.teams.items():
            fields = {**_fields(team), "team_alias": name}
            if row := self._teams.get(name):
                yield from self._changed(Change(do="change", team=name, id=name), row, fields)
            else:
                yield Change(do="create", team=name, id=name, wanted=fields)

    def _made_keys(self) -> Iterator[Change]:
        for name, (team, key, one) in self._aliases().items():
            fields = {**_fields(one), "expires": one.until, "team_id": team}
            over = one.until is not None and one.until <= self.now
            if row := self._keys.get(name):
                has = _has(row, "expires")
                if over and has and has <= self.now + SAME_MOMENT:
                    fields["expires"] = has  # told again it would begin anew
                yield from self._changed(Change(do="change", team=team, key=key, id=row["token"]), row, fields)
                if name not in self.kept:
                    self._left.append(
                        f"key {name} works, and its value is kept nowhere: another name in the file makes a new one"
                    )
            elif over:
                self._notes.append(f"key {name} is not made: it would have ended at {_text(one.until)}")
            else:
                if name in self.kept:
                    self._notes.append(f"key {name} has a value: the same, or a new one if LiteLLM deleted that key")
                yield Change(do="create", team=team, key=key, wanted=fields)

    def _changed(self, change: Change, row: Row, fields: Mapping[str, Any]) -> Iterator[Change]:
        differences = [
            Difference(name, has, value) for name, value in fields.items() if not _same(has := _has(row, name), value)
        ]
        what = f"{'key' if change.key else 'team'} {change.name}"
        if row.get("blocked"):
            self._notes.append(f"{what} is blocked, by hand, and stays so")
        budget, spent = fields["max_budget"], row.get("spend") or 0.0
        if budget is not None and spent >= budget and any(one.field == "max_budget" for one in differences):
            until = "from now on"
            if any(one.field == "budget_duration" for one in differences):
                until = (
                    f"for the rest of the {shown(fields['budget_duration'])}" if fields["budget_duration"] else until
                )
            elif row.get("budget_reset_at"):
                until = f"until {_text(_moment(row['budget_reset_at']))}"
            self._notes.append(f"{what} has spent ${spent:,.2f} of ${budget:,.2f} already: refused {until}")
        if differences:
            yield Change(
                do="change", team=change.team, key=change.key, id=change.id, wanted=fields, differences=differences
            )

    def _others(self) -> Iterator[str]:
        for what, rows in (("team", self.teams), ("key", self.keys)):
            yield from sorted(f"{what} {_name(row, what)}" for row in rows if not is_ours(row, self.stack))


def _fields(limits: LimitsSection) -> dict[str, Any]:
    budget = limits.budget
    return {
        "models": [*(limits.models or ())],
        "max_budget": budget and budget.usd,
        "budget_duration": PERIODS[budget.per] if budget and budget.per else None,
        "rpm_limit": limits.requests_per_minute,
        "tpm_limit": limits.tokens_per_minute,
    }


def _name(row: Row, what: str) -> str:
    """As people know it; of a key without a name the beginning of its digest."""
    return row.get(f"{what}_alias") or (row.get("team_id") or "") if what == "team" else _key_name(row)


def _key_name(row: Row) -> str:
    return row.get("key_alias") or f"{(row.get('token') or '')[:8]}..."


def _has(row: Row, name: str) -> Any:
    value = row.get(name)
    if name == "models":
        return sorted(value or ())
    return _moment(value) if name == "expires" and value else value


def _same(has: Any, wanted: Any) -> bool:
    if isinstance(wanted, list):
        return sorted(has or ()) == sorted(wanted)
    if isinstance(has, datetime) and isinstance(wanted, datetime):
        return abs(has - wanted) <= SAME_MOMENT
    if isinstance(has, int | float) and isinstance(wanted, int | float):
        return math.isclose(has, wanted, rel_tol=1e-9)
    return has == wanted


def _moment(value: Any) -> datetime:
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def _text(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%dT%H:%MZ}" if moment else "never"


def shown(value: Any) -> str:
    """A field's value for people."""
    if value is None or value == []:
        return "none"
    if isinstance(value, datetime):
        return _text(value)
    return ", ".join(value) if isinstance(value, list) else PERIOD_WORDS.get(value, str(value))


def body(values: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Fields as LiteLLM's API takes them: an end as seconds from now."""
    told = dict(values)
    if "expires" in told:
        end = told.pop("expires")
        told["duration"] = end and f"{max(1, round((end - now).total_seconds()))}s"
    return told
