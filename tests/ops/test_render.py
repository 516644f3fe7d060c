"""`tandem render`: the documents of the shipped stacks, without AWS and without an engine."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tandem.errors import UserError
from tandem.ops.cli import app
from tandem.ops.commands.render import documents, stack_config


@pytest.mark.parametrize("stack", ["dev", "prod-ec2"])
def test_a_shipped_stack_renders_whole(stack: str) -> None:
    rendered = documents(stack_config(stack))
    assert gzip.decompress(bytes(rendered["user-data.gz"])).decode() == rendered["user-data.yaml"]
    assert {"nginx.conf", "compose/compose.yaml", "compose/nginx.conf"} < set(rendered)
    assert "host/etc/systemd/system/vllm@.service" in rendered


def test_pods_have_no_documents_of_hosts() -> None:
    with pytest.raises(UserError, match="no hosts of its own to render"):
        stack_config("prod")


def test_compose_has_a_server_for_each_pair_and_nginx_knows_them() -> None:
    rendered = documents(stack_config("dev"))
    services = yaml.safe_load(rendered["compose/compose.yaml"])["services"]
    assert list(services) == ["edge", "keys", "prepare", "vllm-0", "vllm-1"]
    assert {"compose/tandem/agent.py", "compose/tandem/hub.py", "compose/edge.js"} < set(rendered)
    nginx = rendered["compose/nginx.conf"]
    assert "server vllm-0:8000;" in nginx
    assert "server vllm-1:8000;" in nginx


def test_output_writes_every_document(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["render", "dev", "--output", str(tmp_path)])
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert done.exit_code == 0
    assert written == set(documents(stack_config("dev")))


def test_one_document_goes_to_standard_output() -> None:
    done = CliRunner().invoke(app, ["render", "dev", "nginx.conf"])
    assert done.stdout == documents(stack_config("dev"))["nginx.conf"]


def test_the_list_gives_sizes() -> None:
    done = CliRunner().invoke(app, ["render", "dev"])
    assert f"{len(documents(stack_config('dev'))['user-data.gz']):>7,}  user-data.gz" in done.stdout


@pytest.mark.parametrize(("arguments", "key"), [(["dev", "nope"], "document"), (["nope"], r"Pulumi\.nope\.yaml")])
def test_what_is_not_there_is_named(arguments: list[str], key: str) -> None:
    done = CliRunner().invoke(app, ["render", *arguments])
    assert isinstance(done.exception, UserError)
    assert done.exception.problems[0].key == key.replace("\\", "")
