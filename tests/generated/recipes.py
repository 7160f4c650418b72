"""Recipes at random, and what can be done to one: write it in another way, or change what it computes.

A recipe is the document of a sweep of one trial. A change gives another document, or None where it does not apply.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from experiments import optimizers
from experiments.optimizers.classes import CLASSES, MOMENTUM, Common
from experiments.settings import settings_of
from orchestrator.spec.yaml_document import Document

Change = Callable[[st.DataObject, Document], Document | None]
IMAGES, DIGITS = 1797, 10
"""Images and classes of the digits."""
LABEL = "one"


@st.composite
def recipes(draw: st.DrawFn) -> Document:
    """One optimizer with one schedule and one seed, on the digits, for the built-in trainer."""
    data: Document = {"name": "digits"}
    for key, values in {
        "limit": st.integers(40, 400),
        "validation": st.sampled_from((0.2, 0.25, 0.5)),
        "test": st.sampled_from((0, 0.1, 0.2)),
        "split_seed": st.integers(0, 3),
        "augmentation": st.sampled_from(({}, {"horizontal_flip": True}, {"shift": 2})),
    }.items():
        if draw(st.booleans()):
            data[key] = draw(values)
    model: Document = {"width": draw(st.sampled_from((0.0625, 0.25, 1)))}
    if draw(st.booleans()):
        model |= {"head": "classic", "dropout": draw(st.sampled_from((0, 0.5)))}
    optimizer = draw(settings())
    cycles = _cycles(optimizer) and draw(st.booleans())
    return {
        "name": "drawn",
        "data": data,
        "model": model,
        "batch_size": draw(st.one_of(st.just("full"), st.integers(8, 2000))),
        "epochs": draw(st.integers(1, 3)),
        "seeds": [draw(st.integers(0, 3))],
        "precision": draw(st.sampled_from(("float32", "mixed_bfloat16", "mixed_float16"))),
        "optimizers": {LABEL: optimizer},
        "schedules": {"one-cycle": {"momentum": {}}}
        if cycles
        else {draw(st.sampled_from(("constant", "cosine"))): {}},
    }


@st.composite
def settings(draw: st.DrawFn) -> Document:
    """An optimizer of any class, with some settings of its own."""
    name = draw(st.sampled_from(sorted(CLASSES)))
    result: Document = {"class": name, "learning_rate": draw(st.sampled_from((0.001, 0.01, 1)))}
    values: Mapping[str, st.SearchStrategy[Any]] = {
        "weight_decay": st.sampled_from((0, 0.0, 0.004, 1) if name == "AdamW" else (None, 0, 0.0, 0.004, 1)),
        "loss_scale_factor": st.sampled_from((None, 1, 8)),
        "use_ema": st.booleans(),
        "gradient_accumulation_steps": st.just(2),
        "momentum": st.sampled_from((0, 0.5, 0.9)) if name != "Muon" else st.sampled_from((0.5, 0.9)),
        "beta_1": st.sampled_from((0.5, 0.9)),
        "epsilon": st.sampled_from((1e-7, 1)),
        "amsgrad": st.booleans(),
        "adam_weight_decay": st.sampled_from((None, 0, 0.004)),
        "exclude_layers": st.sampled_from((None, [], ["logits"])),
    }
    known = {**settings_of(Common), **settings_of(CLASSES[name])}
    for key, drawn in values.items():
        if key in known and draw(st.booleans()):
            result[key] = draw(drawn)
    return result


def changed(document: Document, path: str, value: Any) -> Document:
    """A copy with another value at the dotted `path`; ... takes it out."""
    result = deepcopy(document)
    *folders, last = path.split(".")
    place = result
    for folder in folders:
        place = place.setdefault(folder, {})
    place.pop(last, None)
    if value is not ...:
        place[last] = value
    return result


def effective(document: Document) -> dict[str, Any]:
    """All settings of the optimizer, as they are checked."""
    return dict(optimizers.check("o", document["optimizers"][LABEL]).settings)


def _optimizer(document: Document, key: str, value: Any) -> Document:
    return changed(document, f"optimizers.{LABEL}.{key}", value)


def _cycles(given: Document) -> bool:
    held = optimizers.check("o", given).settings
    return all(held[name] > 0 for name in MOMENTUM.get(given["class"], ())) and given["class"] in MOMENTUM


def _cycled(document: Document) -> bool:
    return "one-cycle" in document["schedules"]


def _used(document: Document) -> int:
    return min(int(document["data"].get("limit") or IMAGES), IMAGES)


def _held_out(document: Document, fraction: float) -> int:
    return max(round(fraction * _used(document)), DIGITS) if fraction else 0


def _trained(document: Document) -> int:
    data = document["data"]
    held, tested = (
        _held_out(document, data.get(key, default)) for key, default in (("validation", 0.25), ("test", 0))
    )
    return _used(document) - held - tested


# The same computation, written in another way.


def _without_decay(draw: st.DataObject, document: Document) -> Document | None:
    name = draw.draw(st.sampled_from(("weight_decay", "adam_weight_decay")))
    none = None if document["optimizers"][LABEL]["class"] != "AdamW" else 0
    if name not in (held := effective(document)) or held[name] not in (None, 0):
        return None
    return _optimizer(document, name, draw.draw(st.sampled_from((none, 0, 0.0))))


def _adam_and_adamw(_: st.DataObject, document: Document) -> Document | None:
    given = document["optimizers"][LABEL]
    other = {"Adam": "AdamW", "AdamW": "Adam"}.get(given["class"])
    if other is None:
        return None
    decay = effective(document)["weight_decay"] or (0 if other == "AdamW" else None)
    return _optimizer(_optimizer(document, "class", other), "weight_decay", decay)


def _defaults_said(_: st.DataObject, document: Document) -> Document:
    document = changed(document, "data.image_size", 32)
    document = changed(document, "resources", {"cpus_per_trial": 1, "gpus_per_trial": 0})
    document = changed(document, "trainer", "experiments.trainer:Trainer")
    document = changed(document, "model.initializer", "glorot_uniform")
    held = {name: list(v) if isinstance(v, tuple) else v for name, v in effective(document).items()}
    return changed(document, f"optimizers.{LABEL}", {**document["optimizers"][LABEL], **held})


def _whole_numbers(_: st.DataObject, document: Document) -> Document:
    """As integers what can be."""

    def written(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: written(v) for key, v in reversed(value.items())}
        return int(value) if isinstance(value, float) and value.is_integer() else value

    return {key: written(value) for key, value in document.items()}


def _all_images(draw: st.DataObject, document: Document) -> Document | None:
    size, trained = document["batch_size"], _trained(document)
    if size != "full" and size < trained:
        return None
    return changed(document, "batch_size", draw.draw(st.sampled_from(("full", trained, trained + 1, 5000))))


def _no_limit(draw: st.DataObject, document: Document) -> Document | None:
    limit = draw.draw(st.sampled_from((..., None, IMAGES, IMAGES + 1)))
    return None if "limit" in document["data"] else changed(document, "data.limit", limit)


def _nearly_the_same_share(draw: st.DataObject, document: Document) -> Document | None:
    key = draw.draw(st.sampled_from(("validation", "test")))
    share = document["data"].get(key, 0.25 if key == "validation" else 0)
    other = share + draw.draw(st.sampled_from((-0.002, 0.0001, 0.002)))
    alike = share and _held_out(document, other) == _held_out(document, share)
    return changed(document, f"data.{key}", other) if alike else None


def _no_test_set(draw: st.DataObject, document: Document) -> Document | None:
    ways = (..., 0, 0.0)
    return (
        None if document["data"].get("test") else changed(document, "data.test", draw.draw(st.sampled_from(ways)))
    )


def _no_augmentation(draw: st.DataObject, document: Document) -> Document | None:
    ways = (..., None, {}, {"shift": 0}, {"horizontal_flip": False})
    nothing = not document["data"].get("augmentation")
    return changed(document, "data.augmentation", draw.draw(st.sampled_from(ways))) if nothing else None


def _nearly_the_same_width(draw: st.DataObject, document: Document) -> Document | None:
    width = document["model"]["width"] + draw.draw(st.sampled_from((-1e-5, 1e-6, 1e-5)))
    return changed(document, "model.width", width)


def _replaced_momentum(draw: st.DataObject, document: Document) -> Document | None:
    name = draw.draw(st.sampled_from(("momentum", "beta_1", "adam_beta_1")))
    if not _cycled(document) or name not in MOMENTUM[document["optimizers"][LABEL]["class"]]:
        return None
    return _optimizer(document, name, draw.draw(st.sampled_from((0.25, 0.75))))


def _loss_as_it_is(draw: st.DataObject, document: Document) -> Document | None:
    if document["precision"] == "mixed_float16" or effective(document)["loss_scale_factor"] not in (None, 1):
        return None
    return _optimizer(document, "loss_scale_factor", draw.draw(st.sampled_from((..., None, 1, 1.0))))


def _nothing_to_exclude(draw: st.DataObject, document: Document) -> Document | None:
    if document["optimizers"][LABEL]["class"] != "Muon":
        return None
    document = _optimizer(document, "exclude_embeddings", draw.draw(st.booleans()))
    layers = effective(document)["exclude_layers"]
    return _optimizer(
        document, "exclude_layers", ["logits", "logits"] if layers else draw.draw(st.sampled_from((None, [])))
    )


def _what_is_around(draw: st.DataObject, document: Document) -> Document:
    around = {
        "name": "other", "results": "elsewhere", "retries": 0, "checkpoints": "all", "save_best": False,
        "monitor": "loss", "deterministic": False, "early_stopping": {"patience": 3},
    }  # fmt: skip
    name = draw.draw(st.sampled_from(sorted(around)))
    return changed(document, name, around[name])


def _other_labels(_: st.DataObject, document: Document) -> Document:
    ((schedule, settings),) = document["schedules"].items()
    document = changed(document, "schedules", {"renamed": {"name": schedule, **settings}})
    return changed(document, "optimizers", {"renamed": document["optimizers"][LABEL]})


SAME: tuple[Change, ...] = (
    _without_decay, _adam_and_adamw, _defaults_said, _whole_numbers, _all_images, _no_limit,
    _nearly_the_same_share, _no_test_set, _no_augmentation, _nearly_the_same_width, _replaced_momentum,
    _loss_as_it_is, _nothing_to_exclude, _what_is_around,
)  # fmt: skip
LAST: Change = _other_labels
"""May follow the others, which know the labels."""


# Another computation.


def _another_value(path: str, *values: Any) -> Change:
    def change(draw: st.DataObject, document: Document) -> Document | None:
        place: Any = document
        for folder in path.split("."):
            place = place.get(folder) if isinstance(place, dict) else None
        return changed(document, path, draw.draw(st.sampled_from([v for v in values if v != place])))

    return change


def _another_batch(draw: st.DataObject, document: Document) -> Document | None:
    size, trained = document["batch_size"], _trained(document)
    other = draw.draw(st.integers(1, trained))
    return (
        None
        if other == (trained if size == "full" else min(size, trained))
        else changed(document, "batch_size", other)
    )


def _another_limit(draw: st.DataObject, document: Document) -> Document:
    return changed(document, "data.limit", _used(document) - draw.draw(st.integers(1, 10)))


def _other_width(_: st.DataObject, document: Document) -> Document | None:
    return changed(document, "model.width", 2 * document["model"]["width"])


def _another_setting(draw: st.DataObject, document: Document) -> Document | None:
    """Of the numbers that decide whatever else is set."""
    held = effective(document)
    shared = {"weight_decay": 0.125, "clipnorm": 0.5, "gradient_accumulation_steps": 3, "loss_scale_factor": 16.0}
    own = {
        "epsilon": 0.125,
        "beta_2": 0.5,
        "rho": 0.5,
        "nesterov": None,
        "initial_accumulator_value": 0.5,
        "ns_steps": 3,
    }
    choices = [key for key in {**shared, **own} if key in held and {**shared, **own}[key] is not None]
    key = draw.draw(st.sampled_from(sorted(choices)))
    return _optimizer(document, key, {**shared, **own}[key])


def _replaced_class(draw: st.DataObject, document: Document) -> Document | None:
    given = document["optimizers"][LABEL]["class"]
    if _cycled(document):
        return None
    alike = {"Adam", "AdamW"} if given in ("Adam", "AdamW") else {given}
    return changed(
        document, f"optimizers.{LABEL}", {"class": draw.draw(st.sampled_from(sorted(set(CLASSES) - alike)))}
    )


OTHER_ROOT: tuple[Change, ...] = (
    _another_value("data.split_seed", 4, 5),
    _another_value("data.test", 0.3, 0.35),
    _another_value("data.augmentation", {"shift": 1}, {"shift": 3}),
    _another_value("data.image_size", 33, 64),
    _another_value("model.name", "vgg11", "vgg13", "vgg11-lrn"),
    _another_value("model.initializer", "he_uniform", "he_normal"),
    _another_value("resources.cpus_per_trial", 2, 3),
    _another_value("resources.gpus_per_trial", 1, 0.5),
    _another_value("resources.hardware", "any", "another machine"),
    _another_value("seeds", [4], [5]),
    _another_value("precision", "float32", "mixed_bfloat16"),
    _another_batch, _another_limit, _other_width, _another_setting, _replaced_class,
)  # fmt: skip


def _other_rates(draw: st.DataObject, document: Document) -> Document:
    return _optimizer(document, "learning_rate", draw.draw(st.sampled_from((0.0005, 0.5))))


OTHER_EPOCHS: tuple[Change, ...] = (_other_rates,)
