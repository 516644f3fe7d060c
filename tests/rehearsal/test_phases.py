"""What breaks a phase of the rehearsal is reported."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rehearsal.expectations import Verdict
from rehearsal.phases import go_through
from rehearsal.report import Phase
from rehearsal.run import rehearse
from rehearsal.screen import Interrupted
from tandem.errors import Problem, UserError
from tests.rehearsal.test_run import Listener


def breaks(error: BaseException) -> Any:
    def body(phase: Phase) -> None:
        phase.verdicts.append(Verdict("found before", ()))
        raise error

    return body


def test_what_goes_through_is_not_broken() -> None:
    phase, broken = go_through("up", lambda phase: phase.verdicts.append(Verdict("all is well", ())))
    assert (phase.met, broken) == (True, False)


def test_what_breaks_a_phase_is_told_after_what_it_found() -> None:
    phase, broken = go_through("up", breaks(UserError(Problem(key="some", wrong="cluster does not answer"))))
    assert broken
    assert [verdict.met for verdict in phase.verdicts] == [True, False]
    assert "cluster does not answer" in phase.verdicts[1].violations[0]


def test_a_mistake_of_its_own_is_told_with_its_line() -> None:
    phase, _ = go_through("up", breaks(RuntimeError("unthought of")))
    told = phase.verdicts[1].violations
    assert told[-1] == "RuntimeError: unthought of"
    assert any("test_phases.py" in line for line in told)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, Interrupted])
def test_an_interruption_ends_it(interruption: type[BaseException]) -> None:
    with pytest.raises(interruption):
        go_through("up", breaks(interruption()))


def test_a_rehearsal_that_breaks_has_a_report() -> None:
    workspace = SimpleNamespace(stack="dev", directory=Path(), set_secrets=breaks_with_secrets)
    listener = Listener()
    report = rehearse(cast(Any, SimpleNamespace(workspace=workspace, cluster=None, placeholders=[])), listener)
    assert [phase.name for phase in report.phases] == ["preview"]
    assert not report.met
    assert listener.ended == [("dev", "preview")]


def breaks_with_secrets(_secrets: object) -> None:
    raise UserError(Problem(key="state", wrong="cannot be written"))
