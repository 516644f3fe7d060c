"""Rows: the most that any role of a stack can do, whatever policies it is given. They allow nothing by themselves."""

from __future__ import annotations

from tandem.ops.rights.hosts import GROUP
from tandem.ops.rights.identity import ROLES
from tandem.ops.rights.right import BOUNDARY, By, Right

_NAMED = "tandem-{stack}-*"
_MADE = "fleet/* instance/* network-interface/* spot-instances-request/* volume/*"


def _most(sid: str, actions: str, on: str, by: By, why: str, **more: object) -> Right:
    service, _, names = actions.partition(": ")
    return Right(sid=sid, service=service, actions=names, on=on, by=by, why=why, who=(BOUNDARY,), **more)  # pyright: ignore[reportArgumentType]


ROWS = (
    _most(
        "SizeGroups",
        "autoscaling: CompleteLifecycleAction RecordLifecycleActionHeartbeat SetInstanceHealth UpdateAutoScalingGroup",
        GROUP,
        By.NAME,
        "hosts hold and end themselves, and schedules stop them; the group may be younger than the role",
    ),
    _most(
        "SizeNodeGroups",
        "eks: UpdateNodegroupConfig",
        "nodegroup/tandem-{stack}/* nodegroup/*/tandem-{stack}-gpu-*/*",
        By.NAME,
        "schedules stop nodes; the group may be younger than the role",
    ),
    _most(
        "LookAround",
        "ec2: Describe*",
        "*",
        By.NOTHING,
        "hosts, Karpenter, the control plane and drivers look; these actions know no resources",
    ),
    _most(
        "LookAtGroups",
        "autoscaling: DescribeAutoScalingInstances",
        "*",
        By.NOTHING,
        "a host looks for itself; this action knows no resources",
    ),
    _most(
        "LookAtTargets",
        "elasticloadbalancing: DescribeTargetGroups DescribeTargetHealth",
        "*",
        By.NOTHING,
        "hosts and the load balancer's controller look; these actions know no resources",
    ),
    _most(
        "LookAtFileSystems",
        "elasticfilesystem: DescribeAccessPoints DescribeFileSystems DescribeMountTargets",
        "*",
        By.NOTHING,
        "the file system driver looks, without naming one",
    ),
    _most(
        "LookAtClusters",
        "eks: DescribeCluster",
        "cluster/*",
        By.NOTHING,
        "nodes and Karpenter join one, which may be others'",
    ),
    _most(
        "LookAtKeys",
        "kms: DescribeKey",
        "key/*",
        By.NOTHING,
        "the control plane looks at the key of its secrets; EKS asks for it without a bound",
    ),
    _most("Report", "cloudwatch: PutMetricData", "*", By.NOTHING, "servers; this action knows no resources"),
    _most(
        "WriteMetrics",
        "aps: RemoteWrite",
        "workspace/*",
        By.NOTHING,
        "hosts, to the workspace of metrics.remoteWrite or the stack's; its name is an id, and each role names its own",
    ),
    _most(
        "AskMetrics",
        "aps: GetLabels GetMetricMetadata GetSeries QueryMetrics",
        "workspace/*",
        By.NOTHING,
        "a Grafana, of the stack's workspace; its name is an id, and the role names its own",
    ),
    _most(
        "AskModels",
        "bedrock: InvokeModel InvokeModelWithResponseStream",
        "foundation-model/* inference-profile/*",
        By.NOTHING,
        "a gateway's fallback; models are AWS's, and the role names its own",
    ),
    _most("LookAtMetrics", "cloudwatch: GetMetricData", "*", By.NOTHING, "KEDA and Grafana; of figures only"),
    _most("ListMetrics", "cloudwatch: ListMetrics", "*", By.NOTHING, "Grafana; names of figures"),
    _most("LookAtPrices", "pricing: GetProducts", "*", By.NOTHING, "Karpenter; this action knows no resources"),
    _most(
        "BeTargets",
        "elasticloadbalancing: DeregisterTargets RegisterTargets",
        "targetgroup/*",
        By.NOTHING,
        "hosts come and go; ELB looks at no tags here in the reference, and each role names its own targets",
    ),
    _most(
        "WriteLogs",
        "logs: CreateLogStream PutLogEvents",
        "log-group:/tandem/{stack}/*:log-stream:* log-group:tandem-{stack}-*:log-stream:*",
        By.NAME,
        "of hosts, pods and networks",
    ),
    _most("LookAtLogs", "logs: DescribeLogStreams", "log-group:tandem-{stack}-*", By.NAME, "of networks"),
    _most(
        "PutLines",
        "kinesis: PutRecord",
        "stream/*",
        By.NOTHING,
        "CloudWatch Logs, to the stream of logs.sendTo; its name is its owner's, and the role names it",
    ),
    _most(
        "PutLinesBy",
        "firehose: PutRecord",
        "deliverystream/*",
        By.NOTHING,
        "likewise, to a Firehose stream",
    ),
    _most(
        "SealLines",
        "kms: GenerateDataKey",
        "key/*",
        By.NOTHING,
        "a Kinesis stream of logs.sendTo may have a key of its owner's, whose policy names the role",
        when={"StringLike": {"kms:ViaService": "kinesis.*.amazonaws.com"}},
    ),
    _most("SayIt", "sns: Publish", _NAMED, By.NAME, "schedules warn before they stop"),
    _most(
        "ReadSecrets",
        "secretsmanager: GetSecretValue",
        f"secret:{_NAMED}",
        By.NAME,
        "keys and tokens; a login for a registry must be named so too, to be read",
    ),
    _most(
        "ReadWeights",
        "s3: GetObject ListBucket",
        "{bucket} {bucket}/*",
        By.NAME,
        "weights, in the buckets that are named; objects carry no tags of tandem's",
    ),
    _most(
        "Batches",
        "s3: GetObject ListBucket PutObject",
        "tandem-{stack}-batch*",
        By.NAME,
        "requests and answers of `tandem batch`, by the machines that come for it",
    ),
    _most("ReadPublic", "ssm: GetParameter", "parameter/aws/service/*", By.NOTHING, "which all the world may read"),
    _most(
        "BeManaged",
        "ssm: UpdateInstanceInformation",
        "instance/*",
        By.NOTHING,
        "Session Manager's agent, for its own host",
        of="ec2",
    ),
    _most(
        "BeReached",
        "ssmmessages: CreateControlChannel CreateDataChannel OpenControlChannel OpenDataChannel",
        "*",
        By.NOTHING,
        "Session Manager's agent; these actions know no resources",
    ),
    _most(
        "PullImages",
        "ecr: BatchGetImage BatchImportUpstreamImage GetDownloadUrlForLayer",
        "repository/*",
        By.NOTHING,
        "EKS's own images are in registries of AWS's",
    ),
    _most("LogInToRegistries", "ecr: GetAuthorizationToken", "*", By.NOTHING, "this action knows no resources"),
    _most(
        "LendRoles",
        "eks-auth: AssumeRoleForPodIdentity",
        "cluster/*",
        By.NOTHING,
        "the agent on a node gives pods their role, in a cluster that may be others'",
        of="eks",
    ),
    _most(
        "GiveAddresses",
        "ec2: AssignPrivateIpAddresses AttachNetworkInterface CreateNetworkInterface DeleteNetworkInterface "
        "DetachNetworkInterface ModifyNetworkInterfaceAttribute UnassignPrivateIpAddresses",
        "instance/* network-interface/* security-group/* subnet/*",
        By.NOTHING,
        "the network plugin, by a policy of AWS's that has no bound either",
    ),
    _most("NameInterfaces", "ec2: CreateTags", "network-interface/*", By.NOTHING, "the network plugin, by the same"),
    _most(
        "TagForEks",
        "ec2: CreateTags",
        "instance/*",
        By.NOTHING,
        "EKS tags a cluster's instances, with the cluster's key",
        when={"ForAnyValue:StringLike": {"aws:TagKeys": "kubernetes.io/cluster/*"}},
    ),
    _most(
        "LaunchInto",
        "ec2: CreateFleet RunInstances",
        "capacity-reservation/* image/* placement-group/* security-group/* snapshot/* subnet/*",
        By.NOTHING,
        "where Karpenter's nodes stand and what they start from",
    ),
    _most(
        "UseTemplates",
        "ec2: CreateFleet RunInstances",
        "launch-template/*",
        By.TAG,
        "templates that Karpenter made",
    ),
    _most(
        "Launch",
        "ec2: CreateFleet CreateTags RunInstances",
        _MADE,
        By.REQUEST,
        "what Karpenter makes carries tandem's tags from the start",
    ),
    _most(
        "MakeTemplates",
        "ec2: CreateLaunchTemplate CreateTags",
        "launch-template/*",
        By.REQUEST,
        "what Karpenter makes carries tandem's tags from the start",
    ),
    _most("NameOwn", "ec2: CreateTags", "instance/*", By.TAG, "Karpenter names its instances"),
    _most(
        "EndOwn",
        "ec2: DeleteLaunchTemplate TerminateInstances",
        "instance/* launch-template/*",
        By.TAG,
        "what Karpenter made",
    ),
    _most(
        "KeepProfiles",
        "iam: AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile "
        "RemoveRoleFromInstanceProfile TagInstanceProfile",
        "instance-profile/tandem-{stack}_*",
        By.NAME,
        "Karpenter's, of one cluster",
    ),
    _most("LookAtProfiles", "iam: ListInstanceProfiles", "*", By.NOTHING, "Karpenter looks for what it left"),
    _most(
        "GiveNodesRole",
        "iam: PassRole",
        ROLES,
        By.NAME,
        "Karpenter gives nodes their role, which has this boundary as well",
        when={"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
    ),
    _most(
        "ReadQueues",
        "sqs: DeleteMessage GetQueueUrl ReceiveMessage",
        _NAMED,
        By.NAME,
        "Karpenter hears that instances end",
    ),
)
