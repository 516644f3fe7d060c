"""What a stack has for batches: beside its hosts, at 0, and no right to anything else."""

from __future__ import annotations

import base64
import functools
import gzip
import json
from collections import Counter
from typing import Any

import pytest

from tests.infra.declared import Declared, declared_by

pytestmark = pytest.mark.sweep

STACK: dict[str, Any] = {"region": "us-east-1", "costGuard": {"alertEmails": ["a@example.com"]}}
BATCH = {"batch": {"maxUsd": 20}}
NAME = "tandem-bt-batch"


@functools.cache
def built(*, batch: bool = True, ephemeral: bool = False, spot: bool = True) -> Declared:
    more = {"batch": {"maxUsd": 20, "spot": spot}} if batch else {}
    return declared_by({**STACK, "ephemeral": ephemeral, **more}, "bt")


def host_json(declared: Declared, template: str) -> dict[str, Any]:
    text = gzip.decompress(base64.b64decode(declared.of("LaunchTemplate")[template]["userData"])).decode()
    lines = text.partition("path: /etc/tandem/host.json\n content: |\n")[2].partition("\n-\n")[0]
    return json.loads(lines)


def test_exact_resources() -> None:
    added = Counter(built().counts())
    added.subtract(built(batch=False).counts())
    assert {name: number for name, number in added.items() if number} == {
        "tandem:index:Batches": 1,
        "tandem:index:GpuFleet": 1,
        "tandem:index:HostRole": 1,
        "aws:autoscaling/group:Group": 1,
        "aws:ec2/launchTemplate:LaunchTemplate": 1,
        "aws:iam/instanceProfile:InstanceProfile": 1,
        "aws:iam/role:Role": 1,
        "aws:iam/rolePolicy:RolePolicy": 4,
        "aws:s3/bucket:Bucket": 1,
        "aws:s3/bucketAbac:BucketAbac": 1,
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": 1,
        "aws:s3/bucketPolicy:BucketPolicy": 1,
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": 1,
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": 1,
    }


def test_hosts_that_serve_are_as_without_it() -> None:
    """What is switched on replaces no host."""
    for type_ in ("LaunchTemplate", "autoscaling/group:Group"):
        with_it, without = built().of(type_), built(batch=False).of(type_)
        assert {name: inputs for name, inputs in with_it.items() if name != NAME} == without


def test_the_group_is_at_0_and_spot_and_serves_nobody() -> None:
    group = built().of("autoscaling/group:Group")[NAME]
    assert (group["minSize"], group["desiredCapacity"], group["maxSize"]) == (0, 0, 0)
    assert group["mixedInstancesPolicy"]["instancesDistribution"]["onDemandPercentageAboveBaseCapacity"] == 0
    assert not {"targetGroupArns", "initialLifecycleHooks", "instanceRefresh"} & group.keys()
    assert group["forceDelete"] is True
    paid = built(spot=False).of("autoscaling/group:Group")[NAME]["mixedInstancesPolicy"]["instancesDistribution"]
    assert (paid["onDemandBaseCapacity"], paid["onDemandPercentageAboveBaseCapacity"]) == (0, 100)


def test_results_outlive_the_stack_unless_it_is_ephemeral() -> None:
    assert built().of("Bucket")[NAME]["forceDestroy"] is False
    assert built(ephemeral=True).of("Bucket")[NAME]["forceDestroy"] is True
    (rule,) = built().of("BucketLifecycleConfiguration")[NAME]["rules"]
    assert rule["expiration"] == {"days": 30}


def test_machines_know_their_bucket_and_no_client() -> None:
    found = host_json(built(), NAME)
    assert found["batch"] == "https://bucket.s3.us-east-1.amazonaws.com"
    assert (found["keys_arns"], found["target_group_arn"]) == ([], "")
    assert "batch" not in host_json(built(), "tandem-bt")


def test_their_role_reads_and_writes_one_bucket_and_ends_its_own_machine() -> None:
    policies = {
        name: json.loads(inputs["policy"])["Statement"]
        for name, inputs in built().of("RolePolicy").items()
        if name.startswith(NAME)
    }
    listed, objects, theirs = policies[NAME]
    assert listed["Action"] == ["s3:ListBucket"]
    bucket = listed["Resource"][0]
    assert (objects["Action"], objects["Resource"]) == (["s3:GetObject"], [f"{bucket}/*"])
    assert theirs["Action"] == ["s3:PutObject"]
    assert {one.removeprefix(f"{bucket}/jobs/*/") for one in theirs["Resource"]} == {
        f"{kind}/*" for kind in ("answers", "claims", "done", "machines")
    }
    life, *_ = policies[f"{NAME}-host-life-cycle"]
    assert life["Action"] == ["autoscaling:UpdateAutoScalingGroup", "autoscaling:SetInstanceHealth"]
    assert life["Resource"][0].endswith(f"autoScalingGroupName/{NAME}-*")
    assert life["Condition"].keys() == {"StringEquals", "NumericLessThanEqualsIfExists"}
    everything = json.dumps(policies)
    assert "secretsmanager" not in everything
    assert "elasticloadbalancing:RegisterTargets" not in everything


def test_the_model_cache_lets_both_roles_in() -> None:
    statement, _ = json.loads(built().one("FileSystemPolicy")["policy"])["Statement"]
    assert [arn.rpartition("/")[2] for arn in statement["Principal"]["AWS"]] == ["tandem-bt-host", f"{NAME}-host"]


def on_kubernetes(**more: Any) -> Declared:
    fleet = {"instanceTypes": ["g6e.12xlarge"], "maxHosts": 4}
    return declared_by(
        {"region": "us-east-1", "platform": "eks", "fleet": fleet, "scaling": {"minReplicas": 1}, **more}
    )


def test_exact_resources_on_kubernetes() -> None:
    added = Counter(on_kubernetes(**BATCH).counts())
    added.subtract(on_kubernetes().counts())
    assert {name: number for name, number in added.items() if number} == {
        "tandem:index:Batches": 1,
        "tandem:index:PodRole": 1,
        "aws:eks/podIdentityAssociation:PodIdentityAssociation": 1,
        "aws:iam/role:Role": 1,
        "aws:iam/rolePolicy:RolePolicy": 1,
        "aws:s3/bucket:Bucket": 1,
        "aws:s3/bucketAbac:BucketAbac": 1,
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": 1,
        "aws:s3/bucketPolicy:BucketPolicy": 1,
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": 1,
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": 1,
        "kubernetes:core/v1:ConfigMap": 1,
        "kubernetes:core/v1:PodTemplate": 1,
        "kubernetes:core/v1:ServiceAccount": 1,
        "kubernetes:karpenter.sh/v1:NodePool": 1,
        "kubernetes:networking.k8s.io/v1:NetworkPolicy": 1,
    }


def test_a_batchs_pods_stream_weights_and_have_the_hubs_token() -> None:
    weights = {"model": "Qwen/Qwen3-8B", "weights": "s3", "weightsS3Uri": "s3://weights/qwen"}
    declared = on_kubernetes(**BATCH, inference=weights, huggingFaceToken=f"hf_{'t' * 30}")
    policies = {
        name: json.loads(inputs["policy"])["Statement"]
        for name, inputs in declared.of("RolePolicy").items()
        if "-batch" in name
    }
    actions = {name: [action for one in found for action in one["Action"]] for name, found in policies.items()}
    (own, streamed) = sorted(policies)
    assert actions[own] == ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "secretsmanager:GetSecretValue"]
    assert policies[streamed][-1]["Resource"] == ["arn:aws:s3:::weights/qwen/*"]
    template = declared.of("PodTemplate")[next(iter(declared.of("PodTemplate")))]["template"]
    assert template["metadata"]["annotations"] == {}
