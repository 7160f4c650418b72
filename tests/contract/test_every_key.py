"""Every row of the sweep file's reference is what the check does: names, defaults, and limits at both edges."""

import re
from copy import deepcopy
from typing import Any

import pytest

from experiments.settings import REQUIRED, Choice, InputError, InWords, Limit, Setting
from orchestrator.console import key_reference
from orchestrator.spec import keys, reference, sweep
from orchestrator.spec.reference import Section
from tests.support.command import command

BASE: dict[str, Any] = {
    "data": {"name": "digits"},
    "epochs": 40,
    "optimizers": {"o": {"class": "SGD"}},
    "schedules": {"s": {"name": "constant"}},
    "trainer": "tests.support.fakes:VectorTrainer",
}
NEEDED: dict[str, dict[str, Any]] = {
    "schedules.exponential": {"every": 2},
    "schedules.step": {"every": 2},
    "schedules.piecewise": {"boundaries": [1], "values": [1, 0.5]},
    "schedules.sequence": {"sequence": [{"cosine": "rest"}]},
    "schedules.warmup": {"epochs": 2},
}
"""What must be given besides."""
BESIDE: dict[str, dict[str, Any]] = {
    "model.dropout": {"head": "classic"},
    "budget.epochs": {"hours": 1.0},
    "budget.hours": {"epochs": 10},
}
"""Without it the setting would change nothing, or one of two that exclude each other has to be set."""
ROWS = [(section, setting) for section in reference.sections() for setting in section.settings]
IDS = [f"{section.path}.{setting.name}".lstrip(".") for section, setting in ROWS]
every_setting = pytest.mark.parametrize(("section", "setting"), ROWS, ids=IDS)


def document(path: str, settings: dict[str, Any]) -> dict[str, Any]:
    """A sweep file with `settings` at the place that `path` of the reference means."""
    result = deepcopy(BASE)
    group, _, name = path.partition(".")
    settings = {**NEEDED.get(path, {}), **settings}
    if group == "":
        result.update(settings)
    elif group == "recipes":
        result["recipes"] = [{"optimizer": "o", "schedule": "s", **settings}]
    elif group == "optimizers":
        result["optimizers"]["o"] = {"class": name or "SGD", **settings}
    elif name in ("warmup", "momentum") and group == "schedules":
        result["schedules"]["s"] = {"name": "one-cycle", name: settings}
    elif group == "schedules":
        result["schedules"]["s"] = {"name": name or "constant", **settings}
    elif name:
        result[group][name] = settings
    else:
        result[group] = {**result.get(group, {}), **settings}
    return result


def refusal(path: str, settings: dict[str, Any]) -> str:
    """Why a sweep with these settings is refused, "" where it is not."""
    try:
        sweep.from_document(document(path, settings))
    except InputError as error:
        return str(error)
    return ""


def meaning(path: str, settings: dict[str, Any]) -> tuple[Any, ...]:
    """Everything that the sweep trains with, and does."""
    checked = sweep.from_document(document(path, settings))
    fields = {name: value for name, value in vars(checked).items() if name != "document"}
    return (fields, checked.settings)


@pytest.mark.parametrize("section", reference.sections(), ids=lambda section: section.path or "file")
def test_the_rows_are_the_settings_that_are_accepted(section: Section) -> None:
    names = {setting.name for setting in section.settings}
    assert len(names) == len(section.settings)
    assert "unknown setting 'zzz'" in refusal(section.path, {"zzz": 1})
    for name in names:
        assert "unknown setting" not in refusal(section.path, {name: object()})
    every = {setting.name for other in reference.sections() for setting in other.settings}
    inherited = {"optimizers": {"learning_rate", "momentum", "nesterov"}, "recipes": set(keys.KEYS)}
    general = {
        setting.name
        for other in reference.sections()
        if section.path.startswith(("optimizers.", "schedules.")) and other.path == section.path.partition(".")[0]
        for setting in other.settings
    }
    for name in every - names - general - inherited.get(section.path, set()):
        assert f"unknown setting {name!r}" in refusal(section.path, {name: 1}), name


@every_setting
def test_a_row_says_what_it_is(section: Section, setting: Setting) -> None:
    assert setting.meaning
    assert reference.kind_in_words(setting.kind)
    assert section.text


@every_setting
def test_the_default_is_what_nothing_means(section: Section, setting: Setting) -> None:
    beside = BESIDE.get(f"{section.path}.{setting.name}", {})
    if setting.default is REQUIRED:
        assert setting.name in {**BASE, **NEEDED.get(section.path, {}), "name": "", "class": "", "optimizer": "",
                                "schedule": ""}  # fmt: skip
    elif not isinstance(setting.default, InWords):
        if (section.path, setting.name) == ("", "trainer"):
            assert (
                sweep.from_document({k: v for k, v in BASE.items() if k != "trainer"}).trainer == setting.default
            )
        elif (section.path, setting.name) == ("", "recipes"):
            assert setting.default is None
        else:
            default = list(setting.default) if isinstance(setting.default, tuple) else setting.default
            assert meaning(section.path, {**beside, setting.name: default}) == meaning(section.path, beside)


def candidates(setting: Setting, limit: Limit) -> list[Any]:
    """Numbers at and beside every number that the limit names, and a few others."""
    named = [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", limit.expected)]
    whole = "int" in str(setting.kind)
    near = [n + d for n in named for d in ((-1, 0, 1) if whole else (-1, -1e-9, 0, 1e-9, 1))]
    return [int(n) if whole and n < 2**53 else n for n in (*near, -3, 0, 1, 2, 3) if n < 2**62]


@every_setting
def test_the_limit_is_the_one_that_is_enforced(section: Section, setting: Setting) -> None:
    limit = setting.limit
    if isinstance(limit, Choice):
        for name in limit.names:
            assert "unknown" not in refusal(section.path, {setting.name: name})
        assert "unknown" in refusal(section.path, {setting.name: "zzz"})
    elif limit is not None:
        numbers = candidates(setting, limit)
        assert {limit.holds(number) for number in numbers} == {True, False}
        for number in numbers:
            value = [number] if "tuple" in str(setting.kind) else number
            text = refusal(section.path, {setting.name: value})
            refused = f"{setting.name}: expected {limit.expected}" in text
            assert refused is not limit.holds(number), (number, text)


def test_markdown_has_every_row() -> None:
    text = key_reference.markdown(reference.sections())
    for section in reference.sections():
        heading = f"### `{section.path}`\n" if section.path else "### The sweep file\n"
        part = text.partition(heading)[2].partition("\n### ")[0]
        assert [line.split("|")[1].strip(" `") for line in part.splitlines() if line.startswith("| `")] == [
            setting.name for setting in section.settings
        ]


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert "sweep help keys" in command("help", capture=capsys)[1]
    code, out, err = command("help", "keys", "--markdown", capture=capsys)
    assert (code, out, err) == (0, key_reference.markdown(reference.sections()), "")
    code, out, err = command("help", "keys", "schedules.cosine", capture=capsys)
    assert (code, err) == (0, "")
    assert "final" in out
    assert "sgdr" not in out
    for wrong in (("kys",), ("keys", "schedules.cosin")):
        code, out, err = command("help", *wrong, capture=capsys)
        assert (code, out) == (2, "")
        assert "did you mean" in err
