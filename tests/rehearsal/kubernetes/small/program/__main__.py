"""A cluster in miniature: what a rehearsal looks at, and nothing else."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes import apiextensions

config = pulumi.Config("tandem")
region = config.require("region")
pins = tomllib.loads(Path(os.environ["TANDEM_PINS_FILE"]).read_text())
stack = pulumi.get_stack()
provider = aws.Provider(
    "aws", region=region, default_tags={"tags": {"tandem:project": "tandem", "tandem:stack": stack}}
)
here = pulumi.ResourceOptions(provider=provider)

token = config.require_secret("huggingFaceToken")
secret = aws.secretsmanager.Secret("secret", recovery_window_in_days=0, opts=here)
stored = pulumi.Output.json_dumps({"token": token})
aws.secretsmanager.SecretVersion("secret", secret_id=secret.id, secret_string=stored, opts=here)

vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16", opts=here)
subnets = [
    aws.ec2.Subnet(
        zone, vpc_id=vpc.id, availability_zone=f"{region}{zone}", cidr_block=f"10.0.{number}.0/24", opts=here
    )
    for number, zone in enumerate("ab")
]
subnet_ids = [subnet.id for subnet in subnets]


def trust(service: str) -> str:
    """The policy of a role that a service has."""
    statement = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


role = aws.iam.Role(f"tandem-{stack}-cluster", assume_role_policy=trust("eks"), opts=here)
cluster = aws.eks.Cluster(
    "cluster",
    name=f"tandem-{pulumi.get_stack()}",
    role_arn=role.arn,
    version=pins["kubernetes"]["version"],
    vpc_config={"subnet_ids": subnet_ids},
    access_config={"authentication_mode": "API"},
    opts=here,
)
aws.eks.Addon("agent", cluster_name=cluster.name, addon_name="eks-pod-identity-agent", opts=here)
aws.eks.AccessEntry("nodes", cluster_name=cluster.name, principal_arn=role.arn, type="EC2_LINUX", opts=here)
of_group = aws.iam.Role(f"tandem-{stack}-system", assume_role_policy=trust("ec2"), opts=here)
system = aws.eks.NodeGroup(
    "system",
    cluster_name=cluster.name,
    node_role_arn=of_group.arn,
    subnet_ids=subnet_ids,
    instance_types=["m7i.large"],
    scaling_config={"min_size": 2, "desired_size": 2, "max_size": 3},
    opts=here,
)
login = {
    "apiVersion": "client.authentication.k8s.io/v1beta1",
    "command": "aws",
    "args": ["eks", "get-token", "--cluster-name", f"tandem-{stack}"],
}
place = {"server": cluster.endpoint, "certificate-authority-data": cluster.certificate_authority.data}
kubeconfig = pulumi.Output.json_dumps(
    {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": place}],
        "users": [{"name": "user", "user": {"exec": login}}],
        "contexts": [{"name": "here", "context": {"cluster": "cluster", "user": "user"}}],
        "current-context": "here",
    }
)
server = kubernetes.Provider("kubernetes", kubeconfig=kubeconfig)


def in_cluster(*after: pulumi.Resource) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(provider=server, depends_on=[system, *after])


def lent(account: str, *actions: str) -> pulumi.Resource:
    """A role for a controller."""
    statement = {"Effect": "Allow", "Action": [*actions], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    its_role = aws.iam.Role(f"tandem-{stack}-{account}", assume_role_policy=trust("pods.eks"), opts=here)
    aws.iam.RolePolicy(account, role=its_role.name, policy=policy, opts=here)
    return aws.eks.PodIdentityAssociation(
        account,
        cluster_name=cluster.name,
        namespace="kube-system",
        service_account=account,
        role_arn=its_role.arn,
        opts=here,
    )


CHARTS = {
    "karpenter": ({"settings": {"clusterName": cluster.name}}, ("ec2:*", "iam:*", "ssm:*", "pricing:*", "eks:*")),
    "aws-load-balancer-controller": (
        {"clusterName": cluster.name, "region": region, "vpcId": vpc.id},
        ("elasticloadbalancing:*", "ec2:Describe*"),
    ),
}
charts = [
    kubernetes.helm.v3.Release(
        name,
        name=name,
        chart=name,
        repository_opts={"repo": pins["kubernetes"]["charts"][name]["repository"]},
        version=pins["kubernetes"]["charts"][name]["version"],
        namespace="kube-system",
        values=values,
        atomic=True,
        opts=in_cluster(lent(name, *actions)),
    )
    for name, (values, actions) in CHARTS.items()
]
targets = aws.lb.TargetGroup(
    "targets", port=8080, protocol="HTTP", target_type="ip", vpc_id=vpc.id, health_check={"path": "/"}, opts=here
)


def custom(
    api_version: str, kind: str, namespace: str | None, spec: object, *after: pulumi.Resource
) -> pulumi.Resource:
    metadata = {"name": "gpu"} | ({"namespace": namespace} if namespace else {})
    return apiextensions.CustomResource(
        kind.lower(), api_version=api_version, kind=kind, metadata=metadata, spec=spec, opts=in_cluster(*charts, *after)
    )


node_class = custom(
    "karpenter.k8s.aws/v1",
    "EC2NodeClass",
    None,
    {
        "amiSelectorTerms": [{"alias": "al2023@latest"}],
        "role": role.name,
        "subnetSelectorTerms": [{"id": subnet_id} for subnet_id in subnet_ids],
        "securityGroupSelectorTerms": [{"id": cluster.vpc_config.cluster_security_group_id}],
    },
)
pool = custom(
    "karpenter.sh/v1",
    "NodePool",
    None,
    {
        "limits": {"nvidia.com/gpu": "16"},
        "disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "10m"},
        "template": {
            "spec": {
                "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "gpu"},
                "taints": [{"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}],
                "requirements": [
                    {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["g6.12xlarge"]},
                    {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot", "on-demand"]},
                ],
            }
        },
    },
    node_class,
)

PLACE = {"pod-security.kubernetes.io/enforce": "restricted", "elbv2.k8s.aws/pod-readiness-gate-inject": "enabled"}
place = kubernetes.core.v1.Namespace(
    "place",
    metadata={"name": "inference", "labels": PLACE},
    opts=in_cluster(pool),
)
here_and_now = in_cluster(place, pool)
labels = {"app": "model"}
metadata = {"name": "model", "namespace": "inference"}
kubernetes.core.v1.ConfigMap(
    "settings",
    metadata={"namespace": "inference"},
    data={"port": "8080"},
    opts=here_and_now,
)
priority = kubernetes.scheduling.v1.PriorityClass("model", metadata={"name": "model"}, value=1000, opts=here_and_now)
service = kubernetes.core.v1.Service(
    "model", metadata=metadata, spec={"selector": labels, "ports": [{"port": 8080}]}, opts=here_and_now
)
kubernetes.policy.v1.PodDisruptionBudget(
    "model",
    metadata=metadata,
    spec={"selector": {"match_labels": labels}, "max_unavailable": 1},
    opts=here_and_now,
)
kubernetes.networking.v1.NetworkPolicy(
    "deny",
    metadata={"namespace": "inference"},
    spec={"pod_selector": {}, "policy_types": ["Ingress", "Egress"]},
    opts=here_and_now,
)
kubernetes.networking.v1.NetworkPolicy(
    "model",
    metadata={"namespace": "inference"},
    spec={
        "pod_selector": {"match_labels": labels},
        "policy_types": ["Ingress", "Egress"],
        "ingress": [
            {
                "from_": [{"namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": "monitoring"}}}],
                "ports": [{"port": 9090}],
            }
        ],
        "egress": [
            {
                "to": [{"namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": "kube-system"}}}],
                "ports": [{"port": 53}, {"port": 53, "protocol": "UDP"}],
            },
            {"to": [{"ip_block": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]},
            {"to": [{"ip_block": {"cidr": "169.254.170.23/32"}}], "ports": [{"port": 80}]},
        ],
    },
    opts=here_and_now,
)
binding = custom(
    "elbv2.k8s.aws/v1beta1",
    "TargetGroupBinding",
    "inference",
    {"serviceRef": {"name": "model", "port": 8080}, "targetGroupARN": targets.arn, "targetType": "ip"},
    service,
)
kubernetes.apps.v1.Deployment(
    "model",
    metadata={**metadata, "annotations": {"pulumi.com/timeoutSeconds": "7200"}},
    spec={
        "replicas": 2,
        "selector": {"match_labels": labels},
        "strategy": {"rolling_update": {"max_surge": 0, "max_unavailable": 1}},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
                "priority_class_name": priority.metadata.name,
                "termination_grace_period_seconds": 5,
                "automount_service_account_token": False,
                "security_context": {"run_as_non_root": True, "seccomp_profile": {"type": "RuntimeDefault"}},
                "topology_spread_constraints": [
                    {
                        "max_skew": 1,
                        "topology_key": "topology.kubernetes.io/zone",
                        "when_unsatisfiable": "DoNotSchedule",
                        "label_selector": {"match_labels": labels},
                    }
                ],
                "containers": [
                    {
                        "name": "server",
                        "image": f"server@{pins['vllm']['digest']}",
                        "resources": {"limits": {"nvidia.com/gpu": "2"}},
                        "security_context": {
                            "allow_privilege_escalation": False,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }
                ],
            },
        },
    },
    opts=in_cluster(place, pool, binding),
)
