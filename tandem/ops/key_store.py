"""Where a stack's issued keys are: a secret whose text only `tandem keys` writes, by compare and swap.

Each write is a version of its own, put beside the current one under a label, and becomes the current one only in the
place of the version that was read: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html
("If the label is attached and [...] the version ID does not match, then the operation fails").
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tandem import type_tokens as types
from tandem.errors import UserError
from tandem.ops import keys
from tandem.ops.aws import AwsError, code_of, user_errors
from tandem.ops.keys import Document, Key
from tandem.ops.kinds import ours
from tandem.ops.kinds.kind import Clients
from tandem.tags import ISSUED_KEYS

CURRENT, NEXT = "AWSCURRENT", "tandem-next"
"""NEXT is one label for all writers: a secret has 20 in all, and one of each writer's own would stay behind a kill."""
TRIES = 8
LENT_FOR = timedelta(minutes=15)
_QUICKER = {"InvalidParameterException", "InvalidRequestException", "ResourceNotFoundException"}
"""What AWS says of a version that is no longer the current one."""


@dataclass(frozen=True)
class Store:
    """The secret of a stack's issued keys.

    Attributes:
        arn: of the secret; its name in messages is `name`.
        sleep: waits between tries; tests pass their own.
    """

    clients: Clients
    arn: str
    name: str
    sleep: Callable[[float], None] = time.sleep

    def read(self) -> tuple[Document, str | None]:
        """The document and its version; an empty one and None before the first.

        Raises:
            UserError: the text is no document, or AWS refuses.
        """
        with user_errors(self.name):
            text, version = self._current()
        return Document() if text is None else keys.parse(text, self.name), version

    def text(self) -> str | None:
        """What it holds, empty where that is no text; None before the first. AWS's refusals come as they are."""
        return self._current()[0]

    def _current(self) -> tuple[str | None, str | None]:
        try:
            found = self.clients("secretsmanager").get_secret_value(SecretId=self.arn, VersionStage=CURRENT)
        except AwsError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            return None, None
        return found.get("SecretString", ""), found["VersionId"]

    def change(self, change: Callable[[Document], Document], now: datetime) -> Document:
        """Applies a change to the document as it is then; where somebody else was quicker, to theirs.

        Raises:
            UserError: the change refuses, others were quicker each time, or AWS refuses.
        """
        for number in range(TRIES):
            before, version = self.read()
            after = keys.pruned(change(before), now)
            if after == before or self._put(keys.fits(after, self.name), version):
                return after
            self.sleep(random.uniform(0.1, 0.5) * 2 ** min(number, 3))  # noqa: S311  (writers apart, no secret)
        raise UserError.of(
            key=self.name,
            wrong=f"somebody else changed the keys at the same time, {TRIES} times",
            allowed="one writer at a time",
            fix="nothing was changed; run the same command again",
        )

    def _put(self, text: str, before: str | None) -> bool:
        """Whether the text is the current one now."""
        service = self.clients("secretsmanager")
        with user_errors(self.name):
            made = service.put_secret_value(SecretId=self.arn, SecretString=text, VersionStages=[NEXT])["VersionId"]
            if before is None:  # the first version of a secret becomes the current one by itself
                return service.get_secret_value(SecretId=self.arn, VersionStage=CURRENT)["VersionId"] == made
            try:
                service.update_secret_version_stage(
                    SecretId=self.arn, VersionStage=CURRENT, MoveToVersionId=made, RemoveFromVersionId=before
                )
            except AwsError as error:
                if code_of(error) not in _QUICKER:
                    raise
                return False
        return True


def stores(clients: Clients, stack: str, stack_id: str | None = None, name: str = ISSUED_KEYS) -> list[Store]:
    """The stack's secrets of one name, by their tags; None as its id for those of all lives."""
    found = ours(clients, stack, types.SECRET, stack_id)
    return [Store(clients, one.arn, one.name) for one in found if is_called(one.name, name)]


def is_called(secret: str, name: str) -> bool:
    """Whether a secret of a stack is the one of a name; a team's key, which anybody names, has a slash in its own."""
    return re.fullmatch(rf"[^/]*-{name}(-[0-9a-f]+)?", secret) is not None


def find(clients: Clients, stack: str, stack_id: str | None = None) -> Store:
    """The stack's secret, by its tags.

    Args:
        stack_id: the life of the stack; None for the only one of the name.

    Raises:
        UserError: there is none, or two lives of the stack have one.
    """
    with user_errors(stack):
        found = stores(clients, stack, stack_id)
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError.of(
            key=stack,
            wrong="two lives of this name are in the account, and no state here tells which is meant",
            value=", ".join(one.name for one in found),
            allowed="one, or the state of the one that is meant",
            fix=f"run it where `pulumi stack select {stack}` works; `tandem audit {stack}` shows both",
        )
    raise UserError.of(
        key=stack,
        wrong="the stack has no secret of issued keys in this account and region",
        allowed="a stack that is up",
        fix="`pulumi up`, or name another --region or --profile",
    )


@contextmanager
def lent(store: Store, name: str, lasting: timedelta = LENT_FOR) -> Iterator[str]:
    """A key for as long as the block runs, also when it is interrupted; should this process be killed, for so long.

    Args:
        name: a client of tandem's own.
    """
    key, now = keys.new_key(), datetime.now(UTC)
    mine = Key(sha256=keys.digest(key), made=now, until=now + lasting)
    try:
        store.change(lambda document: keys.lend(document, name, mine, now), now)
        yield key
    finally:
        store.change(lambda document: keys.without(document, name, mine.sha256), datetime.now(UTC))
