"""Reading a sweep file as a plain document: YAML without its traps, and overrides by dotted key.

Python's YAML loaders keep the last of two equal keys and read `1e-4` as a string; both would change a sweep
silently, so duplicate keys are refused and numbers are read as YAML 1.2 reads them.
"""

import os
import re
from collections.abc import Hashable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from experiments.checks import InputError

Document = dict[str, Any]

LONGEST = 1 << 20


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise InputError(f"line {key_node.start_mark.line + 1}: expected a plain key, got {key!r}")
            if key in seen:
                line = key_node.start_mark.line + 1
                raise InputError(f"line {line}: key {key!r} stands twice in one mapping; keep one of them")
            seen.add(key)
        return super().construct_mapping(node, deep)


_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def parse(text: str, where: str) -> Any:
    """The value that YAML `text` stands for. Raises InputError naming `where` and the line."""
    try:
        return yaml.load(text, Loader=_Loader)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise InputError(f"{where}: {line}not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


def text_of(path: Path) -> str:
    """The text in a file that a person wrote, also where it comes through a pipe.

    Raises InputError where there is more of it than anybody writes (a device never ends), UnicodeDecodeError
    where it is no text, and OSError.
    """
    # Opened so, a named pipe that nobody writes to is empty; otherwise it would be waited for.
    with open(path, encoding="utf-8", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        os.set_blocking(file.fileno(), True)
        text = file.read(LONGEST + 1)
    if len(text) > LONGEST:
        raise InputError(f"{path}: expected a text of at most {LONGEST:,} characters, got more")
    return text


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
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"-S {text}: expected key=value, for example -S epochs=3")
    return key.strip(), parse(value, f"-S {key.strip()}")


def put(document: Document, key: str, value: Any) -> Document:
    """A copy of `document` with the dotted `key` set to `value`.

    >>> put({"model": {"width": 1.0}}, "model.width", 0.5)
    {'model': {'width': 0.5}}
    """
    result = deepcopy(document)
    *parents, last = key.split(".")
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


def dotted(settings: Mapping[str, Any], below: tuple[str, ...] = ()) -> dict[str, Any]:
    """Nested settings as one level of dotted keys.

    >>> dotted({"epochs": 3, "model": {"width": 0.5}})
    {'epochs': 3, 'model.width': 0.5}
    """
    result: dict[str, Any] = {}
    for key, value in settings.items():
        path = (*below, str(key))
        if isinstance(value, Mapping) and value:
            result |= dotted(value, path)
        else:
            result[".".join(path)] = value
    return result


def override(document: Document, overrides: Mapping[str, Any]) -> Document:
    """`document` with the dotted `overrides` of the command line, which win over recipes and grid axes too."""
    result = deepcopy(document)
    for key, value in overrides.items():
        result = put(result, key, value)
        for recipe in _mappings(result.get("recipes")):
            for name in [n for n in dotted(recipe) if n == key or n.startswith(f"{key}.")]:
                _drop(recipe, name)
        if isinstance(result.get("grid"), dict) and not key.startswith("grid"):
            result["grid"].pop(key, None)
    return result


def _mappings(value: Any) -> list[Document]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _drop(document: Document, key: str) -> None:
    if key in document:
        del document[key]
        return
    first, _, rest = key.partition(".")
    _drop(document[first], rest)
    if not document[first]:
        del document[first]
