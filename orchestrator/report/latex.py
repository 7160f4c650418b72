"""The comparison as LaTeX tables for a paper: packages booktabs and longtable, nothing else."""

from dataclasses import replace

from orchestrator.analysis.comparison import Comparison
from orchestrator.report import tables

ACROSS = 7
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"$\sim$",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
} | {letter: "\\" + letter for letter in "&%$#_{}"}
# The marks of the other formats are control characters or awkward here.
_MARKS = {"~": r"$^{\sim}$", "*": r"$^{*}$", "!": r"$^{!}$", "?": r"$^{?}$"}
_OPENING = r"""% Compile with \usepackage{booktabs,longtable}; to stand alone, put it between
% \documentclass{article}\usepackage{booktabs,longtable}\begin{document} and \end{document}."""


def escaped(text: str) -> str:
    r"""`text` with every character that LaTeX would take as a command made harmless; no line breaks.

    >>> escaped("100% of sgd_small & ~{x}")
    '100\\% of sgd\\_small \\& $\\sim$\\{x\\}'
    """
    return "".join(_ESCAPES.get(letter, letter) for letter in " ".join(text.split()))


def _figure(text: str) -> str:
    """A cell that stands to the right: its marks raised, a minus as a minus, never as a hyphen."""
    body = text.rstrip("*~!?")
    marks = "".join(_MARKS[mark] for mark in text[len(body) :])
    plain = "$-$" + escaped(body[1:]) if body[:1] == "-" and body[1:] else escaped(body)
    return ("$\\infty$" if body == "inf" else plain) + marks


def _head(text: str, numeric: bool) -> str:
    """A heading in bold, its words one above the other where a column of figures is narrower."""
    words = escaped(text).split()
    if not numeric or len(text) < 9 or len(words) < 2:
        return f"\\textbf{{{escaped(text)}}}"
    return "\\shortstack[r]{" + "\\\\".join(f"\\textbf{{{word}}}" for word in words) + "}"


def _cut(sheet: tables.TextTable) -> list[tables.TextTable]:
    """A matrix too wide for a page as several, each with the first column."""
    last = len(sheet.heads)
    if sheet.name != "matrix" or last <= ACROSS + 1:
        return [sheet]
    picks = [(0, *range(start, min(start + ACROSS, last))) for start in range(1, last, ACROSS)]
    return [
        replace(
            sheet,
            heads=tuple(sheet.heads[i] for i in pick),
            numeric=tuple(sheet.numeric[i] for i in pick),
            rows=tuple(tuple(row[i] for i in pick) for row in sheet.rows),
            note=sheet.note if pick is picks[-1] else "",
        )
        for pick in picks
    ]


def _table(sheet: tables.TextTable) -> str:
    shape = "".join("r" if numeric else "l" for numeric in sheet.numeric)
    heads = " & ".join(_head(h, n) for h, n in zip(sheet.heads, sheet.numeric, strict=True))
    lines = [
        f"\\begin{{longtable}}{{@{{}}{shape}@{{}}}}",
        f"\\caption{{{escaped(sheet.title)}}}\\label{{tab:{sheet.name}}}\\\\",
        f"\\toprule\n{heads} \\\\\n\\midrule\\endfirsthead",
        f"\\toprule\n{heads} \\\\\n\\midrule\\endhead",
        "\\bottomrule\\endfoot",
    ]
    for row in sheet.rows:
        cells = [
            _figure(c.text) if numeric else escaped(c.text) for c, numeric in zip(row, sheet.numeric, strict=True)
        ]
        lines.append(" & ".join(cells) + r" \\")
    lines.append(r"\end{longtable}")
    return "\n".join([*lines, f"{{\\small {escaped(sheet.note)}\\par}}"] if sheet.note else lines)


def render(comparison: Comparison) -> str:
    """The answer as text, then every sheet as a table that may run over pages, then the notes."""
    parts = [_OPENING, escaped(" ".join([*comparison.answer, f"Cost: {tables.bill(comparison)}"]))]
    labels: set[str] = set()
    for sheet in (part for whole in tables.sheets(comparison) for part in _cut(whole)):
        text = _table(sheet)
        if sheet.name in labels:
            text = text.replace(f"\\label{{tab:{sheet.name}}}", "", 1)
        labels.add(sheet.name)
        parts.append(f"{{\\footnotesize\\setlength{{\\tabcolsep}}{{3pt}}\n{text}\n}}")
    items = "\n".join(f"\\item {escaped(note)}" for note in comparison.notes)
    parts += [f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}"] if items else []
    return "\n\n".join(parts) + "\n"
