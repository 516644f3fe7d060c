"""What a row of the tables says about a resource type.

Values travel by JMESPath expressions (https://jmespath.org), the language that boto3 and the `aws` command use for
responses. Names an expression can use: `inputs` and `old` (the inputs now and before), `id`, `state` (the outputs
before), `result` (the response of the create operation), `found` (the resource as read), `every_tag` (that it is to
carry), `region`, `zone` (any zone name of the region), `account`, `partition`, and `item` inside `each`.
`expressions.py` adds functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulumi_rehearsal.aws.lifecycle import Resource


@dataclass(frozen=True)
class Call:
    """One boto3 call.

    Attributes:
        operation: the client's method.
        params: expression that gives the parameters; parts that come out null are left out.
        fill: take every input that no other part of the row takes, by its name, as a parameter too.
        within: parameter that `fill` fills (`LaunchTemplateData`); the whole request by default.
        only_changed: `fill` takes only what differs from the inputs before, as some resources of the provider do.
        when: make the call only if this expression comes out true.
        each: expression for a list; one call per element, which is called `item`.
        at: expression for the part of the response that counts, all of it by default. The members of the response are
            names too, and `response` is the whole.
        into: name below `found` for that part; a read merges it into `found` by default.
        service: boto3 service, when it is not the row's.
    """

    operation: str
    params: str = "`{}`"
    fill: bool = False
    within: str = ""
    only_changed: bool = False
    when: str = ""
    each: str = ""
    at: str = "response"
    into: str = ""
    service: str = ""


Step = Call | Callable[["Resource"], Any]
"""A call, or a function where AWS is so odd that no expression says it; it returns what a call would."""

Steps = Step | tuple[Step, ...]


@dataclass(frozen=True)
class Change:
    """Inputs that have calls of their own: made after the create when one is set, and when one changes.

    Attributes:
        inputs: the inputs.
        steps: what to do.
        on_create: False where the create operation already takes them.
    """

    inputs: tuple[str, ...]
    steps: tuple[Step, ...]
    on_create: bool = True


def change(*inputs: str, by: Steps, on_create: bool = True) -> Change:
    """`Change`, in the form that reads well in a table."""
    return Change(inputs, as_tuple(by), on_create)


def as_tuple(steps: Steps) -> tuple[Step, ...]:
    """One step, or several, as several."""
    return steps if isinstance(steps, tuple) else (steps,)


@dataclass(frozen=True)
class Tags:
    """How a service tags. The expressions see `tags` (to set), `removed` (keys) and `id` as well.

    Attributes:
        add: sets `tags`, at an update those that are new or have another value, as the provider's `updateTags` does.
        remove: removes the keys `removed`.
        read: gives the tags as a map or as a list of Key and Value (or TagKey and TagValue).
        born: the parameters by which the create call gives `tags`, where the real provider does so; where it has none,
            it tags right after (`getTagsIn`, `createTags` in
            https://github.com/hashicorp/terraform-provider-aws/tree/main/internal/service).
    """

    add: Call
    remove: Call
    read: Call
    born: str = ""


@dataclass(frozen=True)
class AutoName:
    """The provider's automatic name: `<resource name>-<7 hex digits>`, where the program gives none.

    Attributes:
        input: the input that it fills.
        limit: the longest name that the provider makes; 255 is its default.
        lower: in lower case.
        prefix: put before it (`alias/`).
    """

    input: str = "name"
    limit: int = 255
    lower: bool = False
    prefix: str = ""


@dataclass(frozen=True, eq=False)
class ResourceType:
    """A row: how one Pulumi resource type lives in AWS.

    Inputs that only `create` takes replace the resource when they change; inputs of `update` and `changes` are changed
    in place. An input that the row does not know is refused, so nothing is dropped in silence.

    Attributes:
        type: Pulumi's type token.
        service: boto3 service.
        id: expression for the resource's id, after the create.
        create: what creates it; nothing for types that are only recorded.
        after_create: what the provider always does next.
        read: calls that find it; when the first comes back empty or with a not-found error, the resource is gone.
        update: what takes all changeable inputs at once, if there is such a call.
        after_update: what follows it.
        changes: inputs with calls of their own.
        delete: what deletes it.
        patient: while AWS says on a deletion that something depends on it, the provider asks again.
        tags: how it is tagged; None when it has no tags of its own.
        autoname: the provider's automatic name, if the type has one.
        outputs: expressions (or `Text`) for outputs that the description does not give under the same name.
        adds: inputs into which AWS puts more than it was given (`vpcConfig` of a cluster: its security group).
        names: AWS names of properties that are called differently, by dotted path (`networkInterfaces.securityGroups`).
        defaults: inputs that the provider fills in.
        recorded: inputs that moto does not store; accepted, kept in the state, and named in the report. What else moto
            does not show again is found out, and named there too.
        takes: inputs that a function among the steps takes; expressions are read for theirs.
        provider_only: inputs that tell the provider how to work, and never reach AWS (`forceDestroy`).
        unread: properties that moto describes wrongly, or AWS not at all; taken from the inputs.
        replaces: inputs that replace although `update` or `changes` would take them.
        computed_on_update: outputs that any update may change (`latestVersion`).
        secrets: outputs that are secret whatever the inputs are.
        delete_before_replace: there can only be one at a time.
        in_moto: False when moto has no such thing and it is only recorded.
        import_id: expression that gives `inputs` from `id` when a resource is imported (`{bucket: id}`).
    """

    type: str
    service: str
    id: str = "result.id"
    create: Steps = ()
    after_create: Steps = ()
    read: Steps = ()
    update: Steps = ()
    after_update: Steps = ()
    changes: tuple[Change, ...] = ()
    delete: Steps = ()
    patient: bool = False
    tags: Tags | None = None
    autoname: AutoName | None = None
    outputs: Mapping[str, str | Text] = field(default_factory=dict)
    adds: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    recorded: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    provider_only: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    computed_on_update: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    delete_before_replace: bool = False
    in_moto: bool = True
    import_id: str = ""


class Text(str):
    """A format string for an output, with the names that expressions have: `Text("arn:aws:s3:::{id}")`."""

    __slots__ = ()
