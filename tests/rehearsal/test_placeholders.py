from __future__ import annotations

import shutil
from pathlib import Path

from rehearsal import placeholders
from tandem import pins

PINS = """\
[vllm]
digest = ""
source = ""
[nvidia_driver]
version = "580.1.2"
[docker]
version = ""  # job
[machine_image.ubuntu.regions]
us-east-1 = { id = "" }
us-west-2 = { id = "ami-0123456789abcdef0" }
[kubernetes]
version = "1.35"
[kubernetes.releases]
system = { parameter = "/aws/service/eks/optimized-ami/1.35/x/recommended/release_version", version = "" }
[kubernetes.addons]
kube-proxy = { version = "" }
[kubernetes.charts]
keda = { version = "1.0.0", images = { "image.keda.tag" = "" } }
[models]
"Qwen/Qwen3-8B" = { revision = "" }
"""


def test_empty_pins_get_zeros_and_are_named(tmp_path: Path) -> None:
    file = tmp_path / "pins.toml"
    file.write_text(PINS)
    assert placeholders.fill(file) == [
        "vllm.digest",
        "docker.version",
        "machine_image.ubuntu.regions.us-east-1.id",
        "kubernetes.releases.system.version",
        "kubernetes.addons.kube-proxy.version",
        'kubernetes.charts.keda.images."image.keda.tag"',
        'models."Qwen/Qwen3-8B".revision',
    ]
    assert file.read_text() == (
        PINS.replace('digest = ""', f'digest = "sha256:{"0" * 64}"')
        .replace('[docker]\nversion = ""', '[docker]\nversion = "0.0.0"')
        .replace('us-east-1 = { id = "" }', 'us-east-1 = { id = "ami-00000000000000000" }')
        .replace('release_version", version = ""', 'release_version", version = "1.35.0-00000000"')
        .replace('kube-proxy = { version = ""', 'kube-proxy = { version = "v1.35.0-eksbuild.0"')
        .replace('keda.tag" = ""', f'keda.tag" = "example.com/keda/image.keda.tag:0.0.0@sha256:{"0" * 64}"')
        .replace('revision = ""', f'revision = "{"0" * 40}"')
    )


def test_full_pins_stay_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "pins.toml"
    file.write_text(PINS)
    placeholders.fill(file)
    before = file.read_text()
    assert placeholders.fill(file) == []
    assert file.read_text() == before


def test_the_projects_pins_are_whole_once_filled(tmp_path: Path) -> None:
    file = tmp_path / "pins.toml"
    shutil.copy(pins.PINS_FILE, file)
    placeholders.fill(file)
    filled = pins.load(file)
    assert filled.missing("us-east-1", ["Qwen/Qwen3-32B-FP8"]) == []
    assert filled.driver_problems() == []
    assert filled.chart_problems() == []
    assert filled.missing_kubernetes("us-east-1", ["Qwen/Qwen3-8B"], "al2023", managed=False) == []


def test_another_image_is_another_digest_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "pins.toml"
    file.write_text(PINS)
    placeholders.fill(file)
    before = file.read_text()
    placeholders.change_image(file)
    assert file.read_text() == before.replace("0" * 64, "1" * 64, 1)
