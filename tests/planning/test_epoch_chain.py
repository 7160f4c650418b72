"""Keys, chains and walks."""

import hashlib
import math

import numpy as np
import pytest

from experiments import callbacks
from orchestrator.planning import epoch_chain
from orchestrator.planning.epoch_chain import ChainCursor, EpochChain, Metrics


def metrics(accuracy: float, loss: float = 1.0) -> Metrics:
    return {"loss": loss, "accuracy": accuracy, "val_loss": loss, "val_accuracy": accuracy}


class Table:
    """A known look-up over a plain mapping."""

    def __init__(self, known: dict[str, Metrics]) -> None:
        self.known = known

    def metrics(self, key: str) -> Metrics | None:
        return self.known.get(key)


def chain(epochs: int, rate: float = 0.1, **rest: object) -> EpochChain:
    table = np.full((epochs, 3), rate, np.float32)
    return EpochChain(epoch_chain.root_key({"seed": 0}), table, **rest)  # type: ignore[arg-type]


def test_keys_are_what_the_design_says() -> None:
    root = epoch_chain.root_key({"b": 1, "a": [0.5, "x"]})
    assert root == hashlib.sha256(b'{"a":[0.5,"x"],"b":1}').hexdigest()
    rates = np.array([0.1, 0.25], np.float32)
    expected = hashlib.sha256(bytes.fromhex(root) + rates.astype("<f4").tobytes()).hexdigest()
    assert epoch_chain.epoch_key(root, rates) == expected


def test_a_root_key_needs_numbers_that_are_numbers() -> None:
    with pytest.raises(ValueError, match="JSON"):
        epoch_chain.root_key({"width": math.nan})


def test_chains_share_keys_until_their_rates_part() -> None:
    constant, step = chain(6), chain(6)
    step.table[3:] = 0.01
    a, b = ChainCursor(constant).foreseen(), ChainCursor(step).foreseen()
    assert a[:3] == b[:3]
    assert not set(a[3:]) & set(b[3:])


def test_a_walk_goes_as_far_as_is_known_and_resumes_from_the_newest_checkpoint() -> None:
    keys = ChainCursor(chain(5)).foreseen()
    cursor = ChainCursor(chain(5))
    cursor.extend(Table({k: metrics(0.5) for k in keys[:3]}))
    assert cursor.keys == keys[:3]
    cursor.find_checkpoint({keys[0], keys[1], keys[4]})
    assert cursor.resume == 2
    assert cursor.training_key == keys[2]
    assert cursor.foreseen() == keys[3:]
    cursor.find_checkpoint(set())
    assert (cursor.resume, cursor.training_key) == (0, keys[0])


def test_the_ending_says_how() -> None:
    stop = callbacks.EarlyStopping(monitor="val_accuracy", min_delta=0.0, patience=1)
    assert chain(3).ending([metrics(0.5)] * 2) is None
    assert chain(3).ending([metrics(0.5)] * 3) == "completed"
    assert chain(9).ending([metrics(0.5), metrics(0.5, math.nan)]) == "diverged"
    assert chain(9).ending([metrics(0.5), metrics(0.5, math.inf)]) == "diverged"
    assert chain(9, early_stopping=stop).ending([metrics(0.5), metrics(0.4)]) == "stopped"


def test_a_plateau_fires_on_time_whichever_epoch_the_walk_resumes_at() -> None:
    rule = callbacks.Plateau(monitor="val_accuracy", factor=0.5, patience=2)
    reactive, plain = chain(6, plateau=rule), chain(6)
    history = [metrics(0.5), metrics(0.5)]
    assert (reactive.rates(history) == plain.rates(history)).all()
    history.append(metrics(0.5))
    assert (reactive.rates(history) == np.float32(0.05)).all()


def test_needed_checkpoints_are_the_newest_and_the_best() -> None:
    keys = ChainCursor(chain(5)).foreseen()
    cursor = ChainCursor(chain(5))
    cursor.extend(Table(dict(zip(keys, map(metrics, [0.1, 0.9, 0.3]), strict=False))))
    cursor.find_checkpoint(set(keys))
    assert cursor.needed("val_accuracy") == {keys[1], keys[2]}


def test_a_walk_ends_where_early_stopping_would_have_ended_it() -> None:
    stop = callbacks.EarlyStopping(monitor="val_accuracy", min_delta=0.0, patience=1)
    keys = ChainCursor(chain(5)).foreseen()
    accuracies = [0.1, 0.3, 0.2, 0.9, 0.9]
    known = Table(dict(zip(keys, map(metrics, accuracies), strict=True)))
    cursor = ChainCursor(chain(5, early_stopping=stop))
    cursor.extend(known)
    assert (cursor.keys, cursor.ending) == (keys[:3], "stopped")
    cursor.extend(known)
    assert (cursor.keys, cursor.ending) == (keys[:3], "stopped")
    longer = ChainCursor(chain(5, early_stopping=callbacks.EarlyStopping(monitor="val_accuracy", patience=3)))
    longer.extend(known)
    assert (longer.keys, longer.ending) == (keys, "completed")


def test_a_walk_ends_at_the_first_epoch_that_is_not_a_number() -> None:
    keys = ChainCursor(chain(5)).foreseen()
    stop = callbacks.EarlyStopping(monitor="val_accuracy", patience=1)
    known = Table(dict(zip(keys, [metrics(0.5), metrics(0.4, math.nan), metrics(0.6)], strict=False)))
    cursor = ChainCursor(chain(5, early_stopping=stop))
    cursor.extend(known)
    assert (cursor.keys, cursor.ending) == (keys[:2], "diverged")
