"""When guesses are made, by how many were right. tests/real/test_drafts.py has vLLM's own scheduler do it."""

from __future__ import annotations

import pytest

from tandem.scripts import shared
from tandem.serving.vllm import GUESSES_PAY

guessing = shared("guessing")
assert guessing.PAYS == GUESSES_PAY
TABLE = [4] * 9 + [0] * 8
"""vLLM's own: four guesses in steps of up to 8 requests of 16."""
PAYS = {1: 0.02, 2: 0.03, 4: 0.05, 8: 0.1}


class Clock:
    """Seconds, which a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def judge(clock: Clock, said: list[str]) -> guessing.Judge:
    return guessing.Judge(TABLE, PAYS, said.append, clock)


def guesses(judge: guessing.Judge, share: float, number: int = guessing.GUESSES) -> list[int]:
    """The table once so many were counted, four at a time."""
    for one in range(number // 4):
        judge.count(4, int(4 * share * (one + 1)) - int(4 * share * one))
    return judge.table()


def test_too_few_say_nothing(judge: guessing.Judge, said: list[str]) -> None:
    assert guesses(judge, 0.0, guessing.GUESSES - 4) == TABLE
    assert guesses(judge, 0.0, 4) == [0] * 17
    assert said == ["guesses: 0.0% of 2000 were right, they pay nowhere"]


@pytest.mark.parametrize(("share", "up_to"), [(0.5, 8), (0.1, 8), (0.09, 4), (0.04, 2), (0.025, 1), (0.01, 0)])
def test_nothing_is_guessed_where_too_few_are_right_for_it(judge: guessing.Judge, share: float, up_to: int) -> None:
    """5 requests cost as the next larger number that was modelled; what vLLM does not guess for stays so."""
    assert guesses(judge, share)[1:] == [4] * up_to + [0] * (16 - up_to)


def test_texts_change_and_guesses_begin_anew(judge: guessing.Judge, clock: Clock, said: list[str]) -> None:
    assert not any(guesses(judge, 0.0))
    clock.now = guessing.PAUSE_SECONDS
    assert not any(judge.table())
    clock.now += 1
    assert judge.table() == TABLE
    assert guesses(judge, 0.5) == TABLE
    assert said[1:] == ["guesses: 50.0% of 2000 were right, they pay in steps of up to 8 requests"]


def test_what_stays_as_it_was_is_said_once(judge: guessing.Judge, clock: Clock, said: list[str]) -> None:
    """Also over a pause, after which guesses are as wrong as before."""
    for _ in range(3):
        guesses(judge, 0.0)
        clock.now += guessing.PAUSE_SECONDS + 1
        assert judge.table() == TABLE
    assert len(said) == 1


def test_a_few_requests_that_still_guess_are_judged_on_the_way(judge: guessing.Judge) -> None:
    assert guesses(judge, 0.04)[1:4] == [4, 4, 0]
    assert guesses(judge, 0.2) == TABLE
