"""Rules of Ubuntu's own programs, applied by those programs: needrestart's to our units, gpg's to repository keys."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import stacks
from scripts import Load

from rehearsal.host.guest_image import guest_image
from tandem.host.render import render_files
from tandem.scripts import DIRECTORY

pytestmark = pytest.mark.real

# The loop of needrestart 3.6 itself, for services that run on a library that was upgraded; `no` is a later default.
RULES = r"""
our (%nrconf, $LOGPREF);
for my $file (@ARGV) { local (@ARGV, $/) = $file; eval <>; die "$file: $@" if $@ }
print defined $nrconf{restart} ? "mode $nrconf{restart}\n" : "mode of the apt hook\n";
for my $service (split ' ', $ENV{SERVICES}) {
    my $restart = !$nrconf{defno};
    for my $rule (keys %{$nrconf{override_rc}}) {
        next unless $service =~ /$rule/;
        $restart = $nrconf{override_rc}->{$rule};
        last;
    }
    print "$service\n" if $restart;
}
"""
CARRY_REQUESTS = [
    *("vllm@0.service", "vllm@7.service", "docker.service", "containerd.service"),
    *("nvidia-fabricmanager.service", "nvidia-persistenced.service", "amazon-efs-mount-watchdog.service"),
    *(f"{unit.stem}.service" for unit in (DIRECTORY / "units").glob("tandem-*.service")),
]
OTHERS = ["ssh.service", "systemd-resolved.service", "chrony.service"]


def restarted(*files: Path) -> list[str]:
    """The mode that Ubuntu's configuration leaves, and which services needrestart would restart by itself."""
    environment = {**os.environ, "SERVICES": " ".join(CARRY_REQUESTS + OTHERS)}
    done = subprocess.run(["perl", "-e", RULES, *files], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """needrestart's configuration as Ubuntu's package has it, out of the guest's disk."""
    file = tmp_path_factory.mktemp("needrestart") / "needrestart.conf"
    dump = f"dump /etc/needrestart/needrestart.conf {file}"
    subprocess.run(["debugfs", "-R", dump, guest_image().disk], check=True, capture_output=True)
    # It reads conf.d of the machine that it is on; ours is read after it instead.
    text, _, _ = file.read_text().partition("# Read additional config snippets.")
    file.write_text(text)
    return file


def test_ubuntu_by_itself_restarts_what_carries_requests(shipped: Path) -> None:
    """The rule is needed: all but Docker, after an unattended upgrade."""
    mode, *found = restarted(shipped)
    assert mode == "mode of the apt hook", "which is `a`, automatically"
    assert sorted(found) == sorted({*CARRY_REQUESTS, *OTHERS} - {"docker.service"})


def test_with_our_rules_needrestart_leaves_them_alone_and_restarts_the_others(shipped: Path, tmp_path: Path) -> None:
    ours = tmp_path / "tandem.conf"
    ours.write_text(render_files(stacks.config("dev"))["/etc/needrestart/conf.d/tandem.conf"])
    assert restarted(shipped, ours) == ["mode of the apt hook", *OTHERS]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """Two keys, `vendor` and `other`: fingerprint and armoured text of each."""
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)

    def gpg(*arguments: str) -> str:
        command = ["gpg", "--batch", "--homedir", home, "--pinentry-mode", "loopback", "--passphrase", "", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    found = {}
    for name in ("vendor", "other"):
        gpg("--quick-generate-key", f"{name} <{name}@example.com>", "ed25519", "sign", "never")
        listing = gpg("--with-colons", "--list-keys", name).splitlines()
        fingerprint = next(line.split(":")[9] for line in listing if line.startswith("fpr:"))
        found[name] = fingerprint, gpg("--armor", "--export", name)
    found["both"] = "", gpg("--armor", "--export", "vendor", "other")
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
    return found


@pytest.fixture
def host(load: Load, keys: dict[str, tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A host's script that trusts the vendor's key alone."""
    module = load().packages
    entry = {"name": "vendor", "fingerprint": keys["vendor"][0], "key_url": "https://example.com/key", "source": "x /"}
    monkeypatch.setitem(module.CONFIG, "repositories", [entry])
    monkeypatch.setattr(module, "apt", lambda *arguments: None)
    return module


def test_the_vendors_key_alone_is_taken(host: SimpleNamespace, keys: dict[str, tuple[str, str]]) -> None:
    host.fetch = lambda url: keys["vendor"][1]
    host.add_repositories()
    assert (host.ROOT / "etc/apt/keyrings/vendor.asc").read_text() == keys["vendor"][1]


@pytest.mark.parametrize("content", [["other"], ["both"], ["vendor", "other"], ["other", "vendor"], ["vendor"] * 2, []])
def test_a_file_with_any_other_key_is_refused(
    host: SimpleNamespace, keys: dict[str, tuple[str, str]], content: list[str]
) -> None:
    """apt would trust every key of the file: in one block, or in one after the other."""
    host.fetch = lambda url: "".join(keys[name][1] for name in content)
    with pytest.raises((host.GiveUp, RuntimeError), match=r"https://example\.com/key holds|no valid OpenPGP data"):
        host.add_repositories()
    assert not (host.ROOT / "etc/apt/keyrings/vendor.asc").exists()
