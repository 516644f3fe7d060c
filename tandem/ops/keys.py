"""Keys of a stack's clients: the document that its edges read, and what `tandem keys` changes in it. Pure functions.

Of a key nothing but its SHA-256 is in the document: 32 random bytes cannot be guessed back from it, and who reads it
can let nobody in.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import PlainSerializer, ValidationError

from tandem.errors import UserError
from tandem.rules.clients import SECRET_BYTES
from tandem.settings.edge import ClientSettings
from tandem.settings.section import Section
from tandem.settings.types import NAMESPACE_NAME, OWN_CLIENTS, Instant, KeyDigest, RequestRate, Streams

PREFIX = "tdm_"
"""Of each key, by which scanners for secrets find one where it should not be."""
RANDOM_BYTES = 32
MOST_KEYS = 8
"""Of one client; edges refuse more."""
LEAST_DIFFERENT = 6
"""Characters of a key from elsewhere: of 20 decimal digits by chance one in 4,000 has fewer, others never."""
SHOWN = 8
"""Hex digits of a digest by which a key is named."""
LONGEST = timedelta(days=3650)

Moment = Annotated[Instant, PlainSerializer(lambda moment: f"{moment:%Y-%m-%dT%H:%M:%SZ}")]


class Key(Section):
    """A key of a client.

    Attributes:
        sha256: of its text.
        made: when; None for one that was not made here.
        until: from this moment on it is refused; None for never.
    """

    sha256: KeyDigest
    made: Moment | None = None
    until: Moment | None = None

    def works(self, now: datetime) -> bool:
        return self.until is None or now < self.until


class Client(Section):
    """A client: its keys, and its limits as in the settings (`clients.NAME`)."""

    keys: tuple[Key, ...]
    requests_per_second: RequestRate | None = None
    streams: Streams | None = None
    models: tuple[str, ...] | None = None

    def working(self, now: datetime) -> tuple[Key, ...]:
        return tuple(key for key in self.keys if key.works(now))


class Document(Section):
    """What a secret of clients holds, by name."""

    clients: Mapping[str, Client] = {}

    def text(self) -> str:
        """As JSON, without what is not set."""
        return json.dumps(self.model_dump(mode="json", by_alias=True, exclude_defaults=True) or {"clients": {}})

    def of(self, name: str, client: Client | None) -> Document:
        """The document with another client of the name, or none."""
        others = {other: found for other, found in self.clients.items() if other != name}
        return Document(clients=others if client is None else {**others, name: client})


_WORDS = {field.alias or name for one in (Key, Client, Document) for name, field in one.model_fields.items()}


def parse(text: str, where: str) -> Document:
    """A document from a secret's text.

    Args:
        where: the secret, as messages name it.

    Raises:
        UserError: it is none; nothing of its text is shown.
    """
    try:
        return Document.model_validate_json(text)
    except ValidationError as error:
        way = error.errors(include_url=False, include_input=False)[0]["loc"]
        raise no_document(where, _shown_way(way)) from None


def no_document(where: str, why: str) -> UserError:
    """That a secret's text is no document of clients, in words that show nothing of it."""
    return UserError.of(
        key=where,
        wrong=f"holds no document of clients{f' ({why})' if why else ''}; servers keep the last good one, and new "
        "ones do not start",
        value="not shown",
        allowed='{"clients": {"NAME": {"keys": [{"sha256": "..."}]}}}, as `tandem keys` writes it',
        fix=f"`aws secretsmanager get-secret-value --secret-id {where} --version-stage AWSPREVIOUS` shows the "
        "text before; put it back with `aws secretsmanager put-secret-value`",
    )


def _shown_way(way: Sequence[str | int]) -> str:
    """Into a document: numbers, words of ours and the client's name. Other words may be anything, a key also."""
    named = way[1] if way[0:1] == ("clients",) and len(way) > 1 and re.fullmatch(NAMESPACE_NAME, str(way[1])) else None
    return ".".join(str(part) if isinstance(part, int) or part in (*_WORDS, named) else "..." for part in way)


def declared(clients: Mapping[str, ClientSettings]) -> Document:
    """The clients of a stack's settings as a document."""
    return Document(
        clients={
            name: Client(
                keys=tuple(Key(sha256=digest) for digest in one.sha256),
                **one.model_dump(exclude={"sha256"}),
            )
            for name, one in clients.items()
        }
    )


def owners(document: Document) -> dict[str, str]:
    """Digest to the name of the client that has the key."""
    return {key.sha256: name for name, client in document.clients.items() for key in client.keys}


def still_good(declared: Document, name: str, revoked: Iterable[Key]) -> dict[str, str]:
    """What goes on after a client's issued keys were revoked: declared keys of its name, and what is declared as well.

    Returns:
        Digest to the name that the settings have for it.
    """
    gone = {key.sha256 for key in revoked}
    return {digest: owner for digest, owner in owners(declared).items() if owner == name or digest in gone}


def new_key() -> str:
    """A key, to be shown once."""
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def digest(key: str) -> str:
    """By which servers know a key.

    Raises:
        UserError: no header can carry it, or it can be guessed.
    """
    if not re.fullmatch(r"[!-~]{20,256}", key) or len(set(key)) < LEAST_DIFFERENT:
        raise UserError.of(
            key="the key",
            wrong="cannot be used",
            value=f"{len(key)} characters, {len(set(key))} different",
            allowed=f"20 to 256 printable ASCII characters without spaces, {LEAST_DIFFERENT} different ones",
            fix="`openssl rand -base64 32` makes one; `tandem keys add` makes and stores one by itself",
        )
    return hashlib.sha256(key.encode()).hexdigest()


def add(document: Document, name: str, client: Client, now: datetime) -> Document:
    """A new client.

    Raises:
        UserError: there is one of the name whose key works, or none can have it.
    """
    if not re.fullmatch(NAMESPACE_NAME, name) or name.startswith(OWN_CLIENTS):
        allowed = f"lower case, digits and -, up to 63 characters; {OWN_CLIENTS}... are tandem's own"
        raise UserError.of(key="NAME", wrong="is not a client's name", value=name, allowed=allowed)
    if (found := document.clients.get(name)) and found.working(now):
        raise UserError.of(
            key=name,
            wrong="there is a client of this name, and its key works",
            value=shown(found.working(now)),
            allowed="a name that no client has",
            fix="`tandem keys rotate` gives it a new key, `tandem keys revoke` ends it",
        )
    return document.of(name, client)


def lend(document: Document, name: str, key: Key, now: datetime) -> Document:
    """A key beside those that a client of tandem's own has: several commands may have one at a time."""
    found = document.clients.get(name, Client(keys=()))
    return document.of(name, _with(found, (*found.working(now), key), name))


def rotate(
    document: Document, name: str, sha256: str, now: datetime, overlap: timedelta, until: datetime | None = None
) -> Document:
    """A new key; those that work end after the overlap, or sooner where that was their end.

    Args:
        until: its end; None keeps the last one of a client whose keys all have one.

    Raises:
        UserError: there is no such client, or none of its keys works.
    """
    client = _client(document, name)
    if not (old := client.working(now)):
        fix = f"`tandem keys add` makes it anew; {shown(client.keys)} ended"
        raise UserError.of(key=name, wrong="has no key that works", allowed="a client that has one", fix=fix)
    ends = [key.until for key in old if key.until]
    until = until or (max(ends) if len(ends) == len(old) else None)
    over = _whole(now + overlap)
    kept = (key.model_copy(update={"until": min(key.until or over, over)}) for key in old)
    new = Key(sha256=sha256, made=_whole(now), until=until)
    return document.of(name, _with(client, (*(key for key in kept if key.works(now)), new), name))


def revoke(document: Document, name: str, prefix: str | None = None) -> Document:
    """Without a client's keys, or the one whose digest begins so; without keys there is no client.

    Raises:
        UserError: there is no such client, no such key, or more than one.
    """
    client = _client(document, name)
    gone = [key for key in client.keys if key.sha256.startswith((prefix or "").lower())]
    if prefix is not None and (not prefix or len(gone) != 1):
        raise UserError.of(
            key="--key",
            wrong=f"{len(gone) or 'no'} keys of {name} have a digest that begins so",
            value=prefix[:SHOWN],  # it may be a key
            allowed=shown(client.keys, digits=len(prefix) + SHOWN if gone else SHOWN),
            fix="name as much of the digest as tells it from the others, or leave --key out to end all",
        )
    left = tuple(key for key in client.keys if key not in gone)
    return document.of(name, client.model_copy(update={"keys": left}) if left else None)


def without(document: Document, name: str, sha256: str) -> Document:
    """Without one key, if it is there."""
    client = document.clients.get(name)
    return revoke(document, name, sha256) if client and sha256 in {key.sha256 for key in client.keys} else document


def pruned(document: Document, now: datetime) -> Document:
    """Without keys that have ended, which changes nobody's answer.

    A client's last one stays, so that `tandem keys list` says when it ended; clients of tandem's own go with theirs.
    """
    made = document
    for name, client in document.clients.items():
        working = client.working(now)
        last = () if name.startswith(OWN_CLIENTS) else sorted(client.keys, key=lambda key: key.until or now)[-1:]
        left = working or tuple(last)
        made = made.of(name, client.model_copy(update={"keys": left}) if left else None)
    return made


def fits(document: Document, where: str) -> str:
    """The document's text.

    Raises:
        UserError: no secret holds it.
    """
    if (size := len(text := document.text())) > SECRET_BYTES:
        raise UserError.of(
            key=where,
            wrong="would hold more than a secret can",
            value=f"{size} bytes, {len(document.clients)} clients",
            allowed=f"{SECRET_BYTES} bytes, some 400 clients",
            fix="`tandem keys revoke` those that are not used",
        )
    return text


def moment(text: str, now: datetime) -> datetime:
    """An end, `30d` from now or a moment with its time zone.

    Raises:
        UserError: it is neither, or not in the future.
    """
    try:
        found = now + span(text, "--until") if text[:1].isdigit() and "-" not in text else datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError("no time zone")
    except ValueError:
        allowed = "a span such as 30d, or a moment with its time zone such as 2027-01-31T00:00:00Z"
        raise UserError.of(key="--until", wrong="is no moment", value=text, allowed=allowed) from None
    if found <= now:
        fix = "leave it out for a key without an end"
        raise UserError.of(
            key="--until", wrong="is in the past", value=text, allowed=f"after {now:%Y-%m-%dT%H:%MZ}", fix=fix
        )
    return _whole(found.astimezone(UTC))


def span(text: str, option: str) -> timedelta:
    """A length of time: minutes, hours or days.

    Raises:
        UserError: it is none.
    """
    match = re.fullmatch(r"(\d{1,6})([mhd])", text)
    found = match and timedelta(**{{"m": "minutes", "h": "hours", "d": "days"}[match[2]]: int(match[1])})
    if found is None or found > LONGEST:
        allowed = f"minutes, hours or days such as 90m, 24h or 30d, up to {LONGEST.days}d"
        raise UserError.of(key=option, wrong="is no span", value=text, allowed=allowed)
    return found


def shown(keys: Iterable[Key], digits: int = SHOWN) -> str:
    """Keys by the beginnings of their digests."""
    return ", ".join(key.sha256[:digits] for key in keys) or "none"


def _client(document: Document, name: str) -> Client:
    if (found := document.clients.get(name)) is None:
        raise UserError.of(
            key=name,
            wrong="`tandem keys` has made no such client",
            allowed=", ".join(sorted(document.clients)) or "there is none yet",
            fix="`tandem keys list` shows all; one that the settings declare changes there (clients.NAME.sha256)",
        )
    return found


def _with(client: Client, keys: tuple[Key, ...], name: str) -> Client:
    if len(keys) > MOST_KEYS:
        raise UserError.of(
            key=name,
            wrong="has as many keys at once as servers take",
            value=shown(keys[:-1]),
            allowed=f"up to {MOST_KEYS} that have not ended",
            fix="`tandem keys revoke --key PREFIX` one, or wait until one ends",
        )
    return client.model_copy(update={"keys": keys})


def _whole(moment: datetime) -> datetime:
    """Seconds, as the document has them."""
    return moment.astimezone(UTC).replace(microsecond=0)
