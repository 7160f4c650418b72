"""The marks of a recipe in a report: its verdict, its rank, its seeds."""

from orchestrator.report.text_table import Row

MARKS = {"winner": "*", "not distinguishable": "~", "different": "", "not tested": "?", "no result": ""}
LEGEND = "* the winner; ~ cannot be told apart from it; ? not tested against it; ! a seed diverged"


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
