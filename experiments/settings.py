"""How settings are declared and checked: one way to say what each is, one way to say what was wrong.

A setting is a field of a dataclass, or a keyword-only parameter of a function. Its type, default, limit and
meaning stand there and nowhere else: the check goes by them, and so does the reference of `sweep help keys`.

    factor: Annotated[float, STRICT_REDUCTION, "what the learning rate is multiplied by"] = 0.1
"""

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

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
    line = last_line_of(str(error))
    return one_line(f"{type(error).__name__}: {line}" if line else type(error).__name__)


def last_line_of(text: str) -> str:
    r"""The last line of `text` that is not blank, without its margins; empty where there is none.

    >>> last_line_of("a\n b\n\n")
    'b'
    """
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def unknown(key_path: str, kind: str, name: object, known: Iterable[str]) -> InputError:
    """The error for a name that is not among `known`, with the nearest one or, failing that, all of them.

    >>> str(unknown("schedules.cosin", "schedule", "cosin", ["constant", "cosine"]))
    "schedules.cosin: unknown schedule 'cosin'; did you mean 'cosine'?"
    """
    choices = sorted(known)
    near = difflib.get_close_matches(str(name).lower(), [c.lower() for c in choices], n=1)
    if near:
        hint = next(c for c in choices if c.lower() == near[0])
        return InputError(f"{key_path}: unknown {kind} {str(name)!r}; did you mean {hint!r}?")
    if not choices:
        return InputError(f"{key_path}: unknown {kind} {str(name)!r}; there is none")
    return InputError(f"{key_path}: unknown {kind} {str(name)!r}; expected one of: {', '.join(choices)}")


def mapping(key_path: str, value: Any, example: str | None = None) -> dict[str, Any]:
    """`value` as a mapping of settings. Raises InputError, which may show an `example`."""
    if isinstance(value, Mapping):
        return dict(value)
    expected = f"settings such as {example}" if example else "a mapping of settings"
    raise InputError(f"{key_path}: expected {expected}, got {'nothing' if value is None else repr(value)}")


REQUIRED = inspect.Parameter.empty
"""The default of a setting that must be given."""
UNTYPED = inspect.Parameter.empty
"""The kind of a setting whose type is not said."""


class InWords(str):
    """A default that depends on something else, as a reference says it."""


@dataclass(frozen=True)
class Setting:
    """One setting: what its check goes by, and what a reference says of it.

    `kind` is a type, or words for what no type describes. The limit holds where the value is not None.
    """

    name: str
    kind: Any
    default: Any = REQUIRED
    limit: "Limit | Choice | None" = None
    meaning: str = ""

    def checked(self, key_path: str, value: Any) -> Any:
        """`value` as this setting's type and within its limit. Raises InputError."""
        result = converted(key_path, value, self.kind)
        self.require_limit(key_path, result)
        return result

    def require_limit(self, key_path: str, value: Any) -> None:
        """Raise InputError where `value`, of the right type, is outside the limit."""
        if self.limit is not None and value is not None:
            self.limit.check(key_path, value)


def settings_of(source: Callable[..., Any]) -> Mapping[str, Setting]:
    """The settings that `source` declares: a dataclass by its fields, a function by its keyword-only parameters.

    Raises whatever the evaluation of an annotation raises.
    """
    hashable: Any = source
    return _remembered_settings(hashable) if isinstance(source, Hashable) else _settings(source)


def _settings(source: Callable[..., Any]) -> Mapping[str, Setting]:
    parameters = inspect.signature(source).parameters
    hints = get_type_hints(source, include_extras=True)
    every = dataclasses.is_dataclass(source)
    return MappingProxyType(
        {
            name: _declared(name, hints.get(name, UNTYPED), parameter.default)
            for name, parameter in parameters.items()
            if every or parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }
    )


_remembered_settings = cache(_settings)


def _declared(name: str, hint: Any, default: Any) -> Setting:
    kind, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    limit = next((extra for extra in extras if isinstance(extra, Limit | Choice)), None)
    meaning = next((extra for extra in extras if isinstance(extra, str)), "")
    return Setting(name, kind, default, limit, meaning)


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


def converted(key_path: str, value: Any, kind: Any) -> Any:
    """`value` as type `kind`. Raises InputError naming `key_path`, what was expected and what came.

    A truth value is no number and the reverse; a whole number fits into 64 bits, any other into float32.

    >>> converted("epochs", 3.0, int), converted("decay", -0.0, float)
    (3, 0.0)
    """
    inside = _inside(kind)
    if bool in inside and not isinstance(value, bool) and value is not None:
        switch = _SWITCHES.get(str(value).lower())
        raise InputError(
            f"{key_path}: expected true or false, got {value!r}" + (f"; write {switch}" if switch else "")
        )
    if inside & {int, float} and bool not in inside:
        for path, part in _numbered(key_path, value):
            if isinstance(part, bool):
                raise InputError(f"{path}: expected a number, got {part!r}")
    try:
        result = _adapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f".{part}" for part in first["loc"] if isinstance(part, int))
        message = first["msg"][0].lower() + first["msg"][1:]
        raise InputError(f"{key_path}{place}: {message}, got {value!r}") from None
    for path, part in _numbered(key_path, result):
        _refuse_overflow(path, part)
    return _without_sign_of_zero(result)


def _numbered(key_path: str, value: Any) -> list[tuple[str, Any]]:
    """A value, or each of several, with its place."""
    if isinstance(value, list | tuple):
        return [(f"{key_path}.{n}", part) for n, part in enumerate(value)]
    return [(key_path, value)]


def _refuse_overflow(key_path: str, value: Any) -> None:
    if isinstance(value, float) and abs(value) > LARGEST_NUMBER:
        raise InputError(f"{key_path}: expected a number that float32 holds, at most 3.4e38, got {value!r}")
    if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        raise InputError(f"{key_path}: expected a whole number of 64 bits, at most {LARGEST_WHOLE}, got {value!r}")


def _without_sign_of_zero(value: Any) -> Any:
    """-0.0 and 0.0 mean the same, but would be two numbers to whoever compares their text."""
    if isinstance(value, tuple):
        return tuple(map(_without_sign_of_zero, value))
    return value + 0.0 if isinstance(value, float) else value


def checked(key_path: str, values: Mapping[str, Any], source: Callable[..., Any]) -> dict[str, Any]:
    """`values` held against the settings that `source` declares: all of them, defaults filled in, types converted.

    Raises InputError for a name that is no setting, a missing setting, and a value of the wrong type or outside
    its limit.
    """
    known = settings_of(source)
    for name in values:
        if name not in known:
            raise unknown(f"{key_path}.{name}", "setting", name, known)
    result = {}
    for name, setting in known.items():
        if name in values:
            result[name] = converted(f"{key_path}.{name}", values[name], setting.kind)
        elif setting.default is REQUIRED:
            raise InputError(f"{key_path}: setting {name!r} is missing")
        else:
            result[name] = setting.default
    for name, value in result.items():
        known[name].require_limit(f"{key_path}.{name}", value)
    return result


@dataclass(frozen=True)
class Limit:
    """What is expected of a number, in words and as a test; a tuple is held against it number by number."""

    expected: str
    holds: Callable[[float], bool]

    def check(self, key_path: str, value: Any) -> None:
        """Raise InputError, naming `key_path`, what was expected and what came, when `value` is outside.

        >>> POSITIVE.check("schedules.step.every", 0.0)
        Traceback (most recent call last):
        ...
        experiments.settings.InputError: schedules.step.every: expected a number above 0, got 0.0
        """
        for number in value if isinstance(value, tuple) else (value,):
            if not self.holds(number):
                raise InputError(f"{key_path}: expected {self.expected}, got {number!r}")


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


@dataclass(frozen=True)
class Choice:
    """The names that a setting may have, each of a `kind` of thing."""

    kind: str
    names: Collection[str]

    def check(self, key_path: str, value: Any) -> None:
        """Raise InputError, with the nearest name, when `value` is none of them.

        >>> Choice("head", ("average", "classic")).check("model.head", "clasic")
        Traceback (most recent call last):
        ...
        experiments.settings.InputError: model.head: unknown head 'clasic'; did you mean 'classic'?
        """
        if value not in self.names:
            raise unknown(key_path, self.kind, value, self.names)
