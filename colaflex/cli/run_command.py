"""`colaflex run`: the main job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from colaflex.cli.common import PATH, json_option, no_verify_option, print_json

if TYPE_CHECKING:
    from colaflex.experiment.experiment import RunOptions
    from colaflex.spec import Spec

__all__ = ["command"]


@click.command("run")
@click.argument("spec_file", metavar="SPEC", type=PATH)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change a value.")
@click.option("--out", type=PATH, help="Run folder; default runs/NAME.")
@click.option("--resume", is_flag=True, help="Go on with what the folder holds.")
@click.option("--seeds", type=click.IntRange(1), help="Run so many seeds, each in OUT/seed-N.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="Of the arithmetic; auto is bf16 where the hardware multiplies it natively.",
)
@click.option(
    "--strategy",
    type=click.Choice(["ddp", "fsdp"]),
    default="ddp",
    show_default=True,
    help="How several processes (torchrun) share the work.",
)
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard events too (extra: track).")
@click.option("--dry-run", is_flag=True, help="Only tell parameters, FLOPs, memory and minutes.")
@no_verify_option
@json_option
def command(spec_file: Path, **arguments: Any) -> int:
    """Train, generate, evaluate and report as SPEC says."""
    from colaflex.spec import Spec

    spec = Spec.load(spec_file, arguments["sets"])
    for line in (*map(str, spec.swap_report), *(f"warning: {w}" for w in spec.warnings)):
        print(line, file=sys.stderr)
    from colaflex.experiment.experiment import RunOptions

    options = RunOptions(
        resume=arguments["resume"],
        device=arguments["device"],
        precision=arguments["precision"],
        strategy=arguments["strategy"],
        tensorboard=arguments["tensorboard"],
    )
    if arguments["dry_run"]:
        return _estimate(spec, options, arguments["as_json"])
    return _run(spec, options, arguments)


def _run(spec: Spec, options: RunOptions, arguments: dict[str, Any]) -> int:
    from colaflex.experiment.experiment import Experiment
    from colaflex.experiment.places import require_runs
    from colaflex.experiment.prepared import prepare
    from colaflex.training.interrupts import Interrupted
    from colaflex.training.progress import progress_on

    out = arguments["out"] or Path("runs") / spec.name
    folders = {out: spec}
    if arguments["seeds"]:
        folders = {
            out / f"seed-{spec.seed + k}": spec.override({"seed": spec.seed + k})
            for k in range(arguments["seeds"])
        }
    if arguments["resume"]:
        require_runs(out, folders)
    results = []
    try:
        for folder, one in folders.items():
            experiment = Experiment(prepare(one, folder, options), [progress_on()])
            results.append(experiment.run())
            place = experiment.folder.path  # it may have been moved
            print(f"results: {place}, report: {place / 'report.html'}", file=sys.stderr)
    except Interrupted as interruption:
        print(str(interruption), file=sys.stderr)
        return 130
    _show(results, arguments["as_json"], bool(arguments["seeds"]))
    return 0


def _show(results: list[dict[str, Any]], as_json: bool, several: bool) -> None:
    if not all(results):
        return  # of several processes, one writes and speaks
    if as_json:
        print_json(results if several else results[0])
        return
    from colaflex.report import print_seeds, print_summary

    for result in results:
        print_summary(result, sys.stdout)
    if len(results) > 1:
        print_seeds(results, sys.stdout)


def _estimate(spec: Spec, options: RunOptions, as_json: bool) -> int:
    from colaflex.experiment.estimate import estimate

    cost = estimate(spec, options)
    if as_json:
        print_json(cost)
        return 0
    for name, count in cost["parameters"].items():
        print(f"parameters, {name}: {count:,}")
    for stage in cost["stages"]:
        print(
            f"stage {stage['name']}: {stage['steps']:,} steps, {stage['flops']:.3g} FLOPs, "
            f"about {stage['seconds'] / 60:.1f} minutes here"
        )
    if (judge := cost["judge"]) is not None:
        took = "trained before" if judge["known"] else f"about {judge['seconds'] / 60:.1f} minutes"
        print(f"judge: at most {judge['steps']:,} steps, {judge['flops']:.3g} FLOPs, {took}")
    print(f"memory: about {cost['memory_gib']:.2f} GiB")
    print(f"in all: {cost['flops']:.3g} FLOPs, about {cost['seconds'] / 60:.1f} minutes")
    return 0
