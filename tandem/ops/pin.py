"""Fills the empty pins of images/pins.toml, keeping its comments, by look-up."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import tomlkit

from tandem import pins as pin_file
from tandem.errors import Problem, UserError
from tandem.http import Http
from tandem.ops import lookups
from tandem.ops.lookups import Found
from tandem.pins import Addon, Chart, ContainerImage, Kubernetes, Package, Pins, Release

Group = Literal["image", "packages", "region", "model", "kubernetes"]


@dataclass(frozen=True)
class Pin:
    """One pin of the file.

    Attributes:
        key: as a person would name it, `models."Qwen/Qwen3-8B".revision`.
        path: the tables that lead to it, and its own key last.
        group: which option of `tandem pin` selects it.
        name: the region or the model; empty for the others.
        value: what the file holds; empty when it was not looked up yet.
        beside: what is pinned with it, by its key.
        source: where the value was looked up.
    """

    key: str
    path: tuple[str, ...]
    group: Group
    name: str
    value: str
    source: str
    beside: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Nothing of it is empty."""
        tables = [one.values() for one in self.beside.values() if not isinstance(one, str)]
        return all((self.value, *self.beside.values(), *(value for table in tables for value in table)))


def all_pins(pins: Pins) -> Iterator[Pin]:
    """Every pin that can be looked up, in the order of the file."""
    for table in pin_file.IMAGE_TABLES:
        server: ContainerImage = getattr(pins, table)
        yield Pin(f"{table}.digest", (table, "digest"), "image", "", server.digest, server.source)
    for table in pin_file.PACKAGE_TABLES:
        package: Package = getattr(pins, table)
        path = (table, "version")
        yield Pin(".".join(path), path, "packages", "", package.version, package.source)
    yield Pin("efs_utils.file", ("efs_utils", "file"), "packages", "", pins.efs_utils.file, pins.efs_utils.source)
    for kind in pin_file.MACHINE_IMAGE_KINDS:
        for region, image in pins.machine_image.kind(kind).regions.items():
            path = ("machine_image", kind, "regions", region, "id")
            yield Pin(".".join(path), path, "region", region, image.id, image.source)
    for model, pinned in pins.models.items():
        path = ("models", model, "revision")
        beside = {"manifest": pinned.manifest}
        yield Pin(f'models."{model}".revision', path, "model", model, pinned.revision, pinned.source, beside)
    yield from _kubernetes_pins(pins.kubernetes)


def _kubernetes_pins(kubernetes: Kubernetes) -> Iterator[Pin]:
    for family, images in (("al2023", kubernetes.nodes.al2023), ("bottlerocket", kubernetes.nodes.bottlerocket)):
        for region, image in images.regions.items():
            path = ("kubernetes", "nodes", family, "regions", region, "id")
            yield Pin(".".join(path), path, "kubernetes", region, image.id, image.source)
    tables: list[tuple[str, Mapping[str, Release | Addon | Chart]]] = [
        ("releases", {**kubernetes.releases}),
        ("addons", {**kubernetes.addons}),
        ("charts", {**kubernetes.charts}),
    ]
    for table, pinned in tables:
        for name, pin in pinned.items():
            path = ("kubernetes", table, name, "version")
            beside = _beside_chart(pin) if isinstance(pin, Chart) else {}
            yield Pin(".".join(path), path, "kubernetes", name, pin.version, pin.source, beside)


def _beside_chart(chart: Chart) -> Mapping[str, str | Mapping[str, str]]:
    return {"digest": chart.digest, **({"images": chart.images} if chart.images else {})}


# -- the file ----------------------------------------------------------------------------------------------------------


def add_rows(text: str, *, regions: Iterable[str] = (), models: Iterable[str] = ()) -> str:
    """Adds an empty pin for each region and model that the file does not list yet."""
    document: Any = tomlkit.parse(text)
    for kind in pin_file.MACHINE_IMAGE_KINDS:
        for region in regions:
            document["machine_image"][kind]["regions"].setdefault(region, tomlkit.value('{ id = "" }'))
    for model in models:
        document["models"].setdefault(model, tomlkit.value('{ revision = "", manifest = "" }'))
    return tomlkit.dumps(document)


def set_pin(text: str, pin: Pin, found: Found, resolved: date) -> str:
    """The file with one pin set, and what is pinned with it, with the day and the place of the look-up."""
    table: Any = tomlkit.parse(text)
    document = table
    for part in pin.path[:-1]:
        table = table[part]
    table.update({pin.path[-1]: found.value, **found.beside, "resolved": resolved, "source": found.source})
    for key, value in found.beside.items():
        if not isinstance(value, str):
            table[key] = inline = tomlkit.inline_table()
            inline.update(value)
    return tomlkit.dumps(document)


def replace_file(path: Path, text: str) -> None:
    """Writes the whole file or nothing: an interrupted run leaves the old content."""
    pin_file.parse(text, str(path))
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(path.stat().st_mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


# -- looking up --------------------------------------------------------------------------------------------------------

Outcome = Literal["kept", "current", "written", "empty", "outdated", "failed"]


@dataclass(frozen=True)
class Row:
    """What became of one pin.

    Attributes:
        outcome: kept (not looked up), current (looked up, the same), written, empty or outdated (`--check` writes
            nothing), failed.
        new: what was found; empty when nothing was looked up.
        problem: why it failed.
    """

    pin: Pin
    outcome: Outcome
    new: str = ""
    source: str = ""
    problem: Problem | None = None


@dataclass(frozen=True)
class Selection:
    """The pins that a run is about; empty means all but those that only platform eks needs."""

    image: bool = False
    packages: bool = False
    regions: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    kubernetes: bool = False

    def holds(self, pin: Pin) -> bool:
        if not (self.image or self.packages or self.regions or self.models or self.kubernetes):
            return pin.group != "kubernetes"
        chosen: dict[Group, bool] = {
            "image": self.image,
            "packages": self.packages,
            "region": pin.name in self.regions,
            "model": pin.name in self.models,
            "kubernetes": self.kubernetes,
        }
        return chosen[pin.group]


def look_up(pin: Pin, pins: Pins, http: Http) -> Found:
    """Asks the place that a pin comes from; a UserError when it does not answer with a pin."""
    match pin.group:
        case "image":
            image: ContainerImage = getattr(pins, pin.path[0])
            return lookups.image_digest(image.image, image.tag, http)
        case "packages":
            return _package(pin, pins, http)
        case "region":
            return lookups.public_parameter(getattr(pins.machine_image, pin.path[1]).parameter, pin.name)
        case "model":
            # A revision that only lacks its manifest stays what it is.
            return lookups.model_revision(pin.name, http, "main" if pin.whole else pin.value or "main")
        case "kubernetes":
            return _kubernetes(pin, pins, http)


def _release(pins: Pins, name: str) -> Release:
    return {**pins.kubernetes.releases}[name]


def _kubernetes(pin: Pin, pins: Pins, http: Http) -> Found:
    match pin.path[1]:
        case "nodes":
            return lookups.public_parameter(getattr(pins.kubernetes.nodes, pin.path[2]).parameter, pin.name)
        case "releases":
            return lookups.public_parameter(_release(pins, pin.name).parameter)
        case "addons":
            return lookups.addon_version(pin.name, pins.kubernetes.version)
        case _:
            return lookups.chart(pins.kubernetes.charts[pin.name], pin.name, http)


def _package(pin: Pin, pins: Pins, http: Http) -> Found:
    """The newest version, of the pinned branch where there is one."""
    if pin.path[0] == "efs_utils":
        return lookups.package_file(pins.efs_utils.index, pins.efs_utils.package, http)
    package: Package = getattr(pins, pin.path[0])
    versions = lookups.package_versions(package.index, package.packages, http)
    if pin.path[0] == "nvidia_driver":
        branch = str(pins.nvidia_driver.branch)
        versions = [version for version in versions if version.split(".")[0] == branch]
    if not versions:
        raise UserError.of(
            key=pin.key,
            wrong="the package index has no version of the pinned branch",
            value=pins.nvidia_driver.branch,
            allowed="a branch that NVIDIA still publishes",
            fix="pin another nvidia_driver.branch",
        )
    return Found(versions[0], package.index)


def check(pin: Pin, pins: Pins, http: Http) -> Row:
    """Compares a pin with the place that it comes from and writes nothing."""
    if not pin.whole:
        return Row(pin, "empty")
    try:
        found = look_up(pin, pins, http)
    except UserError as error:
        return _failed(pin, error)
    same = (found.value, found.beside) == (pin.value, pin.beside)
    return Row(pin, "current" if same else "outdated", found.value, found.source)


def resolve(path: Path, pin: Pin, pins: Pins, http: Http, today: date) -> Row:
    """Looks a pin up and writes it at once, so that an interruption loses nothing. A pin that is the same stays as is.

    The file is read again before it is written: another run may have filled other pins meanwhile.
    """
    try:
        found = look_up(pin, pins, http)
        if found == Found(pin.value, pin.source, pin.beside):
            return Row(pin, "current", found.value, found.source)
        text = path.read_text(encoding="utf-8")
        replace_file(path, set_pin(text, pin, found, today))
    except UserError as error:
        return _failed(pin, error)
    return Row(pin, "written", found.value, found.source)


def _failed(pin: Pin, error: UserError) -> Row:
    return Row(pin, "failed", problem=replace(error.problems[0], key=pin.key))


def run(
    path: Path,
    selection: Selection,
    mode: Literal["fill", "update", "check", "list"],
    http: Http,
    today: date,
    report: Callable[[Row], None] = lambda _row: None,
) -> list[Row]:
    """Goes through the selected pins one by one; a failed one does not stop the others.

    Args:
        mode: fill looks up what is empty; update everything selected; check compares and writes nothing; list does not
            even look up.
        report: told each row as soon as it is known.

    Raises:
        UserError: the file itself is unreadable or wrong.
    """
    pin_file.load(path)  # says what is wrong with the file before anything is looked up
    text = path.read_text(encoding="utf-8")
    extended = add_rows(text, regions=selection.regions, models=selection.models)
    if mode in ("fill", "update") and extended != text:
        replace_file(path, extended)
    pins = pin_file.parse(extended, str(path))
    rows = []
    for pin in filter(selection.holds, all_pins(pins)):
        match mode:
            case "list":
                row = Row(pin, "kept" if pin.whole else "empty")
            case "check":
                row = check(pin, pins, http)
            case _ if pin.whole and mode == "fill":
                row = Row(pin, "kept")
            case _:
                row = resolve(path, pin, pins, http, today)
        report(row)
        rows.append(row)
    return rows
