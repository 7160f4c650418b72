"""The marks of a recipe in a report: its verdict, its rank, its seeds."""

from orchestrator.analysis.comparison import Comparison
from orchestrator.report.text_table import Row

MARKS = {
    "winner": "*",
    "as good as the best": "=",
    "not distinguishable": "~",
    "different": "",
    "withheld": "^",
    "not tested": "?",
    "did not learn": "x",
    "no result": "",
}
"""The mark of each verdict."""
_MEANINGS = {
    "*": "first",
    "=": "as good as the best",
    "~": "may be the best",
    "": "no mark: not the best",
    "^": "best rate at the edge of its grid",
    "?": "not tested",
    "x": "did not learn",
    "!": "a seed diverged",
}


def legend(comparison: Comparison, table: str = "ranking") -> str:
    """What the marks mean that stand in a table of the comparison, in one line."""
    verdicts, diverged = (comparison.tables[table].column(name).to_pylist() for name in ("verdict", "diverged"))
    used = {MARKS[verdict] for verdict in verdicts if verdict != "no result"} | ({"!"} if any(diverged) else set())
    return "; ".join(f"{mark} {meaning}".strip() for mark, meaning in _MEANINGS.items() if mark in used)


def rank_text(row: Row) -> str:
    """The rank with the mark of the verdict, and with ! for a diverged seed; - without a result.

    >>> rank_text({"rank": 2, "verdict": "not distinguishable", "diverged": 1})
    '2~!'
    """
    diverged = "!" if row["diverged"] else ""
    return f"{row['rank'] or '-'}{MARKS[row['verdict']]}{diverged}"


def seeds_text(row: Row) -> str:
    """The number of seeds that ended, of the planned seeds, and of those that diverged.

    >>> [seeds_text({"n": n, "planned": 3, "diverged": diverged}) for n, diverged in ((3, 0), (2, 0), (3, 1))]
    ['3', '2 of 3', '3, 1 diverged']
    """
    seeds = str(row["n"]) if row["n"] == row.get("planned", row["n"]) else f"{row['n']} of {row['planned']}"
    return f"{seeds}, {row['diverged']} diverged" if row["diverged"] else seeds
