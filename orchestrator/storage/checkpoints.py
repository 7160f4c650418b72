"""The checkpoints of a store, shared by all its sweeps: weights and optimizer state by epoch key.

A checkpoint is two files: the weights, and a manifest with their sha256. The manifest is written last and deleted
first, so a checkpoint without one does not exist.
"""

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from experiments.files import sha256
from orchestrator.storage import checksums
from orchestrator.storage.filesystem import DamagedError, Files
from orchestrator.storage.verified_files import VerifiedFiles

CHECKPOINTS = "checkpoints"
"""The folder of all checkpoints."""


class Checkpoints:
    """The checkpoints in a store's files."""

    def __init__(self, files: Files, good: VerifiedFiles) -> None:
        """The checkpoints in `files`; `good` are the same files with checks."""
        self._files, self._good = files, good

    def write(self, key: str, state: Mapping[str, npt.NDArray[Any]]) -> int:
        """Keep `state` (name to array) under the epoch key; bytes written. Raises StoreError."""
        from safetensors.numpy import save

        content = save(dict(state))
        manifest = {"key": key, "sha256": sha256(content), "bytes": len(content)}
        self._good.write(_weights(key), content)
        self._good.write(_manifest(key), checksums.json_bytes(manifest))
        return len(content)

    def read(self, key: str) -> dict[str, npt.NDArray[Any]]:
        """The state under the epoch key. Raises FileNotFoundError, or DamagedError naming the file."""
        from safetensors.numpy import load

        try:
            manifest = self._good.json(_manifest(key), {"key": str, "sha256": str})
        except ValueError as error:
            raise DamagedError(f"{self._files}/{_manifest(key)}: damaged ({error})") from None
        content = self._files.read(_weights(key))
        if (manifest["key"], manifest["sha256"]) != (key, sha256(content)):
            raise DamagedError(f"{self._files}/{_weights(key)}: damaged (its sha256 is not its manifest's)")
        state: dict[str, npt.NDArray[Any]] = load(content)
        return state

    def complete(self) -> set[str]:
        """The keys of all checkpoints that have a manifest and weights."""
        names = set(self._files.names(CHECKPOINTS))
        keys = {name.removesuffix(".json") for name in names if name.endswith(".json")}
        return {key for key in keys if f"{key}.safetensors" in names}

    def delete(self, key: str) -> int:
        """Free the checkpoint under `key`, manifest first; bytes freed."""
        freed = self._files.size(_weights(key))
        self._good.delete(_manifest(key))
        self._good.delete(_weights(key))
        return freed

    def delete_halves(self) -> None:
        """Delete weights without a manifest, and manifests without weights."""
        complete = self.complete()
        for name in self._files.names(CHECKPOINTS):
            if name.partition(".")[0] not in complete:
                self._good.delete(f"{CHECKPOINTS}/{name}")


def _weights(key: str) -> str:
    return f"{CHECKPOINTS}/{key}.safetensors"


def _manifest(key: str) -> str:
    return f"{CHECKPOINTS}/{key}.json"
