"""The sweep file as a document."""

from pathlib import Path
from typing import Any

import pytest

from experiments.settings import InputError
from orchestrator.spec import yaml_document

CORE_SCHEMA: list[tuple[str, Any]] = [
    *((text, None) for text in ("", "~", "null", "Null", "NULL")),
    *((text, True) for text in ("true", "True", "TRUE")),
    *((text, False) for text in ("false", "False", "FALSE")),
    *((text, int(text)) for text in ("0", "-0", "+12", "010", "08", "00", "-19")),
    ("0o10", 8),
    ("0x1F", 31),
    *((text, float(text)) for text in ("0.", "-0.0", ".5", "+12e03", "-2E+05", "1e-4", "1.0e-7", ".5e3", "1.e5")),
    *((text, float("inf")) for text in (".inf", "+.Inf", ".INF")),
    ("-.inf", float("-inf")),
    *(
        (text, text)
        for text in (
            "no", "on", "yes", "y", "Off", "nUll", "tRue", "1:30", "1:30:20", "2026-01-01", "1_000", "0b11",
            "-0o10", "0o8", "-0x1", ".", "-.", "._", "-_", "e5", "1e", "+", "inf", "nan", "=", "<<", "1 000",
        )
    ),
]  # fmt: skip
"""What YAML 1.2.2 gives in section 10.3.2, and what other readers of YAML take for numbers, switches and dates."""


@pytest.mark.parametrize(("text", "value"), CORE_SCHEMA)
def test_plain_scalars_are_read_by_the_core_schema(text: str, value: Any) -> None:
    assert repr(yaml_document.parse(f"[{text}, '{text}', x]" if text else "[~, '', x]", "x")) == repr(
        [value, text, "x"]
    )


def test_not_a_number_is_read() -> None:
    assert [repr(yaml_document.parse(text, "x")) for text in (".nan", ".NaN", ".NAN")] == ["nan"] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: key 'a' stands twice"),
        ("outer:\n  x: 1\n  x: 2\n", "line 3: key 'x' stands twice"),
        ("a: [1, 2\nb: 3\n", "not valid YAML"),
        ("{[1]: 2}", "plain key"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_a_bad_document_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        yaml_document.parse(text, "sweep.yaml")


def test_a_file_that_is_no_sweep_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: no such sweep file"):
        yaml_document.read(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(InputError, match="expected a mapping of settings, got list"):
        yaml_document.read(tmp_path / "list.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="binary"):
        yaml_document.read(tmp_path / "binary.yaml")


def test_an_override_wins_over_recipes_and_grid() -> None:
    given = {
        "epochs": 36,
        "recipes": [{"optimizer": "sgd", "epochs": 10, "model": {"width": 1.0}}, {"optimizer": "adam"}],
        "grid": {"batch_size": [16, 64]},
    }
    after = yaml_document.override(given, {"epochs": 3, "model.width": 0.25, "batch_size": 8})
    assert after == {
        "epochs": 3,
        "model": {"width": 0.25},
        "batch_size": 8,
        "recipes": [{"optimizer": "sgd"}, {"optimizer": "adam"}],
        "grid": {},
    }
    assert given["recipes"][0]["epochs"] == 10  # type: ignore[index]


@pytest.mark.parametrize("text", ["epochs", "=3", " =1"])
def test_an_override_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected key=value"):
        yaml_document.parse_override(text)


def test_an_override_below_a_plain_value_is_refused() -> None:
    with pytest.raises(InputError, match="epochs is no mapping"):
        yaml_document.put({"epochs": 3}, "epochs.more", 1)


@pytest.mark.parametrize(
    ("grid", "overrides", "after"),
    [
        (
            {"model": [{"width": 0.25}, {"width": 0.5, "head": "classic"}]},
            {"model.width": 1},
            {"model": {"width": 1}, "grid": {"model": [{"width": 1}, {"width": 1, "head": "classic"}]}},
        ),
        ({"model": [{"width": 0.25}, {"width": 0.5}]}, {"model.width": 1}, {"model": {"width": 1}, "grid": {}}),
        (
            {"model": {"width": [0.25, 0.5]}},
            {"model": {"head": "classic"}},
            {"model": {"head": "classic"}, "grid": {}},
        ),
        ({"model.width": [0.25]}, {"model": {"head": "classic"}}, {"model": {"head": "classic"}, "grid": {}}),
        (
            {"model": {"width": [0.25], "head": ["average"]}},
            {"model.width": 1},
            {"grid": {"model": {"head": ["average"]}}},
        ),
        ({"model.width": [0.25, 0.5]}, {"grid.model.width": [1, 2]}, {"grid": {"model.width": [1, 2]}}),
        (
            {"early_stopping": [None, {"patience": 3}]},
            {"early_stopping.monitor": "loss"},
            {"grid": {"early_stopping": [{"monitor": "loss"}, {"patience": 3, "monitor": "loss"}]}},
        ),
    ],
)
def test_an_override_wins_over_any_axis_that_has_its_setting(
    grid: dict[str, Any], overrides: dict[str, Any], after: dict[str, Any]
) -> None:
    result = yaml_document.override({"epochs": 1, "grid": grid}, overrides)
    assert {key: result[key] for key in after} == after


@pytest.mark.parametrize(
    ("recipe", "after"),
    [
        ({"early_stopping": None}, {"early_stopping": {"patience": 3}}),
        ({"early_stopping": {}}, {"early_stopping": {"patience": 3}}),
        ({"early_stopping": {"patience": 5, "monitor": "loss"}}, {"early_stopping": {"monitor": "loss"}}),
        ({"early_stopping.patience": 5}, {}),
        ({"early_stopping": 5}, {"early_stopping": 5}),
    ],
)
def test_an_override_wins_over_a_recipe_that_has_its_setting(
    recipe: dict[str, Any], after: dict[str, Any]
) -> None:
    """What is wrong in the recipe stays there, to be refused."""
    result = yaml_document.override({"recipes": [recipe]}, {"early_stopping.patience": 3})
    assert result == {"early_stopping": {"patience": 3}, "recipes": [after]}


def test_labels_may_have_dots() -> None:
    given = {"optimizers": {"v1": {"class": "SGD"}, "v1.0": {"class": "SGD"}}}
    assert yaml_document.put(given, "optimizers.v1.0.momentum", 0.9)["optimizers"] == {
        "v1": {"class": "SGD"},
        "v1.0": {"class": "SGD", "momentum": 0.9},
    }
    given["grid"] = {"optimizers.v1.0.momentum": [0, 0.9], "optimizers": {"v1": {"momentum": [0.5]}}}
    after = yaml_document.override(given, {"optimizers.v1.0.momentum": 0.7})
    assert after["grid"] == {"optimizers": {"v1": {"momentum": [0.5]}}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: {<<: {}, b: 1}", {"a": {"b": 1}}),
        ("a: {'<<': {c: 1}, b: 1}", {"a": {"<<": {"c": 1}, "b": 1}}),
        ("a: [<<]", {"a": ["<<"]}),
        ("a: &n sgd\n*n : 1", {"a": "sgd", "sgd": 1}),
    ],
)
def test_a_merge_is_a_plain_key(text: str, value: Any) -> None:
    assert yaml_document.parse(text, "x") == value


def test_merge_keys_are_followed() -> None:
    text = """
    one: &one {a: 1, b: 2}
    two: &two {<<: *one, b: 3}
    three: {<<: [*two, {c: 4, a: 5}], d: 6}
    """
    assert yaml_document.parse(text, "x")["three"] == {"a": 1, "b": 3, "c": 4, "d": 6}
