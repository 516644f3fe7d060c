"""What was given beside what is described."""

from __future__ import annotations

from typing import Any

import pytest

from pulumi_rehearsal.aws.shapes import agrees, unseen


@pytest.mark.parametrize(
    ("given", "found"),
    [("a", "a"), (1, "1"), (100, "100.0"), ("3600", 3600), (None, False), ([], None), ({"a": 1}, {"a": 1, "b": 2})],
)
def test_the_same_in_another_form_agrees(given: Any, found: Any) -> None:
    assert agrees(given, found)


@pytest.mark.parametrize(("given", "found"), [("a", "b"), (1, 2), (True, 1.0), ("", "x"), ([1], [1, 2]), ("1a", 1)])
def test_what_differs_does_not_agree(given: Any, found: Any) -> None:
    assert not agrees(given, found)


@pytest.mark.parametrize(
    ("given", "found", "paths"),
    [
        ("kept", "kept", []),
        (None, "a default of AWS", []),
        ("lost", None, ["x"]),
        ({"kept": 1, "lost": 2}, {"kept": 1}, ["x.lost"]),
        ({"deep": {"lost": 1}}, {"deep": {}}, ["x.deep.lost"]),
        ([{"name": "a", "lost": 1}, {"name": "b"}], [{"name": "b"}, {"name": "a"}], ["x[].lost"]),
        ([1, 2], [1], ["x"]),
    ],
)
def test_what_is_not_described_again_is_named_by_its_path(given: Any, found: Any, paths: list[str]) -> None:
    assert unseen(given, found, "x") == paths
