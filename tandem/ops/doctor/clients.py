"""Check: the documents from which servers know their clients, as they are in the account."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tandem.errors import UserError
from tandem.ops import key_store, keys
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, from_problem, ok, warning
from tandem.ops.keys import Document
from tandem.scripts import shared
from tandem.settings.types import OWN_CLIENTS
from tandem.tags import DECLARED_KEYS, ISSUED_KEYS


def documents_hold(examination: Examination) -> Iterator[Finding]:
    """Each is one, says what the settings declare, and lets somebody in. Of a text nothing but clients is shown."""
    life = examination.own.life if examination.own and examination.own.made else None
    found: dict[str, Document] = {}
    for name in (ISSUED_KEYS, DECLARED_KEYS):
        for store in key_store.stores(examination.clients, examination.stack, life, name):
            if (text := store.text()) is None:
                if name == DECLARED_KEYS:
                    yield warning(
                        "the document of declared clients was never written: new servers do not start",
                        value=store.name,
                        needed="a value, which an `up` that was ended in the middle has not written",
                        fix="`pulumi up` writes it",
                    )
                continue
            try:
                found[name] = _document(text, store.name)
            except UserError as refused:
                yield from_problem(refused.problems[0])
                return
    if not found:
        yield ok("clients", value="none before the first `pulumi up`")
        return
    yield from _as_declared(examination, found.get(DECLARED_KEYS, Document()))
    names = {
        name
        for document in found.values()
        for name, client in document.clients.items()
        if client.working(examination.now) and not name.startswith(OWN_CLIENTS)
    }
    if names:
        yield ok("clients", value=", ".join(sorted(names)))
    else:
        yield warning(
            "nobody has a key that works: each request gets 401",
            value="no client",
            needed="a client, issued or declared",
            fix=f"`tandem keys add {examination.stack} NAME`, or tandem:clients.NAME.sha256 in the stack's file",
        )


def _document(text: str, name: str) -> Document:
    """As servers read it, too, who refuse some that could be read.

    Raises:
        UserError: it is none.
    """
    document = keys.parse(text, name)
    try:
        shared("clients").merged([json.loads(text)])
    except ValueError as error:
        raise keys.no_document(name, str(error)) from None
    return document


def _as_declared(examination: Examination, there: Document) -> Iterator[Finding]:
    """`pulumi up` writes what the settings declare; until then, or where somebody changed it, servers know others."""
    wanted, known = keys.owners(keys.declared(examination.settings.clients)), keys.owners(there)
    if examination.settings.gateway:
        known = {digest: name for digest, name in known.items() if not name.startswith(OWN_CLIENTS)}
    for what, lacks in (
        ("the settings declare keys that servers refuse", wanted.items() - known.items()),
        ("servers let in keys that the settings do not declare", known.items() - wanted.items()),
    ):
        if lacks:
            yield warning(
                what,
                value=", ".join(sorted(f"{name} ({digest[: keys.SHOWN]})" for digest, name in lacks)),
                needed="the same keys in the settings and in the stack's secret of declared clients",
                fix="`pulumi up` writes the settings'; where that changes nothing, somebody else has changed the "
                "secret, and `pulumi up --refresh` sees it",
            )
