"""A host's scripts before the played cloud: real curl, played metadata and AWS, time that passes when it is slept.

Stands for: systemd and Docker of a host that boots or leaves, and its clock; curl is real.
Held by: tests/real/test_boot_way_out.py::test_a_spot_notice_during_a_streamed_answer_ends_it_whole
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from scripts import Load

from rehearsal.host.aws import Aws
from rehearsal.host.cloud import Cloud
from rehearsal.host.handler import listening
from rehearsal.host.member import Member
from rehearsal.host.metadata import SPOT_NOTICE, Metadata

EPOCH = 1795249320
"""When the played clock was at 0, in seconds since 1970."""


@dataclass
class Host:
    """The scripts, what is around them, and what they did.

    Attributes:
        commands: those that were not curl, in order, beside the calls of AWS.
    """

    scripts: SimpleNamespace
    cloud: Cloud
    clock: Callable[[], float]
    commands: list[str]

    def spot_notice(self, seconds: float) -> None:
        """The instance is taken back so many seconds from now."""
        end = datetime.fromtimestamp(EPOCH + self.clock() + seconds, UTC)
        self.cloud.metadata[SPOT_NOTICE] = f'{{"action": "terminate", "time": "{end:%Y-%m-%dT%H:%M:%SZ}"}}'


@pytest.fixture
def in_real_time(load: Load) -> Iterator[Host]:
    """The clock on the wall, for what really blocks."""
    cloud = Cloud(instance="i-0")
    with listening(Metadata, cloud=cloud) as metadata, listening(Aws, cloud=cloud) as aws:
        scripts = load(endpoint_url=f"http://127.0.0.1:{aws}/")
        scripts.aws.METADATA = f"http://127.0.0.1:{metadata}/latest/"
        yield Host(scripts, cloud, time.monotonic, [])


@pytest.fixture
def host(in_real_time: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Commands other than curl are only written down, and time passes when it is slept."""
    now = [1000.0]
    found = replace(in_real_time, clock=lambda: now[0])
    scripts, cloud, commands = found.scripts, found.cloud, found.commands
    cloud.member = Member(clock=found.clock)

    def sleep(seconds: float) -> None:
        now[0] += seconds

    played = SimpleNamespace(
        monotonic=found.clock, time=lambda: EPOCH + now[0], sleep=sleep, strftime=time.strftime, gmtime=time.gmtime
    )
    for name in ("basics", "host", "aws", "leave"):
        monkeypatch.setattr(getattr(scripts, name), "time", played)
    really = scripts.host.sh

    def sh(*command: str, **options: Any) -> str:
        if command[0] != "curl":
            commands.append(" ".join(command))
            return ""
        before = len(cloud.calls)
        try:
            return really(*command, **options)
        finally:
            commands.extend(operation for _, operation, _ in cloud.calls[before:])

    for name in ("host", "aws", "serve", "leave", "ready"):
        monkeypatch.setattr(getattr(scripts, name), "sh", sh)
    return found
