"""Reading a sweep file as a plain document: YAML without its traps, and overrides by dotted key.

Python's YAML loaders keep the last of two equal keys and read `1e-4` as a string; both would change a sweep
silently, so duplicate keys are refused and numbers are read as YAML 1.2 reads them.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from experiments.settings import InputError, one_line

Document = dict[str, Any]
Keys = tuple[str, ...]
"""The way to a value: the key of each mapping on it."""

LONGEST = 1_000_000
"""Characters of a sweep file."""
DEEPEST = 50
"""Mappings and lists inside each other."""
LARGEST = 100_000
"""Values in a sweep file; what an alias stands for counts at each place."""
_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"


class _Loader(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0
        self._extent: dict[yaml.Node, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        alias = self.check_event(yaml.AliasEvent)
        line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
        self._level += 1
        _refuse_too_deep(line, self._level)
        node = super().compose_node(parent, index)
        self._level -= 1
        if alias and node not in self._extent:
            raise InputError(f"line {line}: an alias stands inside what it is an alias of, which would never end")
        if node is not None and not alias:
            self._measure(node, line)
        return node

    def _measure(self, node: yaml.Node, line: int) -> None:
        """Depth and number of values below, aliases followed: few lines of aliases can stand for billions."""
        values = [] if isinstance(node, yaml.ScalarNode) else node.value
        inside = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
        extents = [self._extent[part] for part in inside]
        depth = 1 + max((depth for depth, _ in extents), default=0)
        size = 1 + sum(size for _, size in extents)
        _refuse_too_deep(line, depth)
        if size > LARGEST:
            raise InputError(f"line {line}: expected at most {LARGEST:,} values, aliases followed, got {size:,}")
        self._extent[node] = depth, size

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise InputError(f"line {line}: expected a plain key, got a list or a mapping")
            merge = key_node.tag == _MERGE
            key = key_node.value if merge else self.construct_object(key_node)
            if not isinstance(key, str):
                raise InputError(
                    f"line {line}: expected a name as the key, and YAML reads {key_node.value!r} as {key!r}; "
                    "put it in quotes"
                )
            if key in seen:
                raise InputError(f"line {line}: key {key!r} stands twice in one mapping; keep one of them")
            seen.add(key)
        return node

    def text(self, node: yaml.ScalarNode) -> str:
        """A scalar that is text. Raises InputError for what no name, path or pattern holds."""
        text = self.construct_scalar(node)
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
            line = node.start_mark.line + 1
            raise InputError(f"line {line}: expected text without control characters, got {text!r}")
        return text


_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_OTHER = {f"{_TAG}{name}" for name in ("float", "timestamp", "value")}
_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag not in _OTHER]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-+0123456789."))
_CORE = {None, *(f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "seq", "map"))}
_Loader.yaml_constructors = {t: c for t, c in yaml.SafeLoader.yaml_constructors.items() if t in _CORE}
_Loader.add_constructor(f"{_TAG}str", _Loader.text)


def _refuse_too_deep(line: int, depth: int) -> None:
    if depth > DEEPEST:
        raise InputError(f"line {line}: expected at most {DEEPEST} mappings and lists inside each other, got more")


def parse(text: str, where: str) -> Any:
    """The value that YAML `text` stands for, merge keys (`<<: *base`) followed.

    Raises InputError naming `where` and the line: for what is no YAML, a key that stands twice or is no text,
    text with control characters, and more than DEEPEST levels or LARGEST values.
    """
    if len(text) > LONGEST:
        raise InputError(f"{where}: expected at most {LONGEST:,} characters, got more")
    try:
        return yaml.load(text, Loader=_Loader)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise InputError(f"{where}: {line}not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


def text_of(path: Path) -> str:
    """The text in a file that a person wrote, also where it comes through a pipe; one character too much at most.

    A device would never end. Raises UnicodeDecodeError where it is no text, and OSError.
    """
    # Opened so, a named pipe that nobody writes to is empty; otherwise it would be waited for.
    with open(path, encoding="utf-8", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        os.set_blocking(file.fileno(), True)
        return file.read(LONGEST + 1)


def read(path: Path) -> Document:
    """The sweep file at `path` as a mapping. Raises InputError when it is missing, no text or no mapping."""
    try:
        text = text_of(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such sweep file") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: expected a YAML text file, got binary data") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    document = parse(text, str(path))
    if not isinstance(document, dict):
        kind = "nothing" if document is None else type(document).__name__
        raise InputError(f"{path}: expected a mapping of settings, got {kind}")
    return document


def parse_override(text: str) -> tuple[str, Any]:
    """`key=value` of the command line as (dotted key, value).

    >>> parse_override("model.width=0.25")
    ('model.width', 0.25)
    """
    name, equals, value = text.partition("=")
    key = name.strip()
    if not equals or not all(key.split(".")):
        raise InputError(one_line(f"-S {text}: expected key=value, for example -S epochs=3"))
    return key, parse(value, one_line(f"-S {key}"))


def parse_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """The `key=value` of the command line, in order. Raises InputError for one that a later one would undo."""
    result: dict[str, Any] = {}
    for text in texts:
        key, value = parse_override(text)
        for earlier in result:
            if f"{earlier}.".startswith(f"{key}."):
                raise InputError(f"-S {earlier}: would change nothing, -S {key} comes after it; keep one of them")
        result[key] = value
    return result


def resolve(document: Mapping[str, Any], key: str) -> Keys:
    """The way that a dotted `key` means: at each level the longest key that is there, for keys may have dots.

    >>> resolve({"optimizers": {"v1": {}, "v1.0": {}}}, "optimizers.v1.0.momentum")
    ('optimizers', 'v1.0', 'momentum')
    """
    keys: list[str] = []
    place: Any = document
    rest = key
    while rest:
        there = [k for k in place if f"{rest}.".startswith(f"{k}.")] if isinstance(place, Mapping) else []
        keys.append(max(there, key=len, default=rest.partition(".")[0]))
        place = place.get(keys[-1]) if isinstance(place, Mapping) else None
        rest = rest[len(keys[-1]) + 1 :]
    return tuple(keys)


def put(document: Document, key: str, value: Any) -> Document:
    """A copy of `document` with the dotted `key` set to `value`.

    >>> put({"model": {"width": 1.0}}, "model.width", 0.5)
    {'model': {'width': 0.5}}
    """
    result = deepcopy(document)
    *parents, last = resolve(result, key)
    place = result
    for depth, part in enumerate(parents):
        inner = place.get(part)
        if inner is None:
            inner = place[part] = {}
        elif not isinstance(inner, dict):
            raise InputError(f"{key}: {'.'.join(parents[: depth + 1])} is no mapping, it is {inner!r}")
        place = inner
    place[last] = deepcopy(value)
    return result


def dotted(settings: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Nested settings as one level of dotted keys. Raises InputError for one that stands there twice.

    >>> dotted({"epochs": 3, "model": {"width": 0.5}})
    {'epochs': 3, 'model.width': 0.5}
    """
    result: dict[str, Any] = {}
    for key, value in settings.items():
        nested = isinstance(value, Mapping) and value
        for name, inner in dotted(value).items() if nested else [("", value)]:
            full = f"{key}.{name}" if name else str(key)
            if full in result:
                raise InputError(
                    f"{where}.{full}: stands twice, nested and with dots; keep one of them".lstrip(".")
                )
            result[full] = inner
    return result


def override(document: Document, overrides: Mapping[str, Any]) -> Document:
    """`document` with the dotted `overrides` of the command line, which win over recipes and grid axes too."""
    for key, value in overrides.items():
        document = _overridden(put(document, key, value), key, value)
    return document


def _overridden(document: Document, key: str, value: Any) -> Document:
    """Recipes and grid axes brought in line with the override `key`, which the document has already."""
    way = resolve(document, key)

    def in_recipe(name: str, there: Any) -> list[tuple[str, Any]]:
        below = resolve(document, name)
        if below[: len(way)] == way:
            return []
        inner = _inside(below, way)
        return [(name, there if inner is None or there not in (None, {}) else put({}, inner, value))]

    def in_grid(name: str, values: Any) -> list[tuple[str, Any]]:
        nonlocal document
        axis = resolve(document, name)
        if axis[: len(way)] == way:
            return []
        inner = _inside(axis, way)
        if inner is None or not isinstance(values, list):
            return [(name, values)]
        changed = [put(v or {}, inner, value) if v is None or isinstance(v, dict) else v for v in values]
        distinct = list({repr(v): v for v in changed}.values())
        if len(distinct) > 1 or len(values) == 1:
            return [(name, distinct)]
        document = put(document, name, distinct[0])  # the axis differed in nothing else
        return []

    if isinstance(document.get("recipes"), list):
        recipes = [_revised(r, in_recipe) if isinstance(r, dict) else r for r in document["recipes"]]
        document = {**document, "recipes": recipes}
    if isinstance(document.get("grid"), dict):
        revised = _revised(document["grid"], in_grid)
        document = {**document, "grid": revised}
    return document


def _inside(outer: Keys, way: Keys) -> str | None:
    """The dotted key of `way` as seen from `outer`; None where it does not lead through there."""
    return ".".join(way[len(outer) :]) if way[: len(outer)] == outer else None


def _revised(settings: Document, change: Callable[[str, Any], list[tuple[str, Any]]], below: str = "") -> Document:
    """`settings` with each innermost one as `change(dotted key, value)` would have it, empty mappings left out."""
    result: Document = {}
    for key, value in settings.items():
        name = f"{below}{key}"
        if isinstance(value, dict) and value:
            if inner := _revised(value, change, f"{name}."):
                result[key] = inner
        else:
            result.update((key, new) for _, new in change(name, value))
    return result
