"""What result.json says of a run besides its metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from colaflex.corpora.token_index import Data
from colaflex.errors import UserError
from colaflex.experiment.conditions import CONDITIONS, Conditions, precision_of
from colaflex.generation.text import GenerationOptions
from colaflex.host.registry import registry
from colaflex.interfaces.corpus import Split
from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.metric import Measurement
from colaflex.metrics.measurements import settings_of, single
from colaflex.spec import Difference, Spec
from colaflex.training.trainer import StageResult

__all__ = [
    "PEAK_MEMORY",
    "TRAINING_RATE",
    "component_versions",
    "conditions_of",
    "cost_of",
    "measured_otherwise",
    "measured_with",
    "measurement",
    "parameter_counts",
    "require_own",
    "reused_teacher",
    "sampling_cost",
    "stage_json",
]

TRAINING_RATE = "speed.training_tokens_per_second"
PEAK_MEMORY = "speed.peak_memory_gib"
COSTS = ("steps", "tokens", "flops", "seconds")


def parameter_counts(model: LanguageModel) -> dict[str, int]:
    """Parameters that learn, by part, and their total.

    Frozen copies that only training looks at (reference encoder, teacher) count nowhere.
    """
    counts = {
        name: sum(p.numel() for p in part.parameters() if p.requires_grad)
        for name, part in model.parts().items()
    }
    return {**counts, "total": sum(counts.values())}


def component_versions(spec: Spec) -> dict[str, dict[str, str]]:
    """Every component of a spec with its distribution and versions, nested ones included."""
    versions: dict[str, dict[str, str]] = {}

    def add(path: str, config: Any) -> None:
        entry = registry().entry_of(config)
        versions[path] = {
            "name": entry.component.name,
            "distribution": entry.distribution,
            "version": entry.version,
            "component_version": entry.component.version,
        }
        for name in type(config).model_fields:
            value = getattr(config, name)
            if hasattr(value, "kind") and hasattr(value, "type"):
                add(f"{path}.{name}", value)

    for name, config in spec.components().items():
        add(name, config)
    return versions


def measured_with(data: Data, judge: str) -> dict[str, Any]:
    """What figures depend on besides the spec: two runs compare where these are the same.

    Args:
        data: the corpus as tokens.
        judge: identity of the judge of samples; "" for none.
    """
    return {
        "corpus": data.corpus,
        "tokenizer": data.tokenizer.digest,
        "vocab_size": data.tokenizer.size,
        "judge": judge or None,
    }


def stage_json(stage: StageResult, reused: bool) -> dict[str, Any]:
    """A stage as it stands in result.json."""
    return {
        "name": stage.stage,
        **{key: getattr(stage, key) for key in COSTS},
        "reused": reused,
        "precision": precision_of(stage.conditions),
        "conditions": list(stage.conditions),
    }


def cost_of(stage: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage of another run's result took; raises UserError where it doesn't say."""
    for key in COSTS:
        if key not in stage:
            raise UserError(
                f"its result.json says of the stage {stage['name']} not how many {key} it took"
            )
    return {key: stage[key] for key in COSTS}


def conditions_of(
    stage: Mapping[str, Any], environment: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """How a stage of a result was trained; where an older one doesn't say, as its run was."""
    if "conditions" in stage:
        return list(stage["conditions"])
    known = {"torch": environment.get("packages", {}).get("torch"), **environment}
    return [{name: known[name] for name in CONDITIONS if known.get(name) is not None}]


def reused_teacher(
    stages: Sequence[Mapping[str, Any]], environment: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The stages of a run whose prior teaches another one, as one stage of the latter."""
    own = [stage for stage in stages if stage["name"] != "representation"]
    recorded = [each for stage in own for each in conditions_of(stage, environment)]
    distinct = [each for number, each in enumerate(recorded) if each not in recorded[:number]]
    costs = [cost_of(stage) for stage in own]
    sums = {key: sum(cost[key] for cost in costs) for key in COSTS}
    trained = {"precision": precision_of(distinct), "conditions": distinct}
    return [{"name": "teacher", **sums, "reused": True, **trained}]


def sampling_cost(model: LanguageModel, options: GenerationOptions) -> dict[str, Measurement]:
    """`speed.network_evaluations_*` of a block; empty where the model doesn't count them."""
    block = model.network_evaluations(options.latents)
    if block is None:
        return {}
    cost = {"per_block": float(block.evaluations)}
    if block.tokens is not None:
        cost["per_token"] = block.evaluations / block.tokens
    return {f"speed.network_evaluations_{name}": single(each) for name, each in cost.items()}


def measurement(
    changed: Sequence[Difference], conditions: Conditions, means: Mapping[str, Any]
) -> dict[str, Any]:
    """How a result's metrics were made: in what otherwise than its spec says, under what, by what.

    Args:
        changed: settings in place of the spec's.
        conditions: of the machine.
        means: what `measured_with` tells.
    """
    return {
        **means,
        "settings": {each.path: each.right for each in changed},
        # Models are measured in fp32, whatever they were trained in.
        "conditions": {name: v for name, v in conditions.items() if name != "precision"},
    }


def measured_otherwise(result: Mapping[str, Any]) -> str:
    """A clause that names the settings by which a result was measured in place of its spec's."""
    named = settings_of(result)
    return f"; it was measured with {named} in place of what its spec says" if named else ""


def require_own(result: Mapping[str, Any], folder: Path, split: Split) -> None:
    """Raise UserError where a result was measured otherwise than its spec says, or elsewhere."""
    measured = result.get("split", split)
    if (named := settings_of(result)) or measured != split:
        told = named or f"the {measured} split, where {split} is asked for"
        raise UserError(
            f"{folder}: its result was measured with {told}; measure it as its spec says, with "
            f"`colaflex evaluate {folder} --split {split} --set KEY=VALUE` and the spec's own value"
        )
