"""The comparison for programs. Keys may be added; those that are there stay.

null is what is not known (no interval from one seed, no result); a recipe's `no_interval` says why the final
monitored metric has none. What has no bound, a target never reached or
the loss of a diverged trial, is the string "inf", as JSON has no number for it and null would say something
else.
"""

import json
import math
from typing import Any

from orchestrator.analysis.comparison import Comparison
from orchestrator.analysis.observations import METRICS

_PLAIN = ("targets", "profile", "sensitivity", "overtakes", "cost", "troubles")
_OWN = (
    "rank",
    "recipe",
    "settings",
    "planned",
    "diverged",
    "best_epoch",
    "epochs",
    "seconds",
    "pairs",
    "p",
    "verdict",
    "no_interval",
)


def valid(value: Any) -> Any:
    """`value` with every infinite number as a string and every NaN as null, all the way down."""
    if isinstance(value, dict):
        return {key: valid(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [valid(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value


def text(value: Any, indent: int = 1) -> str:
    """`value` as JSON that every parser takes: ASCII, without NaN or Infinity. It ends without a line break.

    >>> print(text({"loss": float("nan")}, indent=0))
    {
    "loss": null
    }
    """
    return json.dumps(valid(value), indent=indent, allow_nan=False)


def _spread(row: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {end: row[f"{prefix}_{end}"] for end in ("mean", "low", "high")}


def document(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain values, not yet made valid JSON."""
    at_stage: dict[str, dict[str, Any]] = {}
    for row in comparison.stages.to_pylist():
        figures = {"epoch": row["epoch"], "rank": row["rank"]} | {m: _spread(row, m) for m in METRICS}
        at_stage.setdefault(row["recipe"], {})[row["stage"]] = figures
    beside: dict[str, dict[str, Any]] = {}
    for row in comparison.published.to_pylist():
        figures = {k: row[k] for k in ("published", "measured_mean", "difference", "inside")}
        beside.setdefault(row["recipe"], {})[row["metric"]] = figures
    recipes = [
        {k: row[k] for k in ("optimizer", "schedule", "n")}
        | {k: row[k] for k in _OWN}
        | {
            "final": {m: _spread(row, f"final_{m}") for m in METRICS},
            "best": {m: _spread(row, f"best_{m}") for m in METRICS},
            "difference": _spread(row, "difference"),
            "stages": at_stage.get(row["recipe"], {}),
            "published": beside.get(row["recipe"], {}),
        }
        for row in comparison.ranking.to_pylist()
    ]
    listed = {row["recipe"] for row in recipes}
    return {
        "sweep": comparison.sweep,
        "recipes": recipes,
        "answer": list(comparison.answer),
        "notes": list(comparison.notes),
        "monitor": comparison.monitor,
        "direction": comparison.direction,
        "level": comparison.level,
        "target": {"value": comparison.target, "given": comparison.target_given},
        "published_elsewhere": {k: v for k, v in beside.items() if k not in listed},
        "totals": comparison.totals.to_pylist()[0],
        **{name: comparison.tables[name].to_pylist() for name in _PLAIN},
    }


def render(comparison: Comparison) -> str:
    """The document as JSON text, two spaces of indent, without NaN or Infinity."""
    return text(document(comparison), indent=2) + "\n"
