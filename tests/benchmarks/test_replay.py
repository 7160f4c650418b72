"""Races replayed on real records, beside other rules that spare epochs: `pytest -m benchmark -s`.

replayed_digits.parquet has 20 recipes x 30 seeds x 4 epochs of VGG11 on the handwritten digits, trained by this
project: five optimizers with four schedules. Each replay shuffles the seeds and asks every rule for the best
recipe. The truth is the mean of all 30 seeds. The rules:

- grid: ten seeds of every recipe, the largest mean wins.
- race: of this project, first 3, most 10, error 5 %.
- wilcoxon: Optuna's WilcoxonPruner (p 0.1, from the second seed on). A recipe runs its ten seeds one by one, and
  is stopped when a signed-rank test says that the best one so far is better on the seeds of both.
- halving: asynchronous successive halving (Li et al. 2018) on one seed. Half of the recipes go on after 1 epoch,
  and a quarter after 2; the largest value at the last epoch wins.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest

from orchestrator.planning.race import Finals, Standing
from orchestrator.spec.race import Race
from orchestrator.statistics.descriptive import Floats

RECORDS = Path(__file__).with_name("replayed_digits.parquet")
REPLAYS, SEEDS = 50, 10


class Verdict(NamedTuple):
    """The recipe that a rule chose, the recipes that it left in, and the epochs that it trained."""

    chosen: int
    inside: set[int]
    epochs: int


def records() -> Floats:
    """Validation accuracies, float64 [recipes, seeds, epochs]."""
    table = pq.read_table(RECORDS)
    recipes = sorted(set(table["recipe"].to_pylist()))
    number = {name: n for n, name in enumerate(recipes)}
    values = np.full((len(recipes), 30, 4), np.nan)
    rows = zip(*(table[name].to_pylist() for name in ("recipe", "seed", "epoch", "val_accuracy")), strict=True)
    for recipe, seed, epoch, accuracy in rows:
        values[number[recipe], seed, epoch] = accuracy
    return values


def grid(values: Floats) -> Verdict:
    """Ten seeds of everything."""
    means = values[:, :SEEDS, -1].mean(axis=1)
    return Verdict(int(means.argmax()), set(range(len(values))), values[:, :SEEDS].size)


def race(values: Floats) -> Verdict:
    """The rule of a race here."""
    finals = values[:, :SEEDS, -1]
    never = np.zeros(finals.shape, np.bool_)
    standing = Standing(Race(first=3, most=SEEDS), None, Finals(scores=finals, finished=~never, failed=never))
    standing.decide()
    inside = [recipe for recipe in range(len(values)) if recipe not in standing.left]
    means = finals[inside, : standing.seeds].mean(axis=1)
    return Verdict(inside[int(means.argmax())], set(inside), sum(standing.admitted) * values.shape[2])


def wilcoxon(values: Floats) -> Verdict:
    """Optuna's rule, recipe by recipe."""
    from scipy.stats import wilcoxon as signed_rank

    finals, best, inside, trained = values[:, :SEEDS, -1], 0, {0}, SEEDS
    for recipe in range(1, len(values)):
        for n in range(1, SEEDS + 1):
            trained += 1
            difference = finals[recipe, :n] - finals[best, :n]
            if n >= 2 and difference.any() and signed_rank(difference, alternative="less").pvalue < 0.1:
                break
        else:
            inside.add(recipe)
            best = recipe if finals[recipe].mean() > finals[best].mean() else best
    return Verdict(best, inside, trained * values.shape[2])


def halving(values: Floats) -> Verdict:
    """Successive halving on the first seed."""
    curves = values[:, 0]
    inside, epochs = np.arange(len(values)), 0
    for first, last in ((0, 1), (1, 2), (2, 4)):
        epochs += len(inside) * (last - first)
        ranked = inside[np.argsort(-curves[inside, last - 1], kind="stable")]
        inside = ranked if last == 4 else ranked[: len(ranked) // 2]
    return Verdict(int(inside[0]), set(inside.tolist()), epochs)


RULES: dict[str, Callable[[Floats], Verdict]] = {
    "grid": grid,
    "race": race,
    "wilcoxon": wilcoxon,
    "halving": halving,
}


@pytest.mark.benchmark
def test_epochs_to_a_decision_and_errors() -> None:
    values = records()
    assert values.shape == (20, 30, 4)
    assert not np.isnan(values).any()
    truth = values[:, :, -1].mean(axis=1)
    best = int(truth.argmax())
    random = np.random.default_rng(0)
    orders = [(random.permutation(30), random.permutation(20)) for _ in range(REPLAYS)]
    print(f"\n{REPLAYS} replays, best of 30 seeds {truth.max():.4f}, second {np.sort(truth)[-2]:.4f}")
    print(f"{'rule':<10}{'epochs':>8}{'of grid':>9}{'dropped best':>14}{'chose another':>15}{'loses':>9}")
    dropped, used = {}, {}
    for name, rule in RULES.items():
        verdicts = []
        for seeds, recipes in orders:
            verdict = rule(values[recipes][:, seeds])
            verdicts.append((recipes[verdict.chosen], best in recipes[list(verdict.inside)], verdict.epochs))
        dropped[name] = np.mean([not stays for _, stays, _ in verdicts])
        used[name] = np.mean([epochs for *_, epochs in verdicts])
        another = np.mean([chosen != best for chosen, *_ in verdicts])
        loses = np.mean([truth[best] - truth[chosen] for chosen, *_ in verdicts])
        share = used[name] / used["grid"]
        print(f"{name:<10}{used[name]:>8.0f}{share:>9.2f}{dropped[name]:>14.3f}{another:>15.3f}{loses:>9.4f}")
    assert dropped["race"] <= 0.05
    assert used["race"] < used["grid"]
