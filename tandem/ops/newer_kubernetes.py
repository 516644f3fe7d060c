"""`tandem pin --kubernetes --to 1.36`: the next minor version of Kubernetes, with all pins that belong to it."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import tomlkit

from tandem import pins as pin_file
from tandem.errors import UserError
from tandem.http import Http
from tandem.ops.aws import aws_clients, user_errors
from tandem.ops.pin import Row, Selection, replace_file, run

KEY = "kubernetes.version"


@dataclass(frozen=True)
class Support:
    """How long EKS supports a version of Kubernetes.

    Attributes:
        standard_until: afterwards AWS upgrades a cluster that asks for no extended support by itself.
    """

    version: str
    standard_until: date


def support_of(version: str, region: str) -> Support:
    """What EKS says of a version, with the shell's credentials.

    Raises:
        UserError: no credentials, access denied, or EKS does not have it in standard support.
    """
    with user_errors(f"Kubernetes {version}"):
        client = aws_clients(region, ask=False)("eks")
        found = client.describe_cluster_versions(clusterVersions=[version])["clusterVersions"]
    status = found[0].get("versionStatus", "") if found else "UNSUPPORTED"
    if status != "STANDARD_SUPPORT":
        raise UserError.of(
            key=KEY,
            wrong=f"EKS does not have Kubernetes {version} in standard support",
            value=status,
            allowed="a version of `aws eks describe-cluster-versions` with STANDARD_SUPPORT",
            fix="wait until EKS has it",
        )
    return Support(version, found[0]["endOfStandardSupportDate"].date())


def go_to(
    path: Path, version: str, http: Http, today: date, report: Callable[[Row], None]
) -> tuple[list[Row], Support]:
    """Writes the next minor version and what goes with it: parameters of node images, their ids and releases, add-ons,
    charts. All of it is looked up first, in a copy: the file has all of the new version, or all of the old one.

    Raises:
        UserError: not the next version, EKS does not have it, or a look-up failed; the file is as it was.
    """
    text = path.read_text(encoding="utf-8")
    kubernetes = pin_file.parse(text, str(path)).kubernetes
    _must_be_next(kubernetes.version, version)
    support = support_of(version, next(iter(kubernetes.nodes.al2023.regions)))
    with tempfile.TemporaryDirectory(prefix="tandem-pins-") as directory:
        copy = Path(directory) / path.name
        shutil.copy(path, copy)
        copy.write_text(moved(text, kubernetes.version, version), encoding="utf-8")
        rows = run(copy, Selection(kubernetes=True), "update", http, today, report)
        if problems := [row.problem for row in rows if row.problem]:
            raise UserError(*problems)
        replace_file(path, copy.read_text(encoding="utf-8"))
    return rows, support


def moved(text: str, old: str, new: str) -> str:
    """The file with another version, and the parameters that name it."""
    document = tomlkit.parse(text)
    for table in _with_parameters(document["kubernetes"]):
        table["parameter"] = re.sub(rf"(?<![\d.]){re.escape(old)}(?![\d.])", new, table["parameter"])
    document["kubernetes"]["version"] = tomlkit.string(new)  # pyright: ignore[reportIndexIssue]
    return tomlkit.dumps(document)


def _with_parameters(table: object) -> Iterator[dict[str, str]]:
    if isinstance(table, dict):
        if "parameter" in table:
            yield table
        for below in table.values():
            yield from _with_parameters(below)


def _must_be_next(old: str, new: str) -> None:
    major, minor = (int(part) for part in old.split("."))
    if new == (following := f"{major}.{minor + 1}"):
        return
    raise UserError.of(
        key=KEY,
        wrong=f"EKS takes a cluster from {old} to the next minor version only, and never back",
        value=new,
        allowed=following,
        fix=f"`tandem pin --kubernetes --to {following}`, then `pulumi up` of each stack, then the one after it",
    )
