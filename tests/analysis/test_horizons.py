"""The best recipe at each training length: as if each length had been a sweep of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from orchestrator.analysis.summary import Comparison, TrialDescription, summarize
from orchestrator.report import formats, html, tables
from orchestrator.report.figures import catalogue
from tests.support import histories

Finals = Mapping[str, Mapping[int, Sequence[float]]]
FINALS: Finals = {
    "fast + constant": {2: [0.70, 0.72, 0.71, 0.73], 4: [0.75, 0.76, 0.74, 0.77], 8: [0.76, 0.77, 0.75, 0.78]},
    "even + constant": {2: [0.60, 0.63, 0.61, 0.62], 4: [0.76, 0.75, 0.75, 0.76], 8: [0.81, 0.80, 0.79, 0.82]},
    "slow + cosine": {2: [0.50, 0.52, 0.51, 0.54], 4: [0.70, 0.71, 0.69, 0.71], 8: [0.91, 0.92, 0.90, 0.93]},
}
"""Final accuracies, one a seed, by recipe and training length."""


def trial(recipe: str, seed: int, epochs: int, axis: bool = True) -> TrialDescription:
    plain = histories.trial(recipe, seed, epochs)
    return replace(plain, id=f"{plain.id}-{epochs}", settings={"epochs": str(epochs)} if axis else {})


def compared(finals: Finals, own: Finals | None = None) -> Comparison:
    """The comparison of recipes at their lengths; `own` are recipes with epochs of their own, without an axis."""
    parts = [
        (trial(recipe, seed, epochs, axis), [*(value * np.arange(1, epochs) / epochs), value])
        for axis, group in ((True, finals), (False, own or {}))
        for recipe, by_length in group.items()
        for epochs, values in by_length.items()
        for seed, value in enumerate(values)
    ]
    return summarize(*histories.history(parts))


def test_each_length_is_ranked_as_a_sweep_of_its_own() -> None:
    comparison = compared(FINALS)
    rows = comparison.horizons.to_pylist()
    assert [row["epochs"] for row in rows] == [2, 2, 2, 4, 4, 4, 8, 8, 8]
    for length in (2, 4, 8):
        alone = summarize(
            *histories.worked({recipe: lengths[length] for recipe, lengths in FINALS.items()}, length)
        ).ranking.to_pylist()
        for row, same in zip([row for row in rows if row["epochs"] == length], alone, strict=True):
            assert row["settings"] == ""
            for name in ("rank", "recipe", "optimizer", "n", "p", "in_set", "best_probability", "verdict"):
                assert row[name] == same[name], name
            for end in ("mean", "low", "high"):
                assert row[f"final_{end}"] == same[f"final_val_accuracy_{end}"]
    assert [row["recipe"] for row in rows if row["in_set"]] == [
        "fast + constant",
        *("fast + constant", "even + constant"),
        "slow + cosine",
    ]


def test_the_answer_names_the_best_of_each_length() -> None:
    assert (
        "At 2 epochs the best is fast + constant; at 4: fast + constant or even + constant; "
        "at 8: slow + cosine (with 95 % certainty at each length)."
    ) in compared(FINALS).answer
    one_seed = {recipe: {n: values[:1] for n, values in by.items()} for recipe, by in FINALS.items()}
    assert (
        "At 2 epochs the first is fast + constant; at 4: even + constant; at 8: slow + cosine "
        "(not tested, so it may be chance)."
    ) in compared(one_seed).answer
    alike = {f"o{n} + x": {length: [0.6 + n / 1000, 0.8 - n / 500] for length in (2, 4)} for n in range(6)}
    assert (
        "At 2 epochs the best is any of 6 recipes; at 4: any of 6 recipes (with 95 % certainty at each length)."
    ) in compared(alike).answer
    many = {"a + x": {n: [0.5 + n / 100] for n in range(2, 12)}}
    (sentence,) = (text for text in compared(many).answer if text.startswith("At 2"))
    assert sentence.endswith("at 7: a + x; 4 more lengths are in the table (not tested, so it may be chance).")


def test_a_recipe_with_epochs_of_its_own_counts_at_its_length() -> None:
    rows = compared(FINALS, {"own + step": {4: [0.99, 0.98, 0.97, 0.99]}}).horizons.to_pylist()
    assert [(row["epochs"], row["rank"]) for row in rows if row["recipe"] == "own + step"] == [(4, 1)]


def test_every_format_has_it() -> None:
    comparison = compared(FINALS)
    (table,) = (table for table in tables.text_tables(comparison) if table.name == "horizons")
    assert [row[0].text for row in table.rows] == ["2", "2", "2", "4", "4", "4", "8", "8", "8"]
    assert [row[1].text for row in table.rows][::3] == ["1*", "1*", "1*"]
    assert "The best at each training length" in formats.render("markdown", comparison)
    assert "Which recipe at which training length?" in html.render(comparison)
    svg, caption = catalogue.inline(comparison, {"horizons"})["horizons"]
    for recipe in FINALS:
        assert recipe in svg
    assert "Filled: it may be the best of its length" in caption
    assert '"horizons": [' in formats.render("json", comparison)


def test_one_length_has_none_of_it() -> None:
    comparison = summarize(*histories.worked({"a + x": [0.9, 0.8], "b + x": [0.6, 0.5]}))
    assert comparison.horizons.num_rows == 0
    assert comparison.horizons.schema.types == compared(FINALS).horizons.schema.types
    assert "horizons" not in {table.name for table in tables.text_tables(comparison)}
    assert "horizons" not in catalogue.inline(comparison)
    assert "training length" not in html.render(comparison)
    assert not any("epochs the" in sentence for sentence in comparison.answer)


def test_a_length_without_a_result_is_in_the_table_and_in_no_claim() -> None:
    parts = [
        (trial(recipe, seed, 2), [0.3 + seed / 50, 0.6 + seed / 50 + n / 10])
        for n, recipe in enumerate(FINALS)
        for seed in range(2)
    ]
    waiting = [replace(trial(recipe, 0, 4), status="waiting") for recipe in FINALS]
    history, trials = histories.history(parts)
    comparison = summarize(history, [*trials, *waiting])
    rows = comparison.horizons.to_pylist()
    assert [(row["rank"], row["n"], row["verdict"]) for row in rows[3:]] == [(None, 0, "no result")] * 3
    assert not any("; at 4" in sentence for sentence in comparison.answer)
    assert isinstance(comparison.horizons, pa.Table)
    catalogue.inline(comparison, {"horizons"})
