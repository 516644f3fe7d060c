"""Carries out a plan. Each step can be done again: a run that was interrupted is run once more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from tandem.errors import Problem, UserError
from tandem.ops.aws import user_errors
from tandem.ops.teams.file import Teams
from tandem.ops.teams.key_values import KeyValues, digest
from tandem.ops.teams.litellm import Admin
from tandem.ops.teams.plan import Change, Plan, alias, body, is_ours, mark, plan


@dataclass(frozen=True)
class Gateway:
    """What is compared and changed: LiteLLM, and where values of keys are kept."""

    admin: Admin
    values: KeyValues
    stack: str

    def plan(self, wanted: Teams) -> Plan:
        """Raises UserError: something does not tell, or a name is taken."""
        with user_errors(self.stack):
            kept = self.values.names()
        return plan(wanted, self.admin.teams(), self.admin.keys(), kept, self.stack, datetime.now(UTC))

    def apply(self, planned: Plan, report: Callable[[str], None]) -> list[str]:
        """Does it, and says each step that is done; what was left, with the reason.

        Raises:
            UserError: a step failed; says how many before it were done.
        """
        left = [*planned.left]
        for number, change in enumerate(planned.changes):
            try:
                with user_errors(change.name):
                    why = self._step(change)
            except UserError as error:
                raise UserError(
                    *error.problems,
                    Problem(
                        key=f"{change.do} {_what(change)}",
                        wrong=f"failed: {number} of {len(planned.changes)} steps are done, those above; it and the "
                        "rest are not, or not known to be",
                        fix="run the same command again: it begins with what there is then",
                    ),
                ) from None
            if why:
                left.append(f"{_what(change)} {why}")
            else:
                report(f"{DONE[change.do]}: {_what(change)}")
        return left

    def _step(self, change: Change) -> str:
        """Why it was not done; empty if it was."""
        if change.do == "remove":
            return self._remove_key(change) if change.key else self._remove_team(change)
        if change.do == "change":
            self._change(change)
        elif change.key:
            self._make_key(change)
        else:
            self._make_team(change)
        return ""

    def _make_team(self, change: Change) -> None:
        fields = body(change.wanted, datetime.now(UTC))
        named = {"team_id": change.team, "metadata": mark(self.stack)}
        self.admin.post("/team/new", {**fields, **named})

    def _make_key(self, change: Change) -> None:
        name = alias(change.team, change.key)
        value, new = self.values.value(name)
        if not new and self.admin.has_deleted(digest(value)):
            value = self.values.renewed(name, value)
        fields = body(change.wanted, datetime.now(UTC))
        named = {"key": value, "key_alias": name, "metadata": mark(self.stack)}
        self.admin.post("/key/generate", {**fields, **named})

    def _change(self, change: Change) -> None:
        fields = body({one.field: one.wanted for one in change.differences}, datetime.now(UTC))
        id = {"key": change.id} if change.key else {"team_id": change.id}
        self.admin.post("/key/update" if change.key else "/team/update", {**id, **fields})

    def _remove_key(self, change: Change) -> str:
        """Blocked first: of that all copies hear at once, of a deletion within a minute."""
        if change.id:
            self.admin.post("/key/block", {"key": change.id})
            self.admin.post("/key/delete", {"keys": [change.id]})
        self.values.remove(alias(change.team, change.key))
        return ""

    def _remove_team(self, change: Change) -> str:
        """With it LiteLLM deletes all keys that it has then, also one that somebody has just made."""
        if others := [row for row in self.admin.keys(team_id=change.id) if not is_ours(row, self.stack)]:
            return f"stays: {len(others)} keys that were made elsewhere would end with it"
        self.admin.post("/team/delete", {"team_ids": [change.id]})
        return ""


DONE = {"create": "made", "change": "changed", "remove": "removed"}


def _what(change: Change) -> str:
    return f"{'key' if change.key else 'team'} {change.name}"
