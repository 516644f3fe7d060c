"""Expressions and tag styles that many rows share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pulumi_rehearsal.aws.lifecycle import Resource
from pulumi_rehearsal.aws.row import Call, Step, Tags


def filters(names: Mapping[str, str]) -> str:
    """The `Filters` parameter of EC2: `filters({"vpc-id": "id"})` asks for what belongs to the VPC."""
    pairs = ", ".join(f"{{Name: '{name}', Values: [{value}]}}" for name, value in names.items())
    return f"{{Filters: [{pairs}]}}"


def attributes(keys: Mapping[str, str]) -> str:
    """A list of Key and Value from inputs, by attribute key, without those that are not set."""
    pairs = ", ".join(f"{{Key: '{key}', Value: text({value})}}" for key, value in keys.items())
    return f"[{pairs}][?Value != null]"


_EC2_TAGS = Tags(
    add=Call("create_tags", "{Resources: [id], Tags: pairs(tags)}", service="ec2"),
    remove=Call("delete_tags", "{Resources: [id], Tags: removed[*].{Key: @}}", service="ec2"),
    read=Call("describe_tags", filters({"resource-id": "id"}), at="Tags", service="ec2"),
)
GIVEN_LATER = _EC2_TAGS
"""Of what is there before the provider comes to it."""


def ec2_tags(kind: str) -> Tags:
    """Tags that something of EC2's is born with: `ec2_tags("vpc")`."""
    return replace(_EC2_TAGS, born=f"{{TagSpecifications: [{{ResourceType: '{kind}', Tags: pairs(tags)}}]}}")


BORN_WITH = "{Tags: pairs(tags)}"
"""As most services take tags with a creation."""

ELB_TAGS = Tags(
    add=Call("add_tags", "{ResourceArns: [id], Tags: pairs(tags)}"),
    remove=Call("remove_tags", "{ResourceArns: [id], TagKeys: removed}"),
    read=Call("describe_tags", "{ResourceArns: [id]}", at="TagDescriptions[0].Tags"),
    born=BORN_WITH,
)


def tagged_by_arn(parameter: str, identifier: str, *, as_map: bool = False, at: str = "Tags") -> Tags:
    """The style of most services: `tag_resource`, `untag_resource` and `list_tags_for_resource`.

    Args:
        parameter: name of the parameter that says which resource.
        identifier: expression for its value.
        as_map: tags are a map and not a list of Key and Value.
        at: where the response has the tags.
    """
    which = f"{parameter}: {identifier}"
    given = f"{'tags' if at == 'tags' else 'Tags'}: {'tags' if as_map else 'pairs(tags)'}"
    return Tags(
        add=Call("tag_resource", f"{{{which}, {given}}}"),
        remove=Call("untag_resource", f"{{{which}, {'tagKeys' if at == 'tags' else 'TagKeys'}: removed}}"),
        read=Call("list_tags_for_resource", f"{{{which}}}", at=at),
        born=f"{{{given}}}",
    )


def recorded(operation: str) -> Step:
    """A step that moto has no operation for: the register keeps that it would have been taken."""

    def step(resource: Resource) -> None:
        resource.register.event(operation, resource.id)

    return step
