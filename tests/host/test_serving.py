"""Replicas: groups of GPUs by topology, the container of each."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from scripts import Load

from tandem.serving.vllm import GUESSES_PAY, JUDGE

# `nvidia-smi topo -m` on four GPUs behind two PCIe switches; the columns after the GPUs are to be ignored.
PCIE = """\t\x1b[4mGPU0\tGPU1\tGPU2\tGPU3\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m
GPU0\t X \tSYS\tPXB\tSYS\t0-23\t0\t\tN/A
GPU1\tSYS\t X \tSYS\tPHB\t24-47\t1\t\tN/A
GPU2\tPXB\tSYS\t X \tSYS\t0-23\t0\t\tN/A
GPU3\tSYS\tPHB\tSYS\t X \t24-47\t1\t\tN/A

Legend:

  X    = Self
  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes (e.g., QPI/UPI)
"""
NVSWITCH = "\tGPU0\tGPU1\tGPU2\tGPU3\tNIC0\n" + "".join(
    f"GPU{row}\t" + "\t".join(" X " if row == column else "NV18" for column in range(4)) + "\tPIX\n" for row in range(4)
)

# As it came from two H100 of a host with driver 580.159.04.
TWO_H100 = """\t\x1b[4mGPU0\tGPU1\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m
GPU0\t X \tNV18\t0-31\t0\t\tN/A
GPU1\tNV18\t X \t0-31\t0\t\tN/A

Legend:
"""


def test_what_a_real_driver_prints_is_read(load: Load) -> None:
    serve = load().serve
    assert serve.topology(TWO_H100)[0, 1] == serve.topology(TWO_H100)[1, 0] == 118
    assert serve.groups(2, 2, serve.topology(TWO_H100)) == [(0, 1)]


def test_pairs_are_those_with_the_fastest_slowest_link(load: Load) -> None:
    serve = load().serve
    assert serve.groups(4, 2, serve.topology(PCIE)) == [(0, 2), (1, 3)]


def test_equal_links_pair_neighbours(load: Load) -> None:
    serve = load().serve
    assert serve.topology(NVSWITCH)[0, 3] == 118
    assert serve.groups(4, 2, serve.topology(NVSWITCH)) == [(0, 1), (2, 3)]
    assert serve.groups(8, 2, {}) == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert serve.groups(2, 2, {}) == [(0, 1)]


def test_groups_of_other_sizes_are_together_where_their_links_are(load: Load) -> None:
    """Two NVLink islands of four, whose GPUs are numbered in turn."""
    serve = load().serve
    speed = {(one, other): 104 if one % 2 == other % 2 else 0 for one in range(8) for other in range(8)}
    assert serve.groups(8, 4, speed) == [(0, 2, 4, 6), (1, 3, 5, 7)]
    assert serve.groups(8, 2, speed) == [(0, 2), (1, 3), (4, 6), (5, 7)]
    assert serve.groups(4, 1, serve.topology(PCIE)) == [(0,), (1,), (2,), (3,)]
    assert serve.groups(8, 8, speed) == [(0, 1, 2, 3, 4, 5, 6, 7)]


def test_one_fast_pair_does_not_leave_a_slow_one(load: Load) -> None:
    """Greedy would take the NVLink first and leave 1 and 3 a link across sockets."""
    serve = load().serve
    speed = {(0, 2): 104, (0, 1): 4, (0, 3): 4, (1, 2): 4, (2, 3): 4, (1, 3): 0}
    assert serve.groups(4, 2, speed) == [(0, 1), (2, 3)]


def test_a_matrix_in_colours_says_the_same(load: Load) -> None:
    """nvidia-smi underlines the head of it; of rows it is as likely."""
    serve = load().serve
    coloured = "\n".join(f"\x1b[1m{line}\x1b[0m" for line in PCIE.splitlines())
    assert serve.topology(coloured) == serve.topology(PCIE)


@pytest.fixture
def command(load: Load) -> list[str]:
    return load().serve.command(1, [1, 3], 8002)


def test_a_replica_gets_its_two_gpus_and_no_key(command: list[str]) -> None:
    text = " ".join(command)
    assert text.startswith("docker run --rm --init --name vllm-1 --network host "), "what ended is in no restart's way"
    assert "--device=nvidia.com/gpu=1 --device=nvidia.com/gpu=3" in text
    assert "--tensor-parallel-size 2" in text
    assert "--user 2000:0" in text
    assert "--cgroup-parent vllm.slice" in text
    assert text.endswith("--host 127.0.0.1 --port 8002")
    assert "api-key" not in text
    assert "API_KEY" not in text


def test_the_image_is_named_by_digest_and_serves_offline(command: list[str]) -> None:
    assert f"docker.io/vllm/vllm-openai@sha256:{'0' * 64}" in command
    assert "--env=HF_HUB_OFFLINE=1" in command
    assert "--env=VLLM_HTTP_TIMEOUT_KEEP_ALIVE=330" in command


def test_what_judges_guesses_is_where_the_server_looks_for_it(load: Load) -> None:
    """Alone in its directory; without guesses there is none."""
    scripts = load()
    assert "guessing" not in " ".join(scripts.serve.command(1, [1, 3], 8002))
    scripts.serve.CONFIG["environment"] |= {GUESSES_PAY: "{}", "PYTHONPATH": JUDGE}
    command = scripts.serve.command(1, [1, 3], 8002)
    assert command[command.index(f"/opt/tandem/guessing.py:{JUDGE}/guessing.py:ro") - 1] == "-v"
    assert f"--env=PYTHONPATH={JUDGE}" in command


def test_streaming_from_s3_needs_the_role(load: Load) -> None:
    scripts = load()
    scripts.weights.ENGINE["weights"] = "s3"
    assert "vllm.slice" not in scripts.serve.command(0, [0, 1], 8001)


def test_starting_writes_ports_and_units(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    commands = []

    def sh(*command: str, **_: object) -> str:
        commands.append(command)
        return PCIE if command[0] == "nvidia-smi" else ""

    monkeypatch.setattr(scripts.serve, "sh", sh)
    assert scripts.serve.run() == "replicas on GPUs [(0, 2), (1, 3)]"
    assert (scripts.root / "run/tandem/upstream.conf").read_text() == (
        "server 127.0.0.1:8001 max_conns=512;\nserver 127.0.0.1:8002 max_conns=512;\n"
    )
    assert (scripts.root / "run/tandem/warm.conf").read_text().count("max_conns=0;\n") == 2, "which nothing includes"
    assert commands[-1] == ("systemctl", "start", "vllm@0", "vllm@1", "tandem-keys", "tandem-edge", "tandem-watchdog")


def test_what_is_kept_for_warm_caches_is_part_of_what_a_server_takes(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = load()
    monkeypatch.setattr(scripts.serve, "sh", lambda *command, **_: PCIE if command[0] == "nvidia-smi" else "")
    scripts.serve.CONFIG["warm"] = 32
    scripts.serve.run()
    for name, most in (("warm", 32), ("upstream", 480)):
        found = (scripts.root / f"run/tandem/{name}.conf").read_text()
        assert found == f"server 127.0.0.1:8001 max_conns={most};\nserver 127.0.0.1:8002 max_conns={most};\n"


@pytest.fixture
def unit(load: Load, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A host whose units were started once; `ran` has the command of each start since."""
    scripts = load()
    scripts.host.write(scripts.serve.REPLICAS, '[{"replica": 0, "gpus": [0, 1], "port": 8001}]')
    scripts.ran = []
    monkeypatch.setattr(scripts.serve, "sh", lambda *command: "")
    monkeypatch.setattr(scripts.serve.os, "execvp", lambda file, line: scripts.ran.append(" ".join(line)))
    scripts.serve.restore_cache(0)
    scripts.graph = scripts.serve.compile_cache(0) / "graph"
    scripts.graph.write_text("damaged")
    return scripts


def test_after_three_ends_without_a_token_the_compile_cache_is_emptied_once(unit: SimpleNamespace) -> None:
    kept = []
    for _ in range(5):
        unit.serve.start(0)
        kept.append(unit.graph.exists())
        unit.graph.write_text("compiled")
    assert kept == [True, True, True, False, True]
    assert (unit.root / "dev/console").read_text() == (
        "tandem: vllm-0: ended 3 times without a token: once more with an empty compile cache\n"
    )
    assert len(unit.ran) == 5


def test_a_token_between_begins_the_count_anew(unit: SimpleNamespace) -> None:
    for number in range(6):
        if number == 3:
            unit.serve.starts_of(0).unlink()  # as the watchdog does
        unit.serve.start(0)
    assert unit.graph.exists()


def test_a_start_without_peers_says_so_to_vllm_and_to_nccl(unit: SimpleNamespace) -> None:
    unit.serve.start(0)
    unit.host.write(unit.serve.without_peers(0), "")
    unit.serve.start(0)
    assert [("--disable-custom-all-reduce" in line, "--env=NCCL_P2P_DISABLE=1" in line) for line in unit.ran] == [
        (False, False),
        (True, True),
    ]


def test_a_cache_that_was_cut_off_while_it_was_copied_is_not_taken(
    unit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit.serve.saved_cache().mkdir(parents=True)
    (unit.serve.saved_cache() / "graph").write_text("compiled elsewhere")

    def cut_off(*_: object, **__: object) -> None:
        raise OSError("the file system is gone")

    with monkeypatch.context() as patch:
        patch.setattr(unit.serve.compiled.shutil, "copytree", cut_off)
        with pytest.raises(OSError, match="is gone"):
            unit.serve.restore_cache(1)
    unit.serve.restore_cache(1)
    assert (unit.serve.compile_cache(1) / "graph").read_text() == "compiled elsewhere"


def test_what_was_found_out_about_a_hosts_gpus_is_not_kept_for_others(
    unit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (unit.serve.compile_cache(0) / "gpu_p2p_access_cache_for_0,1.json").write_text("{}")
    monkeypatch.setattr(unit.serve.os.path, "ismount", lambda path: True)
    unit.serve.SHARED.mkdir(parents=True)
    unit.serve.save_cache()
    assert [path.name for path in unit.serve.saved_cache().iterdir()] == ["graph"]


def test_a_compile_cache_is_kept_by_gpus_image_and_model(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    monkeypatch.setattr(scripts.serve, "sh", lambda *_: "")
    monkeypatch.setattr(scripts.serve.os.path, "ismount", lambda path: True)
    own = scripts.serve.compile_cache(1)
    assert own.relative_to(scripts.storage.LOCAL).as_posix() == (
        f"compile/g6x2-vllm-openai@sha256-{'0' * 64}-models--Qwen--Qwen3-8B/1"
    )
    scripts.serve.restore_cache(0)
    (scripts.serve.compile_cache(0) / "graph").write_text("compiled")
    scripts.serve.save_cache()
    scripts.serve.restore_cache(1)
    assert (own / "graph").read_text() == "compiled"
    monkeypatch.setitem(scripts.serve.CONFIG, "gpus_each", 1)
    scripts.serve.restore_cache(1)
    assert not (scripts.serve.compile_cache(1) / "graph").exists()
