"""Carries out what the rows say: create, read, update and delete one resource by boto3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from pulumi_rehearsal.aws.account import AwsError, Region, Register
from pulumi_rehearsal.aws.expressions import evaluate, inputs_in
from pulumi_rehearsal.aws.row import Call, ResourceType, Steps, as_tuple
from pulumi_rehearsal.aws.schema import Schema, schema
from pulumi_rehearsal.aws.shapes import agrees, from_found, place, to_params, unseen
from pulumi_rehearsal.wire import Properties


@dataclass(frozen=True)
class Mapped:
    """Which inputs of a type go where.

    Attributes:
        by_create: taken by the create call.
        by_update: changed in place.
        filled: passed on by name (`fill`), a part of the other two.
    """

    by_create: frozenset[str]
    by_update: frozenset[str]
    filled: frozenset[str]

    @property
    def known(self) -> frozenset[str]:
        """All inputs that reach AWS."""
        return self.by_create | self.by_update


@cache
def mapped(row: ResourceType, region: Region) -> Mapped:
    """Works out where each input of the row's type goes, from the row and from botocore's model."""
    after_create = {name for change in row.changes if change.on_create for name in change.inputs}
    own = after_create | {name for change in row.changes for name in change.inputs}

    elsewhere = frozenset(row.provider_only) | provided(row)

    def by(steps: Steps, taken: set[str]) -> tuple[frozenset[str], frozenset[str]]:
        calls = [step for step in as_tuple(steps) if isinstance(step, Call)]
        named = frozenset(name for call in calls for name in inputs_in(call.params)) - provided(row)
        rest = _schema(row).inputs - named - taken - elsewhere
        fills = [_filled_shape(row, call, region) for call in calls if call.fill]
        return named, frozenset(name for name in rest if any(_fits(row, name, shape) for shape in fills))

    created, create_filled = by(row.create, after_create)
    updated, update_filled = by(row.update, own)
    return Mapped(
        by_create=created | create_filled | frozenset(row.takes),
        by_update=(frozenset(own) | updated | update_filled) - frozenset(row.replaces),
        filled=create_filled | update_filled,
    )


def provided(row: ResourceType) -> frozenset[str]:
    """Inputs that the provider itself takes care of."""
    return frozenset({"region", "tags", "tagsAll"} if row.tags else {"region"})


def _filled_shape(row: ResourceType, call: Call, region: Region) -> Any:
    shape = region.shape(row.service, call.operation)
    return shape.members[call.within] if call.within else shape


def _fits(row: ResourceType, name: str, shape: Any) -> bool:
    return place(name, shape.members, row.names, name) is not None


def _schema(row: ResourceType) -> Schema:
    found = schema(row.type)
    if found is None:
        raise LookupError(f"pulumi_aws has no type {row.type}")
    return found


@dataclass
class Resource:
    """One resource of a row's type while it is worked on; the steps of the rows get this."""

    row: ResourceType
    name: str
    region: Region
    register: Register
    inputs: Properties
    old: Properties = field(default_factory=dict)
    state: Properties = field(default_factory=dict)
    id: str = ""
    result: Any = None
    found: Properties = field(default_factory=dict)
    unseen: list[str] = field(default_factory=list)

    # -- the four operations

    def create(self) -> None:
        """Creates it and sets what takes further calls. `id` is set as soon as there is something to delete."""
        self.result = self.run(self.row.create)
        id = evaluate(self.row.id, self.scope)
        if id is None:  # some batch operations answer 200 and put the refusal in the response
            raise AwsError(self.row.type, "Unsuccessful", str(self.result))
        self.id = str(id)
        if self.row.tags and self.wanted_tags and not self.row.tags.born:
            self.call(self.row.tags.add, tags=self.wanted_tags)
        self.run(self.row.after_create)
        for change in self.row.changes:
            if change.on_create and any(self.inputs.get(name) is not None for name in change.inputs):
                self.run(change.steps)

    def update(self) -> None:
        """Changes what differs between `old` and `inputs`.

        The engine asks for an update without a difference to mend a resource whose creation was cut short; then
        everything is set again.
        """
        changed = {key for key in {*self.old, *self.inputs} if self.old.get(key) != self.inputs.get(key)}
        if not changed:
            self.old, changed = {}, set(self.inputs)
        own = {name for change in self.row.changes for name in change.inputs}
        if changed & (mapped(self.row, self.region).by_update - own):
            self.result = self.run(self.row.update)
            self.run(self.row.after_update)
        for change in self.row.changes:
            if changed & set(change.inputs):
                self.run(change.steps)
        if self.row.tags:
            before = self.old.get("tagsAll") or {}
            if removed := [key for key in before if key not in self.wanted_tags]:
                self.call(self.row.tags.remove, removed=removed)
            if changed := {key: value for key, value in self.wanted_tags.items() if before.get(key) != value}:
                self.call(self.row.tags.add, tags=changed)

    def read(self) -> bool:
        """Fills `found`; False when the resource is not there."""
        self.found = {}
        for index, step in enumerate(as_tuple(self.row.read)):
            try:
                part = self.run(step)
            except AwsError as error:
                if not error.not_found:
                    raise
                part = None
            if part is None and index == 0:
                return False
            if isinstance(step, Call) and not step.into:
                self.found |= part or {}
        return True

    def delete(self) -> None:
        """Deletes it; what is gone already is no error."""
        try:
            self.run(self.row.delete)
        except AwsError as error:
            if not error.not_found:
                raise

    # -- the outputs

    def outputs(self, *, just_set: bool) -> Properties:
        """All outputs: from the row's expressions, else from `found` by name, else as given.

        Args:
            just_set: the inputs were just given to AWS. What is described otherwise then is moto's fault, and goes to
                `unseen`; at any other time it is drift, and is believed.
        """
        scope = self.scope
        state: Properties = {}
        for name, kind in _schema(self.row).outputs.items():
            given = self.inputs.get(name)
            actual = self._actual(name, kind, scope)
            keep = given is not None and (just_set or agrees(given, actual))
            state[name] = given if keep or actual is None else actual
            if name in self.row.adds and isinstance(actual, dict) and isinstance(given, dict):
                state[name] = {**actual, **given} if keep else actual
            if just_set and name not in self._told_otherwise:
                self.unseen += unseen(given, actual, name)
        state["region"] = self.region.name if "region" in state else None
        return self._with_tags(state)

    def _actual(self, name: str, kind: Any, scope: Mapping[str, Any]) -> Any:
        if name in {*provided(self.row), *self.row.unread, *self.row.recorded}:
            return None
        if name in self.row.outputs:
            return from_found(kind, evaluate(self.row.outputs[name], scope), self.row.names, name)
        key = place(name, self.found, self.row.names, name)
        return from_found(kind, self.found.get(key), self.row.names, name) if key else None

    @cached_property
    def _told_otherwise(self) -> frozenset[str]:
        """Inputs that need not be described: the resource is found by them, or the row knows about them."""
        calls = [step for step in as_tuple(self.row.read) if isinstance(step, Call)]
        found_by = {name for call in calls for name in inputs_in(call.params)} | inputs_in(self.row.id)
        row = self.row
        return frozenset(found_by) | provided(row) | {*row.unread, *row.recorded, *row.provider_only, *row.takes}

    def _with_tags(self, state: Properties) -> Properties:
        if not self.row.tags:
            return state
        found = self._tags_found()
        if isinstance(found, list):
            found = {tag.get("Key", tag.get("TagKey")): tag.get("Value", tag.get("TagValue")) for tag in found}
        everything = {key: value for key, value in found.items() if not key.startswith("aws:")}
        own = self.inputs.get("tags") or {}
        inherited = {key: value for key, value in self.wanted_tags.items() if key not in own}
        mine = {key: value for key, value in everything.items() if inherited.get(key) != value}
        return state | {"tagsAll": everything, "tags": mine or self.inputs.get("tags")}

    def _tags_found(self) -> Any:
        assert self.row.tags
        try:
            return self.call(self.row.tags.read) or {}
        except AwsError as error:
            if error.not_found:  # S3: no tags are an error
                return {}
            raise

    def inputs_as_found(self, state: Properties) -> Properties:
        """The inputs, with what has changed in AWS put in."""
        names = _schema(self.row).inputs | {"tagsAll"}
        added = {key for key in self.row.adds if agrees(self.inputs.get(key), state.get(key))}
        return {key: state.get(key, value) if key in names - added else value for key, value in self.inputs.items()}

    def inputs_of_import(self, state: Properties) -> Properties:
        """All inputs that can be told from the outputs. `__imported` names them: a program need not repeat what AWS
        filled in by itself."""
        names = mapped(self.row, self.region).known | provided(self.row)
        found = {key: value for key, value in state.items() if key in names and value not in (None, [], {})}
        tags = {"tagsAll": state.get("tagsAll") or {}} if self.row.tags else {}
        return found | tags | {"__imported": sorted(found)}

    # -- expressions and calls

    @property
    def scope(self) -> dict[str, Any]:
        """What the row's expressions can name."""
        return {
            "id": self.id,
            "inputs": self.inputs,
            "old": self.old,
            "state": self.state,
            "result": self.result,
            "found": self.found,
            "every_tag": self.wanted_tags,
            "region": self.region.name,
            "account": self.region.account_id,
            "partition": self.region.partition,
        }

    @property
    def is_new(self) -> bool:
        """Whether it is about to be created."""
        return not self.id

    def operation(self, stage: str) -> str:
        """How an error names the operation that was refused: `EC2: CreateSubnet`."""
        steps = as_tuple(self.row.delete if stage == "delete" else self.row.create if self.is_new else self.row.update)
        call = next((step for step in reversed(steps) if isinstance(step, Call)), None)
        return self.region.label(call.service or self.row.service, call.operation) if call else self.row.type

    @property
    def wanted_tags(self) -> dict[str, str]:
        """The tags of the resource together with the provider's default tags."""
        return self.inputs.get("tagsAll") or self.inputs.get("tags") or {}

    def run(self, steps: Steps) -> Any:
        """Takes the steps in order; gives what the last one that had an answer gave."""
        answer = None
        for step in as_tuple(steps):
            found = self.call(step) if isinstance(step, Call) else step(self)
            answer = found if found is not None else answer
        return answer

    def call(self, call: Call, **more: Any) -> Any:
        """Makes the call once, or once for each item; gives the part of the (last) response that counts."""
        scope = {**self.scope, **more}
        if call.when and not evaluate(call.when, scope):
            return None
        items = evaluate(call.each, scope) or [] if call.each else [None]
        response: Any = None
        for item in items:
            response = self._call_once(call, {**scope, "item": item})
        if response is None:
            return None
        part = evaluate(call.at, {**scope, **response, "response": response})
        if call.into:
            self.found[call.into] = part
        return part

    def _call_once(self, call: Call, scope: Mapping[str, Any]) -> Any:
        params = without_nulls(evaluate(call.params, scope)) | self._tags_with(call)
        if call.fill:
            filled = self.filled(call)
            params = params | {call.within: filled | params.get(call.within, {})} if call.within else filled | params
        return self.region.call(call.service or self.row.service, call.operation, **params)

    def _tags_with(self, call: Call) -> Properties:
        """The parameters that give tags with the creation."""
        tags = self.row.tags
        if not (tags and self.is_new and self.wanted_tags and call in as_tuple(self.row.create)):
            return {}
        return without_nulls(evaluate(tags.born, {**self.scope, "tags": self.wanted_tags})) if tags.born else {}

    def filled(self, call: Call) -> Properties:
        """The parameters that `fill` takes from the inputs by name.

        Raises:
            UnmappedError: part of an input has no place in the request.
        """
        shape = _filled_shape(self.row, call, self.region)
        names = mapped(self.row, self.region).filled
        fitting = {
            name: value
            for name, value in self.inputs.items()
            if name in names
            and _fits(self.row, name, shape)
            and not (call.only_changed and value == self.old.get(name))
        }
        return to_params(shape, fitting, self.row.names)


def without_nulls(value: Any) -> Any:
    """The value without the nulls in its maps and lists, at any depth."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value if item is not None]
    return value
