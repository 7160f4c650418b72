"""The command line as a person meets it: what it prints, and how it leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import ROOT, command
from tests.support.sweeps import photos, written

LIGHT = ("tensorflow", "keras", "ray", "jax")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small sweep file."""
    return written(tmp_path)


def test_plan_says_what_would_run_and_writes_nothing(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = command("plan", file, "--results", tmp_path / "r", capture=capsys)
    assert (code, err) == (0, "")
    assert "8 trials, 32 epochs" in out
    assert "epochs: 32 = 0 known + 0 shared + 32 new" in out
    assert not (tmp_path / "r").exists()


def test_plan_json_has_the_stable_keys(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = command("plan", file, "--json", "-S", "epochs=2", "--results", tmp_path / "r", capture=capsys)
    plan = json.loads(out)
    assert plan["sweep"] == "small"
    assert plan["epochs"] == {"total": 16, "known": 0, "shared": 0, "new": 16, "again": 0}
    first = plan["trials"][0]
    assert {k: first[k] for k in ("id", "optimizer", "schedule", "seed", "epochs")} == {
        "id": "sgd-constant-s0",
        "optimizer": "sgd",
        "schedule": "constant",
        "seed": 0,
        "epochs": 2,
    }
    assert first["learning_rate"] == pytest.approx([0.01, 0.01])


@pytest.mark.usefixtures("ray_session")
def test_run_status_report_and_clean_tell_one_story(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = ("--results", tmp_path / "r")
    code, out, err = command("run", file, *results, "--json", capture=capsys)
    run = json.loads(out)
    assert code == 0
    assert run["trials"] == {"total": 8, "completed": 8, "diverged": 0, "failed": 0}
    assert run["epochs"] == {"total": 32, "trained": 32, "reused": 0}
    assert len([line for line in err.splitlines() if " epoch " in line]) == 32

    code, out, _ = command("status", file, *results, "--json", capture=capsys)
    status = json.loads(out)
    assert (status["trials"]["completed"], status["trials"]["waiting"]) == (8, 0)
    assert status["epochs"] == {"total": 32, "done": 32}
    assert status["best"]["trial"] == "sgd-constant-s0"
    assert status["seconds_left"] is None

    code, out, _ = command("report", file, *results, "--json", capture=capsys)
    report = json.loads(out)
    assert len(report["recipes"]) == 4
    assert {r["n"] for r in report["recipes"]} == {2}

    code, out, _ = command("report", file, *results, capture=capsys)
    assert code == 0
    assert "adam" in out

    code, out, _ = command("clean", file, *results, "--json", capture=capsys)
    assert json.loads(out)["checkpoints"] == 0

    code, out, err = command("run", file, *results, "--json", capture=capsys)
    assert json.loads(out)["epochs"] == {"total": 32, "trained": 0, "reused": 32}

    code, out, _ = command("report", file, *results, "-S", "batch_size=32", capture=capsys)
    assert code == 0
    assert "32 epochs on record are of other settings" in " ".join(out.split())


@pytest.mark.usefixtures("ray_session")
def test_failed_trials_leave_with_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, trainer="tests.support.fakes:FailingTrainer", retries=0)
    code, out, err = command("run", file, "--results", tmp_path / "r", "--json", capture=capsys)
    assert code == 1
    assert json.loads(out)["trials"]["failed"] == 4
    assert "sgd-constant-s1: failed: RuntimeError: the weights caught fire" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "{tmp}/none.yaml"], "none.yaml: no such sweep file"),
        (["run", "{file}", "-S", "epoch=3"], "did you mean 'epochs'?"),
        (["run", "{file}", "-S", "epochs"], "expected key=value"),
        (["run", "{file}", "-S", "epochs=[1"], "not valid YAML"),
        (["run", "{file}", "-S", "optimizers.sgd.class=SDG"], "did you mean 'SGD'?"),
        (["run", "{file}", "-S", "schedules.cosine.name=cosin"], "did you mean 'cosine'?"),
        (["run", "{file}", "-S", "schedules.cosine.warmup={epochs: 9}"], "schedules.cosine"),
        (["run", "{file}", "-S", "optimizers={}"], "the grid is empty"),
        (["run", "{file}", "-S", "resources.cpus_per_trial=4000"], "a trial asks for 4000 CPU"),
        (["run", "{file}", "-S", "resources.gpus_per_trial=1000"], "a trial asks for 1000 GPU"),
        (["run", "{file}", "-S", "data={name: images, path: {tmp}/nowhere}"], "nowhere"),
        (["run", "{file}", "-S", "data={name: images, path: {tmp}/empty}"], "no images"),
        (["run", "{file}", "-S", "data={name: images, path: {tmp}/one, image_size: 32}"], "one class"),
        (["run", "{file}", "-S", "data={name: images, path: {tmp}/few, image_size: 32}"], "dog"),
        (["run", "{file}", "-S", "data={name: images, path: {tmp}/broken, image_size: 32}"], "cat.3.jpg"),
        (["run", "{file}", "-S", "trainer=nobody:Home"], "nobody"),
        (
            ["run", "{file}", "-S", "optimizers.sgd.class=Ftrl", "-S", "schedules.cosine.warmup={epochs: 1}"],
            "Ftrl",
        ),
        (["run", "{file}", "--nonsense"], "No such option"),
        (["report", "{file}", "--format", "pdf"], "pdf"),
        (["report", "{file}", "--format", "png"], "--output FOLDER"),
        (["dance"], "dance"),
    ],
)
def test_bad_input_is_a_clear_error_with_exit_code_2_and_nothing_written(
    arguments: list[str], message: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    photos(tmp_path / "one", ["cat.0.jpg", "cat.1.jpg"])
    photos(tmp_path / "few", ["cat.0.jpg", "cat.1.jpg", "dog.0.jpg"])
    photos(tmp_path / "broken", [f"{kind}.{n}.jpg" for kind in ("cat", "dog") for n in range(4)])
    (tmp_path / "broken" / "cat.3.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    results = tmp_path / "results"
    filled = [a.replace("{tmp}", str(tmp_path)).replace("{file}", str(file)) for a in arguments]
    if filled[0] in ("run", "plan", "report"):
        filled += ["--results", str(results)]
    code, out, err = command(*filled, capture=capsys)
    assert code == 2
    assert message in err.replace("\n", " ")
    assert "Traceback" not in err
    assert out == ""
    assert not results.exists()


def test_an_address_with_nothing_behind_it_is_refused(file: Path, tmp_path: Path) -> None:
    arguments = ["run", str(file), "--results", str(tmp_path / "r"), "--address", "127.0.0.1:1"]
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2
    assert "--address 127.0.0.1:1: no Ray cluster answers there" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("verb", ["plan", "status", "report"])
def test_looking_starts_neither_ray_nor_keras(verb: str, file: Path, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from orchestrator.cli.main import cli\n"
        f"cli.main([{verb!r}, {str(file)!r}, '--results', {str(tmp_path / 'r')!r}], standalone_mode=False)\n"
        f"print([m for m in {LIGHT!r} if m in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=dict(os.environ),
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "[]"), done.stderr


def test_a_held_sweep_says_who_has_it(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from orchestrator.storage.store import Store

    with Store.at(str(tmp_path / "r")).lock("small"):
        code, _, err = command("run", file, "--results", tmp_path / "r", capture=capsys)
    assert code == 2
    assert f"being run by process {os.getpid()}" in err


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command("--help", capture=capsys)
    assert code == 0
    for verb in ("plan", "run", "status", "report", "clean"):
        assert f"\n  {verb} " in out


@pytest.mark.usefixtures("ray_session")
def test_a_tilde_that_no_shell_has_expanded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    photos(tmp_path / "home" / "photos", [f"{kind}.{n}.jpg" for kind in ("cat", "dog") for n in range(4)])
    monkeypatch.chdir(tmp_path)
    file = written(tmp_path, data={"name": "images", "path": "~/photos", "image_size": 32}, seeds=[0], epochs=1)
    code, out, err = command("run", file, "--results=~/r", "--json", capture=capsys)
    assert code == 0, err
    assert json.loads(out)["trials"]["completed"] == 4
    assert (tmp_path / "home" / "r" / "small").is_dir()
    assert not (tmp_path / "~").exists()
    _, out, _ = command("plan", file, "--results=~/r", "--output=~/plan.txt", capture=capsys)
    assert (tmp_path / "home" / "plan.txt").exists()


@pytest.mark.usefixtures("ray_session")
def test_a_race_is_planned_run_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    three = {
        name: {"class": "SGD", "learning_rate": rate} for name, rate in (("a", 0.01), ("b", 1e-4), ("c", 0.2))
    }
    file = written(tmp_path, optimizers=three, schedules={"constant": {}}, epochs=2)
    results = ("--results", tmp_path / "r")
    options = ("--race", "-S", "race.most=5", "--json")

    code, out, _ = command("plan", file, *results, *options, capture=capsys)
    planned = json.loads(out)
    assert code == 0
    assert len(planned["trials"]) == 9
    assert (planned["race"]["over"], planned["race"]["seeds"]) == (False, 0)
    assert planned["race"]["inside"] == ["a-constant", "b-constant", "c-constant"]
    assert (planned["race"]["epochs_at_least"], planned["race"]["epochs_at_most"]) == (18, 30)

    code, out, err = command("run", file, *results, *options, capture=capsys)
    run = json.loads(out)
    assert code == 0
    assert "leaves the race after" in err
    assert "the race is over after" in err
    assert 9 <= run["trials"]["total"] == run["trials"]["completed"] < 15

    code, out, _ = command("status", file, *results, *options, capture=capsys)
    status = json.loads(out)
    assert status["race"]["over"]
    assert status["race"]["left"]
    assert status["trials"] == {**status["trials"], "completed": run["trials"]["total"], "waiting": 0}

    code, out, _ = command("report", file, *results, *options, capture=capsys)
    rows = json.loads(out)["race"]
    assert len(rows) == 3
    assert {row["in_race"] for row in rows} == {True, False}
    code, out, _ = command("report", file, *results, *options[:-1], capture=capsys)
    assert "The race is over after" in " ".join(out.split())

    code, out, _ = command("run", file, *results, *options, capture=capsys)
    assert json.loads(out)["epochs"]["trained"] == 0
    code, out, _ = command("status", file, *results, "--json", capture=capsys)
    assert "race" not in json.loads(out)
