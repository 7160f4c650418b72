"""The keys of a sweep file: what each is, its default and its limit, which the check of a sweep goes by.

What stands inside `data:`, `model:`, an optimizer or a schedule is declared where that is checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from experiments.callbacks import METRICS, Monitor
from experiments.models import vgg
from experiments.settings import NOT_NEGATIVE, REQUIRED, Choice, InWords, Setting, whole

NEEDED, LADDER, ALL = CHECKPOINT_POLICIES = ("needed", "ladder", "all")
"""Which checkpoints stay: the newest and the best; these and a few on the way there; that of every epoch."""


@dataclass(frozen=True)
class Key(Setting):
    """One key of a sweep file."""

    in_recipes: bool = False
    """Whether a recipe or a grid axis may set it for itself."""


_ROWS = (
    Key("name", "label", InWords("the name of the file"), None, "the folder of the sweep among the results"),
    Key("data", "mapping", REQUIRED, None, "which images, how large, and how they are divided", True),
    Key("model", "mapping", {}, None, "the network", True),
    Key(
        "batch_size", int | Literal["full"], 16, whole(1, 2**31 - 1, "images"),
        "images of a step; `full` is batch gradient descent", True,
    ),
    Key(
        "epochs", int | tuple[int, ...], REQUIRED, whole(1, 100_000),
        "how long each trial trains; a list is an axis: every recipe is trained at each length, its schedule laid "
        "out for that length, but for recipes with `epochs` of their own; a recipe's own is one number", True,
    ),
    Key("seeds", tuple[int, ...], [0], whole(0, 2**63 - 1), "the repetitions of each recipe"),
    Key("optimizers", "mapping of labels", REQUIRED, None, "the optimizers, each under a label"),
    Key(
        "schedules", "mapping of labels", InWords("must be given, but for `recipes`"), None,
        "the schedules, each under a label, which is the name of its shape unless `name` is",
    ),
    Key(
        "recipes", "list of mappings", None, None,
        "in place of the grid, pairs of `optimizer` and `schedule`, each with settings that it alone has; "
        "`published` has figures to be shown beside those that are measured",
    ),
    Key("grid", "mapping of lists", None, None, "axes: settings, each with the values that it takes in turn"),
    Key("range_test", "mapping", {}, None, "what `auto` in the place of a learning rate stands for"),
    Key("early_stopping", "mapping", None, None, "when training ends early; null is never", True),
    Key("reduce_on_plateau", "mapping", None, None, "when the learning rate is reduced; null is never", True),
    Key("monitor", str, "val_accuracy", Monitor("value", METRICS), "what the best epoch is chosen by", True),
    Key(
        "equivalence", float, None, NOT_NEGATIVE,
        "the difference of the monitored metric that does not matter to the comparison; null is none",
    ),
    Key(
        "race", "mapping", None, None,
        "seeds where they decide: recipes that cannot be the best get no more of them; null gives all the same",
    ),
    Key("budget", "mapping", None, None, "how much may be trained in all runs together; null is no limit"),
    Key("precision", str, "float32", Choice("value", vgg.PRECISIONS), "in which numbers the layers compute", True),
    Key("deterministic", bool, True, None, "whether the same trial gives the same bits again", True),
    Key("resources", "mapping", {}, None, "what one trial occupies", True),
    Key("retries", int, 2, whole(0, 1_000_000), "attempts in a row without a new epoch, when a worker dies"),
    Key("results", str, "results", None, "the folder of the results, or its address in a bucket"),
    Key("trainer", str, "experiments.trainer:Trainer", None, "module:Class that trains an epoch"),
    Key(
        "checkpoints", str | None, None, Choice("value", CHECKPOINT_POLICIES),
        "which checkpoints of a trial stay: `needed` is the newest and the best, `ladder` also a few on the way, "
        "`all` is each; null is `ladder` where `epochs` is a list, and `needed` elsewhere",
    ),
    Key("save_best", bool, True, None, "whether the best model of each trial is written as a .keras file"),
)  # fmt: skip
KEYS: Mapping[str, Key] = {key.name: key for key in _ROWS}


def value_of(document: Mapping[str, Any], key: str) -> Any:
    """What a sweep file says under `key`, or the default."""
    return document.get(key, KEYS[key].default)


def lengths_of(document: Mapping[str, Any]) -> tuple[Any, ...]:
    """The training lengths that a sweep file lists under `epochs`; empty where it has a single one."""
    epochs = document.get("epochs")
    return tuple(epochs) if isinstance(epochs, list) and len(epochs) != 1 else ()


def checkpoints_of(document: Mapping[str, Any]) -> str:
    """One of CHECKPOINT_POLICIES: what a checked sweep file says, or what it means where it says nothing.

    >>> checkpoints_of({"epochs": 20}), checkpoints_of({"epochs": [10, 20]})
    ('needed', 'ladder')
    """
    policy: str | None = document.get("checkpoints")
    if policy is None:
        return LADDER if lengths_of(document) else NEEDED
    return policy


def require(key: str, value: Any) -> None:
    """Raise InputError where `value` is outside the limit of `key`; null is a value as others."""
    limit = KEYS[key].limit
    if limit is not None:
        limit.check(key, value)
