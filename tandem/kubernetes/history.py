"""Versions of a model's pipelines. The controller of LeaderWorkerSets keeps others than the wanted one only until all
pipelines are of that; `up` keeps copies of them, so that there is a way back afterwards, too.

https://github.com/kubernetes-sigs/lws/blob/v0.9.0/pkg/utils/revision/revision_utils.go (`getPatch`,
`TruncateRevisions`)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.names import HISTORY, VERSION

Object = Mapping[str, Any]
REVISIONS = "controllerrevisions"
UNKNOWN = "unknown"
KEPT = "-kept"
"""After the name of the revision that is copied."""


def keep(kubectl: Kubectl, pipelines: str) -> None:
    """Copies what the controller has and nobody has copied yet, and removes what is older than `HISTORY` versions.

    Copies go with their LeaderWorkerSet.

    Raises:
        UserError: the cluster does not answer, or refuses.
    """
    found = [one for one in kubectl.read(REVISIONS) if _is_of(one, pipelines)]
    copies = {one["metadata"]["name"]: one for one in found if _is_copy(one)}
    for one in found:
        if not _is_copy(one) and one["metadata"]["name"] + KEPT not in copies:
            kubectl.create(_copy(one))
    latest = dict.fromkeys(version_of_template(template) for _, template in reversed(history(found, pipelines)))
    stays = [*latest][: HISTORY + 1]
    if gone := [name for name, one in copies.items() if version_of_template(_template(one)) not in stays]:
        kubectl.run("delete", REVISIONS, *gone)


def templates(kubectl: Kubectl, pipelines: str) -> dict[str, Object]:
    """What pipelines are made from, by each version that the cluster still has.

    Raises:
        UserError: the cluster does not answer.
    """
    return {version_of_template(one): one for _, one in history(kubectl.read(REVISIONS), pipelines)}


def history(revisions: Iterable[Object], pipelines: str) -> list[tuple[int, Object]]:
    """Number and template of each revision, the oldest first."""
    return [(number, _template(one)) for number, one in sorted(_numbered(revisions, pipelines).items())]


def of_version(revisions: Iterable[Object], pipelines: str, version: str) -> list[Object]:
    """Metadata of the revisions of a version: several where it was gone back to."""
    numbered = _numbered(revisions, pipelines).values()
    return [one["metadata"] for one in numbered if version_of_template(_template(one)) == version]


def version_of_template(template: Object) -> str:
    return version_of(template["workerTemplate"])


def version_of(templated: Object) -> str:
    return templated["metadata"].get("labels", {}).get(VERSION, UNKNOWN)


def _numbered(revisions: Iterable[Object], pipelines: str) -> dict[int, Object]:
    """The controller's own, where there is a copy as well: it tells since when there is that revision."""
    own = sorted((one for one in revisions if _is_of(one, pipelines)), key=_is_copy, reverse=True)
    return {one["revision"]: one for one in own}


def _is_of(revision: Object, pipelines: str) -> bool:
    owners = revision["metadata"].get("ownerReferences", ())
    return ("LeaderWorkerSet", pipelines) in [(owner["kind"], owner["name"]) for owner in owners]


def _is_copy(revision: Object) -> bool:
    return revision["metadata"]["name"].endswith(KEPT)


def _template(revision: Object) -> Object:
    template = revision["data"]["spec"]["leaderWorkerTemplate"]
    return {key: part for key, part in template.items() if key != "$patch"}


def _copy(revision: Object) -> Object:
    """Without the labels by which the controller finds its own, and in nobody's control."""
    [owner] = revision["metadata"]["ownerReferences"]
    owners = [{key: owner[key] for key in ("apiVersion", "kind", "name", "uid")}]
    return {**revision, "metadata": {"name": revision["metadata"]["name"] + KEPT, "ownerReferences": owners}}
