"""The project's own program on a stack file of a test's own, with a control plane and a simulated account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pulumi_rehearsal import engine
from pulumi_rehearsal.kubernetes import cluster
from pulumi_rehearsal.kubernetes.control_plane import QUICK, Pace
from rehearsal.account import simulated_account
from rehearsal.scene import PROJECT, Scene, set_the_scene


@contextmanager
def scene_of(
    directory: Path, stack: str, file: str, program: Path = PROJECT / "infra", pace: Pace = QUICK
) -> Iterator[Scene]:
    """Sets the scene for a stack whose file has this text.

    Args:
        directory: empty; it becomes the project, but for its stack files.
        program: another than the project's own.
    """
    cluster.ensure(print)
    for part in (program, PROJECT / "images"):
        (directory / part.name).symlink_to(part)
    project = (PROJECT / "Pulumi.yaml").read_text(encoding="utf-8")
    (directory / "Pulumi.yaml").write_text(project.replace("main: infra", f"main: {program.name}"), encoding="utf-8")
    (directory / f"Pulumi.{stack}.yaml").write_text(file, encoding="utf-8")
    with simulated_account() as account, set_the_scene(stack, engine.ensure(print), account, directory, pace) as scene:
        yield scene
