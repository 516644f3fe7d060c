"""What the settings promise; the rest of it is broken in test_planted_faults.py."""

from __future__ import annotations

from copy import deepcopy

from rehearsal.kubernetes import promises
from tandem.settings import Settings
from tests.infra.kubernetes.samples import SAMPLES
from tests.rehearsal.kubernetes.conftest import of_the_program

ENTRY = {"principalArn": "arn:aws:iam::123456789012:role/nodes", "type": "EC2_LINUX"}
STATE = [
    {"type": promises.CLUSTER, "inputs": {}, "outputs": {"vpcConfig": {"clusterSecurityGroupId": "sg-1"}}},
    {"type": promises.ACCESS_ENTRY, "inputs": ENTRY},
]
INSTANCE = {"PrivateDnsName": "ip-10-0-0-1", "SecurityGroups": [{"GroupId": "sg-2"}, {"GroupId": "sg-1"}]}


def test_what_the_program_declares_is_what_is_promised() -> None:
    kinds = ("Deployment", "PodDisruptionBudget", "ScaledObject")
    deployment, budget, scaled = map(of_the_program, kinds)
    settings = Settings.model_validate(SAMPLES["karpenter"])
    assert promises.are_given_what_is_promised(settings, [deployment], [budget], [scaled]).met
    blind = deepcopy(deployment)
    del blind["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
    assert promises.are_given_what_is_promised(settings, [blind], [budget], [scaled]).violations == (
        "vllm-main: a server has 0 GPUs, 2 are promised",
    )


def test_drains_leave_what_the_settings_say() -> None:
    deployment, budget = map(deepcopy, map(of_the_program, ("Deployment", "PodDisruptionBudget")))
    deployment["spec"]["replicas"] = 3

    def found(**kept: int) -> tuple[str, ...]:
        scaling = {"minReplicas": 3, "maxReplicas": 4, "minAvailable": 1}
        settings = Settings.model_validate(SAMPLES["karpenter"] | {"scaling": scaling})
        given = {**budget, "spec": kept}
        said = promises.are_given_what_is_promised(settings, [deployment], [given], []).violations
        return tuple(words for words in said if "drain" in words)

    assert found(minAvailable=1) == ()
    assert found(minAvailable=0) == ("vllm-main: a drain may leave 0 of 3, 1 are promised",)


def test_nodes_that_could_not_join_are_named() -> None:
    ours, other = ({"metadata": {"name": "gpu"}, "spec": {"role": role}} for role in ("nodes", "others"))
    assert promises.may_join([ours], [INSTANCE], STATE).met
    outside = INSTANCE | {"SecurityGroups": [{"GroupId": "sg-2"}]}
    assert promises.may_join([other], [outside], STATE).violations == (
        "gpu: others has no access entry of type EC2_LINUX",
        "ip-10-0-0-1: not in sg-1, from where the control plane is reached",
    )
