"""Platform `eks`, type by type, and who may do what."""

from __future__ import annotations

import base64
import email
import json
import re
import tomllib
from typing import Any

import yaml

from infra import stack
from tandem import pins
from tandem.settings import Settings
from tests.infra.declared import Declared, declared, declared_by

TOKEN = "hf_" + "t" * 30
DIGEST = "d1" * 32
SOUND: dict[str, Any] = {
    "region": "us-east-1",
    "platform": "eks",
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "maxHosts": 4},
    "inference": {"model": "Qwen/Qwen3-32B", "quantization": "fp8", "maxModelLen": 32768},
}
KUBERNETES = {
    "apps/v1:Deployment": 1,
    "core/v1:ConfigMap": 3,
    "core/v1:Namespace": 1,
    "core/v1:PersistentVolume": 1,
    "core/v1:PersistentVolumeClaim": 1,
    "core/v1:Service": 1,
    "core/v1:ServiceAccount": 1,
    "elbv2.k8s.aws/v1beta1:TargetGroupBinding": 1,
    "helm.sh/v3:Release": 6,
    "karpenter.k8s.aws/v1:EC2NodeClass": 1,
    "karpenter.sh/v1:NodePool": 1,
    "keda.sh/v1alpha1:ScaledObject": 1,
    "networking.k8s.io/v1:NetworkPolicy": 2,
    "policy/v1:PodDisruptionBudget": 1,
    "scheduling.k8s.io/v1:PriorityClass": 1,
}
CLUSTER = {
    "AccessEntry": 1,
    "Addon": 7,
    "Cluster": 1,
    "EventRule": 4,
    "EventTarget": 4,
    "Key": 1,
    "LaunchTemplate": 1,
    "LogGroup": 2,
    "NodeGroup": 1,
    "PodIdentityAssociation": 6,
    "Queue": 1,
    "QueuePolicy": 1,
    "Role": 8,
    "RolePolicy": 9,
    "RolePolicyAttachment": 5,
}


def with_settings(**changes: Any) -> Declared:
    return declared_by(SOUND | changes, "prod")


def kubernetes(found: Declared) -> dict[str, int]:
    counted = found.counts().items()
    return {token.removeprefix("kubernetes:"): number for token, number in counted if token.startswith("kubernetes:")}


def amazon(found: Declared) -> dict[str, int]:
    return {token.split(":")[-1]: number for token, number in found.counts().items() if token.startswith("aws:")}


def test_exact_objects_of_kubernetes() -> None:
    assert kubernetes(with_settings()) == KUBERNETES


def test_exact_resources_of_the_cluster() -> None:
    found = amazon(with_settings())
    assert {kind: found[kind] for kind in CLUSTER} == CLUSTER
    assert "Group" not in found
    assert "InstanceProfile" not in found


def test_each_part_that_is_added_brings_exactly_its_own() -> None:
    domain = {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789"}
    small = {
        "host_name": "small.example.com",
        "inference": {"model": "Qwen/Qwen3-8B", "maxModelLen": 8192},
        "scaling": {"maxReplicas": 2},
    }
    two = kubernetes(with_settings(load_balancer=domain, models={"small": small}))
    more = {kind: number - KUBERNETES.get(kind, 0) for kind, number in two.items()}
    assert {kind: number for kind, number in more.items() if number} == {
        "apps/v1:Deployment": 1,
        "core/v1:ConfigMap": 2,
        "core/v1:Service": 1,
        "elbv2.k8s.aws/v1beta1:TargetGroupBinding": 1,
        "keda.sh/v1alpha1:ScaledObject": 1,
        "policy/v1:PodDisruptionBudget": 1,
    }
    pipeline = kubernetes(
        with_settings(inference=SOUND["inference"] | {"pipelineParallelSize": 2}, scaling={"maxReplicas": 2})
    )
    assert (pipeline["leaderworkerset.x-k8s.io/v1:LeaderWorkerSet"], pipeline["helm.sh/v3:Release"]) == (1, 7)
    assert "apps/v1:Deployment" not in pipeline
    zero = kubernetes(with_settings(scaling={"min_replicas": 0}))
    assert zero["keda.sh/v1alpha1:TriggerAuthentication"] == 1


def test_the_file_system_driver_gets_its_role_by_associations_before_its_pods_start() -> None:
    """The add-on itself lends a role to one of its two accounts only."""
    found = with_settings()
    lent = found.urns("PodIdentityAssociation")
    (driver,) = (urn for urn in found.urns("Addon") if urn.endswith("aws-efs-csi-driver"))
    assert {urn for urn in lent if "efs-csi-" in urn} <= found.before(driver)
    assert not any("podIdentityAssociations" in addon for addon in found.of("Addon").values())


def test_the_network_plugin_has_a_role_of_its_own_before_its_pods_start_and_nodes_have_none_for_it() -> None:
    found = with_settings()
    (plugin,) = (urn for urn in found.urns("Addon") if urn.endswith("vpc-cni"))
    before = found.before(plugin)
    assert [urn for urn in found.urns("PodIdentityAssociation") if urn.endswith("network-aws-node") and urn in before]
    assert [urn for urn in found.urns("RolePolicyAttachment") if urn.endswith("AmazonEKS_CNI_Policy") and urn in before]
    attached = [one["role"] for one in found.of("RolePolicyAttachment").values() if "CNI" in one["policyArn"]]
    assert len(attached) == 1
    assert "node" not in attached[0]


def test_a_newer_kubernetes_reaches_the_control_plane_then_the_network_then_nodes() -> None:
    """In EKS's order, on updates, too: dependents wait for what they depend on."""
    found = with_settings(node_pool={"provisioner": "managed"})
    (cluster,) = found.urns("eks/cluster:Cluster")
    addons = {urn.rpartition("::tandem-prod-")[2]: urn for urn in found.urns("Addon")}
    groups = {urn.rpartition("::tandem-prod-")[2]: urn for urn in found.urns("NodeGroup")}
    assert all(cluster in found.before(urn) for urn in addons.values())
    first = {addons[name] for name in ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")}
    assert first <= found.before(groups["system"])
    assert {*addons.values(), groups["system"]} <= found.before(groups["gpu"])


def test_broken_nodes_are_told_of_and_replaced() -> None:
    found = with_settings(node_pool={"provisioner": "managed"}, fleet=SOUND["fleet"] | {"hosts": 6, "maxHosts": 6})
    agent = found.of("Addon")["tandem-prod-eks-node-monitoring-agent"]
    # Its host engine of GPUs tolerates no taint by itself, and GPU nodes have one.
    assert json.loads(agent["configurationValues"]) == {"dcgmAgent": {"tolerations": [{"operator": "Exists"}]}}
    assert {name: group["nodeRepairConfig"] for name, group in found.of("NodeGroup").items()} == {
        "tandem-prod-gpu": {"enabled": True, "maxParallelNodesRepairedCount": 1, "maxUnhealthyNodeThresholdCount": 2},
        "tandem-prod-system": {
            "enabled": True,
            "maxParallelNodesRepairedCount": 1,
            "maxUnhealthyNodeThresholdCount": 1,
        },
    }
    (karpenter,) = (one for one in with_settings().of("Release").values() if one["chart"].endswith("/karpenter"))
    assert karpenter["values"]["settings"]["featureGates"] == {"nodeRepair": True}


def test_controllers_have_their_roles_before_their_pods_start() -> None:
    """A pod that starts before gets none."""
    found = with_settings(scaling={"min_replicas": 0})
    urns = {urn.rpartition("::tandem-prod-")[2]: urn for urn in found.urns("helm.sh/v3:Release")}
    lent = {urn.rpartition("::tandem-prod-")[2]: urn for urn in found.urns("PodIdentityAssociation")}
    granted = {urn.rpartition("::tandem-prod-")[2]: urn for urn in found.urns("RolePolicy")}
    for chart, association, policy in (
        ("karpenter", "karpenter-karpenter", "karpenter-nodes"),
        ("aws-load-balancer-controller", "load-balancer-aws-load-balancer-controller", "load-balancer-targets"),
        ("keda", "keda-keda-operator", "keda-metrics"),
    ):
        assert {lent[association], granted[policy]} <= found.before(urns[chart])


def test_karpenters_definitions_are_upgraded_with_it_and_before_it() -> None:
    found = with_settings()
    releases = {one["name"]: one for one in found.of("Release").values()}
    karpenter, definitions = releases["karpenter"], releases["karpenter-crd"]
    assert karpenter["skipCrds"] is True
    assert (definitions["chart"], definitions.get("version")) == (
        "oci://public.ecr.aws/karpenter/karpenter-crd",
        karpenter.get("version"),
    )
    urns = {urn.rpartition("::tandem-prod-")[2]: urn for urn in found.urns("helm.sh/v3:Release")}
    assert urns["karpenter-crd"] in found.before(urns["karpenter"])
    # The others bring them in their templates, or in a crds/ that was not fetched.
    assert not [name for name, one in releases.items() if one.get("skipCrds") and name != "karpenter"]


def test_interface_endpoints_let_in_each_node() -> None:
    """The controllers' nodes are in no group of the network's."""
    found = with_settings(network={"interfaceEndpoints": ["sts"]})
    rules = {name: rule for name, rule in found.of("SecurityGroupIngressRule").items() if "endpoints" in name}
    assert [(rule["cidrIpv4"], rule["fromPort"]) for rule in rules.values()] == [("10.20.0.0/16", 443)]


def test_public_nodes_get_their_address_from_subnet_or_class() -> None:
    found = with_settings(network={"egress": "publicHosts"}, node_pool={"provisioner": "managed"})
    public = {f"{name}-Subnet-id" for name, subnet in found.of("Subnet").items() if subnet["mapPublicIpOnLaunch"]}
    assert [{*group["subnetIds"]} for group in found.of("NodeGroup").values()] == [public, public]
    (node_class,) = with_settings(network={"egress": "publicHosts"}).of("EC2NodeClass").values()
    assert node_class["spec"]["associatePublicIPAddress"] is True


def test_node_groups_are_of_the_clusters_version() -> None:
    """Without it, a release of the next one is refused."""
    found = with_settings(node_pool={"provisioner": "managed"})
    assert {group["version"] for group in found.of("NodeGroup").values()} == {found.one("Cluster")["version"]}


def test_gpu_nodes_of_a_node_group_are_in_the_group_that_balancer_and_cache_let_in() -> None:
    """EKS puts nodes of a template without groups into the cluster's alone."""
    found = with_settings(node_pool={"provisioner": "managed"})
    groups = {name: template.get("vpcSecurityGroupIds") for name, template in found.of("LaunchTemplate").items()}
    assert groups == {
        "tandem-prod-gpu": ["tandem-prod-hosts-SecurityGroup-id", "sg-cluster"],
        "tandem-prod-system": None,
    }


def told(template: dict[str, Any]) -> str:
    return base64.b64decode(template["userData"]).decode()


def disks(template: dict[str, Any]) -> dict[str, tuple[float, str]]:
    return {
        one["deviceName"]: (one["ebs"]["volumeSize"], one["ebs"]["encrypted"])
        for one in template["blockDeviceMappings"]
    }


def test_managed_nodes_of_each_family_have_its_disks_and_their_drives_as_one() -> None:
    fleet = SOUND["fleet"] | {"rootVolumeGib": 300}
    pool = {"provisioner": "managed"}
    amazon = with_settings(node_pool=pool, fleet=fleet).of("LaunchTemplate")["tandem-prod-gpu"]
    assert disks(amazon) == {"/dev/xvda": (300, "true")}
    message = email.message_from_string(told(amazon))
    (config,) = message.get_payload()
    assert config.get_content_type() == "application/node.eks.aws"
    assert yaml.safe_load(config.get_payload()) == {
        "apiVersion": "node.eks.aws/v1alpha1",
        "kind": "NodeConfig",
        "spec": {"instance": {"localStorage": {"strategy": "RAID0"}}},
    }
    bottle = with_settings(node_pool=pool | {"image": "bottlerocket"}, fleet=fleet).of("LaunchTemplate")
    assert disks(bottle["tandem-prod-gpu"]) == {"/dev/xvda": (4, "true"), "/dev/xvdb": (300, "true")}
    (command,) = tomllib.loads(told(bottle["tandem-prod-gpu"]))["settings"]["bootstrap-commands"].values()
    # As bootstrap-commands in bottlerocket-core-kit reads it.
    assert (command["mode"], command["essential"]) == ("always", True)
    assert [one[:3] for one in command["commands"]] == [
        ["apiclient", "ephemeral-storage", "init"],
        ["apiclient", "ephemeral-storage", "bind"],
    ]
    assert "userData" not in bottle["tandem-prod-system"]


def test_a_managed_node_group_in_place_of_karpenter() -> None:
    two = {"instanceTypes": ["g6e.12xlarge"], "hosts": 2}
    found = with_settings(node_pool={"provisioner": "managed"}, fleet=two, cost_guard={"expiresAfter": "4h"})
    assert "karpenter.sh/v1:NodePool" not in kubernetes(found)
    gpu = found.of("NodeGroup")["tandem-prod-gpu"]
    assert gpu["scalingConfig"] == {"minSize": 2, "desiredSize": 2, "maxSize": 2}
    system = found.of("NodeGroup")["tandem-prod-system"]
    assert system["scalingConfig"] == {"minSize": 2, "desiredSize": 2, "maxSize": 3}
    assert gpu["updateConfig"] == {"maxUnavailable": 1, "updateStrategy": "DEFAULT"}
    assert "releaseVersion" not in gpu  # the shipped pins are empty
    assert gpu["taints"] == [{"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}]
    stop = found.of("Schedule")["tandem-prod-stop"]["target"]
    assert stop["arn"] == "arn:aws:scheduler:::aws-sdk:eks:updateNodegroupConfig"
    assert json.loads(stop["input"])["ScalingConfig"] == {"MinSize": 0, "MaxSize": 1, "DesiredSize": 0}


def test_each_provisioner_has_a_role_of_its_own_since_eks_makes_the_access_entry_of_a_group() -> None:
    managed = with_settings(node_pool={"provisioner": "managed"}, fleet=SOUND["fleet"] | {"hosts": 2})
    karpenter = with_settings()
    of_group, [entry] = managed.of("NodeGroup")["tandem-prod-gpu"], karpenter.of("AccessEntry").values()
    assert "AccessEntry" not in {one.type.split(":")[-1] for one in managed.resources}
    roles = [arn.rpartition("/")[2] for arn in (of_group["nodeRoleArn"], entry["principalArn"])]
    assert roles == ["tandem-prod-gpu-group", "tandem-prod-gpu-node"]
    assert [[*{*roles} & {*found.of("Role")}] for found in (managed, karpenter)] == [roles[:1], roles[1:]]


def test_node_groups_run_the_pinned_releases_of_their_images() -> None:
    shipped = pins.PINS_FILE.read_text(encoding="utf-8")
    pinned = re.sub(r'(release|image)_version", version = ""', r'\1_version", version = "1.35.0-20261112"', shipped)
    managed = Settings.model_validate(SOUND | {"nodePool": {"provisioner": "managed"}})
    found = declared(lambda: stack.build(managed, pins.parse(pinned), "prod"), "prod")
    assert {name: group["releaseVersion"] for name, group in found.of("NodeGroup").items()} == {
        "tandem-prod-gpu": "1.35.0-20261112",
        "tandem-prod-system": "1.35.0-20261112",
    }


def test_a_chart_with_a_digest_is_installed_from_its_file_with_its_images_by_digest() -> None:
    digest, shipped = f"sha256:{'5' * 64}", pins.PINS_FILE.read_text(encoding="utf-8")
    text = shipped.replace('version = "", digest = ""', f'version = "1.2.3", digest = "{digest}"')
    text = re.sub(r'"(\S+\.(?:tag|digest))" = ""', rf'"\1" = "ghcr.io/it:1.2.3@{digest}"', text)
    settings = Settings.model_validate(SOUND | {"scaling": {"prometheusUrl": None}})
    found = declared(lambda: stack.build(settings, pins.parse(text), "prod"), "prod").of("Release").values()
    releases = {one["name"]: one for one in found}
    assert {one["chart"] for one in found} == {f"build/charts/{'5' * 12}/{name}-1.2.3.tgz" for name in releases}
    assert [one for one in found if "repositoryOpts" in one] == []
    assert releases["aws-load-balancer-controller"]["values"]["image"] == {"tag": f"1.2.3@{digest}"}
    assert releases["karpenter"]["values"]["controller"] == {"image": {"digest": digest}}
    server = releases["prometheus"]["values"]["server"]
    assert (server["image"], server["retention"]) == ({"digest": digest}, "2d")


def test_the_cluster_is_private_encrypted_and_logged() -> None:
    cluster = with_settings().one("Cluster")
    assert cluster["vpcConfig"]["endpointPrivateAccess"] is True
    assert cluster["encryptionConfig"]["resources"] == ["secrets"]
    assert cluster["accessConfig"]["authenticationMode"] == "API"
    assert len(cluster["enabledClusterLogTypes"]) == 5
    kept = {name: group["retentionInDays"] for name, group in with_settings().of("LogGroup").items()}
    assert kept == {"tandem-prod-cluster": 30, "tandem-prod-pods": 30}
    assert with_settings().one("Key")["enableKeyRotation"] is True
    private = with_settings(cluster={"endpoint": "private"}).one("Cluster")["vpcConfig"]
    assert private["endpointPublicAccess"] is False
    assert "publicAccessCidrs" not in private


def test_nodes_keep_their_credentials_from_pods() -> None:
    (template,) = with_settings().of("LaunchTemplate").values()
    (node_class,) = with_settings().of("EC2NodeClass").values()
    assert template["metadataOptions"]["httpPutResponseHopLimit"] == 1
    assert template["blockDeviceMappings"][0]["ebs"]["encrypted"] == "true"
    assert node_class["spec"]["metadataOptions"] == {
        "httpEndpoint": "enabled",
        "httpTokens": "required",
        "httpPutResponseHopLimit": 1,
    }


def policies_of(found: Declared, name: str) -> list[dict[str, Any]]:
    return json.loads(found.of("RolePolicy")[name]["policy"])["Statement"]


def test_each_identity_may_do_its_own_part_and_no_more() -> None:
    found = with_settings(hugging_face_token=TOKEN)
    (secrets,) = policies_of(found, "tandem-prod-read-secrets")
    assert (secrets["Action"], len(secrets["Resource"])) == (["secretsmanager:GetSecretValue"], 3)
    (_, targets) = policies_of(found, "tandem-prod-load-balancer-targets")
    assert targets["Resource"] == ["arn:aws:mock:us-east-1:123456789012:TargetGroup/prod"]
    (mounts,) = policies_of(found, "tandem-prod-file-system-file-system")
    assert not [action for action in mounts["Action"] if "Describe" not in action]
    everything = [one for one in policies_of(found, "tandem-prod-karpenter-nodes") if one["Resource"] == ["*"]]
    wild = {action for one in everything for action in one["Action"]}
    assert not {action for action in wild if ":Describe" not in action} - {
        "pricing:GetProducts",
        "iam:ListInstanceProfiles",
    }


def test_karpenter_ends_only_what_it_made_for_this_cluster() -> None:
    ends = [
        one
        for one in policies_of(with_settings(), "tandem-prod-karpenter-nodes")
        if "ec2:TerminateInstances" in one["Action"]
    ]
    assert [one["Condition"] for one in ends] == [
        {
            "StringEquals": {"aws:ResourceTag/kubernetes.io/cluster/tandem-prod": "owned"},
            "StringLike": {"aws:ResourceTag/karpenter.sh/nodepool": "*"},
        }
    ]


def test_no_secret_reaches_a_manifest_or_an_output() -> None:
    found = with_settings(hugging_face_token=TOKEN, clients={"alice": {"sha256": [DIGEST]}})
    outside = [one.inputs for one in found.resources if not one.type.endswith(":SecretVersion")]
    for value in (TOKEN, DIGEST):
        assert value not in json.dumps(outside, default=str)
        assert value not in str(found.returned)


def test_a_move_between_platforms_keeps_the_cache_the_name_and_the_keys() -> None:
    before = declared_by({key: value for key, value in SOUND.items() if key != "platform"}, "prod")
    kept = ("AccessPoint", "Certificate", "FileSystem", "Listener", "LoadBalancer", "MountTarget")
    for kind in (*kept, "Secret", "SecurityGroup", "Subnet", "Topic", "Vpc", "WebAcl"):
        assert with_settings().of(kind) == before.of(kind)
        assert with_settings().of(kind)
    assert with_settings().of("Bucket") == {"prod-access-logs": before.of("Bucket")["prod-access-logs"]}
    moved = {
        parents for parents in before.parents() if parents[0] in ("tandem:index:ModelCache", "tandem:index:Secrets")
    }
    assert moved <= with_settings().parents()
