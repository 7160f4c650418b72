"""Mean ranks over seeds and the critical difference, against scipy and a worked example."""

import doctest

import numpy as np
import pytest

from orchestrator.analysis import seed_ranks
from orchestrator.analysis.summary import summarize
from tests.support.histories import worked

FINALS = {
    "a + x": [0.95, 0.94, 0.93, 0.95, 0.96],
    "b + x": [0.94, 0.95, 0.92, 0.95, 0.90],
    "c + x": [0.80, 0.81, 0.82, 0.79, 0.80],
}


def test_the_examples_hold():
    assert doctest.testmod(seed_ranks).failed == 0


def test_nemenyis_table_in_the_paper():
    # Demšar 2006, table 5a: q at 0.05 for 2 to 10 methods.
    for methods, q in ((2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)):
        assert seed_ranks.critical_difference(methods, 6, 0.95) == pytest.approx(
            q * np.sqrt(methods * (methods + 1) / 36), rel=1e-3
        )


@pytest.mark.parametrize(("monitor", "sign"), [("val_accuracy", -1), ("val_loss", 1)])
def test_ranks_and_p_are_those_of_scipy(monitor, sign):
    from scipy import stats

    rows = summarize(*worked(FINALS), monitor=monitor).seed_ranks.to_pylist()
    values = np.array(list(FINALS.values()))
    ranks = stats.rankdata(-values, axis=0).mean(axis=1)
    assert {row["recipe"]: row["mean_rank"] for row in rows} == dict(zip(FINALS, ranks.tolist(), strict=True))
    assert rows[0]["friedman_p"] == pytest.approx(stats.friedmanchisquare(*values).pvalue)
    assert [row["mean_rank"] for row in rows] == sorted(ranks)
    assert {row["n"] for row in rows} == {5}


def test_recipes_without_all_seeds_are_left_out_and_few_seeds_have_no_ranks():
    finals = FINALS | {"d + x": [0.5, 0.6]}
    assert {row["recipe"] for row in summarize(*worked(finals)).seed_ranks.to_pylist()} == set(FINALS)
    few = {name: values[:4] for name, values in FINALS.items()}
    assert summarize(*worked(few)).seed_ranks.num_rows == 0
    two = {name: FINALS[name] for name in ("a + x", "b + x")}
    assert summarize(*worked(two)).seed_ranks.num_rows == 0


def test_equal_everywhere_is_p_one():
    rows = summarize(*worked({name: [0.9] * 5 for name in FINALS})).seed_ranks.to_pylist()
    assert {(row["mean_rank"], row["friedman_p"]) for row in rows} == {(2.0, 1.0)}
