"""Stack files made from other stack files: what belongs to one stack alone is left behind, secrets are named."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tandem.errors import UserError
from tandem.loading import load, load_stack_file
from tandem.settings import Settings, engine_yaml

Config = dict[str, Any]
"""A stack file's configuration: `tandem:fleet` to a mapping and so on."""

OWN = (
    "loadBalancer.domainName",
    "loadBalancer.hostedZoneId",
    "loadBalancer.certificateArn",
    "fleet.capacityBlock",
    "fleet.capacityReservations",
    "costGuard.expiresAt",
)
"""What one stack alone can have: a name in the DNS with its certificate, a reservation, a moment."""

OF_THE_REGION = (
    "network.zones",
    "network.existing",
    "cluster.existing",
    "fleet.machineImageId",
    "fleet.capacityBlock",
    "fleet.capacityReservations",
    "loadBalancer.certificateArn",
)
"""What means nothing in another region."""


def read(path: Path) -> Config:
    """The configuration in a stack file.

    Raises:
        UserError: there is no such file, it is no stack file, or its settings are wrong.
    """
    load_stack_file(path)
    return _document(path).get("config", {})


def rest(path: Path) -> dict[str, Any]:
    """What is in a stack file beside its configuration."""
    return {key: value for key, value in _document(path).items() if key != "config"}


def _document(path: Path) -> dict[str, Any]:
    return engine_yaml.parse(path.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Draft:
    """A stack file that is not written yet.

    Attributes:
        settings: what it says, checked.
        dropped: what was left behind, as `section.name: value`.
        rest: what the engine keeps in the file beside the configuration, such as its salt.
    """

    config: Config
    settings: Settings
    dropped: Sequence[str] = ()
    rest: Mapping[str, Any] = field(default_factory=dict)

    def text(self, comment: str) -> str:
        """As a file, with a comment on top."""
        lines = "".join(f"# {line}\n" for line in comment.splitlines())
        return lines + yaml.safe_dump({**self.rest, "config": self.config}, sort_keys=False, allow_unicode=True)


def amended(path: Path, changes: Mapping[str, Any]) -> Draft:
    """A stack's own file with some settings changed, its secrets and the engine's part kept.

    Raises:
        UserError: the settings that come out are wrong.
    """
    config = read(path)
    made = draft(config, changes)
    return Draft({**config, **made.config}, made.settings, rest=rest(path))


def draft(source: Config, changes: Mapping[str, Any], drop: Sequence[str] = ()) -> Draft:
    """Another stack's configuration with some settings changed and others left behind.

    Encrypted values are left out: each stack has its own key, so the engine must copy them.

    Args:
        changes: `region` or `section.name` to value.
        drop: `section.name`, left behind where they are set.

    Raises:
        UserError: the settings that come out are wrong.
    """
    secrets = secret_keys(source)
    config: Config = {
        key: dict(value) if isinstance(value, dict) else value for key, value in source.items() if key not in secrets
    }
    dropped = []
    for path in drop:
        section, _, name = path.partition(".")
        values = config.get(f"tandem:{section}")
        if isinstance(values, dict) and name in values:
            dropped.append(f"{path}: {values.pop(name)}")
    for path, value in changes.items():
        section, _, name = path.partition(".")
        if name:
            config.setdefault(f"tandem:{section}", {})[name] = value
        else:
            config[f"tandem:{section}"] = value
    config = {key: value for key, value in config.items() if value != {} or source.get(key) == {}}
    return Draft(config, checked(config), dropped)


def checked(config: Config) -> Settings:
    """The settings that a configuration means.

    Raises:
        UserError: they are wrong.
    """
    texts = {key: value if isinstance(value, str) else json.dumps(value, default=str) for key, value in config.items()}
    return load({key: text for key, text in texts.items() if key.startswith("tandem:")})


def secret_keys(config: Config) -> list[str]:
    """Keys that hold something encrypted."""
    return [key for key, value in config.items() if is_secret(value)]


def missing_secrets(source: Path, path: Path) -> list[str]:
    """Keys of encrypted values that the source has and another stack's file lacks."""
    there = read(path)
    return [key for key in secret_keys(read(source)) if key not in there]


def is_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return "secure" in value or any(is_secret(item) for item in value.values())
    return False


def write(path: Path, text: str) -> None:
    """The whole file or none of it, even if this is cut off.

    Raises:
        UserError: the directory cannot be written.
    """
    draft_path = path.with_name(f".{path.name}.draft")
    try:
        draft_path.write_text(text, encoding="utf-8")
        draft_path.replace(path)
    except OSError as error:
        raise UserError.of(
            key=path.name,
            wrong=f"cannot be written ({error.strerror})",
            value=str(path.parent),
            allowed="a directory of yours",
            fix="run this where the project may be changed",
        ) from None
