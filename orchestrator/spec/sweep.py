"""The sweep file: its schema, its defaults and every check that needs no data.

A sweep names optimizers and schedules; `grid.trials` crosses them (or takes the pairs under `recipes:`) into
trials. `Settings` is everything that one such pair trains with once overrides and grid axes are applied. Whatever
is set changes some trial, or is refused.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from experiments import callbacks, datasets, object_store, optimizers, schedules, user_modules
from experiments import lr_range_test as range_test
from experiments.lr_range_test import RangeTest
from experiments.models import vgg
from experiments.settings import InputError, Limit, checked, converted, mapping, one_line, unknown, whole
from orchestrator.spec import budget as budgets
from orchestrator.spec import race as races
from orchestrator.spec.budget import Budget
from orchestrator.spec.keys import KEYS, checkpoints_of, lengths_of, require, value_of
from orchestrator.spec.pairs import Pair, pairs, require_settable, with_labels
from orchestrator.spec.race import Race
from orchestrator.spec.yaml_document import Document, dotted, override, put, read, resolve

DEFAULT_TRAINER: str = KEYS["trainer"].default
LABELLED = {"optimizers": "optimizer", "schedules": "schedule"}
"""The keys whose mappings have labels, and what one of those stands for."""
# A ten-thousandth is the smallest part of a GPU that Ray knows.
GPUS = Limit(
    "0, a fraction of 1 from 0.0001, or a whole number up to 10,000",
    lambda number: number == 0 or 1e-4 <= number <= 1 or (number == number // 1 and 1 < number <= 10_000),
)
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")
_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one trial occupies: CPU cores (each one thread) and GPUs (a fraction shares one).

    `hardware` is what it is computed on, in the words of `sweep doctor`.
    """

    cpus_per_trial: Annotated[int, whole(1, 10_000), "CPU cores, one thread each"] = 1
    gpus_per_trial: Annotated[float, GPUS, "GPUs; a fraction shares one"] = 0.0
    hardware: Annotated[
        str | None, "what it is computed on, as `sweep doctor` says it; any is all, null is what this machine has"
    ] = None


@dataclass(frozen=True)
class Settings:
    """Everything that one optimizer and schedule train with, but for those two and the seed."""

    data: datasets.Data
    model: vgg.Model
    batch_size: int | Literal["full"]
    epochs: int
    early_stopping: callbacks.EarlyStopping | None
    reduce_on_plateau: callbacks.Plateau | None
    monitor: str
    precision: str
    deterministic: bool
    resources: Resources


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
    equivalence: float | None
    race: Race | None
    budget: Budget | None
    results: str
    checkpoints: str
    save_best: bool
    range_test: RangeTest
    document: Document

    @property
    def margin(self) -> float | None:
        """The difference of the monitored metric that does not matter; None where none was set."""
        own = self.race.equivalence if self.race else None
        return self.equivalence if own is None else own

    def with_settings(self, changes: Mapping[str, Any]) -> "Sweep":
        """The same sweep with dotted settings changed: what a pair's overrides or one point of the grid mean."""
        document = self.document
        for key, value in changes.items():
            document = put(document, key, value)
        return _checked(document, axes={}) if changes else self

    @cached_property
    def settings(self) -> Settings:
        """The settings that hold for every pair that does not override them. Raises InputError.

        Where the sweep has several training lengths, `epochs` is the greatest.
        """
        lengths = self.axes.get("epochs", ()) if lengths_of(self.document) else ()
        return _settings({**self.document, "epochs": max(lengths)} if lengths else self.document)


def load(path: Path, overrides: Mapping[str, Any] = MappingProxyType({}), race: bool = False) -> Sweep:
    """The sweep file at `path`, with the command line's dotted `overrides`. Raises InputError naming the key.

    With `race` it is a race, with the settings of the file if it has any.
    """
    document = read(path)
    try:
        if "name" not in document and not _LABEL.fullmatch(path.stem):
            raise InputError(
                f"name: the file's own, {path.stem!r}, is no name for a folder of results; add `name:`"
            )
        if race and document.get("race") is None:
            document = {**document, "race": {}}
        return from_document({"name": path.stem, **document}, overrides)
    except InputError as error:
        raise InputError(one_line(f"{path}: {error}")) from None


def from_document(document: Document, overrides: Mapping[str, Any] = MappingProxyType({})) -> Sweep:
    """A checked sweep from its document, with dotted `overrides`. Raises InputError naming the key."""
    labels = {group: document.get(group) or {} for group in LABELLED}
    document = with_labels(document)
    for key, value in overrides.items():
        document = with_labels(override(document, {key: value}))
        _refuse_unknown_optimizer(document, key, labels["optimizers"])
    document = _with_one_length(document)
    sweep = _checked(document, axes={**_lengths(document), **_axes(document)})
    _refuse_idle(sweep, overrides)
    return sweep


def _checked(document: Document, axes: Mapping[str, tuple[Any, ...]]) -> Sweep:
    for key in document:
        if key not in KEYS:
            raise unknown(str(key), "setting", key, KEYS)
    known_optimizers = {
        label: optimizers.check(f"optimizers.{label}", values)
        for label, values in _labelled("optimizers", document.get("optimizers"), needed=True)
    }
    known_schedules = {
        label: schedules.check(f"schedules.{label}", label, values)
        for label, values in _labelled("schedules", document.get("schedules"), needed="recipes" not in document)
    }
    race, seeds = _race(document)
    sweep = Sweep(
        name=_name(document.get("name", "sweep")),
        seeds=seeds,
        optimizers=known_optimizers,
        schedules=known_schedules,
        pairs=pairs(document, known_optimizers, known_schedules),
        axes=axes,
        trainer=_trainer(value_of(document, "trainer")),
        retries=_whole("retries", value_of(document, "retries")),
        equivalence=_equivalence(value_of(document, "equivalence")),
        race=race,
        budget=_budget(value_of(document, "budget")),
        results=_results(value_of(document, "results")),
        checkpoints=_one_of("checkpoints", checkpoints_of(document)),
        save_best=KEYS["save_best"].checked("save_best", value_of(document, "save_best")),
        range_test=range_test.check("range_test", mapping("range_test", value_of(document, "range_test"))),
        document=document,
    )
    _ = sweep.settings
    return sweep


def _settings(document: Document) -> Settings:
    early, plateau = document.get("early_stopping"), document.get("reduce_on_plateau")
    data = datasets.check("data", mapping("data", document.get("data")))
    model = vgg.check("model", mapping("model", value_of(document, "model")))
    vgg.require("data.image_size", model, data.image_size)
    return Settings(
        data=data,
        model=model,
        batch_size=_batch_size(value_of(document, "batch_size")),
        epochs=_whole("epochs", _needed("epochs", document)),
        early_stopping=None
        if early is None
        else callbacks.check_early_stopping("early_stopping", mapping("early_stopping", early)),
        reduce_on_plateau=None
        if plateau is None
        else callbacks.check_plateau("reduce_on_plateau", mapping("reduce_on_plateau", plateau)),
        monitor=_one_of("monitor", value_of(document, "monitor")),
        precision=_one_of("precision", value_of(document, "precision")),
        deterministic=KEYS["deterministic"].checked("deterministic", value_of(document, "deterministic")),
        resources=_resources(mapping("resources", value_of(document, "resources"))),
    )


def _with_one_length(document: Document) -> Document:
    """`document`, a list of one training length as that number."""
    epochs = document.get("epochs")
    if isinstance(epochs, list) and len(epochs) == 1 and not isinstance(epochs[0], list):
        return {**document, "epochs": epochs[0]}
    return document


def _lengths(document: Document) -> dict[str, tuple[Any, ...]]:
    """The axis of the training lengths, as a mapping without keys where `epochs` is no list."""
    epochs = document.get("epochs")
    if not isinstance(epochs, list):
        return {}
    lengths = tuple(_whole("epochs", length) for length in epochs)
    if not lengths:
        raise InputError("epochs: expected at least one number of epochs, got an empty list")
    if len(set(lengths)) < len(lengths):
        repeated = next(length for length in lengths if lengths.count(length) > 1)
        raise InputError(f"epochs: a length stands twice, {repeated}; keep one of them")
    if "epochs" in mapping("grid", document.get("grid") or {}):
        raise InputError("grid.epochs: contradicts the list under `epochs`; keep one of them")
    return {"epochs": lengths}


def _axes(document: Document) -> dict[str, tuple[Any, ...]]:
    grid = document.get("grid")
    axes = {}
    for key, values in dotted(mapping("grid", {} if grid is None else grid), "grid").items():
        key_path = f"grid.{key}"
        group, *inner = resolve(document, key)
        if group not in LABELLED:
            require_settable("grid", [key], also=tuple(LABELLED))
        elif not inner:
            raise InputError(
                f"{key_path}: expected {group}.LABEL or {group}.LABEL.SETTING as an axis, got {values!r}"
            )
        else:
            labels = mapping(group, document.get(group) or {})
            if inner[0] not in labels:
                raise unknown(f"grid.{group}.{inner[0]}", LABELLED[group], inner[0], labels)
        if not isinstance(values, list) or not values:
            raise InputError(f"{key_path}: expected a list of at least one value, got {values!r}")
        if len({repr(v) for v in values}) < len(values):
            raise InputError(f"{key_path}: a value stands twice in {values!r}; keep one of them")
        _refuse_hidden(key_path, key, _at(document, (group, *inner)), values)
        axes[key] = tuple(values)
    return axes


def _at(document: Document, way: Sequence[str]) -> Any:
    place: Any = document
    for key in way:
        place = place.get(key) if isinstance(place, dict) else None
    return place


def _refuse_hidden(key_path: str, key: str, settings: Any, values: Sequence[Any]) -> None:
    """Raise InputError where an axis replaces a mapping whose settings would then be in no trial."""
    replacing = [value for value in values if isinstance(value, dict)]
    if isinstance(settings, dict) and replacing:
        hidden = [name for name in settings if not any(name in value for value in replacing)]
        if hidden:
            raise InputError(
                f"{key_path}: its values take the place of all of {key}, so {key}.{hidden[0]} would change "
                f"nothing; write it into the values, or make axes of single settings ({key}.SETTING)"
            )


def _refuse_unknown_optimizer(document: Document, key: str, known: Mapping[str, Any]) -> None:
    """Raise InputError where an override sets something of an optimizer that the file does not have."""
    group, *inner = resolve(document, key)
    if group == "optimizers" and len(inner) > 1 and inner[0] not in known:
        settings = _at(document, (group, inner[0]))
        if isinstance(settings, dict) and "class" not in settings:
            raise unknown(f"optimizers.{inner[0]}", "optimizer", inner[0], known)


def _refuse_idle(sweep: Sweep, overrides: Iterable[str]) -> None:
    """Raise InputError for an override of an optimizer or a schedule that would change no trial."""
    for key in overrides:
        group, *inner = resolve(sweep.document, key)
        if group not in LABELLED or not inner:
            continue
        using = [p for p in sweep.pairs if inner[0] == getattr(p, LABELLED[group])]
        if not using:
            raise InputError(
                f"-S {key}: would change nothing, no recipe has the {LABELLED[group]} {inner[0]!r}; "
                "name it under `recipes:`, or override one of another name"
            )
        followed = any(schedules.follows_optimizer(sweep.schedules[p.schedule]) for p in using)
        varied = any(axis.startswith("schedules.") for axis in sweep.axes)
        if group == "optimizers" and inner[1:] == ["learning_rate"] and not followed and not varied:
            raise InputError(
                f"-S {key}: would change nothing, every schedule of {inner[0]} has a peak or rates of its own; "
                "override that peak"
            )


def _labelled(key_path: str, value: Any, needed: bool) -> list[tuple[str, dict[str, Any]]]:
    if not value:
        if needed:
            raise InputError(f"{key_path}: expected at least one, got none: the grid is empty")
        return []
    return [
        (
            _label(f"{key_path}.{label}", label),
            mapping(f"{key_path}.{label}", values if values is not None else {}),
        )
        for label, values in mapping(key_path, value).items()
    ]


def _label(key_path: str, value: Any) -> str:
    # A shape of the user's own may be its own label, as every other shape is.
    allowed = (_LABEL, _REFERENCE) if key_path.startswith("schedules.") else (_LABEL,)
    if isinstance(value, str) and any(pattern.fullmatch(value) for pattern in allowed):
        return value
    raise InputError(
        f"{key_path}: expected a label of at most 100 letters, digits and . _ + -, the first a letter or a digit, "
        f"got {value!r}"
    )


def _name(value: Any) -> str:
    return _label("name", value)


def _needed(key: str, document: Document) -> Any:
    if document.get(key) is None:
        raise InputError(f"{key}: expected a value, got none; add it to the sweep file")
    return document[key]


def _whole(key: str, value: Any) -> int:
    number: int = converted(key, value, int)
    require(key, number)
    return number


def _race(document: Document) -> tuple[Race | None, tuple[int, ...]]:
    """The race, and all seeds that the sweep may use. Raises InputError."""
    seeds, values = _seeds(value_of(document, "seeds")), value_of(document, "race")
    if values is None:
        return None, seeds
    return races.check(mapping("race", values), seeds, listed="seeds" in document)


def _budget(value: Any) -> Budget | None:
    return None if value is None else budgets.check(mapping("budget", value))


def _equivalence(value: Any) -> float | None:
    if value is None:
        return None
    margin: float = converted("equivalence", value, float)
    require("equivalence", margin)
    return margin


def _one_of(key: str, value: Any) -> str:
    require(key, value)
    return str(value)


def _batch_size(value: Any) -> int | Literal["full"]:
    if value == "full":
        return "full"
    if isinstance(value, str) or value is None:
        raise InputError(f"batch_size: expected a number of images or 'full', got {value!r}")
    return _whole("batch_size", value)


def _seeds(value: Any) -> tuple[int, ...]:
    seeds = [_whole("seeds", seed) for seed in (value if isinstance(value, list) else [value])]
    if not seeds:
        raise InputError("seeds: expected at least one, got none: the grid is empty")
    repeated = {seed for seed in seeds if seeds.count(seed) > 1} if len(set(seeds)) < len(seeds) else set()
    if repeated:
        raise InputError(f"seeds: a seed stands twice, {min(repeated)}; keep one of them")
    return tuple(seeds)


def _trainer(value: Any) -> str:
    name: str = converted("trainer", value, str)
    if not _REFERENCE.fullmatch(name):
        raise InputError(f"trainer: expected module:Class, got {name!r}")
    if name != DEFAULT_TRAINER:
        user_modules.find("trainer", name.partition(":")[0])
    return name


def _results(value: Any) -> str:
    results: str = converted("results", value, str)
    if not results:
        raise InputError("results: expected a folder or an address, got ''")
    return results if object_store.is_address(results) else object_store.expanded("results", results)


def _resources(values: Mapping[str, Any]) -> Resources:
    resources = Resources(**checked("resources", values, Resources))
    if resources.hardware is not None and not resources.hardware.strip():
        raise InputError(
            f"resources.hardware: expected a line of `sweep doctor`'s or 'any', got {resources.hardware!r}"
        )
    return resources
