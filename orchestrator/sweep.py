"""The sweep file: its schema, its defaults and every check that needs no data.

A sweep names optimizers and schedules; `grid.trials` crosses them (or takes the pairs under `recipes:`) into
trials. `Settings` is everything that one such pair trains with once overrides and grid axes are applied.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from experiments import datasets, optimizers, range_test, rules, schedules, vgg
from experiments.checks import InputError, converted, unknown
from experiments.range_test import RangeTest
from orchestrator import store
from orchestrator.document import Document, dotted, override, put, read

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
CHECKPOINT_POLICIES = ("needed", "all")
DEFAULT_TRAINER = "experiments.trainer:Trainer"
SETTINGS = {
    "data", "model", "batch_size", "epochs", "early_stopping", "reduce_on_plateau", "monitor", "precision",
    "deterministic", "resources",
}  # fmt: skip
"""The keys that a recipe or a grid axis may set for itself."""
KEYS = SETTINGS | {
    "name", "seeds", "optimizers", "schedules", "recipes", "grid", "retries", "results", "trainer", "checkpoints",
    "save_best", "range_test",
}  # fmt: skip
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class Resources:
    """What one trial occupies: CPU cores (each one thread) and GPUs (a fraction shares one)."""

    cpus_per_trial: int = 1
    gpus_per_trial: float = 0.0


@dataclass(frozen=True)
class Settings:
    """Everything that one optimizer and schedule train with, but for those two and the seed."""

    data: datasets.Data
    model: vgg.Model
    batch_size: int | Literal["full"]
    epochs: int
    early_stopping: rules.EarlyStopping | None
    reduce_on_plateau: rules.Plateau | None
    monitor: str
    precision: str
    deterministic: bool
    resources: Resources


@dataclass(frozen=True)
class Pair:
    """One optimizer with one schedule, by label, and what this pair alone sets differently (dotted keys)."""

    optimizer: str
    schedule: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Sweep:
    """A checked sweep file. `document` is its text as data, with defaults left out and overrides put in."""

    name: str
    seeds: tuple[int, ...]
    optimizers: Mapping[str, optimizers.Optimizer]
    schedules: Mapping[str, schedules.Schedule]
    pairs: tuple[Pair, ...]
    axes: Mapping[str, tuple[Any, ...]]
    trainer: str
    retries: int
    results: str
    checkpoints: str
    save_best: bool
    range_test: RangeTest
    document: Document

    def with_settings(self, changes: Mapping[str, Any]) -> "Sweep":
        """The same sweep with dotted settings changed: what a pair's overrides or one point of the grid mean."""
        document = self.document
        for key, value in changes.items():
            document = put(document, key, value)
        return _checked(document, axes={}) if changes else self

    @cached_property
    def settings(self) -> Settings:
        """The settings that hold for every pair that does not override them. Raises InputError."""
        return _settings(self.document)


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> Sweep:
    """The sweep file at `path`, with the command line's dotted `overrides`. Raises InputError naming the key."""
    document = read(path)
    document.setdefault("name", path.stem)
    try:
        return from_document(override(document, overrides or {}))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def from_document(document: Document) -> Sweep:
    """A checked sweep from its document. Raises InputError naming the key."""
    return _checked(document, axes=_axes(document.get("grid")))


def _checked(document: Document, axes: Mapping[str, tuple[Any, ...]]) -> Sweep:
    for key in document:
        if key not in KEYS:
            raise unknown(str(key), "setting", key, KEYS)
    known_optimizers = {
        label: optimizers.check(f"optimizers.{label}", given)
        for label, given in _labelled("optimizers", document.get("optimizers"), needed=True)
    }
    known_schedules = {
        label: schedules.check(f"schedules.{label}", label, given)
        for label, given in _labelled("schedules", document.get("schedules"), needed="recipes" not in document)
    }
    pairs, inline = _pairs(document, known_optimizers, known_schedules)
    sweep = Sweep(
        name=_name(document.get("name", "sweep")),
        seeds=_seeds(document.get("seeds", [0])),
        optimizers=known_optimizers,
        schedules={**known_schedules, **inline},
        pairs=pairs,
        axes=axes,
        trainer=converted("trainer", document.get("trainer", DEFAULT_TRAINER), str),
        retries=_at_least("retries", document.get("retries", 2), 0),
        results=converted("results", document.get("results", "results"), str),
        checkpoints=_one_of("checkpoints", document.get("checkpoints", "needed"), CHECKPOINT_POLICIES),
        save_best=converted("save_best", document.get("save_best", True), bool),
        range_test=range_test.check("range_test", _mapping("range_test", document.get("range_test", {}))),
        document=document,
    )
    _ = sweep.settings
    return sweep


def _settings(document: Document) -> Settings:
    early, plateau = document.get("early_stopping"), document.get("reduce_on_plateau")
    data = datasets.check("data", _mapping("data", document.get("data")))
    model = vgg.check("model", {"name": "vgg16", **_mapping("model", document.get("model", {}))})
    vgg.require("data.image_size", model, data.image_size)
    return Settings(
        data=data,
        model=model,
        batch_size=_batch_size(document.get("batch_size", 16)),
        epochs=_at_least("epochs", _needed("epochs", document), 1),
        early_stopping=None
        if early is None
        else rules.check_early_stopping("early_stopping", _mapping("early_stopping", early)),
        reduce_on_plateau=None
        if plateau is None
        else rules.check_plateau("reduce_on_plateau", _mapping("reduce_on_plateau", plateau)),
        monitor=_one_of("monitor", document.get("monitor", "val_accuracy"), rules.METRICS),
        precision=_one_of("precision", document.get("precision", "float32"), PRECISIONS),
        deterministic=converted("deterministic", document.get("deterministic", True), bool),
        resources=_resources(_mapping("resources", document.get("resources", {}))),
    )


def _pairs(
    document: Document,
    known_optimizers: Mapping[str, optimizers.Optimizer],
    known_schedules: Mapping[str, schedules.Schedule],
) -> tuple[tuple[Pair, ...], dict[str, schedules.Schedule]]:
    if "recipes" not in document:
        return tuple(Pair(o, s) for o in known_optimizers for s in known_schedules), {}
    recipes = document["recipes"]
    if not isinstance(recipes, list) or not recipes:
        raise InputError("recipes: expected a list of at least one {optimizer, schedule}, got an empty grid")
    pairs = []
    inline: dict[str, schedules.Schedule] = {}
    for number, given in enumerate(recipes):
        where = f"recipes.{number}"
        recipe = dict(_mapping(where, given))
        optimizer = converted(f"{where}.optimizer", recipe.pop("optimizer", None), str)
        if optimizer not in known_optimizers:
            raise unknown(f"{where}.optimizer", "optimizer", optimizer, known_optimizers)
        schedule = recipe.pop("schedule", None)
        if isinstance(schedule, dict) and isinstance(schedule.get("name"), str):
            label = schedule["name"]
            checked = schedules.check(f"{where}.schedule", label, schedule)
            if {**known_schedules, **inline}.get(label, checked) != checked:
                raise InputError(
                    f"{where}.schedule: {label!r} already stands for other settings; "
                    f"give each a label under `schedules:` and name it here"
                )
            inline[label] = checked
        elif isinstance(schedule, str) and schedule in known_schedules:
            label = schedule
        elif isinstance(schedule, str):
            raise unknown(f"{where}.schedule", "schedule", schedule, {*known_schedules, *schedules.SHAPES})
        else:
            raise InputError(f"{where}.schedule: expected a label or a mapping with its name, got {schedule!r}")
        published = _mapping(f"{where}.published", recipe.pop("published", {}))
        for metric in published:
            if metric not in rules.METRICS:
                raise unknown(f"{where}.published.{metric}", "metric", metric, rules.METRICS)
        overrides = dotted(recipe)
        _settable(where, overrides)
        pairs.append(
            Pair(
                optimizer,
                label,
                overrides,
                {m: converted(f"{where}.published.{m}", v, float) for m, v in published.items()},
            )
        )
    return tuple(pairs), inline


def _axes(grid: Any) -> dict[str, tuple[Any, ...]]:
    axes = {}
    for key, values in dotted(_mapping("grid", grid if grid is not None else {})).items():
        where = f"grid.{key}"
        _settable("grid", {key: values}, also=("optimizers", "schedules"))
        if not isinstance(values, list) or not values:
            raise InputError(f"{where}: expected a list of at least one value, got {values!r}")
        if len({repr(v) for v in values}) < len(values):
            raise InputError(f"{where}: a value stands twice in {values!r}; keep one of them")
        axes[key] = tuple(values)
    return axes


def _settable(where: str, overrides: Mapping[str, Any], also: Sequence[str] = ()) -> None:
    for key in overrides:
        first = key.partition(".")[0]
        if first not in SETTINGS and first not in also:
            raise unknown(f"{where}.{first}", "setting", first, {*SETTINGS, *also})


def _mapping(where: str, value: Any) -> dict[str, Any]:
    if value is None:
        raise InputError(f"{where}: expected a mapping of settings, got nothing")
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a mapping of settings, got {value!r}")
    return value


def _labelled(where: str, value: Any, needed: bool) -> list[tuple[str, dict[str, Any]]]:
    if not value:
        if needed:
            raise InputError(f"{where}: expected at least one, got none: the grid is empty")
        return []
    return [
        (_label(f"{where}.{label}", label), _mapping(f"{where}.{label}", given if given is not None else {}))
        for label, given in _mapping(where, value).items()
    ]


def _label(where: str, value: Any) -> str:
    if not isinstance(value, str) or not _LABEL.fullmatch(value):
        raise InputError(f"{where}: expected a label of letters, digits and . _ + -, got {value!r}")
    return value


def _name(value: Any) -> str:
    name = _label("name", value)
    if store.is_taken(name):
        raise InputError(f"name: {name!r} is taken by a file or folder of every store; choose another")
    if len(name) > store.LONGEST_NAME:
        raise InputError(f"name: expected at most {store.LONGEST_NAME} characters, got {len(name)}: {name!r}")
    return name


def _needed(key: str, document: Document) -> Any:
    if document.get(key) is None:
        raise InputError(f"{key}: expected a value, got none; add it to the sweep file")
    return document[key]


def _at_least(where: str, value: Any, least: int) -> int:
    number: int = converted(where, value, int)
    if number < least:
        raise InputError(f"{where}: expected at least {least}, got {number}")
    return number


def _one_of(where: str, value: Any, known: Sequence[str]) -> str:
    if value not in known:
        raise unknown(where, "value", value, known)
    return str(value)


def _batch_size(value: Any) -> int | Literal["full"]:
    if value == "full":
        return "full"
    if not isinstance(value, int):
        raise InputError(f"batch_size: expected a number of images or 'full', got {value!r}")
    return _at_least("batch_size", value, 1)


def _seeds(value: Any) -> tuple[int, ...]:
    seeds = [_at_least("seeds", seed, 0) for seed in (value if isinstance(value, list) else [value])]
    if not seeds:
        raise InputError("seeds: expected at least one, got none: the grid is empty")
    if len(set(seeds)) < len(seeds):
        raise InputError(f"seeds: a seed stands twice in {seeds}; keep one of them")
    return tuple(seeds)


def _resources(given: Mapping[str, Any]) -> Resources:
    kinds: dict[str, Callable[[Any], Any]] = {
        "cpus_per_trial": lambda v: _at_least("resources.cpus_per_trial", v, 1),
        "gpus_per_trial": lambda v: converted("resources.gpus_per_trial", v, float),
    }
    for key in given:
        if key not in kinds:
            raise unknown(f"resources.{key}", "setting", key, kinds)
    resources = Resources(**{key: kinds[key](value) for key, value in given.items()})
    gpus = resources.gpus_per_trial
    if gpus < 0 or (gpus > 1 and gpus != int(gpus)):
        raise InputError(f"resources.gpus_per_trial: expected 0, a fraction of 1 or a whole number, got {gpus}")
    return resources
