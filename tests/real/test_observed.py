"""What Prometheus sees of a real pod: vLLM 0.32.0 under traffic, behind the real edge, counted by the agent's own code.

Every query of the project is asked of a real Prometheus; every name, label, value and bound in it must be there.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import coldstart
import keysync
import ledger
import pytest
import traffic
import trial
from asking import ask
from edge import KEY, Nginx, nginx
from served import NAME, completion, config, serving

from tandem.observing.panels import panels
from tandem.settings.inference import SpeculationSettings
from tests.observing.asked import ADDED, LABELS, MODEL, panel_queries, queries, rule_queries
from tests.observing.contract import Exposed, broken, exposed
from tests.observing.live import Live, prometheus
from tools import board

pytestmark = pytest.mark.real

SMALL = ("--num-gpu-blocks-override", "24", "--block-size", "32", "--max-model-len", "512")
"""A KV cache that some streams fill."""
OURS = re.compile("(vllm:|process_|tandem_)(?!.*_created$)")
RECORDED = Path(__file__).parents[1] / "observing/recorded/metrics.txt"
DOCS = Path(__file__).parents[2] / "docs/board.svg"
SAID = (
    "Drawn by tools/board.py, not by Grafana: answers of a real Prometheus, "
    "fed by the real vLLM (a tiny model on a CPU) behind the real edge"
)
PHASES = ((1, 90), (6, 210))
"""Of the picture in the docs: clients at once, which are more than the server takes, and for how many seconds."""
CANARY = {
    "suite": [{"name": "ends", "path": "/v1/completions", "body": completion(4), "expect": {"finish": "length"}}],
    "model": NAME,
    "stored": None,
    "judge": None,
    "every": 3600,
    "gate": True,
}


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """The edge of a pod whose server was asked, streamed from, left, refused and asked for nonsense."""
    directory = tmp_path_factory.mktemp("pod")
    guesses = SpeculationSettings(tokens=2, prompt_lookup_max=1)
    small = config(max_num_seqs=2, max_num_batched_tokens=64, max_queued_requests=2, speculation=guesses)
    with serving(small, directory, *SMALL) as server, nginx(small, [server.port], directory, place="pod") as edge:
        told = directory / "canary.json"
        servers = {"vllm": trial.asker(f"http://127.0.0.1:{server.port}")}
        canary = trial.Trial(CANARY, "0" * 12, servers, told, directory / "proven", lambda _arn: None, print)
        start = ledger.Ledger(directory / "start.json", directory, first=True)

        def more() -> str:
            return keysync.ends(5) + coldstart.text(start.look()) + trial.text(told)

        traffic.listen(edge.agent_port, more=more, also=start.add)
        ledger.tell(edge.agent_port, "weights", time.time() - 41.5)
        ledger.tell(edge.agent_port, "ready", time.time() - 97.25)
        assert canary.once()
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
            yield edge


@contextlib.contextmanager
def answering(port: int, clients: int = 1, tokens: int = 40) -> Iterator[None]:
    """Clients go on asking, so that there are rates; one that is refused comes again a second later."""
    over = threading.Event()

    def client() -> None:
        while not over.is_set():
            if ask(port, completion(tokens), KEY).status != 200:
                over.wait(1)

    asking = [threading.Thread(target=client, daemon=True) for _ in range(clients)]
    for one in asking:
        one.start()
    yield
    over.set()
    for one in asking:
        one.join()


@pytest.fixture(scope="module")
def text(pod: Nginx) -> str:
    return scraped(pod.metrics_port)


@pytest.fixture(scope="module")
def live(pod: Nginx, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with prometheus(pod.metrics_port, [ADDED["pod"]], tmp_path_factory.mktemp("prometheus")) as found:
        yield found


@pytest.mark.parametrize("what", queries("pod"))
def test_what_a_query_relies_on_is_there(what: str, text: str) -> None:
    assert list(broken(queries("pod")[what], exposed(text), ADDED["pod"])) == []


def _shape(found: Exposed) -> dict[str, tuple[set[str], set[str]]]:
    """Labels of each series that anybody might ask for, and its buckets."""
    return {name: (set(labels), labels.get("le", set())) for name, labels in found.items() if OURS.match(name)}


def test_the_recording_is_of_such_a_pod(text: str, tmp_path: Path) -> None:
    """Where it is not, the new one is there to be taken."""
    lines = (line for line in text.splitlines() if OURS.match(line.removeprefix("# HELP ").removeprefix("# TYPE ")))
    (tmp_path / "metrics.txt").write_text("\n".join(line for line in lines if "_created" not in line) + "\n")
    now, recorded = _shape(exposed(text)), _shape(exposed(RECORDED.read_text()))
    assert now == recorded, f"cp {tmp_path / 'metrics.txt'} {RECORDED}"


@pytest.mark.parametrize("what", rule_queries("pod"))
def test_a_real_prometheus_takes_each_condition(what: str, live: Live) -> None:
    live.ask(rule_queries("pod")[what])


@pytest.mark.parametrize("what", panel_queries("pod"))
def test_each_panel_has_data(what: str, live: Live) -> None:
    assert live.numbers(panel_queries("pod")[what])


def test_the_share_of_right_guesses_is_one(live: Live) -> None:
    (share,) = live.numbers(queries("pod")["right guesses"])
    assert 0 <= share <= 1


def test_prometheus_has_what_the_pod_told(live: Live) -> None:
    (found,) = live.ask(f"sum(vllm:generation_tokens_total{{{LABELS['pod']}}})")
    assert float(found["value"][1]) > 300


def test_the_board_is_drawn_from_answers(pod: Nginx, live: Live, tmp_path: Path) -> None:
    """With BOARD_UPDATE, as `make board` has it, of five minutes with a crowd in them, into the docs."""
    update = bool(os.environ.get("BOARD_UPDATE"))
    for clients, seconds in PHASES if update else ():
        with answering(pod.port, clients - 1, tokens=450):
            time.sleep(seconds)
    span = sum(seconds for _, seconds in PHASES) if update else 60
    drawn = board.picture(panels(MODEL), lambda query: live.over(query, span, board.POINTS), span, SAID)
    (DOCS if update else tmp_path / "board.svg").write_text(drawn)
    assert drawn.count('stroke-width="1.5"') == len(panel_queries("pod"))
    assert 'd=""' not in drawn
