"""A stack's batches, as they are in its bucket, and the group of their machines."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from tandem import type_tokens as types
from tandem.errors import Problem, UserError
from tandem.ops.aws import AwsError, code_of
from tandem.ops.batches.estimate import Plan
from tandem.ops.kinds import is_for_batches, ours
from tandem.ops.kinds.kind import Clients
from tandem.scripts import shared

job = shared("job", "batch")
ENDS = "tandem-batch-ends"
"""The group's action that takes it to 0 when the money could be spent, whoever looks."""
State = Literal["running", "completed", "cancelled", "spent"]
UNANSWERED: Mapping[State, tuple[str, str]] = {
    "cancelled": ("batch_cancelled", "This request was not executed before the batch was cancelled."),
    "spent": ("batch_expired", "This request was not executed before the batch could have spent its money."),
}
"""Code and words for a request without an answer; the codes are OpenAI's."""
AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One batch, as it stands.

    Attributes:
        parts, done: how many there are, and are whole.
        requests, answered: likewise.
        usd: spent so far, counted on demand, by what its machines wrote.
        max_usd: when it could be spent, `ends`.
        machines: that wrote within two minutes.
    """

    id: str
    state: State
    requests: int
    answered: int
    parts: int
    done: int
    machines: int
    usd: float
    max_usd: float
    created: datetime
    ends: datetime


@dataclass(frozen=True)
class Store:
    """Bucket and group of a stack's batches.

    Attributes:
        now: the moment of the command.
    """

    clients: Clients
    bucket: str
    group: str
    now: datetime

    def batches(self) -> list[Batch]:
        """All that the bucket still has, the newest first."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix="jobs/", Delimiter="/")
        ids = [one["Prefix"].split("/")[1] for page in pages for one in page.get("CommonPrefixes", ())]
        return [found for id in sorted(ids, reverse=True) if (found := self.find(id))]

    def find(self, id: str) -> Batch | None:
        """A batch by its id."""
        text = self.read(f"jobs/{id}/job.json")
        if text is None:
            return None
        asked = json.loads(text)
        done = {job.number(key) for key in self._keys(job.place(id, "done"))}
        kept = [key for key in self._keys(job.place(id, "answers")) if job.number(key) not in done]
        between = len(job.collected(filter(None, self._all(kept))))
        machines = self._keys(job.place(id, "machines"))
        seconds = [at.timestamp() - json.loads(self.read(key) or "{}")["since"] for key, at in machines.items()]
        return Batch(
            id=id,
            state=self._state(id, asked, len(done)),
            requests=sum(asked["sizes"]),
            answered=sum(asked["sizes"][number - 1] for number in done) + between,
            parts=asked["parts"],
            done=len(done),
            machines=sum(self.now - at < timedelta(minutes=2) for at in machines.values()),
            usd=round(sum(seconds) / 3600 * asked["usdPerMachineHour"], 2),
            max_usd=asked["maxUsd"],
            created=datetime.fromtimestamp(asked["created"], UTC),
            ends=datetime.fromtimestamp(asked["ends"], UTC),
        )

    def current(self) -> tuple[Batch | None, str]:
        """The batch that is worked at, or was last, and the ETag of the object that says so."""
        try:
            found = self._s3.get_object(Bucket=self.bucket, Key=job.CURRENT)
        except AwsError as error:
            if code_of(error) != "NoSuchKey":
                raise
            return None, ""
        return self.find(json.loads(found["Body"].read())["id"]), found["ETag"]

    def begin(self, lines: Sequence[str], plan: Plan, usd_per_machine_hour: float) -> Batch:
        """Writes a batch, and calls its machines. What ends them is there first.

        Raises:
            UserError: another is running, or was begun at the same moment.
        """
        current, etag = self.current()
        self.refuse_running(current)
        id = f"batch-{self.now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        parts = [*job.parts(lines)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            written = [
                pool.submit(self._write, job.place(id, "input", number), "\n".join(part) + "\n")
                for number, part in enumerate(parts, 1)
            ]
        for one in written:
            one.result()
        asked = {
            "parts": len(parts),
            "sizes": [len(part) for part in parts],
            "hosts": plan.hosts,
            "maxUsd": plan.max_usd,
            "usdPerMachineHour": usd_per_machine_hour,
            "created": self.now.timestamp(),
            "ends": (self.now + plan.lasts).timestamp(),
        }
        self._write(f"jobs/{id}/job.json", json.dumps(asked))
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        try:
            self._write(job.CURRENT, json.dumps({"id": id}), **condition)
        except AwsError as error:
            if code_of(error) not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
            current, _ = self.current()
            self.refuse_running(current)
            raise
        self._call(plan.hosts, self.now + plan.lasts)
        found = self.find(id)
        assert found
        return found

    def resume(self, batch: Batch, hosts: int, max_usd: float, lasts: timedelta) -> None:
        """Calls machines once more for what is missing of a batch."""
        current, etag = self.current()
        if current and current.id != batch.id:
            self.refuse_running(current)
        asked = json.loads(self.read(f"jobs/{batch.id}/job.json") or "{}")
        asked |= {"maxUsd": max_usd, "ends": (self.now + lasts).timestamp(), "hosts": hosts}
        self._write(f"jobs/{batch.id}/job.json", json.dumps(asked))
        self._s3.delete_object(Bucket=self.bucket, Key=f"jobs/{batch.id}/stop.json")
        self._write(job.CURRENT, json.dumps({"id": batch.id}), **({"IfMatch": etag} if etag else {}))
        self._call(hosts, self.now + lasts)

    def cancel(self, batch: Batch) -> None:
        """Ends the machines; what they have answered stays."""
        self._write(f"jobs/{batch.id}/stop.json", json.dumps({"at": self.now.timestamp()}))
        self._autoscaling.update_auto_scaling_group(
            AutoScalingGroupName=self.group, MinSize=0, MaxSize=0, DesiredCapacity=0
        )

    def lines(self, batch: Batch) -> Iterator[Mapping[str, Any]]:
        """Of the output and error files, in the order of the input: those that are whole, and of a batch that has
        ended all others, too."""
        done = {job.number(key): key for key in self._keys(job.place(batch.id, "done"))}
        for number in range(1, batch.parts + 1):
            if number in done:
                yield from map(json.loads, (self.read(done[number]) or "").splitlines())
            elif batch.state in UNANSWERED:
                yield from self._partly(batch, number)

    def _partly(self, batch: Batch, number: int) -> Iterator[Mapping[str, Any]]:
        answers = job.collected(filter(None, self._all(self._keys(job.place(batch.id, "answers", number, "/")))))
        for line in (self.read(job.place(batch.id, "input", number)) or "").splitlines():
            name = json.loads(line)["custom_id"]
            yield answers.get(name) or job.unanswered(name, *UNANSWERED[batch.state])

    def refuse_running(self, current: Batch | None) -> None:
        """
        Raises:
            UserError: a batch is running: machines work at one at a time.
        """
        if current and current.state == "running":
            raise UserError(
                Problem(
                    key=current.id,
                    wrong="is running, and a stack's machines work at one batch at a time",
                    value=f"{current.answered:,} of {current.requests:,} requests answered",
                    fix="wait for its end, or `tandem batch cancel` it",
                )
            )

    def _state(self, id: str, asked: Mapping[str, Any], done: int) -> State:
        if done == asked["parts"]:
            return "completed"
        if self.read(f"jobs/{id}/stop.json") is not None:
            return "cancelled"
        return "spent" if self.now.timestamp() >= asked["ends"] else "running"

    def _call(self, hosts: int, ends: datetime) -> None:
        group = {"AutoScalingGroupName": self.group}
        self._autoscaling.put_scheduled_update_group_action(
            **group, ScheduledActionName=ENDS, StartTime=ends, MinSize=0, MaxSize=0, DesiredCapacity=0
        )
        self._autoscaling.update_auto_scaling_group(**group, MinSize=0, MaxSize=hosts, DesiredCapacity=hosts)

    def read(self, key: str) -> str | None:
        """Text of an object; None when there is none."""
        try:
            return self._s3.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode()
        except AwsError as error:
            if code_of(error) != "NoSuchKey":
                raise
            return None

    def _write(self, key: str, text: str, **condition: str) -> None:
        self._s3.put_object(
            Bucket=self.bucket, Key=key, Body=text.encode(), ContentType="application/jsonl", **condition
        )

    def _keys(self, prefix: str) -> dict[str, datetime]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return {one["Key"]: one["LastModified"] for page in pages for one in page.get("Contents", ())}

    def _all(self, keys: Sequence[str] | Mapping[str, Any]) -> list[str | None]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self.read, keys))

    @property
    def _s3(self) -> Any:
        return self.clients("s3")

    @property
    def _autoscaling(self) -> Any:
        return self.clients("autoscaling")


def find(clients: Clients, stack: str, stack_id: str | None, now: datetime) -> Store:
    """Of a stack that is up with `batch`.

    Raises:
        UserError: it has no bucket or no group for batches.
    """
    found = [
        next((one.id for one in ours(clients, stack, type_, stack_id) if is_for_batches(one)), None)
        for type_ in (types.BUCKET, types.GROUP)
    ]
    bucket, group = found
    if bucket is None or group is None:
        raise UserError(
            Problem(
                key=stack,
                wrong="the stack has no bucket and no machines for batches in this account and region",
                allowed="a stack that is up with `batch` in its settings",
                fix="set batch.maxUsd, then `pulumi up`; or name another --region or --profile",
            )
        )
    return Store(clients, bucket, group, now)
