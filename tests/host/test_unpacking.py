"""Stage scripts: what a host runs comes from S3 once, whole, or the host is given up and says why."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import stacks
from played import Host
from scripts import Load

from tandem.scripts import archive, host_archive, sources

NAME, CONTENT = host_archive("# nginx\n")


@pytest.fixture
def first(host: Host) -> Host:
    """A host on its first boot, and the object where its configuration says."""
    unpack = host.scripts.unpack
    unpack.URL = f"{host.scripts.config['endpoint_url']}scripts/{NAME}"
    unpack.NAME = NAME.partition(".")[0]
    host.cloud.objects[f"scripts/{NAME}"] = CONTENT
    return host


def given_up(host: Host) -> str:
    """What the console has once the stage has given up."""
    scripts = host.scripts
    with pytest.raises(SystemExit):
        scripts.host.attempt("scripts", scripts.unpack.run, scripts.unpack.SECONDS)
    return (scripts.root / "dev/console").read_text()


def test_all_scripts_are_there_as_they_are_in_the_repository(first: Host) -> None:
    assert first.scripts.unpack.run() == f"fetched, {len(sources('host', 'shared', 'batch')) + 2} files"
    files = {path.name: path.read_text() for path in (first.scripts.root / "opt/tandem").glob("*.py")}
    assert files == sources("host", "shared", "batch")


def test_a_reboot_asks_nobody_and_finds_what_was_changed_on_the_disk_as_it_was(first: Host) -> None:
    first.scripts.unpack.run()
    first.cloud.objects.clear()
    boot = first.scripts.root / "opt/tandem/boot.py"
    boot.write_text("torn")
    assert first.scripts.unpack.run().startswith("were there, ")
    assert boot.read_text() == sources("host")["boot.py"]
    assert first.cloud.actions("GetObject") == ["GetObject"]


def test_an_unpacking_that_is_cut_off_tears_no_file(first: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a loss of power, after which the same file would run again."""
    first.scripts.unpack.run()

    def cut(_archive: tarfile.TarFile, path: Path, **_: object) -> None:
        path.mkdir(exist_ok=True)
        (path / "unpack.py").write_text("torn")
        raise OSError("no power")

    monkeypatch.setattr(tarfile.TarFile, "extractall", cut)
    with pytest.raises(OSError, match="no power"):
        first.scripts.unpack.run()
    assert (first.scripts.root / "opt/tandem/unpack.py").read_text() == sources("host")["unpack.py"]
    monkeypatch.undo()
    assert first.scripts.unpack.run().startswith("were there, ")


def test_another_version_on_the_disk_is_replaced(first: Host) -> None:
    """As in a machine image that somebody made of a host."""
    first.scripts.host.write(first.scripts.unpack.ARCHIVE, "another")
    assert first.scripts.unpack.run().startswith("fetched, ")


def test_bytecode_of_another_version_is_not_run(first: Host) -> None:
    """All times in an archive are the same, and so may be the sizes."""
    unpack = first.scripts.unpack
    for said in ("one", "two"):
        content = archive({"word.py": f"WORD = {said!r}\n"})
        unpack.NAME = hashlib.sha256(content).hexdigest()
        first.cloud.objects[f"scripts/{NAME}"] = content
        unpack.run()
        command = [sys.executable, "-c", "import word; print(word.WORD)"]
        assert subprocess.check_output(command, cwd=unpack.ARCHIVE.parent, env={}, text=True) == f"{said}\n"


def test_an_object_of_another_hash_is_not_unpacked(first: Host) -> None:
    other = archive({"boot.py": "raise SystemExit"})
    first.cloud.objects[f"scripts/{NAME}"] = other
    said = given_up(first)
    wrong = f"{NAME} has another SHA-256 than its name: {hashlib.sha256(other).hexdigest()}"
    assert said.startswith("tandem: scripts: gave up after 1 attempts in 0 s: GiveUp: http://127.0.0.1:")
    assert said.endswith(f"{wrong}\n")
    assert not list((first.scripts.root / "opt/tandem").glob("*.py"))


def test_an_object_that_is_not_there_is_given_up_at_once(first: Host) -> None:
    first.cloud.refused["GetObject"] = ("NoSuchKey", "The specified key does not exist.")
    assert given_up(first).endswith(f"/scripts/{NAME}: 404 NoSuchKey\n")
    assert first.cloud.actions("GetObject") == ["GetObject"]


@pytest.mark.parametrize(("code", "status"), [("AccessDenied", 403), ("SlowDown", 503), ("InternalError", 500)])
def test_what_may_pass_is_asked_again_until_the_deadline_and_then_said(first: Host, code: str, status: int) -> None:
    """A role that was made a moment ago is denied, too."""
    first.cloud.refused["GetObject"] = (code, "no")
    start = first.clock()
    assert given_up(first).endswith(f": {status} {code}\n")
    assert 240 < first.clock() - start <= first.scripts.unpack.SECONDS
    assert len(first.cloud.actions("GetObject")) > 8


def test_what_has_passed_is_no_matter(first: Host) -> None:
    first.cloud.busy["GetObject"] = 2
    scripts = first.scripts
    scripts.host.attempt("scripts", scripts.unpack.run, scripts.unpack.SECONDS)
    assert '"stage": "scripts"' in (scripts.root / "var/lib/tandem/ledger.jsonl").read_text()


def test_a_host_without_scripts_is_replaced_and_nothing_waits_for_it(first: Host) -> None:
    """No other unit runs that would complete the hook of a host that leaves."""
    first.cloud.refused["GetObject"] = ("NoSuchKey", "no")
    with pytest.raises(SystemExit):
        first.scripts.unpack.main()
    assert (first.scripts.root / "dev/console").read_text() == "tandem: gave up\n"
    assert first.cloud.member.transitions == ["Terminating", "Terminating:Wait", "Terminating:Proceed"]


def test_a_group_that_is_gone_keeps_no_host_for_ever(first: Host) -> None:
    first.cloud.refused["DescribeAutoScalingInstances"] = ("Throttling", "Rate exceeded")
    start = first.clock()
    first.scripts.unpack.give_up()
    assert first.clock() - start <= 2 * first.scripts.aws.TELLING + 60


def test_the_deadline_is_within_the_hooks_heartbeat(load: Load) -> None:
    """Nobody asks the hook for more time yet."""
    assert stacks.config("dev").timeouts.heartbeat / 2 >= load().unpack.SECONDS
