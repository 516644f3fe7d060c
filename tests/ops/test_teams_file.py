"""The file of teams: the document's example, and what is refused, with the value, what is allowed, and what to do."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tandem.errors import UserError
from tandem.ops.teams.file import gateway_models, read
from tandem.settings import Settings

SETTINGS = Settings.model_validate(
    {
        "region": "us-east-1",
        "loadBalancer": {"domainName": "api.example.com", "hostedZoneId": "Z0123456789ABC"},
        "gateway": {
            "hostName": "teams.example.com",
            "models": {
                "far": {
                    "url": "https://far.example.com",
                    "keySecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:far-AbCdEf",
                    "promptUsdPerMillion": 1,
                    "answerUsdPerMillion": 1,
                }
            },
            "fallback": {
                "model": "bedrock/amazon.nova-lite-v1:0",
                "maxUsdPerDay": 1,
                "promptUsdPerMillion": 1,
                "answerUsdPerMillion": 1,
            },
        },
    }
)
(OWN, *_) = SETTINGS.names_served
DOCUMENT = Path(__file__).parents[2] / "docs/gateway.md"


def example() -> str:
    (found,) = re.findall(r"```yaml\n(# teams\.yaml\n.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    return found


def test_the_documents_example_is_one(tmp_path: Path) -> None:
    (tmp_path / "teams.yaml").write_text(example(), encoding="utf-8")
    made = read(tmp_path / "teams.yaml", SETTINGS)
    research = made.teams["research"]
    assert research.budget
    assert (research.budget.usd, research.budget.per) == (200, "month")
    assert research.keys["notebooks"].until == datetime(2027, 6, 30, tzinfo=UTC)
    assert set(made.teams["support"].keys) == {"desk"}


def test_models_are_all_that_the_gateway_has(tmp_path: Path) -> None:
    """The fallback's, too, whose name has a colon: without it a team does not fall back."""
    known = (OWN, "far", "bedrock/amazon.nova-lite-v1:0")
    assert gateway_models(SETTINGS) == known
    (tmp_path / "teams.yaml").write_text(f"teams: {{a: {{models: [{', '.join(known)}]}}}}", encoding="utf-8")
    assert read(tmp_path / "teams.yaml", SETTINGS).teams["a"].models == known


MANY = "{" + ", ".join(f"t{number}: {{}}" for number in range(1001)) + "}"
WRONG = {
    "an empty file": ("", "it is empty", "`teams: {}`"),
    "a list": ("- a", "a list is where a mapping belongs", "docs/gateway.md"),
    "no YAML": ("teams: {a: [", "cannot be read", "docs/gateway.md"),
    "a tag": ("teams: !!python/object/apply:os.system [ls]", "cannot be read", "could not determine a constructor"),
    "no teams": ("team: {}", "team: there is no such field", "did you mean teams?"),
    "a team twice": ("teams:\n  a: {}\n  a: {}", "a is there twice", "docs/gateway.md"),
    "a key twice": ("teams: {a: {keys: {k: {}, k: {}}}}", "k is there twice", "docs/gateway.md"),
    "teams as a list": ("teams: [a]", "teams: is not a valid value", "a mapping"),
    "a team of nothing": ("teams: {a: }", "teams.a: is empty", "a mapping with models, budget"),
    "an unknown field": (
        "teams: {a: {budgets: {usd: 1}}}",
        "teams.a.budgets: there is no such",
        "did you mean budget?",
    ),
    "a negative budget": ("teams: {a: {budget: {usd: -5}}}", "value:   -5", "above 0 and up to 1000000"),
    "no dollars": ("teams: {a: {budget: {per: day}}}", "teams.a.budget.usd: must be set", "a number"),
    "a budget of nothing": ("teams: {a: {budget: {usd: 0}}}", "value:   0", "above 0"),
    "a budget that is no number": ("teams: {a: {budget: {usd: .nan}}}", "value:   nan", "above 0"),
    "a budget without an end": ("teams: {a: {budget: {usd: .inf}}}", "value:   inf", "up to 1000000"),
    "a budget of yes": ("teams: {a: {budget: {usd: true}}}", "value:   True", "a number"),
    "a huge number": (f"teams: {{a: {{requestsPerMinute: {'9' * 40}}}}}", "9" * 40, "1 to 1000000"),
    "a limit of a half": ("teams: {a: {tokensPerMinute: 1.5}}", "value:   1.5", "a whole number"),
    "a bad period": ("teams: {a: {budget: {usd: 1, per: 30d}}}", "value:   '30d'", "day, week, month"),
    "an end without a zone": ("teams: {a: {keys: {k: {until: 2027-01-01}}}}", "keys.k.until", "with its time zone"),
    "an end that is none": ("teams: {a: {keys: {k: {until: soon}}}}", "value:   'soon'", "2026-12-24T18:00:00Z"),
    "an unknown model": ("teams: {a: {models: [gpt-9]}}", "value:   'gpt-9'", OWN),
    "no model at all": ("teams: {a: {models: []}}", "teams.a.models", "a list of 1 to 100"),
    "a model of another team": (f"teams: {{a: {{models: [far], keys: {{k: {{models: [{OWN}]}}}}}}}}", OWN, "far"),
    "a name of another alphabet": ("teams: {Größe: {}}", "Größe: is no name", "lower case a to z"),
    "a name that ends a line": ('teams: {"a\\n": {}}', "is no name", "lower case a to z"),
    "a key's name with a slash": ("teams: {a: {keys: {x/y: {}}}}", "x/y: is no name", "lower case a to z"),
    "a number as a name": ("teams: {1: {}}", "is no name", "lower case"),
    "a word of YAML as a name": ("teams: {no: {}}", "value:   False", "put it in quotes"),
    "a key of nothing": ("teams: {a: {keys: {k: }}}", "teams.a.keys.k: is empty", "`{}` for a mapping"),
    "too many": (f"teams: {MANY}", "1001 of them", "up to 1000"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_with_the_value_and_what_is_allowed(case: str, tmp_path: Path) -> None:
    text, wrong, allowed = WRONG[case]
    (tmp_path / "teams.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as told:
        read(tmp_path / "teams.yaml", SETTINGS)
    assert wrong in str(told.value)
    assert allowed in str(told.value)
    assert all(problem.allowed and problem.fix for problem in told.value.problems)


@pytest.mark.parametrize(
    "kind", ["[*{0}, *{0}, *{0}, *{0}, *{0}, *{0}, *{0}, *{0}]", "{{<<: [*{0}, *{0}, *{0}, *{0}]}}"]
)
def test_a_few_lines_do_not_become_millions(kind: str, tmp_path: Path) -> None:
    """In which each names the one before several times."""
    lines = ["x0: &x0 {a: 1}", *(f"x{n}: &x{n} {kind.format(f'x{n - 1}')}" for n in range(1, 13)), "teams: {a: *x12}"]
    (tmp_path / "teams.yaml").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError, match="its aliases make it"):
        read(tmp_path / "teams.yaml", SETTINGS)


@pytest.mark.parametrize("value", ["b" * 100_000, f"[{'b, ' * 30_000}]"])
def test_of_a_huge_value_the_beginning_is_shown(value: str, tmp_path: Path) -> None:
    (tmp_path / "teams.yaml").write_text(f"teams: {{a: {{budget: {value}}}}}", encoding="utf-8")
    with pytest.raises(UserError, match="characters") as told:
        read(tmp_path / "teams.yaml", SETTINGS)
    assert len(str(told.value)) < 1000


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = f"teams: {{a: {{budget: {{usd: -1}}, models: [{OWN}], keys: {{k: {{unti: 1}}}}}}}}"
    (tmp_path / "teams.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as told:
        read(tmp_path / "teams.yaml", SETTINGS)
    assert [problem.key for problem in told.value.problems] == ["teams.a.budget.usd", "teams.a.keys.k.unti"]


@pytest.mark.parametrize(
    "place", ["teams: {{a: {{keys: {{k: {{key: {}}}}}}}}}", "teams: {{a: {{keys: {{{}: {{}}}}}}}}"]
)
def test_a_key_that_somebody_typed_is_not_repeated(place: str, tmp_path: Path) -> None:
    typed = "sk-" + "a1b2" * 8
    (tmp_path / "teams.yaml").write_text(place.format(typed), encoding="utf-8")
    with pytest.raises(UserError) as told:
        read(tmp_path / "teams.yaml", SETTINGS)
    assert typed not in str(told.value)
    assert "[secret]" in str(told.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read(tmp_path / "none.yaml", SETTINGS)
    (tmp_path / "teams.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="no UTF-8"):
        read(tmp_path / "teams.yaml", SETTINGS)
