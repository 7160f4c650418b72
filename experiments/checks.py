"""How settings are checked: one way to say what was wrong, one way to hold settings against a signature."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError


class InputError(ValueError):
    """A user's mistake. The message names the thing, what was expected, what came and what to do."""


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
    return InputError(f"{where}: unknown {kind} {str(name)!r}; expected one of: {', '.join(choices)}")


def settings_of(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keyword-only parameters of `function`: they are its settings, with their types and defaults."""
    parameters = inspect.signature(function).parameters
    return {n: p for n, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind, config=ConfigDict(strict=False, allow_inf_nan=False))


def converted(where: str, value: Any, kind: Any) -> Any:
    """`value` as type `kind`. Raises InputError naming `where`, what was expected and what came."""
    if isinstance(value, bool) and kind in (int, float, int | None, float | None):
        raise InputError(f"{where}: expected a number, got {value!r}")
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        inside = "".join(f".{part}" for part in first["loc"] if isinstance(part, int))
        message = first["msg"][0].lower() + first["msg"][1:]
        raise InputError(f"{where}{inside}: {message}, got {value!r}") from None


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
