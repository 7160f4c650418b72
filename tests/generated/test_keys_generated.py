"""One computation has one key however it is written, and another one has another: recipes at random."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from experiments.settings import InputError
from orchestrator.planning import plan
from orchestrator.spec import sweep
from orchestrator.spec.yaml_document import Document
from orchestrator.storage.store import Store
from tests.generated.recipes import LAST, OTHER_EPOCHS, OTHER_ROOT, SAME, recipes

HEAVY = int(os.environ.get("GENERATED_CASES", "20000"))
NOTHING = Store.at(str(Path(__file__).parent / "no-results"))


def keys(document: Document) -> tuple[str, list[str]]:
    """The root key of the document's one trial, and those of its epochs, by way of a plan."""
    try:
        made = plan.make(sweep.from_document(document), NOTHING)
    except InputError:
        assume(False)
    ((trial, cursor),) = made.cursors.items()
    assert trial == made.trials[0].id
    return cursor.chain.root, cursor.foreseen()


def hold_the_same(draw: st.DataObject, document: Document) -> None:
    """Some ways of writing it, one upon the other, keep every key."""
    expected, said = keys(document), []
    for change in draw.draw(st.lists(st.sampled_from(SAME), min_size=1, max_size=4)):
        other = change(draw, document)
        document, said = (document, said) if other is None else (other, [*said, change.__name__])
    assume(said)
    assert keys(document) == expected, said
    last = LAST(draw, document)
    assert last is not None
    assert keys(last) == expected


def hold_another(draw: st.DataObject, document: Document) -> None:
    """One change to what is computed changes every key; one to the rates those of the epochs alone."""
    root, epochs = keys(document)
    change = draw.draw(st.sampled_from((*OTHER_ROOT, *OTHER_EPOCHS)))
    other = change(draw, document)
    assume(other is not None and other != document)
    assert other is not None
    other_root, other_epochs = keys(other)
    assert (other_root == root) == (change in OTHER_EPOCHS), (change.__name__, document, other)
    assert not set(epochs) & set(other_epochs)


few = settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(max_examples=HEAVY, deadline=None, suppress_health_check=list(HealthCheck))


@few
@given(st.data(), recipes())
def test_one_computation_has_one_key(draw: st.DataObject, document: Document) -> None:
    hold_the_same(draw, document)


@few
@given(st.data(), recipes())
def test_another_computation_has_another_key(draw: st.DataObject, document: Document) -> None:
    hold_another(draw, document)


@pytest.mark.heavy
@many
@given(st.data(), recipes())
def test_one_computation_has_one_key_over_many_recipes(draw: st.DataObject, document: Document) -> None:
    """Some minutes."""
    hold_the_same(draw, document)


@pytest.mark.heavy
@many
@given(st.data(), recipes())
def test_another_computation_has_another_key_over_many_recipes(draw: st.DataObject, document: Document) -> None:
    """Some minutes."""
    hold_another(draw, document)
