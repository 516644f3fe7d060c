"""What a row of the table of resource types says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import jmespath

from tandem.ops.aws import AwsError, is_gone, unless_gone
from tandem.tags import EPHEMERAL_TAG, PROJECT, PROJECT_TAG, REGION_TAG, STACK_ID_TAG, STACK_TAG

Clients = Callable[[str], Any]
"""A service's name to its boto3 client, of one account and region."""
LEFT_BY = "LeftBy"
"""In a description beside what AWS says: whose leftover it is. Without tags of ours, and ours all the same."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A resource in the account that carries our tags, or hangs on one that does.

    Attributes:
        type: Pulumi's type token; for a type without a row, AWS's own words (`ec2:vpn-gateway`).
        id: the id by which Pulumi knows it.
        arn: empty where the type has none.
        name: what people call it.
        tags: its own; its parent's for types that have none.
        created: where AWS says so.
        parent: the resource through which it was found; None for most.
        facts: the description that AWS gives, for what a deletion needs beside the id.
    """

    type: str
    id: str
    arn: str = ""
    name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    created: datetime | None = None
    parent: Found | None = None
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from every other."""
        return self.type, self.id

    @property
    def parent_id(self) -> str:
        return self.parent.id if self.parent else ""

    @property
    def stack(self) -> str:
        """The stack that it says it belongs to, itself or through its parent."""
        return self.tags.get(STACK_TAG) or (self.parent.stack if self.parent else "")

    @property
    def stack_id(self) -> str:
        """The life of that stack; empty for what was made before lives had ids."""
        return self.tags.get(STACK_ID_TAG) or (self.parent.stack_id if self.parent else "")

    @property
    def left_by(self) -> str:
        """Who made it for us without our tags and left it, for people; empty for what carries them."""
        return self.facts.get(LEFT_BY, "")

    @property
    def ephemeral(self) -> bool:
        """It says that it may be removed with its stack. What takes tags and has none of ours does not."""
        return self.tags.get(EPHEMERAL_TAG) == "true"


@dataclass(frozen=True)
class Scope:
    """Where a listing looks.

    Attributes:
        stack: only this stack; None for all stacks of the project.
        parent: what the listed resources belong to, for types that are found through another.
        known: found before, and looked at again whatever names them now.
        exact: asks for each resource of the account, also of types that only the tagging API can name quickly.
    """

    clients: Clients
    stack: str | None
    parent: Found | None = None
    known: Sequence[Found] = ()
    exact: bool = False

    def holds(self, tags: Mapping[str, str]) -> bool:
        """Both tags with our values: a look-alike has another name, another tag or another value."""
        return (
            tags.get(PROJECT_TAG) == PROJECT
            and (STACK_TAG in tags if self.stack is None else tags.get(STACK_TAG) == self.stack)
            and tags.get(REGION_TAG, self.region) == self.region
        )

    @property
    def region(self) -> str:
        return self.clients("sts").meta.region_name

    @property
    def parent_id(self) -> str:
        return self.parent.id if self.parent else ""

    @cached_property
    def account(self) -> str:
        return self.clients("sts").get_caller_identity()["Account"]

    @property
    def tag_filters(self) -> list[dict[str, Any]]:
        """The same as EC2 filters, so that a large account answers with our few resources."""
        filters = [{"Name": f"tag:{PROJECT_TAG}", "Values": [PROJECT]}]
        if self.stack is not None:
            filters.append({"Name": f"tag:{STACK_TAG}", "Values": [self.stack]})
        return filters

    def tagged(self, *types: str) -> Iterator[dict[str, Any]]:
        """What the tagging API names by our tags: it learns of the new late, and still names what is gone for a while.

        Args:
            types: its names of them; all where there are none.
        """
        stack = {"Key": STACK_TAG, "Values": [] if self.stack is None else [self.stack]}
        call = {"TagFilters": [{"Key": PROJECT_TAG, "Values": [PROJECT]}, stack], "ResourceTypeFilters": list(types)}
        yield from (
            self.clients("resourcegroupstaggingapi")
            .get_paginator("get_resources")
            .paginate(**call)
            .search("ResourceTagMappingList[]")
        )


Item = Mapping[str, Any]
Listing = Callable[[Any, Scope], Iterable[Item]]
"""A client and a scope to the descriptions that AWS gives of one type's resources."""


def listed(
    operation: str,
    items: str,
    arguments: Callable[[Scope], Mapping[str, Any]] = lambda _scope: {},
    page_size: int | None = None,
) -> Listing:
    """The listing by one operation, paginated where boto3 can.

    Args:
        items: JMESPath to the items in an answer.
        arguments: of the call.
        page_size: the most that AWS gives at once, where it gives less unasked.
    """
    expression = jmespath.compile(items)

    def listing(client: Any, scope: Scope) -> Iterator[Item]:
        call = arguments(scope)
        pages = (
            client.get_paginator(operation).paginate(**call, PaginationConfig={"PageSize": page_size})
            if client.can_paginate(operation)
            else [getattr(client, operation)(**call)]
        )
        for page in pages:
            yield from expression.search(page) or ()

    return listing


def named(tagging_type: str, describe: Callable[[Any, str], Item | None], every: Listing) -> Listing:
    """The listing of a type that tells its tags one call a resource only: those that the tagging API names.

    Args:
        describe: an ARN to what its own service says of it now; None for what is about to go.
        every: all of the account, for an exact scope.
    """

    def listing(client: Any, scope: Scope) -> Iterator[Item]:
        if scope.exact:
            yield from every(client, scope)
            return
        names = [item["ResourceARN"] for item in scope.tagged(tagging_type)]
        for arn in dict.fromkeys([*names, *(found.arn for found in scope.known)]):
            with unless_gone():  # the tagging API's memory
                if item := describe(client, arn):
                    yield item

    return listing


@dataclass(frozen=True, kw_only=True)
class ResourceType:
    """One resource type: how it is listed, told apart and deleted.

    Attributes:
        type: Pulumi's type token.
        service: boto3's name of the service.
        listing: lists those of the account, or of `scope.parent`; what is gone, though still shown, is left out.
        id, arn, name, created: JMESPath in an item.
        tags: how an item's tags are read; None for a type that is found through its parent.
        parent: type through which it is found.
        after: types that must be gone before one of this type can be deleted.
        delete: deletes one; called again until the listing no longer has it.
        unprotect: lifts what AWS itself refuses a deletion for; for types that know such a thing.
        state_id: JMESPath in a resource of the state's deployment to the same id.
        program: the program declares this type. Others are made by AWS on behalf of one that it declares, such as the
            instances of a group, or by other commands, such as machine images.
        holds_data: deleting one loses data that `up` does not bring back.
        tagging_type: the tagging API's name of the type, `service:type` of the ARN; empty where it does not know it.
        partial: the listing has only resources with our names; the others come from the tagging API.
    """

    type: str
    service: str
    listing: Listing
    id: str
    delete: Callable[[Any, Found], object]
    unprotect: Callable[[Any, Found], object] | None = None
    arn: str = "Arn"
    name: str = "Tags[?Key=='Name'].Value | [0]"
    created: str = "CreatedTime"
    tags: Callable[[Any, Item], Mapping[str, str]] | None = lambda _client, item: tag_map(item.get("Tags"))
    parent: str | None = None
    after: Sequence[str] = ()
    state_id: str = "id"
    program: bool = True
    holds_data: bool = False
    tagging_type: str = ""
    partial: bool = False

    def find(self, scope: Scope) -> list[Found]:
        """Those of this type that are ours, or that belong to `scope.parent`."""
        client = scope.clients(self.service)
        found = []
        for item in self.listing(client, scope):
            try:
                tags = self.tags(client, item) if self.tags else (scope.parent.tags if scope.parent else {})
            except AwsError as error:
                if is_gone(error):  # since it was listed
                    continue
                raise
            if self.parent or scope.holds(tags):
                found.append(self._found(item, tags, scope))
        return found

    def _found(self, item: Item, tags: Mapping[str, str], scope: Scope) -> Found:
        where = {**item, "parent": scope.parent_id}
        created = jmespath.search(self.created, where)
        resource_id = jmespath.search(self.id, where)
        return Found(
            type=self.type,
            id=resource_id,
            arn=jmespath.search(self.arn, where) or "",
            name=jmespath.search(self.name, where) or resource_id,
            tags=tags,
            created=created if isinstance(created, datetime) else None,
            parent=scope.parent,
            facts=item,
        )


def tag_map(tags: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    """AWS's list of tags as a mapping."""
    return {tag["Key"]: tag["Value"] for tag in tags or ()}
