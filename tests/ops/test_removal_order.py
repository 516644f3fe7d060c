"""In which order a removal goes, for any resources: by hypothesis, the same ones each run."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.ops.kinds import KINDS
from tandem.ops.kinds.kind import Found
from tandem.ops.removal import plan

FOUND = st.builds(Found, type=st.sampled_from([*KINDS, "ec2:vpn-gateway"]), id=st.sampled_from("abc"))


def first(type_: str) -> set[str]:
    """Types that have to be gone before this one, directly or not."""
    found: set[str] = set()
    while more := {after for one in (type_, *found) for after in KINDS[one].after} - found:
        found |= more
    return found


@settings(derandomize=True, database=None, deadline=None, max_examples=200)
@given(st.lists(FOUND, unique_by=lambda one: one.key))
def test_each_goes_once_and_not_before_what_depends_on_it(resources: list[Found]) -> None:
    waves = plan(resources)
    at = {one.key: number for number, wave in enumerate(waves) for one in wave}
    known = [one for one in resources if one.type in KINDS]
    assert sum(map(len, waves)) == len(at)
    assert set(at) == {one.key for one in known}
    for one in known:
        assert all(at[other.key] < at[one.key] for other in known if other.type in first(one.type))
