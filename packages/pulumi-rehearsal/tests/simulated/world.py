"""A small world to create resources in: a sample of every type of the tables, with what it depends on."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pulumi_rehearsal.aws import AwsProvider
from pulumi_rehearsal.plugin import Subject
from pulumi_rehearsal.providers import tls_provider

REGION = "us-east-1"
_NUMBERS = itertools.count(1)


def policy(action: str = "s3:GetObject", resource: str = "*", **more: Any) -> str:
    """A policy document with one statement."""
    statement = {"Effect": "Allow", "Action": action, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trust(service: str) -> str:
    """The trust policy of a service's role."""
    statement = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


TRUST = trust("ec2")


@dataclass
class Made:
    """A resource that was created: its id, inputs and outputs."""

    type: str
    id: str
    inputs: dict[str, Any]
    state: dict[str, Any]

    def __getitem__(self, output: str) -> Any:
        value = self.state[output]
        return getattr(value, "value", value)


@dataclass
class World:
    """Drives the provider as the engine does: check, then create; dependencies are made once, on demand.

    Names are unique to the world, so that worlds can share an account.
    """

    provider: AwsProvider
    region: str = REGION
    default_tags: dict[str, str] = field(default_factory=dict)
    made: dict[str, Made] = field(default_factory=dict)
    name: str = field(default_factory=lambda: f"sample{next(_NUMBERS)}")

    def subject(self, type: str, name: str = "") -> Subject:
        name = name or self.name
        config = {"region": self.region, "defaultTags": json.dumps({"tags": self.default_tags})}
        return Subject(type, name, f"urn:pulumi:dev::test::{type}::{name}", config)

    def check(self, type: str, inputs: dict[str, Any], name: str = "", old: dict[str, Any] | None = None) -> Any:
        return self.provider.check(self.subject(type, name), inputs, old or {}, (name or self.name).encode())

    def create(self, type: str, inputs: dict[str, Any] | None = None, name: str = "") -> Made:
        """Creates a resource, by default the sample of its type."""
        checked = self.check(type, SAMPLES[type](self) if inputs is None else inputs, name)
        assert checked.failures == [], checked.failures
        id, state = self.provider.create(self.subject(type, name), checked.inputs)
        return Made(type, id, checked.inputs, state)

    def get(self, type: str) -> Made:
        """The sample of a type, created at the first call."""
        if type not in self.made:
            self.made[type] = self.create(type)
        return self.made[type]

    def update(self, made: Made, **changed: Any) -> Made:
        """Changes inputs in place."""
        checked = self.check(made.type, {**made.inputs, **changed}, old=made.inputs)
        assert checked.failures == [], checked.failures
        state = self.provider.update(self.subject(made.type), made.id, made.inputs, checked.inputs, made.state)
        return Made(made.type, made.id, checked.inputs, state)

    def read(self, made: Made) -> tuple[dict[str, Any], dict[str, Any]] | None:
        return self.provider.read(self.subject(made.type), made.id, made.inputs, made.state)

    def delete(self, made: Made) -> None:
        self.provider.delete(self.subject(made.type), made.id, made.inputs, made.state)

    def client(self, service: str) -> Any:
        return self.provider.account.client(service, self.region)


# -- the samples

Sample = Callable[[World], dict[str, Any]]
VPC = "aws:ec2/vpc:Vpc"
SUBNET = "aws:ec2/subnet:Subnet"
INSTANCE = "aws:ec2/instance:Instance"
GATEWAY = "aws:ec2/internetGateway:InternetGateway"
EIP = "aws:ec2/eip:Eip"
NAT = "aws:ec2/natGateway:NatGateway"
ROUTE_TABLE = "aws:ec2/routeTable:RouteTable"
ROUTE = "aws:ec2/route:Route"
ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
DEFAULT_GROUP = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
FLOW_LOG = "aws:ec2/flowLog:FlowLog"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
FLEET = "aws:autoscaling/group:Group"
HOOK = "aws:autoscaling/lifecycleHook:LifecycleHook"
SCALING = "aws:autoscaling/policy:Policy"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"
TARGETS = "aws:lb/targetGroup:TargetGroup"
LISTENER = "aws:lb/listener:Listener"
RULE = "aws:lb/listenerRule:ListenerRule"
CERTIFICATE = "aws:acm/certificate:Certificate"
VALIDATION = "aws:acm/certificateValidation:CertificateValidation"
ZONE = "aws:route53/zone:Zone"
RECORD = "aws:route53/record:Record"
HEALTH_CHECK = "aws:route53/healthCheck:HealthCheck"
ACL = "aws:wafv2/webAcl:WebAcl"
ACL_ASSOCIATION = "aws:wafv2/webAclAssociation:WebAclAssociation"
ACL_LOGGING = "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration"
FILES = "aws:efs/fileSystem:FileSystem"
MOUNT = "aws:efs/mountTarget:MountTarget"
ACCESS_POINT = "aws:efs/accessPoint:AccessPoint"
FILES_POLICY = "aws:efs/fileSystemPolicy:FileSystemPolicy"
BACKUP = "aws:efs/backupPolicy:BackupPolicy"
BUCKET = "aws:s3/bucket:Bucket"
OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"
ABAC = "aws:s3/bucketAbac:BucketAbac"
BUCKET_POLICY = "aws:s3/bucketPolicy:BucketPolicy"
PUBLIC_ACCESS = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
EXPIRY = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
OWNERSHIP = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
VERSIONING = "aws:s3/bucketVersioning:BucketVersioning"
ROLE = "aws:iam/role:Role"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
MANAGED_POLICY = "aws:iam/policy:Policy"
PROFILE = "aws:iam/instanceProfile:InstanceProfile"
SECRET = "aws:secretsmanager/secret:Secret"
SECRET_VERSION = "aws:secretsmanager/secretVersion:SecretVersion"
SECRET_POLICY = "aws:secretsmanager/secretPolicy:SecretPolicy"
KEY = "aws:kms/key:Key"
ALIAS = "aws:kms/alias:Alias"
PARAMETER = "aws:ssm/parameter:Parameter"
TOPIC = "aws:sns/topic:Topic"
TOPIC_POLICY = "aws:sns/topicPolicy:TopicPolicy"
SUBSCRIPTION = "aws:sns/topicSubscription:TopicSubscription"
QUEUE = "aws:sqs/queue:Queue"
BUDGET = "aws:budgets/budget:Budget"
SCHEDULE = "aws:scheduler/schedule:Schedule"
SCHEDULE_GROUP = "aws:scheduler/scheduleGroup:ScheduleGroup"
LOGS = "aws:cloudwatch/logGroup:LogGroup"
LOG_SUBSCRIPTION = "aws:cloudwatch/logSubscriptionFilter:LogSubscriptionFilter"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
COMPOSITE_ALARM = "aws:cloudwatch/compositeAlarm:CompositeAlarm"
DASHBOARD = "aws:cloudwatch/dashboard:Dashboard"
CLUSTER = "aws:eks/cluster:Cluster"
NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
ADDON = "aws:eks/addon:Addon"
ACCESS_ENTRY = "aws:eks/accessEntry:AccessEntry"
ACCESS_POLICY = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
POD_IDENTITY = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
EVENT_RULE = "aws:cloudwatch/eventRule:EventRule"
EVENT_TARGET = "aws:cloudwatch/eventTarget:EventTarget"
PROMETHEUS = "aws:amp/workspace:Workspace"
ALERT_MANAGER = "aws:amp/alertManagerDefinition:AlertManagerDefinition"
ALERT_RULES = "aws:amp/ruleGroupNamespace:RuleGroupNamespace"
GRAFANA = "aws:grafana/workspace:Workspace"
QUEUE_POLICY = "aws:sqs/queuePolicy:QueuePolicy"
LOG_METRIC = "aws:cloudwatch/logMetricFilter:LogMetricFilter"
DATABASE_SUBNETS = "aws:rds/subnetGroup:SubnetGroup"
DATABASE = "aws:rds/instance:Instance"
CACHE_SUBNETS = "aws:elasticache/subnetGroup:SubnetGroup"
CACHE = "aws:elasticache/replicationGroup:ReplicationGroup"
TASKS = "aws:ecs/cluster:Cluster"
TASK = "aws:ecs/taskDefinition:TaskDefinition"
SERVICE = "aws:ecs/service:Service"


def _second_subnet(world: World) -> Made:
    if "second" not in world.made:
        inputs = {"vpcId": world.get(VPC).id, "cidrBlock": "10.0.2.0/24", "availabilityZone": f"{world.region}b"}
        world.made["second"] = world.create(SUBNET, inputs, "second")
    return world.made["second"]


def _firewall_log(world: World) -> Made:
    if "firewall" not in world.made:
        world.made["firewall"] = world.create(LOGS, {"name": f"aws-waf-logs-{world.name}"}, "firewall")
    return world.made["firewall"]


def stream(world: World) -> str:
    """ARN of a stream that somebody has made."""
    kinesis = world.client("kinesis")
    if world.name not in kinesis.list_streams()["StreamNames"]:
        kinesis.create_stream(StreamName=world.name, ShardCount=1)
    return kinesis.describe_stream_summary(StreamName=world.name)["StreamDescriptionSummary"]["StreamARN"]


def user_data(text: str = "#!/bin/sh\n") -> str:
    return base64.b64encode(text.encode()).decode()


def self_signed(name: str = "example.com") -> tuple[str, str]:
    """Certificate and key, as the tls provider makes them."""
    tls = tls_provider()
    key_subject = Subject("tls:index/privateKey:PrivateKey", "k", "", {})
    checked = tls.check(key_subject, {"algorithm": "ECDSA", "ecdsaCurve": "P256"}, {}, b"")
    key = tls.create(key_subject, checked.inputs)[1]["privateKeyPem"].value
    subject = Subject("tls:index/selfSignedCert:SelfSignedCert", "c", "", {})
    inputs = {
        "privateKeyPem": key,
        "subject": {"commonName": name},
        "dnsNames": [name],
        "allowedUses": ["digital_signature", "server_auth"],
        "validityPeriodHours": 24,
    }
    return tls.create(subject, inputs)[1]["certPem"], key


def pod_role(w: World) -> Made:
    return w.create(ROLE, {"assumeRolePolicy": trust("pods.eks")}, f"pods{next(_NUMBERS)}")


SAMPLES: dict[str, Sample] = {
    VPC: lambda w: {"cidrBlock": "10.0.0.0/16", "enableDnsHostnames": True, "tags": {"Name": "sample"}},
    SUBNET: lambda w: {
        "vpcId": w.get(VPC).id,
        "cidrBlock": "10.0.1.0/24",
        "availabilityZone": f"{w.region}a",
        "mapPublicIpOnLaunch": True,
        "tags": {"Name": "sample"},
    },
    INSTANCE: lambda w: {
        "ami": w.client("ec2").describe_images()["Images"][0]["ImageId"],
        "instanceType": "m7i.large",
        "subnetId": w.get(SUBNET).id,
        "vpcSecurityGroupIds": [w.get(GROUP).id],
    },
    GATEWAY: lambda w: {"vpcId": w.get(VPC).id},
    EIP: lambda w: {"domain": "vpc"},
    NAT: lambda w: w.get(GATEWAY) and {"subnetId": w.get(SUBNET).id, "allocationId": w.get(EIP).id},
    ROUTE_TABLE: lambda w: {"vpcId": w.get(VPC).id},
    ROUTE: lambda w: {
        "routeTableId": w.get(ROUTE_TABLE).id,
        "destinationCidrBlock": "0.0.0.0/0",
        "gatewayId": w.get(GATEWAY).id,
    },
    ASSOCIATION: lambda w: {"routeTableId": w.get(ROUTE_TABLE).id, "subnetId": w.get(SUBNET).id},
    GROUP: lambda w: {
        "vpcId": w.get(VPC).id,
        "ingress": [
            {"protocol": "tcp", "fromPort": 2049, "toPort": 2049, "self": True, "description": "NFS"},
            {"protocol": "tcp", "fromPort": 443, "toPort": 443, "cidrBlocks": ["10.0.0.0/8"]},
        ],
    },
    DEFAULT_GROUP: lambda w: {"vpcId": w.get(VPC).id},
    INGRESS: lambda w: {
        "securityGroupId": w.get(GROUP).id,
        "ipProtocol": "tcp",
        "fromPort": 80,
        "toPort": 80,
        "referencedSecurityGroupId": w.get(GROUP).id,
        "description": "the redirect",
    },
    EGRESS: lambda w: {"securityGroupId": w.get(GROUP).id, "ipProtocol": "-1", "cidrIpv4": "0.0.0.0/0"},
    ENDPOINT: lambda w: {
        "vpcId": w.get(VPC).id,
        "serviceName": f"com.amazonaws.{w.region}.ssm",
        "vpcEndpointType": "Interface",
        "privateDnsEnabled": True,
        "subnetIds": [w.get(SUBNET).id],
        "securityGroupIds": [w.get(GROUP).id],
    },
    FLOW_LOG: lambda w: {
        "vpcId": w.get(VPC).id,
        "trafficType": "ALL",
        "logDestination": w.get(LOGS)["arn"],
        "iamRoleArn": w.get(ROLE)["arn"],
    },
    TEMPLATE: lambda w: {
        "imageId": w.client("ec2").describe_images()["Images"][0]["ImageId"],
        "instanceType": "g6.12xlarge",
        "userData": user_data(),
        "updateDefaultVersion": True,
        "iamInstanceProfile": {"arn": w.get(PROFILE)["arn"]},
        "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
        "monitoring": {"enabled": True},
        "networkInterfaces": [
            {
                "deviceIndex": 0,
                "securityGroups": [w.get(GROUP).id],
                "associatePublicIpAddress": "false",
                "deleteOnTermination": "true",
            }
        ],
        "blockDeviceMappings": [
            {
                "deviceName": "/dev/sda1",
                "ebs": {"volumeSize": 200, "volumeType": "gp3", "encrypted": "true", "deleteOnTermination": "true"},
            }
        ],
        "tagSpecifications": [{"resourceType": "instance", "tags": {"Name": "host"}}],
    },
    FLEET: lambda w: {
        "minSize": 1,
        "maxSize": 2,
        "vpcZoneIdentifiers": [w.get(SUBNET).id, _second_subnet(w).id],
        "targetGroupArns": [w.get(TARGETS)["arn"]],
        "healthCheckType": "EC2",
        "capacityRebalance": True,
        "waitForCapacityTimeout": "0",
        "forceDelete": True,
        "mixedInstancesPolicy": {
            "instancesDistribution": {
                "onDemandBaseCapacity": 1,
                "onDemandPercentageAboveBaseCapacity": 0,
                "spotAllocationStrategy": "price-capacity-optimized",
            },
            "launchTemplate": {
                "launchTemplateSpecification": {
                    "launchTemplateId": w.get(TEMPLATE).id,
                    "version": str(w.get(TEMPLATE)["latestVersion"]),
                },
                "overrides": [{"instanceType": "g6.12xlarge"}, {"instanceType": "g5.12xlarge"}],
            },
        },
        "initialLifecycleHooks": [
            {
                "name": "first-token",
                "lifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
                "heartbeatTimeout": 600,
                "defaultResult": "ABANDON",
            }
        ],
        "instanceRefresh": {"strategy": "Rolling", "preferences": {"minHealthyPercentage": 50}},
        "tags": [{"key": "Name", "value": "host", "propagateAtLaunch": True}],
    },
    HOOK: lambda w: {
        "autoscalingGroupName": w.get(FLEET).id,
        "lifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "heartbeatTimeout": 600,
        "defaultResult": "CONTINUE",
    },
    SCALING: lambda w: {
        "autoscalingGroupName": w.get(FLEET).id,
        "policyType": "TargetTrackingScaling",
        "targetTrackingConfiguration": {
            "targetValue": 4,
            "customizedMetricSpecification": {
                "metricName": "waiting",
                "namespace": "shop",
                "statistic": "Average",
            },
        },
    },
    BALANCER: lambda w: (
        w.get(GATEWAY)
        and {
            "loadBalancerType": "application",
            "subnets": [w.get(SUBNET).id, _second_subnet(w).id],
            "securityGroups": [w.get(GROUP).id],
            "idleTimeout": 900,
            "dropInvalidHeaderFields": True,
            "enableDeletionProtection": False,
            "accessLogs": {"bucket": w.get(BUCKET_POLICY)["bucket"], "prefix": "alb", "enabled": True},
            "tags": {"Name": "sample"},
        }
    ),
    TARGETS: lambda w: {
        "vpcId": w.get(VPC).id,
        "port": 80,
        "protocol": "HTTP",
        "targetType": "instance",
        "deregistrationDelay": 900,
        "loadBalancingAlgorithmType": "least_outstanding_requests",
        "healthCheck": {
            "path": "/ready",
            "matcher": "200",
            "interval": 10,
            "timeout": 5,
            "healthyThreshold": 2,
            "unhealthyThreshold": 3,
        },
    },
    LISTENER: lambda w: {
        "loadBalancerArn": w.get(BALANCER)["arn"],
        "port": 443,
        "protocol": "HTTPS",
        "sslPolicy": "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09",
        "certificateArn": w.get(CERTIFICATE)["arn"],
        "defaultActions": [
            {
                "type": "fixed-response",
                "fixedResponse": {"statusCode": "404", "contentType": "text/plain", "messageBody": "none"},
            }
        ],
    },
    RULE: lambda w: {
        "listenerArn": w.get(LISTENER)["arn"],
        "priority": 1,
        "conditions": [{"pathPattern": {"values": ["/v1/chat/completions", "/v1/models"]}}],
        "actions": [{"type": "forward", "targetGroupArn": w.get(TARGETS)["arn"]}],
    },
    CERTIFICATE: lambda w: dict(zip(("certificateBody", "privateKey"), self_signed(), strict=True)),
    VALIDATION: lambda w: {"certificateArn": w.get(CERTIFICATE)["arn"]},
    ZONE: lambda w: {"name": f"{w.name}.example.com"},
    RECORD: lambda w: {
        "zoneId": w.get(ZONE).id,
        "name": "api",
        "type": "CNAME",
        "ttl": 60,
        "records": ["target.example.net"],
    },
    HEALTH_CHECK: lambda w: {
        "type": "HTTPS",
        "fqdn": f"{w.name}.example.com",
        "port": 443,
        "resourcePath": "/healthz",
        "enableSni": True,
        "requestInterval": 30,
        "failureThreshold": 3,
    },
    ACL: lambda w: {
        "scope": "REGIONAL",
        "description": "limits",
        "defaultAction": {"allow": {}},
        "customResponseBodies": [{"key": "slow-down", "contentType": "APPLICATION_JSON", "content": "{}"}],
        "rules": [
            {
                "name": "per-address",
                "priority": 1,
                "action": {"block": {"customResponse": {"responseCode": 429}}},
                "statement": {"rateBasedStatement": {"limit": 100, "aggregateKeyType": "IP"}},
                "visibilityConfig": {
                    "metricName": "per-address",
                    "cloudwatchMetricsEnabled": True,
                    "sampledRequestsEnabled": False,
                },
            }
        ],
        "visibilityConfig": {
            "metricName": "acl",
            "cloudwatchMetricsEnabled": True,
            "sampledRequestsEnabled": False,
        },
    },
    ACL_ASSOCIATION: lambda w: {"webAclArn": w.get(ACL)["arn"], "resourceArn": w.get(BALANCER)["arn"]},
    ACL_LOGGING: lambda w: {
        "resourceArn": w.get(ACL)["arn"],
        "logDestinationConfigs": [_firewall_log(w)["arn"]],
    },
    FILES: lambda w: {
        "encrypted": True,
        "performanceMode": "generalPurpose",
        "throughputMode": "elastic",
        "lifecyclePolicies": [
            {"transitionToIa": "AFTER_30_DAYS"},
            {"transitionToPrimaryStorageClass": "AFTER_1_ACCESS"},
        ],
    },
    MOUNT: lambda w: {
        "fileSystemId": w.get(FILES).id,
        "subnetId": w.get(SUBNET).id,
        "securityGroups": [w.get(GROUP).id],
    },
    ACCESS_POINT: lambda w: {
        "fileSystemId": w.get(FILES).id,
        "posixUser": {"uid": 2000, "gid": 2000},
        "rootDirectory": {
            "path": "/models",
            "creationInfo": {"ownerUid": 2000, "ownerGid": 2000, "permissions": "0750"},
        },
    },
    FILES_POLICY: lambda w: {
        "fileSystemId": w.get(FILES).id,
        "policy": policy("elasticfilesystem:ClientMount", Principal={"AWS": "*"}),
    },
    BACKUP: lambda w: {"fileSystemId": w.get(FILES).id, "backupPolicy": {"status": "ENABLED"}},
    BUCKET: lambda w: {"forceDestroy": True, "tags": {"Name": "sample"}},
    BUCKET_POLICY: lambda w: {
        "bucket": w.get(BUCKET).id,
        "policy": policy(
            "s3:PutObject",
            f"{w.get(BUCKET)['arn']}/*",
            Principal={"Service": "logdelivery.elasticloadbalancing.amazonaws.com"},
        ),
    },
    OBJECT: lambda w: {
        "bucket": w.get(BUCKET).id,
        "key": "name.tar.gz",
        "contentBase64": "H4sI/w==",
        "contentType": "application/gzip",
    },
    PUBLIC_ACCESS: lambda w: {
        "bucket": w.get(BUCKET).id,
        "blockPublicAcls": True,
        "blockPublicPolicy": True,
        "ignorePublicAcls": True,
        "restrictPublicBuckets": True,
    },
    ENCRYPTION: lambda w: {
        "bucket": w.get(BUCKET).id,
        "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}],
    },
    EXPIRY: lambda w: {
        "bucket": w.get(BUCKET).id,
        "rules": [
            {
                "id": "expire",
                "status": "Enabled",
                "filter": {"prefix": ""},
                "expiration": {"days": 90},
                "abortIncompleteMultipartUpload": {"daysAfterInitiation": 1},
            }
        ],
    },
    ABAC: lambda w: {"bucket": w.get(BUCKET).id, "abacStatus": {"status": "Enabled"}},
    OWNERSHIP: lambda w: {
        "bucket": w.get(BUCKET).id,
        "rule": {"objectOwnership": "BucketOwnerEnforced"},
    },
    VERSIONING: lambda w: {
        "bucket": w.get(BUCKET).id,
        "versioningConfiguration": {"status": "Enabled"},
    },
    ROLE: lambda w: {"assumeRolePolicy": TRUST, "description": "hosts"},
    ROLE_POLICY: lambda w: {"role": w.get(ROLE).id, "policy": policy()},
    ATTACHMENT: lambda w: {"role": w.get(ROLE).id, "policyArn": w.get(MANAGED_POLICY)["arn"]},
    MANAGED_POLICY: lambda w: {"policy": policy()},
    PROFILE: lambda w: {"role": w.get(ROLE).id},
    SECRET: lambda w: {"description": "keys", "recoveryWindowInDays": 0},
    SECRET_VERSION: lambda w: {"secretId": w.get(SECRET).id, "secretString": "hush"},
    SECRET_POLICY: lambda w: {
        "secretArn": w.get(SECRET)["arn"],
        "policy": policy("secretsmanager:GetSecretValue", Principal={"AWS": "*"}),
    },
    KEY: lambda w: {"description": "volumes", "enableKeyRotation": True, "deletionWindowInDays": 7},
    ALIAS: lambda w: {"targetKeyId": w.get(KEY).id},
    PARAMETER: lambda w: {"type": "SecureString", "value": "hush"},
    TOPIC: lambda w: {"displayName": "alerts"},
    TOPIC_POLICY: lambda w: {
        "arn": w.get(TOPIC)["arn"],
        "policy": policy("sns:Publish", w.get(TOPIC)["arn"], Principal={"Service": "budgets.amazonaws.com"}),
    },
    SUBSCRIPTION: lambda w: {
        "topic": w.get(TOPIC)["arn"],
        "protocol": "sqs",
        "endpoint": w.get(QUEUE)["arn"],
        "rawMessageDelivery": True,
    },
    QUEUE: lambda w: {"visibilityTimeoutSeconds": 60, "sqsManagedSseEnabled": True},
    BUDGET: lambda w: {
        "budgetType": "COST",
        "limitAmount": "100.0",
        "limitUnit": "USD",
        "timeUnit": "MONTHLY",
        "costFilters": [{"name": "TagKeyValue", "values": ["user:stack$dev"]}],
        "notifications": [
            {
                "comparisonOperator": "GREATER_THAN",
                "notificationType": "ACTUAL",
                "threshold": 80,
                "thresholdType": "PERCENTAGE",
                "subscriberSnsTopicArns": [w.get(TOPIC)["arn"]],
            }
        ],
    },
    SCHEDULE_GROUP: lambda w: {},
    SCHEDULE: lambda w: {
        "groupName": w.get(SCHEDULE_GROUP).id,
        "scheduleExpression": "at(2036-01-01T00:00:00)",
        "scheduleExpressionTimezone": "UTC",
        "flexibleTimeWindow": {"mode": "OFF"},
        "target": {
            "arn": "arn:aws:scheduler:::aws-sdk:autoscaling:updateAutoScalingGroup",
            "roleArn": w.get(ROLE)["arn"],
            "input": json.dumps({"AutoScalingGroupName": "fleet", "MinSize": 0}),
            "retryPolicy": {"maximumEventAgeInSeconds": 3600, "maximumRetryAttempts": 3},
        },
    },
    LOGS: lambda w: {"retentionInDays": 30},
    LOG_SUBSCRIPTION: lambda w: {
        "logGroup": w.get(LOGS)["name"],
        "destinationArn": stream(w),
        "filterPattern": "",
        "roleArn": w.get(ROLE)["arn"],
    },
    ALARM: lambda w: {
        "comparisonOperator": "GreaterThanThreshold",
        "evaluationPeriods": 2,
        "metricName": "UnHealthyHostCount",
        "namespace": "AWS/ApplicationELB",
        "period": 60,
        "statistic": "Maximum",
        "threshold": 0,
        "dimensions": {"TargetGroup": w.get(TARGETS)["arnSuffix"]},
        "alarmActions": [w.get(TOPIC)["arn"]],
        "treatMissingData": "notBreaching",
    },
    COMPOSITE_ALARM: lambda w: {
        "alarmName": w.name,
        "alarmRule": f'ALARM("{w.get(ALARM)["arn"]}")',
        "alarmActions": [w.get(TOPIC)["arn"]],
    },
    DASHBOARD: lambda w: {"dashboardName": w.name, "dashboardBody": json.dumps({"widgets": []})},
    CLUSTER: lambda w: {
        "name": w.name,
        "roleArn": w.get(ROLE)["arn"],
        "version": "1.35",
        "vpcConfig": {
            "subnetIds": [w.get(SUBNET).id, _second_subnet(w).id],
            "endpointPublicAccess": True,
            "endpointPrivateAccess": True,
            "publicAccessCidrs": ["0.0.0.0/0"],
        },
        "encryptionConfig": {"provider": {"keyArn": w.get(KEY)["arn"]}, "resources": ["secrets"]},
        "accessConfig": {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": True},
        "bootstrapSelfManagedAddons": False,
        "enabledClusterLogTypes": ["api", "audit"],
        "upgradePolicy": {"supportType": "STANDARD"},
    },
    NODE_GROUP: lambda w: {
        "clusterName": w.get(CLUSTER).id,
        "nodeRoleArn": w.get(ROLE)["arn"],
        "subnetIds": [w.get(SUBNET).id],
        "amiType": "AL2023_x86_64_NVIDIA",
        "instanceTypes": ["g6.12xlarge"],
        "scalingConfig": {"minSize": 1, "desiredSize": 1, "maxSize": 2},
        "updateConfig": {"maxUnavailable": 1},
        "labels": {"nvidia.com/gpu.present": "true"},
        "taints": [{"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}],
    },
    ADDON: lambda w: {
        "clusterName": w.get(CLUSTER).id,
        "addonName": "vpc-cni",
        "addonVersion": "v1.20.0-eksbuild.1",
        "resolveConflictsOnCreate": "OVERWRITE",
    },
    # Not the role of the node group, which EKS enters by itself.
    ACCESS_ENTRY: lambda w: {"clusterName": w.get(CLUSTER).id, "principalArn": pod_role(w)["arn"]},
    ACCESS_POLICY: lambda w: {
        "clusterName": w.get(CLUSTER).id,
        "principalArn": w.get(ACCESS_ENTRY)["principalArn"],
        "policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
        "accessScope": {"type": "cluster"},
    },
    POD_IDENTITY: lambda w: {
        "clusterName": w.get(CLUSTER).id,
        "namespace": "kube-system",
        "serviceAccount": w.name,
        "roleArn": pod_role(w)["arn"],
    },
    PROMETHEUS: lambda w: {"alias": w.name},
    ALERT_MANAGER: lambda w: {
        "workspaceId": w.get(PROMETHEUS).id,
        "definition": "alertmanager_config: |\n  route: {}\n",
    },
    ALERT_RULES: lambda w: {"workspaceId": w.get(PROMETHEUS).id, "data": "groups: []\n"},
    GRAFANA: lambda w: {
        "accountAccessType": "CURRENT_ACCOUNT",
        "authenticationProviders": ["AWS_SSO"],
        "permissionType": "CUSTOMER_MANAGED",
        "roleArn": w.get(ROLE)["arn"],
        "dataSources": ["PROMETHEUS", "CLOUDWATCH"],
    },
    LOG_METRIC: lambda w: {
        "logGroupName": w.get(LOGS)["name"],
        "pattern": '"crossed budget"',
        "metricTransformation": {"name": "Spent", "namespace": "shop", "value": "1"},
    },
    DATABASE_SUBNETS: lambda w: {"description": "shop", "subnetIds": [w.get(SUBNET).id, _second_subnet(w).id]},
    DATABASE: lambda w: {
        "engine": "postgres",
        "engineVersion": "16",
        "instanceClass": "db.t4g.small",
        "allocatedStorage": 20,
        "maxAllocatedStorage": 100,
        "storageType": "gp3",
        "storageEncrypted": True,
        "dbName": "shop",
        "username": "shop",
        "password": "p" * 48,
        "dbSubnetGroupName": w.get(DATABASE_SUBNETS)["name"],
        "vpcSecurityGroupIds": [w.get(GROUP).id],
        "publiclyAccessible": False,
        "multiAz": False,
        "backupRetentionPeriod": 7,
        "copyTagsToSnapshot": True,
        "autoMinorVersionUpgrade": True,
        "deletionProtection": False,
        "skipFinalSnapshot": True,
    },
    CACHE_SUBNETS: lambda w: {"description": "shop", "subnetIds": [w.get(SUBNET).id]},
    CACHE: lambda w: {
        "description": "shop",
        "engine": "valkey",
        "engineVersion": "8.0",
        "nodeType": "cache.t4g.micro",
        "numCacheClusters": 1,
        "port": 6379,
        "subnetGroupName": w.get(CACHE_SUBNETS)["name"],
        "securityGroupIds": [w.get(GROUP).id],
        "atRestEncryptionEnabled": True,
        "transitEncryptionEnabled": True,
        "authToken": "t" * 48,
    },
    TASKS: lambda w: {},
    TASK: lambda w: {
        "family": w.name,
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "1024",
        "memory": "4096",
        "executionRoleArn": w.get(ROLE)["arn"],
        "taskRoleArn": w.get(ROLE)["arn"],
        "containerDefinitions": json.dumps([{"name": "shop", "image": "shop:1", "essential": True}]),
    },
    SERVICE: lambda w: {
        "cluster": w.get(TASKS)["arn"],
        "taskDefinition": w.get(TASK)["arn"],
        "launchType": "FARGATE",
        "desiredCount": 2,
        "networkConfiguration": {"subnets": [w.get(SUBNET).id], "securityGroups": [w.get(GROUP).id]},
        "loadBalancers": [{"targetGroupArn": w.get(TARGETS)["arn"], "containerName": "shop", "containerPort": 8080}],
        "deploymentMaximumPercent": 200,
        "propagateTags": "SERVICE",
    },
    EVENT_RULE: lambda w: {"eventPattern": json.dumps({"source": ["aws.ec2"]})},
    EVENT_TARGET: lambda w: {"rule": w.get(EVENT_RULE)["name"], "arn": w.get(QUEUE)["arn"]},
    QUEUE_POLICY: lambda w: {
        "queueUrl": w.get(QUEUE).id,
        "policy": policy("sqs:SendMessage", w.get(QUEUE)["arn"], Principal={"Service": "events.amazonaws.com"}),
    },
}
