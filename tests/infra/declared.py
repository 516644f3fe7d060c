"""Runs a part of the program under Pulumi's mocks and tells what it declared."""

from __future__ import annotations

import asyncio
import functools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from unittest import mock

import pulumi
from pulumi.runtime import mocks, resource, settings
from pulumi.runtime.proto import source_pb2
from pulumi.runtime.rpc import _special_secret_sig, _special_sig_key

from infra import stack
from tandem import pins
from tandem.settings import Settings

ACCOUNT = "123456789012"
STACK_ID = "0123456789abcdef"
GROUPS, CLUSTERS = "aws:autoscaling/getAmiIds:getAmiIds", "aws:eks/getClusters:getClusters"
CLUSTER, CALLER = "aws:eks/getCluster:getCluster", "aws:index/getCallerIdentity:getCallerIdentity"
SECURITY_GROUPS, SUBNET = "aws:ec2/getSecurityGroups:getSecurityGroups", "aws:ec2/getSubnet:getSubnet"
DHCP_OPTIONS = "aws:ec2/getVpcDhcpOptions:getVpcDhcpOptions"
ORDER = "depends_on"
BESIDE = ("acme/sql", "acme/legal", "acme/head")
"""LoRA adapters, and a head that guesses, which a stack may name: they are pinned, as each must be."""
ENGINE_TYPES = ("pulumi:pulumi:Stack", "pulumi:providers:")
OTHERS_CLUSTER: dict[str, Any] = {
    "tags": {},
    "status": "ACTIVE",
    "kubernetesNetworkConfigs": [{"ipFamily": "ipv4"}],
    "version": pins.load().kubernetes.version,
    "endpoint": "https://4567.gr7.us-east-1.eks.amazonaws.com",
    "certificateAuthorities": [{"data": "Y2E="}],
    "vpcConfig": {"vpcId": f"vpc-{'0' * 17}", "clusterSecurityGroupId": "sg-others"},
}
NODE_GROUPS = "aws:eks/getNodeGroups:getNodeGroups"


@dataclass(frozen=True)
class Resource:
    """One declared resource: its type token, logical name and inputs."""

    type: str
    name: str
    inputs: dict[str, Any]


class Recorder(mocks.Mocks):
    """Answers like a provider that succeeds: an id, an ARN and a name for everything."""

    def __init__(self, account: Mapping[str, dict[str, Any]] | None = None) -> None:
        self.resources: list[Resource] = []
        self.account = account or {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.resources.append(Resource(args.typ, args.name, dict(args.inputs)))
        state = dict(args.inputs)
        kind = args.typ.split(":")[-1]
        state.setdefault("name", args.name)
        state.setdefault("arn", f"arn:aws:mock:us-east-1:{ACCOUNT}:{kind}/{args.name}")
        state.update(ANSWERS.get(args.typ, {}))
        if args.typ == "aws:acm/certificate:Certificate" and "domainName" in state:
            names = [*state.get("subjectAlternativeNames", []), state["domainName"]]  # in an order of AWS's own
            state["domainValidationOptions"] = [
                {
                    "domainName": name,
                    "resourceRecordName": f"_{number}.x.",
                    "resourceRecordType": "CNAME",
                    "resourceRecordValue": f"_{number}.aws.",
                }
                for number, name in enumerate(names)
            ]
        return f"{args.name}-{kind}-id", state

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The program asks who holds its name, which is itself, since an `up` before; and for a group from before."""
        answers = {
            "aws:ssm/getParametersByPath:getParametersByPath": {"names": [f"{args.args.get('path')}/{STACK_ID}"]},
            GROUPS: {"names": []},
            CLUSTERS: {"names": []},
            CLUSTER: OTHERS_CLUSTER,
            NODE_GROUPS: {"names": ["theirs"]},
            SECURITY_GROUPS: {"vpcIds": []},
            SUBNET: {"cidrBlock": "10.9.0.0/24"},
            "aws:ec2/getVpc:getVpc": {"dhcpOptionsId": "dopt-0"},
            DHCP_OPTIONS: {"domainNameServers": ["AmazonProvidedDNS"]},
            CALLER: {"accountId": ACCOUNT, "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/run-7"},
            **self.account,
        }
        assert args.token in answers, f"the program asks for nothing else while it is planned, but called {args.token}"
        return answers[args.token]


class Callbacks:
    """Takes hooks, which pulumi's mocks do not know."""

    def __init__(self) -> None:
        self.hooks: list[pulumi.ResourceHook] = []

    def register_resource_hook(self, hook: pulumi.ResourceHook) -> None:
        self.hooks.append(hook)


class Monitor(mocks.MockMonitor):
    """Keeps what each resource declares that it depends on, and which stay in the account when they go.

    Attributes:
        needs: URN to input to the URNs of what its value is made of; under ORDER what is only waited for.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.depends_on: dict[str, set[str]] = {}
        self.needs: dict[str, dict[str, set[str]]] = {}
        self.retained: set[str] = set()

    def RegisterResource(self, request: Any) -> Any:
        response = super().RegisterResource(request)
        self.depends_on[response.urn] = {*request.dependencies}
        by_input = {name: {*made_of.urns} for name, made_of in request.propertyDependencies.items()}
        self.needs[response.urn] = by_input | {ORDER: {*request.dependencies}.difference(*by_input.values())}
        if request.retainOnDelete:
            self.retained.add(response.urn)
        return response


ANSWERS = {
    "aws:amp/workspace:Workspace": {
        "prometheusEndpoint": "https://aps-workspaces.us-east-1.amazonaws.com/workspaces/ws-0/"
    },
    "aws:grafana/workspace:Workspace": {"endpoint": "g-0.grafana-workspace.us-east-1.amazonaws.com"},
    "aws:ec2/vpc:Vpc": {"ownerId": ACCOUNT},
    "aws:lb/loadBalancer:LoadBalancer": {
        "dnsName": "dev-1.us-east-1.elb.amazonaws.com",
        "zoneId": "Z35SXDOTRQ7X7K",
        "arnSuffix": "app/dev-1/50dc6c495c0c9188",
    },
    "aws:eks/cluster:Cluster": {
        "endpoint": "https://0123.gr7.us-east-1.eks.amazonaws.com",
        "certificateAuthority": {"data": "Y2E="},
        "vpcConfig": {"clusterSecurityGroupId": "sg-cluster"},
    },
    "aws:s3/bucket:Bucket": {"bucketRegionalDomainName": "bucket.s3.us-east-1.amazonaws.com"},
    "aws:ec2/launchTemplate:LaunchTemplate": {"latestVersion": 7},
    "aws:ec2/natGateway:NatGateway": {"publicIp": "198.51.100.7"},
    "aws:rds/instance:Instance": {"endpoint": "teams.us-east-1.rds.amazonaws.com:5432", "identifier": "teams"},
    "aws:elasticache/replicationGroup:ReplicationGroup": {"primaryEndpointAddress": "teams.cache.amazonaws.com"},
    "random:index/randomPassword:RandomPassword": {"result": "r" * 48},
    "random:index/randomId:RandomId": {"hex": STACK_ID},
    "tls:index/privateKey:PrivateKey": {"privateKeyPem": "-----BEGIN PRIVATE KEY----- test"},
    "tls:index/selfSignedCert:SelfSignedCert": {"certPem": "-----BEGIN CERTIFICATE----- test"},
    "time:index/static:Static": {"rfc3339": "2026-11-20T12:00:00Z"},
}


def secret(value: Any) -> Any:
    """What is inside an input that must be marked as secret."""
    assert isinstance(value, dict), "not marked as secret"
    assert value[_special_sig_key] == _special_secret_sig
    return value["value"]


def type_of(urn: str) -> str:
    """Type token."""
    return urn.split("::")[2].rpartition("$")[2]


class Declared:
    """What was declared, for exact assertions."""

    def __init__(self, resources: list[Resource], urns: Iterable[str], returned: Any, monitor: Monitor) -> None:
        self.providers = {
            r.type.rpartition(":")[2]: r.inputs for r in resources if r.type.startswith("pulumi:providers:")
        }
        self.resources = [r for r in resources if not r.type.startswith(ENGINE_TYPES)]
        self.returned = returned
        self.needs = monitor.needs
        self._depends_on = monitor.depends_on
        self._retained = monitor.retained
        self._types = [urn.split("::")[2].split("$") for urn in urns]

    def before(self, urn: str) -> set[str]:
        """All that a resource waits for by what it declares, directly or not; its destroy comes before theirs."""
        found: set[str] = set()
        more = self._depends_on.get(urn, set())
        while more:
            found |= more
            more = {after for one in more for after in self._depends_on.get(one, set())} - found
        return found

    def urns(self, *type_names: str) -> list[str]:
        """Of the types whose tokens end in one of these."""
        return [urn for urn in self._depends_on if type_of(urn).endswith(type_names)]

    def retained(self) -> set[str]:
        """Last part of the types that stay in the account when they go."""
        return {urn.split("::")[2].rpartition(":")[2] for urn in self._retained}

    def parents(self) -> set[tuple[str, str]]:
        """(parent's type, own type) of every resource that has a parent other than the stack."""
        return {(types[-2], types[-1]) for types in self._types if types[:-1] not in ([], ["pulumi:pulumi:Stack"])}

    def counts(self) -> dict[str, int]:
        """Type token to number of resources, components too."""
        return dict(Counter(resource.type for resource in self.resources))

    def of(self, type_name: str) -> dict[str, dict[str, Any]]:
        """Logical name to inputs, for the type whose token ends in type_name."""
        return {
            r.name: r.inputs
            for r in self.resources
            if r.type.endswith((f":{type_name}", f"/{type_name}")) and not r.type.startswith("tandem:")
        }

    def one(self, type_name: str) -> dict[str, Any]:
        """Inputs of the only resource of a type."""
        found = self.of(type_name)
        assert len(found) == 1, f"{len(found)} of {type_name}: {sorted(found)}"
        return next(iter(found.values()))


def declared_by(
    values: Mapping[str, Any],
    name: str = "dev",
    now: datetime | None = None,
    account: Mapping[str, dict[str, Any]] | None = None,
) -> Declared:
    """What the whole program declares with these settings. Run once for a worker's life, so change nothing of it."""
    return _declared_by(json.dumps(values), name, now, json.dumps(account))


@functools.cache
def _declared_by(values: str, name: str, now: datetime | None, account: str) -> Declared:
    settings = Settings.model_validate(json.loads(values))
    known = pins.load()
    looked_up = dict.fromkeys(BESIDE, pins.ModelRevision(revision="0" * 40, manifest="0" * 64))
    pinned = known.model_copy(update={"models": {**known.models, **looked_up}})
    return declared(lambda: stack.build(settings, pinned, name, now), name, json.loads(account))


def declared(
    program: Callable[[], Any],
    name: str = "dev",
    account: Mapping[str, dict[str, Any]] | None = None,
    recorder: Recorder | None = None,
) -> Declared:
    """Runs a program to its end, outputs resolved, and returns what it declared.

    Args:
        name: of the stack.
        account: what data sources answer, by token, where it is not that nothing is there yet.
        recorder: answers in place of one that always succeeds.
    """
    try:
        asyncio.get_event_loop()
    except RuntimeError:  # asyncio.run, which another test of this process called, leaves none behind
        asyncio.set_event_loop(asyncio.new_event_loop())
    recorder = recorder or Recorder(account)
    monitor = Monitor(recorder)
    pulumi.runtime.set_mocks(recorder, project="tandem", stack=name, preview=False, monitor=monitor)
    settings.SETTINGS.callbacks = Callbacks()  # pyright: ignore[reportAttributeAccessIssue]
    returned: list[Any] = []

    def run() -> None:
        returned.append(program())

    # Where in the program a resource was declared is a quarter of a run's time, and mocks tell it to nobody.
    with mock.patch.object(resource, "_get_stack_trace", source_pb2.StackTrace):
        pulumi.runtime.test(run)()
    return Declared(recorder.resources, monitor.resources, returned[0], monitor)
