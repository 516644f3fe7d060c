"""Rows: the most that any role of a stack can do, whatever policies it is given. They allow nothing by themselves."""

from __future__ import annotations

from tandem.ops.rights.hosts import GROUP
from tandem.ops.rights.identity import ROLES
from tandem.ops.rights.right import BOUNDARY, alike, by_name, by_nothing, by_request, by_tag

_NAMED = "tandem-{stack}-*"
_MADE = "fleet/* instance/* network-interface/* spot-instances-request/* volume/*"


ROWS = alike(
    by_name(
        "SizeGroups",
        "autoscaling: CompleteLifecycleAction RecordLifecycleActionHeartbeat SetInstanceHealth UpdateAutoScalingGroup",
        GROUP,
        "hosts hold and end themselves, and schedules stop them; the group may be younger than the role",
    ),
    by_name(
        "SizeNodeGroups",
        "eks: UpdateNodegroupConfig",
        "nodegroup/tandem-{stack}/* nodegroup/*/tandem-{stack}-gpu-*/*",
        "schedules stop nodes; the group may be younger than the role",
    ),
    by_nothing(
        "LookAround",
        "ec2: Describe*",
        "*",
        "hosts, Karpenter, the control plane and drivers look; these actions know no resources",
    ),
    by_nothing(
        "LookAtGroups",
        "autoscaling: DescribeAutoScalingInstances",
        "*",
        "a host looks for itself; this action knows no resources",
    ),
    by_nothing(
        "LookAtTargets",
        "elasticloadbalancing: DescribeTargetGroups DescribeTargetHealth",
        "*",
        "hosts and the load balancer's controller look; these actions know no resources",
    ),
    by_nothing(
        "LookAtFileSystems",
        "elasticfilesystem: DescribeAccessPoints DescribeFileSystems DescribeMountTargets",
        "*",
        "the file system driver looks, without naming one",
    ),
    by_nothing(
        "LookAtClusters", "eks: DescribeCluster", "cluster/*", "nodes and Karpenter join one, which may be others'"
    ),
    by_nothing(
        "LookAtKeys",
        "kms: DescribeKey",
        "key/*",
        "the control plane looks at the key of its secrets; EKS asks for it without a bound",
    ),
    by_nothing("Report", "cloudwatch: PutMetricData", "*", "servers; this action knows no resources"),
    by_nothing(
        "WriteMetrics",
        "aps: RemoteWrite",
        "workspace/*",
        "hosts, to the workspace of metrics.remoteWrite or the stack's; its name is an id, and each role names its own",
    ),
    by_nothing(
        "AskMetrics",
        "aps: GetLabels GetMetricMetadata GetSeries QueryMetrics",
        "workspace/*",
        "a Grafana, of the stack's workspace; its name is an id, and the role names its own",
    ),
    by_nothing(
        "AskModels",
        "bedrock: InvokeModel InvokeModelWithResponseStream",
        "foundation-model/* inference-profile/*",
        "a gateway's fallback; models are AWS's, and the role names its own",
    ),
    by_nothing("LookAtMetrics", "cloudwatch: GetMetricData", "*", "KEDA and Grafana; of figures only"),
    by_nothing("ListMetrics", "cloudwatch: ListMetrics", "*", "Grafana; names of figures"),
    by_nothing("LookAtPrices", "pricing: GetProducts", "*", "Karpenter; this action knows no resources"),
    by_nothing(
        "BeTargets",
        "elasticloadbalancing: DeregisterTargets RegisterTargets",
        "targetgroup/*",
        "hosts come and go; ELB looks at no tags here in the reference, and each role names its own targets",
    ),
    by_name(
        "WriteLogs",
        "logs: CreateLogStream PutLogEvents",
        "log-group:/tandem/{stack}/*:log-stream:* log-group:tandem-{stack}-*:log-stream:*",
        "of hosts, pods and networks",
    ),
    by_name("LookAtLogs", "logs: DescribeLogStreams", "log-group:tandem-{stack}-*", "of networks"),
    by_nothing(
        "PutLines",
        "kinesis: PutRecord",
        "stream/*",
        "CloudWatch Logs, to the stream of logs.sendTo; its name is its owner's, and the role names it",
    ),
    by_nothing("PutLinesBy", "firehose: PutRecord", "deliverystream/*", "likewise, to a Firehose stream"),
    by_nothing(
        "SealLines",
        "kms: GenerateDataKey",
        "key/*",
        "a Kinesis stream of logs.sendTo may have a key of its owner's, whose policy names the role",
        when={"StringLike": {"kms:ViaService": "kinesis.*.amazonaws.com"}},
    ),
    by_name("SayIt", "sns: Publish", _NAMED, "schedules warn before they stop"),
    by_name(
        "ReadSecrets",
        "secretsmanager: GetSecretValue",
        f"secret:{_NAMED}",
        "keys and tokens; a login for a registry must be named so too, to be read",
    ),
    by_name(
        "ReadWeights",
        "s3: GetObject ListBucket",
        "{bucket} {bucket}/*",
        "weights, in the buckets that are named; objects carry no tags of tandem's",
    ),
    by_name(
        "Batches",
        "s3: GetObject ListBucket PutObject",
        "tandem-{stack}-batch*",
        "requests and answers of `tandem batch`, by the machines that come for it",
    ),
    by_nothing("ReadPublic", "ssm: GetParameter", "parameter/aws/service/*", "which all the world may read"),
    by_nothing(
        "BeManaged",
        "ssm: UpdateInstanceInformation",
        "instance/*",
        "Session Manager's agent, for its own host",
        of="ec2",
    ),
    by_nothing(
        "BeReached",
        "ssmmessages: CreateControlChannel CreateDataChannel OpenControlChannel OpenDataChannel",
        "*",
        "Session Manager's agent; these actions know no resources",
    ),
    by_nothing(
        "PullImages",
        "ecr: BatchGetImage BatchImportUpstreamImage GetDownloadUrlForLayer",
        "repository/*",
        "EKS's own images are in registries of AWS's",
    ),
    by_nothing("LogInToRegistries", "ecr: GetAuthorizationToken", "*", "this action knows no resources"),
    by_nothing(
        "LendRoles",
        "eks-auth: AssumeRoleForPodIdentity",
        "cluster/*",
        "the agent on a node gives pods their role, in a cluster that may be others'",
        of="eks",
    ),
    by_nothing(
        "GiveAddresses",
        "ec2: AssignPrivateIpAddresses AttachNetworkInterface CreateNetworkInterface DeleteNetworkInterface "
        "DetachNetworkInterface ModifyNetworkInterfaceAttribute UnassignPrivateIpAddresses",
        "instance/* network-interface/* security-group/* subnet/*",
        "the network plugin, by a policy of AWS's that has no bound either",
    ),
    by_nothing("NameInterfaces", "ec2: CreateTags", "network-interface/*", "the network plugin, by the same"),
    by_nothing(
        "TagForEks",
        "ec2: CreateTags",
        "instance/*",
        "EKS tags a cluster's instances, with the cluster's key",
        when={"ForAnyValue:StringLike": {"aws:TagKeys": "kubernetes.io/cluster/*"}},
    ),
    by_nothing(
        "LaunchInto",
        "ec2: CreateFleet RunInstances",
        "capacity-reservation/* image/* placement-group/* security-group/* snapshot/* subnet/*",
        "where Karpenter's nodes stand and what they start from",
    ),
    by_tag("UseTemplates", "ec2: CreateFleet RunInstances", "launch-template/*", "templates that Karpenter made"),
    by_request(
        "Launch",
        "ec2: CreateFleet CreateTags RunInstances",
        _MADE,
        "what Karpenter makes carries tandem's tags from the start",
    ),
    by_request(
        "MakeTemplates",
        "ec2: CreateLaunchTemplate CreateTags",
        "launch-template/*",
        "what Karpenter makes carries tandem's tags from the start",
    ),
    by_tag("NameOwn", "ec2: CreateTags", "instance/*", "Karpenter names its instances"),
    by_tag(
        "EndOwn", "ec2: DeleteLaunchTemplate TerminateInstances", "instance/* launch-template/*", "what Karpenter made"
    ),
    by_name(
        "KeepProfiles",
        "iam: AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile "
        "RemoveRoleFromInstanceProfile TagInstanceProfile",
        "instance-profile/tandem-{stack}_*",
        "Karpenter's, of one cluster",
    ),
    by_nothing("LookAtProfiles", "iam: ListInstanceProfiles", "*", "Karpenter looks for what it left"),
    by_name(
        "GiveNodesRole",
        "iam: PassRole",
        ROLES,
        "Karpenter gives nodes their role, which has this boundary as well",
        when={"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
    ),
    by_name(
        "ReadQueues", "sqs: DeleteMessage GetQueueUrl ReceiveMessage", _NAMED, "Karpenter hears that instances end"
    ),
    who=(BOUNDARY,),
)
