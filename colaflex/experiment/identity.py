"""What a run is: said in its folder when it begins, found there by whoever goes on with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from colaflex.corpora.token_index import Data
from colaflex.errors import UserError
from colaflex.experiment.conditions import Conditions, changes, in_words
from colaflex.experiment.difference import difference
from colaflex.experiment.folder import IDENTITY, AnotherRun, RunFolder, environment, json_text
from colaflex.experiment.settings import chosen_precision
from colaflex.host.registry import registry
from colaflex.spec import Spec
from colaflex.spec.canonical import components_of
from colaflex.training.hardware import Precision

__all__ = ["WRITTEN_AT_ONCE", "claim", "describe", "identity_of", "precision_for", "rewrite"]

ENVIRONMENT = "environment.json"
WRITTEN_AT_ONCE = {"spec.yaml", "tokenizer.json", ENVIRONMENT, "report.html"}
"""Files of a complete run that can be written anew without training or measuring."""


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
            recorded = folder.read(name)
        except UserError:
            continue
        begun = recorded.get("conditions", recorded).get("precision")
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
        claimed = folder.claim(identity, resume)
    except AnotherRun as error:
        raise difference(folder.path, error.known, spec, identity) from None
    now, begun = identity["conditions"], _begun_in(folder) or identity["conditions"]["precision"]
    if begun != now["precision"]:
        raise UserError(
            f"{folder.path}: this run began in {begun}, and a run has one precision: go on without "
            f"--precision, or begin another run in {now['precision']} in another folder with --out"
        )
    moved = changes(claimed.get("conditions", {}), now)
    if moved and not (folder.path / "result.json").exists():
        say(
            f"warning: this run began under other conditions ({in_words(moved)}); it will end as "
            "if unbroken only within rounding"
        )
    return claimed


def describe(folder: RunFolder, spec: Spec, data: Data, conditions: Conditions) -> None:
    """Write the spec, the tokenizer, and the machine: that of the beginning and later ones."""
    now = environment(conditions)
    machine = {**now, "resumed": []}
    try:
        first = folder.read(ENVIRONMENT)
    except UserError:
        pass  # none yet, or damaged
    else:
        later = first.get("resumed", [])
        last = later[-1] if later else first
        moved = any(now[name] != last[name] for name in now if name in last)
        machine = {**first, "resumed": [*later, now]} if moved else first
    texts = _texts(spec, data)
    folder.put(
        {IDENTITY: json_text(folder.read(IDENTITY)), **texts, ENVIRONMENT: json_text(machine)}
    )


def rewrite(folder: RunFolder, names: Collection[str], spec: Spec, data: Data) -> None:
    """Write anew what is damaged of a complete run's description; its page is only removed."""
    machine = folder.read("result.json")["environment"]
    texts = {**_texts(spec, data), ENVIRONMENT: json_text(machine)}
    folder.put({name: text for name, text in texts.items() if name in names})
    if "report.html" in names:
        (folder.path / "report.html").unlink(missing_ok=True)


def _texts(spec: Spec, data: Data) -> dict[str, str]:
    return {"spec.yaml": spec.to_yaml(), "tokenizer.json": data.tokenizer.to_json()}
