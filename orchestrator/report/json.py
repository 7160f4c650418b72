"""The comparison as JSON for programs. A later version may add keys; it renames and removes none.

A value that is not known is null: an interval from one seed, a trial without a result. `no_interval` of a recipe
explains why its final monitored metric has no interval. An infinite value is the string "inf", as JSON has no
number
for it: a target that was never reached, the loss of a diverged trial.
"""

import json
import math
from typing import Any

from orchestrator.analysis.comparison import Comparison
from orchestrator.analysis.observations import METRICS

_WHOLE_TABLES = (
    "horizons",
    "wins",
    "held_out",
    "robust_means",
    "seed_ranks",
    "certainty",
    "race",
    "targets",
    "profile",
    "sensitivity",
    "overtakes",
    "cost",
    "troubles",
)
_RANKING_KEYS = (
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
    "in_set",
    "best_probability",
    "behind_at_most",
    "verdict",
    "no_interval",
)


def valid(value: Any) -> Any:
    """`value` with every infinite number as a string and every NaN as null, in nested values too."""
    if isinstance(value, dict):
        return {key: valid(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [valid(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value


def text(value: Any, indent: int = 1) -> str:
    """`value` as strict JSON: ASCII, without NaN or Infinity, without a line break at the end.

    >>> print(text({"loss": float("nan")}, indent=0))
    {
    "loss": null
    }
    """
    return json.dumps(valid(value), indent=indent, allow_nan=False)


def _spread(row: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {end: row[f"{prefix}_{end}"] for end in ("mean", "low", "high")}


def document(comparison: Comparison) -> dict[str, Any]:
    """The comparison as nested values, NaN and infinite numbers among them."""
    stages: dict[str, dict[str, Any]] = {}
    for row in comparison.stages.to_pylist():
        figures = {"epoch": row["epoch"], "rank": row["rank"]} | {m: _spread(row, m) for m in METRICS}
        stages.setdefault(row["recipe"], {})[row["stage"]] = figures
    published: dict[str, dict[str, Any]] = {}
    for row in comparison.published.to_pylist():
        figures = {k: row[k] for k in ("published", "measured_mean", "difference", "inside")}
        published.setdefault(row["recipe"], {})[row["metric"]] = figures
    recipes = [
        {k: row[k] for k in ("optimizer", "schedule", "n")}
        | {k: row[k] for k in _RANKING_KEYS}
        | {
            "final": {m: _spread(row, f"final_{m}") for m in METRICS},
            "best": {m: _spread(row, f"best_{m}") for m in METRICS},
            "difference": _spread(row, "difference"),
            "stages": stages.get(row["recipe"], {}),
            "published": published.get(row["recipe"], {}),
        }
        for row in comparison.ranking.to_pylist()
    ]
    measured = {row["recipe"] for row in recipes}
    return {
        "sweep": comparison.sweep,
        "recipes": recipes,
        "answer": list(comparison.answer),
        "notes": list(comparison.notes),
        "monitor": comparison.monitor,
        "direction": comparison.direction,
        "level": comparison.level,
        "equivalence": comparison.equivalence,
        "winner_value": dict(comparison.winner_value),
        "target": {"value": comparison.target, "given": comparison.target_given},
        "published_elsewhere": {k: v for k, v in published.items() if k not in measured},
        "totals": comparison.totals.to_pylist()[0],
        **{name: comparison.tables[name].to_pylist() for name in _WHOLE_TABLES},
    }


def render(comparison: Comparison) -> str:
    """The document as JSON text, two spaces of indent, without NaN or Infinity."""
    return text(document(comparison), indent=2) + "\n"
