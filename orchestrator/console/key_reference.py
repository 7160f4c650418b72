"""The reference of the sweep file, as tables in a terminal and as Markdown."""

import re
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orchestrator.spec.reference import Section, default_in_words, kind_in_words, limit_in_words

HEADS = ("key", "what it is", "type", "default", "limit")
TITLE = "sweep file"
"""What stands for a path where there is none."""


def render(sections: Iterable[Section], console: Console) -> None:
    """A table for each section."""
    for section in sections:
        console.print(f"[bold]{escape(section.path or TITLE)}[/bold]", highlight=False)
        console.print(escape(section.text), highlight=False)
        if section.settings:
            table = Table(*HEADS, box=None, header_style="dim", pad_edge=False)
            for row in _rows(section):
                table.add_row(*map(escape, row))
            console.print(table)
        console.print()


def markdown(sections: Iterable[Section]) -> str:
    """A heading, a text and a table for each section, in GitHub's dialect."""
    parts: list[str] = []
    for section in sections:
        parts += [f"### `{section.path}`" if section.path else f"### The {TITLE}", _escaped(section.text)]
        lines = [HEADS, [":--"] * len(HEADS), *_marked(section)]
        parts += ["\n".join(f"| {' | '.join(line)} |" for line in lines)] if section.settings else []
    return "\n\n".join(parts) + "\n"


def _rows(section: Section) -> list[list[str]]:
    return [
        [
            setting.name,
            setting.meaning,
            kind_in_words(setting.kind),
            default_in_words(setting.default),
            limit_in_words(setting),
        ]
        for setting in section.settings
    ]


def _marked(section: Section) -> list[list[str]]:
    return [[f"`{name}`", *map(_escaped, rest)] for name, *rest in _rows(section)]


def _escaped(text: str) -> str:
    """`text` for Markdown: what stands between backticks stays, but for a bar, which would end the cell."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part.replace("|", "\\|") if part.startswith("`") else re.sub(r"([\\*_\[\]<>|])", r"\\\1", part)
        for part in parts
    )
