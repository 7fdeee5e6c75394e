"""What of a finished run is no longer as the run wrote it."""

from __future__ import annotations

from pathlib import Path

from colaflex.errors import UserError
from colaflex.files.manifest import MANIFEST, RunManifest
from colaflex.training.checkpoints import CheckpointError, CheckpointStore

__all__ = ["damage"]


def damage(folder: Path, spec_digest: str) -> dict[str, str]:
    """What is wrong, by file; empty where all is whole, or the run is older than manifests.

    Reads the whole checkpoint with the final weights, about a second a GiB.

    Args:
        folder: a run folder.
        spec_digest: of its spec.

    Raises:
        UserError: a link in it leads out of it.
    """
    store = CheckpointStore(folder / "checkpoints", spec_digest)
    try:
        manifest = RunManifest.of(folder)
    except UserError as error:
        return {MANIFEST: str(error)}
    if manifest is None:
        return {}
    faults = manifest.faults(folder)
    if manifest.weights is not None:
        name, digest = manifest.weights
        try:
            store.confirm(name, digest)
        except CheckpointError as error:
            faults[f"checkpoints/{name}"] = str(error)
    return faults
