"""How settings are checked: against a signature, and against the values that each may take.

A check and its message share one description of what is expected.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

LARGEST_WHOLE = 2**63 - 1
"""What a column of whole numbers in the store holds."""
LARGEST_NUMBER = 3.4028234663852886e38
"""float32, in which everything is computed, goes no further."""
_LONGEST = 1000
_SWITCHES = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
"""Words that YAML 1.1 had for true and false."""


class InputError(ValueError):
    """A user's mistake. The message names the thing, what was expected, what came and what to do."""


def one_line(message: object) -> str:
    r"""`message` as one line that a terminal can show: controls escaped, the middle left out where it is endless.

    >>> one_line("a\nb")
    'a\\nb'
    """
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(message))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 4 :]}"


def last_line(error: BaseException) -> str:
    r"""What `error`, of somebody's own code, says in one line: its type and its last line.

    >>> last_line(ValueError("a\nb"))
    'ValueError: b'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__)


def unknown(where: str, kind: str, name: object, known: Iterable[str]) -> InputError:
    """The error for a name that is not among `known`, with the nearest one or, failing that, all of them.

    >>> str(unknown("schedules.cosin", "schedule", "cosin", ["constant", "cosine"]))
    "schedules.cosin: unknown schedule 'cosin'; did you mean 'cosine'?"
    """
    choices = sorted(known)
    near = difflib.get_close_matches(str(name).lower(), [c.lower() for c in choices], n=1)
    if near:
        hint = next(c for c in choices if c.lower() == near[0])
        return InputError(f"{where}: unknown {kind} {str(name)!r}; did you mean {hint!r}?")
    if not choices:
        return InputError(f"{where}: unknown {kind} {str(name)!r}; there is none")
    return InputError(f"{where}: unknown {kind} {str(name)!r}; expected one of: {', '.join(choices)}")


def mapping(where: str, value: Any, example: str | None = None) -> dict[str, Any]:
    """`value` as a mapping of settings. Raises InputError, which may show an `example`."""
    if isinstance(value, Mapping):
        return dict(value)
    expected = f"settings such as {example}" if example else "a mapping of settings"
    raise InputError(f"{where}: expected {expected}, got {'nothing' if value is None else repr(value)}")


def settings_of(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keyword-only parameters of `function`: they are its settings, with their types and defaults."""
    parameters = inspect.signature(function).parameters
    return {n: p for n, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind, config=ConfigDict(strict=False, allow_inf_nan=False))


def can_be_held(kind: Any) -> bool:
    """Whether `converted` knows what a value of type `kind` is."""
    try:
        _adapter(kind)
    except (PydanticUserError, TypeError):
        return False
    return True


@cache
def _inside(kind: Any) -> frozenset[Any]:
    """The plain types that a type is made of: those of tuple[float, ...] | None are float and None."""
    if get_origin(kind) is Literal:
        return frozenset({Literal})
    parts = [part for part in get_args(kind) if part is not Ellipsis]
    return frozenset().union(*map(_inside, parts)) if parts else frozenset({kind})


def converted(where: str, value: Any, kind: Any) -> Any:
    """`value` as type `kind`. Raises InputError naming `where`, what was expected and what came.

    A truth value is no number and the reverse; a whole number fits into 64 bits, any other into float32.

    >>> converted("epochs", 3.0, int), converted("decay", -0.0, float)
    (3, 0.0)
    """
    inside = _inside(kind)
    if bool in inside and not isinstance(value, bool) and value is not None:
        switch = _SWITCHES.get(str(value).lower())
        raise InputError(
            f"{where}: expected true or false, got {value!r}" + (f"; write {switch}" if switch else "")
        )
    if inside & {int, float} and bool not in inside:
        for path, part in _numbered(where, value):
            if isinstance(part, bool):
                raise InputError(f"{path}: expected a number, got {part!r}")
    try:
        result = _adapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f".{part}" for part in first["loc"] if isinstance(part, int))
        message = first["msg"][0].lower() + first["msg"][1:]
        raise InputError(f"{where}{place}: {message}, got {value!r}") from None
    for path, part in _numbered(where, result):
        _refuse_overflow(path, part)
    return _without_sign_of_zero(result)


def _numbered(where: str, value: Any) -> list[tuple[str, Any]]:
    """A value, or each of several, with its place."""
    if isinstance(value, list | tuple):
        return [(f"{where}.{n}", part) for n, part in enumerate(value)]
    return [(where, value)]


def _refuse_overflow(where: str, value: Any) -> None:
    if isinstance(value, float) and abs(value) > LARGEST_NUMBER:
        raise InputError(f"{where}: expected a number that float32 holds, at most 3.4e38, got {value!r}")
    if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        raise InputError(f"{where}: expected a whole number of 64 bits, at most {LARGEST_WHOLE}, got {value!r}")


def _without_sign_of_zero(value: Any) -> Any:
    """-0.0 and 0.0 mean the same, but would be two numbers to whoever compares their text."""
    if isinstance(value, tuple):
        return tuple(map(_without_sign_of_zero, value))
    return value + 0.0 if isinstance(value, float) else value


def checked(where: str, given: Mapping[str, Any], function: Callable[..., Any]) -> dict[str, Any]:
    """`given` held against the settings of `function`: every setting, defaults filled in, types converted.

    Raises InputError for a name that is no setting, a value of the wrong type, or a missing setting.
    """
    known, hints = settings_of(function), get_type_hints(function)
    for name in given:
        if name not in known:
            raise unknown(f"{where}.{name}", "setting", name, known)
    result = {}
    for name, parameter in known.items():
        if name in given:
            result[name] = converted(f"{where}.{name}", given[name], hints[name])
        elif parameter.default is inspect.Parameter.empty:
            raise InputError(f"{where}: setting {name!r} is missing")
        else:
            result[name] = parameter.default
    return result


@dataclass(frozen=True)
class Limit:
    """What is expected of a number, in words and as a test; a tuple is held against it number by number."""

    expected: str
    holds: Callable[[float], bool]

    def check(self, where: str, value: Any) -> None:
        """Raise InputError, naming `where`, what was expected and what came, when `value` is outside.

        >>> POSITIVE.check("schedules.step.every", 0.0)
        Traceback (most recent call last):
        ...
        experiments.settings.InputError: schedules.step.every: expected a number above 0, got 0.0
        """
        for number in value if isinstance(value, tuple) else (value,):
            if not self.holds(number):
                raise InputError(f"{where}: expected {self.expected}, got {number!r}")


POSITIVE = Limit("a number above 0", lambda number: number > 0)
NOT_NEGATIVE = Limit("0 or more", lambda number: number >= 0)
AT_LEAST_ONE = Limit("1 or more", lambda number: number >= 1)
FRACTION = Limit("a number from 0 to 1", lambda number: 0 <= number <= 1)
REDUCTION = Limit("a number above 0 and at most 1", lambda number: 0 < number <= 1)
STRICT_REDUCTION = Limit("a number above 0 and below 1", lambda number: 0 < number < 1)
BELOW_ONE = Limit("at least 0 and below 1", lambda number: 0 <= number < 1)


def whole(least: int, most: int, of: str = "") -> Limit:
    """Whole numbers from `least` to `most`, both included, `of` something.

    >>> whole(1, 100, "epochs").expected
    '1 to 100 epochs'
    """
    return Limit(f"{least:,} to {most:,} {of}".rstrip(), lambda number: least <= number <= most)


def within(where: str, settings: Mapping[str, Any], limits: Mapping[str, Limit]) -> None:
    """Hold every setting that has a limit against it. Raises InputError for the first one outside."""
    for name, limit in limits.items():
        limit.check(f"{where}.{name}", settings[name])
