"""The README files: their code blocks, commands, links, anchors and tables, each with its place."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.command import ROOT

PAGES = (
    "README.md",
    "experiments/README.md",
    "orchestrator/README.md",
    "orchestrator/cluster/README.md",
    "orchestrator/report/README.md",
)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_VARIABLE = re.compile(r"[A-Z_]+=\S*")


@dataclass(frozen=True)
class Command:
    """One command of a page: the variables in front of it, and its words."""

    page: str
    variables: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        """The program's name without its folder."""
        return self.words[0].rpartition("/")[2]

    def __str__(self) -> str:
        return shlex.join(self.words)


def text(page: str) -> str:
    """The page as it stands."""
    return (ROOT / page).read_text()


def prose(page: str) -> str:
    """The page without its code blocks."""
    return _BLOCK.sub("", text(page))


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of the page in a language."""
    return [block for kind, block in _BLOCK.findall(text(page)) if kind == language]


def commands(page: str) -> Iterator[Command]:
    """Every command behind a `$` in the page's blocks of a console; one line may hold several."""
    for block in blocks(page, "console") + blocks(page, "text"):
        for line in block.splitlines():
            if line.startswith("$ "):
                yield from _split(page, re.sub(r"\s{2,}#.*$", "", line[2:]))


def _split(page: str, line: str) -> Iterator[Command]:
    inner = re.match(r'eval "\$\((.*)\)"$', line)
    for part in re.split(r" && | \| ", inner.group(1) if inner else line):
        words = shlex.split(part)
        variables = [word for word in words if _VARIABLE.fullmatch(word)]
        yield Command(page, tuple(variables), tuple(words[len(variables) :]))


def links(page: str) -> list[str]:
    """The targets of the page's links and pictures."""
    return _LINK.findall(prose(page))


def anchors(page: str) -> set[str]:
    """What a link to a heading of the page may say, as GitHub writes it."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(page: str, heading: str) -> str:
    """The text below a heading, up to the next one of its level or above."""
    lines = text(page).splitlines()
    start = next(n for n, line in enumerate(lines) if re.fullmatch(rf"#+ {re.escape(heading)}", line))
    level = len(lines[start].partition(" ")[0])
    ends = (n for n in range(start + 1, len(lines)) if re.match(rf"#{{1,{level}}} ", lines[n]))
    return "\n".join(lines[start + 1 : next(ends, len(lines))])


def rows(markdown: str) -> list[list[str]]:
    """The cells of every row of every table in `markdown`, headings left out."""
    lines = markdown.splitlines()
    table = [n for n, line in enumerate(lines) if line.startswith("|")]
    heads = {n - 1 for n in table if re.fullmatch(r"[|\-: ]+", lines[n])}
    heads |= {n + 1 for n in heads}
    return [[cell.strip() for cell in lines[n].strip("|").split("|")] for n in table if n not in heads]


def quoted(markdown: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", markdown)


def place(page: str, name: str) -> Path | None:
    """The file or folder `name` of `page`: from the page's folder, the project's or the orchestrator's."""
    folders = ((ROOT / page).parent, ROOT, ROOT / "orchestrator")
    return next((folder / name for folder in folders if (folder / name).exists()), None)
