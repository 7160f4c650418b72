"""A cluster on hosts of its own, as its README says: `ray up`, a sweep, three faults, the same numbers.

Takes minutes: Ray and TensorFlow start on four hosts that share one machine's cores.
"""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.storage.store import Store
from tests.cluster.conftest import Cluster, readme
from tests.support import engine, processes
from tests.support.patient import PATIENCE
from tests.support.sweeps import photos

pytestmark = pytest.mark.hosts

WHERE = "--cluster cluster-local.yaml"
SWEEP = {
    "name": "faults",
    "data": {"name": "digits", "image_size": 32, "limit": 400},
    "model": {"name": "vgg11", "width": 0.125},
    "batch_size": 16,
    "epochs": 40,
    "optimizers": {"sgd": {"class": "SGD", "learning_rate": 0.01}, "adam": {"class": "Adam"}},
    "schedules": {"constant": {}, "cosine": {}, "step": {"every": 20}},
    "trainer": "tests.support.patient:PatientTrainer",
}


@contextmanager
def watching(cluster: Cluster, command: str) -> Iterator["subprocess.Popen[str]"]:
    """`command` on the laptop for as long as this lasts."""
    process = cluster.begin(command)
    try:
        yield process
    finally:
        processes.kill([process.pid])
        process.wait()


def test_the_readme_leads_from_nothing_to_a_table(cluster: Cluster) -> None:
    code, said = cluster.run(readme("sweep submit"), timeout=400)
    assert code == 0, said
    assert "Recipes, best first" in said
    code, said = cluster.run(readme("sweep status"))
    assert (code, "25 completed" in said) == (0, True), said
    assert {row["host"] for row in cluster.rows("quickstart")} == {"head", "worker-1", "worker-2"}
    code, said = cluster.run(readme("sweep stop"))
    assert (code, "no job of sweep 'quickstart' runs there" in said) == (2, True), said


def test_a_sweep_survives_its_hosts(cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    took = {"ray up": cluster.seconds_up}
    PATIENCE.touch()
    (cluster.project / "faults.yaml").write_text(json.dumps(SWEEP))
    submit = f"sweep submit faults.yaml {WHERE} --results /mnt/sweep/results"
    began = time.monotonic()
    with watching(cluster, submit) as first:
        cluster.await_rows("faults")
        took["submit to the first epoch"] = time.monotonic() - began
        for host in ("head", "worker-1", "worker-2"):
            cluster.await_rows("faults", host)
        took["submit to an epoch on every host"] = time.monotonic() - began
        os.kill(processes.descendants(first.pid)[0], signal.SIGINT)
        said = first.communicate(timeout=30)[0]
        assert first.returncode == 130, said
        assert "goes on" in said
        job = re.search(r"^sweep-faults-\w+$", said, re.MULTILINE).group()  # type: ignore[union-attr]
    with watching(cluster, submit) as second:
        assert second.stdout is not None
        while "runs already; watching it" not in (line := second.stdout.readline()):
            assert line, "sweep submit has ended"
        cluster.await_rows("faults", since=datetime.now(UTC))
        processes.kill(processes.descendants(second.pid)[1:])
        took |= break_workers(cluster)
        cluster.hosts.head.power_off()
        began = time.monotonic()
        cluster.hosts.head.power_on()
        cluster.up()
        took["head off, until all are up"] = time.monotonic() - began
        said = second.communicate(timeout=60)[0]
        assert second.returncode == 2, said
        assert f"the connection to the cluster is lost; job {job} goes on there; connecting again" in said
        assert re.search(
            rf"does not know job {job}|cannot be reached any more; job {job} goes on if its head does", said
        )
    since = datetime.now(UTC)
    PATIENCE.unlink()
    with watching(cluster, submit) as third:
        took["head up, until an epoch"] = cluster.await_rows("faults", since=since)
        said = third.communicate(timeout=400)[0]
        assert third.returncode == 0, said
    took["all"] = time.monotonic() - began
    with capsys.disabled():
        print("\n" + "\n".join(f"{what}: {seconds:.0f} s" for what, seconds in took.items()))
    assert "Recipes, best first" in said
    said = cluster.run("sweep status faults.yaml --json --results /mnt/sweep/results")[1]
    assert json.loads(said)["trials"]["completed"] == 6
    assert engine.numbers(cluster.store, "faults") == calm(cluster.project / "faults.yaml", tmp_path)


def break_workers(cluster: Cluster) -> dict[str, float]:
    """Kill all processes of one, cut the cable of the other for half a minute; seconds until each trains again."""
    one, other = cluster.hosts.workers
    killed = datetime.now(UTC)
    one.kill_processes()
    other.cable(False)
    time.sleep(30)
    other.cable(True)
    mended = datetime.now(UTC)
    cluster.await_rows("faults", one.name, killed)
    back = datetime.now(UTC)
    cluster.await_rows("faults", other.name, mended)
    return {
        "worker killed, until it trains again": (back - killed).total_seconds(),
        "cable mended, until it trains again": (datetime.now(UTC) - mended).total_seconds(),
    }


def calm(file: Path, folder: Path) -> list[dict[str, object]]:
    """The numbers of the same sweep on this machine, undisturbed."""
    results = folder / "results"
    run = processes.start(file, results)
    try:
        assert run.wait(400) == 0, processes.said(results)
    finally:
        processes.kill_all(run)
    return engine.numbers(Store.at(str(results)), "faults")


def test_a_job_is_stopped_and_goes_on_where_it_was(cluster: Cluster) -> None:
    submit = f"sweep submit faults.yaml {WHERE} --results /mnt/sweep/results -S name=stopped -S epochs=6"
    PATIENCE.touch()
    try:
        code, job = cluster.run(f"{submit} --no-watch")
        assert code == 0, job
        cluster.await_rows("stopped")
        code, said = cluster.run(f"{submit.replace('epochs=6', 'epochs=9')} --no-watch")
        assert code == 2, said
        assert f"sweep 'stopped' runs with other settings, as job {job.strip()}" in said
        code, said = cluster.run(f"sweep stop faults.yaml {WHERE} -S name=stopped")
        assert (code, said) == (0, job)
        assert not cluster.store.held("stopped")
        kept = cluster.rows("stopped")
    finally:
        PATIENCE.unlink()
    code, said = cluster.run(submit, timeout=300)
    assert code == 0, said
    after = cluster.rows("stopped")
    assert kept
    assert all(row in after for row in kept)


def test_results_and_data_may_lie_in_a_bucket(cluster: Cluster) -> None:
    """The hosts share nothing but a bucket, which is served on the laptop."""
    laptop = cluster.hosts.laptop
    photos(cluster.project / "photos", [f"{kind}/{n}.png" for kind in ("cat", "dog") for n in range(20)])
    data = {"name": "images", "path": "photos", "image_size": 32}
    (cluster.project / "bucket.yaml").write_text(
        json.dumps({**SWEEP, "name": "bucket", "data": data, "epochs": 2})
    )
    for host in (laptop, cluster.hosts.head, *cluster.hosts.workers):
        (host.home / ".aws").mkdir()
        (host.home / ".aws" / "credentials").write_text(
            "[default]\naws_access_key_id=testing\naws_secret_access_key=testing\n"
        )
    server = cluster.begin(f"python -m tests.support.buckets {laptop.address} 5000 photos")
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        results = address.replace("/photos", "/results")
        where = f"--results '{results}' -S 'data.path={address}'"
        code, said = cluster.run(f"sweep submit bucket.yaml {WHERE} {where}", timeout=300)
        assert code == 0, said
        assert "Recipes, best first" in said
        code, said = cluster.run(f"sweep status bucket.yaml --json {where} 2>/dev/null")
        assert json.loads(said)["trials"]["completed"] == 6, said
    finally:
        processes.kill([server.pid])
        server.wait()
    fetched = [len(list((h.home / ".cache").rglob("fetched/*/*/*.png"))) for h in (laptop, *cluster.hosts.workers)]
    assert fetched == [40, 40, 40]


def test_a_wrong_token_is_refused_at_once(cluster: Cluster) -> None:
    submit = f"sweep submit faults.yaml {WHERE} --results /mnt/sweep/results"
    (cluster.project / "wrong").write_text("0" * 64)
    for file, message in (("wrong", "has another token than it"), ("none", "has no token for it")):
        began = time.monotonic()
        code, said = cluster.run(f"RAY_AUTH_TOKEN_PATH=$PWD/{file} {submit}")
        assert (code, message in said) == (2, True), said
        assert time.monotonic() - began < 15


def test_a_cluster_that_is_down_is_found_out_at_once(cluster: Cluster) -> None:
    code, said = cluster.run(readme("ray down"))
    assert code == 0, said
    assert "raylet" not in cluster.hosts.head.run("ps -A -o comm")[1]
    began = time.monotonic()
    code, said = cluster.run(readme("sweep submit"))
    assert (code, "is Ray running?" in said) == (2, True), said
    cluster.hosts.head.power_off()
    code, said = cluster.run(readme("sweep submit"))
    assert (code, "ssh to its head 10.77.0.11 failed" in said) == (2, True), said
    assert time.monotonic() - began < 30
