"""Whose a resource is: a random id of each life of a stack, and the parameter that holds the stack's name for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType

import pulumi
import pulumi_random as random
from pulumi_aws import ssm

from tandem.claim import against_claim, against_hold
from tandem.errors import UserError
from tandem.tags import EXPIRES_TAG, STACK_ID_TAG, parameter_path

ID_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class StackIdentityArgs:
    """What an identity needs.

    Attributes:
        stack: the name that it holds in its account and region.
        expires_at: when the stack ends, RFC 3339 in UTC; None for never.
    """

    stack: str
    expires_at: pulumi.Output[str] | None = None


class StackIdentity(pulumi.ComponentResource):
    """The id of one life of a stack, from its first `up` to its destroy, kept in the state.

    A parameter below the stack's path holds the name in the account and region. It is the first thing that is made: by
    it a second state of the name sees that the name is taken, before it has made anything else. All else carries the id
    as a tag (`tag`), and so comes after the parameter and goes before it.

    Attributes:
        id: 16 hex digits.
    """

    def __init__(self, name: str, args: StackIdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:StackIdentity", name, None, opts)
        self._stack, self._path = args.stack, parameter_path(args.stack)
        self._there = self._look()
        own = random.RandomId(f"{name}-stack-id", byte_length=ID_BYTES, opts=pulumi.ResourceOptions(parent=self)).hex
        expires = {} if args.expires_at is None else {EXPIRES_TAG: args.expires_at}
        parameter = ssm.Parameter(
            f"{name}-stack-id",
            # With the id in its name, a state of a former life cannot take it for its own.
            name=own.apply(lambda id: f"{self._path}/{id}"),
            type="String",
            insecure_value=own,
            description=f"Holds the name of stack {args.stack} in this account and region",
            tags={STACK_ID_TAG: own, **expires},
            opts=pulumi.ResourceOptions(parent=self, hooks=self._before_create()),
        )
        # Another state may have taken it since it was found free: each of the two sees the other here at the latest.
        again = ssm.get_parameters_by_path_output(
            path=parameter.arn.apply(lambda _made: self._path),
            with_decryption=False,
            opts=pulumi.InvokeOutputOptions(parent=self),
        )
        # The answer counts as secret for the values in it, and ids are none: tags and outputs would be masked.
        names = pulumi.Output.unsecret(again.names)
        self.id = pulumi.Output.all(own, names).apply(lambda known: self._confirmed(*known))
        self.register_outputs({"id": self.id})

    def tag(self, args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        """Puts the id on a resource of AWS that takes tags. As a transformation of a component it reaches all below.

        Not by the provider's default tags: a provider with a value that is not known yet checks nothing in a preview.
        """
        tags = args.props.get("tags", ())
        if not (args.type_.startswith("aws:") and isinstance(tags, Mapping | NoneType)):
            return None
        return pulumi.ResourceTransformationResult(
            {**args.props, "tags": {**(tags or {}), STACK_ID_TAG: self.id}}, args.opts
        )

    def _look(self) -> list[str]:
        """The ids that hold the name now."""
        opts = pulumi.InvokeOptions(parent=self)
        return _ids(ssm.get_parameters_by_path(path=self._path, with_decryption=False, opts=opts).names)

    def _before_create(self) -> pulumi.ResourceHookBinding:
        """The engine asks this before it makes the parameter, and only then: where the state has none."""

        def claim(hook: pulumi.ResourceHookArgs) -> None:
            own = str((hook.new_inputs or {}).get("name")).rpartition("/")[2]
            if problem := against_claim(self._stack, own, self._there):
                raise UserError(problem)

        ask = pulumi.ResourceHook(f"name of stack {self._stack}", claim, pulumi.ResourceHookOptions(on_dry_run=True))
        return pulumi.ResourceHookBinding(before_create=[ask])

    def _confirmed(self, own: str, names: Sequence[str]) -> str:
        """The id, where it alone holds the name."""
        if problem := against_hold(self._stack, own, _ids(names)):
            raise pulumi.RunError(str(problem))
        return own


def _ids(names: Sequence[str]) -> list[str]:
    """The ids in the names of parameters."""
    return [name.rpartition("/")[2] for name in names]
