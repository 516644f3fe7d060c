# ruff: noqa: ARG002 (the signatures are those of the base class)
"""The simulated AWS provider: what the engine asks of `aws`, answered from the tables.

Stands for: the plugin pulumi-resource-aws.
Held by: tests/aws/test_table.py::test_it_names_only_properties_that_exist (pulumi_aws's own types),
    tests/aws/test_table.py::test_its_calls_are_operations_of_the_service (botocore's models).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from pulumi_rehearsal.aws import checks
from pulumi_rehearsal.aws.account import AwsError, Event, Region, Register, TypeReport
from pulumi_rehearsal.aws.expressions import evaluate
from pulumi_rehearsal.aws.invokes import invoke
from pulumi_rehearsal.aws.lifecycle import Resource, mapped, provided
from pulumi_rehearsal.aws.row import AutoName, Call, ResourceType, as_tuple
from pulumi_rehearsal.aws.schema import schema
from pulumi_rehearsal.aws.shapes import UnmappedError, agrees
from pulumi_rehearsal.aws.tables import TABLE
from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.plugin import (
    Checked,
    Difference,
    InitializationError,
    Provider,
    ProviderError,
    Subject,
    changed_paths,
)
from pulumi_rehearsal.wire import Properties, Secret, contains_unknown, unknown

RANDOM_DIGITS = 7
"""Hex digits of an automatic name, as the real provider makes them."""

PATIENCE_SECONDS = 10
"""For the 20 minutes that the provider asks again whether what it deletes has become free."""

PREFIX_DIGITS = 26
"""Digits after a `namePrefix`, as the real provider makes them."""


class AwsProvider(Provider):
    """Creates what the program asks for in a simulated account. One instance serves any number of regions.

    Attributes:
        register: what exists by type, and what was only recorded.
    """

    name = "aws"
    version = version("pulumi-aws")

    def __init__(self, account: SimulatedAccount, table: Mapping[str, ResourceType] = TABLE) -> None:
        self.account = account
        self.table = table
        self.register = Register()

    def report(self) -> dict[str, TypeReport]:
        """Where the resources really are, by type: in moto or only recorded."""
        return self.register.report()

    def events(self) -> list[Event]:
        """What AWS would have done and moto cannot, in order (instance refreshes and the like)."""
        return self.register.events()

    # -- before anything is done

    def check(self, subject: Subject, inputs: Properties, old: Properties, seed: bytes) -> Checked:
        row, known = self.table.get(subject.type), schema(subject.type)
        if row is None or known is None:
            return Checked(inputs, [("", _no_row(subject.type, known is not None))])
        checked = Checked({key: value for key, value in inputs.items() if value is not None})
        self._fill_in(checked, row, subject, old, seed)
        if checked.failures:
            return checked
        resource = self._resource(row, subject, checked.inputs)
        checked.failures += [(name, f"Missing required argument {name!r}") for name in known.required - {*inputs}]
        checked.failures += _unsupported(resource)
        if not checked.failures:
            checked.failures += checks.failures(resource)
        return checked

    def _fill_in(self, checked: Checked, row: ResourceType, subject: Subject, old: Properties, seed: bytes) -> None:
        inputs, known = checked.inputs, schema(row.type)
        inputs.update({key: value for key, value in row.defaults.items() if key not in inputs})
        if known and "region" in known.inputs:
            inputs.setdefault("region", _region_name(inputs, subject.config))
        if row.tags:
            inputs["tagsAll"] = _merged_tags(subject.config | inputs.get("overrideProvider", {}), inputs.get("tags"))
        if row.autoname:
            _name(checked, row.autoname, subject, old, seed)

    def diff(self, subject: Subject, id: str, old: Properties, new: Properties, state: Properties) -> Difference:
        row, region = self._row(subject.type), self._region(new, subject)
        changes = changed_paths(old, new, same=lambda left, right: left == right or _same_json(left, right))
        imported = old.get("__imported", [])
        # what an import found and the program does not mention is what AWS filled in, and no change
        changes = {path: kind for path, kind in changes.items() if kind != "delete" or _root(path) not in imported}
        in_place = {*mapped(row, region).by_update, *row.recorded, *row.provider_only, *provided(row)}
        in_place -= {"region", *row.replaces}
        replaces = frozenset(path for path in changes if _root(path) not in in_place)
        return Difference(
            changes, replaces, row.delete_before_replace or (bool(replaces) and _keeps_name(row, old, new))
        )

    def preview(self, subject: Subject, inputs: Properties, state: Properties | None) -> Properties:
        row, known = self._row(subject.type), schema(subject.type)
        outputs = {}
        for name in known.outputs if known else ():
            before = unknown if state is None or name in row.computed_on_update else state.get(name)
            outputs[name] = before if name in row.adds else inputs.get(name, before)
        return outputs

    # -- the life of a resource

    def create(self, subject: Subject, inputs: Properties) -> tuple[str, Properties]:
        resource = self._resource(self._row(subject.type), subject, inputs)
        checks.enforce("apply", resource)
        try:
            resource.create()
            state = self._state(resource)
        except ProviderError as error:
            if not resource.id:
                raise
            self._register(resource)
            raise InitializationError(str(error), resource.id, inputs) from error
        self._register(resource)
        return resource.id, state

    def read(
        self, subject: Subject, id: str, inputs: Properties, state: Properties
    ) -> tuple[Properties, Properties] | None:
        row = self._row(subject.type)
        resource = self._resource(row, subject, inputs or {"region": state.get("region")})
        resource.id, resource.state = id, state
        if not row.read:
            if not inputs:
                raise ProviderError(f"{row.type} cannot be imported in the rehearsal: it exists only in its register")
            return inputs, state
        if row.import_id and not inputs:
            resource.inputs |= evaluate(row.import_id, resource.scope)
        if not resource.read():
            self.register.remove(row.type, id)
            return None
        outputs = resource.outputs(just_set=False)
        self._register(resource)
        found = resource.inputs_as_found(outputs) if inputs else resource.inputs_of_import(outputs)
        return found, _with_secrets(row, outputs)

    def update(self, subject: Subject, id: str, old: Properties, new: Properties, state: Properties) -> Properties:
        resource = self._resource(self._row(subject.type), subject, new)
        resource.id, resource.old, resource.state = id, old, state
        checks.enforce("apply", resource)
        resource.update()
        found = self._state(resource)
        self._register(resource)
        return found

    def delete(self, subject: Subject, id: str, inputs: Properties, state: Properties) -> None:
        row = self._row(subject.type)
        resource = self._resource(row, subject, inputs or state)
        resource.id, resource.state = id, state
        _enforce_delete(resource)
        resource.delete()
        self.register.remove(row.type, id)

    def invoke(self, token: str, args: Properties, config: Mapping[str, Any]) -> Properties:
        if contains_unknown(args):
            raise ProviderError(f"{token} was called with a value that is not known yet")
        return invoke(token, Region(self.account, _region_name(args, config)), args)

    # -- helpers

    def _row(self, token: str) -> ResourceType:
        row = self.table.get(token)
        if row is None:
            raise ProviderError(_no_row(token, schema(token) is not None))
        return row

    def _region(self, properties: Properties, subject: Subject) -> Region:
        return Region(self.account, _region_name(properties, subject.config))

    def _resource(self, row: ResourceType, subject: Subject, inputs: Properties) -> Resource:
        return Resource(row, subject.name, self._region(inputs, subject), self.register, inputs)

    def _register(self, resource: Resource) -> None:
        row = resource.row
        used = [name for name in row.recorded if resource.inputs.get(name) is not None]
        self.register.add(row.type, resource.id, row.in_moto, used + resource.unseen)

    def _state(self, resource: Resource) -> Properties:
        if resource.row.read and not resource.read():
            raise ProviderError(f"{resource.row.type} {resource.id} is not there after it was created or changed")
        return _with_secrets(resource.row, resource.outputs(just_set=True))


def _enforce_delete(resource: Resource) -> None:
    """With the provider's patience, on a clock of which one second is two minutes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            checks.enforce("delete", resource)
            return
        except AwsError as error:
            if not resource.row.patient or error.code != "DependencyViolation" or time.monotonic() >= deadline:
                raise
        time.sleep(PATIENCE_SECONDS / 20)


def _with_secrets(row: ResourceType, outputs: Properties) -> Properties:
    return outputs | {name: Secret(outputs[name]) for name in row.secrets if outputs.get(name) is not None}


def _no_row(token: str, exists: bool) -> str:
    if not exists:
        return f"pulumi-aws {AwsProvider.version} has no resource type {token}"
    return f"{token} is not simulated: add a row for it in pulumi_rehearsal/aws/tables/"


def _unsupported(resource: Resource) -> list[tuple[str, str]]:
    """Inputs that would be dropped in silence."""
    row, known = resource.row, schema(resource.row.type)
    handled = mapped(row, resource.region).known | provided(row) | {*row.recorded, *row.provider_only}
    found = []
    for name in sorted(resource.inputs):
        if name.startswith("__") or name in handled:
            continue
        exists = known is not None and name in known.inputs
        found.append((name, _unmapped(row, name) if exists else f"{row.type} has no input {name!r}"))
    try:
        for step in (*as_tuple(row.create), *as_tuple(row.update)):
            if isinstance(step, Call) and step.fill:
                resource.filled(step)
    except UnmappedError as error:
        found.append((str(error), _unmapped(row, str(error))))
    return found


def _unmapped(row: ResourceType, path: str) -> str:
    return (
        f"the rehearsal does not pass {path!r} of {row.type} on to AWS: "
        "map it in the type's row in pulumi_rehearsal/aws/tables/, or list it there as recorded"
    )


def _region_name(properties: Properties, config: Mapping[str, Any]) -> str:
    name = properties.get("region") or config.get("region")
    if not isinstance(name, str):
        raise ProviderError("Missing region configuration: set `region` of the aws provider")
    return name


def _merged_tags(config: Mapping[str, Any], tags: Any) -> Any:
    """Tags of the resource over the default tags, which arrive as JSON text; unknown when any is."""
    default = config.get("defaultTags") or {}
    default = json.loads(default) if isinstance(default, str) else default
    if contains_unknown([tags, default]):
        return unknown
    return {**(default.get("tags") or {}), **(tags or {})}


def _name(checked: Checked, rule: AutoName, subject: Subject, old: Properties, seed: bytes) -> None:
    """The automatic name; kept from the old inputs where it was automatic there (`__defaults` says so)."""
    inputs = checked.inputs
    if rule.input in inputs:
        return
    if (
        rule.input in old
        and rule.input in old.get("__defaults", [])
        and inputs.get("namePrefix") == old.get("namePrefix")
    ):
        name = old[rule.input]
    else:
        digits = hashlib.sha256(seed).hexdigest()
        prefix = inputs.get("namePrefix")
        if prefix is unknown:
            inputs[rule.input] = unknown
            return
        name = prefix + digits[:PREFIX_DIGITS] if prefix else f"{subject.name}-{digits[:RANDOM_DIGITS]}"
        name = rule.prefix + (name.lower() if rule.lower else name)
    if len(name) > rule.limit:
        checked.failures.append(
            (rule.input, f"name {name!r} is longer than maximum length {rule.limit}: give the resource a shorter name")
        )
    inputs[rule.input] = name
    inputs["__defaults"] = [*inputs.get("__defaults", []), rule.input]


def _keeps_name(row: ResourceType, old: Properties, new: Properties) -> bool:
    """Whether a replacement would clash with the old one: the program gives the name, and it stays the same."""
    rule = row.autoname
    return (
        rule is not None
        and rule.input in new
        and rule.input not in new.get("__defaults", [])
        and old.get(rule.input) == new[rule.input]
    )


def _root(path: str) -> str:
    """The property that a path like `rules[0].name` begins with."""
    return path.partition(".")[0].partition("[")[0]


def _same_json(left: Any, right: Any) -> bool:
    return isinstance(left, str) and isinstance(right, str) and left[:1] in ("{", "[") and agrees(left, right)


__all__ = ["AwsError", "AwsProvider"]
