"""One resource of each type that a stack has, made by hand with boto3 in a simulated account."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from infra.components.cost_guard import GROUP_TARGET
from pulumi_rehearsal.account_gaps import PUBLIC_IMAGE
from pulumi_rehearsal.moto import ACCOUNT_ID
from tandem import type_tokens as types
from tandem.ops.kinds.kind import Clients
from tandem.tags import (
    EPHEMERAL_TAG,
    EXPIRES_TAG,
    GATEWAY_TAG,
    PROJECT_TAG,
    STACK_ID_TAG,
    STACK_TAG,
    WEB_ACL_DESCRIPTION,
    parameter_path,
)

REGION = "us-east-1"
IMAGE = PUBLIC_IMAGE
"""The one that moto knows."""


def tags_of(stack: str, project: str = "tandem") -> dict[str, str]:
    return {PROJECT_TAG: project, STACK_TAG: stack}


def id_of(name: str) -> str:
    """An id for the life of a stack whose resources begin with that name."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


class Builder:
    """Makes resources and remembers type and id of those that are meant to be found.

    Attributes:
        made: in the order of making.
    """

    def __init__(
        self,
        clients: Clients,
        stack: str,
        name: str,
        tags: dict[str, str] | None = None,
        *,
        expires: str | None = "2030-01-01T00:00:00",
        ephemeral: bool = False,
    ) -> None:
        self.expires, self.ephemeral = expires, ephemeral
        self.stack_id = id_of(name)
        self.clients = clients
        self.stack = stack
        self.name = name
        own = tags_of(stack) | {STACK_ID_TAG: self.stack_id} | ({EPHEMERAL_TAG: "true"} if ephemeral else {})
        self.tag_map = own if tags is None else tags
        self.made: list[tuple[str, str]] = []

    @property
    def tags(self) -> list[dict[str, str]]:
        return [{"Key": key, "Value": value} for key, value in self.tag_map.items()]

    def specification(self, kind: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": self.tags}]

    def add(self, type_: str, resource_id: str) -> str:
        self.made.append((type_, resource_id))
        return resource_id

    def everything(self) -> Builder:
        self.network()
        self.support()
        self.serving()
        self.kubernetes()
        self.beside()
        return self

    def network(self) -> None:
        ec2, spec, add = self.clients("ec2"), self.specification, self.add
        self.vpc = add(
            types.VPC, ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=spec("vpc"))["Vpc"]["VpcId"]
        )
        self.subnets = [
            add(
                types.SUBNET,
                ec2.create_subnet(
                    VpcId=self.vpc,
                    CidrBlock=f"10.9.{number}.0/24",
                    AvailabilityZone=f"{REGION}{zone}",
                    TagSpecifications=spec("subnet"),
                )["Subnet"]["SubnetId"],
            )
            for number, zone in enumerate("ab")
        ]
        gateway = add(
            types.INTERNET_GATEWAY,
            ec2.create_internet_gateway(TagSpecifications=spec("internet-gateway"))["InternetGateway"][
                "InternetGatewayId"
            ],
        )
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.vpc)
        table = add(
            types.ROUTE_TABLE,
            ec2.create_route_table(VpcId=self.vpc, TagSpecifications=spec("route-table"))["RouteTable"]["RouteTableId"],
        )
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        add(types.ROUTE, f"{table}_0.0.0.0/0")
        add(
            types.ROUTE_TABLE_ASSOCIATION,
            ec2.associate_route_table(RouteTableId=table, SubnetId=self.subnets[0])["AssociationId"],
        )
        address = add(
            types.ADDRESS,
            ec2.allocate_address(Domain="vpc", TagSpecifications=spec("elastic-ip"))["AllocationId"],
        )
        add(
            types.NAT_GATEWAY,
            ec2.create_nat_gateway(
                SubnetId=self.subnets[0], AllocationId=address, TagSpecifications=spec("natgateway")
            )["NatGateway"]["NatGatewayId"],
        )
        add(
            types.ENDPOINT,
            ec2.create_vpc_endpoint(
                VpcId=self.vpc,
                VpcEndpointType="Gateway",
                ServiceName=f"com.amazonaws.{REGION}.s3",
                RouteTableIds=[table],
                TagSpecifications=spec("vpc-endpoint"),
            )["VpcEndpoint"]["VpcEndpointId"],
        )
        self.groups = [
            add(
                types.SECURITY_GROUP,
                ec2.create_security_group(
                    GroupName=f"{self.name}-{role}",
                    Description=role,
                    VpcId=self.vpc,
                    TagSpecifications=spec("security-group"),
                )["GroupId"],
            )
            for role in ("balancer", "hosts")
        ]
        balancer, hosts = self.groups
        for group in self.groups:
            ec2.revoke_security_group_egress(
                GroupId=group, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
            )
        for operation, type_, group, other in (
            (ec2.authorize_security_group_egress, types.EGRESS_RULE, balancer, hosts),
            (ec2.authorize_security_group_ingress, types.INGRESS_RULE, hosts, balancer),
        ):
            rules = operation(
                GroupId=group,
                IpPermissions=[
                    {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "UserIdGroupPairs": [{"GroupId": other}]}
                ],
            )["SecurityGroupRules"]
            add(type_, rules[0]["SecurityGroupRuleId"])
        add(
            types.NETWORK_INTERFACE,
            ec2.create_network_interface(SubnetId=self.subnets[1], TagSpecifications=spec("network-interface"))[
                "NetworkInterface"
            ]["NetworkInterfaceId"],
        )

    def support(self) -> None:
        self.parameter()
        self._storage()
        self._identity()
        self._messages()

    def parameter(self) -> None:
        """What holds the stack's name, and says when it ends."""
        expires = [{"Key": EXPIRES_TAG, "Value": f"{self.expires}Z"}] if self.expires else []
        name = self.add(types.PARAMETER, f"{parameter_path(self.stack)}/{self.stack_id}")
        self.clients("ssm").put_parameter(Name=name, Type="String", Value=self.stack_id, Tags=[*self.tags, *expires])

    def _storage(self) -> None:
        efs, s3 = self.clients("efs"), self.clients("s3")
        file_system = self.add(
            types.FILE_SYSTEM, efs.create_file_system(CreationToken=self.name, Tags=self.tags)["FileSystemId"]
        )
        self.add(
            types.ACCESS_POINT,
            efs.create_access_point(ClientToken=self.name, FileSystemId=file_system, Tags=self.tags)["AccessPointId"],
        )
        self.add(
            types.MOUNT_TARGET,
            efs.create_mount_target(FileSystemId=file_system, SubnetId=self.subnets[0])["MountTargetId"],
        )
        bucket = self.add(types.BUCKET, f"{self.name}-access-logs-1")
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": self.tags})
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        for body in (b"1", b"2"):
            s3.put_object(Bucket=bucket, Key="log", Body=body)

    def _identity(self) -> None:
        iam = self.clients("iam")
        self.role = self.add(types.ROLE, f"{self.name}-host")
        role = iam.create_role(RoleName=self.role, AssumeRolePolicyDocument=_policy("sts:AssumeRole"), Tags=self.tags)
        self.role_arn = role["Role"]["Arn"]
        iam.put_role_policy(RoleName=self.role, PolicyName="own", PolicyDocument=_policy("s3:GetObject"))
        self.add(types.ROLE_POLICY, f"{self.role}:own")
        policy = iam.create_policy(PolicyName=f"{self.name}-theirs", PolicyDocument=_policy("s3:GetObject"))
        iam.attach_role_policy(RoleName=self.role, PolicyArn=policy["Policy"]["Arn"])
        self.profile = self.add(types.INSTANCE_PROFILE, f"{self.name}-host")
        iam.create_instance_profile(InstanceProfileName=self.profile, Tags=self.tags)
        iam.add_role_to_instance_profile(InstanceProfileName=self.profile, RoleName=self.role)

    def _messages(self) -> None:
        logs = self.clients("logs")
        self.add(types.LOG_GROUP, f"/tandem/{self.name}/hosts")
        logs.create_log_group(logGroupName=f"/tandem/{self.name}/hosts", tags=self.tag_map)
        self.add(
            types.FLOW_LOG,
            self.clients("ec2").create_flow_logs(
                ResourceIds=[self.vpc],
                ResourceType="VPC",
                TrafficType="ALL",
                LogGroupName=f"/tandem/{self.name}/hosts",
                DeliverLogsPermissionArn=self.role_arn,
                TagSpecifications=self.specification("vpc-flow-log"),
            )["FlowLogIds"][0],
        )
        self.add(
            types.SECRET,
            self.clients("secretsmanager").create_secret(Name=f"{self.name}-issued-keys", Tags=self.tags)["ARN"],
        )
        self.add(
            types.TOPIC,
            self.clients("sns").create_topic(Name=f"{self.name}-alerts", Tags=self.tags)["TopicArn"],
        )
        self._observing()
        self.schedules()
        budgets = self.clients("budgets")
        budgets.create_budget(
            AccountId=ACCOUNT_ID,
            Budget={
                "BudgetName": self.name,
                "BudgetLimit": {"Amount": "30", "Unit": "USD"},
                "CostFilters": {"TagKeyValue": [f"user:{STACK_TAG}${self.stack}"]},
                "TimeUnit": "MONTHLY",
                "BudgetType": "COST",
            },
        )
        budgets.tag_resource(ResourceARN=f"arn:aws:budgets::{ACCOUNT_ID}:budget/{self.name}", ResourceTags=self.tags)
        self.add(types.BUDGET, f"{ACCOUNT_ID}:{self.name}")

    def _observing(self) -> None:
        amp, tags = self.clients("amp"), self.tag_map
        workspace = amp.create_workspace(alias=self.name, tags=tags)["workspaceId"]
        self.add(types.PROMETHEUS, workspace)
        made = amp.create_rule_groups_namespace(workspaceId=workspace, name=self.name, data="groups: []", tags=tags)
        self.add(types.ALERT_RULES, made["arn"])
        grafana = self.clients("grafana").create_workspace(
            accountAccessType="CURRENT_ACCOUNT",
            permissionType="CUSTOMER_MANAGED",
            authenticationProviders=["AWS_SSO"],
            workspaceName=self.name,
            tags=tags,
        )
        self.add(types.GRAFANA, grafana["workspace"]["id"])

    def _gateway(self) -> None:
        name = f"{self.name}-gateway"
        rds, cache, ecs = (self.clients(service) for service in ("rds", "elasticache", "ecs"))
        subnets = {"SubnetIds": self.subnets, "Tags": self.tags}
        rds.create_db_subnet_group(
            DBSubnetGroupName=self.add(types.DATABASE_SUBNETS, name), DBSubnetGroupDescription="-", **subnets
        )
        rds.create_db_instance(
            DBInstanceIdentifier=self.add(types.DATABASE, name),
            DBInstanceClass="db.t4g.small",
            Engine="postgres",
            AllocatedStorage=20,
            MasterUsername="litellm",
            MasterUserPassword="p" * 20,
            DBSubnetGroupName=name,
            Tags=self.tags,
        )
        rds.create_db_snapshot(
            DBSnapshotIdentifier=self.add(types.DATABASE_SNAPSHOT, f"{name}-last"),
            DBInstanceIdentifier=name,
            Tags=self.tags,
        )
        cache.create_cache_subnet_group(
            CacheSubnetGroupName=self.add(types.CACHE_SUBNETS, name), CacheSubnetGroupDescription="-", **subnets
        )
        cache.create_replication_group(
            ReplicationGroupId=self.add(types.CACHE, name),
            ReplicationGroupDescription="-",
            CacheSubnetGroupName=name,
            Tags=self.tags,
        )
        tags = [{"key": key, "value": value} for key, value in self.tag_map.items()]
        cluster = self.add(types.SERVICES, ecs.create_cluster(clusterName=name, tags=tags)["cluster"]["clusterArn"])
        task = ecs.register_task_definition(
            family=name, containerDefinitions=[{"name": "gateway", "image": "litellm", "memory": 128}], tags=tags
        )["taskDefinition"]["taskDefinitionArn"]
        service = ecs.create_service(cluster=cluster, serviceName=name, taskDefinition=task, desiredCount=1, tags=tags)
        self.add(types.SERVICE, service["service"]["serviceArn"])
        group = self.clients("elbv2").create_target_group(
            Name=name,
            Protocol="HTTP",
            Port=4000,
            VpcId=self.vpc,
            TargetType="ip",
            HealthCheckPath="/health/readiness",
            Tags=[*self.tags, {"Key": GATEWAY_TAG, "Value": "true"}],
        )["TargetGroups"][0]
        self.copies = self.add(types.TARGET_GROUP, group["TargetGroupArn"])

    def kubernetes(self) -> None:
        """A cluster with a node group, and what Karpenter listens to."""
        eks, sqs, events, kms = (self.clients(service) for service in ("eks", "sqs", "events", "kms"))
        role = f"arn:aws:iam::{ACCOUNT_ID}:role/cluster"
        subnets = [subnet for kind, subnet in self.made if kind == types.SUBNET]
        cluster = self.add(types.CLUSTER, self.name)
        eks.create_cluster(name=cluster, roleArn=role, resourcesVpcConfig={"subnetIds": subnets}, tags=self.tag_map)
        eks.create_nodegroup(
            clusterName=cluster, nodegroupName="system", nodeRole=role, subnets=subnets, tags=self.tag_map
        )
        self.add(types.NODE_GROUP, f"{cluster}:system")
        queue = sqs.create_queue(QueueName=f"{self.name}-interruptions", tags=self.tag_map)["QueueUrl"]
        self.add(types.QUEUE, queue)
        rule = self.add(types.EVENT_RULE, f"{self.name}-spot")
        events.put_rule(Name=rule, EventPattern='{"source": ["aws.ec2"]}', Tags=self.tags)
        events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": f"arn:aws:sqs:us-east-1:{ACCOUNT_ID}:q"}])
        tags = [{"TagKey": key, "TagValue": value} for key, value in self.tag_map.items()]
        self.add(types.KEY, kms.create_key(Description=self.name, Tags=tags)["KeyMetadata"]["KeyId"])

    def schedules(self) -> None:
        scheduler = self.clients("scheduler")
        group = self.add(types.SCHEDULE_GROUP, self.name)
        scheduler.create_schedule_group(Name=group, Tags=self.tags)
        scheduler.create_schedule(
            Name="stop",
            GroupName=group,
            ScheduleExpression=f"at({self.expires or '2030-01-01T00:00:00'})",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": GROUP_TARGET, "RoleArn": f"arn:aws:iam::{ACCOUNT_ID}:role/expiry", "Input": "{}"},
        )
        self.add(types.SCHEDULE, f"{group}/stop")

    def serving(self) -> None:
        self._load_balancer()
        self._gateway()
        self._fleet()

    def _load_balancer(self) -> None:
        elb, waf, route53 = self.clients("elbv2"), self.clients("wafv2"), self.clients("route53")
        balancer = elb.create_load_balancer(Name=self.name, Subnets=self.subnets, Tags=self.tags)["LoadBalancers"][0]
        arn = self.add(types.LOAD_BALANCER, balancer["LoadBalancerArn"])
        targets = self.add(
            types.TARGET_GROUP,
            elb.create_target_group(Name=self.name, Protocol="HTTP", Port=8080, VpcId=self.vpc, Tags=self.tags)[
                "TargetGroups"
            ][0]["TargetGroupArn"],
        )
        self.targets = targets
        certificate = self.add(
            types.CERTIFICATE,
            self.clients("acm").request_certificate(
                DomainName=f"{self.name}.example.com", ValidationMethod="DNS", Tags=self.tags
            )["CertificateArn"],
        )
        forward = [{"Type": "forward", "TargetGroupArn": targets}]
        listener = self.add(
            types.LISTENER,
            elb.create_listener(
                LoadBalancerArn=arn,
                Protocol="HTTPS",
                Port=443,
                Certificates=[{"CertificateArn": certificate}],
                DefaultActions=forward,
                Tags=self.tags,
            )["Listeners"][0]["ListenerArn"],
        )
        self.add(
            types.LISTENER_RULE,
            elb.create_rule(
                ListenerArn=listener,
                Priority=1,
                Conditions=[{"Field": "path-pattern", "Values": ["/v1/*"]}],
                Actions=forward,
                Tags=self.tags,
            )["Rules"][0]["RuleArn"],
        )
        acl = waf.create_web_acl(
            Name=self.name,
            Scope="REGIONAL",
            Description=WEB_ACL_DESCRIPTION,
            DefaultAction={"Allow": {}},
            VisibilityConfig={"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "m"},
            Tags=self.tags,
        )["Summary"]
        waf.associate_web_acl(WebACLArn=acl["ARN"], ResourceArn=arn)
        self.add(types.WEB_ACL, acl["Id"])
        zone = route53.create_hosted_zone(Name=f"{self.name}.example.com", CallerReference=self.name)["HostedZone"][
            "Id"
        ].removeprefix("/hostedzone/")
        alias = {
            "HostedZoneId": balancer["CanonicalHostedZoneId"],
            "DNSName": balancer["DNSName"],
            "EvaluateTargetHealth": True,
        }
        record = {"Name": f"{self.name}.example.com", "Type": "A", "AliasTarget": alias}
        route53.change_resource_record_sets(
            HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
        )
        self.zone = zone
        check = route53.create_health_check(
            CallerReference=self.name,
            HealthCheckConfig={
                "Type": "HTTPS",
                "FullyQualifiedDomainName": f"{self.name}.example.com",
                "ResourcePath": "/healthz",
            },
        )["HealthCheck"]["Id"]
        route53.change_tags_for_resource(ResourceType="healthcheck", ResourceId=check, AddTags=self.tags)
        self.add(types.HEALTH_CHECK, check)
        self.add(types.RECORD, f"{zone}_{self.name}.example.com_A")

    def _fleet(self) -> None:
        ec2, scaling = self.clients("ec2"), self.clients("autoscaling")
        tags = [{"ResourceType": kind, "Tags": self.tags} for kind in ("instance", "volume")]
        template = self.add(
            types.LAUNCH_TEMPLATE,
            ec2.create_launch_template(
                LaunchTemplateName=self.name,
                LaunchTemplateData={"ImageId": IMAGE, "InstanceType": "g6.12xlarge", "TagSpecifications": tags},
                TagSpecifications=self.specification("launch-template"),
            )["LaunchTemplate"]["LaunchTemplateId"],
        )
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=self.name,
            MinSize=1,
            MaxSize=1,
            LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
            VPCZoneIdentifier=self.subnets[0],
            TargetGroupARNs=[self.targets],
            Tags=[
                {
                    "Key": key,
                    "Value": value,
                    "PropagateAtLaunch": True,
                    "ResourceId": self.name,
                    "ResourceType": "auto-scaling-group",
                }
                for key, value in self.tag_map.items()
            ],
        )
        self.add(types.GROUP, self.name)
        scaling.put_scaling_policy(
            AutoScalingGroupName=self.name,
            PolicyName=self.add(types.POLICY, f"{self.name}-idle"),
            PolicyType="StepScaling",
            AdjustmentType="ExactCapacity",
            StepAdjustments=[{"ScalingAdjustment": 0, "MetricIntervalUpperBound": 0.0}],
        )
        self.clients("cloudwatch").put_metric_alarm(
            AlarmName=self.add(types.ALARM, f"{self.name}-idle"),
            Namespace="AWS/ApplicationELB",
            MetricName="RequestCount",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=60,
            Threshold=1,
            ComparisonOperator="LessThanThreshold",
            AlarmActions=[scaling.describe_policies()["ScalingPolicies"][0]["PolicyARN"]],
            Tags=self.tags,
        )
        self.clients("cloudwatch").put_composite_alarm(
            AlarmName=self.add(types.COMPOSITE_ALARM, f"{self.name}-both"),
            AlarmRule=f'ALARM("{self.name}-idle")',
            Tags=self.tags,
        )
        if not self.ephemeral:  # it takes no tags, by which those are removed
            board = self.add(types.DASHBOARD, f"tandem-{self.stack}-{self.stack_id}")
            self.clients("cloudwatch").put_dashboard(DashboardName=board, DashboardBody='{"widgets": []}')
        instances = ec2.describe_instances(Filters=[{"Name": "tag:aws:autoscaling:groupName", "Values": [self.name]}])
        [instance] = (instance for reservation in instances["Reservations"] for instance in reservation["Instances"])
        self.instance = self.add(types.INSTANCE, instance["InstanceId"])
        # moto's instances do not pass their template's tags on to their volumes
        root = instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
        ec2.create_tags(Resources=[root], Tags=self.tags)
        self.add(types.VOLUME, root)

    def beside(self) -> None:
        """What other commands or people make: a volume, a machine image and its snapshot."""
        ec2 = self.clients("ec2")
        volume = ec2.create_volume(
            AvailabilityZone=f"{REGION}a", Size=1, TagSpecifications=self.specification("volume")
        )["VolumeId"]
        self.add(types.VOLUME, volume)
        self.add(
            types.SNAPSHOT,
            ec2.create_snapshot(VolumeId=volume, TagSpecifications=self.specification("snapshot"))["SnapshotId"],
        )
        image = ec2.create_image(
            InstanceId=self.instance, Name=self.name, TagSpecifications=self.specification("image")
        )
        self.add(types.IMAGE, image["ImageId"])


def _policy(action: str) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]})


CHANGING = (
    "delete_",
    "revoke_",
    "detach_",
    "disassociate_",
    "release_",
    "terminate_",
    "deregister_",
    "remove_",
    "change_",
    "modify_",
)


class Killed(BaseException):
    """What a SIGKILL would be: nothing of ours runs after it."""


def at_once(_seconds: float) -> None:
    """Waits that take no time."""


Calls = Callable[[str, str], None]
"""Told of each call before it is made: service and operation."""


def watched(clients: Clients, before: Calls) -> Clients:
    """The same clients, which tell of each call; `before` may raise instead, as a kill would."""

    def client(service: str) -> Any:
        real = clients(service)

        def paginator(operation: str) -> Any:
            before(service, operation)
            return real.get_paginator(operation)

        class Watched:
            def __getattr__(self, name: str) -> Any:
                attribute = getattr(real, name)
                if name == "get_paginator":
                    return paginator
                if name not in real.meta.method_to_api_mapping:
                    return attribute

                def call(**arguments: Any) -> Any:
                    before(service, name)
                    return attribute(**arguments)

                return call

        return Watched()

    return client


def killing(clients: Clients, after: int) -> Clients:
    """The process dies after so many changing calls."""
    left = [after]

    def before(_service: str, operation: str) -> None:
        if operation.startswith(CHANGING):
            if not left[0]:
                raise Killed
            left[0] -= 1

    return watched(clients, before)
