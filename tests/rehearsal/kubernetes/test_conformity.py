"""kubeconform on the schemas that are made here: what fits passes in three versions, what does not is named in each."""

from __future__ import annotations

import json
import re
from copy import deepcopy

import pytest

from pulumi_rehearsal.kubernetes import conformity
from pulumi_rehearsal.kubernetes.api import Object
from simulated.plane import deployment
from tests.infra.kubernetes.samples import SAMPLES, manifests

pytestmark = pytest.mark.kubernetes

POOL = {
    "apiVersion": "karpenter.sh/v1",
    "kind": "NodePool",
    "metadata": {"name": "gpu"},
    "spec": {
        "limits": {"nvidia.com/gpu": "8"},
        "template": {
            "spec": {
                "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "gpu"},
                "requirements": [{"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]}],
            }
        },
    },
}


def wrong(manifest: Object, **spec: object) -> Object:
    changed = deepcopy(manifest)
    changed["spec"] |= spec
    return changed


def test_what_fits_passes_in_every_version() -> None:
    assert conformity.misfits([deployment("inference"), POOL]) == []


@pytest.mark.parametrize("sample", SAMPLES)
def test_what_the_program_declares_fits_every_version(sample: str) -> None:
    """The same objects as in the golden files, whose ids are the mocks' and not AWS's."""
    text = json.dumps(manifests(sample))
    text = re.sub(r'"tandem-[\w-]+-Subnet-id"', '"subnet-0123456789abcdef0"', text)
    text = re.sub(r'"tandem-[\w-]+-SecurityGroup-id"', '"sg-0123456789abcdef0"', text)
    assert conformity.misfits(json.loads(text)) == []


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (wrong(deployment("inference"), replica=3), "additional properties 'replica' not allowed"),
        (wrong(deployment("inference"), replicas="three"), "got string, want integer"),
        (wrong(POOL, weight="heavy"), "got string, want integer"),
        (wrong(POOL, wait=1), "additional properties 'wait' not allowed"),
        (deployment("inference") | {"kind": "Deploymint"}, "could not find schema for Deploymint"),
    ],
)
def test_what_does_not_fit_is_named_for_each_version(manifest: Object, words: str) -> None:
    found = conformity.misfits([manifest])
    assert [misfit.version for misfit in found] == ["1.35.4", "1.34.4", "1.33.13"]
    assert all(words in misfit.problem for misfit in found), found
