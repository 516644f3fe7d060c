"""Heavy proofs on real parts. `make test-real` installs what they need and runs them; `make test` leaves them out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tandem.scripts import DIRECTORY

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "host"), str(DIRECTORY / "shared")]

sys.path.append(str(DIRECTORY / "pod"))

from boot import host  # noqa: E402, F401  a fixture
from edge import Nginx, nginx  # noqa: E402
from gateway_parts import SHARED, Parts  # noqa: E402
from groups import GUESTS, Groups, group  # noqa: E402
from recording import Backend, recording  # noqa: E402
from scripts import load  # noqa: E402, F401  a fixture
from served import LASTING  # noqa: E402
from strangers import wide  # noqa: E402


@pytest.fixture(scope="module")
def backends() -> Iterator[list[Backend]]:
    with recording(2) as found:
        yield found


@pytest.fixture(scope="module", params=["host", "pod"])
def roomy(
    request: pytest.FixtureRequest, backends: list[Backend], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nginx]:
    """The edge of dev's hosts, and that of its pods."""
    directory = tmp_path_factory.mktemp("edge")
    with nginx(wide(), [backend.port for backend in backends], directory, place=request.param) as edge:
        yield edge


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """Of the gateway; both copies run."""
    found = SHARED(tmp_path_factory.mktemp)
    for copy in (found.first, found.second):
        if copy.process is None:
            copy.start()
    return found


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """What files of a group share ends with them."""
    if nextitem is None or nextitem.path.name not in SHARED.files:
        SHARED.end()
    if nextitem is None or group(nextitem.path.name) != group(item.path.name):
        LASTING.end()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    return Groups(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What boots guests comes first, and last of it the guest that several files share, since that lives to the end."""
    items.sort(key=lambda item: (not item.path.name.startswith(GUESTS), "host" in _fixtures(item)))


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])
