"""What boto3 sees of a resource, asked for without the tables: empty when it is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulated import world as w
from simulated.world import Made, World

Look = Callable[[World, Made], Any]


def _ec2(operation: str, member: str, parameter: str) -> Look:
    return lambda world, made: getattr(world.client("ec2"), operation)(**{parameter: [made.id]})[member]


def _subscriptions(observed: w.World, group: str) -> list[Any]:
    """None of a group that is gone."""
    logs = observed.client("logs")
    there = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    return logs.describe_subscription_filters(logGroupName=group)["subscriptionFilters"] if there else []


def _matching(items: list[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    return [item for item in items if all(item.get(key) == value for key, value in wanted.items())]


def _route(world: World, made: Made) -> Any:
    table = world.client("ec2").describe_route_tables(RouteTableIds=[made.inputs["routeTableId"]])["RouteTables"][0]
    return _matching(table["Routes"], DestinationCidrBlock=made.inputs["destinationCidrBlock"])


def _association(world: World, made: Made) -> Any:
    table = world.client("ec2").describe_route_tables(RouteTableIds=[made.inputs["routeTableId"]])["RouteTables"][0]
    return _matching(table["Associations"], RouteTableAssociationId=made.id)


def _rule(egress: bool) -> Look:
    def look(world: World, made: Made) -> Any:
        rules = world.client("ec2").describe_security_group_rules()["SecurityGroupRules"]
        return _matching(rules, SecurityGroupRuleId=made.id, IsEgress=egress)

    return look


def _live(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for item in items if item["State"] != "deleted"]


def _fleet(world: World, name: str) -> Any:
    return world.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]


def _of_fleet(operation: str, member: str, key: str) -> Look:
    def look(world: World, made: Made) -> Any:
        found = getattr(world.client("autoscaling"), operation)(
            AutoScalingGroupName=made.inputs["autoscalingGroupName"]
        )
        return _matching(found[member], **{key: made.id})

    return look


def _record(world: World, made: Made) -> Any:
    found = world.client("route53").list_resource_record_sets(HostedZoneId=made.inputs["zoneId"])
    return _matching(found["ResourceRecordSets"], Type="CNAME", Name=f"{made['fqdn']}.")


def _of_bucket(operation: str) -> Look:
    return lambda world, made: getattr(world.client("s3"), operation)(Bucket=made.id)


def _attached(world: World, made: Made) -> Any:
    found = world.client("iam").list_attached_role_policies(RoleName=made.inputs["role"])["AttachedPolicies"]
    return _matching(found, PolicyArn=made.inputs["policyArn"])


def _secret(world: World, made: Made) -> Any:
    return _matching(world.client("secretsmanager").list_secrets()["SecretList"], ARN=made.id)


def _key(world: World, made: Made) -> Any:
    metadata = world.client("kms").describe_key(KeyId=made.id)["KeyMetadata"]
    return metadata["KeyState"] == "Enabled"


def _schedule(world: World, made: Made) -> Any:
    found = world.client("scheduler").list_schedules(GroupName=made.inputs["groupName"])["Schedules"]
    return _matching(found, Name=made.inputs["name"])


def _instance(world: World, made: Made) -> Any:
    [found] = world.client("ec2").describe_instances(InstanceIds=[made.id])["Reservations"]
    return found["Instances"][0]["State"]["Name"] == "running"


SEEN: dict[str, Look] = {
    w.VPC: _ec2("describe_vpcs", "Vpcs", "VpcIds"),
    w.SUBNET: _ec2("describe_subnets", "Subnets", "SubnetIds"),
    w.INSTANCE: _instance,
    w.GATEWAY: _ec2("describe_internet_gateways", "InternetGateways", "InternetGatewayIds"),
    w.EIP: _ec2("describe_addresses", "Addresses", "AllocationIds"),
    w.NAT: lambda o, m: _live(o.client("ec2").describe_nat_gateways(NatGatewayIds=[m.id])["NatGateways"]),
    w.ROUTE_TABLE: _ec2("describe_route_tables", "RouteTables", "RouteTableIds"),
    w.ROUTE: _route,
    w.ASSOCIATION: _association,
    w.GROUP: _ec2("describe_security_groups", "SecurityGroups", "GroupIds"),
    w.DEFAULT_GROUP: _ec2("describe_security_groups", "SecurityGroups", "GroupIds"),
    w.INGRESS: _rule(egress=False),
    w.EGRESS: _rule(egress=True),
    w.ENDPOINT: lambda o, m: _live(o.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[m.id])["VpcEndpoints"]),
    w.FLOW_LOG: _ec2("describe_flow_logs", "FlowLogs", "FlowLogIds"),
    w.TEMPLATE: _ec2("describe_launch_templates", "LaunchTemplates", "LaunchTemplateIds"),
    w.FLEET: lambda o, m: _fleet(o, m.id),
    w.HOOK: _of_fleet("describe_lifecycle_hooks", "LifecycleHooks", "LifecycleHookName"),
    w.SCALING: _of_fleet("describe_policies", "ScalingPolicies", "PolicyName"),
    w.BALANCER: lambda o, m: o.client("elbv2").describe_load_balancers(LoadBalancerArns=[m.id])["LoadBalancers"],
    w.TARGETS: lambda o, m: o.client("elbv2").describe_target_groups(TargetGroupArns=[m.id])["TargetGroups"],
    w.LISTENER: lambda o, m: o.client("elbv2").describe_listeners(ListenerArns=[m.id])["Listeners"],
    w.RULE: lambda o, m: o.client("elbv2").describe_rules(RuleArns=[m.id])["Rules"],
    w.CERTIFICATE: lambda o, m: o.client("acm").describe_certificate(CertificateArn=m.id)["Certificate"],
    w.ZONE: lambda o, m: o.client("route53").get_hosted_zone(Id=m.id)["HostedZone"],
    w.RECORD: _record,
    w.HEALTH_CHECK: lambda o, m: o.client("route53").get_health_check(HealthCheckId=m.id)["HealthCheck"],
    w.ACL: lambda o, m: _matching(o.client("wafv2").list_web_acls(Scope="REGIONAL")["WebACLs"], Id=m.id),
    w.ACL_ASSOCIATION: lambda o, m: (
        o.client("wafv2").get_web_acl_for_resource(ResourceArn=m.inputs["resourceArn"]).get("WebACL")
    ),
    w.ACL_LOGGING: lambda o, m: o.client("wafv2").get_logging_configuration(ResourceArn=m.id)["LoggingConfiguration"],
    w.FILES: lambda o, m: o.client("efs").describe_file_systems(FileSystemId=m.id)["FileSystems"],
    w.MOUNT: lambda o, m: o.client("efs").describe_mount_targets(MountTargetId=m.id)["MountTargets"],
    w.ACCESS_POINT: lambda o, m: o.client("efs").describe_access_points(AccessPointId=m.id)["AccessPoints"],
    w.FILES_POLICY: lambda o, m: o.client("efs").describe_file_system_policy(FileSystemId=m.id)["Policy"],
    w.BUCKET: lambda o, m: _matching(o.client("s3").list_buckets()["Buckets"], Name=m.id),
    w.OBJECT: lambda o, m: _matching(
        o.client("s3").list_objects_v2(Bucket=m.inputs["bucket"]).get("Contents", []), Key=m.inputs["key"]
    ),
    w.BUCKET_POLICY: _of_bucket("get_bucket_policy"),
    w.PUBLIC_ACCESS: _of_bucket("get_public_access_block"),
    w.ENCRYPTION: lambda o, m: o.client("s3").get_bucket_encryption(Bucket=m.id),
    w.EXPIRY: _of_bucket("get_bucket_lifecycle_configuration"),
    w.OWNERSHIP: _of_bucket("get_bucket_ownership_controls"),
    w.VERSIONING: lambda o, m: o.client("s3").get_bucket_versioning(Bucket=m.id).get("Status") == "Enabled",
    w.ROLE: lambda o, m: o.client("iam").get_role(RoleName=m.id)["Role"],
    w.ROLE_POLICY: lambda o, m: o.client("iam").get_role_policy(RoleName=m.inputs["role"], PolicyName=m.inputs["name"]),
    w.ATTACHMENT: _attached,
    w.MANAGED_POLICY: lambda o, m: o.client("iam").get_policy(PolicyArn=m.id)["Policy"],
    w.PROFILE: lambda o, m: o.client("iam").get_instance_profile(InstanceProfileName=m.id)["InstanceProfile"],
    w.SECRET: _secret,
    w.SECRET_VERSION: lambda o, m: o.client("secretsmanager").get_secret_value(SecretId=m.inputs["secretId"]),
    w.SECRET_POLICY: lambda o, m: o.client("secretsmanager").get_resource_policy(SecretId=m.id).get("ResourcePolicy"),
    w.KEY: _key,
    w.ALIAS: lambda o, m: _matching(o.client("kms").list_aliases()["Aliases"], AliasName=m.id),
    w.PARAMETER: lambda o, m: o.client("ssm").get_parameters(Names=[m.id])["Parameters"],
    w.TOPIC: lambda o, m: _matching(o.client("sns").list_topics()["Topics"], TopicArn=m.id),
    w.TOPIC_POLICY: lambda o, m: (
        "budgets.amazonaws.com" in o.client("sns").get_topic_attributes(TopicArn=m.id)["Attributes"]["Policy"]
    ),
    w.SUBSCRIPTION: lambda o, m: _matching(o.client("sns").list_subscriptions()["Subscriptions"], SubscriptionArn=m.id),
    w.QUEUE: lambda o, m: m.id in o.client("sqs").list_queues().get("QueueUrls", []),
    w.BUDGET: lambda o, m: _matching(
        o.client("budgets").describe_budgets(AccountId="123456789012")["Budgets"], BudgetName=m.inputs["name"]
    ),
    w.SCHEDULE_GROUP: lambda o, m: _matching(o.client("scheduler").list_schedule_groups()["ScheduleGroups"], Name=m.id),
    w.SCHEDULE: _schedule,
    w.LOGS: lambda o, m: o.client("logs").describe_log_groups(logGroupNamePrefix=m.id)["logGroups"],
    w.LOG_SUBSCRIPTION: lambda o, m: _subscriptions(o, m.inputs["logGroup"]),
    w.ALARM: lambda o, m: o.client("cloudwatch").describe_alarms(AlarmNames=[m.id])["MetricAlarms"],
    w.COMPOSITE_ALARM: lambda o, m: o.client("cloudwatch").describe_alarms(
        AlarmNames=[m.id], AlarmTypes=["CompositeAlarm"]
    )["CompositeAlarms"],
    w.DASHBOARD: lambda o, m: _matching(
        o.client("cloudwatch").list_dashboards()["DashboardEntries"], DashboardName=m.id
    ),
    w.PROMETHEUS: lambda o, m: _matching(o.client("amp").list_workspaces()["workspaces"], workspaceId=m.id),
    w.ALERT_MANAGER: lambda o, m: o.client("amp").describe_alert_manager_definition(workspaceId=m.id),
    w.ALERT_RULES: lambda o, m: o.client("amp").list_rule_groups_namespaces(workspaceId=m.inputs["workspaceId"])[
        "ruleGroupsNamespaces"
    ],
    w.LOG_METRIC: lambda o, m: _matching(
        o.client("logs").describe_metric_filters()["metricFilters"], filterName=m.inputs["name"]
    ),
    w.DATABASE_SUBNETS: lambda o, m: o.client("rds").describe_db_subnet_groups(DBSubnetGroupName=m.id)[
        "DBSubnetGroups"
    ],
    w.DATABASE: lambda o, m: _matching(
        o.client("rds").describe_db_instances()["DBInstances"], DBInstanceIdentifier=m.inputs["identifier"]
    ),
    w.CACHE_SUBNETS: lambda o, m: o.client("elasticache").describe_cache_subnet_groups(CacheSubnetGroupName=m.id)[
        "CacheSubnetGroups"
    ],
    w.CACHE: lambda o, m: _matching(  # moto tells for good of one that is gone
        o.client("elasticache").describe_replication_groups()["ReplicationGroups"],
        ReplicationGroupId=m.id,
        Status="available",
    ),
    w.TASKS: lambda o, m: _matching(o.client("ecs").describe_clusters(clusters=[m.id])["clusters"], status="ACTIVE"),
    w.TASK: lambda o, m: _matching(
        [o.client("ecs").describe_task_definition(taskDefinition=m["arn"])["taskDefinition"]], status="ACTIVE"
    ),
    w.SERVICE: lambda o, m: _matching(
        o.client("ecs").describe_services(cluster=m.inputs["cluster"], services=[m.id])["services"], status="ACTIVE"
    ),
    w.GRAFANA: lambda o, m: _matching(o.client("grafana").list_workspaces()["workspaces"], id=m.id),
    w.CLUSTER: lambda o, m: o.client("eks").describe_cluster(name=m.id)["cluster"],
    w.NODE_GROUP: lambda o, m: (
        m.inputs["nodeGroupName"] in o.client("eks").list_nodegroups(clusterName=m.inputs["clusterName"])["nodegroups"]
    ),
    w.ADDON: lambda o, m: (
        m.inputs["addonName"] in o.client("eks").list_addons(clusterName=m.inputs["clusterName"])["addons"]
    ),
    w.ACCESS_ENTRY: lambda o, m: (
        m.inputs["principalArn"]
        in o.client("eks").list_access_entries(clusterName=m.inputs["clusterName"])["accessEntries"]
    ),
    w.ACCESS_POLICY: lambda o, m: o.client("eks").list_associated_access_policies(
        clusterName=m.inputs["clusterName"], principalArn=m.inputs["principalArn"]
    )["associatedAccessPolicies"],
    w.POD_IDENTITY: lambda o, m: _matching(
        o.client("eks").list_pod_identity_associations(clusterName=m.inputs["clusterName"])["associations"],
        associationId=m.id,
    ),
    w.EVENT_RULE: lambda o, m: _matching(o.client("events").list_rules()["Rules"], Name=m.id),
    w.EVENT_TARGET: lambda o, m: o.client("events").list_targets_by_rule(Rule=m.inputs["rule"])["Targets"],
    w.QUEUE_POLICY: lambda o, m: (
        o.client("sqs").get_queue_attributes(QueueUrl=m.id, AttributeNames=["Policy"]).get("Attributes")
    ),
}

ONLY_RECORDED = {w.ABAC, w.VALIDATION, w.BACKUP}
"""Types of which moto has nothing, so that boto3 cannot see them."""

STAYS = {
    w.DEFAULT_GROUP: "it comes and goes with its VPC",
    w.FILES_POLICY: "moto has no DeleteFileSystemPolicy; it goes with its file system",
    w.VERSIONING: "versioning can be suspended, not taken away",
    w.TOPIC_POLICY: "a topic always has a policy: its owner's",
    w.SECRET_VERSION: "the current version goes with its secret",
}
"""Types whose deletion leaves something, and why."""
