"""Kills `pulumi up` of a stack on eks with SIGKILL in the middle, and goes on as docs/runbook.md says: up, or destroy.

What a killed `up` made in the cluster, no listing of the account shows; a NodePool that nobody knows would start nodes
for ever.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pulumi_rehearsal.kubernetes.api import ApiError
from pulumi_rehearsal.kubernetes.cluster import title
from pulumi_rehearsal.kubernetes.watch import seconds_until
from rehearsal.kubernetes.expectations import recorded_object
from rehearsal.scene import Scene
from tandem.kubernetes.names import NAMESPACE
from tandem.ops import inventory
from tests.rehearsal.kubernetes.asked import asked_before
from tests.rehearsal.kubernetes.scenes import scene_of

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes, pytest.mark.long]

STACK = "half"
NODE_POOL = "kubernetes:karpenter.sh/v1:NodePool"
SERVERS = "kubernetes:apps/v1:Deployment"
PLURALS = {NODE_POOL: "nodepools", SERVERS: "deployments"}
UP_SECONDS = 300
FILE = """\
config:
  tandem:region: us-east-1
  tandem:platform: eks
  tandem:ephemeral: true
  tandem:fleet: {instanceTypes: [g6.12xlarge], maxHosts: 2}
  tandem:scaling: {minReplicas: 1, maxReplicas: 2}
  tandem:inference: {model: Qwen/Qwen3-8B, maxModelLen: 32768}
"""

RELEASE_NAME = "meta.helm.sh/release-name"
"""Helm's own annotation, on all that a release has made."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene_of(tmp_path_factory.mktemp("half"), STACK, FILE) as scene:
        yield scene


def kill_up_at(scene: Scene, type: str) -> str:
    """Runs `up` until an object of the type exists, and kills it before it hears of that; returns the object's id.

    The API server asks us before it makes the object: the engine is stopped then, and killed once the object is there.
    """
    assert scene.cluster is not None
    api, workspace = scene.cluster.api, scene.workspace
    api_version, kind = type.split(":")[1:]
    command = [workspace.command, "up", "--stack", STACK, "--yes", "--skip-preview", "--non-interactive"]
    up = subprocess.Popen(command, cwd=workspace.directory, env=dict(workspace.environment), stdout=subprocess.DEVNULL)

    def there() -> list[str]:
        try:
            found = api.list(api_version, kind)
        except ApiError:  # of a kind that is only just served
            return []
        metadata = [one["metadata"] for one in found if one["metadata"].get("namespace") in (None, NAMESPACE)]
        return ["/".join(filter(None, (one.get("namespace"), one["name"]))) for one in metadata]

    stopped = threading.Event()

    def stop() -> None:
        os.kill(up.pid, signal.SIGSTOP)
        stopped.set()

    with asked_before(scene.cluster.plane, api_version, PLURALS[type], stop):
        assert seconds_until(lambda: stopped.is_set() or up.poll() is not None, UP_SECONDS)
        assert seconds_until(lambda: bool(there()), UP_SECONDS)
    up.kill()
    kill_plugins(workspace.directory / "home")
    assert up.wait() == -signal.SIGKILL, f"`up` ended before it made a {type}"
    [id] = there()
    return id


def kill_plugins(home: Path) -> None:
    """What a machine that is lost would have ended, too: a plugin outlives an engine that was killed."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(home) in (process / "cmdline").read_text():
                os.kill(int(process.name), signal.SIGKILL)


def recover(scene: Scene) -> str:
    """`tandem recover half --yes`, in the directory of Pulumi.yaml."""
    done = subprocess.run(
        [Path(sys.executable).with_name("tandem"), "recover", STACK, "--yes"],
        cwd=scene.workspace.directory,
        env={**scene.workspace.environment, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def ids(scene: Scene, type: str) -> list[str]:
    return [resource["id"] for resource in scene.workspace.resources() if resource["type"] == type]


def the_cluster_ends(scene: Scene, said: str) -> None:
    """Takes with it what Helm had under way: `recover` lets go of a pending release, and no state knows its objects.
    Here the control plane goes on."""
    assert scene.cluster is not None
    for one in scene.cluster.objects():
        if release := one["metadata"].get("annotations", {}).get(RELEASE_NAME):
            assert release in said, said
            scene.cluster.api.delete(one)


def nothing_is_left(scene: Scene) -> None:
    assert scene.cluster is not None
    assert [title(object) for object in scene.cluster.objects()] == []
    assert inventory.find(scene.clients, STACK).resources == []


def test_a_half_finished_up_is_destroyed_with_what_it_did_not_record(scene: Scene) -> None:
    id = kill_up_at(scene, NODE_POOL)
    assert ids(scene, NODE_POOL) == [], "created, not recorded"

    said = recover(scene)

    assert ids(scene, NODE_POOL) == [id]
    destroy = scene.workspace.destroy()
    assert destroy.succeeded, destroy.messages
    the_cluster_ends(scene, said)
    nothing_is_left(scene)


def test_or_it_goes_on_to_the_wanted_state(scene: Scene) -> None:
    id = kill_up_at(scene, SERVERS)
    recover(scene)
    assert ids(scene, SERVERS) == [id]

    up = scene.workspace.up()

    assert up.succeeded, up.messages
    assert scene.workspace.up().changing() == []
    assert scene.cluster is not None
    recorded = {object for object in map(recorded_object, scene.workspace.resources()) if object}
    assert recorded <= {title(object) for object in (*scene.cluster.objects(), *scene.cluster.definitions())}
    destroy = scene.workspace.destroy()
    assert destroy.succeeded, destroy.messages
    nothing_is_left(scene)
