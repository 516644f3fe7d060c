"""Keys: laws of the document, the secret under several writers on moto, and the commands."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from pulumi_rehearsal.account_gaps import AccountGaps
from tandem.errors import UserError
from tandem.ops import key_store, keys, options
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.key_store import CURRENT, NEXT, TRIES, Store
from tandem.ops.keys import Client, Document, Key
from tandem.ops.kinds.kind import Clients

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DAY = timedelta(days=1)
law = settings(derandomize=True, database=None, deadline=None, max_examples=60)


def tags(stack: str = "dev", life: str = "tandem-dev-one") -> list[dict[str, str]]:
    values = {"tandem:project": "tandem", "tandem:stack": stack, "tandem:stack-id": life}
    return [{"Key": key, "Value": value} for key, value in values.items()]


# -- laws --------------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["alice", "bob", "tandem-smoke"])
ENDS = st.none() | st.integers(-5, 5).map(lambda days: NOW + days * DAY)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    number = iter(range(100))
    clients = draw(st.dictionaries(NAMES, st.lists(ENDS, min_size=1, max_size=4), min_size=1))
    return Document(
        clients={
            name: Client(keys=tuple(Key(sha256=f"{next(number):064x}", made=NOW, until=until) for until in ends))
            for name, ends in clients.items()
        }
    )


def working(document: Document, now: datetime = NOW) -> dict[str, str]:
    """Digest to name: whom an edge lets in."""
    return {key.sha256: name for name, one in document.clients.items() for key in one.keys if key.works(now)}


@law
@given(documents())
def test_a_document_is_what_its_text_says(document: Document) -> None:
    assert keys.parse(document.text(), "s") == document


@law
@given(documents())
def test_pruning_changes_nobodys_answer_and_is_done_once(document: Document) -> None:
    pruned = keys.pruned(document, NOW)
    assert working(pruned) == working(document)
    assert keys.pruned(pruned, NOW) == pruned
    assert set(document.clients) - set(pruned.clients) <= {"tandem-smoke"}


@law
@given(documents(), st.integers(0, 3))
def test_rotation_lets_nobody_in_for_longer_and_nobody_else_out(document: Document, days: int) -> None:
    name = next(iter(document.clients))
    before = document.clients[name].working(NOW)
    if not before:
        with pytest.raises(UserError, match="has no key that works"):
            keys.rotate(document, name, "f" * 64, NOW, days * DAY)
        return
    after = keys.rotate(document, name, "f" * 64, NOW, days * DAY)
    assert working(after)["f" * 64] == name
    left = {key.sha256 for key in before}
    assert not left & set(working(after, NOW + days * DAY)), "the overlap is over"
    for moment in (NOW + half * DAY / 2 for half in range(12)):
        others = {digest: one for digest, one in working(document, moment).items() if one != name}
        assert others.items() <= working(after, moment).items()
        assert (name in working(after, moment).values()) <= (name in working(document, moment).values())
        assert set(working(after, moment)) - {"f" * 64} <= set(working(document, moment))


@law
@given(documents(), st.integers(0, 3))
def test_after_rotation_and_revocation_nothing_of_a_client_is_left(document: Document, days: int) -> None:
    name = next(iter(document.clients))
    rotated = document
    if document.clients[name].working(NOW):
        rotated = keys.rotate(document, name, "f" * 64, NOW, days * DAY)
    after = keys.revoke(rotated, name)
    assert after == Document(clients={other: one for other, one in document.clients.items() if other != name})


@law
@given(documents())
def test_a_lent_key_that_is_given_back_was_never_there(document: Document) -> None:
    pruned = keys.pruned(document, NOW)
    key = Key(sha256="f" * 64, made=NOW, until=NOW + DAY)
    lent = keys.lend(pruned, "tandem-smoke", key, NOW)
    assert working(lent) == {**working(pruned), "f" * 64: "tandem-smoke"}
    assert keys.pruned(keys.without(lent, "tandem-smoke", key.sha256), NOW) == pruned
    assert keys.without(pruned, "tandem-smoke", key.sha256) == pruned


@law
@given(documents(), st.data())
def test_one_key_is_revoked_by_what_tells_it_from_the_others(document: Document, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(document.clients)))
    key = data.draw(st.sampled_from(document.clients[name].keys))
    after = keys.revoke(document, name, key.sha256)
    gone = [key for one in document.clients.values() for key in one.keys if key not in _all(after)]
    assert gone == [key]
    if len(document.clients[name].keys) > 1:
        with pytest.raises(UserError, match=r"keys of .* have a digest that begins so"):
            keys.revoke(document, name, "0")


def _all(document: Document) -> list[Key]:
    return [key for one in document.clients.values() for key in one.keys]


def test_a_client_has_no_more_keys_than_servers_take() -> None:
    document = Document(clients={"tandem-smoke": Client(keys=())})
    for number in range(keys.MOST_KEYS):
        document = keys.lend(document, "tandem-smoke", Key(sha256=f"{number:064x}", until=NOW + DAY), NOW)
    with pytest.raises(UserError, match="as many keys at once"):
        keys.lend(document, "tandem-smoke", Key(sha256="f" * 64), NOW)


def test_a_key_is_random_and_known_by_its_sha256() -> None:
    made = {keys.new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"tdm_[A-Za-z0-9_-]{43}", key) for key in made)
    assert keys.digest(key := made.pop()) == hashlib.sha256(key.encode()).hexdigest()


# -- the secret --------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(clients: Clients) -> Store:
    """Of a stack that is up, and has no key yet."""
    clients("secretsmanager").create_secret(Name="tandem-dev-issued-keys-0a1b2c3", Tags=tags())
    return key_store.find(clients, "dev")


def adding(name: str) -> Callable[[Document], Document]:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return lambda document: keys.add(document, name, Client(keys=(Key(sha256=digest, made=NOW),)), NOW)


def test_the_first_key_makes_the_first_version(store: Store) -> None:
    assert store.read() == (Document(), None)
    store.change(adding("alice"), NOW)
    document, version = store.read()
    assert (set(document.clients), version is not None) == ({"alice"}, True)


def test_servers_read_what_was_written_last(store: Store) -> None:
    """They name no version: which one they get is the simulated account's word, and AWS's."""
    for name in ("alice", "bob", "carol"):
        document = store.change(adding(name), NOW)
        read = store.clients("secretsmanager").get_secret_value(SecretId=store.arn)
        assert (read["SecretString"], name in document.clients) == (document.text(), True)


def test_writers_at_once_lose_nothing(store: Store) -> None:
    """Also where none was there before: the simulated account takes the label from no version that lacks it."""
    names = [f"c{number}" for number in range(6)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: store.change(adding(name), NOW), names))
    assert sorted(store.read()[0].clients) == names
    versions = store.clients("secretsmanager").list_secret_version_ids(SecretId=store.arn)["Versions"]
    labels = sorted(label for version in versions for label in version["VersionStages"])
    assert labels == sorted([CURRENT, "AWSPREVIOUS", NEXT]), "labels are few: a secret has 20"


class Quicker:
    """Somebody who always writes between our read and our write.

    Stands for: an operator who works on the same stack.
    Held by: tests/ops/test_keys.py::test_writers_at_once_lose_nothing
    """

    def __init__(self, store: Store, times: int) -> None:
        self.store, self.times, self.tried = store, times, 0

    def __call__(self, document: Document) -> Document:
        self.tried += 1
        if self.tried <= self.times:
            self.store.change(adding(f"other{self.tried}"), NOW)
        return adding("alice")(document)


@pytest.mark.parametrize("there", [False, True], ids=["the first keys", "more keys"])
def test_who_was_slower_applies_the_change_to_what_is_there_then(store: Store, there: bool) -> None:
    if there:
        store.change(adding("bob"), NOW)
    change = Quicker(store, 3)
    Store(store.clients, store.arn, store.name, sleep=lambda _: None).change(change, NOW)
    assert set(store.read()[0].clients) == {"alice", "other1", "other2", "other3"} | ({"bob"} if there else set())
    assert change.tried == 4


def test_who_is_always_slower_gives_up_and_has_changed_nothing(store: Store) -> None:
    waits: list[float] = []
    slow = Store(store.clients, store.arn, store.name, sleep=waits.append)
    with pytest.raises(UserError, match=f"at the same time, {TRIES} times"):
        slow.change(Quicker(store, TRIES + 1), NOW)
    assert "alice" not in store.read()[0].clients
    assert len(waits) == TRIES
    assert 1 < sum(waits) < 30


def test_a_swap_without_the_version_read_is_refused_by_the_simulated_aws(store: Store) -> None:
    """As AWS documents it (UpdateSecretVersionStage, RemoveFromVersionId), in the model that botocore ships, too."""
    service = store.clients("secretsmanager")
    first = service.put_secret_value(SecretId=store.arn, SecretString="1")["VersionId"]
    second = service.put_secret_value(SecretId=store.arn, SecretString="2")["VersionId"]
    third = service.put_secret_value(SecretId=store.arn, SecretString="3", VersionStages=[NEXT])["VersionId"]
    swap = {"SecretId": store.arn, "VersionStage": CURRENT, "MoveToVersionId": third}
    for wrong in ({"RemoveFromVersionId": first}, {}):
        with pytest.raises(ClientError, match="InvalidParameterException"):
            service.update_secret_version_stage(**swap, **wrong)
        assert service.get_secret_value(SecretId=store.arn)["VersionId"] == second
    shape = service.meta.service_model.operation_model("UpdateSecretVersionStage").input_shape
    said = " ".join(shape.members["RemoveFromVersionId"].documentation.split())
    assert "or the version ID does not match, then the operation fails" in said


def test_what_is_no_document_is_not_written_over_nor_shown(store: Store) -> None:
    text = '{"clients": {"alice": {"keys": [{"sha256": "a-key-by-mistake"}]}}}'
    store.clients("secretsmanager").put_secret_value(SecretId=store.arn, SecretString=text)
    with pytest.raises(UserError, match=r"holds no document of clients \(clients.alice.keys.0.sha256\)") as refused:
        store.change(adding("bob"), NOW)
    assert "a-key-by-mistake" not in str(refused.value)
    assert store.clients("secretsmanager").get_secret_value(SecretId=store.arn)["SecretString"] == text


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ('{"sk-a-key-by-mistake": "alice"}', "(...)"),
        ('{"clients": {"sk-a-key-by-MISTAKE": "alice"}}', "(clients....)"),
        ('{"clients": {"alice": {"keys": [], "sk-a-key-by-mistake": 1}}}', "(clients.alice....)"),
        ("sk-a-key-by-mistake", "clients;"),
    ],
)
def test_what_is_said_of_no_document_has_no_word_of_it(text: str, way: str) -> None:
    with pytest.raises(UserError) as refused:
        keys.parse(text, "the secret")
    assert way in str(refused.value)
    assert "mistake" not in str(refused.value).lower()


def test_a_document_that_no_secret_holds_is_refused(store: Store) -> None:
    full = Document(
        clients={f"c{number}": Client(keys=(Key(sha256=f"{number:064x}", made=NOW),)) for number in range(600)}
    )
    with pytest.raises(UserError, match="more than a secret can"):
        store.change(lambda _: full, NOW)
    assert store.read() == (Document(), None)


@pytest.mark.parametrize("ended", [None, KeyboardInterrupt, SystemExit, RuntimeError])
def test_a_lent_key_ends_with_its_block_however_that_ends(store: Store, ended: type[BaseException] | None) -> None:
    def use() -> None:
        with key_store.lent(store, "tandem-smoke") as key:
            ((found,),) = [one.keys for one in store.read()[0].clients.values()]
            assert found.sha256 == keys.digest(key)
            assert found.until
            assert timedelta(minutes=14) < found.until - datetime.now(UTC) <= key_store.LENT_FOR
            if ended:
                raise ended

    if ended:
        with pytest.raises(ended):
            use()
    else:
        use()
    assert store.read()[0] == Document()


def test_a_lent_key_may_last_longer(store: Store) -> None:
    with key_store.lent(store, "tandem-load", timedelta(hours=2)):
        ((found,),) = [one.keys for one in store.read()[0].clients.values()]
        assert found.until
        assert timedelta(minutes=119) < found.until - datetime.now(UTC) <= timedelta(hours=2)


# -- whose it is -------------------------------------------------------------------------------------------------------


def test_of_two_lives_the_one_that_is_meant(store: Store, clients: Clients) -> None:
    service = clients("secretsmanager")
    service.create_secret(Name="tandem-dev-issued-keys-fffffff", Tags=tags(life="tandem-dev-two"))
    service.create_secret(Name="tandem-dev-declared-keys-fffffff", Tags=tags())
    service.create_secret(Name="tandem-other-issued-keys-fffffff", Tags=tags("other"))
    assert key_store.find(clients, "dev", "tandem-dev-two").name == "tandem-dev-issued-keys-fffffff"
    assert key_store.find(clients, "dev", "tandem-dev-one") == store
    with pytest.raises(UserError, match="two lives of this name"):
        key_store.find(clients, "dev")


def test_a_stack_that_is_not_up_has_no_keys(clients: Clients) -> None:
    with pytest.raises(UserError, match="no secret of issued keys"):
        key_store.find(clients, "dev")


# -- the commands ------------------------------------------------------------------------------------------------------


@pytest.fixture
def up(aws_account: AccountGaps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clients:
    """A stack dev that is up and declares bob, and no engine to be found."""
    text = f"config:\n  tandem:region: us-east-1\n  tandem:clients: {{bob: {{sha256: [{'b' * 64}], streams: 2}}}}\n"
    (tmp_path / "Pulumi.dev.yaml").write_text(text)
    monkeypatch.setattr(options, "PROJECT", tmp_path)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("COLUMNS", "200")
    clients = aws_clients("us-east-1")
    clients("secretsmanager").create_secret(Name="tandem-dev-issued-keys-0a1b2c3", Tags=tags())
    clients("secretsmanager").create_secret(
        Name="tandem-dev-declared-keys-0a1b2c3", Tags=tags(), SecretString='{"clients": {}}'
    )
    return clients


def called(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["keys", *words], input=stdin)


def stored(clients: Clients) -> dict[str, Any]:
    return json.loads(key_store.find(clients, "dev").read()[0].text())["clients"]


def refused(*words: str) -> str:
    """What the command says no to, in words."""
    result = called(*words)
    assert isinstance(result.exception, UserError), result.output
    assert result.stdout == ""
    return str(result.exception)


def test_the_life_of_a_key(up: Clients) -> None:
    made = called("add", "dev", "alice", "--streams", "4", "--requests-per-second", "5", "--model", "Qwen/Qwen3-8B")
    key = made.stdout.strip()
    assert (made.exit_code, made.stdout) == (0, f"{key}\n")
    digest = hashlib.sha256(key.encode()).hexdigest()
    assert key not in made.stderr
    assert digest[:8] in made.stderr
    alice = stored(up)["alice"]
    assert alice["keys"][0]["sha256"] == digest
    assert {name: alice[name] for name in ("requestsPerSecond", "streams", "models")} == {
        "requestsPerSecond": 5,
        "streams": 4,
        "models": ["Qwen/Qwen3-8B"],
    }
    assert key not in json.dumps(stored(up))

    second = called("rotate", "dev", "alice", "--overlap", "2h").stdout.strip()
    old, new = stored(up)["alice"]["keys"]
    assert (old["sha256"], new["sha256"]) == (digest, keys.digest(second))
    assert "until" not in new
    ends = datetime.fromisoformat(old["until"]) - datetime.now(UTC)
    assert timedelta(hours=1, minutes=59) < ends <= timedelta(hours=2)

    text = called("list", "dev").stdout
    assert [line.split("│")[1:4] for line in text.splitlines() if "│" in line] == [
        [" bob    ", " bbbbbbbb ", " declared "],
        [" alice  ", f" {digest[:8]} ", " issued   "],
        [" alice  ", f" {new['sha256'][:8]} ", " issued   "],
    ]
    listed = json.loads(called("list", "dev", "--json").stdout)["keys"]
    assert [(row["client"], row["from"], row["works"]) for row in listed] == [
        ("bob", "declared", True),
        ("alice", "issued", True),
        ("alice", "issued", True),
    ]
    for secret in (key, second, digest, new["sha256"]):
        assert secret not in text + json.dumps(listed)

    assert json.loads(called("revoke", "dev", "alice", "--key", digest[:8], "--json").stdout) == {
        "client": "alice",
        "revoked": [digest[:8]],
        "declared": [],
    }
    assert [one["sha256"] for one in stored(up)["alice"]["keys"]] == [new["sha256"]]
    assert called("revoke", "dev", "alice").exit_code == 0
    assert stored(up) == {}


def test_the_settings_clients_are_left_alone(up: Clients) -> None:
    before = up("secretsmanager").get_secret_value(SecretId="tandem-dev-declared-keys-0a1b2c3")["VersionId"]
    for command in ("rotate", "revoke"):
        assert "clients.NAME.sha256" in refused(command, "dev", "bob")
    made = called("add", "dev", "bob")
    assert "limits that they set win" in made.stderr
    assert set(stored(up)) == {"bob"}
    assert up("secretsmanager").get_secret_value(SecretId="tandem-dev-declared-keys-0a1b2c3")["VersionId"] == before


def test_a_key_that_the_settings_declare_is_told_to_go_on(up: Clients) -> None:
    key = called("add", "dev", "bob").stdout.strip()
    digest = keys.digest(key)
    other = key_store.find(up, "dev")
    twice = Client(keys=(Key(sha256="b" * 64),))  # by hand, or from a document of before
    other.change(lambda document: document.of("carol", twice), NOW)
    text = called("list", "dev").stdout
    assert "bbbbbbbb is both, and then the settings say whose it is (bob)" in text
    assert "`tandem keys revoke dev carol --key bbbbbbbb` leaves it to them" in text
    assert json.loads(called("list", "dev", "--json").stdout)["both"] == ["bbbbbbbb"]
    text = called("revoke", "dev", "bob").stdout
    assert f"bob: {digest[:8]} refused on every server" in text
    assert "bbbbbbbb goes on: the settings declare it. Take it out of clients.bob.sha256" in text
    assert "pulumi up" in text
    assert json.loads(called("revoke", "dev", "carol", "--json").stdout) == {
        "client": "carol",
        "revoked": [],
        "declared": ["bbbbbbbb"],
    }
    assert "both" not in called("list", "dev").stdout


def test_a_key_ends_by_itself(up: Clients) -> None:
    made = json.loads(called("add", "dev", "alice", "--until", "30d", "--json").stdout)
    assert made["sha256"] == keys.digest(made["key"])
    assert datetime.fromisoformat(made["until"]) - datetime.now(UTC) > timedelta(days=29)
    rotated = json.loads(called("rotate", "dev", "alice", "--overlap", "0m", "--json").stdout)
    assert rotated["until"] == made["until"]
    assert [one["sha256"] for one in stored(up)["alice"]["keys"]] == [rotated["sha256"]]
    longer = json.loads(called("rotate", "dev", "alice", "--until", "365d", "--json").stdout)
    assert datetime.fromisoformat(longer["until"]) - datetime.now(UTC) > timedelta(days=364)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "dev", "alice"], "there is a client of this name, and its key works"),
        (["add", "dev", "Alice"], "is not a client's name"),
        (["add", "dev", "tandem-me"], "tandem's own"),
        (["add", "dev", "carol", "--until", "2020-01-01T00:00:00Z"], "is in the past"),
        (["add", "dev", "carol", "--until", "2030-01-01T00:00:00"], "is no moment"),
        (["add", "dev", "carol", "--until", "0d"], "is in the past"),
        (["add", "dev", "carol", "--until", "soon"], "is no moment"),
        (["add", "dev", "carol", "--model", "gpt"], "allowed: Qwen/Qwen3-8B"),
        (["add", "prod", "carol"], "there is no such stack file"),
        (["add", "dev", "carol", "--region", "eu-west-1"], "no secret of issued keys"),
        (["rotate", "dev", "carol"], "no such client"),
        (["rotate", "dev", "alice", "--overlap", "1y"], "is no span"),
        (["revoke", "dev", "carol"], "allowed: alice"),
        (["revoke", "dev", "alice", "--key", "zz"], "no keys of alice have a digest that begins so"),
    ],
    ids=" ".join,
)
def test_what_is_refused_changes_nothing(up: Clients, words: Sequence[str], said: str) -> None:
    called("add", "dev", "alice")
    before = stored(up)
    assert said in refused(*words)
    assert stored(up) == before


def test_a_digest_is_of_the_key_alone(up: Clients) -> None:
    key = "kTx9_wQ2" * 5
    for text in (key, f"{key}\n", f"{key}\r\n"):
        assert called("digest", stdin=text).stdout.strip() == hashlib.sha256(key.encode()).hexdigest()
    assert json.loads(called("digest", "--json", stdin=key).stdout) == {"sha256": keys.digest(key)}
    for wrong in ("", "short", "two words of a text that is long", "ключ" * 10, "a" * 40, "12345" * 5):
        result = called("digest", stdin=wrong)
        assert isinstance(result.exception, UserError)
        assert not wrong or wrong not in str(result.exception)
