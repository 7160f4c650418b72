"""The JSON that programs read: its keys are a promise."""

import json as standard

import pytest

from orchestrator.analysis.summary import TrialDescription, summarize
from orchestrator.report import json
from tests.support.histories import rows, worked


def test_the_promised_shape():
    comparison = summarize(
        *worked({"adam + cosine": [0.93, 0.95, 0.94], "sgd + step": [0.6]}),
        published={("adam", "cosine", ()): {"val_accuracy": 0.95}, ("not", "here", ()): {"val_loss": 0.2}},
    )
    document = standard.loads(json.render(comparison))
    assert document["sweep"] == "demo"
    first, second = document["recipes"]
    assert (first["optimizer"], first["schedule"], first["n"]) == ("adam", "cosine", 3)
    assert set(first["final"]) == set(first["best"]) == {"val_accuracy", "val_loss", "accuracy", "loss"}
    assert first["final"]["val_accuracy"] == {
        "mean": pytest.approx(0.94),
        "low": pytest.approx(0.915159, abs=1e-6),
        "high": pytest.approx(0.964841, abs=1e-6),
    }
    assert list(first["stages"]) == ["25%", "50%", "75%", "100%"]
    assert first["stages"]["100%"]["val_accuracy"] == first["final"]["val_accuracy"]
    assert first["published"]["val_accuracy"]["published"] == 0.95
    assert second["final"]["val_accuracy"] == {"mean": 0.6, "low": None, "high": None}
    assert second["published"] == {}
    assert document["published_elsewhere"]["not + here"]["val_loss"]["measured_mean"] is None


def test_infinite_and_unknown_are_valid_json():
    diverged = TrialDescription("lost", "sgd", "high", 0, 2, 1.0, status="diverged")
    nan = float("nan")
    text = json.render(
        summarize(rows(diverged, [0.5, 0.1], val_loss=[1, nan], loss=[1, nan]), [diverged], target=0.9)
    )

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    document = standard.loads(text, parse_constant=refuse)
    assert document["recipes"][0]["final"]["val_loss"] == {"mean": "inf", "low": None, "high": None}
    assert document["targets"][0]["epochs_median"] == "inf"
    assert json.valid({"a": [float("-inf"), nan, 1.5]}) == {"a": ["-inf", None, 1.5]}
