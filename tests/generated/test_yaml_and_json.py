"""A sweep file reads the same as YAML 1.2 by another's writer and as JSON, which is YAML 1.2 too."""

import json
import os
from io import StringIO
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from orchestrator.spec.yaml_document import parse

HEAVY = int(os.environ.get("GENERATED_CASES", "3000"))
ANY = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}

TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), max_size=20),
    st.text(st.sampled_from("0123456789.:-+_eExob~<*&!%@`'\"#{}[],?|> "), max_size=6),
    st.sampled_from(
        ["no", "on", "null", "True", "<<", "1:30", "010", "0o10", "2026-01-01", ".inf", "---", "...", "- a"]
    ),
)
NUMBER = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False))
VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBER, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=25,
)
LAYOUT = st.fixed_dictionaries(
    {
        "indent": st.sampled_from([None, 0, 2, "\t"]),
        "separators": st.sampled_from([(",", ":"), (", ", ": "), ("\t,\t", "\t:\t")]),
        "ensure_ascii": st.booleans(),
    }
)


def in_blocks(value: Any) -> str:
    """YAML 1.2 as ruamel writes it, but for flow style: it writes `[?a]` and reads that as another value."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = StringIO()
    yaml.dump(value, text)
    return text.getvalue()


def require_same(value: Any, layout: dict[str, Any]) -> None:
    text = json.dumps(value, **layout)
    assert repr(parse(text, "x")) == repr(json.loads(text))
    assert repr(parse(in_blocks(value), "x")) == repr(value)


@given(VALUE, LAYOUT)
@settings(max_examples=300, derandomize=True, **ANY)
def test_yaml_and_json_read_the_same(value: Any, layout: dict[str, Any]) -> None:
    require_same(value, layout)


@pytest.mark.heavy
@given(VALUE, LAYOUT)
@settings(max_examples=HEAVY, print_blob=True, **ANY)
def test_yaml_and_json_read_the_same_in_very_many(value: Any, layout: dict[str, Any]) -> None:
    require_same(value, layout)
