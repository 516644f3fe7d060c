"""Rendering: deterministic, small, complete, and free of secrets."""

from __future__ import annotations

import configparser
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
import stacks
import yaml

from tandem.catalog.instances import INSTANCE_TYPES
from tandem.edge import EDGE_COMMAND
from tandem.errors import UserError
from tandem.host.config import HostConfig, Packages, Pinned
from tandem.host.render import (
    FIRST,
    render_bake_user_data,
    render_cloud_config,
    render_compose,
    render_files,
    render_nginx,
    render_pins,
    render_user_data,
)
from tandem.scripts import host_archive
from tandem.serving.vllm import profile

EDGE = "docker.io/nginxinc/nginx-unprivileged@sha256:" + "e" * 64
GOLDEN = stacks.ROOT / "tests/host/golden"
BAR_BYTES, WORST_BYTES, BAKE_BYTES = 9_000, 12_288, 14_336


def rendered(name: str) -> dict[str, str]:
    """All that a reviewer reads of a stack. The first stage's scripts are the same in each, in dev's user data."""
    config = stacks.config(name)
    files = render_files(config)
    golden = {
        "host.json": json.dumps(json.loads(files["/etc/tandem/host.json"]), indent=2) + "\n",
        "nginx.conf": render_nginx(config),
        "preferences": files["/etc/apt/preferences.d/tandem"],
        "compose.yaml": render_compose(config, edge_image=EDGE),
        **{path.rsplit("/", 1)[1]: text for path, text in files.items() if "/systemd/system/" in path},
    }
    return golden | ({"user-data.yaml": render_cloud_config(config)} if name == "dev" else {})


@pytest.mark.parametrize("name", stacks.NAMES)
def test_what_is_rendered_is_what_was_reviewed(name: str) -> None:
    directory = GOLDEN / name
    if os.environ.get("GOLDEN_UPDATE"):
        directory.mkdir(parents=True, exist_ok=True)
        for stale in directory.iterdir():
            stale.unlink()
        for file, text in rendered(name).items():
            (directory / file).write_text(text, encoding="utf-8")
    golden = {path.name: path.read_text(encoding="utf-8") for path in directory.iterdir()}
    assert rendered(name) == golden, "if this is meant: `make golden`, then review the difference"


def with_real_ids(config: HostConfig) -> HostConfig:
    """A configuration whose pins and ids are as hard to compress as those of a stack that is up."""
    digits = iter(hashlib.sha512(name.encode()).hexdigest() for name in "abcdefgh")
    arn, secret = config.target_group_arn.rsplit("/", 1)[0], config.keys_secret_arns[0].rsplit("-", 1)[0]
    return replace(
        config,
        engine=replace(
            config.engine,
            image=f"{config.engine.image.partition(':')[0]}:{next(digits)[:64]}",
            revision=next(digits)[:40],
        ),
        target_group_arn=f"{arn}/{next(digits)[:16]}".replace("0" * 12, "482917365018"),
        keys_secret_arns=[f"{secret}-{next(digits)[:6]}".replace("0" * 12, "482917365018")],
        packages=replace(config.packages, efs_utils=config.packages.efs_utils.replace("0" * 64, next(digits)[:64])),
        scripts_url=config.scripts_url.replace("0" * 64, next(digits)[:64]).replace("0000000", "4be81f0"),
        efs_file_system_id=f"fs-{next(digits)[:17]}",
        efs_access_point_id=f"fsap-{next(digits)[:17]}",
    )


@pytest.mark.parametrize("name", stacks.NAMES)
def test_user_data_unpacks_to_the_document_and_stays_under_the_bar(name: str) -> None:
    config = with_real_ids(stacks.config(name))
    data = render_user_data(config)
    assert gzip.decompress(data).decode() == render_cloud_config(config)
    assert len(data) <= BAR_BYTES


def test_all_instance_types_and_many_paths_have_room() -> None:
    config = with_real_ids(stacks.config("prod-ec2"))
    more = [f"/v1/{path}" for path in ("messages", "messages/*", "rerank", "score", "pooling", "classify", "tokenize")]
    edge = replace(config.edge, paths=[*config.edge.paths, *more])
    data = render_user_data(replace(config, edge=edge, instance_types=list(INSTANCE_TYPES.values())))
    assert len(data) <= WORST_BYTES


def test_the_same_settings_give_the_same_bytes() -> None:
    assert render_user_data(stacks.config("prod-ec2")) == render_user_data(stacks.config("prod-ec2"))
    assert render_user_data(stacks.config("prod-ec2"))[4:8] == b"\0\0\0\0", "gzip's time stamp is zero"


def test_cloud_config_writes_every_file_as_rendered() -> None:
    document = yaml.safe_load(render_cloud_config(stacks.config("prod-ec2")))
    written = {entry["path"]: entry["content"] for entry in document["write_files"]}
    assert written == render_files(stacks.config("prod-ec2"))
    assert document["runcmd"] == ["systemctl daemon-reload", "systemctl enable --now --no-block tandem-boot"]


@pytest.mark.parametrize("name", stacks.NAMES)
def test_every_unit_has_its_sections_and_something_to_run(name: str) -> None:
    files = render_files(stacks.config(name))
    units = {path: text for path, text in files.items() if "/systemd/system/" in path and ".d/" not in path}
    assert len(units) == 9
    for path, text in units.items():
        read = configparser.RawConfigParser(strict=False, delimiters="=")
        read.optionxform = str  # type: ignore[assignment]
        read.read_string(text)
        kind = "Slice" if path.endswith(".slice") else "Service"
        assert set(read.sections()) - {"Unit", "Install"} == {kind}, path
        assert kind == "Slice" or read.has_option("Service", "ExecStart"), path
        assert not [line for line in text.splitlines() if "[" in line[1:]], path


def test_a_shutdown_does_not_stop_the_servers_before_the_host_has_left() -> None:
    """systemd stops a slice, and the containers in it, at once when a shutdown begins; the unit has to stay out."""
    assert "DefaultDependencies=no" in render_files(stacks.config("dev"))["/etc/systemd/system/vllm.slice"]


def test_too_large_is_refused_with_the_figure() -> None:
    config = stacks.config("dev")
    engine = replace(config.engine, served_model_name=os.urandom(10_000).hex())
    with pytest.raises(UserError) as refused:
        render_user_data(replace(config, engine=engine))
    (problem,) = refused.value.problems
    size = int(str(problem.value).removesuffix(" bytes").replace(",", ""))
    assert size > 16_384
    assert problem.allowed == "up to 16,384 bytes of gzip"


def test_probe_takes_a_path_that_the_edge_lets_in() -> None:
    probes = {}
    for name in stacks.NAMES:
        probes[name] = json.loads(render_files(stacks.config(name))["/etc/tandem/host.json"])["probe"]
    assert probes["dev"]["path"] == "/v1/completions"
    assert probes["eight-gpus"] == {
        "path": "/v1/chat/completions",
        "body": {"model": "gpt-oss", "messages": [{"role": "user", "content": "1"}], "max_tokens": 1},
    }
    assert probes["embed"] == {"path": "/v1/embeddings", "body": {"model": "BAAI/bge-m3", "input": "1"}}


def test_fabric_manager_and_modules_follow_the_instance_type() -> None:
    def types(name: str) -> dict[str, dict[str, object]]:
        return json.loads(render_files(stacks.config(name))["/etc/tandem/host.json"])["instance_types"]

    assert types("eight-gpus")["p5en.48xlarge"]["driver_packages"] == ["nvidia-open", "nvidia-fabricmanager"]
    assert types("dev")["g6.12xlarge"]["driver_packages"] == ["nvidia-open"]
    assert types("dev")["g5.12xlarge"]["driver_packages"] == ["cuda-drivers"]


def test_what_the_driver_brings_along_is_pinned_above_whatever_a_repository_says() -> None:
    assert render_pins(stacks.config("dev")) == (
        "Package: *nvidia* cuda-drivers*\nPin: version 580.0.0-*\nPin-Priority: 1001\n"
    )


def test_an_unpinned_driver_stays_on_its_branch() -> None:
    config = stacks.config("dev")
    nothing = Pinned(names=["any"])
    packages = Packages(toolkit=nothing, docker=nothing, containerd=nothing, subnet_manager=nothing)
    unpinned = replace(config, packages=packages)
    assert render_pins(unpinned) == "Package: *nvidia* cuda-drivers*\nPin: version 580.*\nPin-Priority: 1001\n"
    assert set(json.loads(render_files(unpinned)["/etc/tandem/host.json"])["pins"].values()) == {"580.*"}


def test_compose_splits_the_gpus_of_the_first_type_into_pairs() -> None:
    services = yaml.safe_load(render_compose(stacks.config("eight-gpus"), edge_image=EDGE))["services"]
    assert {name: service["devices"] for name, service in services.items() if name.startswith("vllm-")} == {
        f"vllm-{n}": [f"nvidia.com/gpu={2 * n}", f"nvidia.com/gpu={2 * n + 1}"] for n in range(4)
    }
    assert services["vllm-0"]["command"][:2] == ["openai/gpt-oss-120b", "--revision"]


@pytest.mark.parametrize(("gpus", "servers"), [(1, 8), (4, 2), (8, 1)])
def test_a_host_runs_a_server_for_each_group_of_gpus(gpus: int, servers: int) -> None:
    config = stacks.config("eight-gpus")
    config = replace(config, engine=replace(config.engine, tensor_parallel_size=gpus))
    files = render_files(config)
    host = json.loads(files["/etc/tandem/host.json"])
    arguments = host["arguments"]
    assert (host["gpus_each"], arguments[arguments.index("--tensor-parallel-size") + 1]) == (gpus, str(gpus))
    assert files["/etc/systemd/system/tandem-member.service"].count("vllm@") == servers
    services = yaml.safe_load(render_compose(config, edge_image=EDGE))["services"]
    devices = [service["devices"] for name, service in services.items() if name.startswith("vllm-")]
    assert [len(one) for one in devices] == [gpus] * servers
    assert [*chain(*devices)] == [f"nvidia.com/gpu={number}" for number in range(8)]


def test_one_gpu_reaches_no_other() -> None:
    """So nothing of its start may hang for that, and nothing is told against it."""
    assert profile(INSTANCE_TYPES["g6e.12xlarge"], 580, 2).over_pcie
    assert not profile(INSTANCE_TYPES["g6e.12xlarge"], 580, 1).over_pcie
    assert profile(INSTANCE_TYPES["g7e.12xlarge"], 580, 1).environment == {}


def test_compose_has_the_edge_of_pods() -> None:
    """Its agent shares nginx's network, over whose loopback it is told of requests, its tables, and its user."""
    services = yaml.safe_load(render_compose(stacks.config("dev"), edge_image=EDGE))["services"]
    edge, agent = services["edge"], services["keys"]
    assert (edge["image"], edge["entrypoint"]) == (EDGE, list(EDGE_COMMAND))
    assert agent["network_mode"] == "service:edge"
    assert edge["user"] == agent["user"]
    assert "run:/run/tandem" in {*edge["volumes"]} & {*agent["volumes"]}
    assert json.loads(agent["environment"]["TANDEM_SECRETS"])["keys"] == ["/run/clients/keys.json"]
    assert "./secrets:/run/clients:ro" in agent["volumes"]
    assert {*json.loads(agent["environment"]["TANDEM_POD"])} >= {"served_model_name", "agent_port"}
    assert [name for name, service in services.items() if "ports" in service] == ["edge"]


def test_compose_has_weights_checked_as_in_pods_before_servers_start() -> None:
    services = yaml.safe_load(render_compose(stacks.config("dev"), edge_image=EDGE))["services"]
    prepare = services["prepare"]
    assert prepare["entrypoint"] == ["python3", "/tandem/pod.py", "prepare"]
    assert json.loads(prepare["environment"]["TANDEM_SECRETS"])["hubToken"] is None, "it takes HF_TOKEN"
    pod = json.loads(prepare["environment"]["TANDEM_POD"])
    assert (pod["model"], pod["revision"], pod["weights"]) == (stacks.config("dev").engine.model, "0" * 40, "efs")
    for server in (services["vllm-0"], services["vllm-1"]):
        assert server["depends_on"] == {"prepare": {"condition": "service_completed_successfully"}}
        assert server["environment"]["HF_HUB_OFFLINE"] == "1"
        assert server["volumes"][0] == "hub:/models:ro"


def test_no_document_uses_the_legacy_gpu_hook() -> None:
    for name in stacks.NAMES:
        assert "--gpus" not in "".join(rendered(name).values())


def imports(files: dict[str, str], module: str, root: Path) -> str:
    """What Python says when a machine with these files, and no others of ours, imports a module."""
    for path, text in files.items():
        (root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (root / path.lstrip("/")).write_text(text)
    command = [sys.executable, "-c", f"import {module}"]
    variables = {"TANDEM_ROOT": str(root)}
    return subprocess.run(command, cwd=root / "opt/tandem", env=variables, capture_output=True, text=True).stderr


@pytest.mark.parametrize("name", stacks.NAMES)
def test_user_data_has_every_module_that_the_first_stage_imports(name: str, tmp_path: Path) -> None:
    files = render_files(stacks.config(name))
    assert sorted(path for path in files if path.startswith("/opt/")) == sorted(f"/opt/tandem/{one}" for one in FIRST)
    assert imports(files, "unpack", tmp_path) == ""


@pytest.mark.parametrize("module", ["boot", "leave", "watchdog", "serve", "edge_keys", "remote_write"])
def test_the_object_has_every_module_that_units_run(module: str, tmp_path: Path) -> None:
    config = "/etc/tandem/host.json"
    with tarfile.open(fileobj=io.BytesIO(host_archive(render_nginx(stacks.config("dev")))[1])) as archive:
        archive.extractall(tmp_path / "opt/tandem", filter="data")
    assert imports({config: render_files(stacks.config("dev"))[config]}, module, tmp_path) == ""


def test_a_bake_has_every_module_that_it_imports_in_user_data_that_is_small(tmp_path: Path) -> None:
    data = render_bake_user_data(with_real_ids(stacks.config("prod-ec2")), weights=True)
    document = yaml.safe_load(gzip.decompress(data))
    files = {entry["path"]: entry["content"] for entry in document["write_files"]}
    assert imports(files, "bake", tmp_path) == ""
    assert len(data) <= BAKE_BYTES
