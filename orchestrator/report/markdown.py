"""The comparison as Markdown tables (GitHub's dialect), every row of every sheet."""

from orchestrator.analysis.comparison import Comparison
from orchestrator.report import tables


def _escaped(text: str) -> str:
    plain = " ".join(text.split())
    for letter in "\\`*_{}[]<>#|~!":
        plain = plain.replace(letter, "\\" + letter)
    return plain


def _table(sheet: tables.TextTable) -> str:
    lines = [
        [_escaped(head.strip()) for head in sheet.heads],
        ["--:" if numeric else ":--" for numeric in sheet.numeric],
        *([_escaped(cell.text) for cell in row] for row in sheet.rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def render(comparison: Comparison) -> str:
    """The answer, every sheet under a heading, the cost and the notes."""
    parts = [f"# {_escaped(comparison.sweep)}"]
    parts += [f"**{_escaped(comparison.answer[0])}**", *(_escaped(s) for s in comparison.answer[1:])]
    parts.append(f"Cost: {_escaped(tables.bill(comparison))}")
    for sheet in tables.sheets(comparison):
        parts += [f"## {_escaped(sheet.title)}", _table(sheet)]
        parts += [_escaped(sheet.note)] if sheet.note else []
    parts += ["## Notes", "\n".join(f"- {_escaped(note)}" for note in comparison.notes)]
    return "\n\n".join(parts) + "\n"
