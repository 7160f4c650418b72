"""Every schedule as its formula says, step by step, in exact fractions: the reference for the tables.

Times, lengths and settings are fractions of whole numbers, so that a boundary is reached or not, with nothing in
between; what is no fraction (powers, cosines) is computed with 40 decimal digits. Nothing here is taken from
`experiments`.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import Any

Settings = Mapping[str, Any]
Shape = Callable[[Fraction, Fraction, Settings], Fraction]
DIGITS = 40
PI = Fraction("3.14159265358979323846264338327950288419716939937511")


def power(base: Fraction, exponent: Fraction) -> Fraction:
    """`base`, 0 or more, to `exponent`."""
    if exponent == 0 or base == 1:
        return Fraction(1)
    if base == 0:
        return Fraction(0)
    if exponent.denominator == 1 and abs(exponent) < 64:
        return base ** int(exponent)
    with localcontext() as context:
        context.prec = DIGITS
        return Fraction(_decimal(base) ** _decimal(exponent))


def cosine(angle: Fraction) -> Fraction:
    """The cosine of `angle`, in radians, by its series."""
    with localcontext() as context:
        context.prec = DIGITS + 10
        x = _decimal(angle % (2 * PI))
        term = total = Decimal(1)
        for n in range(1, 60):
            term = -term * x * x / ((2 * n - 1) * (2 * n))
            total += term
        return Fraction(total)


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def _part(t: Fraction, total: Fraction) -> Fraction:
    return min(max(t / total, Fraction(0)), Fraction(1))


def _half_cosine(x: Fraction, final: Fraction) -> Fraction:
    return final + (1 - final) * (1 + cosine(PI * x)) / 2


def _line(x: Fraction, corners: list[tuple[Fraction, Fraction]]) -> Fraction:
    """The height at `x` of straight lines through `corners`; of two at one place the later one counts."""
    for (left, low), (right, high) in reversed(list(pairwise(corners))):
        if x >= left and right > left:
            return low + (high - low) * (x - left) / (right - left)
    return corners[0][1]


def _piecewise(t: Fraction, total: Fraction, s: Settings) -> Fraction:
    reached = sum(1 for boundary in s["boundaries"] if t >= boundary)
    return Fraction(s["values"][reached])


def _sgdr(t: Fraction, total: Fraction, s: Settings) -> Fraction:
    begin, length, peak = Fraction(0), s["period"], Fraction(1)
    while t >= begin + length:
        begin += length
        length *= s["multiplier"]
        peak *= s["peak_decay"]
    peak = max(peak, s["final"]) if s["peak_decay"] != 1 else Fraction(1)
    return s["final"] + (peak - s["final"]) * (1 + cosine(PI * (t - begin) / length)) / 2


def _one_cycle(t: Fraction, total: Fraction, s: Settings) -> Fraction:
    low, end, top = 1 / s["start_division"], 1 / s["final_division"], Fraction(1)
    places = [Fraction(0), s["up"], s["up"] + s["down"], Fraction(1)]
    return _line(_part(t, total), list(zip(places, [low, top, low, end], strict=True)))


def _triangle(t: Fraction, period: Fraction) -> tuple[int, Fraction]:
    cycle = t // period
    inside = t / period - cycle
    return cycle, 2 * min(inside, 1 - inside)


def _triangular(shrunk: Callable[[int, Fraction, Settings], Fraction]) -> Shape:
    def shape(t: Fraction, total: Fraction, s: Settings) -> Fraction:
        cycle, height = _triangle(t, s["period"])
        return s["base"] + (1 - s["base"]) * height * shrunk(cycle, t, s)

    return shape


def _stable(t: Fraction, total: Fraction, s: Settings) -> Fraction:
    decay = s["decay_fraction"] * total
    x = min(max((t - (total - decay)) / decay, Fraction(0)), Fraction(1))
    rising = _part(t, s["warmup_epochs"]) if s["warmup_epochs"] else Fraction(1)
    return rising * (1 - (1 - s["final"]) * power(x, s["exponent"]))


def _published_one_cycle(e: Fraction, total: Fraction, s: Settings) -> Fraction:
    if e < 18:
        return (e + 1) / 18
    if e < 36:
        return Fraction("0.475") * (Fraction("1.2") + cosine(Fraction("3.14") * (e - 18) / 18))
    return power(Fraction(1, 2), (1 + e) / 4) / 10


def _sequence(t: Fraction, total: Fraction, s: Settings) -> Fraction:
    parts = s["sequence"]
    fixed = sum(part[1] for part in parts if part[1] != "rest")
    begin = Fraction(0)
    for number, (name, epochs, settings) in enumerate(parts):
        length = total - fixed if epochs == "rest" else epochs
        if t < begin + length or number == len(parts) - 1:
            return SHAPES[name](min(t - begin, length), length, settings)
        begin += length
    raise AssertionError("a sequence has a last part")


SHAPES: dict[str, Shape] = {
    "warmup": lambda t, total, s: s["start"] + (1 - s["start"]) * _part(t, total),
    "constant": lambda t, total, s: Fraction(1),
    "plateau": lambda t, total, s: Fraction(1),
    "power": lambda t, total, s: power(1 - _part(t, total), s["exponent"]),
    "inverse-time": lambda t, total, s: 1 / (1 + s["decay_rate"] * t),
    "linear": lambda t, total, s: 1 - (1 - s["final"]) * _part(t, total),
    "exponential": lambda t, total, s: power(s["factor"], t / s["every"]),
    "step": lambda t, total, s: power(s["factor"], Fraction(t // s["every"])),
    "piecewise": _piecewise,
    "polynomial": lambda t, total, s: s["final"] + (1 - s["final"]) * power(1 - _part(t, total), s["power"]),
    "cosine": lambda t, total, s: _half_cosine(_part(t, total), s["final"]),
    "inverse-square-root": lambda t, total, s: power(1 + t / s["timescale"], Fraction(-1, 2)),
    "rex": lambda t, total, s: (1 - _part(t, total)) / (1 - _part(t, total) / 2),
    "range-test": lambda t, total, s: s["start"] * power(s["end"] / s["start"], _part(t, total)),
    "sgdr": _sgdr,
    "one-cycle": _one_cycle,
    "triangular": _triangular(lambda cycle, t, s: Fraction(1)),
    "triangular2": _triangular(lambda cycle, t, s: Fraction(1, 2**cycle)),
    "exp-range": _triangular(lambda cycle, t, s: power(s["gamma"], t)),
    "warm-up-stable-decay": _stable,
    "sequence": _sequence,
    "published-power": lambda e, total, s: power(1 - e / total, Fraction("0.8")),
    "published-linear": lambda e, total, s: 1 / (1 + Fraction("0.98") * e),
    "published-exponential": lambda e, total, s: power(Fraction("0.2"), (e + 1) / total),
    "published-cosine": lambda e, total, s: Fraction("0.495") * (1 + cosine(Fraction("3.14") * e / total)),
    "published-sgdr": lambda e, total, s: Fraction("0.495") * (1 + cosine(Fraction("3.14") * (e % 10) / 10)),
    "published-range-test": lambda e, total, s: power(Fraction(10), e // 5 - 7) * (1 + Fraction("1.6") * (e % 5)),
    "published-one-cycle": _published_one_cycle,
}
"""(t, total, settings) -> the fraction of the peak at time t, in epochs since the shape began."""

ABSOLUTE = ("range-test", "published-range-test")
"""The shapes that give learning rates themselves."""


def rate(
    shape: str,
    settings: Settings,
    epoch: int,
    step: int,
    *,
    epochs: int,
    steps: int,
    peak: Fraction,
    by: str = "step",
    warmup: tuple[Fraction, Fraction] | None = None,
    decay: Fraction = Fraction(0),
) -> Fraction:
    """The learning rate of one weight step; `warmup` is its length in epochs and where it starts."""
    t = Fraction(epoch) + (Fraction(step, steps) if by == "step" else 0)
    scale = Fraction(1) if shape in ABSOLUTE else peak
    length, start = warmup or (Fraction(0), Fraction(0))
    total = epochs - length if epochs > length else Fraction(1)
    if warmup and t < length:
        top = SHAPES[shape](Fraction(0), total, settings) if shape in ABSOLUTE else Fraction(1)
        value = top * (start + (1 - start) * t / length)
    else:
        value = SHAPES[shape](t - length, total, settings)
    return scale * value / (1 + decay * (epoch * steps + step))
