"""Jobs at random: sweep documents of one small trial each, drawn from the tables, and their near twins.

A setting is drawn from values of its type that its limit allows; what the others refuse is left out.
"""

import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from PIL import Image

from experiments import optimizers, schedules
from experiments.models import initializers, vgg
from experiments.optimizers.classes import CLASSES, MOMENTUM, Common
from experiments.settings import InputError, Limit, Setting, settings_of
from tests.generated.one_key import Turn, planned
from tests.generated.test_schedules_exact import DRAWN, as_written

Document = dict[str, Any]

CYCLING = sorted(name for name, row in schedules.SHAPES.items() if row.lowest is not None)
HOT = 1e4
"""A learning rate at which nothing stays finite."""
LARGE = 256
"""Pixels: a part of a batch has 16 images."""
_KEEP = tempfile.TemporaryDirectory()
_POOLS: Mapping[type, tuple[Any, ...]] = {
    float: (0.0, 1e-12, 1e-7, 1e-3, 0.1, 0.3, 0.5, 0.9, 0.99, 1.0, 2.0, -0.5, -0.8),
    int: (0, 1, 2, 3, 5),
    bool: (False, True),
    str: ("dense", "logits"),
}


@functools.cache
def photos(each: int, variant: str = "") -> str:
    """A folder with `each` dark and `each` bright photos of 32 pixels; the contents are those of every variant."""
    folder = Path(_KEEP.name) / f"photos-{each}{variant}"
    rng = np.random.default_rng(0)
    for name, least in (("dark", 0), ("bright", 128)):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            pixels = rng.integers(least, least + 128, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return str(folder)


def copied(path: str, folder: Path) -> str:
    """The photos at `path`, once more in `folder`."""
    return str(shutil.copytree(path, folder))


def repaint(folder: Path) -> None:
    """Change one pixel of one photo in `folder`, and nothing else that its file tells."""
    photo = sorted(folder.glob("*/*.png"))[0]
    before = photo.stat()
    with Image.open(photo) as image:
        pixels = np.array(image)
    pixels[:, :, 0] = pixels[:, :, 0][::-1]
    Image.fromarray(pixels).save(photo, compress_level=0)
    os.utime(photo, ns=(before.st_atime_ns, before.st_mtime_ns))


def _values(setting: Setting) -> tuple[Any, ...]:
    kinds = get_args(setting.kind) or (setting.kind,)
    limit = setting.limit
    values = [
        value
        for kind in kinds
        for value in _POOLS.get(kind, ())
        if not isinstance(limit, Limit) or limit.holds(value)
    ]
    if tuple[str, ...] in kinds:
        values.append(["dense"])
    return (*values, None) if type(None) in kinds else tuple(values)


def _drawn(draw: st.DrawFn, function: Callable[..., Any], allowed: Callable[[Document], object]) -> Document:
    """Some settings of `function`, each kept where `allowed` raises no InputError."""
    chosen: Document = {}
    for name, setting in settings_of(function).items():
        values = _values(setting)
        if name == "learning_rate" or not values or draw(st.integers(0, 3)):
            continue
        try:
            more = {**chosen, name: draw(st.sampled_from(values))}
            allowed(more)
            chosen = more
        except InputError:
            pass
    return chosen


@st.composite
def optimizer_settings(draw: st.DrawFn, names: Iterable[str] = tuple(sorted(CLASSES))) -> Document:
    """An optimizer of a sweep file: its class, a learning rate, and any of its settings."""
    name = draw(st.sampled_from(sorted(names)))
    rate = draw(st.sampled_from((0.01, 0.001, 0.1, HOT)))
    base = {"class": name, "learning_rate": rate, **draw(st.sampled_from(({}, {}, {"decay": 0.01})))}
    if draw(st.booleans()) and "momentum" in settings_of(CLASSES[name]):
        base["momentum"] = 0.9
    own = _drawn(draw, CLASSES[name], lambda more: optimizers.check("o", {**base, **more}))
    shared = _drawn(draw, Common, lambda more: optimizers.check("o", {**base, **own, **more}))
    return {**base, **own, **shared}


@st.composite
def schedule_settings(draw: st.DrawFn) -> Document:
    """A schedule of a sweep file, by name."""
    name = draw(st.sampled_from(("constant", *sorted(set(DRAWN) - {"warmup"}))))
    given: Document = {"name": name, **as_written(draw(DRAWN[name]))}
    if name == "plateau":
        # Nothing improves by so much: it fires.
        given |= {"patience": draw(st.integers(0, 1)), "factor": 0.5, "min_delta": 10.0}
    if draw(st.integers(0, 3)) == 0:
        given["warmup"] = {"epochs": draw(st.sampled_from((0.5, 1.0)))}
    if name in CYCLING and draw(st.booleans()):
        given["momentum"] = draw(st.sampled_from(({}, {"low": 0.5, "high": 0.9})))
    return given


@st.composite
def model_settings(draw: st.DrawFn) -> Document:
    """A narrow VGG; the one that is traced fastest more often than the others."""
    others = tuple(sorted(vgg.CONFIGURATIONS))
    given: Document = {"name": draw(st.sampled_from(("vgg11", "vgg11", "vgg11", *others))), "width": 1 / 16}
    if draw(st.booleans()):
        given["width"] = draw(st.sampled_from((1 / 64, 1 / 32)))
    given["initializer"] = draw(st.sampled_from(("he_uniform", *initializers.INITIALIZERS)))
    if draw(st.booleans()):
        given |= {"head": "classic", "dropout": draw(st.sampled_from((0.5, 0.0, 0.25)))}
    return given


@st.composite
def data_settings(draw: st.DrawFn) -> Document:
    """A dozen to forty photos."""
    given: Document = {
        "name": "images",
        "path": photos(draw(st.sampled_from((8, 6, 20)))),
        # Of large images a full batch is computed in parts.
        "image_size": draw(st.sampled_from((32, 32, 32, LARGE))),
        "validation": draw(st.sampled_from((0.25, 0.4))),
        "test": draw(st.sampled_from((0, 0, 0.2))),
    }
    if draw(st.booleans()):
        given["augmentation"] = draw(st.sampled_from(({"horizontal_flip": True}, {"shift": 3}, {})))
    if draw(st.integers(0, 3)) == 0:
        given["limit"] = draw(st.sampled_from((12, 11)))
    return given


def checked(document: Document) -> Document:
    """`document`, where it can be planned; else the case is given up."""
    try:
        planned([document])
    except InputError:
        assume(False)
    return document


@st.composite
def documents(
    draw: st.DrawFn,
    pool: Mapping[str, st.SearchStrategy[Any]],
    threads: int = 1,
) -> Document:
    """A whole sweep document; `pool` draws its data, model, optimizer and precision."""
    document: Document = {
        "data": draw(pool["data"]),
        "model": draw(pool["model"]),
        "optimizers": {"o": draw(pool["optimizer"])},
        "schedules": {"s": draw(schedule_settings())},
        "batch_size": draw(st.sampled_from((5, "full", 4, 7, 100))),
        "epochs": draw(st.integers(2, 3)),
        "seeds": [draw(st.integers(0, 2))],
        "precision": draw(pool["precision"]),
        "save_best": draw(st.booleans()),
        "resources": {"cpus_per_trial": threads},
    }
    if draw(st.integers(0, 3)) == 0:
        document["reduce_on_plateau"] = {"patience": 1, "min_delta": 10.0}
    return checked(document)


def full_batch(document: Document) -> int:
    """How many images the document's data has to train on."""
    from experiments import datasets
    from experiments.environment import cache_folder

    return datasets.describe(datasets.check("data", document["data"]), cache_folder()).train


def _numbered(document: Document) -> Document:
    size = full_batch(document)
    document["batch_size"] = size if document["batch_size"] == "full" else "full"
    return document


def _elsewhere(document: Document) -> Document:
    path = Path(document["data"]["path"])
    document["data"]["path"] = photos(int(path.name.split("-")[1]), "-again")
    return document


def _limit(document: Document) -> Document:
    document["data"]["limit"] = 1000 if document["data"].get("limit") is None else None
    return document


def _weight_decay(document: Document) -> Document:
    optimizer = document["optimizers"]["o"]
    optimizer["weight_decay"] = None if optimizer.get("weight_decay") == 0 else 0.0
    return document


def _cycled(document: Document) -> Document:
    optimizer = document["optimizers"]["o"]
    for name in MOMENTUM.get(optimizer["class"], ()):
        optimizer[name] = 0.8 if optimizer.get(name) != 0.8 else 0.7
    return document


def _wider(document: Document) -> Document:
    document["model"]["width"] += 1e-6
    return document


def _class(document: Document) -> Document:
    optimizer = document["optimizers"]["o"]
    optimizer["class"] = {"Adam": "AdamW", "AdamW": "Adam"}.get(optimizer["class"], optimizer["class"])
    optimizer.setdefault("weight_decay", 0.004 if optimizer["class"] == "Adam" else 0.0)
    return document


def _optimizer(name: str, value: Any) -> Callable[[Document], Document]:
    def change(document: Document) -> Document:
        document["optimizers"]["o"][name] = value
        return document

    return change


def _set(key: str, value: Any) -> Callable[[Document], Document]:
    def change(document: Document) -> Document:
        document[key] = value
        return document

    return change


def _longer(document: Document) -> Document:
    document["epochs"] = 4
    return document


def _spelt_otherwise(document: Document) -> Document:
    document["schedules"] = {"s": {"name": "step", "every": 1000.0, "factor": 0.5}}
    return document


def _undecided(document: Document) -> Document:
    document["schedules"] = {"s": {"name": "linear", "final": 1.0}}
    return document


def _augmentation(document: Document) -> Document:
    document["data"]["augmentation"] = {"horizontal_flip": False, "shift": 0}
    return document


def _dropout(document: Document) -> Document:
    if document["model"].get("head") == "classic":
        document["model"]["dropout"] = 0.25 if document["model"]["dropout"] != 0.25 else 0.5
    return document


def _another(part: str, values: tuple[Any, ...]) -> Callable[[Document], Document]:
    group, name = part.split(".")

    def change(document: Document) -> Document:
        place = document[group]
        place[name] = next(value for value in values if value != place.get(name, values[0]))
        return document

    return change


TWINS: Mapping[str, Callable[[Document], Document]] = {
    "full or its number": _numbered,
    "more than there are": _set("batch_size", 1000),
    "the same photos elsewhere": _elsewhere,
    "a limit that does not limit": _limit,
    "no weight decay, or 0": _weight_decay,
    "a momentum that is cycled anyway": _cycled,
    "Adam or AdamW": _class,
    "a loss scaled by 1": _optimizer("loss_scale_factor", 1.0),
    "embeddings, of which there are none": _optimizer("exclude_embeddings", False),
    "no layer left out, in words": _optimizer("exclude_layers", []),
    "nearly the same width": _wider,
    "deterministic": _set("deterministic", False),
    "longer": _longer,
    "another name": _set("name", "other"),
    "a constant rate as steps": _spelt_otherwise,
    "a constant rate as a line": _undecided,
    "no augmentation, in words": _augmentation,
    "early stopping": _set("early_stopping", {"monitor": "loss", "patience": 1, "min_delta": 10.0}),
    "another dropout": _dropout,
    "another initializer": _another("model.initializer", ("glorot_uniform", "he_normal", "he_uniform")),
    "another split": _another("data.split_seed", (0, 1)),
    "another share": _another("data.validation", (0.25, 0.4)),
    "another test set": _another("data.test", (0, 0.1, 0.3)),
    "another shift": _another("data.augmentation", ({"shift": 1}, {"horizontal_flip": True})),
    "another seed": _set("seeds", [7]),
    "bfloat16": _set("precision", "mixed_bfloat16"),
    "float32": _set("precision", "float32"),
}
"""Ways to change a document; some leave every key as it is, some change it, some leave the first epochs' keys."""


@st.composite
def twins(draw: st.DrawFn, document: Document) -> Document:
    """`document` with one thing changed, by TWINS or in a setting of its optimizer."""
    copy = deepcopy(document)
    if draw(st.integers(0, 3)):
        return checked(TWINS[draw(st.sampled_from(sorted(TWINS)))](copy))
    optimizer = copy["optimizers"]["o"]
    row = CLASSES[optimizer["class"]]
    known = {**settings_of(Common), **settings_of(row)}
    values = _values(known[name := draw(st.sampled_from(sorted(known.keys() - {"learning_rate"})))])
    assume(values)
    optimizer[name] = draw(st.sampled_from(values))
    return checked(copy)


@dataclass(frozen=True)
class Case:
    """Jobs, and the turns that two processes take at the same time after all were trained straight in another."""

    documents: tuple[Document, ...]
    processes: tuple[tuple[Turn, ...], tuple[Turn, ...]]

    def __repr__(self) -> str:
        lines = [f"documents[{n}] = {document!r}" for n, document in enumerate(self.documents)]
        lines += [f"process {n}: {turns!r}" for n, turns in enumerate(self.processes)]
        return "\n" + "\n".join(lines)


@st.composite
def _turns(draw: st.DrawFn, documents: tuple[Document, ...]) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
    pieces: tuple[list[Turn], list[Turn]] = ([], [])
    for job, document in enumerate(documents):
        cut = draw(st.integers(0, document["epochs"] - 1))
        ramp = draw(st.integers(0, 4)) == 4
        if cut:
            pieces[draw(st.integers(0, 1))].append(Turn(job, 0, cut))
        pieces[draw(st.integers(0, 1))].append(Turn(job, cut, ramp=ramp))
    first, second = (_in_order(draw(st.permutations(turns))) for turns in pieces)
    return first, second


def _in_order(turns: list[Turn]) -> tuple[Turn, ...]:
    """The places of a job's turns, taken in the order of its epochs."""
    by_job = {
        job: iter(sorted((t for t in turns if t.job == job), key=lambda t: t.start))
        for job in {t.job for t in turns}
    }
    return tuple(next(by_job[turn.job]) for turn in turns)


@st.composite
def cases(
    draw: st.DrawFn,
    classes: Iterable[str] = tuple(sorted(CLASSES)),
    least: int = 1,
    most: int = 4,
    threads: int = 1,
    precisions: tuple[str, ...] = vgg.PRECISIONS,
) -> Case:
    """Jobs that share data, models and optimizers as those of one sweep do, about half of them near twins."""
    pool: dict[str, st.SearchStrategy[Any]] = {
        "data": st.sampled_from(draw(st.lists(data_settings(), min_size=1, max_size=2))),
        "model": st.sampled_from(draw(st.lists(model_settings(), min_size=1, max_size=2))),
        "precision": st.sampled_from(draw(st.lists(st.sampled_from(precisions), min_size=1, max_size=2))),
        "optimizer": optimizer_settings(classes),
    }
    found = [draw(documents(pool, threads))]
    for _ in range(draw(st.integers(least, most)) - 1):
        twin = draw(st.booleans())
        found.append(draw(twins(draw(st.sampled_from(found)))) if twin else draw(documents(pool, threads)))
    return Case(tuple(found), draw(_turns(tuple(found))))
