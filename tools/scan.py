# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["checkov==3.3.30", "zizmor==1.32.0"]
# ///
"""Scans what can be scanned without a network: manifests and image, workflows, secrets in the tree. `make scan`.

Three tools, pinned with all that they need in scan.py.lock: checkov reads the manifests that the program renders (the
golden files, held by tests) and images/Dockerfile, zizmor the workflows, detect-secrets (of checkov's makers) each file
of the tree. Of Python code ruff's rules S are the scan, in `make lint`. Known vulnerabilities change by the day, and
whoever knows them is asked over a network: `make advisories` and `make advisories-images`.

What is found and meant stands in scan.toml, each with its reason; what stands there and is found no more is an error,
too. Exit status: 0 nothing new, 1 something.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
TOOLS = Path(sys.executable).parent
MANIFESTS, DOCKERFILE = Path("tests/infra/kubernetes/golden"), Path("images/Dockerfile")
WORKFLOWS = (".github/workflows", "examples")
SECRETS = [
    {"name": name}
    for name in (
        "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "GitHubTokenDetector", "JwtTokenDetector",
        "NpmDetector", "SendGridDetector", "SlackDetector", "StripeDetector", "TwilioKeyDetector",
    )
]  # fmt: skip
ENTROPY = {"name": "Base64HighEntropyString", "limit": 4.5}
"""Not its twin for hexadecimal digits: here those are digests. Nor its words, for which each token is a secret."""
OURS = {"name": "Keys", "path": f"file://{HERE / 'scan_own.py'}"}


@dataclass(frozen=True, order=True)
class Finding:
    """What a tool found.

    Attributes:
        rule: the tool's name for it.
        where: the file, of a manifest with the object; no line, which moves.
        said: the tool's words.
    """

    rule: str
    where: str
    said: str


def pods(documents: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Each template of a pod as a pod, since checkov knows no LeaderWorkerSet."""
    for document in documents:
        for way, spec in _specs(document, ()):
            name = f"{document['metadata']['name']}-{way}".lower()
            yield {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": "inference"},
                "spec": spec,
            }


def _specs(part: Any, way: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(part, dict) and "containers" in part:
        yield "-".join(way[-2:-1]) or "pod", part
    elif isinstance(part, dict):
        for key, value in part.items():
            yield from _specs(value, (*way, key))


def others(documents: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """What has no pods in it, as it is."""
    return (document for document in documents if not list(_specs(document, ())))


def in_manifests(directory: Path) -> list[Finding]:
    """Of all pods, with their containers, and of all else that Kubernetes itself knows."""
    with tempfile.TemporaryDirectory() as scratch:
        for file in sorted(directory.glob("*.yaml")):
            documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
            Path(scratch, file.name).write_text(yaml.safe_dump_all([*others(documents), *pods(documents)]))
        return checkov(["--framework", "kubernetes", "--directory", scratch])


def checkov(arguments: Sequence[str]) -> list[Finding]:
    command = [str(TOOLS / "checkov"), *arguments, "--skip-download", "--output", "json", "--quiet", "--compact"]
    told = json.loads(_output(command, {"LOG_LEVEL": "ERROR"}))
    if "results" not in told:
        raise SystemExit(f"checkov looked at nothing: {arguments}")
    if told["results"].get("parsing_errors"):
        raise SystemExit(f"checkov could not read {told['results']['parsing_errors']}")
    print(f"checkov {arguments[1]}: {told['summary']['passed']} passed, {told['summary']['failed']} found")
    return [
        Finding(one["check_id"], f"{Path(one['file_path']).name} {one['resource']}", one["check_name"])
        for one in told["results"]["failed_checks"]
    ]


def in_workflows(paths: Sequence[str]) -> list[Finding]:
    files = [str(file) for path in paths for file in sorted(Path(path).glob("*.yml"))]
    found = json.loads(_output([str(TOOLS / "zizmor"), "--offline", "--no-exit-codes", "--format", "json", *files], {}))
    print(f"zizmor: {len(files)} workflows, {len(found)} found")
    places = [one["locations"][0]["symbolic"]["key"]["Local"]["verbatim_path"] for one in found]
    return [Finding(one["ident"], where, one["desc"]) for one, where in zip(found, places, strict=True)]


def in_files(root: Path) -> list[Finding]:
    """Of each file that git tracks."""
    from detect_secrets import SecretsCollection
    from detect_secrets.settings import transient_settings

    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True).stdout
    files = [name for name in listed.split("\0") if name and (root / name).is_file()]
    secrets = SecretsCollection(root=str(root))
    with transient_settings({"plugins_used": [*SECRETS, ENTROPY, OURS]}):
        for name in files:
            secrets.scan_file(name)
    found = [Finding(secret.type, name, f"line {secret.line_number}") for name, secret in secrets]
    print(f"detect-secrets: {len(files)} files, {len(found)} found")
    return found


def left(found: Iterable[Finding], meant: Sequence[dict[str, str]]) -> tuple[list[Finding], list[str]]:
    """What is found and not meant, and what is meant and found no more."""

    def covers(one: dict[str, str], finding: Finding) -> bool:
        return one["rule"] == finding.rule and one.get("where", "") in finding.where

    found = sorted(set(found))
    new = [finding for finding in found if not any(covers(one, finding) for one in meant)]
    stale = [f"{one['rule']} {one.get('where', '')}" for one in meant if not any(covers(one, two) for two in found)]
    return new, stale


def _output(command: Sequence[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if not done.stdout.strip():
        raise SystemExit(f"{command[0]} said nothing: {done.stderr[-2000:]}")
    return done.stdout


def main() -> int:
    meant = tomllib.loads((HERE / "scan.toml").read_text(encoding="utf-8"))["meant"]
    found = [
        *in_manifests(MANIFESTS),
        *checkov(["--framework", "dockerfile", "--file", str(DOCKERFILE)]),
        *in_workflows(WORKFLOWS),
        *in_files(Path()),
    ]
    new, stale = left(found, meant)
    for finding in new:
        print(f"{finding.where}: {finding.rule}: {finding.said}", file=sys.stderr)
    for one in stale:
        print(f"tools/scan.toml: {one} is not found any more: take it out", file=sys.stderr)
    return 1 if new or stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
