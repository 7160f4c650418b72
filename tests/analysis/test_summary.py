"""The rules of the comparison, each on a sweep small enough to check by hand."""

import math
import re

import pyarrow as pa
import pytest

from experiments.settings import InputError
from orchestrator.analysis.summary import RecipeLabel, TrialDescription, summarize
from tests.support.histories import PUBLISHED, article, history, rows, square, trial, worked


def column(table, name):
    return table.column(name).to_pylist()


def by_recipe(table, name):
    return dict(zip(column(table, "recipe"), column(table, name), strict=True))


def test_ranking_has_means_intervals_and_verdicts():
    from scipy import stats

    a, b, c = [0.93, 0.95, 0.94], [0.92, 0.95, 0.93], [0.60, 0.61, 0.62]
    comparison = summarize(*worked({"sgd + step": c, "adam + cosine": a, "adam + step": b}))
    ranking = comparison.ranking
    assert column(ranking, "recipe") == ["adam + cosine", "adam + step", "sgd + step"]
    assert column(ranking, "rank") == [1, 2, 3]
    assert column(ranking, "verdict") == ["winner", "not distinguishable", "different"]
    assert column(ranking, "final_val_accuracy_mean") == pytest.approx([0.94, 0.933333, 0.61], abs=1e-6)
    low, high = stats.t.interval(0.95, 2, 0.94, stats.sem(a))
    assert column(ranking, "final_val_accuracy_low")[0] == pytest.approx(low)
    assert column(ranking, "final_val_accuracy_high")[0] == pytest.approx(high)
    assert column(ranking, "in_set") == [True, True, False]
    assert column(ranking, "difference_mean")[2] == pytest.approx(-0.33)
    assert sum(column(ranking, "best_probability")) == pytest.approx(1)


def test_two_recipes_are_told_apart_as_by_a_paired_test():
    from scipy import stats

    a, b = [0.93, 0.95, 0.94, 0.96], [0.91, 0.95, 0.92, 0.93]
    ranking = summarize(*worked({"adam + cosine": a, "sgd + step": b})).ranking.to_pylist()
    reference = stats.ttest_rel(b, a, alternative="less")
    interval = stats.ttest_rel(b, a).confidence_interval(0.95)
    assert ranking[1]["p"] == pytest.approx(reference.pvalue)
    assert (ranking[1]["difference_low"], ranking[1]["difference_high"]) == pytest.approx(tuple(interval))
    lowest = stats.ttest_rel(b, a, alternative="greater").confidence_interval(0.95).low
    assert ranking[1]["behind_at_most"] == pytest.approx(-lowest)


def test_the_answer_names_the_winner_its_interval_and_what_may_be_as_good():
    comparison = summarize(
        *worked(
            {
                "adam + cosine": [0.93, 0.95, 0.94],
                "adam + step": [0.92, 0.95, 0.93],
                "sgd + step": [0.6, 0.61, 0.62],
            }
        )
    )
    use, certainty, price = comparison.answer
    assert re.fullmatch(
        r"Use adam \+ cosine: final validation accuracy 0\.940 over 3 seeds; 0\.9\d\d when corrected for having "
        r"been chosen \(95 % interval 0\.9\d\d to 0\.9\d\d\)\.",
        use,
    )
    assert re.fullmatch(
        r"With 95 % certainty the best is one of 2 recipes: adam \+ cosine \(0\.\d\d\) and adam \+ step "
        r"\(0\.\d\d\); the other one is behind by more than chance explains\.",
        certainty,
    )
    assert re.fullmatch(
        r"To tell adam \+ cosine from adam \+ step: about \d+ more seeds of these 2 recipes, \d+ epochs at most, "
        r"\d+ (s|min) on \d+ cores\.",
        price,
    )


def test_one_seed_gives_no_interval_no_test_and_says_so():
    comparison = summarize(*worked({"adam + cosine": [0.94], "sgd + step": [0.6]}))
    for end in ("low", "high"):
        assert column(comparison.ranking, f"final_val_accuracy_{end}") == [None, None]
    assert column(comparison.ranking, "verdict") == ["winner", "not tested"]
    assert comparison.answer[0] == "adam + cosine came out first: final validation accuracy 0.940 (1 seed)."
    assert "nothing is known about spread" in comparison.answer[1]
    assert any("one seed" in note for note in comparison.notes)


def test_unequal_numbers_of_seeds_are_compared_on_those_in_common():
    comparison = summarize(
        *worked({"adam + cosine": [0.94, 0.92, 0.96, 0.95], "sgd + step": [0.6, 0.7], "sgd + cosine": [0.5]})
    )
    assert column(comparison.ranking, "n") == [4, 2, 1]
    assert column(comparison.ranking, "pairs") == [4, 2, 1]
    assert column(comparison.ranking, "verdict")[2] == "not tested"
    assert any("different numbers of seeds" in note for note in comparison.notes)


def test_a_recipe_ahead_on_the_common_seeds_is_never_called_worse():
    finals = {"adam + cosine": [0.80, 0.81, 0.99, 0.99], "sgd + step": [0.850, 0.8601]}
    comparison = summarize(*worked(finals))
    assert column(comparison.ranking, "recipe")[0] == "adam + cosine"
    assert column(comparison.ranking, "verdict") == ["winner", "not distinguishable"]
    assert "better on the seeds that both have" in comparison.answer[1]


# The same finals in another order of seeds, sums whose last digits differ, and equal ones.
TIED = [([0.9, 0.8], [0.9, 0.8]), ([0.7, 0.1, 0.3], [0.1, 0.3, 0.7]), ([0.1, 0.2], [0.15, 0.15])]


@pytest.mark.parametrize(("one", "other"), TIED)
def test_equal_means_share_the_first_place_whatever_their_last_digit(one, other):
    low = [0.05] * (len(one) - 1)
    comparison = summarize(*worked({"c + y": [*low, 0.02], "b + x": one, "a + x": other}))
    assert column(comparison.ranking, "recipe") == ["b + x", "a + x", "c + y"]
    assert column(comparison.ranking, "rank") == [1, 1, 3]
    assert column(comparison.ranking, "verdict")[:2] == ["winner", "winner"]
    assert comparison.answer[0].startswith("b + x and a + x share the first place: final validation accuracy ")
    assert not any("may be chance" in sentence for sentence in comparison.answer)
    assert column(comparison.matrix, "shade")[1:] == [1.0, 1.0]
    for stage in ("25%", "50%", "75%", "100%"):
        ranks = [r["rank"] for r in comparison.stages.to_pylist() if r["stage"] == stage]
        assert ranks == [1, 1, 3], stage
    assert column(comparison.overtakes, "recipe") == []


@pytest.mark.parametrize(("one", "other"), TIED)
def test_where_all_are_equal_nothing_tells_them_apart(one, other):
    comparison = summarize(*worked({"b + x": one, "a + x": other}))
    assert comparison.answer[1] == "No recipe is behind, so nothing tells them apart."
    assert column(comparison.matrix, "shade") == [1.0, 1.0]


def test_a_lead_of_several_is_theirs():
    comparison = summarize(*worked({"a + x": [0.9], "b + x": [0.9], "c + x": [0.5]}))
    assert comparison.answer == (
        "a + x and b + x share the first place: final validation accuracy 0.900 (1 seed each).",
        "With one seed nothing is known about spread, so their lead may be chance.",
        "To see how sure that is: 2 more seeds of these 3 recipes, 24 epochs at most, 16 s on 3 cores.",
    )


def test_equal_seeds_are_no_certainty():
    comparison = summarize(*worked({"a + x": [0.9, 0.9, 0.9], "b + x": [0.8, 0.8, 0.8], "c + x": [0.9, 0.7, 0.8]}))
    for end in ("low", "high"):
        assert column(comparison.ranking, f"final_val_accuracy_{end}")[0] is None
    reasons = by_recipe(comparison.ranking, "no_interval")
    assert reasons == {"a + x": "equal in every seed", "b + x": "equal in every seed", "c + x": None}
    row = next(r for r in comparison.ranking.to_pylist() if r["recipe"] == "b + x")
    # The difference of a and b is the same in every seed: its spread is borrowed from the other pairs.
    assert row["difference_low"] < row["difference_mean"] < row["difference_high"]
    assert row["verdict"] == "not distinguishable"
    assert any("no interval is given" in note for note in comparison.notes)


def test_two_recipes_with_the_same_difference_in_every_seed_are_not_tested():
    comparison = summarize(*worked({"a + x": [0.9, 0.9, 0.9], "b + x": [0.8, 0.8, 0.8]}))
    row = comparison.ranking.to_pylist()[1]
    assert (row["p"], row["difference_low"], row["difference_high"]) == (None, None, None)
    assert row["verdict"] == "not tested"
    assert comparison.answer[0] == "a + x came out first: final validation accuracy 0.900 (3 seeds)."
    assert comparison.answer[1] == "No two recipes can be compared seed by seed, so its lead may be chance."


def test_a_diverged_trial_counts_as_what_it_was_and_is_not_tested():
    table, trials = worked({"adam + cosine": [0.9, 0.8], "sgd + step": [0.7, 0.65]})
    diverged = TrialDescription("lost", "sgd", "high", 0, 4, 1.0, status="diverged", reason="loss is not a number")
    completed = TrialDescription("kept", "sgd", "high", 1, 4, 1.0)
    nan = float("nan")
    table = pa.concat_tables(
        [
            table,
            rows(diverged, [0.5, 0.95, 0.1], loss=[1, 1, nan], val_loss=[1, 1, nan]),
            rows(completed, [0.5, 0.7, 0.8, 0.9]),
        ]
    )
    comparison = summarize(table, [*trials, diverged, completed])
    index = column(comparison.ranking, "recipe").index("sgd + high")
    assert column(comparison.ranking, "final_val_accuracy_mean")[index] == pytest.approx((0.1 + 0.9) / 2)
    assert column(comparison.ranking, "best_val_accuracy_mean")[index] == pytest.approx((0.95 + 0.9) / 2)
    assert math.isinf(column(comparison.ranking, "final_val_loss_mean")[index])
    assert column(comparison.ranking, "final_val_loss_low")[index] is None
    assert (column(comparison.ranking, "n")[index], column(comparison.ranking, "diverged")[index]) == (2, 1)
    assert column(comparison.ranking, "verdict")[index] == "not tested"
    assert column(comparison.troubles, "reason") == ["loss is not a number"]
    assert "1 recipe was not tested because seeds diverged" in " ".join(comparison.answer)


def test_an_accuracy_that_is_not_a_number_counts_as_none_right():
    diverged = TrialDescription("lost", "sgd", "high", 0, 2, 1.0, status="diverged")
    comparison = summarize(rows(diverged, [0.5, float("nan")]), [diverged])
    assert column(comparison.ranking, "final_val_accuracy_mean") == [0.0]
    assert column(comparison.ranking, "best_val_accuracy_mean") == [0.5]


def test_all_diverged_is_said_first():
    trials = [
        TrialDescription(f"t{s}", "sgd", "high", s, 3, 1.0, status="diverged", reason="loss is not a number")
        for s in (0, 1)
    ]
    comparison = summarize(pa.concat_tables([rows(t, [0.5, 0.1]) for t in trials]), trials)
    assert comparison.answer[0].startswith("Every trial that ended diverged: use none as it is.")
    assert comparison.totals.to_pylist()[0]["diverged"] == 2


def test_failed_and_unfinished_trials_are_counted_nowhere_but_listed():
    table, trials = worked({"adam + cosine": [0.9, 0.8, 0.7]})
    failed = trial("adam + cosine", 3, status="failed", reason="worker died 3 times")
    waiting, running = trial("sgd + step", 0, status="waiting"), trial("sgd + step", 1, status="running")
    table = pa.concat_tables([table, rows(failed, [0.1, 0.2]), rows(running, [0.3])])
    comparison = summarize(table, [*trials, failed, waiting, running])
    assert column(comparison.ranking, "n") == [3, 0]
    assert column(comparison.ranking, "planned") == [4, 2]
    assert column(comparison.ranking, "rank") == [1, None]
    assert column(comparison.ranking, "final_val_accuracy_mean") == [pytest.approx(0.8), None]
    assert column(comparison.ranking, "verdict")[1] == "no result"
    assert comparison.answer[-1] == "This is provisional: of 6 trials 2 have not ended and 1 failed."
    assert column(comparison.troubles, "status") == ["failed", "running", "waiting"]
    assert column(comparison.troubles, "reason")[0] == "worker died 3 times"
    assert comparison.totals.to_pylist()[0]["epochs_trained"] == 15
    assert by_recipe(comparison.curves, "ended") == {"adam + cosine": True, "sgd + step": False}


def test_nothing_ended_and_nothing_planned():
    waiting = trial("sgd + step", 0, status="waiting")
    comparison = summarize(history([])[0], [waiting], sweep="mine")
    assert comparison.sweep == "mine"
    assert comparison.answer == ("No trial has ended with a result: of 1 trial 1 has not ended.",)
    assert column(comparison.ranking, "rank") == [None]
    assert comparison.target is None
    assert summarize(history([])[0], []).answer == ("No trial has ended with a result: nothing was planned.",)


def test_a_trial_that_ended_without_a_row_is_listed():
    comparison = summarize(history([])[0], [trial("sgd + step", 0)])
    assert column(comparison.troubles, "reason") == ["no epoch is recorded"]


def test_a_trial_that_gave_no_reason_gets_the_one_its_rows_show():
    nan = float("nan")
    diverged = TrialDescription("lost", "sgd", "high", 0, 4, 1.0, status="diverged")
    early = TrialDescription("early", "sgd", "high", 1, 4, 1.0, status="stopped")
    table = pa.concat_tables([rows(diverged, [0.5, 0.1], loss=[1, nan]), rows(early, [0.5])])
    assert column(summarize(table, [diverged, early]).troubles, "reason") == [
        "the loss of epoch 2 is not a number",
        "early stopping",
    ]


def test_best_is_the_epoch_of_the_best_monitored_value():
    only = trial("sgd + step", 0)
    table = rows(only, [0.5, 0.9, 0.9, 0.7], val_loss=[1.0, 0.6, 0.4, 0.2])
    row = summarize(table, [only]).ranking.to_pylist()[0]
    assert (row["best_val_accuracy_mean"], row["best_val_loss_mean"], row["best_epoch"]) == (0.9, 0.6, 2.0)
    assert (row["final_val_accuracy_mean"], row["final_val_loss_mean"]) == (0.7, 0.2)
    by_loss = summarize(table, [only], monitor="val_loss").ranking.to_pylist()[0]
    assert (by_loss["best_val_loss_mean"], by_loss["best_epoch"]) == (0.2, 4.0)


def test_monitoring_a_loss_ranks_the_smallest_first():
    comparison = summarize(*worked({"a + x": [0.9, 0.8], "b + x": [0.6, 0.5]}), monitor="val_loss")
    assert comparison.direction == "min"
    assert column(comparison.ranking, "recipe") == ["a + x", "b + x"]
    assert column(comparison.matrix, "shade") == [1.0, 0.0]
    with pytest.raises(InputError, match="did you mean 'val_accuracy'"):
        summarize(*worked({"a + x": [0.9]}), monitor="val_acuracy")


def test_stages_show_rank_and_who_overtakes_whom():
    fast, slow = trial("fast + x", 0, 8), trial("slow + x", 0, 8)
    early = trial("early + x", 0, 8, status="stopped", reason="no gain")
    comparison = summarize(
        *history(
            [
                (fast, [0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]),
                (slow, [0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.9]),
                (early, [0.3, 0.4, 0.4]),
            ]
        )
    )
    ranks = {(r["stage"], r["recipe"]): r["rank"] for r in comparison.stages.to_pylist()}
    assert [ranks[s, "slow + x"] for s in ("25%", "50%", "75%", "100%")] == [3, 2, 1, 1]
    assert [ranks[s, "fast + x"] for s in ("25%", "50%", "75%", "100%")] == [1, 1, 2, 2]
    values = {
        (r["stage"], r["recipe"]): (r["epoch"], r["val_accuracy_mean"]) for r in comparison.stages.to_pylist()
    }
    assert values["50%", "slow + x"] == (4.0, 0.5)
    assert values["75%", "early + x"] == (3.0, 0.4)
    overtakings = [(r["from"], r["to"], r["recipe"], r["overtakes"]) for r in comparison.overtakes.to_pylist()]
    assert overtakings == [("25%", "50%", "slow + x", "early + x"), ("50%", "75%", "slow + x", "fast + x")]


def test_the_last_stage_is_the_final_of_the_ranking():
    comparison = summarize(*article())
    last_stage = {
        r["recipe"]: r["val_accuracy_mean"] for r in comparison.stages.to_pylist() if r["stage"] == "100%"
    }
    assert last_stage == by_recipe(comparison.ranking, "final_val_accuracy_mean")
    ends = {r["recipe"]: r["val_accuracy_mean"] for r in comparison.curves.to_pylist()}
    assert ends == pytest.approx(last_stage)


def test_time_to_target_counts_epochs_and_seconds_and_never_is_infinite():
    comparison = summarize(
        *history(
            [
                (trial("fast + x", 0), [0.5, 0.8, 0.9, 0.9]),
                (trial("fast + x", 1), [0.8, 0.8, 0.9, 0.9]),
                (trial("slow + x", 0), [0.1, 0.2, 0.3, 0.8]),
                (trial("slow + x", 1), [0.1, 0.2, 0.3, 0.79]),
            ]
        ),
        target=0.8,
    )
    fast, slow = comparison.targets.to_pylist()
    assert (fast["recipe"], fast["reached"]) == ("fast + x", 2)
    assert (fast["epochs_median"], fast["epochs_slowest"], fast["seconds_slowest"]) == (1.5, 2.0, 4.0)
    assert (slow["reached"], slow["epochs_median"], slow["seconds_slowest"]) == (1, math.inf, math.inf)
    steps = [
        (r["recipe"], r["ratio"], r["share"]) for r in comparison.profile.to_pylist() if r["measure"] == "epochs"
    ]
    assert steps == [("fast + x", 1.0, 1.0), ("slow + x", 1.0, 0.0), ("slow + x", 2.0, 0.5)]


def test_the_target_is_the_median_of_the_finals_unless_given():
    comparison = summarize(*worked({"a + x": [0.9, 0.8], "b + x": [0.6]}))
    assert (comparison.target, comparison.target_given) == (0.8, False)
    assert summarize(*worked({"a + x": [0.9]}), target=0.5).target_given


def test_a_target_nobody_reaches_is_infinite_for_all():
    comparison = summarize(*worked({"a + x": [0.9, 0.8]}), target=0.99)
    assert column(comparison.targets, "epochs_median") == [math.inf]
    assert column(comparison.profile, "share") == [0.0, 0.0]
    assert column(comparison.targets, "score") == [0.0]


def test_sensitivity_joins_what_differs_in_the_peak_alone():
    def trial_at(rate, seed, batch="16"):
        settings = {"optimizers.sgd.learning_rate": str(rate), "batch_size": batch}
        return TrialDescription(f"{rate}-{seed}-{batch}", "sgd", "cosine", seed, 1, rate, settings)

    parts = [(trial_at(0.1, s), [0.9 + s / 100]) for s in (0, 1)] + [
        (trial_at(0.01, 0), [0.7]),
        (trial_at(0.1, 0, "64"), [0.8]),
    ]
    sensitivity = summarize(*history(parts)).sensitivity.to_pylist()
    assert [(r["recipe"], r["learning_rate"], r["n"]) for r in sensitivity] == [
        ("sgd + cosine, batch_size=16", 0.01, 1),
        ("sgd + cosine, batch_size=16", 0.1, 2),
    ]
    assert sensitivity[1]["final_mean"] == pytest.approx(0.905)
    assert summarize(*worked({"a + x": [0.9]})).sensitivity.num_rows == 0


def test_published_stands_beside_measured():
    key = RecipeLabel("a", "x")
    published_rows = summarize(
        *worked({"a + x": [0.90, 0.92, 0.94]}),
        published={key: {"val_accuracy": 0.95, "val_loss": 0.5}, ("b", "y", ()): {"val_accuracy": 0.7}},
    ).published.to_pylist()
    assert [(r["recipe"], r["metric"], r["published"], r["inside"]) for r in published_rows] == [
        ("a + x", "val_accuracy", 0.95, True),
        ("a + x", "val_loss", 0.5, False),
        ("b + y", "val_accuracy", 0.7, None),
    ]
    assert published_rows[0]["difference"] == pytest.approx(-0.03)
    assert (published_rows[2]["measured_mean"], published_rows[2]["difference"], published_rows[2]["n"]) == (
        None,
        None,
        0,
    )
    with pytest.raises(InputError, match=r"published\.a \+ x\.acuracy"):
        summarize(*worked({"a + x": [0.9]}), published={key: {"acuracy": 1.0}})


def test_cost_tells_trained_from_taken_and_cores_from_gpus():
    one, two = trial("sgd + step", 0, cpus=2.0, gpus=0.5), trial("adam + step", 0, status="failed")
    table = pa.concat_tables(
        [
            rows(one, [0.5] * 4, seconds=[900.0] * 4, reused=[True, False, False, False]),
            rows(two, [0.5], seconds=[3600.0]),
        ]
    )
    comparison = summarize(table, [one, two])
    sgd, adam = comparison.cost.to_pylist()
    assert (sgd["optimizer"], sgd["epochs_trained"], sgd["epochs_taken"]) == ("sgd", 3, 1)
    assert (sgd["core_hours"], sgd["gpu_hours"], sgd["core_hours_saved"]) == pytest.approx((1.5, 0.375, 0.5))
    assert (adam["failed"], adam["core_hours"]) == (1, 1.0)
    total = comparison.totals.to_pylist()[0]
    assert (total["trials"], total["completed"], total["failed"], total["epochs_trained"]) == (2, 1, 1, 4)
    assert total["core_hours"] == pytest.approx(2.5)
    assert comparison.ranking.to_pylist()[0]["seconds"] == 3600.0


def test_curves_keep_the_last_value_of_a_seed_that_stopped():
    long, stopped = trial("a + x", 0), trial("a + x", 1, status="stopped")
    curves = summarize(*history([(long, [0.2, 0.4, 0.6, 0.8]), (stopped, [0.4, 0.6])])).curves
    assert column(curves, "epoch") == [1, 2, 3, 4]
    assert column(curves, "val_accuracy_mean") == pytest.approx([0.3, 0.5, 0.6, 0.7])
    assert column(curves, "val_accuracy_lowest") == [0.2, 0.4, 0.6, 0.6]
    assert column(curves, "val_accuracy_highest") == [0.4, 0.6, 0.6, 0.8]
    assert (column(curves, "n"), column(curves, "trained")) == ([2, 2, 2, 2], [2, 2, 1, 1])


def test_schedules_come_as_given_or_as_recorded():
    table, trials = worked({"a + x": [0.9], "b + x": [0.8]}, epochs=2)
    schedules = summarize(table, trials, schedules={("a", "x", ()): [0.3, 0.2, 0.1]}).schedules
    assert column(schedules, "recipe") == ["a + x"] * 3 + ["b + x"] * 2
    assert column(schedules, "learning_rate") == [0.3, 0.2, 0.1, 0.01, 0.01]
    assert column(schedules, "epoch") == [1, 2, 3, 1, 2]


def test_rows_in_any_order_and_of_other_trials_change_nothing():
    table, trials = article()
    shuffled = table.take(pa.array(list(range(table.num_rows))[::-1]))
    stranger = rows(trial("other + x", 0), [0.99])
    assert summarize(pa.concat_tables([shuffled, stranger]), trials).ranking.equals(
        summarize(table, trials).ranking
    )


def test_broken_histories_are_refused():
    one = trial("a + x", 0)
    twice = pa.concat_tables([rows(one, [0.1, 0.2]), rows(one, [0.1])])
    with pytest.raises(ValueError, match="trial a-x-0 has epoch 0 twice"):
        summarize(twice, [one])
    gap = rows(one, [0.1, 0.2, 0.3]).take(pa.array([0, 2]))
    with pytest.raises(ValueError, match="epoch 2 where epoch 1 was expected"):
        summarize(gap, [one])
    late = rows(one, [0.1, 0.2]).slice(1)
    with pytest.raises(ValueError, match="epoch 1 where epoch 0 was expected"):
        summarize(late, [one])


def test_broken_plans_are_refused():
    one = trial("a + x", 0)
    empty = history([])[0]
    with pytest.raises(ValueError, match="planned twice"):
        summarize(empty, [one, one])
    with pytest.raises(ValueError, match="a second trial of a \\+ x, seed 0"):
        summarize(empty, [one, TrialDescription("other", "a", "x", 0, 4, 0.01)])
    with pytest.raises(ValueError, match="got 'done'"):
        summarize(empty, [trial("a + x", 0, status="done")])


def test_settings_make_recipes_of_their_own():
    trials = [TrialDescription(b, "sgd", "step", 0, 1, 0.1, {"batch_size": b}) for b in ("16", "64")]
    comparison = summarize(pa.concat_tables([rows(t, [0.5 + i / 10]) for i, t in enumerate(trials)]), trials)
    assert column(comparison.ranking, "recipe") == ["sgd + step, batch_size=64", "sgd + step, batch_size=16"]
    assert column(comparison.ranking, "settings") == ["batch_size=64", "batch_size=16"]


def test_the_colour_scale_is_not_flattened_by_one_recipe_at_chance():
    comparison = summarize(
        *worked({"a + x": [0.98], "b + x": [0.97], "c + x": [0.96], "d + x": [0.95], "e + x": [0.1]})
    )
    shade = by_recipe(comparison.matrix, "shade")
    assert shade["a + x"] == 1.0
    assert shade["b + x"] == pytest.approx(0.75)
    assert shade["e + x"] == 0.0


@pytest.mark.parametrize("make", [article, square])
def test_no_table_holds_nan_and_every_column_has_a_label(make):
    comparison = summarize(*make(), published=PUBLISHED)
    assert set(comparison.tables) > {
        "ranking",
        "matrix",
        "stages",
        "targets",
        "profile",
        "cost",
        "troubles",
        "curves",
    }
    for name, table in comparison.tables.items():
        assert table.schema.metadata[b"title"], name
        for field, values in zip(table.schema, table.columns, strict=True):
            assert field.metadata[b"label"], (name, field.name)
            if pa.types.is_floating(field.type):
                assert not any(math.isnan(v) for v in values.to_pylist() if v is not None), (name, field.name)
