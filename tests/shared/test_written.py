"""What `tandem keys` and the settings write of clients is what edges read: the two know nothing of each other."""

from __future__ import annotations

import json

import clients
from hypothesis import given

from infra.platforms import context
from tandem.ops import keys
from tandem.ops.keys import Client, Document, Key
from tandem.settings.edge import ClientSettings
from tests.ops.test_keys import NOW, documents, law, working

LIMITS = {"requestsPerSecond": 5, "streams": 4, "models": ["qwen"]}


@law
@given(documents())
def test_an_edge_lets_in_whose_key_works(document: Document) -> None:
    for written in (document, keys.pruned(document, NOW)):
        assert clients.digests(clients.merged([json.loads(written.text())]), NOW) == working(document)


def test_limits_are_the_edges() -> None:
    issued = Client(keys=(Key(sha256="0" * 64, made=NOW),), requests_per_second=5, streams=4, models=("qwen",))
    settings = ClientSettings.model_validate({"sha256": ["1" * 64], **LIMITS})
    for text in (
        Document(clients={"alice": issued}).text(),
        json.dumps({"clients": {"alice": context.declared(settings)}}),
    ):
        (found,) = clients.merged([json.loads(text)]).values()
        assert {name: found[name] for name in LIMITS} == LIMITS


def test_no_list_of_models_is_every_model_and_an_empty_one_none() -> None:
    """Also after `tandem keys` has written it anew: a client must not get more than it had."""
    for models in ({}, {"models": []}):
        written = json.dumps({"clients": {"alice": {"keys": [{"sha256": "0" * 64}], **models}}})
        again = json.loads(keys.parse(written, "s").text())
        assert again == json.loads(written)


def test_as_many_keys_as_one_may_have_are_as_many_as_edges_take() -> None:
    assert keys.MOST_KEYS == clients.MOST_KEYS
