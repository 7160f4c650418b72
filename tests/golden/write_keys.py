"""Writes the keys of sweeps that have none yet to keys.json: python -m tests.golden.write_keys, in the root.

A key that is there stays as it is. To write one down anew, because `FORMAT` was raised on purpose, take it out.
"""

import json
import tempfile
from pathlib import Path

from tests.golden import facts_fixed as facts
from tests.golden.recipes import KEYS, SOURCES


def main() -> None:
    """Add what is missing."""
    written = json.loads(KEYS.read_text()) if KEYS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (source, machine) in SOURCES.items():
            if name not in written:
                written[name] = facts.keys_of(source, Path(folder) / "none", machine)
    KEYS.write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
