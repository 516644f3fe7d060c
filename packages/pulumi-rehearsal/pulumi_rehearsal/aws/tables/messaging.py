"""Messaging: topics, subscriptions and queues."""

from __future__ import annotations

from collections.abc import Mapping

from pulumi_rehearsal.aws.phrases import tagged_by_arn
from pulumi_rehearsal.aws.row import AutoName, Call, Change, ResourceType, Tags, change

_TOPIC_ATTRIBUTES = {
    "deliveryPolicy": "DeliveryPolicy",
    "displayName": "DisplayName",
    "kmsMasterKeyId": "KmsMasterKeyId",
    "policy": "Policy",
    "tracingConfig": "TracingConfig",
}


def _set_attribute(operation: str, arn: str, names: Mapping[str, str]) -> tuple[Change, ...]:
    """Services that set one attribute a call."""
    return tuple(
        change(
            name,
            by=Call(
                operation, f"{{{arn}: id, AttributeName: '{attribute}', AttributeValue: text(inputs.{name}) || ''}}"
            ),
        )
        for name, attribute in names.items()
    )


TOPIC = ResourceType(
    type="aws:sns/topic:Topic",
    service="sns",
    create=Call(
        "create_topic",
        "{Attributes: inputs.fifoTopic && {FifoTopic: 'true', "
        "ContentBasedDeduplication: text(inputs.contentBasedDeduplication) || 'false'}}",
        fill=True,
    ),
    id="result.TopicArn",
    read=Call("get_topic_attributes", "{TopicArn: id}", at="Attributes"),
    changes=_set_attribute("set_topic_attributes", "TopicArn", _TOPIC_ATTRIBUTES),
    delete=Call("delete_topic", "{TopicArn: id}"),
    tags=tagged_by_arn("ResourceArn", "id"),
    autoname=AutoName(limit=80),
    outputs={"arn": "id", "name": "part(id, ':', `-1`)"},
    provider_only=("namePrefix",),
)

_DEFAULT_TOPIC_POLICY = (
    '`{"Version": "2008-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, '
    '"Action": ["SNS:Publish", "SNS:Subscribe"], "Resource": "*", "Condition": '
    '{"StringEquals": {"AWS:SourceOwner": "123456789012"}}}]}`'
)

TOPIC_POLICY = ResourceType(
    type="aws:sns/topicPolicy:TopicPolicy",
    service="sns",
    create=Call(
        "set_topic_attributes", "{TopicArn: inputs.arn, AttributeName: 'Policy', AttributeValue: inputs.policy}"
    ),
    update=Call(
        "set_topic_attributes", "{TopicArn: inputs.arn, AttributeName: 'Policy', AttributeValue: inputs.policy}"
    ),
    id="inputs.arn",
    read=Call("get_topic_attributes", "{TopicArn: id}", at="Attributes"),
    # a topic always has a policy: its owner's
    delete=Call(
        "set_topic_attributes",
        f"{{TopicArn: id, AttributeName: 'Policy', AttributeValue: to_string({_DEFAULT_TOPIC_POLICY})}}",
    ),
    outputs={"arn": "id"},
    replaces=("arn",),
    import_id="{arn: id}",
)

_SUBSCRIPTION_ATTRIBUTES = {
    "deliveryPolicy": "DeliveryPolicy",
    "filterPolicy": "FilterPolicy",
    "filterPolicyScope": "FilterPolicyScope",
    "rawMessageDelivery": "RawMessageDelivery",
    "redrivePolicy": "RedrivePolicy",
}

TOPIC_SUBSCRIPTION = ResourceType(
    type="aws:sns/topicSubscription:TopicSubscription",
    service="sns",
    create=Call(
        "subscribe",
        "{TopicArn: inputs.topic, Protocol: inputs.protocol, Endpoint: inputs.endpoint, ReturnSubscriptionArn: `true`}",
    ),
    id="result.SubscriptionArn",
    read=Call("get_subscription_attributes", "{SubscriptionArn: id}", at="Attributes"),
    changes=_set_attribute("set_subscription_attributes", "SubscriptionArn", _SUBSCRIPTION_ATTRIBUTES),
    delete=Call("unsubscribe", "{SubscriptionArn: id}"),
    outputs={"arn": "id", "topic": "found.TopicArn", "ownerId": "found.Owner"},
    provider_only=("confirmationTimeoutInMinutes", "endpointAutoConfirms"),
)

_QUEUE_ATTRIBUTES = {
    "contentBasedDeduplication": "ContentBasedDeduplication",
    "delaySeconds": "DelaySeconds",
    "kmsDataKeyReusePeriodSeconds": "KmsDataKeyReusePeriodSeconds",
    "kmsMasterKeyId": "KmsMasterKeyId",
    "maxMessageSize": "MaximumMessageSize",
    "messageRetentionSeconds": "MessageRetentionPeriod",
    "policy": "Policy",
    "receiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds",
    "redrivePolicy": "RedrivePolicy",
    "sqsManagedSseEnabled": "SqsManagedSseEnabled",
    "visibilityTimeoutSeconds": "VisibilityTimeout",
}

_QUEUE_VALUES = ", ".join(f"{aws}: text(inputs.{name})" for name, aws in _QUEUE_ATTRIBUTES.items())

QUEUE = ResourceType(
    type="aws:sqs/queue:Queue",
    service="sqs",
    create=Call(
        "create_queue",
        f"{{QueueName: inputs.name, Attributes: {{FifoQueue: inputs.fifoQueue && 'true' || `null`, {_QUEUE_VALUES}}}}}",
    ),
    id="result.QueueUrl",
    read=Call("get_queue_attributes", "{QueueUrl: id, AttributeNames: ['All']}", at="Attributes"),
    changes=(
        change(
            *_QUEUE_ATTRIBUTES,
            by=Call("set_queue_attributes", f"{{QueueUrl: id, Attributes: {{{_QUEUE_VALUES}}}}}"),
            on_create=False,
        ),
    ),
    delete=Call("delete_queue", "{QueueUrl: id}"),
    tags=Tags(
        add=Call("tag_queue", "{QueueUrl: id, Tags: tags}"),
        remove=Call("untag_queue", "{QueueUrl: id, TagKeys: removed}"),
        read=Call("list_queue_tags", "{QueueUrl: id}", at="Tags"),
        born="{tags: tags}",
    ),
    autoname=AutoName(limit=80),
    outputs={"arn": "found.QueueArn", "url": "id", "name": "part(id, '/', `-1`)"},
    names=_QUEUE_ATTRIBUTES,
    provider_only=("namePrefix",),
)

ROWS = (TOPIC, TOPIC_POLICY, TOPIC_SUBSCRIPTION, QUEUE)
