"""The comparison as one page in light and dark colours, without network and further files.

`page`, `figure`, `folded` and `table` are the parts of every page.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files as package_files
from string import Template

from orchestrator.analysis.comparison import Comparison
from orchestrator.report import tables
from orchestrator.report.figures import catalogue, forest
from orchestrator.report.marks import seeds_text
from orchestrator.report.matrix import matrices, matrix_tables
from orchestrator.report.number_format import between, number, probability
from orchestrator.report.text_table import Cell, TextTable

Figures = Mapping[str, tuple[str, str]]
"""Figures as <svg> elements with their captions, by name."""
Tile = tuple[str, str, str]
"""A head, a value and a remark, all plain text."""
Section = tuple[str, str, str]
"""An identifier, a head and HTML."""
# A figure is at most as wide as drawn: enlarged to the width of the page, its text would be too large.
_PIXELS_PER_POINT = 4 / 3
_LEAST_WIDTH = 760
"""Pixels: on a narrower page a figure scrolls, as its text would be too small to read."""


def render(comparison: Comparison) -> str:
    """The page: the answer, then tables and figures by question, then the notes."""
    kind = (
        "A comparison of recipes. A recipe is an optimizer with a learning-rate schedule; it was trained from "
        f"scratch once for each seed. {_direction(comparison)}"
    )
    sections = _sections(comparison, catalogue.inline(comparison))
    return page(comparison.sweep, kind, comparison.answer, _tiles(comparison), sections)


def page(title: str, kind: str, answer: Sequence[str], tiles: Sequence[Tile], sections: Sequence[Section]) -> str:
    """A page with a sentence on its kind, an answer in sentences, tiles and sections; "" is the title "sweep"."""
    return Template(_file("page.html")).substitute(
        title=escape(title or "sweep"),
        style=_file("page.css"),
        script=_file("page.js"),
        kind=escape(kind),
        answer="\n".join(f"<p>{escape(sentence)}</p>" for sentence in answer),
        tiles="\n".join(
            f"<div><dt>{escape(head)}</dt><dd>{escape(value)}<small>{escape(remark)}</small></dd></div>"
            for head, value, remark in tiles
        ),
        links="\n".join(f'<a href="#{name}">{escape(head)}</a>' for name, head, _ in sections),
        sections="\n".join(
            f'<section id="{name}">\n<h2>{escape(head)}</h2>\n{body}\n</section>' for name, head, body in sections
        ),
    )


def _file(name: str) -> str:
    return package_files("orchestrator.report").joinpath(name).read_text(encoding="utf-8").rstrip("\n")


def _direction(comparison: Comparison) -> str:
    direction = "higher" if comparison.direction == "max" else "lower"
    metric = f"{comparison.monitor_label} in the last epoch, on images not trained on"
    return f"They are compared by {metric}: {direction} is better."


def _tiles(comparison: Comparison) -> list[Tile]:
    total = comparison.totals.to_pylist()[0]
    trials = f"{total['recipes']:,} recipes, {total['trials']:,} trials, {total['epochs_trained']:,} epochs"
    cost = ("The whole sweep cost", tables.hours_used(comparison), trials)
    if not comparison.ranking.num_rows or comparison.ranking.to_pylist()[0]["rank"] is None:
        return [cost]
    return [*_winner_tiles(comparison), *_set_tiles(comparison), *_test_tiles(comparison), cost]


def _winner_tiles(comparison: Comparison) -> list[Tile]:
    """The winner with its final metric, and that metric corrected for the choice, if it can be corrected."""
    first = comparison.ranking.to_pylist()[0]
    final = f"final_{comparison.monitor}"
    interval = between(first[f"{final}_low"], first[f"{final}_high"]) or f"{first['no_interval']}: no interval"
    ties = sum(rank == 1 for rank in comparison.ranking.column("rank").to_pylist()) - 1
    tie = f"; {ties} more {'shares' if ties == 1 else 'share'} the place" if ties else ""
    metric = f"final {comparison.monitor_label} {number(first[f'{final}_mean'])} ({interval})"
    tiles = [("First in the ranking", first["recipe"], f"{metric}; seeds: {seeds_text(first)}{tie}")]
    corrected = comparison.winner_value
    if forest.has_corrected_value(comparison):
        remark = f"95 % interval {between(corrected['low'], corrected['high'])}"
        tiles.append(("Corrected for having been chosen", number(corrected["value"]), remark))
    return tiles


def _set_tiles(comparison: Comparison) -> list[Tile]:
    """How many recipes may be the best; nothing where fewer than two recipes have a seed that did not diverge."""
    ranked = [row for row in comparison.ranking.to_pylist() if row["rank"] is not None]
    if sum(row["diverged"] < row["n"] for row in ranked) < 2:
        return []
    if all(row["p"] is None for row in ranked):
        remark = "no two recipes could be tested"
    elif (best := ranked[0]["best_probability"]) is None:
        remark = "with 95 % certainty"
    else:
        remark = f"with 95 % certainty; the first is it with probability {probability(best)}"
    members = sum(row["in_set"] for row in ranked)
    return [("May be the best", f"{members} of {len(ranked)} recipes", remark)]


def _test_tiles(comparison: Comparison) -> list[Tile]:
    """The winner's figure on test images, if it has one."""
    winner = comparison.ranking.to_pylist()[0]["recipe"]
    row = next((row for row in comparison.held_out.to_pylist() if row["recipe"] == winner), None)
    if row is None:
        return []
    interval = between(row["test_low"], row["test_high"])
    remark = f"95 % interval {interval}" if interval else "no interval"
    return [("On test images", number(row["test_mean"]), remark)]


def table(text_table: TextTable) -> str:
    """A table as HTML with every row, and a button in each head that sorts; "" for a table without rows."""
    if not text_table.rows:
        return ""
    kinds = [_kind(text_table, position) for position in range(len(text_table.heads))]
    classes = [
        ' class="right"' if numeric else ' class="name"' if head == "recipe" else ""
        for head, numeric in zip(text_table.heads, text_table.numeric, strict=True)
    ]
    heads = "".join(
        f'<th scope="col" data-kind="{kind}"{css}><button type="button">{escape(head.strip())}</button></th>'
        for head, kind, css in zip(text_table.heads, kinds, classes, strict=True)
    )
    rows = "\n".join(
        f"<tr{_row_class(text_table, row)}>"
        + "".join(_cell(cell, css) for cell, css in zip(row, classes, strict=True))
        + "</tr>"
        for row in text_table.rows
    )
    note = f'\n<p class="note">{escape(text_table.note)}</p>' if text_table.note else ""
    name, title = text_table.name, escape(text_table.title)
    return (
        f'<div class="scroll" tabindex="0"><table id="table-{name}" aria-label="{title}">\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>{note}"
    )


def _kind(text_table: TextTable, position: int) -> str:
    values = [row[position].value for row in text_table.rows]
    return "text" if any(isinstance(value, str) for value in values) else "number"


def _row_class(text_table: TextTable, row: Sequence[Cell]) -> str:
    return ' class="winner"' if text_table.name == "ranking" and "*" in row[0].text else ""


def _cell(cell: Cell, css: str) -> str:
    value = cell.value
    if isinstance(value, float) and math.isinf(value):
        value = "Infinity"
    data = "" if value is None or value == "" else f' data-value="{escape(str(value))}"'
    return f"<td{css}{data}>{escape(cell.text)}</td>"


def figure(figures: Figures, name: str) -> str:
    """The figure of that name with its caption; "" if `figures` has none."""
    if name not in figures:
        return ""
    svg, caption = figures[name]
    width = float(svg.split('viewBox="0 0 ', 1)[1].split(" ", 1)[0]) * _PIXELS_PER_POINT
    size = f"max-width:{width:.0f}px;min-width:{min(width, _LEAST_WIDTH):.0f}px"
    opening = f'<svg role="img" aria-label="{escape(caption)}" style="{size}"'
    svg = svg.replace("<svg", opening, 1)
    drawing = f'<div class="drawing" tabindex="0">\n{svg}\n</div>'
    return f'<figure id="picture-{name}">\n{drawing}\n<figcaption>{escape(caption)}</figcaption>\n</figure>'


def folded(summary: str, body: str) -> str:
    """A summary that opens `body` on a click; "" for an empty body."""
    return f"<details><summary>{escape(summary)}</summary>\n{body}\n</details>" if body else ""


def _sections(comparison: Comparison, figures: Figures) -> list[Section]:
    """The sections with a body."""
    matrix_names = [name for name in figures if name.startswith("matrix")]
    matrix_html = "\n".join(table(text_table) for text_table in matrix_tables(comparison))
    total = len(matrices(comparison))
    note = f" Drawn: {len(matrix_names)} of {total}; all are here." if total > len(matrix_names) else ""
    no_sensitivity = "Every recipe was run at one peak learning rate, so nothing is known about sensitivity."
    troubles = tables.troubles(comparison)
    parts = [
        (
            "ranking",
            "Which recipe wins, and how sure is it?",
            [figure(figures, "forest"), table(tables.ranking(comparison))],
        ),
        (
            "horizons",
            "Which recipe at which training length?",
            [figure(figures, "horizons"), table(tables.horizons(comparison))],
        ),
        (
            "pairs",
            "How sure is it, pair by pair?",
            [
                figure(figures, "wins"),
                folded("Every pair as a table", table(tables.wins(comparison))),
                figure(figures, "critical-difference"),
                folded("Mean ranks over seeds", table(tables.seed_ranks(comparison))),
                folded("Means that one seed does not decide", table(tables.robust_means(comparison))),
            ],
        ),
        ("certainty", "What would it cost to be surer?", [table(tables.certainty(comparison))]),
        ("test", "On test images, which chose nothing", [table(tables.held_out(comparison))]),
        ("curves-first", "How did the first ones learn?", [figure(figures, "leaders")]),
        (
            "matrix",
            "Which optimizer with which schedule?",
            [
                *(figure(figures, name) for name in matrix_names),
                folded(f"The same as a table.{note}", matrix_html),
            ],
        ),
        (
            "stages",
            "Who leads at which stage of training?",
            [
                figure(figures, "stages"),
                table(tables.stages(comparison)),
                folded("Who overtakes whom", table(tables.overtakes(comparison))),
            ],
        ),
        (
            "targets",
            f"How fast to {comparison.monitor_label} {number(comparison.target)}?",
            [figure(figures, "profile"), table(tables.targets(comparison))]
            if comparison.target is not None
            else [],
        ),
        (
            "sensitivity",
            "How sensitive is it to the peak learning rate?",
            [figure(figures, "sensitivity"), table(tables.sensitivity(comparison)) or f"<p>{no_sensitivity}</p>"],
        ),
        ("race", "Who is in the race, and who left?", [table(tables.race(comparison))]),
        ("published", "Against what was published", [table(tables.published(comparison))]),
        (
            "cost",
            "What did it cost, and what went wrong?",
            [
                f"<p>{escape(tables.cost_sentence(comparison))}</p>",
                table(tables.cost(comparison)),
                f"<h3>{escape(troubles.title)}</h3>\n{table(troubles)}"
                if troubles.rows
                else "<p>Every trial completed.</p>",
            ],
        ),
        (
            "curves",
            "Every learning curve",
            [
                f"<h3>{escape(comparison.monitor_label.capitalize())}</h3>" if "curves" in figures else "",
                figure(figures, "curves"),
                f"<h3>{'Validation loss' if comparison.monitor != 'val_loss' else 'Validation accuracy'}</h3>"
                if "losses" in figures
                else "",
                figure(figures, "losses"),
            ],
        ),
        ("schedules", "Every learning rate", [figure(figures, "schedules")]),
        (
            "notes",
            "How to read these figures",
            [
                '<ul class="notes">'
                + "".join(f"\n<li>{escape(note)}</li>" for note in comparison.notes)
                + "\n</ul>"
            ],
        ),
    ]
    sections = [(name, head, "\n".join(piece for piece in pieces if piece)) for name, head, pieces in parts]
    return [(name, head, body) for name, head, body in sections if body]
