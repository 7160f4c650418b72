"""The examples in the docstrings of modules that have no test of their own for them."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "experiments.files",
        "experiments.settings",
        "orchestrator.doctor.check",
        "orchestrator.spec.yaml_document",
        "orchestrator.analysis.sentences",
        "orchestrator.console.text",
    ],
)
def test_examples_in_docstrings_hold(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
