"""Learning-rate schedules: each is a pure function to a table of learning rates, float32 [epochs, steps]."""

from experiments.schedules.schedule import (
    SHAPES,
    Schedule,
    Warmup,
    check,
    follows_optimizer,
    momentum_table,
    require,
    table,
    uses_total,
)

__all__ = [
    "SHAPES",
    "Schedule",
    "Warmup",
    "check",
    "follows_optimizer",
    "momentum_table",
    "require",
    "table",
    "uses_total",
]
