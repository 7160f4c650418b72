"""The comparison as Markdown tables in GitHub's dialect, with every row of every table."""

from orchestrator.analysis.comparison import Comparison
from orchestrator.report import tables
from orchestrator.report.text_table import TextTable


def _escaped(text: str) -> str:
    one_line = " ".join(text.split())
    for letter in "\\`*_{}[]<>#|~!":
        one_line = one_line.replace(letter, "\\" + letter)
    return one_line


def _table(table: TextTable) -> str:
    lines = [
        [_escaped(head.strip()) for head in table.heads],
        ["--:" if numeric else ":--" for numeric in table.numeric],
        *([_escaped(cell.text) for cell in row] for row in table.rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def render(comparison: Comparison) -> str:
    """The answer, the cost, every table under a heading, and the notes."""
    parts = [f"# {_escaped(comparison.sweep)}"]
    parts += [f"**{_escaped(comparison.answer[0])}**", *(_escaped(s) for s in comparison.answer[1:])]
    parts.append(f"Cost: {_escaped(tables.cost_sentence(comparison))}")
    for table in tables.text_tables(comparison):
        parts += [f"## {_escaped(table.title)}", _table(table)]
        parts += [_escaped(table.note)] if table.note else []
    parts += ["## Notes", "\n".join(f"- {_escaped(note)}" for note in comparison.notes)]
    return "\n\n".join(parts) + "\n"
