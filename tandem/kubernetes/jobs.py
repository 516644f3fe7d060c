"""The Job of a batch: pods from the stack's template, until nothing is left or the money's time is over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tandem.kubernetes.names import BATCH, NAMESPACE, OF_BATCH

Object = Mapping[str, Any]
FAILURES = 3
"""Pods that may end with an error for each that is wanted: what the next one does not mend either ends the Job, not the
money. Those that were taken away do not count."""
KEPT_SECONDS = 3600
"""After its end, with the pods and their logs."""


def job(template: Object, batch: str, number: int, pods: int, seconds: int) -> Object:
    """A Job of as many pods at once as are wanted, without a number of its own each: they find their work themselves,
    and the first that finds nothing left ends with 0, as all others then do
    (https://kubernetes.io/docs/concepts/workloads/controllers/job/#parallel-jobs, a work queue).

    Args:
        template: the stack's PodTemplate, which owns the Job: with the stack it goes, and its pods with it.
        batch: its id.
        number: how often pods are called for it.
        seconds: from now until they end in any case.
    """
    labels = {OF_BATCH: batch}
    pod = template["template"]
    metadata = pod["metadata"] | {"labels": {**pod["metadata"].get("labels", {}), **labels}}
    owner = {"apiVersion": "v1", "kind": "PodTemplate", "name": BATCH, "uid": template["metadata"]["uid"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{batch}-{number}", "namespace": NAMESPACE, "labels": labels, "ownerReferences": [owner]},
        "spec": {
            "parallelism": pods,
            "backoffLimit": FAILURES * pods,
            "activeDeadlineSeconds": seconds,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            # Evicted, preempted, or lost with its node: nothing is wrong with it.
            "podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]},
            "template": {"metadata": metadata, "spec": pod["spec"]},
        },
    }
