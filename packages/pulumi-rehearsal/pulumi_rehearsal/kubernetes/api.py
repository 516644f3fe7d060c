"""A client of the API server, as small as what we need: objects are plain data, errors are the server's own words."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

Object = dict[str, Any]

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
TIMEOUT_SECONDS = 30
# What client-go does: a server that says when to come back (429 while it reads a CRD's storage anew) is asked again.
ASKED_TO_COME_BACK = urllib3.Retry(
    total=10, connect=0, read=0, redirect=0, other=0, allowed_methods=None, raise_on_status=False
)


class ApiError(Exception):
    """The API server refused; reads as it says.

    Attributes:
        status: of HTTP.
        reason: in Kubernetes' words (`NotFound`, `AlreadyExists`, `Invalid`, `Forbidden`, `Conflict`).
        about: kind of what the error is about, in plural lower case (`namespaces`).
    """

    def __init__(self, status: int, reason: str, message: str, about: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.about = about


class NoSuchKind(ApiError):
    """The API server serves no such kind."""

    def __init__(self, api_version: str, kind: str) -> None:
        super().__init__(404, "NoMatch", f'no matches for kind "{kind}" in version "{api_version}"')


@dataclass(frozen=True)
class Kind:
    """A kind that the API server serves.

    Attributes:
        path: below which its objects are, without namespace (`/apis/apps/v1`).
        plural: its name in paths.
    """

    api_version: str
    kind: str
    path: str
    plural: str
    namespaced: bool

    def url(self, namespace: str | None = None, name: str | None = None) -> str:
        """Path of its objects, in one namespace or in all, or of one of them."""
        parts = [self.path]
        if self.namespaced and namespace:
            parts.append(f"namespaces/{quote(namespace)}")
        parts.append(self.plural)
        if name:
            parts.append(quote(name))
        return "/".join(parts)


class Api:
    """A connection to an API server. Safe to use from several threads.

    Args:
        url: such as https://127.0.0.1:6443.
        token: of a bearer who may do everything.
        certificate_authority: file that the server's certificate is checked against.
    """

    def __init__(self, url: str, token: str, certificate_authority: Path) -> None:
        self.url = url
        self._pool = urllib3.PoolManager(
            maxsize=32,
            ca_certs=str(certificate_authority),
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            timeout=TIMEOUT_SECONDS,
            retries=ASKED_TO_COME_BACK,
        )
        self._kinds: dict[tuple[str, str], Kind] = {}
        self._lock = Lock()

    # -- requests

    def request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        content: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """Sends a request; returns the answer, decoded when it is JSON.

        Raises:
            ApiError: the server refused.
            urllib3.exceptions.HTTPError: there is no answer.
        """
        answer = self._pool.request(
            method,
            self.url + path + (f"?{urlencode(query)}" if query else ""),
            body=json.dumps(body).encode() if body is not None else None,
            headers={**self._pool.headers, "Content-Type": content},
        )
        text = answer.data.decode()
        if answer.status >= 400:
            raise _error(answer.status, text)
        return json.loads(text) if text.startswith(("{", "[")) else text

    # -- kinds

    def kind(self, api_version: str, kind: str) -> Kind:
        """How the server serves a kind.

        Raises:
            NoSuchKind: it does not.
        """
        with self._lock:
            known = self._kinds.get((api_version, kind))
        if known is None:
            self._discover(api_version)
            known = self._kinds.get((api_version, kind))
        if known is None:
            raise NoSuchKind(api_version, kind)
        return known

    def kinds(self) -> list[Kind]:
        """Every kind that can be listed, in the version that the server prefers."""
        groups = self.request("GET", "/apis")["groups"]
        for version in ["v1", *(group["preferredVersion"]["groupVersion"] for group in groups)]:
            self._discover(version)
        with self._lock:
            return list(self._kinds.values())

    def _discover(self, api_version: str) -> None:
        path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            served = self.request("GET", path)["resources"]
        except ApiError as error:
            if error.status in (404, 503):  # 503: of an API server beside it, which is not there now
                return
            raise
        with self._lock:
            for resource in served:
                if "/" not in resource["name"] and "list" in resource["verbs"]:
                    found = Kind(api_version, resource["kind"], path, resource["name"], resource["namespaced"])
                    self._kinds[api_version, resource["kind"]] = found

    def forget_kinds(self) -> None:
        """After a CRD has changed what is served."""
        with self._lock:
            self._kinds.clear()

    # -- objects

    def url_of(self, object: Mapping[str, Any]) -> str:
        """Path of the object that a manifest names."""
        kind = self.kind(object["apiVersion"], object["kind"])
        return kind.url(object["metadata"].get("namespace"), object["metadata"]["name"])

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """An object, or None when there is none, or no such kind."""
        try:
            return self.request("GET", self.kind(api_version, kind).url(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, api_version: str, kind: str, namespace: str | None = None, **query: str) -> list[Object]:
        """The objects of a kind, in one namespace or in all; `labelSelector` and the like as keywords.

        Raises:
            NoSuchKind: the server serves it no more, or never did; one without objects answers an empty list.
        """
        path = self.kind(api_version, kind).url(namespace)
        try:
            found = self.request("GET", path, query=query)
        except ApiError as error:
            if error.status != 404:
                raise
            self.forget_kinds()
            raise NoSuchKind(api_version, kind) from error
        head = {"apiVersion": api_version, "kind": kind}
        return [head | item for item in found["items"]]

    def list_where_served(self, api_version: str, kind: str) -> list[Object]:
        """The objects of a kind in all namespaces; none where the server serves no such kind."""
        try:
            return self.list(api_version, kind)
        except NoSuchKind:
            return []

    def create(self, object: Object, **query: str) -> Object:
        """Creates the object."""
        kind = self.kind(object["apiVersion"], object["kind"])
        return self.request("POST", kind.url(object["metadata"].get("namespace")), object, query=query)

    def apply(self, object: Object, manager: str, *, force: bool = False, **query: str) -> Object:
        """Server-side apply: makes or changes the fields that the object has, as this field manager."""
        query = {"fieldManager": manager, "force": str(force).lower(), **query}
        return self.request("PATCH", self.url_of(object), object, content=APPLY, query=query)

    def patch(self, object: Mapping[str, Any], change: Object, subresource: str = "") -> Object:
        """A JSON merge patch."""
        return self.request("PATCH", self.url_of(object) + subresource, change, content=MERGE)

    def delete(self, object: Mapping[str, Any], propagation: str = "Background") -> None:
        """Deletes the object and what it owns; not an error when it is gone already.

        Args:
            propagation: `Background`, or `Foreground`, which lets the object go after all that it owns.
        """
        try:
            self.request("DELETE", self.url_of(object), {"propagationPolicy": propagation})
        except ApiError as error:
            if error.status != 404:
                raise

    # -- waiting

    def wait_until_served(self, api_version: str, kind: str, seconds: float) -> None:
        """Waits for a kind whose CRD was just made.

        Raises:
            NoSuchKind: it is not served in time.
        """
        for left in countdown(seconds):
            try:
                self.list(api_version, kind, limit="1")
            except ApiError:
                if not left:
                    raise
            else:
                return


def countdown(seconds: float, poll_seconds: float = 0.1) -> Iterator[float]:
    """The seconds that are left, again and again with a pause between; 0 comes once, and is the last."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        yield left
        time.sleep(min(poll_seconds, max(0.0, deadline - time.monotonic())))
    yield 0


def _error(status: int, text: str) -> ApiError:
    try:
        found = json.loads(text)
    except ValueError:
        return ApiError(status, "", text.strip())
    about = (found.get("details") or {}).get("kind", "")
    return ApiError(status, found.get("reason", ""), found.get("message", text), about)
