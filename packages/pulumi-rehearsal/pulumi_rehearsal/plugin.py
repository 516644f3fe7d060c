# ruff: noqa: ARG002 (the signatures are those of the protocol)
"""What every provider of the rehearsal shares: the gRPC service that the Pulumi engine attaches to.

The engine is told where to find providers by `PULUMI_DEBUG_PROVIDERS="aws:41001,random:41002"`; it then connects to
them instead of downloading plugins. One process serves all instances of a provider: each provider resource in the
program has its own connection, and the connection says which one is calling.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from operator import eq
from typing import Any, NoReturn

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from pulumi_rehearsal.wire import Properties, decode, encode

logger = logging.getLogger(__name__)

THREADS = 32
"""Calls a provider answers at once; the engine sends as many as `--parallel` allows, 16 by default."""


class ProviderError(Exception):
    """An operation failed; the message is what the user reads beside the resource."""


class InitializationError(ProviderError):
    """The resource exists but is not as asked. The engine keeps it in the state and mends it with the next update."""

    def __init__(self, message: str, id: str, state: Properties) -> None:
        super().__init__(message)
        self.id = id
        self.state = state


@dataclass(frozen=True)
class Subject:
    """Which resource a call is about, and the configuration of the provider instance it goes through."""

    type: str
    name: str
    urn: str
    config: Mapping[str, Any]


@dataclass
class Checked:
    """What `check` found: the inputs with defaults filled in, and what is wrong by property (`""` for all of them)."""

    inputs: Properties
    failures: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Difference:
    """What differs between two sets of inputs.

    Attributes:
        changes: how, by property path: `add`, `delete` or `update`.
        replaces: the paths that cannot change in place.
        delete_before_replace: the old resource has to go before the new one can come.
    """

    changes: dict[str, str] = field(default_factory=dict)
    replaces: frozenset[str] = frozenset()
    delete_before_replace: bool = False


class Provider:
    """The life of resources, in plain Python. A subclass overrides what it needs; values may be `unknown` in previews.

    Raise `ProviderError` for what the user should read. Any other exception reaches the user with its type's name.
    """

    name: str
    version = "0.0.0"

    def check(self, subject: Subject, inputs: Properties, old: Properties, seed: bytes) -> Checked:
        """Validates inputs and fills in defaults, before anything is done; `seed` makes random names repeatable."""
        return Checked(inputs)

    def diff(self, subject: Subject, id: str, old: Properties, new: Properties, state: Properties) -> Difference:
        """Compares old inputs with new ones; by default every change replaces."""
        changes = changed_paths(old, new)
        return Difference(changes, frozenset(changes))

    def preview(self, subject: Subject, inputs: Properties, state: Properties | None) -> Properties:
        """The outputs as far as they are known before a create (`state` is None) or an update."""
        return inputs

    def create(self, subject: Subject, inputs: Properties) -> tuple[str, Properties]:
        """Creates the resource; returns its id and outputs."""
        raise NotImplementedError

    def read(
        self, subject: Subject, id: str, inputs: Properties, state: Properties
    ) -> tuple[Properties, Properties] | None:
        """The inputs and outputs as they really are, or None when the resource is gone; no inputs for an import."""
        return inputs, state

    def update(self, subject: Subject, id: str, old: Properties, new: Properties, state: Properties) -> Properties:
        """Changes the resource in place; returns its outputs."""
        raise NotImplementedError

    def delete(self, subject: Subject, id: str, inputs: Properties, state: Properties) -> None:
        """Deletes the resource; not an error when it is gone already."""

    def invoke(self, token: str, args: Properties, config: Mapping[str, Any]) -> Properties:
        """Answers a data source."""
        raise ProviderError(f"{token} is not simulated by the rehearsal")


def changed_paths(old: Any, new: Any, path: str = "", same: Callable[[Any, Any], bool] = eq) -> dict[str, str]:
    """The paths (`rules[0].port`) at which two values differ, and how; names that start with `__` do not count."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [key for key in (*old, *(key for key in new if key not in old)) if not key.startswith("__")]
        parts = [(old.get(key), new.get(key), _join(path, key)) for key in keys]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        parts = [(left, right, f"{path}[{index}]") for index, (left, right) in enumerate(zip(old, new, strict=True))]
    elif same(old, new):
        return {}
    else:
        return {path: "add" if old is None else "delete" if new is None else "update"}
    return {found: kind for left, right, at in parts for found, kind in changed_paths(left, right, at, same).items()}


def _join(path: str, key: str) -> str:
    if not key.replace("_", "").isalnum():
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Speaks the engine's protocol on behalf of a `Provider`."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._configs: dict[str, Properties] = {}

    # -- the provider itself

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Empty:
        return Empty()

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=self.provider.version)

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        return _diff_response(Difference(changed_paths(decode(request.old_inputs), decode(request.news))))

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._configs[context.peer()] = decode(request.args)
        # Without acceptSecrets the engine sends plain values and marks outputs itself, by the inputs of the same name.
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Empty:
        return Empty()

    SignalCancellation = Cancel

    # -- resources

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._reporting(context):
            found = self.provider.check(
                self._subject(request, context), decode(request.news), decode(request.olds), request.randomSeed
            )
        failures = [provider_pb2.CheckFailure(property=key, reason=reason) for key, reason in found.failures]
        return provider_pb2.CheckResponse(inputs=encode(found.inputs), failures=failures)

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._reporting(context):
            found = self.provider.diff(
                self._subject(request, context),
                request.id,
                decode(request.old_inputs),
                decode(request.news),
                decode(request.olds),
            )
        return _diff_response(found)

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        subject, inputs = self._subject(request, context), decode(request.properties)
        with self._reporting(context):
            if request.preview:
                return provider_pb2.CreateResponse(properties=encode(self.provider.preview(subject, inputs, None)))
            id, state = self.provider.create(subject, inputs)
        return provider_pb2.CreateResponse(id=id, properties=encode(state))

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._reporting(context):
            found = self.provider.read(
                self._subject(request, context), request.id, decode(request.inputs), decode(request.properties)
            )
        if found is None:
            return provider_pb2.ReadResponse()
        inputs, state = found
        return provider_pb2.ReadResponse(id=request.id, inputs=encode(inputs), properties=encode(state))

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        subject, new, state = self._subject(request, context), decode(request.news), decode(request.olds)
        with self._reporting(context):
            if request.preview:
                found = self.provider.preview(subject, new, state)
            else:
                found = self.provider.update(subject, request.id, decode(request.old_inputs), new, state)
        return provider_pb2.UpdateResponse(properties=encode(found))

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Empty:
        with self._reporting(context):
            self.provider.delete(
                self._subject(request, context), request.id, decode(request.old_inputs), decode(request.properties)
            )
        return Empty()

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._reporting(context):
            found = self.provider.invoke(request.tok, decode(request.args), self._config(context))
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(encode(found))  # `return` is a keyword
        return response

    # -- helpers

    def _config(self, context: grpc.ServicerContext) -> Properties:
        return self._configs.get(context.peer(), {})

    def _subject(self, request: Any, context: grpc.ServicerContext) -> Subject:
        return Subject(type=request.type, name=request.name, urn=request.urn, config=self._config(context))

    @contextmanager
    def _reporting(self, context: grpc.ServicerContext) -> Iterator[None]:
        if not context.is_active():  # the engine was killed while this waited for a thread: a plugin of its own is gone
            context.abort(grpc.StatusCode.CANCELLED, "the engine is gone")
        try:
            yield
        except InitializationError as error:
            _abort_partial(context, error)
        except ProviderError as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except Exception as error:
            logger.exception("%s provider", self.provider.name)
            context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")


def _diff_response(found: Difference) -> Any:
    def kind(path: str, change: str) -> Any:
        return provider_pb2.PropertyDiff.Kind.Value(change.upper() + ("_REPLACE" if path in found.replaces else ""))

    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if found.changes else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=sorted({_root(path) for path in found.changes}),
        replaces=sorted({_root(path) for path in found.replaces}),
        detailedDiff={
            path: provider_pb2.PropertyDiff(kind=kind(path, change), inputDiff=True)
            for path, change in found.changes.items()
        },
        hasDetailedDiff=True,
        deleteBeforeReplace=found.delete_before_replace,
    )


def _root(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


def _abort_partial(context: grpc.ServicerContext, error: InitializationError) -> NoReturn:
    """Fails the call, but hands over the resource that exists (`ErrorResourceInitFailed`, a detail of the status)."""
    detail = provider_pb2.ErrorResourceInitFailed(id=error.id, properties=encode(error.state), reasons=[str(error)])
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error))
    status.details.add().Pack(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, str(error))


@contextmanager
def serve(provider: Provider) -> Iterator[int]:
    """Serves the provider on a free port of 127.0.0.1 until the block ends; yields the port."""
    server = grpc.server(
        ThreadPoolExecutor(THREADS, thread_name_prefix=f"{provider.name}-provider"),
        # user data and policy documents fit many times over; the engine's own limit is 400 MB
        options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(provider), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(grace=0).wait()


@contextmanager
def attach(*providers: Provider) -> Iterator[str]:
    """Serves all of them; yields the value for the engine's environment variable `PULUMI_DEBUG_PROVIDERS`."""
    with ExitStack() as stack:
        yield ",".join(f"{provider.name}:{stack.enter_context(serve(provider))}" for provider in providers)
