"""`tandem smoke` against a stand-in for the API: each planted surprise is found, and nothing where nothing is wrong."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from pulumi_rehearsal.servers import free_port
from tandem.ops import endpoint, key_store, keys
from tandem.ops.cli import app
from tandem.ops.commands import smoke as smoke_command
from tandem.ops.key_store import Store
from tandem.ops.keys import Document
from tandem.ops.kinds.kind import Clients
from tandem.ops.smoke import CHECKS, POOLED, Result, Smoke, Surprise, Target, run, send
from tandem.ops.smoke import script as one_file
from tandem.ops.smoke.checks import HANG_UPS
from tests.ops import api_stand_in
from tests.ops.api_stand_in import KEY, MODEL, running

TAGS = [{"Key": "tandem:project", "Value": "tandem"}, {"Key": "tandem:stack", "Value": "dev"}]
pytestmark = [pytest.mark.clock, pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")]


def smoked(
    directory: Path, flaws: set[str], days: float = 200, task: str = "generate", **target: object
) -> dict[str, tuple[str, str]]:
    """Each check's outcome and detail."""
    with running(directory, flaws, days, task) as api:
        values: dict = {"url": api.url, "api_key": KEY, "ca_pem": api.ca_pem, "timeout_seconds": 2, **target}
        return {result.check: (result.outcome, result.detail) for result in run(Smoke(Target(**values), task=task))}


def test_nothing_is_found_where_nothing_is_wrong(tmp_path: Path) -> None:
    found = smoked(tmp_path, set())
    assert {name: outcome for name, (outcome, _) in found.items()} == dict.fromkeys(CHECKS, "ok") | {
        "plain http": "skipped"
    }
    assert found["models"][1] == f"{MODEL}, 2048 tokens"
    assert found["forbidden paths"][1] == "17 paths and 15 ways around refused"
    assert found["long prompt"][1].startswith("512 tokens read")
    assert found["certificate"][1].startswith("TLSv1.3, valid until ")


def test_hang_ups_are_hang_ups(tmp_path: Path) -> None:
    with running(tmp_path) as api:
        outcomes = [result.outcome for result in run(Smoke(Target(api.url, KEY, api.ca_pem, 5)))]
        deadline = time.monotonic() + 10
        while api.hung_up < HANG_UPS and time.monotonic() < deadline:
            time.sleep(0.02)
    assert "surprise" not in outcomes
    assert api.hung_up == HANG_UPS


PLANTED = {
    "every path": ("forbidden paths", "GET /invocations gives 200; POST /invocations gives 200"),
    "/metrics": ("forbidden paths", "404 expected; GET /metrics gives 200; POST /metrics gives 200"),
    "resolves paths": ("forbidden paths", "GET /v1/../metrics gives 200"),
    "any key": ("wrong key", "GET /v1/models with a wrong key: HTTP 401 expected, 200 came"),
    "no key": ("wrong key", "GET /v1/models with no key: HTTP 401 expected, 200 came"),
    "prefix of the key": ("wrong key", "GET /v1/models with the key with a tail: HTTP 401 expected, 200 came"),
    "tells the key": ("wrong key", "the answer holds the right key"),
    "no model": ("models", "/v1/models lists no model"),
    "silent": ("chat", "the answer has no text"),
    "counts nothing": ("chat", "the answer counts no tokens"),
    "no choices": ("chat", "no choices in the answer"),
    "stream of the wrong type": ("streamed chat", "text/event-stream expected, application/json came"),
    "puts the stream together": ("streamed chat", "several events expected, 3 came"),
    "holds the stream back": ("streamed chat", "something holds the stream back"),
    "refuses inside the stream": (
        "streamed chat",
        "an error inside the stream: The engine is currently busy (code 503)",
    ),
    "no end of stream": ("streamed chat", "does not end with [DONE] (64 events)"),
    "ignores the schema": ("structured output", "JSON expected, 'no JSON' came"),
    "breaks the schema": ("structured output", "an object with city and rating expected"),
    "fails on long prompts": ("long prompt", "HTTP 400 expected, 500 came"),
    "cuts prompts": ("long prompt", "512 words were sent, and 10 tokens were read"),
    "no request id": ("headers", "an answer without X-Request-Id"),
    "drops the request id": ("headers", "expected back, 0123abcd came"),
    "tells its version": ("headers", "server: nginx/1.27.1 tells a version"),
    "dead after a hang-up": ("client hangs up", "no answer within 2 s"),
}


@pytest.mark.parametrize("flaw", PLANTED)
def test_each_planted_surprise_is_found(flaw: str, tmp_path: Path) -> None:
    check, words = PLANTED[flaw]
    found = smoked(tmp_path, {flaw})
    assert found[check][0] == "surprise"
    assert words in found[check][1]
    assert KEY not in str(found)


@pytest.mark.parametrize(("task", "said"), [("embed", "two vectors of 2 numbers"), ("score", "two texts ranked")])
def test_of_what_makes_no_tokens_its_answer_is_looked_at(tmp_path: Path, task: str, said: str) -> None:
    found = smoked(tmp_path, set(), task=task)
    assert {name: outcome for name, (outcome, _) in found.items()} == dict.fromkeys(POOLED, "ok") | {
        "plain http": "skipped"
    }
    assert found["answer"][1].startswith(said)
    assert found["too long"][1] == "2112 words refused"


@pytest.mark.parametrize(
    ("task", "flaw", "check", "words"),
    [
        ("embed", "same vectors", "answer", "two texts have the same vector"),
        ("embed", "no numbers", "answer", "two vectors of as many numbers expected"),
        ("embed", "empty", "answer", "no answer of /v1/embeddings in"),
        ("score", "empty", "answer", "no answer of /v1/rerank in"),
        ("score", "worst first", "answer", "the best text first expected"),
        ("score", "leaves texts out", "answer", "a score of each of two texts expected"),
        ("embed", "chats", "no chat", "404 expected of /v1/chat/completions, 200 came"),
        ("score", "reads on", "too long", "HTTP 400 expected, 200 came"),
        ("embed", "any key", "wrong key", "HTTP 401 expected, 200 came"),
        ("score", "/metrics", "forbidden paths", "POST /metrics gives 200"),
    ],
)
def test_of_what_makes_no_tokens_each_planted_surprise_is_found(
    tmp_path: Path, task: str, flaw: str, check: str, words: str
) -> None:
    found = smoked(tmp_path, {flaw}, task=task)
    assert found[check][0] == "surprise"
    assert words in found[check][1]


def test_plain_http_is_a_surprise_unless_it_stays_on_this_machine(tmp_path: Path) -> None:
    found = smoked(tmp_path, {"plain"})
    skipped = {name for name, (outcome, _) in found.items() if outcome == "skipped"}
    assert (skipped, "surprise" in {outcome for outcome, _ in found.values()}) == ({"certificate", "plain http"}, False)
    for host in ("llm.example.com", "10.0.0.1", "127.example.com", "localhost.example.com"):
        with pytest.raises(Surprise, match="keys and prompts travel in the open"):
            CHECKS["certificate"](Smoke(Target(f"http://{host}", KEY)))


def test_a_certificate_that_ends_soon_is_a_surprise(tmp_path: Path) -> None:
    outcome, detail = smoked(tmp_path, set(), days=3.5)["certificate"]
    assert outcome == "surprise"
    assert detail.endswith("in 3 days")


def test_a_certificate_of_nobody_we_know_is_a_surprise(tmp_path: Path) -> None:
    found = smoked(tmp_path, set(), ca_pem=None)
    assert found["certificate"] == ("surprise", "the certificate is not trusted: self-signed certificate")
    assert found["chat"][0] == "surprise"


def test_an_ended_certificate_is_a_surprise(tmp_path: Path) -> None:
    assert smoked(tmp_path, set(), days=-1)["certificate"] == (
        "surprise",
        "the certificate is not trusted: certificate has expired",
    )


def test_an_old_version_of_tls_is_a_surprise(tmp_path: Path) -> None:
    outcome, detail = smoked(tmp_path, {"old tls"})["certificate"]
    assert (outcome, detail) == ("surprise", "TLS 1.1 is accepted; TLS 1.2 or later expected")


def test_nobody_there_is_a_surprise_in_every_check() -> None:
    results = list(run(Smoke(Target("https://127.0.0.1:9", KEY, timeout_seconds=2))))
    assert {result.outcome for result in results if result.check != "plain http"} == {"surprise"}


def test_a_port_of_a_name_that_does_not_resolve_is_not_said_to_be_closed() -> None:
    results = {result.check: result for result in run(Smoke(Target("https://nowhere.invalid", KEY, timeout_seconds=2)))}
    assert {result.outcome for result in results.values()} == {"surprise"}
    assert "nowhere.invalid does not resolve" in results["plain http"].detail


def test_the_command_passes_and_never_prints_the_key(tmp_path: Path) -> None:
    key, authority = tmp_path / "key", tmp_path / "ca.pem"
    key.write_text(f"{KEY}\n")
    with running(tmp_path, {"tells the key"}) as api:
        authority.write_text(api.ca_pem)
        arguments = ["smoke", "--url", api.url, "--api-key-file", str(key), "--ca", str(authority), "--json"]
        result = CliRunner().invoke(app, arguments)
        api.flaws.clear()
        passed = CliRunner().invoke(app, [*arguments[:-1]])
    assert result.exit_code == 1
    found = {item["check"]: item["outcome"] for item in json.loads(result.stdout)["results"]}
    assert found["wrong key"] == "surprise"
    assert found["chat"] == "ok"
    assert passed.exit_code == 0
    assert KEY not in result.output + passed.output


def test_an_unknown_model_is_named(tmp_path: Path) -> None:
    with running(tmp_path) as api:
        results = list(run(Smoke(Target(api.url, KEY, api.ca_pem, 2), model="other")))
    (found,) = [result for result in results if result.check == "chat"]
    assert found.detail == f"other is not among the models: {MODEL}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--url", "llm.example.com"], "is not a URL"),
        (["--url", "https://127.0.0.1:9"], "there is no API key"),
        (["--url", "https://127.0.0.1:9", "--api-key-file", "/nonexistent"], "cannot be read"),
    ],
)
def test_mistakes_are_named(arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TANDEM_API_KEY", raising=False)
    result = CliRunner().invoke(app, ["smoke", *arguments])
    assert words in str(result.exception)


@pytest.fixture
def tried(tmp_path: Path, clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A stack dev whose load balancer is the stand-in, and its keys on moto; the next is the stand-in's."""
    for name in ("TANDEM_API_KEY", "PULUMI_BACKEND_URL"):
        monkeypatch.delenv(name, raising=False)
    clients("secretsmanager").create_secret(Name="tandem-dev-issued-keys-0a1b2c3", Tags=TAGS)
    monkeypatch.setattr(smoke_command, "aws_clients", lambda *_: clients)
    monkeypatch.setattr(smoke_command, "life_here", lambda stack: None)
    monkeypatch.setattr(keys, "new_key", lambda: KEY)
    with running(tmp_path) as api:
        found = endpoint.Endpoint(api.url, api.ca_pem, "dev-1234567")
        monkeypatch.setattr(endpoint, "find", lambda *_: found)
        yield key_store.find(clients, "dev")


def test_a_stack_is_tried_with_a_key_of_its_own_that_is_gone_after(
    tried: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Document] = []
    monkeypatch.setattr(smoke_command, "wait_until_known", lambda *_: seen.append(tried.read()[0]))
    result = CliRunner().invoke(app, ["smoke", "dev", "--timeout", "5"])
    assert result.exit_code == 0, result.output
    assert KEY not in result.output
    (client,) = seen[0].clients.items()
    assert (client[0], client[1].keys[0].sha256) == ("tandem-smoke", keys.digest(KEY))
    assert tried.read()[0] == Document()


@pytest.mark.parametrize(("internal", "said"), [(True, True), (False, False)])
def test_who_asks_an_internal_one_from_outside_is_told(*, internal: bool, said: bool) -> None:
    target = Target(f"http://127.0.0.1:{free_port()}", KEY, timeout_seconds=5, internal=internal)
    with pytest.raises(Surprise) as told:
        send(target, "GET", "/v1/models")
    assert str(told.value).startswith("the connection failed: ")
    assert ("it is internal: ask from a network that has a route to it" in str(told.value)) is said


def test_nor_is_it_left_by_ctrl_c(tried: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(smoke: Smoke) -> Iterator[Result]:
        assert tried.read()[0].clients
        raise KeyboardInterrupt

    monkeypatch.setattr(smoke_command, "run", interrupted)
    result = CliRunner().invoke(app, ["smoke", "dev"])
    assert result.exit_code == 130
    assert tried.read()[0] == Document()


def test_with_a_key_of_the_callers_none_is_made(tried: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_API_KEY", KEY)
    assert CliRunner().invoke(app, ["smoke", "dev", "--timeout", "5"]).exit_code == 0
    assert tried.read() == (Document(), None)


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([200] * 50, 12),
        ([401, 200, 200, 401] + [200] * 50, 16),
        ([200] * 11 + [401] + [200] * 50, 24),
        ([200, 429, 200] + [200] * 50, 14),
        ([401] * 100, 60),
        ([404], 1),
        ([503], 1),
    ],
    ids=["at once", "one server later", "the last server later", "too often", "never", "no such path", "no server"],
)
def test_the_wait_is_over_when_no_server_refuses_the_key(
    answers: list[int], asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two servers, so that 12 in a row are let in."""
    given, passed = iter(answers), [0.0]
    told: list[int] = []

    def send(*_: object) -> SimpleNamespace:
        told.append(next(given))
        return SimpleNamespace(status=told[-1])

    monkeypatch.setattr(smoke_command, "send", send)
    smoke_command.wait_until_known(
        Target("https://a", KEY), 2, clock=lambda: passed[0], sleep=lambda s: passed.__setitem__(0, passed[0] + s)
    )
    assert len(told) == asked


def test_a_stacks_endpoint_is_found_by_tags(clients: Clients) -> None:
    tags = TAGS
    key, signed = api_stand_in.certificate()
    ec2, elb = clients("ec2"), clients("elbv2")
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]]
    ec2.create_tags(Resources=[ec2.describe_vpcs()["Vpcs"][0]["VpcId"]], Tags=tags)
    of_another = [tags[0], {"Key": "tandem:stack", "Value": "other"}]
    elb.create_load_balancer(Name="dev-7654321", Subnets=subnets, Tags=of_another)
    assert endpoint.find(clients, "dev") is None
    made = elb.create_load_balancer(Name="dev-1234567", Subnets=subnets, Tags=tags, Scheme="internal")
    balancer = made["LoadBalancers"][0]
    clients("acm").import_certificate(Certificate=signed, PrivateKey=key, Tags=tags)
    found = endpoint.find(clients, "dev")
    assert found is not None
    assert (found.url, found.internal) == (f"https://{balancer['DNSName']}", True)
    assert found.ca_pem is not None
    assert found.ca_pem.strip() == signed.decode().strip()
    named = endpoint.find(clients, "dev", "llm.example.com")
    assert named is not None
    assert named.url == "https://llm.example.com"


# -- as one file -------------------------------------------------------------------------------------------------------


def parts(text: str) -> list[str]:
    """What a module has after its docstring and beside its imports."""
    return [ast.dump(one) for one in ast.parse(text).body[1:] if not isinstance(one, ast.Import | ast.ImportFrom)]


def test_the_script_is_the_packages_own_code() -> None:
    package = Path(one_file.__file__).parent
    ours = [part for name in one_file.MODULES for part in parts((package / f"{name}.py").read_text())]
    assert parts(one_file.script()) == ours
    defined = [one.name for one in ast.parse(one_file.script()).body if isinstance(one, ast.FunctionDef | ast.ClassDef)]
    assert len(defined) == len(set(defined)), "no module hides another's name"


def test_the_script_needs_no_package() -> None:
    imports = [one for one in ast.walk(ast.parse(one_file.script())) if isinstance(one, ast.Import | ast.ImportFrom)]
    names = {one.module or "" if isinstance(one, ast.ImportFrom) else one.names[0].name for one in imports}
    assert len(names) > 10
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def alone(directory: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The script as it is pasted, by a Python that sees no package and not this directory."""
    file = directory / "smoke.py"
    file.write_text(CliRunner().invoke(app, ["smoke", "--script"]).stdout)
    kept = {"PATH": os.environ["PATH"], **variables}
    command = [sys.executable, "-I", "-S", str(file), *arguments]
    return subprocess.run(command, cwd=directory, env=kept, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("flaws", [set[str](), {"tells the key", "breaks the schema"}], ids=["well", "flawed"])
def test_the_script_finds_what_the_command_finds(tmp_path: Path, flaws: set[str]) -> None:
    with running(tmp_path, flaws) as api:
        (tmp_path / "ca.pem").write_text(api.ca_pem)
        given = {"TANDEM_URL": api.url, "TANDEM_API_KEY": KEY}
        done = alone(tmp_path, "--ca", "ca.pem", "--timeout", "10", "--json", **given)
        read = alone(tmp_path, "--ca", "ca.pem", "--timeout", "10", **given)
        ours = {result.check: result.outcome for result in run(Smoke(Target(api.url, KEY, api.ca_pem, 10)))}
    assert {one["check"]: one["outcome"] for one in json.loads(done.stdout)["results"]} == ours
    assert [line.split()[0] for line in read.stdout.splitlines()] == list(ours.values())
    assert done.returncode == read.returncode == int(bool(flaws)), done.stderr
    assert KEY not in done.stdout + read.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["--url", "llm.example.com"], ["--url", "https://127.0.0.1:9"], ["--ca", "none.pem"]]
)
def test_mistakes_with_the_script_are_named(tmp_path: Path, arguments: list[str]) -> None:
    done = alone(tmp_path, *arguments)
    assert done.returncode == 2
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
