"""The tables of a comparison as texts for people, one function per question, and the cost as a sentence."""

import math
from collections.abc import Callable
from dataclasses import replace

import pyarrow.compute as pc

from orchestrator.analysis.comparison import Comparison
from orchestrator.analysis.durations import estimate
from orchestrator.analysis.held_out import TEST_METRIC
from orchestrator.analysis.observations import METRICS
from orchestrator.report.marks import legend, rank_text, seeds_text
from orchestrator.report.matrix import matrix_tables
from orchestrator.report.number_format import amount, between, chance, hours, number, probability, rate, signed
from orchestrator.report.text_table import Cell, Column, Row, TextTable, labels, numbers, text_table
from orchestrator.statistics.descriptive import EQUAL_VALUES

_SHORT_LABELS = {"val_accuracy": "val. accuracy", "val_loss": "val. loss", "accuracy": "accuracy", "loss": "loss"}
_WITHOUT_INTERVAL = {EQUAL_VALUES: "none: equal"}


def ranking(comparison: Comparison) -> TextTable:
    """Question 1: the monitored metric, then final and best accuracy and loss."""
    monitor = comparison.monitor
    other = "val_loss" if monitor != "val_loss" else "val_accuracy"
    low, high = f"final_{monitor}_low", f"final_{monitor}_high"

    def interval(row: Row) -> Cell:
        return Cell(between(row[low], row[high]) or _WITHOUT_INTERVAL.get(row["no_interval"], ""), row[low])

    def behind(row: Row) -> Cell:
        value = _behind(comparison, row)
        return Cell(number(value), value)

    return text_table(
        "ranking",
        comparison.ranking,
        [
            Column("#", True, lambda row: Cell(rank_text(row), row["rank"])),
            labels("recipe", "recipe"),
            numbers(f"final {_SHORT_LABELS[monitor]}", f"final_{monitor}_mean", number),
            Column("95 % interval", True, interval),
            numbers("P(best)", "best_probability", probability),
            Column("behind winner", True, behind),
            numbers("at most", "behind_at_most", number),
            numbers("p", "p", chance),
            numbers(f"final {_SHORT_LABELS[other]}", f"final_{other}_mean", number),
            numbers(f"best {_SHORT_LABELS[monitor]}", f"best_{monitor}_mean", number),
            numbers(f"its {_SHORT_LABELS[other]}", f"best_{other}_mean", number),
            numbers("epochs", "epochs", amount),
            numbers("seconds", "seconds", amount),
            Column("seeds", True, lambda row: Cell(seeds_text(row), row["n"])),
        ],
        f"{legend(comparison)}. P(best): the probability of being the best; at most: behind the best by no more "
        "than this (95 %); p: with 0.05 or less it is not the best (one-sided paired tests, corrected for their "
        "number); its: in the best epoch; seconds: training time of one trial.",
    )


def _behind(comparison: Comparison, row: Row) -> float | None:
    """How much worse than the winner a recipe is; None for a winner and without common seeds."""
    change = row["difference_mean"]
    if change is None or row["verdict"] == "winner":
        return None
    return float(-change if comparison.direction == "max" else change)


def horizons(comparison: Comparison, first: int | None = None) -> TextTable:
    """The ranking among the recipes of each training length: all of them, or the `first` ranks of each length."""

    def interval(row: Row) -> Cell:
        return Cell(between(row["final_low"], row["final_high"]), row["final_low"])

    ranks = comparison.horizons.column("rank")
    rows = comparison.horizons.filter(pc.fill_null(pc.less_equal(ranks, first or len(ranks)), first is None))
    table = text_table(
        "horizons",
        rows,
        [
            numbers("epochs", "epochs", amount),
            Column("#", True, lambda row: Cell(rank_text(row), row["rank"])),
            labels("recipe", "recipe"),
            numbers(f"final {_SHORT_LABELS[comparison.monitor]}", "final_mean", number),
            Column("95 % interval", True, interval),
            numbers("P(best)", "best_probability", probability),
            Column("seeds", True, lambda row: Cell(seeds_text(row), row["n"])),
        ],
        f"{legend(comparison, 'horizons')}. Each recipe is compared with those of its training length alone; the "
        "certainty is 95 % at each length.",
    )
    if first is None or len(table.rows) == comparison.horizons.num_rows:
        return table
    return replace(table, title=f"{table.title}: the first {first} of each")


def wins(comparison: Comparison) -> TextTable:
    """The probability that the recipe of a row beats the recipe of a column on a new seed."""
    rows: dict[str, dict[str, float]] = {}
    for row in comparison.wins.to_pylist():
        rows.setdefault(row["recipe"], {})[row["rival"]] = row["probability"]
    order = {recipe: str(position) for position, recipe in enumerate(rows, 1)}
    return TextTable(
        name="wins",
        title="Who beats whom on a new seed: probability that the row beats the column",
        heads=("#", "recipe", *order.values()),
        numeric=(True, False, *(True for _ in order)),
        rows=tuple(
            (
                Cell(order[recipe], float(order[recipe])),
                Cell(recipe, recipe),
                *(Cell(probability(rivals.get(rival)), rivals.get(rival)) for rival in order),
            )
            for recipe, rivals in rows.items()
        ),
        note="From 0.75 on, a recipe beats the other often enough to matter (Bouthillier et al. 2021).",
    )


def held_out(comparison: Comparison) -> TextTable:
    """The figures on test images of the recipes that may be the best."""

    def interval(row: Row) -> Cell:
        return Cell(between(row["test_low"], row["test_high"]), row["test_low"])

    def optimism(row: Row) -> Cell:
        return Cell(between(row["optimism_low"], row["optimism_high"]), row["optimism_low"])

    metric = TEST_METRIC[comparison.monitor].replace("_", " ")
    return text_table(
        "held_out",
        comparison.held_out,
        [
            labels("recipe", "recipe"),
            numbers(_SHORT_LABELS[comparison.monitor], "final_mean", number),
            numbers(metric, "test_mean", number),
            Column("95 % interval", True, interval),
            numbers("optimism", "optimism_mean", signed),
            Column("its interval", True, optimism),
            numbers("seeds", "n", str),
        ],
        "Optimism: how much better the monitored figure is than that on test images. Only recipes that may be the "
        "best are shown: to choose by test images would use them up.",
    )


def robust_means(comparison: Comparison) -> TextTable:
    """Interquartile means over seeds."""

    def interval(row: Row) -> Cell:
        return Cell(between(row["iqm_low"], row["iqm_high"]), row["iqm_low"])

    return text_table(
        "robust_means",
        comparison.robust_means,
        [
            labels("recipe", "recipe"),
            numbers("IQM", "iqm", number),
            Column("95 % interval", True, interval),
            numbers("seeds", "n", str),
        ],
        "IQM: the mean of the middle half of the seeds; the interval is of a bootstrap within each recipe.",
    )


def seed_ranks(comparison: Comparison) -> TextTable:
    """Mean ranks over seeds, with the critical difference in the note."""
    rows = comparison.seed_ranks.to_pylist()
    note = ""
    if rows:
        note = (
            f"Mean ranks that differ by less than {rows[0]['critical_difference']:.2f} are not told apart "
            f"(Nemenyi, Demšar 2006); that any differ: p {chance(rows[0]['friedman_p'])} (Friedman)."
        )
    return text_table(
        "seed_ranks",
        comparison.seed_ranks,
        [
            labels("recipe", "recipe"),
            numbers("mean rank", "mean_rank", lambda value: number(value, 2)),
            numbers("seeds", "n", str),
        ],
        note,
    )


def race(comparison: Comparison) -> TextTable:
    """Who may still be the best in a race, and how each other recipe left."""

    def standing(row: Row) -> Cell:
        return Cell("in" if row["in_race"] else f"left after {row['left_after']} seeds", row["left_after"])

    def reason(row: Row) -> Cell:
        return Cell(" ".join(filter(None, (row["reason"], row["better"]))), row["reason"])

    return text_table(
        "race",
        comparison.race,
        [labels("recipe", "recipe"), Column("race", False, standing), Column("why", False, reason)],
        "Recipes leave on finals, paired by seed. The best one is dropped with a probability of 1 - confidence at "
        "most, over all pairs and all looks.",
    )


def certainty(comparison: Comparison) -> TextTable:
    """How many more seeds would settle what is open, and what they would cost."""
    goals = {"tell apart": "tell it from the first", "show as good": "show it is as good as the first"}
    first = next(iter(comparison.ranking.to_pylist()), {"recipe": ""})["recipe"]

    told = (
        f"Seeds of {first} and of the recipe in the row. With 80 % probability they settle it, if difference and "
        "spread stay as they are. "
        if set(goals) & set(comparison.certainty.column("goal").to_pylist())
        else ""
    )

    def recipe(row: Row) -> Cell:
        text = row["recipe"] if row["goal"] in goals else f"all {row['recipes']} recipes"
        return Cell(text, text)

    def goal(row: Row) -> Cell:
        return Cell(goals.get(row["goal"], "see their spread"), row["goal"])

    def seeds(row: Row) -> Cell:
        return Cell("over 1,000" if row["more"] == math.inf else amount(row["more"]), row["more"])

    def unless_endless(write: Callable[[float], str], key: str) -> Callable[[Row], Cell]:
        return lambda row: Cell("" if row["more"] == math.inf else write(row[key]), row[key])

    def room(row: Row) -> Cell:
        kind, number_of = ("GPUs", row["gpus"]) if row["gpus"] else ("cores", row["cores"])
        return Cell("" if row["more"] == math.inf else f"{number_of:g} {kind}", number_of)

    return text_table(
        "certainty",
        comparison.certainty,
        [
            Column("recipe", False, recipe),
            Column("to", False, goal),
            Column("more seeds", True, seeds),
            Column("epochs", True, unless_endless(amount, "epochs")),
            Column("time", True, unless_endless(estimate, "seconds")),
            Column("on", True, room),
        ],
        f"{told}Epochs are at most: common beginnings are trained once.",
    )


def stages(comparison: Comparison) -> TextTable:
    """Question 3: rank and mean at each stage, one row per recipe."""
    rows: dict[str, list[Cell]] = {}
    names: dict[str, None] = {}
    for row in comparison.stages.to_pylist():
        names[row["stage"]] = None
        cells = rows.setdefault(row["recipe"], [Cell(row["recipe"], row["recipe"])])
        cells.append(Cell(f"{row['rank']}.  {number(row[f'{comparison.monitor}_mean'])}", row["rank"]))
    return TextTable(
        name="stages",
        title=f"Rank and {comparison.monitor_label} at each stage of training",
        heads=("recipe", *names),
        numeric=(False, *(True for _ in names)),
        rows=tuple(tuple(cells) for cells in rows.values()),
        note="A trial that ended before keeps its last value.",
    )


def overtakes(comparison: Comparison) -> TextTable:
    """Question 3: the recipes that overtake another between two stages."""

    def ranks(row: Row) -> Cell:
        return Cell(f"{row['rank']} and {row['rank_of_overtaken']}", row["rank"])

    return text_table(
        "overtakes",
        comparison.overtakes,
        [
            Column("between", False, lambda row: Cell(f"{row['from']} and {row['to']}", row["from"])),
            labels("recipe", "recipe"),
            labels("overtakes", "overtakes"),
            Column("rank then", True, ranks),
        ],
    )


def targets(comparison: Comparison) -> TextTable:
    """Question 4: epochs and seconds until the target."""

    def seeds(row: Row) -> Cell:
        return Cell(f"{row['reached']} of {row['n']}", row["reached"])

    source = "as given" if comparison.target_given else "the median of the finals, as none was given"
    return text_table(
        "targets",
        comparison.targets,
        [
            labels("recipe", "recipe"),
            Column("seeds that reach it", True, seeds),
            numbers("epochs, median", "epochs_median", amount),
            numbers("slowest", "epochs_slowest", amount),
            numbers("seconds, median", "seconds_median", amount),
            numbers("slowest ", "seconds_slowest", amount),
            numbers("profile area", "score", lambda value: number(value, 2)),
        ],
        f"The target is {source}. Profile area: 1 is always fastest, 0 always four times slower or never.",
    )


def sensitivity(comparison: Comparison) -> TextTable:
    """Question 5: the final metric by peak learning rate."""

    def interval(row: Row) -> Cell:
        return Cell(between(row["final_low"], row["final_high"]), row["final_low"])

    return text_table(
        "sensitivity",
        comparison.sensitivity,
        [
            labels("recipe", "recipe"),
            numbers("peak learning rate", "learning_rate", rate),
            numbers(f"final {comparison.monitor_label}", "final_mean", number),
            Column("95 % interval", True, interval),
            numbers("seeds", "n", str),
        ],
    )


def published(comparison: Comparison) -> TextTable:
    """Question 6: published figures and measured figures."""
    answers = {True: "yes", False: "no", None: ""}

    def interval(row: Row) -> Cell:
        return Cell(between(row["measured_low"], row["measured_high"]), row["measured_low"])

    return text_table(
        "published",
        comparison.published,
        [
            labels("recipe", "recipe"),
            Column("metric", False, lambda row: Cell(METRICS[row["metric"]], row["metric"])),
            numbers("published", "published", number),
            numbers("measured", "measured_mean", number),
            Column("95 % interval", True, interval),
            numbers("difference", "difference", signed),
            Column("inside", False, lambda row: Cell(answers[row["inside"]], answers[row["inside"]])),
            numbers("seeds", "n", str),
        ],
    )


def cost(comparison: Comparison) -> TextTable:
    """Question 7 by optimizer. The last row is the whole sweep; its cells sort last in every order."""
    total = {"optimizer": "all"} | comparison.totals.to_pylist()[0]
    keys = ["trials", "completed", "stopped", "diverged", "failed"]
    keys += [key for key in ("running", "waiting") if total[key]]
    keys += ["epochs_trained", "epochs_taken"]
    keys += [key for key in ("core_hours", "gpu_hours", "core_hours_saved", "gpu_hours_saved") if total[key]]
    rows = [
        (Cell(row["optimizer"], row["optimizer"]), *(Cell(amount(row[key]), row[key]) for key in keys))
        for row in comparison.cost.to_pylist()
    ]
    rows.append((Cell("all", None), *(Cell(amount(total[key]), None) for key in keys)))
    return TextTable(
        name="cost",
        title="Cost by optimizer",
        heads=("optimizer", *(key.replace("_", " ").replace("gpu", "GPU") for key in keys)),
        numeric=(False, *(True for _ in keys)),
        rows=tuple(rows),
    )


def hours_used(comparison: Comparison) -> str:
    """The GPU hours of the sweep, or its core hours if it used no GPU."""
    total = comparison.totals.to_pylist()[0]
    return hours(total["gpu_hours"], "GPU") if total["gpu_hours"] else hours(total["core_hours"], "core")


def cost_sentence(comparison: Comparison) -> str:
    """The cost of the sweep as one sentence."""
    total = comparison.totals.to_pylist()[0]
    reused = f", {total['epochs_taken']:,} more taken without training" if total["epochs_taken"] else ""
    devices = f" on {total['devices']}" if total["devices"] else ""
    epochs = f"{total['trials']:,} trials, {total['epochs_trained']:,} epochs trained{reused}"
    return f"{epochs}: {hours_used(comparison)}{devices}."


def troubles(comparison: Comparison) -> TextTable:
    """Question 7: each trial that did not simply complete."""
    return text_table(
        "troubles",
        comparison.troubles,
        [
            labels("status", "status"),
            labels("recipe", "recipe"),
            numbers("seed", "seed", str),
            Column("epochs", True, lambda row: Cell(f"{row['epochs']} of {row['planned']}", row["epochs"])),
            labels("reason", "reason"),
        ],
    )


AFTER_MATRIX: tuple[Callable[[Comparison], TextTable], ...] = (
    wins,
    held_out,
    robust_means,
    seed_ranks,
    certainty,
    race,
    stages,
    overtakes,
    targets,
    sensitivity,
    published,
    cost,
    troubles,
)
"""The tables that follow the ranking and the matrices, in the order of the questions."""


def text_tables(comparison: Comparison) -> tuple[TextTable, ...]:
    """Every table that has rows, in the order of the questions."""
    tables = (
        ranking(comparison),
        horizons(comparison),
        *matrix_tables(comparison),
        *(make(comparison) for make in AFTER_MATRIX),
    )
    return tuple(table for table in tables if table.rows)
