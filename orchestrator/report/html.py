"""The comparison as one page that needs nothing else: no network, no other file, light and dark.

`page`, `figure`, `folded` and `table` are what any such page is made of.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files as packaged
from string import Template

from orchestrator.analysis.comparison import Comparison
from orchestrator.report import number_format
from orchestrator.report import tables as layout
from orchestrator.report.figures import catalogue

Drawn = Mapping[str, tuple[str, str]]
# Narrow pictures are not blown up to the width of the page.
_PIXELS_A_POINT = 4 / 3


def render(comparison: Comparison) -> str:
    """The whole page: the answer, then question by question tables that sort and pictures, then the notes."""
    kind = (
        "A comparison of recipes. A recipe is an optimizer with a learning-rate schedule; it was trained from "
        f"scratch once for each seed. {_better(comparison)}"
    )
    sections = _sections(comparison, catalogue.inline(comparison))
    return page(comparison.sweep, kind, comparison.answer, _tiles(comparison), sections)


def page(
    title: str,
    kind: str,
    answer: Sequence[str],
    tiles: Sequence[tuple[str, str, str]],
    sections: Sequence[tuple[str, str, str]],
) -> str:
    """A whole page: what it is, its answer in sentences, tiles, sections.

    A tile is a heading, a value and a remark, all plain text; a section is an identifier, a heading and HTML.
    """
    return Template(_part("page.html")).substitute(
        title=escape(title or "sweep"),
        style=_part("page.css"),
        script=_part("page.js"),
        kind=escape(kind),
        answer="\n".join(f"<p>{escape(sentence)}</p>" for sentence in answer),
        tiles="\n".join(
            f"<div><dt>{escape(head)}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"
            for head, value, more in tiles
        ),
        links="\n".join(f'<a href="#{name}">{escape(head)}</a>' for name, head, _ in sections),
        sections="\n".join(
            f'<section id="{name}">\n<h2>{escape(head)}</h2>\n{body}\n</section>' for name, head, body in sections
        ),
    )


def _part(name: str) -> str:
    return packaged("orchestrator.report").joinpath(name).read_text(encoding="utf-8").rstrip("\n")


def _better(c: Comparison) -> str:
    way = "higher" if c.direction == "max" else "lower"
    return f"They are compared by {c.monitor_label} in the last epoch, on images not trained on: {way} is better."


def _tiles(c: Comparison) -> list[tuple[str, str, str]]:
    total = c.totals.to_pylist()[0]
    tiles = []
    if c.ranking.num_rows and (first := c.ranking.to_pylist()[0])["rank"] is not None:
        interval = number_format.between(first[f"final_{c.monitor}_low"], first[f"final_{c.monitor}_high"])
        sure = f"95 % interval {interval}" if interval else f"{first['no_interval']}: no interval"
        value = number_format.number(first[f"final_{c.monitor}_mean"])
        beside = sum(rank == 1 for rank in c.ranking.column("rank").to_pylist()) - 1
        equal = f"; {beside} more {'shares' if beside == 1 else 'share'} the place" if beside else ""
        tiles.append(("First in the ranking", first["recipe"], f"seeds: {layout.ended(first)}{equal}"))
        tiles.append((f"Its final {c.monitor_label}", value, sure))
        tiles.append(
            (
                "One trial of it takes",
                f"{number_format.amount(first['seconds'])} s",
                f"{number_format.amount(first['epochs'])} epochs; best epoch {number_format.amount(first['best_epoch'])}",
            )
        )
    trials = f"{total['recipes']:,} recipes, {total['trials']:,} trials, {total['epochs_trained']:,} epochs"
    tiles.append(("The whole sweep cost", layout.price(c), trials))
    return tiles


def table(sheet: layout.TextTable) -> str:
    """A sheet as an HTML table with every row and a button in each heading; "" where there are no rows."""
    if not sheet.rows:
        return ""
    kinds = [_kind(sheet, place) for place in range(len(sheet.heads))]
    plain = [' class="name"' if head == "recipe" else "" for head in sheet.heads]
    side = [' class="right"' if n else p for n, p in zip(sheet.numeric, plain, strict=True)]
    heads = "".join(
        f'<th scope="col" data-kind="{kind}"{at}><button type="button">{escape(head.strip())}</button></th>'
        for head, kind, at in zip(sheet.heads, kinds, side, strict=True)
    )
    rows = "\n".join(
        f"<tr{_row_class(sheet, row)}>" + "".join(_cell(c, at) for c, at in zip(row, side, strict=True)) + "</tr>"
        for row in sheet.rows
    )
    note = f'\n<p class="note">{escape(sheet.note)}</p>' if sheet.note else ""
    return (
        f'<div class="scroll" tabindex="0"><table id="table-{sheet.name}" aria-label="{escape(sheet.title)}">\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>{note}"
    )


def _kind(sheet: layout.TextTable, place: int) -> str:
    values = [row[place].value for row in sheet.rows]
    return "text" if any(isinstance(value, str) for value in values) else "number"


def _row_class(sheet: layout.TextTable, row: Sequence[layout.Cell]) -> str:
    return ' class="winner"' if sheet.name == "ranking" and "*" in row[0].text else ""


def _cell(cell: layout.Cell, side: str) -> str:
    value = cell.value
    if isinstance(value, float) and math.isinf(value):
        value = "Infinity"
    data = "" if value is None or value == "" else f' data-value="{escape(str(value))}"'
    return f"<td{side}{data}>{escape(cell.text)}</td>"


def figure(drawn: Drawn, name: str) -> str:
    """The picture of that name with its caption; "" where it was not drawn."""
    if name not in drawn:
        return ""
    picture, caption = drawn[name]
    wide = float(picture.split('viewBox="0 0 ', 1)[1].split(" ", 1)[0]) * _PIXELS_A_POINT
    label = f'<svg role="img" aria-label="{escape(caption)}" style="max-width:{wide:.0f}px"'
    picture = picture.replace("<svg", label, 1)
    return f'<figure id="picture-{name}">\n{picture}\n<figcaption>{escape(caption)}</figcaption>\n</figure>'


def folded(summary: str, body: str) -> str:
    """`body` that opens on a click; "" where there is none."""
    return f"<details><summary>{escape(summary)}</summary>\n{body}\n</details>" if body else ""


def _sections(c: Comparison, drawn: Drawn) -> list[tuple[str, str, str]]:
    """Identifier, heading and body of each section that has something to say."""
    matrices = [name for name in drawn if name.startswith("matrix")]
    tables = "\n".join(table(sheet) for sheet in layout.matrix_sheets(c))
    all_of_them = len(layout.grids(c))
    cut = f" Drawn: {len(matrices)} of {all_of_them}; all are here." if all_of_them > len(matrices) else ""
    rate = "Every recipe was run at one peak learning rate, so nothing is known about sensitivity."

    troubles = layout.troubles(c)
    parts = [
        ("ranking", "Which recipe wins, and is it sure?", [figure(drawn, "forest"), table(layout.ranking(c))]),
        ("curves-first", "How did the first ones learn?", [figure(drawn, "leaders")]),
        (
            "matrix",
            "Which optimizer with which schedule?",
            [*(figure(drawn, name) for name in matrices), folded(f"The same as a table.{cut}", tables)],
        ),
        (
            "stages",
            "Who leads at which stage of training?",
            [
                figure(drawn, "stages"),
                table(layout.stages(c)),
                folded("Who overtakes whom", table(layout.overtakes(c))),
            ],
        ),
        (
            "targets",
            f"How fast to {c.monitor_label} {number_format.number(c.target)}?",
            [figure(drawn, "profile"), table(layout.targets(c))],
        ),
        (
            "sensitivity",
            "How sensitive is it to the peak learning rate?",
            [figure(drawn, "sensitivity"), table(layout.sensitivity(c)) or f"<p>{rate}</p>"],
        ),
        ("published", "Against what was published", [table(layout.published(c))]),
        (
            "cost",
            "What did it cost, and what went wrong?",
            [
                f"<p>{escape(layout.bill(c))}</p>",
                table(layout.cost(c)),
                f"<h3>{escape(troubles.title)}</h3>\n{table(troubles)}"
                if troubles.rows
                else "<p>Every trial completed.</p>",
            ],
        ),
        (
            "curves",
            "Every learning curve",
            [
                f"<h3>{escape(c.monitor_label.capitalize())}</h3>" if "curves" in drawn else "",
                figure(drawn, "curves"),
                f"<h3>{'Validation loss' if c.monitor != 'val_loss' else 'Validation accuracy'}</h3>"
                if "losses" in drawn
                else "",
                figure(drawn, "losses"),
            ],
        ),
        ("schedules", "Every learning rate", [figure(drawn, "schedules")]),
        (
            "notes",
            "How to read these figures",
            ['<ul class="notes">' + "".join(f"\n<li>{escape(note)}</li>" for note in c.notes) + "\n</ul>"],
        ),
    ]
    bodies = [(name, head, "\n".join(piece for piece in pieces if piece)) for name, head, pieces in parts]
    return [part for part in bodies if part[2]]
