"""Add-ons, access entries and pod identity associations of the simulated account, over boto3."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters

from pulumi_rehearsal.moto import ACCOUNT_ID, SimulatedAccount
from simulated.world import REGION, trust

NUMBERS = itertools.count(1)
KUBERNETES = "1.35"
ADMIN = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
NOBODY = f"arn:aws:iam::{ACCOUNT_ID}:role/nobody"


class Cluster:
    """One in the account."""

    def __init__(self, account: SimulatedAccount, **more: Any) -> None:
        self.account = account
        self.api = account.client("eks", REGION)
        self.name = f"parts{next(NUMBERS)}"
        access = {"authenticationMode": "API"}
        self.made = {"name": self.name, "roleArn": self.role("eks"), "version": KUBERNETES, "resourcesVpcConfig": {}}
        self.api.create_cluster(**self.made, accessConfig=access, **more)

    def role(self, service: str = "pods.eks") -> str:
        made = self.account.client("iam", REGION).create_role(
            RoleName=f"{self.name}-{next(NUMBERS)}", AssumeRolePolicyDocument=trust(service)
        )
        return made["Role"]["Arn"]

    def call(self, operation: str, **given: Any) -> Any:
        return getattr(self.api, operation)(clusterName=self.name, **given)

    def lend(self, account: str, **given: Any) -> Any:
        shared = {"namespace": "kube-system", "serviceAccount": account, "roleArn": self.role()}
        return self.call("create_pod_identity_association", **{**shared, **given})["association"]


@pytest.fixture
def cluster(account: SimulatedAccount) -> Cluster:
    return Cluster(account)


def refuses(words: str) -> Any:
    return pytest.raises(ClientError, match=words)


def test_a_cluster_is_reached_where_the_account_is_told(account: SimulatedAccount) -> None:
    account.lead_cluster(f"parts{next(NUMBERS) + 1}", "https://127.0.0.1:1", "Y2E=")
    made = Cluster(account)
    found = made.api.describe_cluster(name=made.name)["cluster"]
    assert (found["endpoint"], found["certificateAuthority"]) == ("https://127.0.0.1:1", {"data": "Y2E="})
    other = Cluster(account)
    assert "127.0.0.1" not in other.api.describe_cluster(name=other.name)["cluster"]["endpoint"]


def test_an_addon_is_made_once_changed_and_deleted(cluster: Cluster) -> None:
    made = cluster.call("create_addon", addonName="vpc-cni", addonVersion="v1.20.0-eksbuild.1", tags={"a": "1"})
    assert made["addon"]["status"] == "ACTIVE"
    with refuses("ResourceInUseException.*Addon already exists"):
        cluster.call("create_addon", addonName="vpc-cni")
    values = json.dumps({"enableNetworkPolicy": "true"})
    cluster.call("update_addon", addonName="vpc-cni", addonVersion="v1.20.1-eksbuild.2", configurationValues=values)
    found = cluster.call("describe_addon", addonName="vpc-cni")["addon"]
    assert (found["addonVersion"], found["configurationValues"]) == ("v1.20.1-eksbuild.2", values)
    cluster.call("delete_addon", addonName="vpc-cni", preserve=True)
    assert cluster.call("list_addons")["addons"] == []
    with refuses("ResourceNotFoundException"):
        cluster.call("describe_addon", addonName="vpc-cni")


@pytest.mark.parametrize(
    ("addon", "given"),
    [
        ("coredns", {"addonVersion": "1.11.1"}),
        ("kube-proxy", {"addonVersion": "v1.34.0-eksbuild.1"}),
        ("coredns", {"configurationValues": "replicaCount"}),
    ],
)
def test_an_addon_fits_its_cluster(cluster: Cluster, addon: str, given: dict[str, str]) -> None:
    with refuses("InvalidParameterException.*not supported"):
        cluster.call("create_addon", addonName=addon, **given)
    fitting = {"kube-proxy": f"v{KUBERNETES}.3-eksbuild.1", "coredns": "v1.11.1-eksbuild.4"}[addon]
    cluster.call("create_addon", addonName=addon, addonVersion=fitting, configurationValues="replicaCount: 3")


def test_the_next_kubernetes_takes_the_next_proxy(cluster: Cluster) -> None:
    cluster.call("create_addon", addonName="kube-proxy")
    cluster.api.update_cluster_version(name=cluster.name, version="1.36")
    cluster.call("update_addon", addonName="kube-proxy", addonVersion="v1.36.0-eksbuild.1")


def test_an_addon_owns_the_associations_that_it_was_made_with(cluster: Cluster) -> None:
    lent = [{"serviceAccount": "efs-csi-controller-sa", "roleArn": cluster.role()}]
    addon = cluster.call("create_addon", addonName="aws-efs-csi-driver", podIdentityAssociations=lent)["addon"]
    [one] = cluster.call("list_pod_identity_associations")["associations"]
    assert (one["ownerArn"], [one["associationArn"]]) == (addon["addonArn"], addon["podIdentityAssociations"])
    with refuses("owned by an add-on"):
        cluster.call("delete_pod_identity_association", associationId=one["associationId"])
    with refuses("ResourceInUseException.*Association already exists: a-"):
        cluster.lend("efs-csi-controller-sa")
    cluster.call("delete_addon", addonName="aws-efs-csi-driver")
    assert cluster.call("list_pod_identity_associations")["associations"] == []


def test_a_service_account_is_lent_one_role(cluster: Cluster) -> None:
    made = cluster.lend("karpenter")
    with refuses(f"ResourceInUseException.*Association already exists: {made['associationId']}"):
        cluster.lend("karpenter")
    cluster.lend("karpenter", namespace="elsewhere")
    role = cluster.role()
    cluster.call("update_pod_identity_association", associationId=made["associationId"], roleArn=role)
    found = cluster.call("describe_pod_identity_association", associationId=made["associationId"])["association"]
    assert found["roleArn"] == role
    cluster.call("delete_pod_identity_association", associationId=made["associationId"])
    cluster.lend("karpenter")


@pytest.mark.parametrize(
    ("service", "words"), [("ec2", "Trust policy of the role provided is invalid"), ("", "does not exist")]
)
def test_a_role_is_lent_that_trusts_pods(cluster: Cluster, service: str, words: str) -> None:
    with refuses(f"InvalidParameterException.*{words}"):
        cluster.lend("karpenter", roleArn=cluster.role(service) if service else NOBODY)


def test_a_principal_has_one_entry_and_its_creator_has_it_from_the_start(cluster: Cluster) -> None:
    [creator] = cluster.call("list_access_entries")["accessEntries"]
    assert creator == cluster.account.client("sts", REGION).get_caller_identity()["Arn"]
    role = cluster.role("ec2")
    entry = cluster.call("create_access_entry", principalArn=role)["accessEntry"]
    assert (
        entry["username"] == f"{role.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/{{{{SessionName}}}}"
    )
    for principal in (creator, role):
        with refuses("ResourceInUseException.*already in use on this cluster"):
            cluster.call("create_access_entry", principalArn=principal)
    cluster.call("delete_access_entry", principalArn=role)
    cluster.call("create_access_entry", principalArn=role)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"principalArn": NOBODY}, "The specified principalArn is invalid: invalid principal"),
        ({"kubernetesGroups": ["system:masters"]}, "cannot start with system:"),
        ({"type": "EC2_LINUX", "kubernetesGroups": ["a"]}, "of type STANDARD only"),
    ],
)
def test_an_entry_is_for_somebody_who_is_there(cluster: Cluster, given: dict[str, Any], words: str) -> None:
    with refuses(words):
        cluster.call("create_access_entry", **{"principalArn": cluster.role("ec2"), **given})
    cluster.call("create_access_entry", principalArn=cluster.role("ec2"), kubernetesGroups=["a"])


def test_the_role_of_a_node_group_gets_an_entry_by_itself_which_stays(cluster: Cluster) -> None:
    role = cluster.role("ec2")
    for name in ("one", "two"):
        cluster.call("create_nodegroup", nodegroupName=name, nodeRole=role, subnets=["subnet-1"])
    assert cluster.call("describe_access_entry", principalArn=role)["accessEntry"]["type"] == "EC2_LINUX"
    for name in ("one", "two"):
        cluster.api.delete_nodegroup(clusterName=cluster.name, nodegroupName=name)
    with refuses("ResourceInUseException.*already in use on this cluster"):
        cluster.call("create_access_entry", principalArn=role, type="EC2_LINUX")


def test_an_entry_that_is_there_before_a_node_group_is_left_as_it_is(cluster: Cluster) -> None:
    role = cluster.role("ec2")
    made = cluster.call("create_access_entry", principalArn=role, type="EC2_LINUX")["accessEntry"]
    cluster.call("create_nodegroup", nodegroupName="one", nodeRole=role, subnets=["subnet-1"])
    assert cluster.call("describe_access_entry", principalArn=role)["accessEntry"] == made


def test_access_policies_need_an_entry_and_go_with_it(cluster: Cluster) -> None:
    role = cluster.role("ec2")
    policy = {"principalArn": role, "policyArn": ADMIN, "accessScope": {"type": "cluster"}}
    with refuses("ResourceNotFoundException.*The specified principalArn could not be found"):
        cluster.call("associate_access_policy", **policy)
    cluster.call("create_access_entry", principalArn=role)
    cluster.call("associate_access_policy", **policy)
    [found] = cluster.call("list_associated_access_policies", principalArn=role)["associatedAccessPolicies"]
    assert found["policyArn"] == ADMIN
    cluster.call("delete_access_entry", principalArn=role)
    cluster.call("create_access_entry", principalArn=role)
    assert cluster.call("list_associated_access_policies", principalArn=role)["associatedAccessPolicies"] == []


def test_a_cluster_without_the_api_has_no_entries(account: SimulatedAccount) -> None:
    api = account.client("eks", REGION)
    made = Cluster(account).made | {"name": "config-map"}
    api.create_cluster(**made)
    api.create_nodegroup(clusterName="config-map", nodegroupName="one", nodeRole=made["roleArn"], subnets=["subnet-1"])
    assert api.list_access_entries(clusterName="config-map")["accessEntries"] == []
    with refuses("authentication mode must be set to one of"):
        api.create_access_entry(clusterName="config-map", principalArn=made["roleArn"])


def test_all_goes_with_the_cluster(cluster: Cluster) -> None:
    cluster.call("create_addon", addonName="coredns")
    cluster.lend("karpenter")
    cluster.api.delete_cluster(name=cluster.name)
    lists = {"list_addons": "addons", "list_pod_identity_associations": "associations"}
    for operation in lists:
        with refuses("ResourceNotFoundException"):
            cluster.call(operation)
    cluster.api.create_cluster(**cluster.made)
    assert [cluster.call(operation)[member] for operation, member in lists.items()] == [[], []]


def test_what_is_in_a_cluster_has_tags_of_its_own(cluster: Cluster) -> None:
    api = cluster.api
    addon = cluster.call("create_addon", addonName="coredns", tags={"a": "1"})["addon"]["addonArn"]
    group = cluster.call("create_nodegroup", nodegroupName="one", nodeRole=cluster.role("ec2"), subnets=["subnet-1"])
    for arn in (addon, cluster.lend("karpenter")["associationArn"], group["nodegroup"]["nodegroupArn"]):
        api.tag_resource(resourceArn=arn, tags={"b": "2", "c": "3"})
        api.untag_resource(resourceArn=arn, tagKeys=["c"])
        assert api.list_tags_for_resource(resourceArn=arn)["tags"].items() >= {"b": "2"}.items()
    assert cluster.call("describe_addon", addonName="coredns")["addon"]["tags"] == {"a": "1", "b": "2"}
    assert api.describe_cluster(name=cluster.name)["cluster"]["tags"] == {}


def test_its_answers_fit_the_sdks_models(cluster: Cluster) -> None:
    role, entry, values = cluster.role(), {"principalArn": cluster.role("ec2")}, {"addonName": "coredns"}
    policy = {**entry, "policyArn": ADMIN}
    lent = {"associationId": cluster.lend("keda")["associationId"]}
    for operation, given in (
        *((f"{what}_addon", values) for what in ("create", "describe", "update")),
        *(("list_addons", {}), ("delete_addon", values)),
        *((f"{what}_access_entry", entry) for what in ("create", "describe", "update")),
        *(("list_access_entries", {}), ("associate_access_policy", policy | {"accessScope": {"type": "cluster"}})),
        *(("list_associated_access_policies", entry), ("disassociate_access_policy", policy)),
        *(("delete_access_entry", entry), ("list_pod_identity_associations", {})),
        ("create_pod_identity_association", {"namespace": "a", "serviceAccount": "b", "roleArn": role}),
        *((f"{what}_pod_identity_association", lent) for what in ("describe", "update", "delete")),
    ):
        answer = cluster.call(operation, **given)
        answer.pop("ResponseMetadata")
        name = cluster.api.meta.method_to_api_mapping[operation]
        validate_parameters(answer, cluster.api.meta.service_model.operation_model(name).output_shape)
        assert any(answer.values()) or operation in ("delete_access_entry", "disassociate_access_policy")
