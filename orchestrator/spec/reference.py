"""The reference of the sweep file: what its own checks go by, section by section."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from experiments import callbacks, schedules
from experiments import lr_range_test as range_test
from experiments.datasets import settings as data
from experiments.models import vgg
from experiments.optimizers import classes, optimizer
from experiments.schedules import custom, momentum
from experiments.settings import REQUIRED, Choice, InWords, Setting, settings_of, unknown
from orchestrator.spec import budget, pairs, race, sweep
from orchestrator.spec.keys import KEYS


@dataclass(frozen=True)
class Section:
    """The settings that stand at one place of a sweep file; `path` is "" for the file itself."""

    path: str
    text: str
    settings: tuple[Setting, ...]


def sections() -> tuple[Section, ...]:
    """Every place of a sweep file, an optimizer's classes and a schedule's shapes each by itself."""
    return (
        Section("", "The keys of a sweep file. All others are refused.", tuple(KEYS.values())),
        _section("data", data.DataSettings),
        _section("data.augmentation", data.Augmentation),
        _section("model", vgg.Model),
        _section("early_stopping", callbacks.EarlyStopping),
        _section("reduce_on_plateau", callbacks.Plateau),
        _section("range_test", range_test.RangeTest),
        _section("race", race.Race),
        _section("budget", budget.Budget),
        _section("resources", sweep.Resources),
        Section("recipes", "One pair of the list, beside any key that a recipe may set.", pairs.RECIPE),
        Section(
            "optimizers",
            "What stands under each label, beside the settings of the class. " + _text(classes.Common),
            (optimizer.CLASS, optimizer.DECAY, *settings_of(classes.Common).values()),
        ),
        *(_section(f"optimizers.{name}", row) for name, row in classes.CLASSES.items()),
        Section(
            "schedules",
            "What stands under each label, beside the settings of the shape.",
            tuple(custom.COMMON.values()),
        ),
        _section("schedules.warmup", schedules.Warmup),
        _section("schedules.momentum", momentum.Momentum),
        *(
            Section(f"schedules.{name}", _text(row.function), tuple(row.declared.values()))
            for name, row in schedules.SHAPES.items()
        ),
    )


def below(key: str) -> tuple[Section, ...]:
    """The sections at the dotted `key` and inside it, or that one setting. Raises InputError for no such key.

    >>> [section.path for section in below("data")]
    ['data', 'data.augmentation']
    >>> [setting.default for section in below("schedules.cosine.final") for setting in section.settings]
    [0.0]
    """
    every = sections()
    chosen = tuple(section for section in every if f"{section.path}.".startswith(f"{key}."))
    if chosen:
        return chosen
    path, _, name = key.rpartition(".")
    for section in every:
        rows = tuple(setting for setting in section.settings if setting.name == name)
        if section.path == path and rows:
            return (Section(path, section.text, rows),)
    raise unknown(key, "key", key, {*KEYS, *(section.path for section in every if section.path)})


def kind_in_words(kind: Any) -> str:
    """A setting's type, as a person would say it.

    >>> kind_in_words(tuple[float, ...] | None), kind_in_words(int | Literal["full"])
    ('list of numbers or null', 'whole number or full')
    """
    if isinstance(kind, str):
        return kind
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return _LISTS.get(get_args(kind)[0], "list")
    if get_origin(kind) is Mapping or kind is Mapping:
        return "mapping"
    if parts := get_args(kind):
        return " or ".join(map(kind_in_words, parts))
    return _KINDS[kind]


_KINDS = {bool: "true or false", int: "whole number", float: "number", str: "text", NoneType: "null"}
_LISTS = {int: "list of whole numbers", float: "list of numbers", str: "list of texts", Any: "list of mappings"}


def default_in_words(default: Any) -> str:
    """A default, as a sweep file would have it.

    >>> default_in_words(1e-7), default_in_words(True), default_in_words([0])
    ('1.0e-07', 'true', '[0]')
    """
    if default is REQUIRED:
        return "must be given"
    if isinstance(default, InWords):
        return str(default)
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    text = str(default)
    return text.replace("e", ".0e", 1) if isinstance(default, float) and "e" in text and "." not in text else text


def limit_in_words(setting: Setting) -> str:
    """What is expected of a value, "" where its type says all."""
    if isinstance(setting.limit, Choice):
        return ", ".join(setting.limit.names)
    return setting.limit.expected if setting.limit else ""


def _section(path: str, source: Callable[..., Any]) -> Section:
    return Section(path, _text(source), tuple(settings_of(source).values()))


def _text(source: Callable[..., Any]) -> str:
    """The docstring up to its examples, each paragraph one line."""
    return _joined((inspect.getdoc(source) or "").partition(">>>")[0].split("\n\n"))


def _joined(paragraphs: Iterable[str]) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs if paragraph.strip())
