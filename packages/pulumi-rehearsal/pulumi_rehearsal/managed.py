"""What moto lacks of Amazon Managed Prometheus, the definition of an Alertmanager, and all of Amazon Managed Grafana.

Nothing takes time: what is made is active at once. Nobody signs in to a Grafana, and nothing is told to a topic.

Stands for: Amazon Managed Grafana's workspaces, Amazon Managed Prometheus' alert manager definitions, and both in the
    Resource Groups Tagging API.
Held by: tests/aws/test_moto_server.py::test_managed_prometheus_and_grafana_answer_as_the_sdks_models_say
"""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from moto import backend_index
from moto.amp import urls as amp_urls
from moto.amp.exceptions import ResourceNotFoundException
from moto.amp.models import PrometheusServiceBackend
from moto.amp.responses import PrometheusServiceResponse
from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.resource_tagging import TaggableResourcesMixin, TaggedResource
from moto.core.responses import ActionResult, BaseResponse

Described = dict[str, Any]
DEFINITION = "{0}/workspaces/(?P<workspace_id>[^/]+)/alertmanager/definition$"
GIVEN = {
    "workspaceName": "name",
    "workspaceDescription": "description",
    "workspaceDataSources": "dataSources",
    "workspaceNotificationDestinations": "notificationDestinations",
    "workspaceRoleArn": "workspaceRoleArn",
    "accountAccessType": "accountAccessType",
    "permissionType": "permissionType",
}
"""What a request sets, and how it is described."""


class GrafanaBackend(BaseBackend, TaggableResourcesMixin):
    """The workspaces of a region, by id."""

    SERVICE_NAMESPACE = "grafana"

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.workspaces: dict[str, Described] = {}

    @property
    def _url_module(self) -> Any:
        return sys.modules[__name__]

    def arn(self, id: str) -> str:
        return f"arn:aws:grafana:{self.region_name}:{self.account_id}:/workspaces/{id}"

    def iter_tagged_resources(self) -> Iterator[TaggedResource]:
        for id, one in self.workspaces.items():
            yield TaggedResource(arn=self.arn(id), tags=one["tags"], resource_type="grafana")  # as a whole only


grafana_backends = BackendDict(GrafanaBackend, "grafana")


class NotThereError(ResourceNotFoundException):
    """AWS's answer for a workspace that is none."""

    code = 404

    def __init__(self, id: str) -> None:
        super().__init__("Workspace not found", resource_id=id, resource_type="WORKSPACE")


class GrafanaResponse(BaseResponse):
    """The operations, by the names of AWS's model."""

    def __init__(self) -> None:
        super().__init__(service_name="grafana")
        self.automated_parameter_parsing = True

    @property
    def _all(self) -> dict[str, Described]:
        return grafana_backends[self.current_account][self.region].workspaces

    def _one(self, id: str) -> Described:
        if id not in self._all:
            raise NotThereError(id)
        return self._all[id]

    def _set(self, workspace: Described) -> ActionResult:
        told: Mapping[str, Any] = self._get_params()
        workspace |= {GIVEN[name]: value for name, value in told.items() if name in GIVEN}
        workspace["modified"] = datetime.now(UTC)
        return ActionResult({"workspace": workspace})

    def create_workspace(self) -> ActionResult:
        told: Mapping[str, Any] = self._get_params()
        id = f"g-{secrets.token_hex(5)}"
        self._all[id] = made = {
            "id": id,
            "endpoint": f"{id}.grafana-workspace.{self.region}.amazonaws.com",
            "status": "ACTIVE",
            "created": datetime.now(UTC),
            "grafanaVersion": told.get("grafanaVersion") or "10.4",
            "authentication": {"providers": told["authenticationProviders"]},
            "dataSources": [],
            "tags": dict(told.get("tags") or {}),
        }
        return self._set(made)

    def update_workspace(self) -> ActionResult:
        return self._set(self._one(self._get_param("workspaceId")))

    def describe_workspace(self) -> ActionResult:
        return ActionResult({"workspace": self._one(self._get_param("workspaceId"))})

    def delete_workspace(self) -> ActionResult:
        gone = self._one(self._get_param("workspaceId"))
        return ActionResult({"workspace": self._all.pop(gone["id"]) | {"status": "DELETING"}})

    def list_workspaces(self) -> ActionResult:
        return ActionResult({"workspaces": [*self._all.values()]})

    def _tags(self) -> dict[str, str]:
        return self._one(self._get_param("resourceArn").rpartition("/")[2])["tags"]

    def list_tags_for_resource(self) -> ActionResult:
        return ActionResult({"tags": self._tags()})

    def tag_resource(self) -> ActionResult:
        self._tags().update(self._get_param("tags"))
        return ActionResult({})

    def untag_resource(self) -> ActionResult:
        for key in self._get_param("tagKeys"):
            self._tags().pop(key, None)
        return ActionResult({})


url_bases = [r"https?://grafana\.(.+)\.amazonaws\.com"]
url_paths = {
    f"{{0}}/{path}$": GrafanaResponse.dispatch
    for path in ("workspaces", "workspaces/(?P<workspaceId>[^/]+)", "tags/(?P<resourceArn>.+)")
}


def _alert_managers() -> None:
    """A workspace has one definition at most; that of one that is gone is gone with it."""

    def of(request: PrometheusServiceResponse) -> dict[str, Any]:
        return vars(request.amp_backend.describe_workspace(request.path.split("/")[-3]))

    def put(self: PrometheusServiceResponse) -> ActionResult:
        self.parse_parameters(self.normalized_request)
        now, workspace = datetime.now(UTC), of(self)
        before = workspace.get("alerts", {"createdAt": now})
        workspace["alerts"] = before | {
            "data": self.params["data"],
            "status": {"statusCode": "ACTIVE"},
            "modifiedAt": now,
        }
        return ActionResult(workspace["alerts"])

    def describe(self: PrometheusServiceResponse) -> ActionResult:
        if "alerts" not in (workspace := of(self)):
            raise NotThereError(workspace["workspace_id"])
        return ActionResult({"alertManagerDefinition": workspace["alerts"]})

    def delete(self: PrometheusServiceResponse) -> ActionResult:
        of(self).pop("alerts", None)
        return ActionResult({})

    for name, operation in (("create", put), ("put", put), ("describe", describe), ("delete", delete)):
        setattr(PrometheusServiceResponse, f"{name}_alert_manager_definition", operation)
    amp_urls.url_paths[DEFINITION] = PrometheusServiceResponse.dispatch


class _Workspaces(TaggableResourcesMixin):
    SERVICE_NAMESPACE = "aps"

    def iter_tagged_resources(self: Any) -> Iterator[TaggedResource]:
        for one in self.workspaces.values():
            yield TaggedResource(one.arn, self.list_tags_for_resource(one.arn), "aps:workspace")
            for rules in one.rule_group_namespaces.values():
                tags = self.list_tags_for_resource(rules.arn)
                yield TaggedResource(rules.arn, tags, "aps:rulegroupsnamespace")


def with_managed_prometheus_and_grafana() -> None:
    """Gives moto what is above."""
    sys.modules["moto.grafana.models"] = sys.modules["moto.grafana"] = sys.modules[__name__]
    backend_index.backend_url_patterns.append(("grafana", re.compile(url_bases[0])))
    PrometheusServiceBackend.__bases__ += (_Workspaces,)
    _alert_managers()
