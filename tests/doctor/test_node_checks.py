"""Several real Ray nodes on one machine: they come late, they die, they are looked at before anything trains."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.storage.store import Store
from tests.support import engine
from tests.support.nodes import Nodes, nodes
from tests.support.runs import numbers
from tests.support.sweeps import small

TRIALS, EPOCHS = 12, 8


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every epoch that is begun leaves a line."""
    return tmp_path_factory.mktemp("begun") / "epochs"


@pytest.fixture(scope="module")
def pace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """How many seconds an epoch takes."""
    return tmp_path_factory.mktemp("pace") / "seconds"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, begun: Path, pace: Path) -> Iterator[Nodes]:
    """A head without trials and two nodes of one core each."""
    with nodes(tmp_path_factory.mktemp("nodes"), BEGUN=str(begun), PACE=str(pace)) as started:
        for _ in range(2):
            started.add(num_cpus=1)
        yield started


def written(folder: Path, **changes: Any) -> Path:
    """A sweep file of trials that take a while."""
    document = small(
        epochs=EPOCHS,
        seeds=list(range(TRIALS // 2)),
        schedules={"constant": {}},
        trainer="tests.support.fakes:PlacedTrainer",
        **changes,
    ).document
    (folder / "small.yaml").write_text(json.dumps(document))
    return folder / "small.yaml"


def wait_for(what: Callable[[], bool], seconds: float = 240.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it does not happen"
        time.sleep(0.05)


def doctor(
    cluster: Nodes, *arguments: str | Path, **environment: str
) -> tuple[int, dict[str, dict[str, str]], str]:
    """Exit code, checks by name, and what went to stderr, of `sweep doctor` on the cluster."""
    asked = cluster.sweep("doctor", "--address", cluster.address, "--json", *arguments, **environment)
    out, err = asked.communicate(timeout=300)
    return asked.returncode, {c["name"]: c for c in json.loads(out)["checks"]} if out else {}, err


def test_the_doctor_looks_at_every_node(cluster: Nodes, tmp_path: Path) -> None:
    code, checks, err = doctor(cluster, written(tmp_path), "--results", tmp_path / "r")
    assert {c["name"]: c["found"] for c in checks.values() if c["state"] != "ok"} == {}
    assert (code, err) == (0, "")
    assert checks["nodes"]["found"].startswith("3 answer")
    assert "the same on 3 nodes" in checks["versions"]["found"]
    assert "the same on 3 nodes" in checks["project"]["found"]
    assert "token mode on" in checks["token"]["found"]
    assert checks["room"]["found"] == "1 CPUs and 0 GPUs a trial: 2 at a time"


def test_who_has_no_right_token_is_told_so_at_once(cluster: Nodes, tmp_path: Path) -> None:
    wrong = tmp_path / "token"
    wrong.write_text("some-other-token-of-some-other-cluster")
    wrong.chmod(0o600)
    code, checks, _ = doctor(cluster, RAY_AUTH_TOKEN_PATH=str(wrong))
    assert (code, list(checks)) == (1, ["cluster"])
    assert "does not accept the token" in checks["cluster"]["found"]
    code, checks, _ = doctor(cluster, RAY_AUTH_MODE="disabled")
    assert "token mode is off here" in checks["cluster"]["found"]
    run = cluster.sweep("run", written(tmp_path), "--address", cluster.address, RAY_AUTH_TOKEN_PATH=str(wrong))
    _, err = run.communicate(timeout=300)
    assert run.returncode == 2
    assert "does not accept the token" in err
    assert "Traceback" not in err


def test_a_trial_that_no_node_can_hold_is_refused_before_anything_is_written(
    cluster: Nodes, tmp_path: Path
) -> None:
    for resources, message in (({"gpus_per_trial": 1}, "1 GPU"), ({"cpus_per_trial": 2}, "no machine has them")):
        file = written(tmp_path, resources=resources)
        run = cluster.sweep("run", file, "--address", cluster.address, "--results", tmp_path / "r")
        _, err = run.communicate(timeout=300)
        assert run.returncode == 2
        assert message in err
        assert not (tmp_path / "r").exists()


def test_a_node_joins_and_another_dies_and_nothing_is_lost(
    cluster: Nodes, begun: Path, pace: Path, tmp_path: Path
) -> None:
    def seen() -> list[list[str]]:
        return [line.split() for line in begun.read_text().splitlines()] if begun.exists() else []

    pace.write_text("1")  # slow enough for a node to join and for another to die in the middle
    file = written(tmp_path)
    run = cluster.sweep("run", file, "--results", tmp_path / "r", "--address", cluster.address, "--json")
    wait_for(lambda: len({node for *_, node in seen()}) == 2)
    first = seen()[0][2]
    late = cluster.add(num_cpus=1)
    wait_for(lambda: late in {node for *_, node in seen()})
    cluster.remove(cluster.ids.index(first))
    pace.write_text("0.02")
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    done = json.loads(out)
    assert done["trials"]["completed"] == TRIALS
    started = Counter((trial, epoch) for trial, epoch, _ in seen())
    assert len(started) == TRIALS * EPOCHS
    assert sum(started.values()) - len(started) <= 1  # the epoch that the dead node's one worker was in
    calm = Store.at(str(tmp_path / "calm"))
    engine.run(small(epochs=EPOCHS, seeds=list(range(TRIALS // 2)), schedules={"constant": {}}), calm)
    assert without_keys(numbers(Store.at(str(tmp_path / "r")))) == without_keys(numbers(calm))


def without_keys(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows but for what names the trainer and the node."""
    return [{name: value for name, value in row.items() if name not in ("epoch_key", "device")} for row in rows]
