"""What a host's metrics agent asks, and where it writes to; the real vmagent does so in tests/real."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import stacks
from scripts import Load

from tandem.host.render import METRICS_AGENT, render_files

UNIT = "/etc/systemd/system/tandem-metrics.service"
URL = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-0/api/v1/remote_write"
WRITES = replace(stacks.config("prod-ec2"), remote_write_url=URL, remote_write_region="eu-west-1")


def host_json(files: dict[str, str]) -> dict:
    return json.loads(files["/etc/tandem/host.json"])


def test_only_hosts_that_write_have_the_agent_and_its_unit() -> None:
    others, these = render_files(stacks.config("prod-ec2")), render_files(WRITES)
    assert {*these} - {*others} == {UNIT}
    assert "remote_write" not in host_json(others)
    assert host_json(these)["remote_write"] == {
        "url": URL,
        "region": "eu-west-1",
        "labels": {"stack": "prod-ec2", "model": "main"},
    }
    packages = [host_json(files)["host_packages"] for files in (these, others)]
    assert {*packages[0]} - {*packages[1]} == {METRICS_AGENT}


def test_the_package_s_own_service_never_starts(load: Load, on, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load(host_packages=["nginx", METRICS_AGENT])
    machine = on(scripts.toolkit)
    monkeypatch.setattr(scripts.toolkit, "missing", lambda packages: packages)
    scripts.toolkit.run()
    assert machine.commands[0] == f"systemctl mask nginx {METRICS_AGENT}"


@pytest.mark.parametrize("writes", [True, False])
def test_it_starts_with_the_servers(load: Load, on, monkeypatch: pytest.MonkeyPatch, writes: bool) -> None:
    scripts = load(**({"remote_write": {}} if writes else {}))
    machine = on(scripts.serve)
    monkeypatch.setattr(scripts.serve, "restore_cache", lambda number: None)
    scripts.serve.run()
    assert ("tandem-metrics" in machine.commands[-1]) == writes


def test_each_server_and_the_agent_beside_the_edge_are_asked(load: Load) -> None:
    scripts = load(remote_write=host_json(render_files(WRITES))["remote_write"])
    rows = [{"replica": number, "gpus": [], "port": 8001 + number} for number in range(2)]
    scripts.host.write(scripts.serve.REPLICAS, json.dumps(rows))
    (job,) = scripts.remote_write.scraped()["scrape_configs"]
    of_all = {"stack": "prod-ec2", "model": "main", "host": "i-0"}
    assert job["static_configs"] == [
        {"targets": ["127.0.0.1:8001"], "labels": {**of_all, "replica": "0"}},
        {"targets": ["127.0.0.1:8002"], "labels": {**of_all, "replica": "1"}},
        {"targets": ["127.0.0.1:5514"], "labels": of_all},
    ]


def test_only_amazons_wants_it_signed(load: Load) -> None:
    scripts = load(remote_write={"url": URL, "region": "eu-west-1", "labels": {}})
    signed = scripts.remote_write.command(Path("/var/lib/x"))
    assert {"-remoteWrite.aws.useSigv4=true", "-remoteWrite.aws.region=eu-west-1"} < {*signed}
    scripts.host.CONFIG["remote_write"]["region"] = None
    assert not any("aws" in flag for flag in scripts.remote_write.command(Path("/var/lib/x"))[3:])
