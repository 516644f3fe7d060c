"""What Prometheus sees of a real pod: vLLM 0.32.0 under traffic, behind the real edge, counted by the agent's own code.

Every query of the project is asked of a real Prometheus; every name, label, value and bound in it must be there.
"""

from __future__ import annotations

import contextlib
import re
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import traffic
from asking import ask
from edge import KEY, nginx
from served import completion, config, serving

from tests.observing.asked import ADDED, LABELS, panel_queries, queries, rule_queries
from tests.observing.contract import Exposed, broken, exposed
from tests.observing.live import Live, prometheus

pytestmark = pytest.mark.real

SMALL = ("--num-gpu-blocks-override", "24", "--block-size", "32", "--max-model-len", "512")
"""A KV cache that some streams fill."""
OURS = re.compile("(vllm:|process_|tandem_)(?!.*_created$)")
RECORDED = Path(__file__).parents[1] / "observing/recorded/metrics.txt"


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The metrics' port of an edge whose server was asked, streamed from, left, refused and asked for nonsense."""
    directory = tmp_path_factory.mktemp("pod")
    small = config(max_num_seqs=2, max_num_batched_tokens=64, max_queued_requests=2)
    with serving(small, directory, *SMALL) as server, nginx(small, [server.port], directory, place="pod") as edge:
        traffic.listen(edge.agent_port)
        assert ask(edge.port, completion(20), KEY).status == 200
        assert ask(edge.port, completion(20, model="other"), KEY).status == 404
        assert ask(edge.port, completion(20), None).status == 401
        crowd = [
            threading.Thread(target=ask, args=(edge.port, completion(300, stream=number % 2 == 0), KEY))
            for number in range(16)
        ]
        for one in crowd:
            one.start()
        for one in crowd:
            one.join()
        with answering(edge.port):
            yield edge.metrics_port


@contextlib.contextmanager
def answering(port: int) -> Iterator[None]:
    """Clients go on asking, so that there are rates."""
    over = threading.Event()

    def client() -> None:
        while not over.is_set():
            ask(port, completion(40), KEY)

    asking = threading.Thread(target=client, daemon=True)
    asking.start()
    yield
    over.set()
    asking.join()


@pytest.fixture(scope="module")
def text(pod: int) -> str:
    return scraped(pod)


@pytest.fixture(scope="module")
def live(pod: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with prometheus(pod, ADDED, tmp_path_factory.mktemp("prometheus")) as found:
        yield found


@pytest.mark.parametrize("what", queries())
def test_what_a_query_relies_on_is_there(what: str, text: str) -> None:
    assert list(broken(queries()[what], exposed(text), ADDED)) == []


def _shape(found: Exposed) -> dict[str, tuple[set[str], set[str]]]:
    """Labels of each series that anybody might ask for, and its buckets."""
    return {name: (set(labels), labels.get("le", set())) for name, labels in found.items() if OURS.match(name)}


def test_the_recording_is_of_such_a_pod(text: str, tmp_path: Path) -> None:
    """Where it is not, the new one is there to be taken."""
    lines = (line for line in text.splitlines() if OURS.match(line.removeprefix("# HELP ").removeprefix("# TYPE ")))
    (tmp_path / "metrics.txt").write_text("\n".join(line for line in lines if "_created" not in line) + "\n")
    now, recorded = _shape(exposed(text)), _shape(exposed(RECORDED.read_text()))
    assert now == recorded, f"cp {tmp_path / 'metrics.txt'} {RECORDED}"


@pytest.mark.parametrize("what", rule_queries())
def test_a_real_prometheus_takes_each_condition(what: str, live: Live) -> None:
    live.ask(rule_queries()[what])


@pytest.mark.parametrize("what", panel_queries())
def test_each_panel_has_data(what: str, live: Live) -> None:
    assert live.numbers(panel_queries()[what])


def test_prometheus_has_what_the_pod_told(live: Live) -> None:
    (found,) = live.ask(f"sum(vllm:generation_tokens_total{{{LABELS}}})")
    assert float(found["value"][1]) > 300
