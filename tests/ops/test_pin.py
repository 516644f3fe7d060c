"""`tandem pin` against stand-ins on 127.0.0.1 for the image registry, the model hub and a package repository, and
against moto's SSM, whose parameter is made here because moto does not hold AWS's public ones."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner

from tandem import pins as pin_file
from tandem.errors import UserError
from tandem.http import Http
from tandem.ops import lookups, pin
from tandem.ops.cli import app
from tandem.ops.pin import Selection

SHIPPED = Path(pin_file.PINS_FILE).read_text(encoding="utf-8")
TODAY = date(2026, 11, 21)
COMMIT = "b968826d9c46dd6066d109eabc6255188de91218"
IMAGE_ID = "ami-0fedcba9876543210"
MANIFEST_PATH = "/v2/vllm/vllm-openai/manifests/v0.32.0"
EDGE_PATH = "/v2/nginxinc/nginx-unprivileged/manifests/1.30.4"
GATEWAY_PATH = "/v2/berriai/litellm-database/manifests/v1.108.7"
HUB_PATH = "/api/models/Qwen/Qwen3-8B/revision/main"
SIBLINGS = [
    {"rfilename": "README.md", "size": 9, "blobId": "1" * 40},
    {"rfilename": "config.json", "size": 2, "blobId": "2" * 40},
    {"rfilename": "model.safetensors", "size": 5, "blobId": "3" * 40, "lfs": {"sha256": "4" * 64, "size": 5}},
]
LISTED = [["2" * 40, 2, "config.json"], ["4" * 64, 5, "model.safetensors"]]
MANIFEST = hashlib.sha256(json.dumps(LISTED).encode()).hexdigest()


def hub_answer(commit: str = COMMIT, siblings: Any = SIBLINGS) -> bytes:
    """What the hub says of a revision, with `blobs=true`."""
    return json.dumps({"sha": commit, "siblings": siblings}).encode()


INDEX = json.dumps(
    {
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {"digest": "sha256:aa", "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": "sha256:bb", "platform": {"os": "linux", "architecture": "arm64"}},
        ],
    }
).encode()
INDEX_DIGEST = f"sha256:{hashlib.sha256(INDEX).hexdigest()}"

Answer = tuple[int, dict[str, str], bytes]
Request = tuple[str, dict[str, str]]


class StandIn:
    """A small HTTP server that answers from a table and remembers what it was asked.

    Stands for: registries, package repositories and the hub, as `tandem pin` asks them.
    Held by: nothing, none of them is in reach; the answers are of the form that their documentation has.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[dict[str, str]], Answer]] = {}
        self.requests: list[Request] = []
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stand_in.requests.append((self.path, dict(self.headers)))
                answer = stand_in.answers.get(self.path.partition("?")[0], lambda _headers: (404, {}, b"{}"))
                status, headers, body = answer(dict(self.headers))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def always(self, path: str, status: int = 200, body: bytes = b"{}", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[path] = lambda _headers: (status, named, body)

    def in_turn(self, path: str, *answers: Answer) -> None:
        remaining = list(answers)
        self.answers[path] = lambda _headers: remaining.pop(0) if len(remaining) > 1 else remaining[0]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parameter of us-east-1 exists; eu-west-1 has none."""
    for name, value in (
        ("AWS_ENDPOINT_URL", moto_url),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ):
        monkeypatch.setenv(name, value)
    boto3.client("ssm", region_name="us-east-1").put_parameter(
        Name="/tandem-test/image-id", Value=IMAGE_ID, Type="String", Overwrite=True
    )


def packages_file(*versions: tuple[str, str]) -> bytes:
    return "\n".join(
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n" for name, version in versions
    ).encode()


NVIDIA_PACKAGES = packages_file(
    ("nvidia-open", "580.82.07-1ubuntu1"),
    ("nvidia-open", "580.159.04-1ubuntu1"),
    ("nvidia-open", "580.95.05-1ubuntu1"),
    ("nvidia-open", "610.57.04-1ubuntu1"),
)
TOOLKIT = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
TOOLKIT_PACKAGES = packages_file(
    *((name, "1.20.1-1") for name in TOOLKIT),
    *((name, "1.20.2~rc.1-1") for name in TOOLKIT),
    ("nvidia-container-toolkit", "1.21.0-1"),
)
DOCKER_PACKAGES = packages_file(
    *(
        (name, version)
        for name in ("docker-ce", "docker-ce-cli")
        for version in (
            "5:29.9.3-1~ubuntu.24.04~noble",
            "5:29.10.0-1~ubuntu.24.04~noble",
            "5:28.5.2-1~ubuntu.24.04~noble",
        )
    )
)

CONTAINERD_PACKAGES = packages_file(
    ("containerd.io", "2.2.1-1~ubuntu.24.04~noble"), ("containerd.io", "1.7.29-1~ubuntu.24.04~noble")
)
EFS_PACKAGES = b"""\
Package: amazon-efs-utils
Version: 3.3.0-1
Filename: pool/main/a/amazon-efs-utils/amazon-efs-utils-3.3.0-1_amd64.deb
SHA256: 0303030303030303030303030303030303030303030303030303030303030303

Package: amazon-efs-utils
Version: 3.10.1-1
Filename: pool/main/a/amazon-efs-utils/amazon-efs-utils-3.10.1-1_amd64.deb
SHA256: 1010101010101010101010101010101010101010101010101010101010101010
"""
INDEXES = {
    "/nvidia/Packages.gz": gzip.compress(NVIDIA_PACKAGES),
    "/toolkit/Packages": TOOLKIT_PACKAGES,
    "/nvlsm/Packages.gz": gzip.compress(packages_file(("nvlsm", "2025.06.5-1"))),
    "/docker/Packages.gz": gzip.compress(DOCKER_PACKAGES),
    "/containerd/Packages.gz": gzip.compress(CONTAINERD_PACKAGES),
    "/efs/dists/24.04/main/binary-amd64/Packages": EFS_PACKAGES,
}
"""By path, in the order of the pins file."""


@pytest.fixture
def online(stand_in: StandIn, aws: None, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Every place answers: Docker's token authentication in front of the registry, the hub, the package indexes."""
    challenge = f'Bearer realm="{stand_in.url}/token",service="registry",scope="repository:vllm/vllm-openai:pull"'

    def manifest(headers: dict[str, str]) -> Answer:
        if headers.get("Authorization") != "Bearer anonymous-pull":
            return 401, {"WWW-Authenticate": challenge}, b"{}"
        return 200, {"Docker-Content-Digest": INDEX_DIGEST}, INDEX

    stand_in.answers[MANIFEST_PATH] = manifest
    stand_in.always(EDGE_PATH, body=INDEX)
    stand_in.always(GATEWAY_PATH, body=INDEX)
    stand_in.always("/token", body=b'{"token": "anonymous-pull"}')
    stand_in.always(HUB_PATH, body=hub_answer())
    stand_in.always("/api/models/Qwen/Qwen3-32B-FP8/revision/main", body=hub_answer())
    for path, body in INDEXES.items():
        stand_in.always(path, body=body)
    monkeypatch.setenv("TANDEM_REGISTRY_URL", stand_in.url)
    monkeypatch.setenv("HF_ENDPOINT", stand_in.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return stand_in


@pytest.fixture
def file(tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scratch copy of the shipped pins: package indexes and parameter of the stand-ins, us-east-1 only."""
    path = tmp_path / "pins.toml"
    text = re.sub(r'parameter = "[^"]*"', 'parameter = "/tandem-test/image-id"', SHIPPED)
    text = re.sub(r"(?m)^(eu-west-1|us-west-2) = .*\n", "", text)
    indexes = iter(INDEXES)
    text = re.sub(r'index = ".*"', lambda _match: f'index = "{stand_in.url}{next(indexes)}"', text)
    path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("TANDEM_PINS_FILE", str(path))
    return path


def outcomes(rows: list[pin.Row]) -> dict[str, str]:
    return {row.pin.key: row.outcome for row in rows}


def run(file: Path, mode: Any = "fill", **selection: Any) -> list[pin.Row]:
    return pin.run(file, Selection(**selection), mode, Http(), TODAY)


# -- what is written ---------------------------------------------------------------------------------------------------


def test_every_empty_pin_is_looked_up_and_written_with_day_and_source(file: Path, online: StandIn) -> None:
    assert outcomes(run(file)) == {
        "vllm.digest": "written",
        "edge.digest": "written",
        "gateway.digest": "written",
        "nvidia_driver.version": "kept",
        "container_toolkit.version": "kept",
        "nvlink_subnet_manager.version": "written",
        "docker.version": "written",
        "containerd.version": "written",
        "efs_utils.file": "written",
        "machine_image.ubuntu.regions.us-east-1.id": "written",
        "machine_image.dlami.regions.us-east-1.id": "written",
        'models."Qwen/Qwen3-32B-FP8".revision': "written",
        'models."Qwen/Qwen3-8B".revision': "written",
    }
    written = pin_file.load(file)
    assert (written.vllm.digest, written.vllm.source, written.vllm.resolved) == (
        INDEX_DIGEST,
        online.url + MANIFEST_PATH,
        TODAY,
    )
    assert (written.docker.version, written.docker.source) == ("29.10.0", f"{online.url}/docker/Packages.gz")
    image = written.machine_image.ubuntu.regions["us-east-1"]
    assert (image.id, image.resolved) == (IMAGE_ID, TODAY)
    assert image.source == "arn:aws:ssm:us-east-1:123456789012:parameter/tandem-test/image-id"
    model = written.models["Qwen/Qwen3-8B"]
    assert (model.revision, model.source, model.resolved) == (COMMIT, online.url + HUB_PATH, TODAY)
    assert model.manifest == MANIFEST
    assert written.missing("us-east-1", ["Qwen/Qwen3-8B"]) == []


def test_comments_and_order_survive(file: Path, online: StandIn) -> None:
    def comments(text: str) -> list[str]:
        return re.findall(r"(?m)(?:^|\s)#.*", text)

    def keys(text: str) -> list[str]:
        return re.findall(r'(?m)^(\[.*?\]|[\w"/.-]+ =)', re.sub(r"(?m)^(resolved|source) = .*\n", "", text))

    before = file.read_text()
    run(file)
    after = file.read_text()
    assert comments(after) == comments(before)
    assert keys(after) == keys(before)


def test_a_second_run_changes_nothing_and_asks_nobody(file: Path, online: StandIn) -> None:
    run(file)
    once = file.read_bytes()
    online.requests.clear()
    assert set(outcomes(run(file)).values()) == {"kept"}
    assert online.requests == []
    assert file.read_bytes() == once


def test_update_asks_again_and_writes_only_what_changed(file: Path, online: StandIn) -> None:
    run(file, "update")
    once = file.read_bytes()
    assert set(outcomes(run(file, "update")).values()) == {"current"}
    assert file.read_bytes() == once
    online.always(HUB_PATH, body=hub_answer("d" * 40))
    changed = [key for key, outcome in outcomes(run(file, "update")).items() if outcome == "written"]
    assert changed == ['models."Qwen/Qwen3-8B".revision']
    assert pin_file.load(file).models["Qwen/Qwen3-8B"].revision == "d" * 40


def test_a_revision_that_lacks_its_manifest_gets_it_and_stays(file: Path, online: StandIn) -> None:
    file.write_text(file.read_text().replace('8B" = { revision = "", ', f'8B" = {{ revision = "{"d" * 40}", '))
    online.always(HUB_PATH.replace("main", "d" * 40), body=hub_answer("d" * 40))
    assert set(outcomes(run(file, models=("Qwen/Qwen3-8B",))).values()) == {"written"}
    model = pin_file.load(file).models["Qwen/Qwen3-8B"]
    assert (model.revision, model.manifest) == ("d" * 40, MANIFEST)


def test_a_model_without_weights_that_vllm_loads_is_not_pinned(file: Path, online: StandIn) -> None:
    siblings = [SIBLINGS[1], {"rfilename": "model.gguf", "size": 5, "blobId": "5" * 40}]
    online.always(HUB_PATH, body=hub_answer(siblings=siblings))
    [row] = run(file, models=("Qwen/Qwen3-8B",))
    assert row.problem
    assert row.problem.wrong.startswith("the model has no config.json, or no weights")
    assert row.problem.value == "config.json, model.gguf"


def test_packages_are_the_newest_that_the_repository_has_of_all_and_of_the_driver_branch(
    file: Path, online: StandIn
) -> None:
    run(file, "update", packages=True)
    written = pin_file.load(file)
    assert written.nvidia_driver.version == "580.159.04"
    assert written.nvidia_driver.source == f"{online.url}/nvidia/Packages.gz"
    assert written.container_toolkit.version == "1.20.1"
    assert written.nvlink_subnet_manager.version == "2025.06.5"
    assert written.docker.version == "29.10.0"
    assert written.containerd.version == "2.2.1"


def test_the_mount_helper_of_efs_is_pinned_as_a_file_with_its_checksum(file: Path, online: StandIn) -> None:
    run(file, packages=True)
    assert pin_file.load(file).efs_utils.file == (
        f"{online.url}/efs/pool/main/a/amazon-efs-utils/amazon-efs-utils-3.10.1-1_amd64.deb#sha256={'10' * 32}"
    )


def test_a_selection_touches_nothing_else(file: Path, online: StandIn) -> None:
    rows = run(file, models=("Qwen/Qwen3-8B",))
    assert outcomes(rows) == {'models."Qwen/Qwen3-8B".revision': "written"}
    assert [path for path, _headers in online.requests] == [f"{HUB_PATH}?blobs=true"]


def test_a_region_and_a_model_that_the_file_lacks_get_rows(file: Path, online: StandIn) -> None:
    boto3.client("ssm", region_name="ap-south-1").put_parameter(
        Name="/tandem-test/image-id", Value=IMAGE_ID, Type="String", Overwrite=True
    )
    online.always("/api/models/acme/new-model/revision/main", body=hub_answer())
    run(file, regions=("ap-south-1",), models=("acme/new-model",))
    written = pin_file.load(file)
    assert written.machine_image.ubuntu.regions["ap-south-1"].id == IMAGE_ID
    assert written.machine_image.dlami.regions["ap-south-1"].id == IMAGE_ID
    assert written.models["acme/new-model"].revision == COMMIT


def test_what_was_written_before_an_interruption_stays(file: Path, online: StandIn) -> None:
    def interrupted(row: pin.Row) -> None:
        if row.pin.key == "docker.version":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pin.run(file, Selection(), "fill", Http(), TODAY, interrupted)
    written = pin_file.load(file)
    assert written.vllm.digest == INDEX_DIGEST
    assert written.docker.version == "29.10.0"
    assert written.model_revision("Qwen/Qwen3-8B") == ""
    assert [path.name for path in file.parent.iterdir()] == ["pins.toml"]


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _descriptor: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        pin.replace_file(file, SHIPPED)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["pins.toml"]


def test_another_run_meanwhile_keeps_its_pins(file: Path, online: StandIn) -> None:
    """Two people pin at once: each write starts from the file as it then is."""

    def hub_while_someone_else_pins(_headers: dict[str, str]) -> Answer:
        file.write_text(file.read_text().replace('version = ""', 'version = "28.5.2"'))
        return 200, {}, hub_answer()

    online.answers[HUB_PATH] = hub_while_someone_else_pins
    run(file, models=("Qwen/Qwen3-8B",))
    written = pin_file.load(file)
    assert (written.docker.version, written.model_revision("Qwen/Qwen3-8B")) == ("28.5.2", COMMIT)


# -- checking ----------------------------------------------------------------------------------------------------------


def test_check_names_empty_and_outdated_pins_and_writes_nothing(file: Path, online: StandIn) -> None:
    run(file, models=("Qwen/Qwen3-8B",))
    online.always(HUB_PATH, body=hub_answer("d" * 40))
    before = file.read_bytes()
    found = outcomes(run(file, "check", image=True, models=("Qwen/Qwen3-8B",), regions=("ap-south-1",)))
    assert found == {
        "vllm.digest": "empty",
        "edge.digest": "empty",
        "gateway.digest": "empty",
        "machine_image.ubuntu.regions.ap-south-1.id": "empty",
        "machine_image.dlami.regions.ap-south-1.id": "empty",
        'models."Qwen/Qwen3-8B".revision': "outdated",
    }
    assert file.read_bytes() == before


def test_check_is_content_when_all_is_current(file: Path, online: StandIn) -> None:
    run(file, "update")
    assert set(outcomes(run(file, "check")).values()) == {"current"}


# -- the registry ------------------------------------------------------------------------------------------------------


def test_the_registry_is_asked_for_an_index_with_an_anonymous_token(online: StandIn) -> None:
    found = lookups.image_digest("docker.io/vllm/vllm-openai", "v0.32.0", Http())
    assert found == lookups.Found(INDEX_DIGEST, online.url + MANIFEST_PATH)
    assert [path for path, _headers in online.requests] == [
        MANIFEST_PATH,
        "/token?service=registry&scope=repository%3Avllm%2Fvllm-openai%3Apull",
        MANIFEST_PATH,
    ]
    assert online.requests[0][1]["Accept"].startswith("application/vnd.oci.image.index.v1+json, ")


def image_problem(online: StandIn) -> str:
    with pytest.raises(UserError) as caught:
        lookups.image_digest("docker.io/vllm/vllm-openai", "v0.32.0", Http())
    [problem] = caught.value.problems
    assert problem.key == "docker.io/vllm/vllm-openai:v0.32.0"
    assert problem.fix
    return problem.wrong


def test_a_manifest_that_does_not_match_its_digest_is_refused(online: StandIn) -> None:
    online.always(MANIFEST_PATH, body=INDEX, Docker_Content_Digest=f"sha256:{'0' * 64}")
    assert image_problem(online) == "the manifest does not match the digest that the registry claims"


def test_a_single_manifest_is_pinned_as_it_is(online: StandIn) -> None:
    body = b'{"mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}'
    online.always(MANIFEST_PATH, body=body)
    found = lookups.image_digest("docker.io/vllm/vllm-openai", "v0.32.0", Http())
    assert found.value == f"sha256:{hashlib.sha256(body).hexdigest()}"


def test_an_index_without_amd64_is_refused(online: StandIn) -> None:
    online.always(MANIFEST_PATH, body=INDEX.replace(b"amd64", b"s390x"))
    assert image_problem(online) == "the image has no linux/amd64"


@pytest.mark.parametrize(
    ("status", "headers", "wrong"),
    [
        (404, {}, "the registry has no such tag"),
        (403, {}, "the registry denies access: the image is private or does not exist"),
        (500, {}, "the registry did not give the manifest"),
        (401, {"WWW_Authenticate": 'Basic realm="x"'}, "the registry asks for a login that `tandem pin` does not know"),
    ],
)
def test_what_the_registry_refuses_is_said(online: StandIn, status: int, headers: dict[str, str], wrong: str) -> None:
    online.always(MANIFEST_PATH, status, b"{}", **headers)
    assert image_problem(online) == wrong


def test_no_token_is_said(online: StandIn) -> None:
    online.always("/token", 403)
    assert image_problem(online) == "the registry's token service gives no anonymous token"


def test_a_login_page_instead_of_an_answer_is_said(online: StandIn) -> None:
    online.always(MANIFEST_PATH, body=b"<html>Welcome to the hotel", Content_Type="text/html")
    assert image_problem(online) == "the answer is not JSON: a proxy or a login page stands in between"


# -- the hub -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "token", "wrong"),
    [
        (401, "GatedRepo", None, "the model is gated"),
        (403, "GatedRepo", "hf_secret", "the model is gated, and this token may not read it"),
        (401, "RepoNotFound", None, "the hub has no such model, or hides it from this token"),
        (404, "RepoNotFound", "hf_secret", "the hub has no such model, or hides it from this token"),
    ],
)
def test_what_the_hub_refuses_is_said_and_the_token_is_not(
    online: StandIn, monkeypatch: pytest.MonkeyPatch, status: int, code: str, token: str | None, wrong: str
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    online.always(HUB_PATH, status, X_Error_Code=code)
    with pytest.raises(UserError) as caught:
        lookups.model_revision("Qwen/Qwen3-8B", Http())
    assert [problem.wrong for problem in caught.value.problems] == [wrong]
    assert "hf_secret" not in str(caught.value)


def test_the_token_goes_to_the_hub_and_to_nobody_else(
    file: Path, online: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    run(file)
    told = {path.partition("?")[0] for path, headers in online.requests if "hf_secret" in str(headers)}
    assert told == {HUB_PATH, "/api/models/Qwen/Qwen3-32B-FP8/revision/main"}
    assert "hf_secret" not in file.read_text()


def test_a_revision_that_is_no_commit_is_not_written(file: Path, online: StandIn) -> None:
    online.always(HUB_PATH, body=hub_answer("main"))
    before = file.read_bytes()
    [row] = run(file, models=("Qwen/Qwen3-8B",))
    assert row.outcome == "failed"
    assert row.problem
    assert row.problem.wrong == "malformed pin"
    assert file.read_bytes() == before


# -- busy and absent servers -------------------------------------------------------------------------------------------


def test_a_busy_server_is_asked_again_as_it_wishes(stand_in: StandIn) -> None:
    busy: Answer = (429, {"Retry-After": "7"}, b"{}")
    stand_in.in_turn("/x", busy, (503, {}, b"{}"), (200, {}, b"done"))
    waits: list[float] = []
    response = Http(sleep=waits.append).get(f"{stand_in.url}/x", key="x")
    assert response.content == b"done"
    assert waits == [7, 2]


def test_a_server_that_asks_for_more_than_the_deadline_is_not_waited_for(stand_in: StandIn) -> None:
    stand_in.always("/x", 429, Retry_After="3600")
    waits: list[float] = []
    with pytest.raises(UserError, match="is busy or limits requests, and asks to wait 3600 s"):
        Http(deadline_seconds=60, sleep=waits.append).get(f"{stand_in.url}/x", key="x")
    assert waits == []
    assert len(stand_in.requests) == 1


def test_a_server_that_stays_busy_is_given_up_at_the_deadline(stand_in: StandIn) -> None:
    stand_in.always("/x", 503)
    with pytest.raises(UserError, match=r"an answer within 0\.5 s"):
        Http(deadline_seconds=0.5).get(f"{stand_in.url}/x", key="x")


def test_a_name_that_does_not_resolve_is_said() -> None:
    with pytest.raises(UserError, match=r"registry\.invalid cannot be reached \(its name does not resolve\)"):
        Http().get("http://registry.invalid/x", key="x")


def test_a_refused_connection_is_said(stand_in: StandIn) -> None:
    stand_in.stop()
    with pytest.raises(UserError, match=r"cannot be reached \(connection refused\)"):
        Http().get(f"{stand_in.url}/x", key="x")


def test_a_server_that_never_answers_is_given_up() -> None:
    silent = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)  # listens, and nobody serves
    try:
        with pytest.raises(UserError, match=r"cannot be reached \(no answer in time\)"):
            Http(timeout_seconds=0.2).get(f"http://127.0.0.1:{silent.server_address[1]}/x", key="x")
    finally:
        silent.server_close()


# -- packages and parameters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "wrong"),
    [
        (404, b"", "the package index is not there"),
        (200, packages_file(("other", "1.0-1")), "the index has no version of all the packages"),
    ],
)
def test_what_a_package_index_lacks_is_said(online: StandIn, status: int, body: bytes, wrong: str) -> None:
    online.always("/docker/Packages.gz", status, body)
    with pytest.raises(UserError, match=wrong):
        lookups.package_versions(f"{online.url}/docker/Packages.gz", ("docker-ce",), Http())


def test_a_branch_that_nvidia_no_longer_publishes_is_said(file: Path, online: StandIn) -> None:
    online.always("/nvidia/Packages.gz", body=packages_file(("nvidia-open", "610.57.04-1ubuntu1")))
    row = run(file, "update", packages=True)[0]
    assert row.problem
    assert (row.problem.wrong, row.problem.value) == ("the package index has no version of the pinned branch", 580)


def test_a_parameter_that_the_region_lacks_is_said(aws: None) -> None:
    with pytest.raises(UserError, match="AWS has no such parameter in this region"):
        lookups.public_parameter("/tandem-test/image-id", "eu-west-1")


def without_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    boto3.DEFAULT_SESSION = None


def test_missing_credentials_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_credentials(monkeypatch, tmp_path)
    with pytest.raises(UserError, match="there are no AWS credentials in this shell"):
        lookups.public_parameter("/tandem-test/image-id", "us-east-1")


# -- the command -------------------------------------------------------------------------------------------------------


def test_one_place_down_does_not_stop_the_others(file: Path, online: StandIn) -> None:
    online.always("/docker/Packages.gz", 404)
    result = CliRunner().invoke(app, ["pin", "--json"])
    assert isinstance(result.exception, UserError)
    assert [problem.key for problem in result.exception.problems] == ["docker.version"]
    told = json.loads(result.stdout)
    rows = {row["pin"]: row for row in told["pins"]}
    assert rows["docker.version"]["outcome"] == "failed"
    assert [(one["key"], one["wrong"]) for one in told["problems"]] == [
        ("docker.version", "the package index is not there")
    ]
    assert rows["vllm.digest"] == {
        "pin": "vllm.digest",
        "outcome": "written",
        "old": "",
        "new": INDEX_DIGEST,
        "source": online.url + MANIFEST_PATH,
    }
    written = pin_file.load(file)
    assert (written.docker.version, written.model_revision("Qwen/Qwen3-8B")) == ("", COMMIT)


def test_one_cause_is_said_once(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_credentials(monkeypatch, tmp_path)
    result = CliRunner().invoke(app, ["pin", "--json", "--region", "us-east-1", "--region", "eu-west-1"])
    told = json.loads(result.stdout)
    assert [row["outcome"] for row in told["pins"]] == ["failed"] * 4
    (cause,) = told["problems"]
    assert cause["wrong"] == "there are no AWS credentials in this shell"
    assert cause["key"].endswith(" and 1 more")
    assert result.output.count(cause["wrong"]) + str(result.exception).count(cause["wrong"]) == 2, "JSON, and message"


def test_the_exit_status_of_check_and_offline(file: Path, online: StandIn) -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["pin", "--offline"]).exit_code == 1
    assert runner.invoke(app, ["pin", "--check"]).exit_code == 1
    assert runner.invoke(app, ["pin", "--update"]).exit_code == 0
    assert runner.invoke(app, ["pin", "--check"]).exit_code == 0
    online.requests.clear()
    assert runner.invoke(app, ["pin", "--offline"]).exit_code == 0
    assert online.requests == []


def test_the_table_names_each_pin_with_its_outcome(file: Path, online: StandIn) -> None:
    table = CliRunner().invoke(app, ["pin", "--image"], env={"COLUMNS": "200"}).stdout
    assert re.search(rf"vllm\.digest .* written .* {INDEX_DIGEST[:19]}… .*manifests/v0\.32\.0", table)
