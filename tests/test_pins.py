"""images/pins.toml and its rules."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tandem import pins
from tandem.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
MODULES = "packages/pulumi-rehearsal/pulumi_rehearsal/modules"
SHIPPED = (ROOT / "images" / "pins.toml").read_text(encoding="utf-8")
DIGEST = f"sha256:{'ab' * 32}"
COMMIT = "c0ffee" * 6 + "c0ff"
EMPTY = '"Qwen/Qwen3-8B" = { revision = "", manifest = "" }'
PINNED = f'"Qwen/Qwen3-8B" = {{ revision = "{COMMIT}", manifest = "{"5" * 64}" }}'
IMAGE_ID = "ami-0123456789abcdef0"
REGISTRY = "https://registry-1.docker.io/v2/vllm/vllm-openai/manifests"


VLLM_DIGEST = 'digest = ""      #'
"""Of the server's image; the edge's stands otherwise."""


def edited(*replacements: tuple[str, str]) -> str:
    """The shipped file with each old text, which must be there once, replaced."""
    text = SHIPPED
    for old, new in replacements:
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in the shipped file"
        text = text.replace(old, new)
    return text


FILLED = edited(
    (VLLM_DIGEST, f'digest = "{DIGEST}"  #'),
    (EMPTY, PINNED),
)
FILLED = FILLED.replace(
    'version = ""  # job: tandem pin --packages', 'version = "29.9.3"  # job: tandem pin --packages'
)
FILLED = FILLED.replace('file = ""', f'file = "https://repo.example.com/helper.deb#sha256={"0" * 64}"')
# us-east-1 stands once for each kind of machine image; Ubuntu comes first.
FILLED = FILLED.replace('us-east-1 = { id = "" }', f'us-east-1 = {{ id = "{IMAGE_ID}" }}', 1)


def problems_of(text: str) -> list[tuple[str, str]]:
    with pytest.raises(UserError) as caught:
        pins.parse(text)
    return [(problem.key, problem.wrong) for problem in caught.value.problems]


def test_the_shipped_file_is_valid_and_passes_the_driver_gate() -> None:
    assert pins.load().driver_problems() == []


def test_nothing_that_needs_the_network_ships_invented() -> None:
    shipped = pins.parse(SHIPPED)
    assert shipped.vllm.digest == ""
    assert {shipped.docker.version, shipped.containerd.version, shipped.nvlink_subnet_manager.version} == {""}
    assert shipped.efs_utils.file == ""
    assert {model.revision for model in shipped.models.values()} == {""}
    for kind in pins.MACHINE_IMAGE_KINDS:
        assert {image.id for image in shipped.machine_image.kind(kind).regions.values()} == {""}
    kubernetes = shipped.kubernetes
    for images in (kubernetes.nodes.al2023, kubernetes.nodes.bottlerocket):
        assert {image.id for image in images.regions.values()} == {""}
        assert f"{kubernetes.version}" in images.parameter
    assert {addon.version for addon in kubernetes.addons.values()} == {""}
    assert {chart.version + chart.digest for chart in kubernetes.charts.values()} == {""}
    assert {image for chart in kubernetes.charts.values() for image in chart.images.values()} == {""}


@pytest.mark.parametrize("table", ["nvidia_driver", "container_toolkit"])
def test_each_version_that_ships_says_when_and_where_it_was_seen(table: str) -> None:
    pinned = getattr(pins.parse(SHIPPED), table)
    assert pinned.version
    assert pinned.resolved is not None
    assert pinned.source


def test_every_pin_names_who_keeps_it_current() -> None:
    pin_line = re.compile(
        r'^(?!source|image|parameter|default|index|package|cuda)[\w"/.-]+ = (\{ (id|revision|version|repository) = )?"'
    )
    followed = re.compile(r"# (renovate: datasource=\S+ depName=\S+|job: tandem pin --\S+.*)$")
    lines = [line for line in SHIPPED.splitlines() if pin_line.match(line)]
    assert len(lines) == 47
    assert [line for line in lines if not followed.search(line)] == []


def test_the_renovate_pattern_of_the_header_finds_each_line_meant_for_it() -> None:
    pattern = r'= "(?P<currentValue>[^"]*)" +# renovate: datasource=(?P<datasource>\S+) depName=(?P<depName>\S+)'
    assert pattern.replace("?P<", "?<").replace('"', '\\"').replace(r"\S", r"\\S") in SHIPPED
    assert [match.group("currentValue", "depName") for match in re.finditer(pattern, SHIPPED)] == [
        ("v0.32.0", "vllm/vllm-openai"),
        ("1.30.4", "nginxinc/nginx-unprivileged"),
        ("v1.108.7", "ghcr.io/berriai/litellm-database"),
        ("3.255.0", "pulumi"),
        ("7.51.1", "pulumi-aws"),
        ("4.21.4", "pulumi-random"),
        ("5.6.2", "pulumi-tls"),
        ("0.1.1", "pulumiverse-time"),
        ("4.34.2", "pulumi-kubernetes"),
    ]


def test_pulumi_versions_are_those_that_are_installed_and_built() -> None:
    pulumi = pins.parse(SHIPPED).pulumi
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert {
        f"pulumi=={pulumi.engine}",
        f"pulumi-aws=={pulumi.aws}",
        f"pulumi-random=={pulumi.random}",
        f"pulumi-tls=={pulumi.tls}",
        f"pulumiverse-time=={pulumi.time}",
        f"pulumi-kubernetes=={pulumi.kubernetes}",
    } <= set(project)
    assert f"github.com/pulumi/pulumi/pkg/v3 v{pulumi.engine}" in (ROOT / MODULES / "pulumi/go.mod").read_text()


def test_an_empty_pin_falls_back_to_what_the_name_means_today() -> None:
    shipped = pins.parse(SHIPPED)
    assert shipped.vllm.reference == "docker.io/vllm/vllm-openai:v0.32.0"
    assert shipped.model_revision("Qwen/Qwen3-8B") == ""
    assert shipped.machine_image_id("us-east-1") == (
        "resolve:ssm:/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
    )
    assert shipped.machine_image_id("ap-south-1", "dlami") == (
        "resolve:ssm:/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
    )


def test_a_filled_pin_is_exact() -> None:
    filled = pins.parse(FILLED)
    assert filled.vllm.reference == f"docker.io/vllm/vllm-openai@{DIGEST}"
    assert filled.model_revision("Qwen/Qwen3-8B") == COMMIT
    assert filled.machine_image_id("us-east-1") == IMAGE_ID


def test_required_pins_that_are_empty_are_each_named_with_the_command() -> None:
    missing = pins.parse(SHIPPED).missing("us-east-1", ["Qwen/Qwen3-8B"])
    assert [(problem.key, problem.fix) for problem in missing] == [
        ("images/pins.toml: vllm.digest", "`tandem pin --image`, or set tandem:requirePins to false"),
        *(
            (f"images/pins.toml: {pin}", "`tandem pin --packages`, or set tandem:requirePins to false")
            for pin in ("nvlink_subnet_manager.version", "docker.version", "containerd.version", "efs_utils.file")
        ),
        (
            "images/pins.toml: machine_image.ubuntu.regions.us-east-1.id",
            "`tandem pin --region us-east-1`, or set tandem:requirePins to false",
        ),
        (
            'images/pins.toml: models."Qwen/Qwen3-8B".revision',
            "`tandem pin --model Qwen/Qwen3-8B`, or set tandem:requirePins to false",
        ),
    ]


def test_nothing_is_missing_when_all_is_filled() -> None:
    assert pins.parse(FILLED).missing("us-east-1", ["Qwen/Qwen3-8B"]) == []


def test_a_region_and_a_model_that_are_not_listed_are_missing() -> None:
    missing = pins.parse(FILLED).missing("ap-south-1", ["acme/model"])
    assert [problem.key for problem in missing] == [
        "images/pins.toml: machine_image.ubuntu.regions.ap-south-1.id",
        'images/pins.toml: models."acme/model".revision',
    ]


def test_a_revision_without_its_manifest_lacks_it() -> None:
    [problem] = pins.parse(FILLED.replace("5" * 64, "")).missing("us-east-1", ["Qwen/Qwen3-8B"])
    assert problem.key == 'images/pins.toml: models."Qwen/Qwen3-8B".manifest'


def test_an_image_of_ones_own_needs_no_machine_image_pin() -> None:
    assert pins.parse(FILLED).missing("ap-south-1", ["Qwen/Qwen3-8B"], machine_image=IMAGE_ID) == []


def test_a_digest_that_belongs_to_another_tag_is_refused() -> None:
    looked_up = FILLED.replace(f'"{DIGEST}"', f'"{DIGEST}"\nsource = "{REGISTRY}/v0.32.0"')
    assert pins.parse(looked_up).missing("us-east-1", ["Qwen/Qwen3-8B"]) == []
    bumped = looked_up.replace('tag = "v0.32.0"', 'tag = "v0.33.0"')
    [problem] = pins.parse(bumped).missing("us-east-1", ["Qwen/Qwen3-8B"])
    assert problem.key == "images/pins.toml: vllm.digest"
    assert problem.value == f"{REGISTRY}/v0.32.0"
    assert problem.fix == "`tandem pin --image --update`"


@pytest.mark.parametrize(("branch", "passes"), [(570, False), (579, False), (580, True), (595, True)])
def test_the_driver_gate(branch: int, passes: bool) -> None:
    text = edited(("branch = 580            #", f"branch = {branch} #"), ('"580.159.04"', f'"{branch}.1.2"'))
    problems = pins.parse(text).driver_problems()
    assert (problems == []) == passes
    if not passes:
        assert problems[0].value == branch
        assert problems[0].allowed == "580 or later"


def test_a_driver_version_of_another_branch_is_refused() -> None:
    [problem] = pins.parse(edited(('"580.159.04"', '"595.10.01"'))).driver_problems()
    assert (problem.value, problem.allowed) == ("595.10.01", "580.x.y")


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        (VLLM_DIGEST, f'digest = "{DIGEST[:-1]}"  #', "vllm.digest"),
        (VLLM_DIGEST, f'digest = "{DIGEST.upper()}"  #', "vllm.digest"),
        (VLLM_DIGEST, 'digest = "latest"  #', "vllm.digest"),
        (EMPTY, PINNED.replace(COMMIT, "main"), "models.Qwen/Qwen3-8B.revision"),
        (EMPTY, PINNED.replace(COMMIT, COMMIT[:7]), "models.Qwen/Qwen3-8B.revision"),
        (EMPTY, PINNED.replace("5" * 64, "5" * 40), "models.Qwen/Qwen3-8B.manifest"),
        ('"1.20.1"', '"v1.20.1"', "container_toolkit.version"),
        ('cuda = "13.0"', 'cuda = "13"', "vllm.cuda"),
    ],
)
def test_a_malformed_pin_is_named(old: str, new: str, key: str) -> None:
    assert problems_of(edited((old, new))) == [(f"images/pins.toml: {key}", "malformed pin")]


@pytest.mark.parametrize("image_id", ["ami-123", "ami-0123456789ABCDEF0", "i-0123456789abcdef0"])
def test_a_malformed_machine_image_id_is_named(image_id: str) -> None:
    assert problems_of(FILLED.replace(IMAGE_ID, image_id)) == [
        ("images/pins.toml: machine_image.ubuntu.regions.us-east-1.id", "malformed pin")
    ]


def test_all_mistakes_are_named_at_once_with_what_is_allowed() -> None:
    text = edited((VLLM_DIGEST, 'digest = "x"\ndigset = ""  #'), ('tag = "v0.32.0"', 'tga = "v0.32.0"'))
    assert problems_of(text) == [
        ("images/pins.toml: vllm.tag", "this key is missing"),
        ("images/pins.toml: vllm.digest", "malformed pin"),
        ("images/pins.toml: vllm.tga", "unknown key"),
        ("images/pins.toml: vllm.digset", "unknown key"),
    ]
    with pytest.raises(UserError, match="allowed: resolved, source, image, tag, digest, cuda, minimum_driver_branch"):
        pins.parse(text)


def test_an_unknown_key_in_a_region_is_named_with_the_known_ones() -> None:
    with pytest.raises(UserError) as caught:
        pins.parse(FILLED.replace(f'id = "{IMAGE_ID}"', f'id = "{IMAGE_ID}", owner = "x"'))
    [problem] = caught.value.problems
    assert problem.key == "images/pins.toml: machine_image.ubuntu.regions.us-east-1.owner"
    assert problem.allowed == "resolved, source, id"


def test_broken_toml_is_named_with_its_line() -> None:
    with pytest.raises(UserError, match=r"this is not TOML: .*\(at line 2, column 6\)"):
        pins.parse("[vllm]\ntag =\n")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.toml: the pins cannot be read"):
        pins.load(tmp_path / "nowhere.toml")


def test_the_environment_names_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "scratch.toml"
    other.write_text(FILLED, encoding="utf-8")
    monkeypatch.setenv("TANDEM_PINS_FILE", str(other))
    assert pins.load().vllm.digest == DIGEST
    monkeypatch.delenv("TANDEM_PINS_FILE")
    assert pins.load().vllm.digest == ""
