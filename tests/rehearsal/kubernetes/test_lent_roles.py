"""What controllers call lies within the roles that the stack lends them, by resource and by tag; what does not is
named."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pulumi_rehearsal.moto import SimulatedAccount
from rehearsal.account import account_gaps, simulated_account
from rehearsal.kubernetes.expectations import call_what_their_roles_allow
from rehearsal.kubernetes.lent_roles import LentRole, lent_roles
from rehearsal.policy_calls import Call, as_asked
from simulated.world import REGION, policy, trust
from tests.infra.roles import roles

pytestmark = pytest.mark.sweep

CLUSTER = "tandem-prod"
TEMPLATE, INSTANCE, THEIRS = "lt-0123456789abcdef0", "i-0123456789abcdef0", "i-0fedcba9876543210"
OWN = {f"kubernetes.io/cluster/{CLUSTER}": "owned", "eks:eks-cluster-name": CLUSTER, "karpenter.sh/nodepool": "gpu"}


def tags(own: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in own.items()]


def specified(*kinds: str, own: dict[str, str] = OWN) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": tags(own)} for kind in kinds]


def ec2(operation: str, answer: Any = None, done: bool = True, **params: Any) -> Call:
    return Call("ec2", operation, params, answer or {}, REGION, done)


def launched(own: dict[str, str] = OWN) -> list[Call]:
    """As Karpenter starts a node, gives it a name and ends it."""
    named = {"LaunchTemplateName": "karpenter.k8s.aws/1"}
    template = {"LaunchTemplate": {"LaunchTemplateId": TEMPLATE, **named}}
    overrides = [{"InstanceType": "g6e.12xlarge", "SubnetId": "subnet-0123456789abcdef0"}]
    fleet = {
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": named, "Overrides": overrides}],
        "TagSpecifications": specified("instance", "volume", "fleet", own=own),
    }
    return [
        ec2("CreateLaunchTemplate", template, **named, TagSpecifications=specified("launch-template", own=own)),
        ec2("CreateFleet", done=False, DryRun=True, **fleet),
        ec2("CreateFleet", {"Instances": [{"InstanceIds": [INSTANCE]}]}, **fleet),
        ec2("CreateTags", Resources=[INSTANCE], Tags=tags({"Name": "node", "karpenter.sh/nodeclaim": "gpu-1"})),
        ec2("DescribeInstanceStatus", InstanceIds=[INSTANCE]),
        ec2("TerminateInstances", InstanceIds=[INSTANCE]),
        ec2("DeleteLaunchTemplate", **named),
    ]


def karpenter(**changes: str) -> LentRole:
    """Its role in production, with words of its policies changed."""
    text = json.dumps(roles("prod")[f"{CLUSTER}-karpenter"].policies)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return LentRole(json.loads(text))


def refused(calls: Sequence[Call], role: LentRole) -> set[str]:
    found = call_what_their_roles_allow({"karpenter": calls, "idle": []}, {"karpenter": role})
    return {words.removesuffix(", which its role does not allow") for words in found.violations}


def test_what_karpenter_does_is_allowed() -> None:
    assert refused(launched(), karpenter()) == set()


def test_an_action_that_is_missing_is_named() -> None:
    assert refused(launched(), karpenter(**{'"ec2:DescribeInstanceStatus", ': ""})) == {
        "karpenter calls ec2:DescribeInstanceStatus on *"
    }


def test_a_condition_with_another_clusters_tag_is_seen() -> None:
    found = refused(launched(), karpenter(**{f"ResourceTag/kubernetes.io/cluster/{CLUSTER}": "ResourceTag/other"}))
    ec2_arn = "arn:aws:ec2:us-east-1:123456789012"
    assert found == {
        f"karpenter calls ec2:CreateFleet on {ec2_arn}:launch-template/{TEMPLATE}",
        f"karpenter calls ec2:CreateTags on {ec2_arn}:instance/{INSTANCE}",
        f"karpenter calls ec2:TerminateInstances on {ec2_arn}:instance/{INSTANCE}",
        f"karpenter calls ec2:DeleteLaunchTemplate on {ec2_arn}:launch-template/{TEMPLATE}",
    }


def test_a_launch_without_the_clusters_tags_is_seen_where_it_is_only_tried() -> None:
    [_, tried, *_] = launched({"karpenter.sh/nodepool": "gpu"})
    assert {words.rpartition(":")[2] for words in refused([tried], karpenter())} == {
        *("fleet/new", "instance/new", "volume/new")
    }


def test_an_instance_of_others_is_not_its_own() -> None:
    [words] = refused([*launched(), ec2("TerminateInstances", InstanceIds=[THEIRS])], karpenter())
    assert words.endswith(f"ec2:TerminateInstances on arn:aws:ec2:us-east-1:123456789012:instance/{THEIRS}")


def test_another_region_is_seen() -> None:
    elsewhere = Call("ec2", "DescribeInstances", {}, {}, "eu-west-1")
    assert refused([elsewhere], karpenter()) == {"karpenter calls ec2:DescribeInstances on *"}


def test_a_public_parameter_is_nobodys() -> None:
    image = "/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/nvidia/recommended/image_id"
    parameters = [Call("ssm", "GetParameter", {"Name": name}, {}) for name in (image, "/own")]
    assert refused(parameters, karpenter()) == {
        "karpenter calls ssm:GetParameter on arn:aws:ssm:us-east-1:123456789012:parameter/own"
    }


def test_what_names_nothing_that_is_known_is_a_failure() -> None:
    [words] = refused([Call("sqs", "ReceiveMessage", {}, {})], karpenter())
    assert "cannot be judged (sqs:ReceiveMessage names nothing" in words


def test_pods_are_registered_with_the_stacks_own_target_groups() -> None:
    role = LentRole(roles("prod")[f"{CLUSTER}-load-balancer"].policies)
    [own] = {arn for one in role.policies for part in one["Statement"] for arn in part["Resource"] if arn != "*"}
    register = [
        Call("elbv2", "RegisterTargets", {"TargetGroupArn": arn, "Targets": []}, {}) for arn in (own, f"{own}0")
    ]
    assert refused(register, role) == {f"karpenter calls elasticloadbalancing:RegisterTargets on {own}0"}


def test_who_is_lent_nothing_may_nothing() -> None:
    found = call_what_their_roles_allow({"keda-operator": [Call("cloudwatch", "GetMetricData", {}, {})]}, {})
    assert found.violations == ("keda-operator calls cloudwatch:GetMetricData on *, which its role does not allow",)


@pytest.fixture(scope="module")
def account() -> Iterator[SimulatedAccount]:
    with simulated_account() as account:
        yield account


def test_a_role_is_what_the_account_lends_with_all_its_policies(account: SimulatedAccount) -> None:
    iam, eks = account.client("iam", REGION), account.client("eks", REGION)
    made = [
        iam.create_policy(PolicyName=name, PolicyDocument=policy(f"{name}:*"))["Policy"]["Arn"]
        for name in ("s3", "sqs")
    ]
    role = iam.create_role(RoleName="pods", AssumeRolePolicyDocument=trust("pods.eks"), PermissionsBoundary=made[0])
    iam.put_role_policy(RoleName="pods", PolicyName="own", PolicyDocument=policy("s3:GetObject"))
    iam.attach_role_policy(RoleName="pods", PolicyArn=made[1])
    eks.create_cluster(name=CLUSTER, roleArn=role["Role"]["Arn"], resourcesVpcConfig={})
    place = {"clusterName": CLUSTER, "namespace": "keda", "serviceAccount": "keda-operator"}
    eks.create_pod_identity_association(**place, roleArn=role["Role"]["Arn"])
    before = {*account.calls}
    lent = lent_roles(lambda service: account.client(service, REGION), CLUSTER)["keda-operator"]
    assert [one["Statement"][0]["Action"] for one in lent.policies] == ["s3:GetObject", "sqs:*"]
    assert account.calls == before, "who deploys has called nothing"
    queue = Call("sqs", "ReceiveMessage", {"QueueUrl": "https://sqs/123456789012/one"}, {})
    [words] = lent.refuses([queue])  # which the boundary leaves out
    assert words == "sqs:ReceiveMessage on arn:aws:sqs:us-east-1:123456789012:one"


def test_calls_are_read_from_the_wire_with_what_they_were_answered(account: SimulatedAccount) -> None:
    with account_gaps(account.url) as gaps:
        asked = SimulatedAccount(gaps.url)
        made, eks, cloudwatch = (asked.client(service, REGION) for service in ("ec2", "eks", "cloudwatch"))
        network = made.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=specified("vpc"))
        with pytest.raises(ClientError):
            eks.describe_cluster(name="nobody")
        eks.list_tags_for_resource(resourceArn=_cluster(account))
        cloudwatch.describe_alarms()
    calls = [as_asked(*one) for one in gaps.seen]
    assert [(one.action, one.done) for one in calls] == [
        *(("ec2:CreateVpc", True), ("eks:DescribeCluster", False), ("eks:ListTagsForResource", True)),
        ("cloudwatch:DescribeAlarms", True),
    ]
    assert calls[0].answer["Vpc"]["VpcId"] == network["Vpc"]["VpcId"]
    assert calls[0].params["TagSpecifications"] == specified("vpc")
    assert (calls[1].params, calls[2].params) == ({"name": "nobody"}, {"resourceArn": _cluster(account)})


def _cluster(account: SimulatedAccount) -> str:
    eks = account.client("eks", REGION)
    if "wire" not in eks.list_clusters()["clusters"]:
        role = "arn:aws:iam::123456789012:role/cluster"
        eks.create_cluster(name="wire", roleArn=role, resourcesVpcConfig={})
    return eks.describe_cluster(name="wire")["cluster"]["arn"]
