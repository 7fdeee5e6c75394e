"""What of a finished run is no longer as the run wrote it, and how that is mended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from colaflex.corpora.token_index import Data
from colaflex.errors import UserError
from colaflex.experiment.conditions import Conditions
from colaflex.experiment.folder import RunFolder
from colaflex.experiment.identity import WRITTEN_AT_ONCE, describe, rewrite
from colaflex.files.manifest import MANIFEST, RunManifest
from colaflex.spec import Spec
from colaflex.training.checkpoints import CheckpointError, CheckpointStore

__all__ = ["damage", "mend"]


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


def mend(
    folder: RunFolder,
    faults: Mapping[str, str],
    spec: Spec,
    data: Data,
    conditions: Conditions,
    say: Callable[[str], None],
) -> None:
    """Write the description of a complete run anew where it is damaged, and say what was.

    The rest is its owner's work: weights are trained again from the checkpoint before, and
    everything is measured again.
    """
    for fault in faults.values():
        say(f"damaged, and mended now: {fault}")
    if faults.keys() <= WRITTEN_AT_ONCE:
        rewrite(folder, faults, spec, data)
    else:
        describe(folder, spec, data, conditions)
