"""The comparison as LaTeX tables for a paper. They need the packages booktabs and longtable."""

from dataclasses import replace

from orchestrator.analysis.comparison import Comparison
from orchestrator.report import tables
from orchestrator.report.text_table import TextTable

MATRIX_COLUMNS = 7
"""The number of columns of a matrix that fit a page, beside the names of its rows."""
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"$\sim$",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
} | {letter: "\\" + letter for letter in "&%$#_{}"}
_RAISED_MARKS = {
    "~": r"$^{\sim}$",
    "*": r"$^{*}$",
    "!": r"$^{!}$",
    "?": r"$^{?}$",
    "=": r"$^{=}$",
    "^": r"$^{\wedge}$",
}
_OPENING = r"""% Compile with \usepackage{booktabs,longtable}; to stand alone, put it between
% \documentclass{article}\usepackage{booktabs,longtable}\begin{document} and \end{document}."""


def escaped(text: str) -> str:
    r"""`text` with every character that LaTeX would take as a command made harmless; no line breaks.

    >>> escaped("100% of sgd_small & ~{x}")
    '100\\% of sgd\\_small \\& $\\sim$\\{x\\}'
    """
    return "".join(_ESCAPES.get(letter, letter) for letter in " ".join(text.split()))


def _number(text: str) -> str:
    """A number: its marks raised, with a minus sign instead of a hyphen."""
    body = text.rstrip("*~!?=^")
    marks = "".join(_RAISED_MARKS[mark] for mark in text[len(body) :])
    number = "$-$" + escaped(body[1:]) if body[:1] == "-" and body[1:] else escaped(body)
    return ("$\\infty$" if body == "inf" else number) + marks


def _head(text: str, numeric: bool) -> str:
    """A head in bold; a long head of a column of numbers has a line for each word."""
    head_words = escaped(text).split()
    if not numeric or len(text) < 9 or len(head_words) < 2:
        return f"\\textbf{{{escaped(text)}}}"
    return "\\shortstack[r]{" + "\\\\".join(f"\\textbf{{{word}}}" for word in head_words) + "}"


def _page_wide(table: TextTable) -> list[TextTable]:
    """The table; a matrix too wide for a page as several tables, each with the names of the rows."""
    width = len(table.heads)
    if table.name != "matrix" or width <= MATRIX_COLUMNS + 1:
        return [table]
    starts = range(1, width, MATRIX_COLUMNS)
    column_groups = [(0, *range(start, min(start + MATRIX_COLUMNS, width))) for start in starts]
    return [
        replace(
            table,
            heads=tuple(table.heads[i] for i in group),
            numeric=tuple(table.numeric[i] for i in group),
            rows=tuple(tuple(row[i] for i in group) for row in table.rows),
            note=table.note if group is column_groups[-1] else "",
        )
        for group in column_groups
    ]


def _longtable(table: TextTable) -> str:
    shape = "".join("r" if numeric else "l" for numeric in table.numeric)
    heads = " & ".join(_head(h, n) for h, n in zip(table.heads, table.numeric, strict=True))
    lines = [
        f"\\begin{{longtable}}{{@{{}}{shape}@{{}}}}",
        f"\\caption{{{escaped(table.title)}}}\\label{{tab:{table.name}}}\\\\",
        f"\\toprule\n{heads} \\\\\n\\midrule\\endfirsthead",
        f"\\toprule\n{heads} \\\\\n\\midrule\\endhead",
        "\\bottomrule\\endfoot",
    ]
    for row in table.rows:
        cells = [
            _number(cell.text) if numeric else escaped(cell.text)
            for cell, numeric in zip(row, table.numeric, strict=True)
        ]
        lines.append(" & ".join(cells) + r" \\")
    lines.append(r"\end{longtable}")
    return "\n".join([*lines, f"{{\\small {escaped(table.note)}\\par}}"] if table.note else lines)


def render(comparison: Comparison) -> str:
    """The answer as text, then every table, which may run over pages, then the notes."""
    parts = [_OPENING, escaped(" ".join([*comparison.answer, f"Cost: {tables.cost_sentence(comparison)}"]))]
    labels: set[str] = set()
    for table in (part for text_table in tables.text_tables(comparison) for part in _page_wide(text_table)):
        text = _longtable(table)
        if table.name in labels:
            text = text.replace(f"\\label{{tab:{table.name}}}", "", 1)
        labels.add(table.name)
        parts.append(f"{{\\footnotesize\\setlength{{\\tabcolsep}}{{3pt}}\n{text}\n}}")
    items = "\n".join(f"\\item {escaped(note)}" for note in comparison.notes)
    parts += [f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}"] if items else []
    return "\n\n".join(parts) + "\n"
