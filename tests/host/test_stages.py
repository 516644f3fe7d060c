"""Ready and the runner: which commands, in which order. The real ones run in tests/real."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from scripts import Load


def ready(load: Load, monkeypatch: pytest.MonkeyPatch, *, held: bool = True) -> tuple[SimpleNamespace, list[str]]:
    """Two replicas, the second of which makes its first token a little later; then the edge."""
    scripts = load()
    events: list[str] = []
    errors = {8002: [OSError("refused")], 8080: [OSError("502")]}

    def token(port: int, timeout: float) -> None:
        events.append(f"token {port}")
        if late := errors.get(port):
            raise late.pop()

    monkeypatch.setattr(scripts.watchdog, "token", token)
    scripts.host.write(scripts.serve.REPLICAS, '[{"replica": 0, "port": 8001}, {"replica": 1, "port": 8002}]')
    monkeypatch.setattr(scripts.ready, "wait", lambda seconds: True)
    monkeypatch.setattr(scripts.aws, "complete", lambda result: events.append(result) or held)
    monkeypatch.setattr(scripts.aws, "target", events.append)
    monkeypatch.setattr(scripts.ready, "sh", lambda *command: events.append(" ".join(command)))
    monkeypatch.setattr(scripts.serve, "save_cache", lambda: events.append("save"))
    scripts.errors = errors
    return scripts, events


def test_the_hook_is_completed_after_a_token_of_every_replica(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts, events = ready(load, monkeypatch)
    assert scripts.ready.run() == "first token, lifecycle hook completed"
    assert events == [
        "token 8001", "token 8002", "token 8002",
        "token 8080", "token 8080", "CONTINUE", "RegisterTargets", "systemctl start tandem-member", "save",
    ]  # fmt: skip
    assert scripts.watchdog.HEALTHY.read_text() == "ok\n"


def test_a_reboot_is_ready_without_a_hook(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts, _ = ready(load, monkeypatch, held=False)
    assert scripts.ready.run() == "first token, no lifecycle hook was waiting"


@pytest.mark.parametrize(
    ("port", "said"), [(8002, "no token from vllm-1"), (8080, "no token came through the edge: 502")]
)
def test_no_token_by_the_deadline_is_an_error_that_says_from_whom(
    load: Load, monkeypatch: pytest.MonkeyPatch, port: int, said: str
) -> None:
    scripts, events = ready(load, monkeypatch)
    scripts.errors.pop(8002 if port == 8080 else 8080)
    monkeypatch.setattr(scripts.ready, "wait", lambda seconds: False)
    with pytest.raises(RuntimeError, match=said):
        scripts.ready.run()
    assert "CONTINUE" not in events


def test_a_replica_that_the_watchdog_found_dead_ends_the_boot_with_its_words(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts, events = ready(load, monkeypatch)
    scripts.host.write(scripts.watchdog.DEAD, "vllm-1: ended 4 times without a token")
    with pytest.raises(scripts.host.GiveUp, match="vllm-1: ended 4 times"):
        scripts.ready.run()
    assert events == ["token 8001", "token 8002"]


def test_a_failed_host_is_replaced_by_its_hook_or_as_unhealthy(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    events: list[str] = []
    monkeypatch.setattr(scripts.aws, "report_unhealthy", lambda: events.append("unhealthy"))
    monkeypatch.setattr(scripts.aws, "complete", lambda result: events.append(result) or "done")
    scripts.boot.abandon()
    monkeypatch.setattr(scripts.aws, "complete", lambda result: events.append(result))
    scripts.boot.abandon()
    assert events == ["ABANDON", "ABANDON", "unhealthy"]


def order(load: Load, monkeypatch: pytest.MonkeyPatch, driver_status: int) -> tuple[SimpleNamespace, list[str]]:
    """The runner with stages that are only written down, and a driver's process that ends with a status."""
    scripts, events = load(), []
    monkeypatch.setattr(scripts.boot, "keep_hook_alive", lambda: None)
    monkeypatch.setattr(scripts.boot, "attempt", lambda name, action, seconds: events.append(name))

    class Process:
        def __init__(self, command: list[str]) -> None:
            events.append(f"{command[-1]} beside")

        def wait(self) -> int:
            events.append("driver waited for")
            return driver_status

    monkeypatch.setattr(scripts.boot.subprocess, "Popen", Process)
    return scripts, events


def test_the_driver_is_installed_while_image_and_weights_are_fetched(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts, events = order(load, monkeypatch, 0)
    scripts.boot.main()
    assert events == [
        "gate", "toolkit", "storage", "driver beside", "weights", "driver waited for", "serve", "ready",
    ]  # fmt: skip


def test_without_a_driver_nothing_is_served(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts, events = order(load, monkeypatch, 1)
    with pytest.raises(SystemExit):
        scripts.boot.main()
    assert events[-1] == "driver waited for"


def test_a_compile_cache_is_kept_by_gpu_type_image_and_model(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    monkeypatch.setattr(scripts.serve, "sh", lambda *_: "")
    monkeypatch.setattr(scripts.serve.os.path, "ismount", lambda path: True)
    own = scripts.serve.compile_cache(1)
    assert own.relative_to(scripts.storage.LOCAL).as_posix() == (
        f"compile/g6-vllm-openai@sha256-{'0' * 64}-models--Qwen--Qwen3-8B/1"
    )
    scripts.serve.restore_cache(0)
    (scripts.serve.compile_cache(0) / "graph").write_text("compiled")
    scripts.serve.save_cache()
    scripts.serve.restore_cache(1)
    assert (own / "graph").read_text() == "compiled"
