"""The README files hold: examples run, commands parse, links lead somewhere, tables name what the code has."""

import importlib
import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pytest
from click.testing import CliRunner

from experiments.models import vgg
from experiments.optimizers.classes import CLASSES
from experiments.schedules import SHAPES
from orchestrator.analysis.comparison import Comparison
from orchestrator.cli.main import cli
from orchestrator.planning import plan
from orchestrator.report import formats
from orchestrator.spec import sweep, trials, yaml_document
from orchestrator.storage.store import Store
from tests.support import readmes
from tests.support.command import ROOT, command
from tests.support.readmes import PAGES, Command
from tests.support.rows import row

SHELL = {".", "source", "$EDITOR"}
"""Commands of the shell itself, which need no proof."""
COMMANDS = [each for page in PAGES for each in readmes.commands(page)]
SWEEP = [each for each in COMMANDS if each.program == "sweep" and len(each.words) > 1]
QUICK = ("plan", "status", "report", "clean")
"""Commands that train nothing."""
READS_A_STORE = readmes.blocks("orchestrator/report/README.md", "python")
MODULES = readmes.blocks("experiments/README.md", "python")
SWEEPS = [(page, block) for page in PAGES for block in readmes.blocks(page, "yaml")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def parsed(group: click.Group, words: tuple[str, ...]) -> dict[str, Any]:
    """The parameters of a command line, as its program takes them. Raises click's errors."""
    with group.make_context(words[0], list(words[1:])) as context:
        name, inner, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        assert inner is not None
        return dict(inner.make_context(name, list(rest), parent=context).params)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the sweep files and the modules of the pages, in which commands run."""
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    for module in MODULES:
        (tmp_path / module.split()[1].rstrip(",")).write_text(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_first_page_takes_two_minutes() -> None:
    assert len(readmes.text("README.md").splitlines()) <= 150


def test_there_are_examples_for_three_libraries() -> None:
    imported = {re.match(r"import (\w+)", example).group(1) for example in READS_A_STORE}  # type: ignore[union-attr]
    assert imported == {"duckdb", "pandas", "polars"}


@pytest.mark.parametrize("example", READS_A_STORE, ids=lambda text: text.split()[1])
def test_an_example_reads_the_history_of_a_store(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.at(str(tmp_path / "results"))
    for trial in ("a", "b"):
        label = f"optimizer-{trial}"
        records = [row(trial, epoch, optimizer=label, val_accuracy=0.5 + epoch / 8) for epoch in range(4)]
        store.write_history("quickstart", trial, records)
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    printed = capsys.readouterr().out
    assert "optimizer-a" in printed
    assert "optimizer-b" in printed
    assert "0.875" in printed


def test_the_trainer_of_the_page_goes_on_from_its_state(project: Path) -> None:
    made = importlib.import_module("my_trainer").Quadratic
    job = type("Job", (), {"seed": 3})
    straight, first, second = (made(threads=1, cache=project) for _ in range(3))
    straight.reset(job)
    history = [straight.epoch(n, [0.1, 0.2]) for n in range(2)]
    first.reset(job)
    assert first.epoch(0, [0.1, 0.2]) == history[0]
    second.restore(first.state())
    assert second.epoch(1, [0.1, 0.2]) == history[1]
    straight.save(project / "model")
    assert (project / "model").exists()


@pytest.mark.parametrize(("page", "block"), SWEEPS, ids=lambda text: text.splitlines()[0][:40])
def test_a_sweep_file_of_a_page_is_one_or_a_part_of_one(page: str, block: str, project: Path) -> None:
    (project / "page.yaml").write_text(block)
    part = yaml_document.read(project / "page.yaml")
    base = yaml_document.read(ROOT / "experiments/quickstart.yaml")
    if "recipes" in part:
        del base["schedules"]
    checked = sweep.from_document(part if "name" in part else {**base, **part})
    assert trials.trials(checked)
    if checked.settings.data.name == "digits":
        assert plan.make(checked, Store.at(str(project / "results"))).epochs.new


@pytest.mark.parametrize("words", COMMANDS, ids=str)
def test_a_command_of_a_page_is_one(words: Command) -> None:
    if words.program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words.words[1:]) <= set(targets)
    elif words.program == "ray":
        from ray.scripts.scripts import cli as ray

        assert parsed(ray, words.words)
    elif words.program == "sweep":
        if len(words.words) > 1:
            assert parsed(cli, words.words)["file"]
        else:
            assert words.variables
    elif words.program == "cp":
        assert (ROOT / words.words[1]).exists()
    else:
        assert words.program in SHELL


@pytest.mark.parametrize("words", SWEEP, ids=str)
def test_the_overrides_of_a_command_fit_its_file(words: Command) -> None:
    parameters = parsed(cli, words.words)
    assert trials.trials(
        sweep.load(ROOT / parameters["file"], yaml_document.parse_overrides(parameters["overrides"]))
    )


@pytest.mark.parametrize(
    "words", [w for w in SWEEP if w.words[1] in QUICK and "--results" not in w.words], ids=str
)
def test_a_command_that_trains_nothing_runs(
    words: Command, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = command(*words.words[1:], capture=capsys)
    assert code == 0, err
    output = parsed(cli, words.words).get("output")
    assert out if output is None else Path(output).exists()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in readmes.links(page):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in readmes.anchors(str(target.relative_to(ROOT))), link


def test_every_page_can_be_reached_from_the_first() -> None:
    reached = {link.partition("#")[0] for link in readmes.links("README.md")}
    assert set(PAGES[1:]) <= reached


@pytest.mark.parametrize("page", PAGES)
def test_a_table_names_no_file_that_is_not_there(page: str) -> None:
    named = [
        name for cells in readmes.rows(readmes.prose(page)) for cell in cells for name in readmes.quoted(cell)
    ]
    files = [
        name
        for name in {*named} - {"ruamel.yaml"}
        if re.fullmatch(r"\w[\w.-]*(/[\w.-]+)+/?|[\w-]+\.(py|yaml|sh|toml)", name)
    ]
    missing = [name for name in files if readmes.place(page, name) is None and not _in_a_linked_file(page, name)]
    assert missing == []


def _in_a_linked_file(page: str, name: str) -> bool:
    """Whether a name without a folder is that of a file in the packages; the row has a link to its folder."""
    folders = ("orchestrator", "experiments", "tests")
    return "/" not in name and any(any((ROOT / folder).rglob(name)) for folder in folders)


def test_how_to_add_names_what_is_in_the_code() -> None:
    code = "\n".join(
        path.read_text()
        for folder in ("orchestrator", "experiments", "tests")
        for path in (ROOT / folder).rglob("*.py")
    )
    words = {
        name
        for quoted in readmes.quoted(readmes.section("orchestrator/README.md", "How to add"))
        for name in re.findall(r"^[A-Za-z_]+$", quoted)
    }
    assert len(words) > 20
    assert {name for name in words if not re.search(rf"\b{name}\b", code)} == set()


def test_the_map_has_every_package_in_the_order_of_imports() -> None:
    (layers,) = (
        c["layers"]
        for c in PROJECT["tool"]["importlinter"]["contracts"]
        if c.get("containers") == ["orchestrator"]
    )
    named = [
        readmes.quoted(cells[0])[0] for cells in readmes.rows(readmes.section("orchestrator/README.md", "The map"))
    ]
    assert named == [*(f"{layer}/" for layer in layers), "experiments/"]


def test_every_dependency_has_its_reason() -> None:
    declared = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["jax"]
    table = readmes.rows(readmes.section("orchestrator/README.md", "Dependencies"))
    named = [name for cells in table for name in readmes.quoted(cells[0])]
    assert sorted(named) == sorted(re.split(r"[<>=]", requirement)[0] for requirement in declared)


def test_every_command_is_in_the_table_of_commands() -> None:
    table = readmes.rows(readmes.section("orchestrator/README.md", "The command line"))
    named = {name.split()[1] for cells in table for name in readmes.quoted(cells[0])}
    assert named == set(cli.commands)


def first_cells(page: str, heading: str) -> list[str]:
    """What stands in backticks in the first column of the tables below a heading."""
    return [name for cells in readmes.rows(readmes.section(page, heading)) for name in readmes.quoted(cells[0])]


def test_the_pages_have_every_row_of_the_code() -> None:
    page = "experiments/README.md"
    assert set(first_cells(page, "Optimizers")) == set(CLASSES)
    assert set(first_cells(page, "Schedules")) == set(SHAPES)
    assert set(vgg.CONFIGURATIONS) <= set(readmes.quoted(readmes.section(page, "Models")))
    report = "orchestrator/report/README.md"
    assert set(first_cells(report, "The formats")) == set(formats.FORMATS)
    assert set(first_cells(report, "The tables")) == {f.name for f in fields(Comparison) if f.type is pa.Table}


def test_the_keys_are_those_that_the_command_prints() -> None:
    """Written anew by `sweep help keys --markdown`, between the marks."""
    printed = CliRunner().invoke(cli, ["help", "keys", "--markdown"]).output
    page = readmes.text("experiments/README.md")
    between = page.partition("<!-- keys: begin -->")[2].partition("<!-- keys: end -->")[0]
    assert between.strip() == printed.strip()
