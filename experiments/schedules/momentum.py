"""Momentum that a schedule cycles against its learning rate: high while the rate is low, and the reverse.

    one-cycle: {momentum: {low: 0.85, high: 0.95}}

Source: Smith & Topin 2017, https://arxiv.org/abs/1708.07120, and Smith 2018, https://arxiv.org/abs/1803.09820.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from experiments.schedules.decays import Array
from experiments.settings import BELOW_ONE, InputError, checked


@dataclass(frozen=True, kw_only=True)
class Momentum:
    """`low` where the cycle's rate is at its peak, `high` where the cycle begins and ends."""

    low: Annotated[float, BELOW_ONE, "where the learning rate is at its peak; below `high`"] = 0.85
    high: Annotated[float, BELOW_ONE, "where the cycle begins and ends"] = 0.95


def check_momentum(key_path: str, values: Mapping[str, Any]) -> Momentum:
    """`values` as a Momentum. Raises InputError for other settings, values outside 0..1, and low above high.

    >>> check_momentum("schedules.one-cycle.momentum", {"low": 0.8})
    Momentum(low=0.8, high=0.95)
    """
    settings = checked(key_path, values, Momentum)
    if settings["low"] >= settings["high"]:
        raise InputError(f"{key_path}: expected low below high, got {settings['low']:g} and {settings['high']:g}")
    return Momentum(**settings)


def against(fractions: Array, lowest: float, momentum: Momentum) -> Array:
    """The momentum for each of `fractions` of the peak, in the same shape: a straight line between its ends.

    It is `high` at `lowest`, where a cycle begins, and below it (in the tail of one-cycle); `low` at the peak.

    >>> against(np.array([[0.1, 0.55], [1.0, 0.01]]), 0.1, Momentum()).round(3).tolist()
    [[0.95, 0.9], [0.85, 0.95]]
    """
    height = np.clip((fractions - lowest) / (1.0 - lowest), 0.0, 1.0)
    return momentum.high - (momentum.high - momentum.low) * height
