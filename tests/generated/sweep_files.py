"""Sweep files drawn from the program's own tables of settings, types and limits; and the same, slightly wrong."""

import random
import string
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from io import StringIO
from typing import Any, Literal, get_args, get_origin

from hypothesis import strategies as st
from ruamel.yaml import YAML

from experiments import callbacks, schedules
from experiments.lr_range_test import SUGGESTIONS
from experiments.models import vgg
from experiments.models.initializers import INITIALIZERS
from experiments.optimizers.classes import CLASSES, Common
from experiments.schedules import joined
from experiments.schedules.decays import Shape
from experiments.settings import REQUIRED, Choice, Limit, settings_of
from orchestrator.spec.keys import CHECKPOINT_POLICIES

Document = dict[str, Any]

FLOATS = (0.0, 1e-7, 0.001, 0.01, 0.1, 0.2, 0.25, 0.5, 0.9, 0.99, 1.0, 1.5, 2.0, 3.0, 10.0, -0.5, -0.8)
WHOLE = (0, 1, 2, 3, 5, 10)
WORDS = ("logits", "dense.*", "[a-z]+")
EXTREME: tuple[Any, ...] = (
    None, True, False, -1, 0, -0.0, 0.5, 1e308, -1e308, 1e39, 1e-320, float("inf"), float("-inf"), float("nan"),
    10**9, 10**30, 2**31, 2**63, 2**63 - 1, "", " ", "ä", "名前", "x" * 300, "\n", "a\0b", "\ud800", "no", "1e5",
    "0.1", "auto", "rest", "full", "2020-01-01", "~/x", "~nobody-of-this-name/x", "a:b", "os:getcwd", ":", "[/x]",
    ":leaves:", "../..", [], {}, [None], [[1]], [1, "a"], {"a": {}}, {"": 1}, {"name": "vgg16"}, {"class": "SGD"},
    [float("nan")], [1e39],
)  # fmt: skip
"""Values that are wrong at most places."""


def of_type(kind: Any, limit: Limit | Choice | None) -> st.SearchStrategy[Any]:
    """Values of a type within a limit, as a sweep file would have them."""

    def within(value: Any) -> bool:
        return not isinstance(limit, Limit) or value is None or limit.holds(value)

    if get_origin(kind) is tuple:
        return st.lists(of_type(get_args(kind)[0], limit), min_size=1, max_size=3)
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    options = get_args(kind) or (kind,)
    if options != (kind,):
        return st.one_of([of_type(option, limit) for option in options])
    plain: dict[Any, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        int: st.sampled_from([n for n in WHOLE if within(n)] or [20]),
        float: st.sampled_from([x for x in FLOATS if within(x)]),
        str: st.sampled_from(WORDS),
        type(None): st.none(),
    }
    return plain[kind]


def seldom(draw: st.DrawFn, one_in: int) -> bool:
    """True once in so many times."""
    return draw(st.integers(1, one_in)) == one_in


@st.composite
def settings(draw: st.DrawFn, source: Callable[..., Any], one_in: int = 3, **known: Any) -> Document:
    """Some of the settings that are declared there; `known` has strategies for those that no type describes."""
    result = {}
    for name, setting in settings_of(source).items():
        if setting.default is REQUIRED or seldom(draw, one_in):
            result[name] = draw(known[name] if name in known else of_type(setting.kind, setting.limit))
    return result


METRIC = st.sampled_from(callbacks.METRICS)


def plateau() -> st.SearchStrategy[Document]:
    return settings(callbacks.Plateau, monitor=METRIC)


def early_stopping() -> st.SearchStrategy[Document]:
    return settings(callbacks.EarlyStopping, monitor=METRIC)


@st.composite
def optimizer(draw: st.DrawFn) -> Document:
    name = draw(st.sampled_from(sorted(CLASSES)))
    shared = draw(settings(Common, one_in=12))
    own = draw(settings(CLASSES[name], one_in=4))
    for clip in [name for name in shared if "clip" in name][1:]:
        del shared[clip]
    if any("ema" in setting for setting in shared):
        shared["use_ema"] = True
    if own.get("nesterov") and name == "SGD":
        own["momentum"] = 0.9
    return {"class": name, **shared, **own}


@st.composite
def shape(draw: st.DrawFn, name: str, row: Shape) -> Document:
    """The settings of a shape."""
    if name == "plateau":
        return draw(plateau())
    if name == "sequence":
        parts = draw(st.lists(st.sampled_from(sorted(joined.PARTS)), min_size=1, max_size=3))
        lengths = ["rest", *draw(st.lists(st.sampled_from([0.5, 1]), min_size=2, max_size=2))]
        drawn = [{"epochs": e, **draw(shape(p, joined.PARTS[p]))} for p, e in zip(parts, lengths, strict=False)]
        return {"sequence": [{p: given} for p, given in zip(parts, drawn, strict=True)]}
    if name == "piecewise":
        boundaries = sorted(draw(st.sets(st.sampled_from([0.5, 1, 1.5, 2]), min_size=1, max_size=2)))
        return {"boundaries": boundaries, "values": [1, 0.5, 0.1][: len(boundaries) + 1]}
    if name == "one-cycle":
        return draw(st.sampled_from([{}, {"up": 0.5, "down": 0.25, "tail": 0.25}, {"start_division": 10}]))
    return draw(settings(row.settings or row.function))


@st.composite
def schedule(draw: st.DrawFn) -> Document:
    name = draw(st.sampled_from(sorted(schedules.SHAPES)))
    row = schedules.SHAPES[name]
    result = {"name": name, **draw(shape(name, row))}
    extra = draw(st.integers(0, 9))
    if extra == 0 and not row.absolute:
        result["peak"] = draw(st.sampled_from([0.1, 0.01, 1]))
    elif extra == 1:
        result["by"] = row.by or draw(st.sampled_from(["step", "epoch"]))
    elif extra == 2:
        result["warmup"] = {"epochs": draw(st.sampled_from([0.5, 1])), "start": 0.1}
    elif extra == 3 and row.lowest:
        result["momentum"] = draw(st.sampled_from([{}, {"low": 0.8, "high": 0.9}]))
    return result


@st.composite
def model(draw: st.DrawFn) -> Document:
    result = {
        "name": draw(st.sampled_from(sorted(vgg.CONFIGURATIONS))),
        "width": draw(st.sampled_from([0.0625, 0.25, 1])),
        "head": draw(st.sampled_from(["average", "classic"])),
        "initializer": draw(st.sampled_from(sorted(INITIALIZERS))),
        "dropout": draw(st.sampled_from([0, 0.5])),
    }
    if result["head"] == "average":
        del result["dropout"]
    return {key: value for key, value in result.items() if key == "head" or seldom(draw, 2)}


@st.composite
def data(draw: st.DrawFn) -> Document:
    result: Document = {"name": "digits"}
    more: dict[str, tuple[Any, ...]] = {
        "image_size": (32, 33),
        "validation": (0.25, 0.5),
        "test": (0, 0.2),
        "limit": (30, 100, 10_000),
        "split_seed": (0, 7),
        "augmentation": ({}, {"horizontal_flip": True}, {"shift": 2}),
    }
    return result | {k: draw(st.sampled_from(v)) for k, v in more.items() if seldom(draw, 4)}


EPOCHS = st.sampled_from([2, 3, 4])
LENGTHS = st.lists(EPOCHS, min_size=1, max_size=2, unique=True)
TOP: dict[str, st.SearchStrategy[Any]] = {
    "seeds": st.sampled_from([[0], [0, 1], 5, [2**63 - 1]]),
    "model": model(),
    "batch_size": st.sampled_from(["full", 64, 500, 10**6]),
    "early_stopping": st.one_of(st.none(), early_stopping()),
    "reduce_on_plateau": st.one_of(st.none(), plateau()),
    "monitor": METRIC,
    "precision": st.sampled_from(vgg.PRECISIONS),
    "deterministic": st.booleans(),
    "resources": st.sampled_from([{}, {"cpus_per_trial": 2}, {"gpus_per_trial": 0.5}]),
    "retries": st.sampled_from([0, 2]),
    "checkpoints": st.sampled_from(CHECKPOINT_POLICIES),
    "save_best": st.booleans(),
    "range_test": st.sampled_from([{}, *({"suggestion": name} for name in SUGGESTIONS), {"steps": 50}]),
}
OF_A_RECIPE: dict[str, st.SearchStrategy[Any]] = {
    "epochs": EPOCHS,
    **{key: TOP[key] for key in ("model", "batch_size", "early_stopping", "monitor")},
    "model.width": st.sampled_from([0.125, 0.5]),
    "data.limit": st.sampled_from([40, 200]),
}
LABELS = st.sampled_from(["a", "b", "v1", "v1.0", "a.b", "x+y", "A_b-c"])


@st.composite
def right(draw: st.DrawFn) -> Document:
    """A sweep file as a person would write it; a few of its settings may still contradict each other."""
    result: Document = {
        "data": draw(data()),
        "epochs": draw(LENGTHS if seldom(draw, 4) else EPOCHS),
        "trainer": "tests.support.fakes:MomentumTrainer",
    }
    result |= {key: draw(values) for key, values in TOP.items() if seldom(draw, 5)}
    result["optimizers"] = draw(st.dictionaries(LABELS, optimizer(), min_size=1, max_size=2))
    result["schedules"] = draw(st.dictionaries(LABELS, schedule(), min_size=1, max_size=2))
    labels = {group: st.sampled_from(sorted(result[group])) for group in ("optimizers", "schedules")}
    if seldom(draw, 3):
        chosen = st.one_of(
            labels["schedules"], schedule(), st.sampled_from(["constant", "cosine", "published-power"])
        )
        result["recipes"] = [
            {"optimizer": draw(labels["optimizers"]), "schedule": draw(chosen)}
            | {key: draw(values) for key, values in OF_A_RECIPE.items() if seldom(draw, 8)}
            for _ in range(draw(st.integers(1, 2)))
        ]
    if seldom(draw, 3):
        result["grid"] = draw(grid(labels))
    return result


@st.composite
def grid(draw: st.DrawFn, labels: Mapping[str, st.SearchStrategy[str]]) -> Document:
    axes: dict[str, st.SearchStrategy[Any]] = {
        **OF_A_RECIPE,
        f"optimizers.{draw(labels['optimizers'])}.learning_rate": st.sampled_from([0.1, 0.01, 0.001]),
        f"schedules.{draw(labels['schedules'])}.peak": st.sampled_from([0.1, 0.01, None]),
    }
    names = draw(st.lists(st.sampled_from(sorted(axes)), min_size=1, max_size=2, unique=True))
    return {name: draw(st.lists(axes[name], min_size=1, max_size=2, unique_by=repr)) for name in names}


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield (*way, key)
        yield from places(part, (*way, key))


def typo(name: str, chance: random.Random) -> str:
    """A name that is none."""
    place = chance.randrange(len(name) + 1)
    letter = chance.choice(string.ascii_lowercase)
    return chance.choice(
        [
            name[:place] + letter + name[place:],
            name[:place] + name[place + 1 :],
            name.upper(),
            name + "é",
            "",
            name + "\n",
        ]
    )


def broken(document: Document, chance: random.Random) -> Document:
    """`document` with one thing in it that is probably wrong."""
    result = deepcopy(document)
    way = chance.choice(list(places(result)))
    parent: Any = result
    for key in way[:-1]:
        parent = parent[key]
    last = way[-1]
    change = chance.choice(["value", "value", "value", "key", "list", "mapping", "lifted", "gone"])
    if change == "value":
        parent[last] = chance.choice(EXTREME)
    elif change == "key" and isinstance(parent, dict):
        parent[typo(last, chance)] = parent.pop(last)
    elif change == "list":
        parent[last] = [parent[last]]
    elif change == "mapping":
        parent[last] = {str(last): parent[last]}
    elif change == "lifted" and isinstance(parent[last], dict) and isinstance(parent, dict):
        parent.update(parent.pop(last))
    else:
        del parent[last]
    return result


def as_text(document: Document) -> str:
    """YAML 1.2 in the order of the mapping, the innermost lists and mappings in one line."""
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False
    text = StringIO()
    yaml.dump(document, text)
    return text.getvalue()


def scrambled(text: str, chance: random.Random) -> str:
    """YAML with a few characters that are not where they were."""
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(text) + 1)
        size = chance.choice([0, 1, 1, 5])
        text = (
            text[:place]
            + chance.choice(["", *":{}[],&*!|>%@`'\"#- \n\t?", "<<: ", "\x00", "é", "&a ", "*a "])
            + text[place + size :]
        )
    return text
