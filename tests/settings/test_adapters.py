"""LoRA adapters: pinned before they are served, and known by name to whoever asks."""

from __future__ import annotations

import json

import pytest

from tandem import checks, pins, rules
from tandem.settings import Settings
from tests.infra.kubernetes.samples import BASE

SQL = {"model": "acme/sql", "rank": 16}
FURTHER = {"hostName": "b.example.com", "inference": {"model": "Qwen/Qwen3-8B", "servedModelName": "further"}}


def stack(**inference: object) -> Settings:
    return Settings.model_validate({"region": "us-east-1", "inference": inference})


@pytest.mark.parametrize(("revision", "manifest"), [("", ""), ("0" * 40, ""), ("", "0" * 64), ("0" * 40, "0" * 64)])
def test_without_both_pins_an_adapter_is_refused_on_every_stack(revision: str, manifest: str) -> None:
    settings, known = stack(adapters={"sql": SQL}), pins.load()
    pinned = known.model_copy(update={"models": {"acme/sql": pins.ModelRevision(revision=revision, manifest=manifest)}})
    found = checks.problems(settings, pinned, "dev", checks.size(settings))
    assert [problem.key for problem in found] == ([] if revision and manifest else ["inference.adapters.sql.model"])
    assert all("`tandem pin --model acme/sql`" in problem.fix for problem in found)


def test_an_adapter_of_one_model_has_no_name_of_another_s() -> None:
    main = BASE["inference"] | {"adapters": {"sql": SQL, "b": SQL}}
    further = FURTHER | {"inference": {"model": "Qwen/Qwen3-8B", "servedModelName": "b", "adapters": {"sql": SQL}}}
    balancer = {"domainName": "a.example.com", "hostedZoneId": "Z0123456789ABC"}
    values = BASE | {"inference": main, "models": {"other": further}, "loadBalancer": balancer}
    found = rules.problems(Settings.model_validate(values))
    assert {problem.key for problem in found} == {"inference.adapters.b", "models.other.inference.adapters.sql"}


def test_adapters_are_among_the_names_that_clients_may_have() -> None:
    settings = stack(servedModelName="chat", adapters={"sql": SQL, "legal": {"model": "acme/legal", "rank": 40}})
    assert settings.names_served == ("chat", "sql", "legal")
    assert settings.served_beside == ("acme/sql", "acme/legal")
    assert (settings.inference.slots, settings.inference.largest_rank) == (2, 40)
    assert json.loads(settings.model_dump_json(by_alias=True))["inference"]["adapters"]["sql"] == SQL
