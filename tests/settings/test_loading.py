"""Settings from Pulumi's configuration and from stack files."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from annotated_types import Ge, Le, MinLen
from pydantic import ValidationError

from tandem.errors import UserError
from tandem.loading import load, load_stack_file
from tandem.settings.parsing import describe
from tandem.settings.schema import Settings

ROOT = Path(__file__).parents[2]


def test_defaults_are_the_schemas() -> None:
    settings = load({"tandem:region": "eu-west-1"})
    assert settings == Settings(region="eu-west-1")
    assert settings.zones == ("eu-west-1a", "eu-west-1b")
    assert (settings.group_size, settings.max_group_size) == (1, 1)


def test_values_arrive_as_text_and_become_typed() -> None:
    settings = load(
        {
            "tandem:region": "us-east-1",
            "tandem:ephemeral": "true",
            "tandem:fleet": json.dumps({"hosts": 2, "spareHosts": "1", "maxHosts": 5}),
            "tandem:costGuard": json.dumps({"expiresAfter": "90m", "expiresAt": None}),
            "other:key": "is not ours",
        }
    )
    assert settings.ephemeral is True
    assert (settings.group_size, settings.max_group_size) == (3, 5)
    assert settings.cost_guard.expires_after == timedelta(minutes=90)


def test_a_moment_is_kept_in_utc() -> None:
    settings = load(
        {"tandem:region": "us-east-1", "tandem:costGuard": json.dumps({"expiresAt": "2026-12-24T18:00:00+01:00"})}
    )
    assert settings.cost_guard.expires_at == datetime(2026, 12, 24, 17, tzinfo=UTC)


def test_settings_are_frozen() -> None:
    settings = load({"tandem:region": "us-east-1"})
    with pytest.raises(ValidationError, match="frozen"):
        settings.fleet.hosts = 9


def test_secrets_do_not_show() -> None:
    token = "hf_" + "s" * 30
    settings = load({"tandem:region": "us-east-1", "tandem:huggingFaceToken": token}, ["tandem:huggingFaceToken"])
    assert settings.hugging_face_token is not None
    assert settings.hugging_face_token.get_secret_value() == token
    assert token not in repr(settings)
    assert token not in settings.model_dump_json()


def test_the_dev_stack_is_one_spot_host_that_expires_with_a_cap() -> None:
    settings = load_stack_file(ROOT / "Pulumi.dev.yaml")
    assert settings.ephemeral
    assert settings.max_group_size == 1
    assert (settings.fleet.on_demand_base, settings.fleet.on_demand_percentage) == (0, 0)
    assert settings.cost_guard.expires_after == timedelta(hours=4)
    assert settings.cost_guard.max_usd == 30
    assert settings.network.egress == "publicHosts"


def test_production_on_hosts_has_three_zones_a_spare_host_and_pins() -> None:
    settings = load_stack_file(ROOT / "Pulumi.prod-ec2.yaml")
    assert settings.platform == "ec2"
    assert not settings.ephemeral
    assert settings.require_pins
    assert len(settings.zones) == 3
    assert settings.fleet.spare_hosts == 1
    assert settings.fleet.on_demand_base >= settings.group_size
    assert settings.network.egress == "natPerZone"


def test_production_runs_on_kubernetes_in_three_zones_with_a_replica_to_spare_and_pins() -> None:
    settings = load_stack_file(ROOT / "Pulumi.prod.yaml")
    assert settings.platform == "eks"
    assert not settings.ephemeral
    assert settings.require_pins
    assert len(settings.zones) == 3
    assert settings.scaling.min_replicas == 3
    assert settings.fleet.on_demand_base == 2
    assert settings.network.egress == "natPerZone"


@pytest.mark.parametrize("stack", ["dev", "prod", "prod-ec2"])
def test_shipped_stack_files_hold_only_what_differs(stack: str) -> None:
    settings = load_stack_file(ROOT / f"Pulumi.{stack}.yaml")
    default = Settings(region=settings.region)
    same = [
        f"{section}.{key}"
        for section in settings.model_fields_set
        if hasattr(value := getattr(settings, section), "model_fields_set")
        for key in value.model_fields_set
        if getattr(value, key) == getattr(getattr(default, section), key)
    ]
    assert set(same) <= {"network.egress", "fleet.hosts", "inference.model"}, "written out though it is the default"


def test_encrypted_values_of_a_stack_file_count_as_set(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text(
        "encryptionsalt: v1:x\nconfig:\n  tandem:region: us-east-1\n  tandem:huggingFaceToken: {secure: v1:abc}\n"
    )
    settings = load_stack_file(file)
    assert settings.hugging_face_token is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("config: [", "is not a stack file"),
        ("- a list", "is not a stack file: a list is where"),
        ("config: a", "is not a stack file: a str is where"),
        ("config:\n  tandem:costGuard:\n    maxUsd: 30\n    maxUsd: 50", "maxUsd is there twice .*line 4"),
        ("config: &all\n  tandem:region: us-east-1\n  tandem:fleet: *all", "all holds itself .*line 3"),
        ("config: {tandem:tags: &tags {<<: *tags}}", "tags holds itself"),
        (f"config: {'[' * 999}{']' * 999}", "nested too deep"),
        ("config: {? [a] : 1}", "a key is not one word"),
        ("config: {tandem:region: us-east-1, tandem:huggingFaceToken: plain-text-plain-text}", "in plain text"),
    ],
)
def test_a_broken_stack_file_is_an_error_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        load_stack_file(file)


def test_a_stack_file_in_another_encoding_is_an_error_with_its_name(tmp_path: Path) -> None:
    """As PowerShell writes them."""
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text("config: {}", encoding="utf-16")
    with pytest.raises(UserError, match=r"Pulumi\.x\.yaml.*is not a stack file: .*utf-8"):
        load_stack_file(file)


def test_a_key_that_is_a_number_is_a_key_like_others(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text("config: {tandem:region: us-east-1, 5: other}")
    assert load_stack_file(file).region == "us-east-1"


def test_a_directory_is_no_stack_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a stack file: .*directory"):
        load_stack_file(tmp_path)


def test_times_without_quotes_are_text_as_they_are_to_the_engine(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    hours = "{start: 08:00, stop: 20:00}"
    file.write_text(f"config: {{tandem:region: us-east-1, tandem:costGuard: {{businessHours: {hours}}}}}")
    kept = load_stack_file(file).cost_guard.business_hours
    assert kept is not None
    assert (kept.start, kept.stop) == ("08:00", "20:00")


def test_a_missing_stack_file_names_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}")
    with pytest.raises(UserError, match=r"Pulumi\.dev\.yaml"):
        load_stack_file(tmp_path / "Pulumi.prdo.yaml")


def test_bounds_are_said_as_far_as_there_are_any() -> None:
    bounds = ((), (Ge(3),), (Le(9),), (Ge(3), Le(9)))
    assert [describe(int, one) for one in bounds] == [
        "a whole number",
        "a whole number from 3",
        "a whole number up to 9",
        "a whole number 3 to 9",
    ]
    assert describe(tuple[str, ...], (MinLen(1),)) == "a list of from 1, each: text"
