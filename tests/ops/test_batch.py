"""`tandem batch`: what it refuses before anything is paid for, and a batch's life on a simulated account."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pulumi_rehearsal.account_gaps import AccountGaps
from tandem.errors import Problem, UserError
from tandem.kubernetes.kubectl import Kubectl
from tandem.ops import options
from tandem.ops.aws import aws_clients
from tandem.ops.batches import machines, requests, store
from tandem.ops.cli import app
from tandem.ops.commands import batch as batch_command
from tandem.ops.kinds import hosts_groups
from tandem.ops.kinds.kind import Clients
from tandem.scripts import shared
from tandem.settings import Settings
from tandem.tags import PROJECT_TAG, STACK_TAG
from tandem.tasks import Task

job = shared("job", "batch")
MODEL = "Qwen/Qwen3-8B"
NAME = "tandem-dev-batch-0a1b2c3"
SETTINGS = Settings(region="us-east-1")


def line(name: str = "r1", **changes: Any) -> dict[str, Any]:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 100}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body} | changes


def text(lines: Sequence[Any]) -> str:
    return "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)


# -- the file ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{", "is no JSON object"),
        ('{"custom_id": "a\x0bb"}', "is no JSON object"),
        ("[" * 100_000, "is no JSON object"),
        ('{"a":' * 990 + "1" + "}" * 990, "is no JSON object"),
        (line(body={"model": MODEL}), "body asks for nothing"),
        (line(url="/v1/embeddings", body={"model": MODEL, "input": "x"}), "url cannot be served"),
        (line(body={"model": MODEL, "messages": [], "max_tokens": 1e30}), "body.max_tokens is no number"),
        (line(body={"model": MODEL, "messages": [], "max_completion_tokens": 10**30}), "max_completion_tokens is no"),
        (line(body={"model": MODEL, "messages": [], "max_tokens": True}), "body.max_tokens is no number"),
        ("[1]", "is no JSON object"),
        (line(custom_id=None), "custom_id is missing"),
        (line(custom_id=7), "custom_id is missing"),
        (line("good"), "custom_id is that of line 1"),
        (line(method="GET"), "method cannot be served"),
        (line(url="/v1/completions"), "url cannot be served"),
        (line(body="x"), "body.model cannot be served"),
        (line(body={"model": "gpt-4o", "messages": []}), "body.model cannot be served"),
        (line(body={"model": MODEL, "messages": [], "stream": True}), "body.stream is on"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number(wrong: Any, said: str) -> None:
    with pytest.raises(UserError) as refused:
        requests.checked(text([line("good"), "", wrong]), "f.jsonl", [MODEL])
    (problem,) = refused.value.problems
    assert problem.key == "f.jsonl, line 3"
    assert said in problem.wrong


@pytest.mark.parametrize(
    ("task", "url", "body"),
    [
        ("embed", "/v1/embeddings", {"input": "x"}),
        ("embed", "/v1/score", {"queries": "x", "documents": "y"}),
        ("score", "/v1/rerank", {"query": "x", "documents": ["y"]}),
    ],
)
def test_a_model_that_makes_no_tokens_has_urls_of_its_own(task: Task, url: str, body: dict[str, Any]) -> None:
    asked = line(url=url, body={"model": MODEL, **body})
    assert len(requests.checked(text([asked]), "f.jsonl", [MODEL], task).lines) == 1
    for wrong, why in (
        (line(), "url cannot be served"),
        (asked | {"body": {"model": MODEL, "x": 1}}, "asks for nothing"),
    ):
        with pytest.raises(UserError, match=why):
            requests.checked(text([wrong]), "f.jsonl", [MODEL], task)


def test_of_many_wrong_lines_the_first_are_told() -> None:
    with pytest.raises(UserError) as refused:
        requests.checked(text([line(str(number), method="GET") for number in range(50)]), "f.jsonl", [MODEL])
    assert len(refused.value.problems) == requests.SHOWN + 1
    assert "and 30 more" in str(refused.value.problems[-1])


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(UserError, match="has no requests"):
        requests.checked("\n\n", "f.jsonl", [MODEL])


ODD = "\u2028\u2029\x85"
"""Ends of a line to Python, and no more than characters to JSON."""


def test_lines_stay_as_they_were_written() -> None:
    body = f'{{"model":"Qwen/Qwen3-8B", "messages": ["{ODD}"], "max_tokens": null}}'
    odd = f'{{"custom_id":"é", "method":"POST","url":"/v1/chat/completions","body":{body}}}'
    found = requests.checked(f"{odd}\r\n{text([line()])}\n", "f", [MODEL])
    assert found.lines[0] == odd
    assert len(found.lines) == 2
    assert found.answer_tokens == (requests.ANSWER_TOKENS + 100) // 2


def test_a_files_mark_is_no_part_of_it(up: Clients) -> None:
    marked = b"\xef\xbb\xbf{}\r\n"
    Path("f").write_bytes(marked)
    up("s3").put_object(Bucket=NAME, Key="f", Body=marked)
    for source in ("f", f"s3://{NAME}/f"):
        assert requests.read(source, up) == "{}\r\n"


# -- the life of a batch -----------------------------------------------------------------------------------------------


@pytest.fixture
def up(aws_account: AccountGaps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clients:
    """A stack dev that is up, with hosts and what batches need, and no engine to be found."""
    values = (
        "config:\n  tandem:region: us-east-1\n  tandem:batch: {maxUsd: 30, maxHosts: 2}\n"
        "  tandem:fleet: {instanceTypes: [g6.12xlarge]}\n"
        f"  tandem:inference: {{model: {MODEL}}}\n"
    )
    (tmp_path / "Pulumi.dev.yaml").write_text(values)
    monkeypatch.setattr(options, "PROJECT", tmp_path)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    clients = aws_clients("us-east-1")
    tags = {PROJECT_TAG: "tandem", STACK_TAG: "dev"}
    clients("s3").create_bucket(Bucket=NAME)
    clients("s3").put_bucket_tagging(
        Bucket=NAME, Tagging={"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}
    )
    vpc = clients("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = clients("ec2").create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    template = clients("ec2").create_launch_template(
        LaunchTemplateName="t", LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "g6.12xlarge"}
    )["LaunchTemplate"]["LaunchTemplateId"]
    for name in ("tandem-dev-0a1b2c3d", NAME):
        clients("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=0,
            MaxSize=0,
            LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
            VPCZoneIdentifier=subnet,
            Tags=[{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in tags.items()],
        )
    body = line()["body"] | {"max_tokens": 12_000}  # work for two machines
    (tmp_path / "r.jsonl").write_text(text([line(f"r{number}", body=body) for number in range(250)]))
    (tmp_path / "short.jsonl").write_text(text([line(f"r{number}") for number in range(2000)]))
    return clients


def called(*words: str) -> Result:
    return CliRunner().invoke(app, ["batch", *words])


def answered(*words: str, status: int = 0) -> Any:
    result = called(*words, "--json")
    assert result.exit_code == status, (result.output, result.exception)
    return json.loads(result.stdout)


def refused(*words: str) -> str:
    result = called(*words)
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


def group(clients: Clients) -> tuple[int, int]:
    (found,) = clients("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[NAME])["AutoScalingGroups"]
    return found["DesiredCapacity"], found["MaxSize"]


def finish(clients: Clients, id: str, *parts: int, failed: Sequence[str] = ()) -> None:
    """As machines do."""
    for number in parts:
        asked = clients("s3").get_object(Bucket=NAME, Key=job.place(id, "input", number))["Body"].read().decode()
        names = [json.loads(one)["custom_id"] for one in asked.splitlines()]
        lines = [
            job.unanswered(name, "gave_up", "x")
            if name in failed
            else job.as_openai(name, {"id": "vllm-1", "response": {"status_code": 200, "request_id": "q", "body": {}}})
            for name in names
        ]
        clients("s3").put_object(Bucket=NAME, Key=job.place(id, "done", number), Body=job.written(lines).encode())


def test_without_a_yes_nothing_is_there(up: Clients) -> None:
    plan = answered("run", "dev", "r.jsonl", status=1)
    assert (plan["id"], plan["requests"], plan["hosts"]) == (None, 250, 2)
    assert plan["lastsSeconds"] == pytest.approx(30 / plan["usdPerHour"] * 3600, abs=10)
    assert 1800 < plan["takesSeconds"] < plan["lastsSeconds"]
    assert group(up) == (0, 0)
    assert "Contents" not in up("s3").list_objects_v2(Bucket=NAME)


def test_from_the_file_to_its_answers(up: Clients) -> None:
    begun = answered("run", "dev", "r.jsonl", "--yes")
    assert group(up) == (2, 2)
    (ends,) = up("autoscaling").describe_scheduled_actions(AutoScalingGroupName=NAME)["ScheduledUpdateGroupActions"]
    assert (ends["ScheduledActionName"], ends["MaxSize"], ends["DesiredCapacity"]) == (machines.ENDS, 0, 0)
    left = ends["StartTime"] - datetime.now(UTC)
    assert left == pytest.approx(timedelta(seconds=begun["lastsSeconds"]), abs=timedelta(minutes=2))
    assert "is running" in refused("run", "dev", "r.jsonl", "--yes")

    id = begun["id"]
    up("s3").put_object(Bucket=NAME, Key=job.place(id, "machines", "i-1", ".json"), Body=b"{}")
    finish(up, id, 1)
    kept = job.written([job.as_openai("r100", {"id": "k", "response": {"status_code": 200, "body": {}}})])
    up("s3").put_object(Bucket=NAME, Key=job.place(id, "answers", 2, "/1-i-1.jsonl"), Body=kept.encode())
    (status,) = answered("status", "dev", status=1)
    assert (status["state"], status["answered"], status["requests"], status["machines"]) == ("running", 101, 250, 1)
    assert answered("results", "dev", status=1) == {
        "id": id,
        "answered": 100,
        "failed": 0,
        "left": 150,
        "output": f"{id}.output.jsonl",
        "errors": f"{id}.errors.jsonl",
    }

    finish(up, id, 2, 3, failed=["r120"])
    assert answered("status", "dev")[0]["state"] == "completed"
    assert answered("results", "dev", "--output", "o.jsonl", "--errors", "e.jsonl", status=1)["failed"] == 1
    names = [json.loads(one)["custom_id"] for one in Path("o.jsonl").read_text().splitlines()]
    assert names == [f"r{number}" for number in range(250) if number != 120], "in the order of the file"
    (error,) = Path("e.jsonl").read_text().splitlines()
    assert json.loads(error)["error"]["code"] == "gave_up"

    second = answered("run", "dev", "r.jsonl", "--max-usd", "20", "--yes")
    assert [one["id"] for one in answered("list", "dev")] == sorted([id, second["id"]], reverse=True)


def test_any_character_of_a_request_and_of_an_answer_is_kept(up: Clients) -> None:
    raw = json.dumps(line("odd" + ODD), ensure_ascii=False)
    Path("odd.jsonl").write_text(raw, encoding="utf-8")
    id = answered("run", "dev", "odd.jsonl", "--yes")["id"]
    asked = up("s3").get_object(Bucket=NAME, Key=job.place(id, "input", 1))["Body"].read().decode()
    assert asked == raw + "\n"
    answered("cancel", "dev", "--yes")
    assert answered("results", "dev", status=1)["failed"] == 1
    good = {**job.as_openai("odd" + ODD, {"id": "v", "response": {"status_code": 200, "body": {"text": ODD}}})}
    whole = json.dumps(good, ensure_ascii=False) + "\n"
    up("s3").put_object(Bucket=NAME, Key=job.place(id, "done", 1), Body=whole.encode())
    assert answered("results", "dev")["answered"] == 1
    assert json.loads(Path(f"{id}.output.jsonl").read_text()) == good


def test_what_is_cancelled_keeps_its_answers_and_goes_on(up: Clients) -> None:
    id = answered("run", "dev", "r.jsonl", "--yes")["id"]
    finish(up, id, 2)
    kept = job.written([job.as_openai("r7", {"id": "k", "response": {"status_code": 200, "body": {}}})])
    up("s3").put_object(Bucket=NAME, Key=job.place(id, "answers", 1, "/1-i-1.jsonl"), Body=kept.encode())
    assert answered("cancel", "dev", status=1)["cancelled"] is False
    assert group(up) == (2, 2)
    assert answered("cancel", "dev", "--yes")["cancelled"] is True
    assert group(up) == (0, 0)
    found = answered("results", "dev", status=1)
    assert (found["answered"], found["failed"], found["left"]) == (101, 149, 0)
    errors = [json.loads(one) for one in Path(f"{id}.errors.jsonl").read_text().splitlines()]
    assert {one["error"]["code"] for one in errors} == {"batch_cancelled"}

    assert answered("resume", "dev", status=1)["resumed"] is False
    assert group(up) == (0, 0)
    assert answered("resume", "dev", "--yes")["resumed"] is True
    assert answered("status", "dev", status=1)[0]["state"] == "running"
    assert group(up) == (1, 1), "for two parts that are left"
    finish(up, id, 1, 3)
    assert answered("results", "dev", id)["answered"] == 250
    assert answered("cancel", "dev")["cancelled"] is False, "it is over"


def hours_later(monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    """As if the command ran then."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(hours=hours)

    monkeypatch.setattr(batch_command, "datetime", Later)


def ends(clients: Clients) -> datetime:
    (found,) = clients("autoscaling").describe_scheduled_actions(AutoScalingGroupName=NAME)[
        "ScheduledUpdateGroupActions"
    ]
    return found["StartTime"]


def test_what_has_spent_its_money_is_told_and_ends_by_itself(up: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no machine ever came to work: all that were called count."""
    begun = answered("run", "dev", "r.jsonl", "--yes")
    id, end = begun["id"], ends(up)
    hours_later(monkeypatch, 1)
    (status,) = answered("status", "dev", status=1)
    assert (status["state"], status["usd"]) == ("running", pytest.approx(begun["usdPerHour"], abs=0.1))
    assert "is running" in refused("resume", "dev", "--yes"), "its end would move"
    assert ends(up) == end
    hours_later(monkeypatch, begun["lastsSeconds"] / 3600 + 1)
    (status,) = answered("status", "dev", status=1)
    assert (status["state"], status["usd"]) == ("spent", 30)
    answered("results", "dev", status=1)
    errors = Path(f"{id}.errors.jsonl").read_text().splitlines()
    assert {json.loads(one)["error"]["code"] for one in errors} == {"batch_expired"}
    assert "does not last for what the batch takes" in refused("resume", "dev", "--yes")
    assert ends(up) == end


def test_the_cap_is_for_all_that_was_called(up: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = answered("run", "dev", "r.jsonl", "--yes")
    hour = begun["usdPerHour"]
    hours_later(monkeypatch, 0.5)
    answered("cancel", "dev", "--yes")
    hours_later(monkeypatch, 5)
    (status,) = answered("status", "dev", status=1)
    assert status["usd"] == pytest.approx(hour / 2, abs=0.1), "nothing since its machines were ended"
    answered("resume", "dev", "--yes")
    left = ends(up) - datetime.now(UTC)
    assert left / timedelta(hours=1) == pytest.approx(5 + 30 / hour - 0.5, abs=0.1)
    hours_later(monkeypatch, 5.5)
    (status,) = answered("status", "dev", status=1)
    assert status["usd"] == pytest.approx(hour, abs=0.2)
    assert len(status["grants"]) == 2


def test_a_batch_that_is_not_the_current_one_ends_without_its_machines(up: Clients) -> None:
    """As what was written by a command that another was quicker than."""
    id = answered("run", "dev", "r.jsonl", "--yes")["id"]
    asked = up("s3").get_object(Bucket=NAME, Key=f"jobs/{id}/job.json")["Body"].read()
    up("s3").put_object(Bucket=NAME, Key="jobs/batch-0/job.json", Body=asked)
    assert answered("cancel", "dev", "batch-0", "--yes")["cancelled"] is True
    assert group(up) == (2, 2)
    assert answered("status", "dev", status=1)[0]["state"] == "running"
    assert answered("status", "dev", "batch-0", status=1)[0]["state"] == "cancelled"


class Twice:
    """boto3, where the answer to each write is lost once: it sends that again."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def put_object(self, **words: Any) -> Any:
        self.client.put_object(**words)
        return self.client.put_object(**words)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


def test_a_write_whose_answer_was_lost_was_made(up: Clients) -> None:
    found = store.find(up, "dev", None, datetime.now(UTC), SETTINGS)
    plan = store.Plan(hosts=1, usd_per_hour=5, max_usd=20, lasts=timedelta(hours=2), work=None)
    lossy = replace(found, clients=lambda name: Twice(up(name)) if name == "s3" else up(name))
    begun = lossy.begin([json.dumps(line())], plan)
    assert group(up) == (1, 1)
    lossy.cancel(begun)
    cancelled = lossy.find(begun.id)
    assert cancelled
    lossy.resume(cancelled, plan)
    assert group(up) == (1, 1)


def test_of_two_that_resume_at_once_one_does(up: Clients) -> None:
    found = store.find(up, "dev", None, datetime.now(UTC), SETTINGS)
    plan = store.Plan(hosts=1, usd_per_hour=5, max_usd=20, lasts=timedelta(hours=2), work=None)
    begun = found.begin([json.dumps(line())], plan)
    found.cancel(begun)
    cancelled = found.find(begun.id)
    assert cancelled
    found.resume(cancelled, plan)
    with pytest.raises(UserError, match="is running"):
        found.resume(cancelled, plan)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "dev", "r.jsonl", "--max-usd", "31"), "more than the stack's settings let"),
        (("run", "dev", "r.jsonl", "--max-usd", "3"), "does not last for what the batch takes"),
        (("run", "dev", "short.jsonl", "--max-usd", "3"), "does not last for a machine's start"),
        (("run", "dev", "none.jsonl"), "No such file"),
        (("run", "dev", "s3://none/r.jsonl"), "NoSuchBucket"),
        (("status", "dev"), "there is no batch yet"),
        (("results", "dev", "batch-1"), "there is no such batch"),
    ],
)
def test_what_is_refused(up: Clients, words: tuple[str, ...], said: str) -> None:
    assert said in refused(*words)
    assert group(up) == (0, 0)


def test_what_takes_more_than_its_money_is_refused(up: Clients) -> None:
    many = [line(f"r{number}", body={"model": MODEL, "messages": [], "max_tokens": 20_000}) for number in range(5000)]
    Path("many.jsonl").write_text(text(many))
    assert "does not last for what the batch takes" in refused("run", "dev", "many.jsonl", "--yes")
    assert group(up) == (0, 0)


def test_no_more_machines_are_called_than_have_work_for_as_long_as_a_start_takes(up: Clients) -> None:
    plan = answered("run", "dev", "short.jsonl", status=1)
    assert (plan["requests"], plan["hosts"]) == (2000, 1), "2 may be"
    assert plan["takesSeconds"] < 2400

    id = answered("run", "dev", "r.jsonl", "--yes")["id"]
    assert group(up) == (2, 2)
    finish(up, id, 1, 2)
    answered("cancel", "dev", "--yes")
    assert answered("resume", "dev", "--yes")["hosts"] == 1, "of three parts one is left"


def test_a_file_in_s3_is_read(up: Clients) -> None:
    up("s3").put_object(Bucket=NAME, Key="own/r.jsonl", Body=text([line()]).encode())
    assert answered("run", "dev", f"s3://{NAME}/own/r.jsonl", status=1)["requests"] == 1


def test_of_two_that_begin_at_once_one_does(up: Clients) -> None:
    """The other has seen no batch before it wrote."""
    found = store.find(up, "dev", None, datetime.now(UTC), SETTINGS)
    plan = answered("run", "dev", "r.jsonl", status=1)
    planned = store.Plan(hosts=1, usd_per_hour=plan["usdPerHour"], max_usd=20, lasts=timedelta(hours=2), work=None)
    current = found.current
    found.begin([json.dumps(line())], planned)
    late = store.find(up, "dev", None, datetime.now(UTC) + timedelta(seconds=2), SETTINGS)
    looks = iter([(None, "")])
    object.__setattr__(late, "current", lambda: next(looks, None) or current())
    with pytest.raises(UserError, match="is running"):
        late.begin([json.dumps(line())], planned)
    assert group(up) == (1, 1)


def test_a_stack_without_batches(up: Clients, tmp_path: Path) -> None:
    up("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=NAME, ForceDelete=True)
    assert "no bucket and no machines for batches" in refused("list", "dev")
    (tmp_path / "Pulumi.dev.yaml").write_text("config:\n  tandem:region: us-east-1\n")
    assert "batch.maxUsd" in refused("list", "dev")


def test_the_group_of_hosts_is_another(up: Clients) -> None:
    (found,) = hosts_groups(up, "dev").values()
    assert found.name == "tandem-dev-0a1b2c3d"


# -- on Kubernetes -----------------------------------------------------------------------------------------------------


def _job_made_at(second: int, told: list[dict[str, str]]) -> dict[str, Any]:
    return {"metadata": {"creationTimestamp": f"2026-11-30T12:00:0{second}Z"}, "status": {"conditions": told}}


@dataclass
class Played:
    """Keeps what it is asked; tests/rehearsal/kubernetes/test_batch_jobs.py has the real one.

    Stands for: `kubectl` and a cluster with the template of batches.
    Held by: tests/rehearsal/kubernetes/test_batch_jobs.py::test_a_pod_that_goes_comes_again (the real ones)
    """

    away: bool = False
    ended: str = ""
    asked: list[tuple[str, ...]] = field(default_factory=list)
    made: list[dict[str, Any]] = field(default_factory=list)
    read, one = Kubectl.read, Kubectl.one

    def create(self, manifest: dict[str, Any]) -> None:
        self.run("create")
        self.made.append(json.loads(json.dumps(manifest)))

    def run(self, *words: str) -> str:
        if self.away:
            raise UserError(Problem(key="kubectl", wrong="the cluster does not do what it is asked"))
        self.asked.append(words)
        if words[:2] == ("get", "jobs"):
            told = [{"type": "Failed", "status": "True", "reason": self.ended, "message": "why"}]
            return json.dumps({"items": [_job_made_at(0, []), _job_made_at(1, told if self.ended else [])]})
        return json.dumps({"metadata": {"uid": "u-1"}, "template": {"metadata": {}, "spec": {}}})


@pytest.fixture
def cluster(up: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(file.read_text() + "  tandem:platform: eks\n  tandem:scaling: {maxReplicas: 2}\n")
    played = Played()
    monkeypatch.setattr(machines, "kubectl", lambda *_: played)
    return played


def test_on_kubernetes_a_job_comes_for_each_call(up: Clients, cluster: Played) -> None:
    begun = answered("run", "dev", "r.jsonl", "--yes")
    assert group(up) == (0, 0), "which is another stack's here"
    shown = called("status", "dev")
    assert f"--selector tandem/batch={begun['id']}" in shown.output.replace("\n", "")
    assert "gave up" not in shown.output
    cluster.ended = "BackoffLimitExceeded"
    assert "gave up (BackoffLimitExceeded: why): `tandem batch cancel` it" in called("status", "dev").output
    cluster.away = True
    assert "Its pods: kubectl" in called("status", "dev").output, "of a batch that S3 tells of"
    cluster.away, cluster.ended = False, ""
    answered("cancel", "dev", "--yes")
    answered("resume", "dev", "--yes")
    names = [made["metadata"]["name"] for made in cluster.made]
    assert names == [f"{begun['id']}-1", f"{begun['id']}-2"]
    assert [made["spec"]["parallelism"] for made in cluster.made] == [4, 4], "two of two GPUs on each of two nodes"
    assert [made["spec"]["activeDeadlineSeconds"] for made in cluster.made] == [
        pytest.approx(begun["lastsSeconds"], abs=60)
    ] * 2
    deleted = [words for words in cluster.asked if words[0] == "delete"]
    assert deleted == [("delete", "jobs", "--selector", f"tandem/batch={begun['id']}", "--wait=false")]


def test_where_the_cluster_is_out_of_reach_nothing_is_begun(up: Clients, cluster: Played) -> None:
    cluster.away = True
    assert answered("run", "dev", "r.jsonl", status=1)["id"] is None, "a plan needs none"
    assert "the cluster does not do" in refused("run", "dev", "r.jsonl", "--yes")
    assert "Contents" not in up("s3").list_objects_v2(Bucket=NAME)
    cluster.away = False
    answered("run", "dev", "r.jsonl", "--yes")
    answered("cancel", "dev", "--yes")
    cluster.away = True
    assert answered("list", "dev")[0]["state"] == "cancelled"
    assert "the cluster does not do" in refused("resume", "dev", "--yes")
    assert answered("status", "dev", status=1)[0]["state"] == "cancelled"
