"""Keys that no server may be started with: the same in settings, on hosts and in pods."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import keys
import pod as in_pod
import pytest
import server

from infra.errors import UserError
from infra.loading import load

SOUND = ["sk-" + "0" * 40, "A" * 40, "~" + "x" * 19, "_" + "-" * 19, '"' + "\\" * 19, "hf_" + "x" * 30]
TWENTY = "x" * 20
WRONG = [f"-{TWENTY}", f"--{TWENTY}", f"{TWENTY} ", "x y" * 10, "é" * 20, f"{TWENTY}\n", f"{TWENTY}\x7f", "\t" * 20]


def config(key: str) -> tuple[dict[str, str], set[str]]:
    return {"tandem:region": "us-east-1", "tandem:apiKeys": json.dumps({"alice": key})}, {"tandem:apiKeys"}


@pytest.mark.parametrize("key", SOUND)
def test_a_sound_key_passes_everywhere(key: str) -> None:
    load(*config(key))
    assert keys.refused({"alice": key}) == ""


@pytest.mark.parametrize("key", WRONG)
def test_a_key_that_would_be_a_flag_or_that_no_header_carries_is_refused_everywhere(key: str, keys_file: Path) -> None:
    with pytest.raises(UserError) as said:
        load(*config(key))
    (problem,) = said.value.problems
    assert (problem.key, key in str(said.value)) == ("apiKeys.alice", False)
    assert "the first not -" in problem.allowed
    assert "pulumi config set --secret --path 'tandem:apiKeys.alice'" in problem.fix
    keys_file.write_text(json.dumps({"api-key": ["a-sound-key", key]}))
    said = server.unsound_keys()
    assert said.startswith("the secret of the API keys: API key of client 2: must be printable ASCII without spaces")
    assert key not in said


@pytest.mark.parametrize("mounted", [None, "", "{}", '{"api-key": []}', '{"api-key": null}', "[]", '"key"', "not JSON"])
def test_without_a_key_a_pod_does_not_start_a_server(
    mounted: str | None, keys_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing else is looked at, and nothing downloaded, before."""
    keys_file.unlink() if mounted is None else keys_file.write_text(mounted)
    monkeypatch.setattr(in_pod, "check_driver", lambda branch: pytest.fail("the keys come first"))
    monkeypatch.setenv("TANDEM_POD", "{}")
    assert in_pod.main(["prepare"]) == 1
    assert capsys.readouterr().err == (
        "tandem: the secret of the API keys: no API key: must be a JSON object, client name to key\n"
    )


def test_nor_does_the_server_itself_when_keys_changed_later(keys_file: Path) -> None:
    keys_file.write_text('{"api-key": []}')
    program = f"import sys; sys.argv = ['server.py', 'serve', 'echo', 'started']; sys.path[:0] = {sys.path[:2]!r}\n"
    text = Path(server.__file__).read_text().replace("/run/secrets/tandem/vllm.yaml", str(keys_file))
    done = subprocess.run(
        [sys.executable, "-c", program + text.replace("from __future__ import annotations\n", "")],
        env={"TANDEM_POD": "{}"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tandem: the secret of the API keys: no API key: ")
