"""Several shapes one after the other: `sequence: [{warmup: 3}, {constant: 10}, {cosine: rest}]`.

A part is a mapping of one key, the shape, to its length in epochs or `rest` (whatever the others leave), or
to a mapping with the key `epochs` and the settings of the shape: `{cosine: {epochs: rest, final: 0.01}}`.
Every part is a fraction of the same peak, with t from its own beginning and its own length as the total.
`warmup` is a part too, linear from `start` (0) to the peak. The user's own shapes can be parts.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from experiments.schedules import custom, cyclic, decays
from experiments.schedules.decays import Array, Settings, Shape, ramp
from experiments.settings import POSITIVE, InputError, converted, unknown

REST = "rest"
Part = Mapping[str, Mapping[str, Any]]

PARTS: dict[str, Shape] = {
    "warmup": Shape(ramp, uses_total=True),
    **{
        name: row
        for name, row in (decays.ROWS | cyclic.ROWS).items()
        # A plateau acts on the whole run, and learning rates themselves have no peak to share.
        if name != "plateau" and not row.absolute
    },
}


def _row(key_path: str, name: str) -> Shape:
    if custom.is_own(name):
        return custom.load(key_path, name)
    if name not in PARTS:
        raise unknown(key_path, "part of a sequence", name, PARTS)
    return PARTS[name]


def _split(part: Part) -> tuple[str, float | str, dict[str, Any]]:
    """Name, length in epochs (or `rest`) and settings of a checked part."""
    ((name, part_value),) = part.items()
    return name, part_value["epochs"], {key: value for key, value in part_value.items() if key != "epochs"}


def _lengths(parts: tuple[Part, ...], total: float) -> list[float]:
    epochs = [_split(part)[1] for part in parts]
    fixed = sum(length for length in epochs if isinstance(length, float))
    return [length if isinstance(length, float) else max(total - fixed, 0.0) for length in epochs]


def joined(
    t: Array,
    total: float,
    *,
    sequence: Annotated[tuple[Any, ...], "the parts: `{warmup: 3}`, `{cosine: {epochs: rest, final: 0.01}}`"],
) -> Array:
    """The parts of `sequence` one after the other, each for its `epochs`; `rest` is what the others leave.

    >>> parts = ({"warmup": {"epochs": 1.0, "start": 0.0}}, {"linear": {"epochs": "rest", "final": 0.2}})
    >>> from experiments.schedules.decays import times
    >>> joined(times(2, 2), 2.0, sequence=parts).round(3).tolist()
    [[0.0, 0.5], [1.0, 0.6]]
    """
    values = np.zeros_like(t)
    lengths = _lengths(sequence, total)
    begins = np.cumsum([0.0, *lengths[:-1]])
    ends = [*begins[1:], np.inf]
    for part, length, begin, end in zip(sequence, lengths, begins, ends, strict=True):
        # 1e-9 because lengths such as 0.1 add up inexactly.
        first, last = np.searchsorted(t[:, -1], begin - 1e-9), np.searchsorted(t[:, 0], end)
        if length > 0 and first < last:
            name, _, settings = _split(part)
            part_time = t[first:last]
            fractions = _row(name, name).function(np.clip(part_time - begin, 0.0, length), length, **settings)
            # In an epoch that two parts share, the steps before `begin` stay the earlier one's.
            values[first:last] = np.where(part_time >= begin - 1e-9, fractions, values[first:last])
    return values


def _checked_part(key_path: str, part: Any) -> dict[str, Any]:
    if not isinstance(part, Mapping) or len(part) != 1:
        raise InputError(f"{key_path}: expected one shape and its length, such as {{cosine: rest}}, got {part!r}")
    ((name, part_value),) = part.items()
    row = _row(key_path, str(name))
    place = f"{key_path}.{name}"
    settings = dict(part_value) if isinstance(part_value, Mapping) else {"epochs": part_value}
    if "epochs" not in settings:
        raise InputError(f"{place}: setting 'epochs' is missing; expected a number of epochs or {REST!r}")
    epochs = settings.pop("epochs")
    if epochs != REST:
        epochs = converted(f"{place}.epochs", epochs, float)
        POSITIVE.check(f"{place}.epochs", epochs)
    return {str(name): {"epochs": epochs, **row.check(place, settings, also=("epochs",))}}


def _checked_parts(key_path: str, settings: dict[str, Any]) -> dict[str, Any]:
    parts = tuple(_checked_part(f"{key_path}.sequence.{n}", part) for n, part in enumerate(settings["sequence"]))
    if not parts:
        raise InputError(f"{key_path}.sequence: expected at least one part, such as {{cosine: rest}}, got none")
    if sum(_split(part)[1] == REST for part in parts) > 1:
        raise InputError(f"{key_path}.sequence: only one part can have the {REST!r} of the epochs")
    return {"sequence": parts}


def _fits(key_path: str, settings: Settings, total: float) -> None:
    parts = settings["sequence"]
    lengths = _lengths(parts, total)
    names = f"{key_path}.sequence"
    if 0.0 in lengths:
        fixed = sum(lengths)
        raise InputError(
            f"{names}: its fixed parts take {fixed:g} epochs and the schedule has {total:g}, "
            f"so nothing is left for {REST!r}; run more epochs or make them shorter"
        )
    if abs(sum(lengths) - total) > 1e-9:
        raise InputError(
            f"{names}: its parts take {sum(lengths):g} epochs and the schedule has {total:g}; "
            f"give one part {REST!r} as its length"
        )
    for n, (part, length) in enumerate(zip(parts, lengths, strict=True)):
        name, _, inner = _split(part)
        require = _row(names, name).require
        if require:
            require(f"{names}.{n}.{name}", inner, length)


def _depends_on_total(settings: Settings) -> bool:
    """Only through `rest`: it moves what comes after it, or is the total of a part that needs one."""
    *before, last = settings["sequence"]
    if any(_split(part)[1] == REST for part in before):
        return True
    name, epochs, inner = _split(last)
    uses_total = _row(name, name).uses_total
    return epochs == REST and (uses_total(inner) if callable(uses_total) else uses_total)


ROWS: dict[str, Shape] = {
    "sequence": Shape(joined, uses_total=_depends_on_total, agree=_checked_parts, require=_fits),
}
