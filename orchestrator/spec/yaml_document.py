"""Reading a sweep file as a plain document: YAML 1.2 without its traps, and overrides by dotted key.

ruamel.yaml parses; its events are built into values here, by the core schema of YAML 1.2 to the letter. Its loader
reads more than that schema (dates, `1_000`), not all of it (`.5e3`), and passes over a key that stands twice
beside a merge.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    MappingStartEvent,
    ScalarEvent,
    StreamEndEvent,
)

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
_CORE_SCHEMA = re.compile(
    r"(?P<null>~|null|Null|NULL|)|(?P<bool>true|True|TRUE|false|False|FALSE)"
    r"|(?P<int>[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)"
    r"|(?P<float>[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))"
)
_VALUE: Mapping[str | None, Callable[[str], Any]] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
    "int": lambda text: int(text, 0 if text[1:2] in ("o", "x") else 10),
    "float": lambda text: float(re.sub(r"\.(?=[inIN])", "", text)),
}


@dataclass(frozen=True)
class _Node:
    value: Any
    line: int
    text: str | None = None
    """What a scalar was read from; None for a mapping or a list."""
    merges: bool = False
    depth: int = 1
    size: int = 1
    """Values in it, aliases followed: few lines of aliases can stand for billions."""


class _Builder:
    """Builds values out of parsing events. Raises InputError with the line of what is refused."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, _Node | None] = {}

    def document(self) -> Any:
        _, start = next(self._events), next(self._events)
        if isinstance(start, StreamEndEvent):
            return None
        if start.version not in (None, (1, 2)):
            raise InputError(f"line 1: expected YAML 1.2, got {'.'.join(map(str, start.version))}")
        value = self._node(next(self._events), 1).value
        _, end = next(self._events), next(self._events)
        if not isinstance(end, StreamEndEvent):
            raise InputError(f"line {end.start_mark.line + 1}: not valid YAML: expected one document, got another")
        return value

    def _node(self, event: Any, level: int) -> _Node:
        line = event.start_mark.line + 1
        _refuse_too_deep(line, level)
        if isinstance(event, AliasEvent):
            if event.anchor not in self._anchors:
                raise InputError(f"line {line}: not valid YAML: found undefined alias {event.anchor!r}")
            if (node := self._anchors[event.anchor]) is None:
                raise InputError(
                    f"line {line}: an alias stands inside what it is an alias of, which would never end"
                )
            return node
        if event.tag is not None:
            raise InputError(f"line {line}: not valid YAML: expected a value without a tag, got {event.tag!r}")
        if event.anchor in self._anchors:
            raise InputError(f"line {line}: not valid YAML: anchor {event.anchor!r} stands twice")
        if event.anchor:
            self._anchors[event.anchor] = None  # until all of it is read
        node = _scalar(event, line) if isinstance(event, ScalarEvent) else self._collection(event, line, level)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _collection(self, start: Any, line: int, level: int) -> _Node:
        nodes = []
        while not isinstance(event := next(self._events), CollectionEndEvent):
            nodes.append(self._node(event, level + 1))
        depth = 1 + max((node.depth for node in nodes), default=0)
        size = 1 + sum(node.size for node in nodes)
        _refuse_too_deep(line, depth)
        if size > LARGEST:
            raise InputError(f"line {line}: expected at most {LARGEST:,} values, aliases followed, got {size:,}")
        is_mapping = isinstance(start, MappingStartEvent)
        value = _mapping(nodes[::2], nodes[1::2]) if is_mapping else [node.value for node in nodes]
        return _Node(value, line, depth=depth, size=size)


def _scalar(event: Any, line: int) -> _Node:
    text, plain = event.value, event.implicit[0]
    if plain and (match := _CORE_SCHEMA.fullmatch(text)):
        return _Node(_VALUE[match.lastgroup](text), line, text)
    if not text.isprintable():
        # JSON writes a character beyond 16 bits as two escapes.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
            raise InputError(f"line {line}: expected text without control characters, got {text!r}")
    return _Node(text, line, text, merges=plain and text == "<<")


def _mapping(keys: Iterable[_Node], values: Iterable[_Node]) -> Document:
    result: Document = {}
    bases: Document | None = None
    for key, node in zip(keys, values, strict=True):
        if key.text is None:
            raise InputError(f"line {key.line}: expected a plain key, got a list or a mapping")
        if not isinstance(key.value, str):
            raise InputError(
                f"line {key.line}: expected a name as the key, and YAML reads {key.text!r} as {key.value!r}; "
                "put it in quotes"
            )
        if key.value in result:
            raise InputError(f"line {key.line}: key {key.value!r} stands twice in one mapping; keep one of them")
        result[key.value] = node.value
        if key.merges:
            bases = _merged(node)
    if bases is None:
        return result
    del result["<<"]
    return bases | result


def _merged(node: _Node) -> Document:
    """What `<<: node` brings: of several mappings the first wins."""
    result: Document = {}
    for base in reversed(node.value if isinstance(node.value, list) else [node.value]):
        if not isinstance(base, dict):
            raise InputError(f"line {node.line}: not valid YAML: expected a mapping to merge, got {base!r}")
        result |= base
    return result


def _refuse_too_deep(line: int, depth: int) -> None:
    if depth > DEEPEST:
        raise InputError(f"line {line}: expected at most {DEEPEST} mappings and lists inside each other, got more")


def parse(text: str, key_path: str) -> Any:
    """The value that YAML 1.2 `text` stands for by the core schema, merge keys (`<<: *base`) followed.

    `no`, `on`, `1:30` and `2026-01-01` are text, `010` is ten, `0o10` is eight, `1e-4` is a number. Every JSON
    document of names without control characters reads as JSON reads it.

    Raises InputError naming `key_path` and the line: for what is no YAML, a key that stands twice or is no text,
    text with control characters, and more than DEEPEST levels or LARGEST values.
    """
    if len(text) > LONGEST:
        raise InputError(f"{key_path}: expected at most {LONGEST:,} characters, got more")
    try:
        return _Builder(YAML(typ="safe", pure=True).parse(text)).document()
    except InputError as error:
        raise InputError(f"{key_path}: {error}") from None
    except MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise InputError(f"{key_path}: {line}not valid YAML: {error.problem or error.context}") from None
    # The parser asserts the version of a %YAML directive, and lets chr() refuse an escape.
    except (YAMLError, AssertionError, ValueError, OverflowError) as error:
        raise InputError(f"{key_path}: not valid YAML: {' '.join(str(error).split())}") from None


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
        prefixes = [k for k in place if f"{rest}.".startswith(f"{k}.")] if isinstance(place, Mapping) else []
        keys.append(max(prefixes, key=len, default=rest.partition(".")[0]))
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


def dotted(settings: Mapping[str, Any], key_path: str = "") -> dict[str, Any]:
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
                    f"{key_path}.{full}: stands twice, nested and with dots; keep one of them".lstrip(".")
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

    def in_recipe(name: str, prefixes: Any) -> list[tuple[str, Any]]:
        below = resolve(document, name)
        if below[: len(way)] == way:
            return []
        inner = _inside(below, way)
        return [(name, prefixes if inner is None or prefixes not in (None, {}) else put({}, inner, value))]

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
