"""Facts of AWS's that program and simulator hold each for itself, for neither may know the other, are the same."""

from __future__ import annotations

import pytest

from pulumi_rehearsal.aws.checks import clusters
from pulumi_rehearsal.instance_types import types_of_moto
from tandem.catalog import cluster_zones
from tandem.catalog.instances import INSTANCE_TYPES


def test_zones_without_control_planes() -> None:
    assert clusters.NO_CLUSTERS == cluster_zones.NO_CLUSTERS


@pytest.mark.parametrize("name", sorted(INSTANCE_TYPES.keys() & types_of_moto().keys()))
def test_instance_types_are_as_moto_describes_them(name: str) -> None:
    ours, theirs = INSTANCE_TYPES[name], types_of_moto()[name]
    assert (ours.vcpus, ours.memory_gib, ours.gpus) == (theirs.vcpus, theirs.memory_gib, theirs.gpus)
