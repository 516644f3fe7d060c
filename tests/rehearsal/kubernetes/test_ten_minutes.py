"""Why the program waits for its servers itself: the provider, left to itself, ends `up` red after ten minutes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.rehearsal.kubernetes.scenes import scene_of
from tests.rehearsal.kubernetes.test_drift import TYPE
from tests.rehearsal.kubernetes.test_planted_faults import FILE, PROGRAM, STACK, TOGETHER, plant

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes, pytest.mark.long]

TEN_MINUTES = 600


def test_undeclared_the_wait_ends_in_red(tmp_path: Path) -> None:
    with scene_of(tmp_path, STACK, FILE, PROGRAM) as scene:
        assert scene.cluster is not None
        scene.cluster.asked["karpenter"].exhausted.add(TYPE)
        plant(scene, TOGETHER["ten minutes are what nobody declared"])
        started = time.monotonic()
        up = scene.workspace.up()
        assert not up.succeeded
        assert time.monotonic() - started > TEN_MINUTES
        assert "'vllm-main' timed out waiting to be Ready" in "\n".join(up.messages)
        assert not any(one["type"].endswith(":ScaledObject") for one in scene.workspace.resources())
