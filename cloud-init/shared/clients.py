"""Who may use a stack: from the documents of its clients to what an edge knows of each key. For hosts and pods alike.

A document knows a key by its SHA-256 alone, and so does whoever reads it:

    {"clients": {"alice": {"keys": [{"sha256": "...", "until": "2027-01-31T00:00:00Z"}],
                           "requestsPerSecond": 5, "streams": 4, "models": ["qwen"]}}}

All but `keys` is optional; without it there is no end, no limit of the client's own, and every model.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NAME = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
"""Of a client, as it stands in logs and metrics. Those that begin with `tandem-` are tandem's own."""
DIGEST = r"[0-9a-f]{64}"
LIMITS = {
    "requestsPerSecond": (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
    "streams": (1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
}
"""What each may be: nginx has a zone for each number from the start, so that no change of a client needs a reload."""
MOST_KEYS = 8
"""Of one client: two overlap in a rotation, and some are of who never ended one."""

LAST = datetime.datetime.max.replace(tzinfo=datetime.UTC)
SHORT = datetime.timedelta(days=14)
"""A key of so little life is not missed when it ends."""
OWN = re.compile("tandem-").match

Clients = dict[str, dict[str, Any]]


def merged(documents: Iterable[object]) -> Clients:
    """The clients of all documents. Keys add up; what two of them set, a limit or whose a key is, the first one says.

    Raises:
        ValueError: a document is none; says of which client what is wrong, with no other word of the document, of which
            each may be a key.
    """
    found: Clients = {}
    owners: dict[str, str] = {}
    for document in documents:
        for name, client in _clients(document).items():
            own = [key for key in _keys(name, client) if owners.setdefault(key["sha256"], name) == name]
            before = found.get(name, {})
            found[name] = {**client, **before, "keys": [*before.get("keys", []), *own]}
    return found


def _clients(document: object) -> Clients:
    clients = document.get("clients") if isinstance(document, dict) else None
    if not isinstance(clients, dict):
        raise ValueError('no JSON object with "clients", client name to client')
    owners: dict[str, str] = {}
    for name, client in clients.items():
        if not re.fullmatch(NAME, str(name)):
            raise ValueError("a client's name has other than lower-case letters, digits and -, or more than 63")
        if not isinstance(client, dict):
            raise ValueError(f"client {name}: must be a JSON object")
        for limit, numbers in LIMITS.items():
            value = client.get(limit, 1)
            if type(value) is not int or value not in numbers:
                raise ValueError(f"client {name}: {limit} must be one of {', '.join(map(str, numbers))}")
        models = client.get("models", [])
        if not (isinstance(models, list) and all(isinstance(model, str) for model in models)):
            raise ValueError(f"client {name}: models must be a list of the names under which they are served")
        if client.keys() - (known := {"keys", "models", *LIMITS}):
            raise ValueError(f"client {name}: has more than {', '.join(sorted(known))}")
        for key in _keys(name, client):
            if (owner := owners.setdefault(key["sha256"], name)) != name:
                raise ValueError(f"clients {owner} and {name} have the same key")
    return clients


def _keys(name: str, client: Mapping[str, Any]) -> list[dict[str, str]]:
    keys = client.get("keys")
    if not (isinstance(keys, list) and len(keys) <= MOST_KEYS):
        raise ValueError(f"client {name}: keys must be a list of up to {MOST_KEYS}")
    for key in keys:
        if not (isinstance(key, dict) and re.fullmatch(DIGEST, str(key.get("sha256")))):
            raise ValueError(f"client {name}: a key must have its SHA-256, 64 lower-case hexadecimal digits")
        if key.keys() - {"sha256", "made", "until"}:
            raise ValueError(f"client {name}: a key has more than sha256, made and until")
        for moment in ("until", "made"):
            try:
                _moment(key.get(moment))
            except ValueError:
                raise ValueError(f"client {name}: {moment} must be a moment such as 2027-01-31T00:00:00Z") from None
    return keys


def _moment(text: object) -> datetime.datetime:
    """LAST for none."""
    if text is None:
        return LAST
    found = datetime.datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    if found.tzinfo is None:
        raise ValueError(text)
    return found


def _until(key: Mapping[str, str]) -> datetime.datetime:
    """The end of a key, at the latest."""
    return _moment(key.get("until"))


def days_left(clients: Clients, now: datetime.datetime) -> float | None:
    """Until the first client has no key any more; None where none ends. A key that another one outlives has a
    successor, and who was given a first one for SHORT knows its end; another key with the same end is no successor.
    tandem's own clients get keys by themselves."""
    theirs = (one["keys"] for name, one in clients.items() if one["keys"] and not OWN(name))
    ends = (max(map(_until, keys)) for keys in theirs if not _given_for_short(keys))
    return min(((end - now) / datetime.timedelta(days=1) for end in ends if now < end < LAST), default=None)


def _given_for_short(keys: Sequence[Mapping[str, str]]) -> bool:
    """From its first key that is known to the end of its last."""
    end = max(map(_until, keys))
    return all(key.get("made") and end - _moment(key["made"]) <= SHORT for key in keys)


def digests(clients: Clients, now: datetime.datetime) -> dict[str, str]:
    """Digest to client name, of the keys that have not ended."""
    return {
        key["sha256"]: name for name, client in sorted(clients.items()) for key in client["keys"] if now < _until(key)
    }


def _of(models: Sequence[str], allowed: Sequence[str]) -> str:
    """1 for all, 0 for none, else after a =, which no name has: one may be called 1."""
    found = [model for model in models if model in allowed]
    return "1" if len(found) == len(models) else "=" + ",".join(found) if found else "0"


def rows(clients: Clients, models: Sequence[str], now: datetime.datetime) -> dict[str, str]:
    """What an edge knows of each key, by its digest: the client's name, whether it may use this server, its limits.

    One line a key, `alice 1 5 -`: to be read for each request, and so without anything to parse. Where a client may ask
    for some of a server's models, and not for all, they stand in place of the 1: `=sql,legal`.

    Args:
        models: names that the server answers to, of its model and of its adapters.
    """
    return {
        digest: " ".join(
            [
                name,
                _of(models, clients[name].get("models", models)),
                *(str(clients[name].get(limit, "-")) for limit in LIMITS),
            ]
        )
        for digest, name in digests(clients, now).items()
    }
