"""The settings without which a shape is none."""

from typing import Any

# Settings for the shapes that have no defaults for all of theirs.
NEEDED: dict[str, dict[str, Any]] = {
    "exponential": {"every": 4},
    "step": {"every": 4},
    "piecewise": {"boundaries": [2, 4.5], "values": [1, 0.5, 0.1]},
    "sequence": {"sequence": [{"warmup": 2}, {"constant": 2}, {"cosine": "rest"}]},
}
