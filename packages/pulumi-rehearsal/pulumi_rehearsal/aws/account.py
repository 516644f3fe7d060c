"""boto3 calls in the words of the real provider, and the register of what moto cannot hold."""

from __future__ import annotations

import re
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError, ParamValidationError

from pulumi_rehearsal.moto import ACCOUNT_ID, SimulatedAccount
from pulumi_rehearsal.plugin import ProviderError

PARTITION = "aws"

_NOT_FOUND = re.compile(r"NotFound|NoSuch|NonExistent|DoesNotExist|NotExist|UnknownResource|^404$", re.IGNORECASE)


class AwsError(ProviderError):
    """AWS refused an operation; reads as the Go SDK of the real provider writes it."""

    def __init__(self, operation: str, code: str, message: str) -> None:
        super().__init__(f"operation error {operation}, api error {code}: {message}")
        self.code = code
        self.message = message

    @property
    def not_found(self) -> bool:
        """Whether the error says that the thing is not there."""
        return bool(_NOT_FOUND.search(self.code)) or "not found" in self.message.lower()


@dataclass(frozen=True)
class Region:
    """The simulated account, seen from one region."""

    account: SimulatedAccount
    name: str

    account_id: str = ACCOUNT_ID
    partition: str = PARTITION

    def client(self, service: str) -> Any:
        """The boto3 client of a service in this region."""
        return self.account.client(service, self.name)

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """Calls AWS.

        Raises:
            AwsError: AWS refused, or the parameters do not fit the operation.
        """
        label = self.label(service, operation)
        try:
            return getattr(self.client(service), operation)(**params)
        except ClientError as error:
            detail = error.response["Error"]
            raise AwsError(label, detail.get("Code", ""), detail.get("Message", "")) from error
        except ParamValidationError as error:
            raise AwsError(label, "ValidationError", str(error)) from error

    def label(self, service: str, operation: str) -> str:
        """How errors name an operation: `EC2: CreateSubnet`."""
        meta = self.client(service).meta
        return f"{meta.service_model.service_id}: {meta.method_to_api_mapping[operation]}"

    def shape(self, service: str, operation: str) -> Any:
        """botocore's model of the operation's parameters."""
        client = self.client(service)
        return client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation]).input_shape


@dataclass
class TypeReport:
    """Where the resources of one type really are.

    Attributes:
        in_moto: how many exist in moto.
        recorded: how many exist only in this register.
        recorded_inputs: inputs in use, by path (`rules[].name`), that moto does not show again.
    """

    in_moto: int = 0
    recorded: int = 0
    recorded_inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event:
    """Something AWS would have done and moto cannot (`autoscaling:StartInstanceRefresh`)."""

    operation: str
    resource: str
    detail: str = ""


@dataclass
class Register:
    """What exists, by type, and what was only recorded. Safe to use from several threads."""

    _resources: dict[str, dict[str, bool]] = field(default_factory=lambda: defaultdict(dict))
    _inputs: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _events: list[Event] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, token: str, id: str, in_moto: bool, recorded_inputs: list[str]) -> None:
        """A resource exists."""
        with self._lock:
            self._resources[token][id] = in_moto
            self._inputs[token].update(recorded_inputs)

    def remove(self, token: str, id: str) -> None:
        """A resource is gone."""
        with self._lock:
            self._resources[token].pop(id, None)

    def has(self, token: str, id: str) -> bool:
        """Whether such a resource exists."""
        with self._lock:
            return id in self._resources[token]

    def event(self, operation: str, resource: str, detail: str = "") -> None:
        """Keeps what AWS would have done."""
        with self._lock:
            self._events.append(Event(operation, resource, detail))

    def report(self) -> dict[str, TypeReport]:
        """By resource type, sorted; types of which nothing is left are not named."""
        with self._lock:
            return {
                token: TypeReport(
                    in_moto=sum(ids.values()),
                    recorded=len(ids) - sum(ids.values()),
                    recorded_inputs=tuple(sorted(self._inputs[token])),
                )
                for token, ids in sorted(self._resources.items())
                if ids
            }

    def events(self) -> list[Event]:
        """What AWS would have done, in order."""
        with self._lock:
            return list(self._events)
