"""Keys that were written down once: they stay whatever moves, and with them all that was trained."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.golden import facts_fixed as facts
from tests.golden.recipes import KEYS, SOURCES, flat

GOLDEN: Mapping[str, Any] = json.loads(KEYS.read_text())


@pytest.mark.parametrize("name", SOURCES)
def test_no_key_has_moved(name: str, tmp_path: Path) -> None:
    source, machine = SOURCES[name]
    before = GOLDEN[name]
    now = facts.keys_of(source, tmp_path / "none", machine)
    assert now["trials"].keys() == before["trials"].keys()
    for trial in before["trials"]:
        differences = moved(before, now, trial)
        assert not differences, f"{name}, {trial}: {'; '.join(differences)}"


def test_every_written_key_is_of_a_sweep() -> None:
    assert GOLDEN.keys() == SOURCES.keys()


def test_the_message_names_the_fact_that_has_changed() -> None:
    before = GOLDEN["quickstart"]
    now = json.loads(json.dumps(before).replace('"batch_size"', '"images_in_a_batch"'))
    assert moved(before, now, "sgd-cosine-s0") == [
        "fact batch_size: 32 before, absent now",
        "fact images_in_a_batch: absent before, 32 now",
    ]
    now = json.loads(json.dumps(before).replace('"threads": 1', '"threads": 1.0'))
    assert moved(before, now, "sgd-cosine-s0") == ["fact threads: 1 before, 1.0 now"]


def moved(before: Mapping[str, Any], now: Mapping[str, Any], trial: str) -> list[str]:
    """What differs in a trial's keys, the cause before its consequences, which are left out then."""
    then, after = before["trials"][trial], now["trials"][trial]
    old, new = (flat(keys["facts"][of["root"]]) for keys, of in ((before, then), (now, after)))
    names = sorted(name for name in old | new if old.get(name) != new.get(name))
    if names:
        return [f"fact {n}: {old.get(n, 'absent')} before, {new.get(n, 'absent')} now" for n in names]
    if then["root"] != after["root"]:
        return [f"the same facts give the root key {after['root']}, not {then['root']}"]
    rates = [({**a, "key": ""}, {**b, "key": ""}) for a, b in zip(then["epochs"], after["epochs"], strict=True)]
    differing = [f"{b}, not {a}" for a, b in rates if a != b]
    if differing:
        return differing
    return [
        f"epoch {a['epoch']}, of the same root and the same first and last learning rate, has the key {b['key']}, "
        f"not {a['key']}: its other steps, an epoch before it or how keys are made"
        for a, b in zip(then["epochs"], after["epochs"], strict=True)
        if a["key"] != b["key"]
    ]
