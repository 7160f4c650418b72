"""Which optimizer trains with which schedule: each with each, or the pairs under `recipes:`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments import callbacks, optimizers, schedules
from experiments.schedules import custom
from experiments.settings import REQUIRED, InputError, Setting, converted, mapping, unknown
from orchestrator.spec.keys import KEYS
from orchestrator.spec.yaml_document import Document, dotted

SETTINGS = frozenset(key.name for key in KEYS.values() if key.in_recipes)
"""The keys that a recipe or a grid axis may set for itself."""
RECIPE = (
    Setting("optimizer", "label", REQUIRED, None, "one of `optimizers`"),
    Setting("schedule", "label or mapping", REQUIRED, None, "one of `schedules`, a shape, or a schedule in place"),
    Setting("published", "mapping", {}, None, "figures by metric, shown beside those that are measured"),
)
"""What a recipe says besides settings of its own."""
MOST_TRIALS = 100_000


@dataclass(frozen=True)
class Pair:
    """One optimizer with one schedule, by label, and what this pair alone sets differently (dotted keys)."""

    optimizer: str
    schedule: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, float] = field(default_factory=dict)


def with_labels(document: Document) -> Document:
    """`document` with each schedule that a recipe gives in place, or by a shape's bare name, under `schedules:`.

    So a recipe names a label in any case, and what overrides a label's settings finds them. Raises InputError for
    a schedule that is none, and for one whose name stands for other settings already.
    """
    recipes, labelled = document.get("recipes"), document.get("schedules") or {}
    if not isinstance(recipes, list) or not isinstance(labelled, dict):
        return document
    labels = dict(labelled)
    named = [_named(f"recipes.{number}.schedule", recipe, labels) for number, recipe in enumerate(recipes)]
    return {**document, "recipes": named, **({"schedules": labels} if labels else {})}


def _named(key_path: str, recipe: Any, labels: Document) -> Any:
    """`recipe` with the label of its schedule, which is put among `labels`."""
    label: Any
    settings: Document
    schedule = recipe.get("schedule") if isinstance(recipe, dict) else None
    if isinstance(schedule, str):
        if schedule in labels or not (schedule in schedules.SHAPES or custom.is_own(schedule)):
            return recipe
        label, settings = schedule, {}
    elif isinstance(schedule, dict):
        label, settings = schedule.get("name", "sequence" if "sequence" in schedule else None), schedule
    else:
        return recipe
    if not isinstance(label, str):
        return recipe
    checked = schedules.check(key_path, label, settings)
    if label in labels and schedules.check(f"schedules.{label}", label, labels[label] or {}) != checked:
        raise InputError(
            f"{key_path}: {label!r} already stands for other settings; "
            "give each a label under `schedules:` and name it here"
        )
    labels.setdefault(label, settings)
    return {**recipe, "schedule": label}


def pairs(
    document: Document,
    known_optimizers: Mapping[str, optimizers.Optimizer],
    known_schedules: Mapping[str, schedules.Schedule],
) -> tuple[Pair, ...]:
    """The pairs of a document that has been through `with_labels`. Raises InputError naming the recipe's key."""
    if "recipes" not in document:
        count = len(known_optimizers) * len(known_schedules)
        if count > MOST_TRIALS:
            raise InputError(f"optimizers: expected at most {MOST_TRIALS:,} trials, got {count:,} times the seeds")
        return tuple(Pair(o, s) for o in known_optimizers for s in known_schedules)
    recipes = document["recipes"]
    if not isinstance(recipes, list) or not recipes:
        raise InputError(
            f"recipes: expected a list of at least one {{optimizer, schedule}}, got {recipes!r}: an empty grid"
        )
    return tuple(
        _pair(f"recipes.{number}", recipe, known_optimizers, known_schedules)
        for number, recipe in enumerate(recipes)
    )


def _pair(key_path: str, recipe: Any, known_optimizers: Iterable[str], known_schedules: Iterable[str]) -> Pair:
    settings = mapping(key_path, recipe, "{optimizer: sgd, schedule: constant}")
    for name in ("optimizer", "schedule"):
        if settings.get(name) is None:
            raise InputError(f"{key_path}.{name}: expected a label, got none")
    optimizer = converted(f"{key_path}.optimizer", settings.pop("optimizer"), str)
    if optimizer not in known_optimizers:
        raise unknown(f"{key_path}.optimizer", "optimizer", optimizer, known_optimizers)
    schedule = settings.pop("schedule")
    if not isinstance(schedule, str):
        raise InputError(f"{key_path}.schedule: expected a label or a mapping with its name, got {schedule!r}")
    if schedule not in known_schedules:
        raise unknown(f"{key_path}.schedule", "schedule", schedule, {*known_schedules, *schedules.SHAPES})
    published = mapping(f"{key_path}.published", settings.pop("published", {}))
    for metric in published:
        if metric not in callbacks.METRICS:
            raise unknown(f"{key_path}.published.{metric}", "metric", metric, callbacks.METRICS)
    overrides = dotted(settings, key_path)
    require_settable(key_path, overrides, also=tuple(setting.name for setting in RECIPE))
    for key in overrides:
        if inner := [other for other in overrides if other.startswith(f"{key}.")]:
            raise InputError(f"{key_path}.{key}: contradicts {inner[0]}; keep one of them")
    return Pair(
        optimizer,
        schedule,
        overrides,
        {m: converted(f"{key_path}.published.{m}", v, float) for m, v in published.items()},
    )


def require_settable(key_path: str, keys: Iterable[str], also: Sequence[str] = ()) -> None:
    """Raise InputError for a dotted key that is none of SETTINGS; `also` are suggested besides."""
    for key in keys:
        first = key.partition(".")[0]
        if first not in SETTINGS:
            raise unknown(f"{key_path}.{first}", "setting", first, {*SETTINGS, *also})
