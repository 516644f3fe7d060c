"""The layout of a batch, and OpenAI's lines from vLLM's."""

from __future__ import annotations

from tandem.scripts import shared

job = shared("job", "batch")


def test_parts_are_of_lines_and_bytes() -> None:
    assert [len(part) for part in job.parts(["x"] * 250)] == [100, 100, 50]
    large = "x" * (3 * 2**20)
    assert [len(part) for part in job.parts([large] * 5)] == [2, 2, 1]
    assert [*job.parts([])] == []
    assert job.number(job.place("batch-1", "done", 12)) == 12


def test_vllms_lines_become_openais() -> None:
    """As the real runner of vLLM 0.32.0 answered."""
    good = {"id": "vllm-1", "custom_id": "r", "response": {"status_code": 200, "request_id": "q", "body": {"id": "c"}}}
    assert job.as_openai("r", {**good, "error": None}) == {**good, "error": None}
    said = {"message": "max_tokens=99999 cannot be", "type": "BadRequestError", "param": "max_tokens", "code": 400}
    bad = {"id": "vllm-2", "response": {"status_code": 400, "request_id": "q", "body": None}, "error": {"error": said}}
    line = job.as_openai("r", bad)
    assert line == {
        "id": "vllm-2",
        "custom_id": "r",
        "response": {"status_code": 400, "request_id": "q", "body": {"error": said}},
        "error": None,
    }
    assert not job.answered(line)
    assert job.answered(job.as_openai("r", {**good, "error": None}))
    assert job.as_openai("r", {"error": "no stream"})["response"]["body"] == {
        "error": {"message": "no stream", "type": "invalid_request_error"}
    }


def test_the_first_answer_counts() -> None:
    texts = [job.written([job.unanswered(name, code, "")]) for name, code in (("a", "1"), ("b", "2"), ("a", "3"))]
    found = job.collected(texts)
    assert {name: line["error"]["code"] for name, line in found.items()} == {"a": "1", "b": "2"}
