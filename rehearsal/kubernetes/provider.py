# ruff: noqa: ARG002 (the signatures are those of the base class)
"""Stands in for the kubernetes provider: every object goes to a real API server, by server-side apply.

Done as pulumi-kubernetes does it: automatic names, replacing fields, waits, words of errors. Done differently: unknown
fields are refused, not dropped; a preview asks the API server although the program's cluster is not there yet; a
deadline is a minute; and a Helm release is only recorded (see charts.py).

Stands for: the plugin pulumi-resource-kubernetes.
Held by: nothing, it was written after the plugin's source; the two have not been run beside each other.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from importlib.metadata import version
from threading import Lock
from typing import Any

from rehearsal.kubernetes import charts, immutable
from rehearsal.kubernetes.api import Api, ApiError, NoSuchKind, Object, countdown
from rehearsal.kubernetes.readiness import wait_until_ready
from rehearsal.plugin import (
    Checked,
    Difference,
    InitializationError,
    Provider,
    ProviderError,
    Subject,
    changed_paths,
)
from rehearsal.wire import Properties, Secret, contains_unknown, unknown

Controller = Callable[[], AbstractContextManager[None]]

RELEASE = "kubernetes:helm.sh/v3:Release"
AUTONAMED = "pulumi.com/autonamed"
PROPAGATION = "pulumi.com/deletionPropagationPolicy"

MISORDERED_SECONDS = 5
"""A namespace or a CRD may come a little later than what needs it; the real provider tries for half a minute."""

GONE_SECONDS = 60
"""Seconds that an object may take to go; the real provider waits ten minutes. The garbage collector, which has a say in
it, hears of a new kind after up to 30."""


class KubernetesProvider(Provider):
    """Applies what the program declares. The kubeconfig it is configured with is not used: there is one API server.

    Args:
        before_objects: called before an object is made; the place where nodes join.
        translate: gives the manifest that is sent for the one that the program declares.
        controllers: that run for real while a release of their chart is installed, by the chart's name.
        handled: kinds whose finalizers these put on and take away themselves.

    Attributes:
        releases: charts that are installed, by the release's id.
    """

    name = "kubernetes"
    version = version("pulumi-kubernetes")

    def __init__(
        self,
        api: Api,
        before_objects: Callable[[], None] = lambda: None,
        translate: Callable[[Object], Object] = lambda object: object,
        controllers: Mapping[str, Controller] | None = None,
        handled: frozenset[str] = frozenset(),
    ) -> None:
        self.api = api
        self.before_objects = before_objects
        self.translate = translate
        self.controllers = controllers or {}
        self.handled = handled
        self.releases: dict[str, str] = {}
        self._running: dict[str, ExitStack] = {}
        self._objects: dict[str, str] = {}
        self._installing = Lock()

    def close(self) -> None:
        """Ends the controllers that still run."""
        for id in list(self._running):
            self._running.pop(id).close()

    def report(self) -> dict[str, tuple[int, int]]:
        """By type: how many objects the API server holds, and how many are only recorded."""
        held = Counter(self._objects.values())
        recorded = {RELEASE: (0, len(self.releases))} if self.releases else {}
        return {**{type: (count, 0) for type, count in sorted(held.items())}, **recorded}

    # -- before anything is done

    def check(self, subject: Subject, inputs: Properties, old: Properties, seed: bytes) -> Checked:
        if problem := _unsupported(subject.type):
            return Checked(inputs, [("", problem)])
        if subject.type == RELEASE:
            return Checked(_named_release(inputs, subject, old, seed))
        metadata = dict(inputs.get("metadata") or {})
        if metadata.get("generateName"):
            failure = "the `.metadata.generateName` field is not supported in Server-Side Apply mode"
            return Checked(inputs, [("metadata", failure)])
        if metadata.get("name") is None:
            before = old.get("metadata") or {}
            adopted = before.get("name") if (before.get("annotations") or {}).get(AUTONAMED) == "true" else None
            metadata["name"] = adopted or _unique(f"{subject.name}-", seed)
            metadata["annotations"] = {**(metadata.get("annotations") or {}), AUTONAMED: "true"}
        if metadata.get("namespace") is None and self._namespaced(inputs):
            metadata["namespace"] = subject.config.get("namespace") or "default"
        return Checked({**inputs, "metadata": metadata})

    def _namespaced(self, inputs: Properties) -> bool:
        try:
            return self.api.kind(inputs["apiVersion"], inputs["kind"]).namespaced
        except NoSuchKind:
            return False  # of a CRD that is not there yet; the program has to say

    def diff(self, subject: Subject, id: str, old: Properties, new: Properties, state: Properties) -> Difference:
        changes = changed_paths(old, new)
        if subject.type == RELEASE:
            return Difference(changes, frozenset(path for path in changes if path in ("name", "namespace")))
        fields = immutable.replacing_fields(new, subject.config)
        replaces = frozenset(path for path in changes if immutable.replaces(path, fields))
        return Difference(changes, replaces, bool(replaces) and _keeps_name(old, new))

    def preview(self, subject: Subject, inputs: Properties, state: Properties | None) -> Properties:
        if subject.type == RELEASE:
            return {**(state or {"status": unknown, "resourceNames": unknown}), **inputs}
        if contains_unknown(inputs):
            return {**(state or {}), **inputs}
        try:
            object = self._dry_run(inputs, new=state is None)
        except ApiError as error:
            if isinstance(error, NoSuchKind) or (error.reason == "NotFound" and error.about == "namespaces"):
                return {**(state or {}), **inputs}
            raise ProviderError(_refused(subject, "created" if state is None else "updated", error)) from error
        object.pop("status", None)
        return _state(inputs, object)

    def _dry_run(self, inputs: Properties, *, new: bool) -> Object:
        object = self.translate(_manifest(inputs))
        if new and self._live(object) is not None:
            # the old one of a replacement; the new one gets its place
            object = {**object, "metadata": {**object["metadata"], "name": f"{object['metadata']['name']}-preview"}}
        return self.api.apply(object, "pulumi-preview", force=True, fieldValidation="Strict", dryRun="All")

    # -- the life of an object

    def create(self, subject: Subject, inputs: Properties) -> tuple[str, Properties]:
        if subject.type == RELEASE:
            return self._install(inputs)
        self.before_objects()
        manager = _manager(subject)
        object = self.translate(_manifest(inputs))
        try:
            made = self._apply_new(object, manager)
        except ApiError as error:
            raise ProviderError(_refused(subject, "created", error)) from error
        id = _id(made)
        self._objects[f"{made['kind']} {id}"] = subject.type
        self._play_finalizer(made)
        made, reasons = wait_until_ready(self.api, made)
        state = {**_state(inputs, made), "__fieldManager": manager}
        if reasons:
            raise InitializationError(_not_ready(subject, "created", made, reasons), id, state)
        return id, state

    def _apply_new(self, object: Object, manager: str) -> Object:
        for left in countdown(MISORDERED_SECONDS):
            try:
                if self._live(object) is not None:
                    name = (
                        f'{self.api.kind(object["apiVersion"], object["kind"]).plural} "{object["metadata"]["name"]}"'
                    )
                    raise ApiError(409, "AlreadyExists", f"{name} already exists")
                return self.api.apply(object, manager, fieldValidation="Strict")
            except ApiError as error:
                if error.status != 404 or not left:
                    raise
        raise AssertionError("the last turn returns or raises")

    def read(
        self, subject: Subject, id: str, inputs: Properties, state: Properties
    ) -> tuple[Properties, Properties] | None:
        if subject.type == RELEASE:
            return inputs, state
        if not inputs:
            raise ProviderError(f"{subject.type} cannot be imported in the rehearsal")
        live = self._live(_manifest(inputs))
        if live is None:
            return None
        return inputs, {**_state(inputs, live), "__fieldManager": state.get("__fieldManager") or _manager(subject)}

    def update(self, subject: Subject, id: str, old: Properties, new: Properties, state: Properties) -> Properties:
        if subject.type == RELEASE:
            return {**state, **new}
        manager = state["__fieldManager"]
        try:
            changed = self.api.apply(self.translate(_manifest(new)), manager, fieldValidation="Strict")
        except ApiError as error:
            raise ProviderError(_refused(subject, "updated", error)) from error
        changed, reasons = wait_until_ready(self.api, changed)
        found = {**_state(new, changed), "__fieldManager": manager}
        if reasons:
            raise InitializationError(_not_ready(subject, "updated", changed, reasons), id, found)
        return found

    def delete(self, subject: Subject, id: str, inputs: Properties, state: Properties) -> None:
        if subject.type == RELEASE:
            self.releases.pop(id, None)
            if id in self._running:
                self._running.pop(id).close()
            return
        object = _manifest(state or inputs)
        live = self._live(object)
        if live is not None:
            annotations = inputs["metadata"].get("annotations") or {}
            self.api.delete(live, annotations.get(PROPAGATION, "Foreground").capitalize())
            self._wait_until_gone(live)
        self._objects.pop(f"{object['kind']} {id}", None)

    def _wait_until_gone(self, object: Object) -> None:
        live: Object | None = object
        for _ in countdown(GONE_SECONDS):
            live = self._live(object)
            if live is None or live["metadata"]["uid"] != object["metadata"]["uid"]:
                return
            self._play_removal(live)
        metadata = (live or object)["metadata"]
        held = ", ".join(metadata.get("finalizers") or []) or "nothing that it says"
        raise ProviderError(
            f"'{metadata['name']}' timed out waiting to be deleted: it is held by {held}. What takes a finalizer away "
            "must go after the object: let the object depend on its controller"
        )

    def _live(self, object: Object) -> Object | None:
        metadata = object["metadata"]
        return self.api.get(object["apiVersion"], object["kind"], metadata["name"], metadata.get("namespace"))

    # -- what controllers do

    def _install(self, inputs: Properties) -> tuple[str, Properties]:
        """A Helm release: the CRDs of its chart become real, the rest is a note."""
        chart = charts.chart_name(inputs["chart"])
        id = f"{inputs.get('namespace') or 'default'}/{inputs['name']}"
        with self._installing:
            charts.install_definitions(self.api, chart)
            if start := self.controllers.get(chart):
                self._running[id] = ExitStack()
                self._running[id].enter_context(start())
        self.releases[id] = chart
        status = {"name": inputs["name"], "namespace": inputs.get("namespace") or "default", "status": "deployed"}
        return id, {**inputs, "status": status, "resourceNames": {}}

    def _played(self, object: Object) -> tuple[str, str] | None:
        return None if object["kind"] in self.handled else charts.finalizer(object["kind"])

    def _play_finalizer(self, object: Object) -> None:
        played = self._played(object)
        if played and played[0] in self.releases.values():
            finalizers = [*(object["metadata"].get("finalizers") or []), played[1]]
            self.api.patch(object, {"metadata": {"finalizers": finalizers}})

    def _play_removal(self, object: Object) -> None:
        """The controller, if it is still there, has done its part and lets the object go."""
        played = self._played(object)
        held = object["metadata"].get("finalizers") or []
        if played and played[1] in held and played[0] in self.releases.values():
            rest = [finalizer for finalizer in held if finalizer != played[1]]
            version = object["metadata"]["resourceVersion"]
            try:
                self.api.patch(object, {"metadata": {"finalizers": rest, "resourceVersion": version}})
            except ApiError as error:
                if error.reason not in ("Conflict", "NotFound"):  # another controller was faster: next time
                    raise


def _unsupported(type: str) -> str | None:
    _, group, kind = type.split(":")
    if group.startswith(("helm.sh", "kustomize", "yaml")) and type != RELEASE:
        return f"{type} is not simulated by the rehearsal: declare the objects, or a {RELEASE}"
    if kind.endswith("Patch"):
        return f"{type} is not simulated by the rehearsal: it changes objects that the program does not own"
    return None


def _manifest(inputs: Properties) -> Object:
    """What the API server takes of the inputs, or of a state."""
    return {key: value for key, value in inputs.items() if not key.startswith("__")}


def _state(inputs: Properties, object: Object) -> Properties:
    """The object as the API server has it; a Secret's content is secret whatever the program says."""
    metadata = {key: value for key, value in object["metadata"].items() if key != "managedFields"}
    # as the program has them, where something else was sent
    state = {**object, "metadata": metadata, "spec": {**object.get("spec", {}), **(inputs.get("spec") or {})}}
    if not state["spec"]:
        del state["spec"]
    if inputs["kind"] == "Secret":
        state = {key: Secret(value) if key in ("data", "stringData") else value for key, value in state.items()}
    return state


def _id(object: Object) -> str:
    metadata = object["metadata"]
    return "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))


def _unique(prefix: str, seed: bytes) -> str:
    """As the engine makes names: eight hex digits that follow from the seed."""
    return prefix + hashlib.sha256(seed + prefix.encode()).hexdigest()[:8]


def _manager(subject: Subject) -> str:
    """The field manager of an object."""
    return _unique("pulumi-kubernetes-", subject.urn.encode())


def _named_release(inputs: Properties, subject: Subject, old: Properties, seed: bytes) -> Properties:
    return {**inputs, "name": inputs.get("name") or old.get("name") or _unique(f"{subject.name}-", seed)}


def _keeps_name(old: Properties, new: Properties) -> bool:
    """Whether the new object needs the place of the old one."""
    before, now = old["metadata"], new["metadata"]
    autonamed = (now.get("annotations") or {}).get(AUTONAMED) == "true"
    return not autonamed and all(before.get(key) == now.get(key) for key in ("name", "namespace"))


def _refused(subject: Subject, done: str, error: ApiError) -> str:
    if isinstance(error, NoSuchKind):
        return (
            f'creation of resource "{subject.urn}" failed because the Kubernetes API server reported that the '
            "apiVersion for this resource does not exist. Verify that any required CRDs have been created: "
            f"{error}"
        )
    return f'resource "{subject.urn}" was not successfully {done} by the Kubernetes API server: {error}'


def _not_ready(subject: Subject, done: str, object: Mapping[str, Any], reasons: list[str]) -> str:
    return (
        f'resource "{subject.urn}" was successfully {done}, but the Kubernetes API server reported that it failed to '
        f"fully initialize or become live: '{object['metadata']['name']}' timed out waiting to be Ready\n"
        + "\n".join(f"  * {reason}" for reason in reasons)
    )
