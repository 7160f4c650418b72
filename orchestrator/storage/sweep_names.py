"""The names at the top of a store, which no sweep may have."""

import re

from experiments.settings import InputError
from orchestrator.storage import lock
from orchestrator.storage.checkpoints import CHECKPOINTS

FORMAT_FILE = "format.json"
RANGE_TESTS = "range-tests"
_TOP = frozenset((FORMAT_FILE, lock.FOLDER, lock.TURN, CHECKPOINTS, RANGE_TESTS))
_PASSING = re.compile(r"(probe|shared)-[0-9a-f]{32}.*")


def require_sweep_name(name: str) -> None:
    """Raise InputError where the folder of a sweep called `name` would be a file or folder of every store.

    The case of letters does not matter: some file systems ignore it.
    """
    if name.casefold() in _TOP or _PASSING.fullmatch(name.casefold()):
        raise InputError(f"name: {name!r} is taken by a file or folder of every store; choose another")
