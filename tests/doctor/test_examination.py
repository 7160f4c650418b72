"""What the doctor makes of machines that are well, unlike each other, too small, or open to strangers."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from experiments import numerics
from experiments.settings import InputError
from orchestrator.cluster import connection_check, node_inventory
from orchestrator.cluster.node_inventory import NodeInfo
from orchestrator.doctor import examination, node_checks
from orchestrator.doctor.check import Check, Inspection
from orchestrator.execution.trainers import require_same
from orchestrator.planning import plan
from orchestrator.planning.plan import Plan
from orchestrator.storage.filesystem import StoreError
from orchestrator.storage.store import Store
from tests.support.sweeps import photos as with_photos
from tests.support.sweeps import small

VERSIONS = {"sweep-orchestrator": "0.1.0", "ray": "2.60.0", "keras": "3.15.1", "tensorflow": "2.21.0"}
GIB = 2**30


def machine(name: str = "one", *, cpus: float = 4, gpus: float = 0, skew: float = 0.0, **facts: Any) -> NodeInfo:
    """A machine that is well, but for what is said."""
    numbers = facts.pop("numerics", {})
    good = {
        "host": name, "python": "3.11.7", "versions": VERSIONS, "code": "c0de", "memory": 16 * GIB,
        "memory_free": 15 * GIB, "disk": {"/cache": 100 * GIB, "/results": 100 * GIB}, "token_mode": "token",
        "key": 0o600, "files": 65536, "gpus": 0, "numerics": numerics.collect() | numbers,
    }  # fmt: skip
    resources = {"CPU": cpus, "GPU": gpus}
    return NodeInfo(name=name, resources=resources, facts={**good, **facts}, skew=skew, skew_within=0.001)


def seen(*machines: NodeInfo, **changes: Any) -> Inspection:
    """A cluster of these machines, seen from one that is well."""
    common = {
        "results": "/results", "address": "head:6379", "dashboard": "127.0.0.1:8265",
        "blind_to_results": (), "blind_to_data": (),
    }  # fmt: skip
    nodes = machines or (machine("one"), machine("two"))
    return Inspection(local=machine("here"), nodes=nodes, **{**common, **changes})


def alone_with(local: NodeInfo, plan: Plan | None = None) -> Inspection:
    """One machine without a cluster."""
    return Inspection(local=local, nodes=[local], plan=plan, results="/results")


def checks(of: Inspection) -> Mapping[str, Check]:
    return {check.name: check for check in examination.judge(of)}


@pytest.fixture
def planned(store: Store, tmp_path: Path) -> Plan:
    """A plan of VGG11, width 1, with Adam among its optimizers, on photos."""
    photos = with_photos(tmp_path / "photos", [f"{kind}.{n}.png" for kind in ("cat", "dog") for n in range(4)])
    data = {"name": "images", "path": str(photos), "image_size": 32}
    return plan.make(small(model={"name": "vgg11"}, data=data, trainer="experiments.trainer:Trainer"), store)


def test_where_all_is_well_every_row_says_so(planned: Plan) -> None:
    rows = checks(seen(plan=planned))
    assert {c.state for c in rows.values()} == {"ok"}
    assert {c.fix for c in rows.values()} == {""}
    assert set(rows) - {"precision"} == {  # which depends on the processor that this runs on
        "nodes", "versions", "project", "numbers", "token", "dashboard", "clocks", "open files", "room", "memory",
        "results", "cache", "storage", "data",
    }  # fmt: skip
    assert examination.require(list(rows.values())) == []


@pytest.mark.parametrize(
    ("wrong", "name", "state", "words", "stops"),
    [
        ({"versions": {**VERSIONS, "keras": "3.14.0"}}, "versions", "fail", "two (keras 3.14.0)", True),
        ({"versions": {**VERSIONS, "tensorflow": None}}, "versions", "fail", "two (tensorflow)", True),
        ({"python": "3.12.1"}, "versions", "fail", "two (python 3.12.1)", True),
        ({"code": "0ther"}, "project", "fail", "two (0ther)", True),
        ({"code": ""}, "project", "fail", "two (missing)", True),
        ({"numerics": {"processor": "x86_64 sse41"}}, "numbers", "fail", "two (hardware x86_64 sse41, not ", True),
        (
            {"numerics": {"variables": {"TF_ENABLE_ONEDNN_OPTS": "0"}}},
            "numbers",
            "fail",
            "two (TF_ENABLE_ONEDNN_OPTS false, not at its default)",
            True,
        ),
        ({"key": 0o644}, "token", "fail", "two (0644)", False),
        ({"token_mode": ""}, "token", "fail", "two (not set)", False),
        ({"token_mode": "disabled"}, "token", "fail", "two (disabled)", False),
        ({"skew": 7.0}, "clocks", "warn", "two by +7.0 s", False),
        ({"files": 256}, "open files", "warn", "two (256)", False),
        ({"disk": {"/cache": 1000, "/results": GIB}}, "cache", "warn", "two (0 MiB)", False),
        ({"memory": 2 * GIB, "memory_free": 2 * GIB}, "memory", "fail", "two has 2.0 GiB", False),
        ({"memory": GIB // 2, "memory_free": GIB // 4}, "memory", "fail", "two has 512 MiB", True),
        ({"memory_free": 2 * GIB}, "memory", "warn", "2.0 GiB of it free", False),
    ],
)
def test_one_machine_that_is_not_well_is_named_with_a_fix(
    wrong: dict[str, Any], name: str, state: str, words: str, stops: bool, planned: Plan
) -> None:
    found = checks(seen(machine("one"), machine("two", **wrong), plan=planned))
    check = found.pop(name)
    assert (check.state, check.stops) == (state, stops)
    assert words in check.finding
    assert check.fix
    assert {c.state for c in found.values()} == {"ok"}


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"dashboard": "10.0.0.7:8265"}, "dashboard", "10.0.0.7:8265 can be reached"),
        ({"blind_to_results": ["two at 10.0.0.2 (no such folder)"]}, "storage", "not seen by two at 10.0.0.2"),
    ],
)
def test_what_is_wrong_with_the_cluster_fails(changes: dict[str, Any], name: str, words: str) -> None:
    check = checks(seen(**changes))[name]
    assert check.state == "fail"
    assert words in check.finding
    assert check.fix


def test_data_that_a_node_does_not_see_stops_a_run(planned: Plan) -> None:
    check = checks(seen(plan=planned, blind_to_data=["two at 10.0.0.2 (data.path: no such folder)"]))["data"]
    assert (check.state, check.stops) == ("fail", True)
    assert "not seen by two at 10.0.0.2" in check.finding
    assert "s3://bucket/prefix" in check.fix


def test_a_node_that_does_not_answer_stops_a_run_and_the_others_are_looked_at() -> None:
    silent = NodeInfo(name="two", resources={"CPU": 4}, silence="no answer in 60 s")
    rows = examination.judge(seen(machine("one"), silent))
    assert [(c.state, c.stops) for c in rows if c.name == "nodes"] == [("fail", True), ("ok", False)]
    with pytest.raises(InputError, match=r"nodes: no answer from two \(no answer in 60 s\); .*ray stop"):
        examination.require(rows)


def test_cores_that_lie_on_two_machines_are_no_room_for_one_trial(store: Store) -> None:
    made = plan.make(small(resources={"cpus_per_trial": 6}), store)
    alone = alone_with(machine("here", cpus=4), plan=made)
    assert "no machine has them (at most 4 CPUs, 0 GPUs)" in checks(alone)["room"].finding
    wanted = plan.make(small(resources={"gpus_per_trial": 0.5}), store)
    shown = alone_with(machine(), plan=wanted)
    assert checks(shown)["room"].stops
    half = alone_with(machine("here", gpus=1), plan=wanted)
    assert checks(half)["room"].finding == "1 CPUs and 0.5 GPUs a trial: 2 at a time"


def test_a_precision_that_the_processors_are_faster_in_is_told_where_none_was_chosen(store: Store) -> None:
    old = machine("old", numerics={"processor": "x86_64 sse41 avx avx2 fma, caches 32K 512K"})
    new = machine("new", numerics={"processor": "x86_64 avx512_core avx512_core_bf16, caches 32K 1024K"})

    def row(*machines: NodeInfo, **changes: Any) -> Check | None:
        made = plan.make(small(**{"trainer": "experiments.trainer:Trainer", **changes}), store)
        return checks(Inspection(local=new, nodes=machines, plan=made, results="/results")).get("precision")

    told = row(new)
    assert told is not None
    assert (told.state, told.fix) == ("ok", "")
    assert told.finding.startswith("float32; `precision: mixed_bfloat16` trains 1.3 to 1.6 times as many images")
    assert row(new, old) is None
    assert row(new, precision="mixed_bfloat16") is None
    assert row(new, resources={"gpus_per_trial": 1}) is None
    assert row(new, trainer="tests.support.fakes:VectorTrainer") is None
    assert checks(alone_with(new)).get("precision") is None


def test_a_full_disk_stops_a_run_and_a_tight_one_warns(planned: Plan) -> None:
    def at(free: int) -> Check:
        here = machine(disk={"/cache": GIB, "/results": free})
        return checks(alone_with(here, plan=planned))["results"]

    assert (at(10**6).state, at(10**6).stops) == ("fail", True)
    assert at(1200 * 10**6).state == "warn"
    assert at(10**11).state == "ok"


def test_this_machine_alone_is_looked_at_without_a_cluster(store: Store, planned: Plan) -> None:
    rows = {c.name: c for c in examination.examine(planned, store, None)}
    assert rows["versions"].state == "ok"
    assert "room" in rows
    assert "storage" not in rows
    assert rows["machine"].finding.endswith("GiB")


def test_rows_are_printed_with_their_fixes_and_given_to_programs() -> None:
    rows = [Check("token", "off", "fail", "turn it on"), Check("clocks", "fine")]
    console = Console(width=60, record=True, no_color=True)
    examination.render(rows, console)
    lines = [" ".join(line.split()) for line in console.export_text().splitlines() if line.strip()]
    assert lines == ["fail token off", "→ turn it on", "ok clocks fine"]
    told = examination.as_json(rows, "small", None)
    assert told["ok"] is False
    assert told["checks"][0] == {"name": "token", "found": "off", "state": "fail", "mend": "turn it on"}
    assert examination.as_json(rows[1:], None, None)["ok"] is True


def test_a_clock_is_read_in_the_middle_of_the_shortest_round_trip() -> None:
    own = iter([0.0, 1.0, 10.0, 10.2, 20.0, 22.0, 30.0, 31.0, 40.0, 41.0])
    there = iter([100.0, 15.1, 100.0, 100.0, 100.0])
    assert node_inventory.skew_of(there.__next__, own.__next__) == pytest.approx((5.0, 0.1))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"ray_version": "2.59.0", "python_version": "3.11.7"}, "the cluster runs Ray 2.59.0 on Python 3.11.7"),
        ({"error": "RpcError", "message": "Timed out.\n"}, "no Ray cluster answers there (Timed out)"),
        ({"error": "AuthenticationError", "message": "InvalidAuthToken"}, "does not accept the token"),
        ({"error": "AuthenticationError", "message": "but no authentication token was found"}, "no token here"),
    ],
)
def test_why_a_cluster_cannot_be_joined(answer: dict[str, str], words: str) -> None:
    with pytest.raises(connection_check.NotJoined) as refused:
        connection_check.judge("head:6379", answer)
    assert words in refused.value.problem
    assert refused.value.fix
    assert str(refused.value).startswith("--address head:6379: ")


def test_one_machine_is_asked_for_no_token_but_its_key_is_looked_at() -> None:
    here = machine(token_mode="", key=None)
    assert checks(alone_with(here))["token"].state == "ok"
    loose = machine(token_mode="", key=0o640)
    assert checks(alone_with(loose))["token"].state == "fail"
    off = replace(here, facts={**here.facts, "token_mode": "disabled"})
    assert checks(alone_with(off))["token"].state == "warn"


def test_a_node_that_joined_late_with_other_versions_trains_nothing() -> None:
    ours = node_inventory.software()
    require_same(ours)
    message = rf"keras {ours['keras']}, not 9\.9; code {ours['code']}, not c0de; `make install` there, or take it"
    with pytest.raises(StoreError, match=message):
        require_same({**ours, "keras": "9.9", "code": "c0de"})


def test_the_address_of_a_ray_client_is_told_apart() -> None:
    with pytest.raises(InputError, match=r"ray://head:10001: a Ray Client's address.*host:6379.*`sweep submit`"):
        connection_check.require("ray://head:10001")


A10G = "NVIDIA A10G, driver 550.54.15"


@pytest.mark.parametrize(
    ("hardware", "gpu", "found"),
    [
        (None, A10G, "other than the keys say: two (hardware NVIDIA A10G, driver 550.54.15, not no GPU)"),
        (None, None, "the keys would stand for no GPU, and a trial asks for one"),
        (A10G, A10G.replace("550", "560"), "driver 560.54.15, not NVIDIA A10G, driver 550.54.15)"),
        (A10G, A10G, None),
        (A10G, None, None),
        ("any", A10G, None),
        ("any", None, None),
    ],
)
def test_a_gpu_has_to_be_that_of_the_keys(
    hardware: str | None, gpu: str | None, found: str | None, store: Store
) -> None:
    """From a head that has no GPU; where `gpu` is None no machine that has one is there yet."""
    made = plan.make(small(resources={"gpus_per_trial": 1, "hardware": hardware}), store)
    worker = machine("two", gpus=1, numerics={"gpu": gpu}) if gpu else machine("two")
    (check,) = node_checks.numbers(seen(machine("one"), worker, plan=made))
    assert (check.state, check.stops, bool(check.fix)) == (("fail", True, True) if found else ("ok", False, False))
    assert (found or hardware or "") in check.finding


def test_machines_may_differ_where_hardware_does_not_matter(store: Store) -> None:
    made = plan.make(small(resources={"hardware": "any"}), store)
    other = machine("two", numerics={"processor": "arm64 Apple M2"})
    assert checks(seen(machine("one"), other, plan=made))["numbers"].state == "ok"
    # What takes no trials may be as it likes.
    exact = plan.make(small(), store)
    head = machine("two", cpus=0, numerics={"processor": "arm64 Apple M2"})
    assert checks(seen(machine("one"), head, plan=exact))["numbers"].state == "ok"


def test_without_a_sweep_machines_are_held_against_each_other() -> None:
    def row(*machines: NodeInfo) -> Check:
        return checks(seen(*machines))["numbers"]

    gpus = [machine(name, gpus=1, numerics={"gpu": A10G}) for name in ("one", "two")]
    assert row(*gpus).finding.endswith(f"; tensorflow on {A10G}, the same on 2 nodes")
    other = row(gpus[0], machine("two", gpus=1, numerics={"gpu": "NVIDIA T4, driver 1"}))
    assert (other.state, other.stops) == ("warn", False)
    assert f"machines differ: two (hardware NVIDIA T4, driver 1, not {A10G})" in other.finding
    assert row(machine("one"), machine("two", numerics={"processor": "arm64 Apple M2"})).state == "warn"
