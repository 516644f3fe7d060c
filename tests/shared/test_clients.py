"""From documents of clients to what an edge knows of a key: what is refused, and by which laws documents merge."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import clients
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.settings.types import REQUEST_RATES, STREAMS

NOW = datetime(2027, 1, 1, tzinfo=UTC)
A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def document(**named: Any) -> dict[str, Any]:
    return {"clients": named}


def client(*digests: str, **more: Any) -> dict[str, Any]:
    return {"keys": [{"sha256": digest} for digest in digests], **more}


def test_nobody_is_let_in_by_no_document() -> None:
    assert clients.rows(clients.merged([]), ["m"], NOW) == {}


def test_a_client_is_known_by_each_of_its_keys() -> None:
    found = clients.merged([document(alice=client(A, B), bob=client(C))])
    assert clients.digests(found, NOW) == {A: "alice", B: "alice", C: "bob"}
    assert clients.rows(found, ["m"], NOW) == {A: "alice 1 - -", B: "alice 1 - -", C: "bob 1 - -"}


@pytest.mark.parametrize(("until", "known"), [("2027-01-01T00:00:01Z", True), ("2027-01-01T00:00:00Z", False)])
def test_a_key_ends_at_its_moment(until: str, known: bool) -> None:
    found = clients.merged([{"clients": {"alice": {"keys": [{"sha256": A, "until": until}]}}}])
    assert bool(clients.digests(found, NOW)) is known


def ending(*days: float | None, made: float | None = None) -> dict[str, Any]:
    """A client whose keys end so many days from now; None for never."""
    born = {} if made is None else {"made": (NOW + timedelta(days=made)).isoformat()}
    ends = [{} if day is None else {"until": (NOW + timedelta(days=day)).isoformat()} for day in days]
    return {"keys": [{"sha256": f"{number:064x}", **born, **end} for number, end in enumerate(ends)]}


@pytest.mark.parametrize(
    ("found", "days"),
    [
        ({}, None),
        ({"alice": ending()}, None),
        ({"alice": ending(None)}, None),
        ({"alice": {"keys": [{"sha256": A, "until": None, "made": None}]}}, None),
        ({"alice": ending(6)}, 6),
        ({"alice": ending(6, 30)}, 30),
        ({"alice": ending(6, None)}, None),
        ({"alice": ending(30), "bob": ending(6), "carol": ending(None)}, 6),
        ({"alice": ending(-1), "bob": ending(9)}, 9),
        ({"alice": ending(-1)}, None),
        ({"alice": ending(6, made=-30)}, 6),
        ({"guest": ending(6, made=-1)}, None),
        ({"rotated": {"keys": [*ending(0.5, made=-24)["keys"], *ending(6, made=-0.5)["keys"]]}}, 6),
        ({"guest": ending(13.9, made=-0.1), "alice": ending(20, made=-0.1)}, 20),
        ({"tandem-smoke": ending(1, made=-30)}, None),
    ],
)
def test_who_has_no_key_soon(found: dict[str, Any], days: float | None) -> None:
    """Of keys of which another goes on, or that were given for less than two weeks, nobody need hear."""
    clients.merged([document(**{name: one}) for name, one in [*found.items()][:1]])
    assert clients.days_left(found, NOW) == (None if days is None else pytest.approx(days))


def test_a_client_may_use_the_models_that_it_is_given_and_all_where_none_are() -> None:
    found = clients.merged([document(alice=client(A, models=["qwen"]), bob=client(B), carol=client(C, models=[]))])
    rows = {model: clients.rows(found, [model], NOW) for model in ("llama", "qwen")}
    assert rows["llama"] == {A: "alice 0 - -", B: "bob 1 - -", C: "carol 0 - -"}
    assert rows["qwen"] == {A: "alice 1 - -", B: "bob 1 - -", C: "carol 0 - -"}


def test_of_a_server_with_adapters_a_client_may_have_some() -> None:
    found = clients.merged(
        [document(alice=client(A, models=["qwen", "1"]), bob=client(B), carol=client(C, models=["1", "0", "qwen"]))]
    )
    assert clients.rows(found, ["qwen", "1", "0"], NOW) == {A: "alice =qwen,1 - -", B: "bob 1 - -", C: "carol 1 - -"}
    assert clients.rows(found, ["llama", "sql"], NOW) == {A: "alice 0 - -", B: "bob 1 - -", C: "carol 0 - -"}
    assert clients.rows(found, ["llama", "1"], NOW)[A] == "alice =1 - -", "an adapter's name is no yes"


def test_a_key_of_two_documents_is_the_first_ones_and_both_stay() -> None:
    found = clients.merged([document(bob=client(A)), document(alice=client(A, B))])
    assert clients.digests(found, NOW) == {A: "bob", B: "alice"}


def test_settings_know_the_edges_numbers() -> None:
    assert {"requestsPerSecond": REQUEST_RATES, "streams": STREAMS} == clients.LIMITS


def test_limits_are_in_the_row() -> None:
    found = clients.merged([document(alice=client(A, requestsPerSecond=5), bob=client(B, streams=2, models=["m"]))])
    assert clients.rows(found, ["m"], NOW) == {A: "alice 1 5 -", B: "bob 1 - 2"}


def test_keys_of_two_documents_add_up_and_the_first_ones_limit_counts() -> None:
    first, second = document(alice=client(A, streams=1)), document(alice=client(B, streams=8, models=["m"]))
    assert clients.merged([first, second])["alice"] == {**client(A, B), "streams": 1, "models": ["m"]}


WRONG = {
    "no document": ([], 'no JSON object with "clients"'),
    "clients are a list": ({"clients": []}, 'no JSON object with "clients"'),
    "a name with a line's end": (document(**{"alice;\n}": client(A)}), "a client's name has other than"),
    "an empty name": (document(**{"": client(A)}), "a client's name has other than"),
    "a name in capitals": (document(Alice=client(A)), "a client's name has other than"),
    "a long name": (document(**{"a" * 64: client(A)}), "a client's name has other than"),
    "a key as a client's name": (document(**{"sk-Secret": client(A)}), "a client's name has other than"),
    "a key as a limit": (document(alice=client(A, **{"sk-secret": 1})), "client alice: has more than keys, models"),
    "a client that is a key": (document(alice=A), "client alice: must be a JSON object"),
    "no keys": (document(alice={}), "client alice: keys must be a list"),
    "nine keys": (
        document(alice=client(*(f"{n}" * 64 for n in range(9)))),
        "client alice: keys must be a list of up to 8",
    ),
    "a key that is no digest": (document(alice=client("secret")), "client alice: a key must have its SHA-256"),
    "a digest and more": (document(alice=client(f"{A};")), "client alice: a key must have its SHA-256"),
    "a digest in capitals": (document(alice=client("A" * 64)), "client alice: a key must have its SHA-256"),
    "a digest and a line's end": (document(alice=client(f"{A}\n")), "client alice: a key must have its SHA-256"),
    "a rate of none": (document(alice=client(A, requestsPerSecond=0)), "requestsPerSecond must be one of 1, 2"),
    "a rate as text": (document(alice=client(A, requestsPerSecond="5;")), "requestsPerSecond must be one of 1, 2"),
    "a limit that is a truth": (document(alice=client(A, streams=True)), "streams must be one of 1, 2"),
    "another number": (document(alice=client(A, streams=3)), "streams must be one of 1, 2, 4"),
    "a model as text": (document(alice=client(A, models="m")), "models must be a list"),
    "no moment": (document(alice={"keys": [{"sha256": A, "until": "soon"}]}), "until must be a moment"),
    "an empty moment": (document(alice={"keys": [{"sha256": A, "until": ""}]}), "until must be a moment"),
    "made at no moment": (document(alice={"keys": [{"sha256": A, "made": "then"}]}), "made must be a moment"),
    "a moment of nowhere": (document(alice={"keys": [{"sha256": A, "until": "2027-01-01"}]}), "until must be a moment"),
    "one key of two": (document(alice=client(A), bob=client(A)), "clients alice and bob have the same key"),
    "a number with a point": (document(alice=client(A, streams=4.0)), "streams must be one of 1, 2, 4"),
    "a mistyped limit": (document(alice=client(A, stream=4)), "client alice: has more than keys, models"),
    "a mistyped end": (
        {"clients": {"alice": {"keys": [{"sha256": A, "Until": "x"}]}}},
        "alice: a key has more than sha256",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused_with_the_client_and_no_digest(name: str) -> None:
    wrong, said = WRONG[name]
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        clients.merged([wrong])
    assert not re.search(r"[a-f0-9]{9}|secret", str(refused.value).lower().replace("a" * 64, ""))


names = st.sampled_from(["a", "alice", "bob-2", "0", "tandem-smoke", "x" * 63, "a--b"])
limits = {limit: st.sampled_from(numbers) for limit, numbers in clients.LIMITS.items()}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    found = draw(st.lists(names, unique=True, max_size=5))
    keys = (f"{number:064x}" for number in range(20))
    return document(
        **{
            name: client(
                *(next(keys) for _ in range(draw(st.integers(0, 4)))),
                **draw(st.fixed_dictionaries({}, optional={**limits, "models": st.lists(names, max_size=2)})),
            )
            for name in found
        }
    )


@given(documents(), names)
def test_every_key_and_nothing_else_has_a_row(given_: dict[str, Any], model: str) -> None:
    rows = clients.rows(clients.merged([given_]), [model], NOW)
    assert rows.keys() == {key["sha256"] for one in given_["clients"].values() for key in one["keys"]}
    assert all(re.fullmatch(r"[a-z0-9-]+ [01] (-|\d+) (-|\d+)", row) for row in rows.values())


@given(documents())
def test_a_document_and_itself_is_the_document(given_: dict[str, Any]) -> None:
    once, twice = clients.merged([given_]), clients.merged([given_, json.loads(json.dumps(given_))])
    assert clients.rows(once, ["m"], NOW) == clients.rows(twice, ["m"], NOW)


@given(documents(), st.integers(-5, 5))
def test_a_key_that_has_ended_is_as_none(given_: dict[str, Any], hours: int) -> None:
    until = (NOW + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for one in given_["clients"].values():
        for key in one["keys"]:
            key["until"] = until
    has_keys = any(one["keys"] for one in given_["clients"].values())
    assert bool(clients.digests(clients.merged([given_]), NOW)) is (has_keys and hours > 0)
