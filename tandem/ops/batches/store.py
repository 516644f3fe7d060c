"""A stack's batches, as they are in its bucket, with their machines."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from tandem import type_tokens as types
from tandem.errors import UserError
from tandem.ops.aws import AwsError, code_of
from tandem.ops.batches.estimate import Plan
from tandem.ops.batches.machines import MACHINES, Call, Machines
from tandem.ops.kinds import is_for_batches, ours
from tandem.ops.kinds.kind import Clients
from tandem.scripts import shared
from tandem.settings import Settings

job = shared("job", "batch")
State = Literal["running", "completed", "cancelled", "spent"]
UNANSWERED: Mapping[State, tuple[str, str]] = {
    "cancelled": ("batch_cancelled", "This request was not executed before the batch was cancelled."),
    "spent": ("batch_expired", "This request was not executed before the batch could have spent its money."),
}
"""Code and words for a request without an answer; the codes are OpenAI's."""
AT_ONCE = 16


TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")
"""Of a write that another was quicker than; or that came twice, as boto3 sends again what had no answer."""


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Machines that were called together: what is counted as spent is all of them, whether they came to work or not.

    Attributes:
        until: they end, or were ended.
        usd_per_hour: of all of them, on demand.
    """

    since: datetime
    until: datetime
    usd_per_hour: float

    def usd(self, now: datetime) -> float:
        return max(0.0, (min(now, self.until) - self.since) / timedelta(hours=1)) * self.usd_per_hour


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One batch, as it stands.

    Attributes:
        parts, done: how many there are, and are whole.
        requests, answered: likewise.
        grants: how often machines were called for it.
        usd: spent so far at most, by them.
        seconds_left: of one machine's work, as estimated; None for a model that is not sized.
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
    grants: Sequence[Grant]
    usd: float
    seconds_left: float | None
    max_usd: float
    created: datetime
    ends: datetime


@dataclass(frozen=True)
class Store:
    """Bucket and machines of a stack's batches.

    Attributes:
        now: the moment of the command.
    """

    clients: Clients
    bucket: str
    machines: Machines
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
        whole = self._keys(job.place(id, "done"))
        done = {job.number(key) for key in whole}
        kept = [key for key in self._keys(job.place(id, "answers")) if job.number(key) not in done]
        between = len(job.collected(filter(None, self._all(kept))))
        machines = self._keys(job.place(id, "machines"))
        state, ended = self._state(id, asked, whole.values())
        grants = _grants(asked, ended)
        requests = sum(asked["sizes"])
        answered = sum(asked["sizes"][number - 1] for number in done) + between
        work = asked["seconds"]
        return Batch(
            id=id,
            state=state,
            requests=requests,
            answered=answered,
            parts=asked["parts"],
            done=len(done),
            machines=sum(self.now - at < timedelta(minutes=2) for at in machines.values()),
            grants=grants,
            usd=round(sum(grant.usd(self.now) for grant in grants), 2),
            seconds_left=None if work is None else work * (1 - answered / requests),
            max_usd=asked["maxUsd"],
            created=datetime.fromtimestamp(asked["created"], UTC),
            ends=datetime.fromtimestamp(asked["ends"], UTC),
        )

    def current(self) -> tuple[Batch | None, str]:
        """The batch that is worked at, or was last, and the ETag of the object that says so."""
        text, etag = self._object(job.CURRENT)
        return (self.find(json.loads(text)["id"]) if text else None), etag

    def begin(self, lines: Sequence[str], plan: Plan) -> Batch:
        """Writes a batch, and calls its machines. What ends them is there first.

        Raises:
            UserError: another is running, or was begun at the same moment.
        """
        current, etag = self.current()
        self.refuse_running(current)
        self.machines.reach()
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
            "seconds": None if plan.work is None else plan.work.total_seconds(),
            "hosts": plan.hosts,
            "maxUsd": plan.max_usd,
            "created": self.now.timestamp(),
            "ends": (self.now + plan.lasts).timestamp(),
            "grants": [_written(self._grant(plan.usd_per_hour, plan.lasts))],
        }
        self._write(f"jobs/{id}/job.json", json.dumps(asked))
        self._become_current(id, etag)
        self._call(id, 1, plan)
        found = self.find(id)
        assert found
        return found

    def resume(self, batch: Batch, plan: Plan) -> None:
        """Calls machines once more for what is missing of a batch.

        Args:
            plan: with what the batch may cost in all as `max_usd`.

        Raises:
            UserError: it is running, or another is.
        """
        current, etag = self.current()
        for one in (batch, current):
            self.refuse_running(one)
        self.machines.reach()
        text, before = self._object(f"jobs/{batch.id}/job.json")
        asked = json.loads(text)
        if len(asked["grants"]) != len(batch.grants):  # by another meanwhile
            self.refuse_running(self.find(batch.id))
        self._become_current(batch.id, etag)
        asked |= {
            "hosts": plan.hosts,
            "maxUsd": plan.max_usd,
            "ends": (self.now + plan.lasts).timestamp(),
            "grants": [*map(_written, batch.grants), _written(self._grant(plan.usd_per_hour, plan.lasts))],
        }
        self._replace(f"jobs/{batch.id}/job.json", json.dumps(asked), before)
        self._s3.delete_object(Bucket=self.bucket, Key=f"jobs/{batch.id}/stop.json")
        self._call(batch.id, len(asked["grants"]), plan)

    def cancel(self, batch: Batch) -> None:
        """Ends the machines, if they work at it; what they have answered stays. The mark that it is cancelled comes
        last: it proves that nothing more is spent."""
        text, _ = self._object(job.CURRENT)
        if text and json.loads(text)["id"] == batch.id:
            self.machines.end(batch.id)
        self._write(f"jobs/{batch.id}/stop.json", json.dumps({"at": self.now.timestamp()}))

    def lines(self, batch: Batch) -> Iterator[Mapping[str, Any]]:
        """Of the output and error files, in the order of the input: those that are whole, and of a batch that has
        ended all others, too."""
        done = {job.number(key): key for key in self._keys(job.place(batch.id, "done"))}
        for number in range(1, batch.parts + 1):
            if number in done:
                yield from map(json.loads, job.lines(self.read(done[number]) or ""))
            elif batch.state in UNANSWERED:
                yield from self._partly(batch, number)

    def _partly(self, batch: Batch, number: int) -> Iterator[Mapping[str, Any]]:
        answers = job.collected(filter(None, self._all(self._keys(job.place(batch.id, "answers", number, "/")))))
        for line in job.lines(self.read(job.place(batch.id, "input", number)) or ""):
            name = json.loads(line)["custom_id"]
            yield answers.get(name) or job.unanswered(name, *UNANSWERED[batch.state])

    def refuse_running(self, current: Batch | None) -> None:
        """
        Raises:
            UserError: a batch is running: machines work at one at a time.
        """
        if current and current.state == "running":
            raise UserError.of(
                key=current.id,
                wrong="is running, and a stack's machines work at one batch at a time",
                value=f"{current.answered:,} of {current.requests:,} requests answered",
                fix="wait for its end, or `tandem batch cancel` it: `tandem batch resume` goes on from there",
            )

    def _state(self, id: str, asked: Mapping[str, Any], done: Collection[datetime]) -> tuple[State, datetime | None]:
        """And when machines had nothing more to do, if that was before `ends`."""
        if len(done) == asked["parts"]:
            return "completed", max(done)
        if (stop := self.read(f"jobs/{id}/stop.json")) is not None:
            return "cancelled", datetime.fromtimestamp(json.loads(stop)["at"], UTC)
        return "spent" if self.now.timestamp() >= asked["ends"] else "running", None

    def _grant(self, usd_per_hour: float, lasts: timedelta) -> Grant:
        return Grant(since=self.now, until=self.now + lasts, usd_per_hour=usd_per_hour)

    def _become_current(self, id: str, etag: str) -> None:
        """Makes a batch the one that is worked at, in place of the one that was read with this ETag.

        Raises:
            UserError: another was begun at the same moment.
        """
        try:
            # With the moment: the same text has the same ETag.
            self._replace(job.CURRENT, json.dumps({"id": id, "at": self.now.timestamp()}), etag)
        except AwsError:
            self.refuse_running(self.current()[0])
            raise

    def _replace(self, key: str, text: str, etag: str) -> None:
        """Writes an object in place of the one with this ETag, or where none was."""
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        try:
            self._write(key, text, **condition)
        except AwsError as error:
            if code_of(error) not in TAKEN or self.read(key) != text:
                raise

    def _call(self, id: str, number: int, plan: Plan) -> None:
        ends = self.now + plan.lasts
        self.machines.call(Call(batch=id, number=number, hosts=plan.hosts, since=self.now, ends=ends))

    def read(self, key: str) -> str | None:
        """Text of an object; None when there is none."""
        text, etag = self._object(key)
        return text if etag else None

    def _object(self, key: str) -> tuple[str, str]:
        """Text and ETag; both empty when there is none."""
        try:
            found = self._s3.get_object(Bucket=self.bucket, Key=key)
        except AwsError as error:
            if code_of(error) != "NoSuchKey":
                raise
            return "", ""
        return found["Body"].read().decode(), found["ETag"]

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


def _grants(asked: Mapping[str, Any], ended: datetime | None) -> list[Grant]:
    """Of a batch's job.json, the last one until machines had nothing more to do."""
    found = [
        Grant(since=datetime.fromtimestamp(since, UTC), until=datetime.fromtimestamp(until, UTC), usd_per_hour=usd)
        for since, until, usd in asked["grants"]
    ]
    if ended:
        found[-1] = replace(found[-1], until=min(ended, found[-1].until))
    return found


def _written(grant: Grant) -> list[float]:
    return [grant.since.timestamp(), grant.until.timestamp(), grant.usd_per_hour]


def find(clients: Clients, stack: str, stack_id: str | None, now: datetime, settings: Settings) -> Store:
    """Of a stack that is up with `batch`.

    Raises:
        UserError: it has no bucket or no group for batches.
    """
    buckets = [one.id for one in ours(clients, stack, types.BUCKET, stack_id) if is_for_batches(one)]
    machines = MACHINES[settings.platform](clients, stack, stack_id, settings)
    if not buckets or machines is None:
        raise UserError.of(
            key=stack,
            wrong="the stack has no bucket and no machines for batches in this account and region",
            allowed="a stack that is up with `batch` in its settings",
            fix="set batch.maxUsd, then `pulumi up`; or name another --region or --profile",
        )
    return Store(clients, buckets[0], machines, now)
