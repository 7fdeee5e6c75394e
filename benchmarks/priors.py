"""All priors on one representation and one budget: python benchmarks/priors.py --out runs/priors.

Each prior learns the latents of the same stage 1 (specs/priors.yaml) with as many model FLOPs as
flow matching takes there, teachers included. A prior that costs little a step gets more steps, up
to a limit. Reported at 1, 2, 4 and 16 steps: valid sentences, coherent stories, network
evaluations and sampling speed, each at the best of a few guidances, which is chosen on texts of its
own. A finished row is not trained anew, an interrupted one goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from page_tables import write_table

import colaflex
from colaflex.experiment.prepared import Prepared, prepare
from colaflex.experiment.run_options import RunOptions
from colaflex.host.registry import registry
from colaflex.interfaces.options import SamplingOptions
from colaflex.spec import Spec
from colaflex.training.stage_loop import Share, prepared_batch

STEPS = (1, 2, 4, 16)
GUIDANCES = (1.0, 2.0)
SHOWN = ("valid_sentences", "coherent_documents")
COLUMNS = (
    "prior",
    "steps",
    "guidance",
    "evaluations a block",
    "valid sentences, %",
    "coherent stories, %",
    "tokens/s",
    "prior parameters, M",
    "training steps",
    "training TFLOP",
    "training minutes",
)
TEXTS, TUNED_TEXTS, TIMED_TEXTS = 400, 256, 64
MOST_STEPS = 1.5
"""Times the spec's steps that a cheap prior gets at most."""

ROOT = Path(__file__).parent.parent
RECORDS = ROOT / "benchmarks" / "results" / "priors.json"
TABLE = ROOT / "docs" / "priors.md"
PLOT = ROOT / "docs" / "images" / "priors.png"
SAMPLED_BATCHES = 16
READS_OUT = (", readout", ", chained")
"""How the names of rows end whose prior takes what the representation offers."""


@dataclass(frozen=True)
class Row:
    """A prior of the comparison: its name here, its word, its options, and what else is set."""

    name: str
    prior: str
    options: Mapping[str, Any] = field(default_factory=dict)
    also: Mapping[str, Any] = field(default_factory=dict)


TRUNK = {"transformer.width": 128, "transformer.layers": 4, "transformer.heads": 4}
STATE = {"width": 128, "layers": 4, "heads": 4}
READOUT = {"readout": "auto", "history": "auto", "noisings": 1}
CHAINED = {**READOUT, "readout": "chained"}
FASTER = {"training.stages.prior.learning_rate": 1.2e-2}
DRAWN = {
    "training.stages.prior.learning_rate": 2.4e-2,
    "representation.readout.weight": 0.2,
    "sampling.estimate": "draw",
    "sampling.grid": "power(0.7)",
}
ROWS = (
    Row("flow_matching, chained", "flow_matching", CHAINED, DRAWN),
    Row("flow_matching, readout", "flow_matching", READOUT, FASTER),
    Row("rectified_flow, readout", "rectified_flow", READOUT, FASTER),
    Row("consistency, training, readout", "consistency", READOUT),
    Row("consistency, distillation, readout", "consistency", {"mode": "distillation", **READOUT}),
    Row("shortcut, readout", "shortcut", READOUT, FASTER),
    Row("mean_flow, readout", "mean_flow", READOUT, FASTER),
    Row("cnf, readout", "cnf", READOUT, FASTER),
    Row("flow_matching", "flow_matching"),
    Row("rectified_flow", "rectified_flow"),
    Row("consistency, training", "consistency"),
    Row("consistency, distillation", "consistency", {"mode": "distillation"}),
    Row("shortcut", "shortcut"),
    Row("mean_flow", "mean_flow"),
    Row("cnf", "cnf"),
    Row("hybrid", "hybrid"),
    Row("autoregressive_latent, mixture", "autoregressive_latent", TRUNK),
    Row(
        "autoregressive_latent, diffusion",
        "autoregressive_latent",
        {"head": "diffusion", "diffusion.width": 128, **TRUNK},
    ),
    Row(
        "autoregressive_latent, energy",
        "autoregressive_latent",
        {"head": "energy", "energy.width": 128, **TRUNK},
    ),
    Row("normalizing_flow", "normalizing_flow", STATE),
    Row("autoregressive_flow", "autoregressive_flow", STATE),
    Row("gaussian", "gaussian"),
)


def overrides(row: Row, spec: Spec) -> dict[str, Any]:
    """What makes the spec that of a row."""
    options = {f"prior.{key}": value for key, value in row.options.items()}
    changes = {"prior": row.prior, **options, **row.also}
    with_prior = spec.override({**changes, "sampling.guidance": 1})
    assert with_prior.prior is not None
    if not with_prior.prior.capabilities().guidance:
        changes["sampling.guidance"] = 1
    return changes


def prior_flops(spec: Spec) -> float:
    """Mean model FLOPs of one step of stage 2, by each phase's share of the steps."""
    with TemporaryDirectory() as folder:
        prepared = prepare(spec, Path(folder) / "run", RunOptions(quiet=True))
        plans = [p for p in prepared.plans() if p.stage.name != "representation"]
        total = sum(plan.steps * mean_cost(prepared, plan) for plan in plans)
    return total / sum(plan.steps for plan in plans)


def mean_cost(prepared: Prepared, plan: Any) -> float:
    """Mean model FLOPs of one step of a stage."""
    order, seed = prepared.order(plan), prepared.spec.seed
    batches = (prepared_batch(plan, order, seed, i, Share())[0] for i in range(SAMPLED_BATCHES))
    return float(sum(map(plan.stage.flops, batches)) / SAMPLED_BATCHES)


def matched(row: Row, spec: Spec, budget: float) -> dict[str, Any]:
    """The overrides of a row, its steps such that its FLOPs are the budget."""
    changes = overrides(row, spec)
    steps = spec.training.for_stage("prior").steps
    afforded = round(budget / prior_flops(spec.override(changes)))
    return {**changes, "training.stages.prior.steps": min(afforded, round(MOST_STEPS * steps))}


def train(row: Row, path: Path, changes: Mapping[str, Any], folder: Path) -> None:
    """The run of a row, in a process of its own; goes on with what is there."""
    sets = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    resume = ["--resume"] if folder.exists() else []
    print(f"== {row.name}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "colaflex", "run", str(path), *sets, "--out", str(folder)]
    subprocess.run([*command, *resume], check=True, stdout=subprocess.DEVNULL)


def record(row: Row, folder: Path) -> dict[str, Any]:
    """What the table shows of a finished run."""
    loaded: Any = colaflex.load(folder)
    result, prior = loaded.result, loaded.model.prior
    truth: Any = registry().build(loaded.spec.corpus).truth()
    guidances = GUIDANCES if loaded.spec.prior.capabilities().guidance else (1.0,)

    def measure(steps: int, guidance: float, texts: int, seed: int) -> dict[str, Any]:
        made = loaded.generate([""] * texts, seed, steps=steps, guidance=guidance)
        found = truth.measure([each.text for each in made])
        return {name: asdict(found[name]) for name in SHOWN}

    at: dict[str, Any] = {}
    for steps in STEPS:
        if prior.network_evaluations(SamplingOptions(steps)) in [f["alone"] for f in at.values()]:
            continue  # steps are nothing to this prior
        # Chosen on texts of its own seed, none of which is reported.
        tried = {g: measure(steps, g, TUNED_TEXTS, 1)[SHOWN[-1]]["value"] for g in guidances}
        guidance = max(guidances, key=lambda g: tried[g])
        at[str(steps)] = {
            "guidance": guidance,
            "alone": prior.network_evaluations(SamplingOptions(steps)),
            "evaluations": prior.network_evaluations(SamplingOptions(steps, guidance)),
            "tokens_per_second": speed(loaded, steps, guidance),
            **measure(steps, guidance, TEXTS, 0),
        }
    stages = [s for s in result["training"]["stages"] if s["name"] != "representation"]
    return {
        "name": row.name,
        "representation": result["stage1_digest"],
        "parameters": result["parameters"]["prior"],
        "stages": [s["name"] for s in stages],
        **{key: sum(s[key] for s in stages) for key in ("steps", "flops", "seconds")},
        "at_steps": at,
    }


def speed(loaded: Any, steps: int, guidance: float) -> float:
    """Tokens per second of texts generated in one batch."""
    loaded.generate([""] * 8, steps=steps, guidance=guidance)
    began = time.perf_counter()
    texts = loaded.generate([""] * TIMED_TEXTS, 2, steps=steps, guidance=guidance)
    return float(sum(len(t.tokens) for t in texts) / (time.perf_counter() - began))


def share(value: Mapping[str, Any]) -> str:
    """A share in percent with its interval."""
    return f"{100 * value['value']:.0f} [{100 * value['low']:.0f}, {100 * value['high']:.0f}]"


def table(records: list[dict[str, Any]]) -> Iterator[str]:
    """The lines of the Markdown table."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---" * len(COLUMNS) + "|"
    for found in records:
        word, comma, variant = found["name"].partition(",")
        first = found["stages"][0].replace("_", " ")
        after = f" (after {first})" if len(found["stages"]) > 1 else ""
        cost = [
            f"{found['parameters'] / 1e6:.2f}",
            f"{found['steps']:,}",
            f"{found['flops'] / 1e12:.1f}",
            f"{found['seconds'] / 60:.1f}",
        ]
        head = f"`{word}`{comma}{variant}{after}"
        for steps, at in found["at_steps"].items():
            cells = [
                head,
                steps if len(found["at_steps"]) > 1 else "any",
                f"{at['guidance']:g}",
                str(at["evaluations"]),
                *(share(at[name]) for name in SHOWN),
                f"{at['tokens_per_second']:,.0f}",
                *cost,
            ]
            yield f"| {' | '.join(cells)} |"
            head, cost = "", [""] * len(cost)


def plot(records: list[dict[str, Any]]) -> None:
    """Coherent stories against sampling steps; priors without steps stand at one."""
    from matplotlib.figure import Figure

    read_out = [r for r in records if r["name"].endswith(READS_OUT)]
    panels = {
        "linear readout, history of latents": [r for r in records if r not in read_out],
        "readout and history of the representation": read_out,
    }
    colours: dict[str, str] = {}
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    for axes, (title, shown) in zip(
        figure.subplots(1, 2, sharey=True), panels.items(), strict=True
    ):
        # Most steps first: what is without steps lies over the others at one.
        for each in sorted(shown, key=lambda r: -len(r["at_steps"])):
            name = each["name"].removesuffix(READS_OUT[0])
            at = {int(steps): value[SHOWN[-1]] for steps, value in each["at_steps"].items()}
            shares = [100 * v["value"] for v in at.values()]
            below = [100 * (v["value"] - v["low"]) for v in at.values()]
            above = [100 * (v["high"] - v["value"]) for v in at.values()]
            colour = colours.setdefault(name, f"C{len(colours) % 10}")
            axes.errorbar(
                list(at),
                shares,
                (below, above),
                label=name,
                color=colour,
                marker="o" if len(at) > 1 else "x",
                markersize=4,
                linewidth=1.2,
                linestyle="-" if list(colours).index(name) < 10 else "--",
                elinewidth=0.8,
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks(STEPS, map(str, STEPS))
        axes.set(xlabel="sampling steps", ylim=(-2, 102))
        axes.set_title(title, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.axes[0].set_ylabel("coherent stories, %")
    figure.savefig(PLOT, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--spec", type=Path, default=ROOT / "specs" / "priors.yaml")
    parser.add_argument("--only", nargs="+", default=[row.name for row in ROWS], metavar="ROW")
    given = parser.parse_args()
    spec = Spec.load(given.spec)
    steps = spec.training.for_stage("prior").steps
    budget = steps * prior_flops(spec)
    chosen = [row for row in ROWS if row.name in given.only]
    for row in chosen:
        folder = given.out / row.name.replace(", ", "-")
        if not (folder / "result.json").exists():
            train(row, given.spec, matched(row, spec, budget), folder)
    known = {r["name"]: r for r in json.loads(RECORDS.read_text())} if RECORDS.exists() else {}
    for row in chosen:
        known[row.name] = record(row, given.out / row.name.replace(", ", "-"))
    records = [known[row.name] for row in ROWS if row.name in known]
    RECORDS.parent.mkdir(exist_ok=True)
    RECORDS.write_text(json.dumps(records, indent=1) + "\n")
    write_table(TABLE, "priors", table(records))
    plot(records)
    print("\n".join(table(records)))


if __name__ == "__main__":
    main()
