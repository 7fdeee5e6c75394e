"""What a run is: said in its folder when it begins, found there by whoever goes on with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from colaflex.corpora.token_index import Data
from colaflex.errors import UserError
from colaflex.files import write_atomic
from colaflex.registry import registry
from colaflex.run_conditions import Conditions, changes, in_words
from colaflex.run_difference import difference
from colaflex.run_folder import IDENTITY, AnotherRun, RunFolder, environment
from colaflex.run_settings import chosen_precision
from colaflex.spec import Spec
from colaflex.spec.canonical import components_of
from colaflex.training.stage_loss import Precision

__all__ = ["claim", "describe", "identity_of", "precision_for"]

ENVIRONMENT = "environment.json"


def identity_of(
    spec: Spec, data: Data, stage1_digest: str, reused: Any, conditions: Conditions
) -> dict[str, Any]:
    """What stands in run.json."""
    return {
        "schema": 1,
        "spec_digest": spec.digest(data.digest),
        "data_digest": data.digest,
        "stage1_digest": stage1_digest,
        "reused": reused,
        "components": components_of(spec, registry()),
        "conditions": dict(conditions),
    }


def precision_for(folder: RunFolder, asked: str, device: str, resume: bool) -> Precision:
    """The precision of the run that is gone on with, where the choice is left to us."""
    begun = _begun_in(folder) if resume and asked == "auto" else None
    return chosen_precision(begun or asked, device)


def _begun_in(folder: RunFolder) -> str | None:
    """In which precision the run of a folder began; None where there is none, or it is damaged."""
    for name in (IDENTITY, ENVIRONMENT):  # older runs have it in the second only
        try:
            found = folder.read(name)
        except UserError:
            continue
        begun = found.get("conditions", found).get("precision")
        if begun in ("fp32", "bf16"):
            return str(begun)
    return None


def claim(
    folder: RunFolder,
    identity: Mapping[str, Any],
    spec: Spec,
    resume: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Make a folder this run's, or find that it is; the identity as it stands there.

    Raises:
        UserError: the folder holds another run, and in what it differs; or this one, and `resume`
            was not asked for; or it was begun in another precision.
    """
    try:
        found = folder.claim(identity, resume)
    except AnotherRun as error:
        raise difference(folder.path, error.known, spec, identity) from None
    now, begun = identity["conditions"], _begun_in(folder) or identity["conditions"]["precision"]
    if begun != now["precision"]:
        raise UserError(
            f"{folder.path}: this run began in {begun}, and a run has one precision: go on without "
            f"--precision, or begin another run in {now['precision']} in another folder with --out"
        )
    moved = changes(found.get("conditions", {}), now)
    if moved and not (folder.path / "result.json").exists():
        say(
            f"warning: this run began under other conditions ({in_words(moved)}); it will end as "
            "if unbroken only within rounding"
        )
    return found


def describe(folder: RunFolder, spec: Spec, data: Data, conditions: Conditions) -> None:
    """Write the spec, the tokenizer, and the machine: that of the beginning and later ones."""
    write_atomic(folder.path / "spec.yaml", spec.to_yaml())
    write_atomic(folder.path / "tokenizer.json", data.tokenizer.to_json())
    now = environment(conditions)
    if not (folder.path / ENVIRONMENT).exists():
        folder.write_json(ENVIRONMENT, {**now, "resumed": []})
        return
    first = folder.read(ENVIRONMENT)
    later = first.get("resumed", [])
    last = later[-1] if later else first
    if any(now[name] != last[name] for name in now if name in last):
        folder.write_json(ENVIRONMENT, {**first, "resumed": [*later, now]})
