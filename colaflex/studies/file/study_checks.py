"""What can be wrong with a study, found before anything runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from colaflex import hints
from colaflex.files.problems import KeyPath, Problem
from colaflex.files.yaml import Node
from colaflex.metrics.names import is_known, near_metric
from colaflex.metrics.rank import Rank, out_of_reach
from colaflex.spec import Spec
from colaflex.studies.file.file_forms import as_written
from colaflex.studies.file.study_keys import StudyKeys
from colaflex.studies.sampling.pruners import check_pruner
from colaflex.studies.sampling.sampler_options import Named
from colaflex.studies.sampling.samplers import check_sampler, unfit
from colaflex.studies.space.space import Space

__all__ = ["problems_of", "space_problems"]

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
LETTERS = "use at most 64 letters, digits, _ and -"
TAKEN = {"search": "the search itself has", "fresh": "the runs on fresh seeds have"}
"""Names that no control has."""
STORAGES = ("journal", "sqlite", "postgresql", "grpc")
STORAGE = re.compile(r"journal(:.+)?|sqlite:///.+|postgresql(\+\w+)?://.+|grpc://[^/:]+:\d+")
FORMS = "journal, journal:PATH, sqlite:///PATH, postgresql://..., grpc://HOST:PORT"
SIMILAR = 0.85
"""How similar a metric's name is to a known one to be taken for a slip."""


def problems_of(keys: StudyKeys, node: Node) -> Iterator[Problem]:
    """What is wrong with a study, its spec and its space aside."""
    if not NAME.fullmatch(keys.study):
        yield node.problem(("study",), f"{keys.study!r} is no name", LETTERS)
    yield from _objectives(keys, node)
    yield from _budget(keys, node)
    yield from _controls(keys, node)
    yield from _named(node, ("sampler",), keys.sampler, check_sampler)
    if keys.pruner is not None:
        yield from _named(node, ("pruner",), keys.pruner, check_pruner)
    yield from _pruning(keys, node)
    if not STORAGE.fullmatch(keys.storage):
        yield node.problem(("storage",), f"{keys.storage!r} is no storage", _scheme(keys.storage))


def _scheme(storage: str) -> str:
    """The forms of storages, or the nearest scheme."""
    scheme = storage.partition(":")[0]
    close = hints.nearest(scheme, [name for name in STORAGES if name != scheme])
    near = f"did you mean `{close}`? " if close and scheme not in STORAGES else ""
    return f"{near}expected {FORMS}"


def _objectives(keys: StudyKeys, node: Node) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, rank in enumerate(keys.objectives):
        path: KeyPath = ("objectives", index, "metric")
        if rank.metric in seen:
            yield node.problem(path, f"{rank.metric} stands twice", "remove one")
        seen.add(rank.metric)
        problem = _metric(rank)
        if problem is not None:
            yield node.problem(path, *problem)


def _metric(rank: Rank) -> tuple[str, str] | None:
    """What is wrong with an objective; one of a plugin is taken with its direction."""
    name = rank.metric
    if is_known(name):
        if rank.is_directed:
            return None
        message = f"nothing says which way {name} is better"
        return message, f"write {{metric: {name}, better: higher}}, or lower"
    hint = near_metric(name)
    if rank.better is None:
        own = f"of a plugin's own, say {{metric: {name}, better: higher}}, or lower"
        return f"there is no metric {name} known", f"{hint}; {own}"
    return (f"there is no metric {name}", hint) if _is_slip(name, hint) else None


def _is_slip(name: str, hint: str) -> bool:
    """Whether a name is a known one, but for a slip."""
    import difflib

    known = re.search("`(.*)`", hint)
    if known is None or not hint.startswith("did"):
        return False
    family, _, rest = name.rpartition(".")
    near_family, _, near_rest = known[1].rpartition(".")
    one = difflib.SequenceMatcher(None, rest, near_rest).ratio()
    other = difflib.SequenceMatcher(None, family, near_family).ratio()
    return min(one, other) >= SIMILAR


def _budget(keys: StudyKeys, node: Node) -> Iterator[Problem]:
    limits = (keys.budget.trials, keys.budget.minutes, keys.budget.flops)
    if all(limit is None for limit in limits):
        message = "nothing ends the search"
        yield node.problem(("budget",), message, "give trials, minutes or flops")


def _controls(keys: StudyKeys, node: Node) -> Iterator[Problem]:
    for name, control in keys.controls.items():
        path = ("controls", name)
        if not NAME.fullmatch(name):
            yield node.key_problem(path, f"{name!r} is no name", LETTERS)
        if name in TAKEN:
            yield node.key_problem(path, f"{TAKEN[name]} this name", "take another")
        if (control.sampler is None) == (control.point is None):
            both = control.sampler is not None
            message = "both a sampler and a point" if both else "neither a sampler nor a point"
            hint = "give one: `sampler` searches, `point` is run as it is"
            yield node.key_problem(path, message, hint)
        if control.point is not None and not control.point:
            yield node.problem((*path, "point"), "expected values by key path")
        if control.point is not None and keys.fresh.seeds == 0:
            message = "a point is run on fresh seeds, and fresh.seeds is 0"
            yield node.problem((*path, "point"), message, "give fresh.seeds")
        if control.sampler is not None:
            where = (*path, "sampler")
            yield from _named(node, where, control.sampler, check_sampler)


def _named(
    node: Node, path: KeyPath, named: Named, check: Callable[[Named], str]
) -> Iterator[Problem]:
    """What a sampler's or a pruner's own check says, at the option that it speaks of."""
    message = check(named)
    if not message:
        return
    options = [o for o in named.options if re.search(rf"(?<!\w){re.escape(o)}(?!\w)", message)]
    where = (*path, "options", options[0]) if options else (*path, "type")
    yield as_written(node.problem(where, message))


def _pruning(keys: StudyKeys, node: Node) -> Iterator[Problem]:
    """Rungs prune within a training, seeds between the trainings of a trial."""
    for index, (before, rung) in enumerate(zip(keys.rungs, keys.rungs[1:], strict=False), 1):
        if rung <= before:
            message = f"expected increasing shares, {rung:g} follows {before:g}"
            yield node.problem(("rungs", index), message)
    if keys.rungs and keys.seeds > 1:
        message = "rungs prune within a training, seeds between those of a trial"
        yield node.problem(("rungs",), message, "choose one: leave out `rungs` or `seeds`")
    if len(keys.objectives) > 1 and (keys.pruner is not None or keys.rungs):
        where = ("pruner",) if keys.pruner is not None else ("rungs",)
        message = "trials of several objectives can't be pruned"
        yield node.problem(where, message, "leave it out, or keep one objective")
    elif keys.pruner is not None and not keys.rungs and keys.seeds == 1:
        message = "a trial is measured but once, at its end: there is nothing to prune"
        yield node.problem(("pruner",), message, "give rungs, e.g. [0.33, 0.66], or seeds")
    elif keys.pruner is not None and keys.pruner.type == "wilcoxon" and keys.seeds == 1:
        message = "wilcoxon compares seed by seed, and a trial has one"
        yield node.problem(("pruner",), message, "give seeds, or choose successive_halving")


def space_problems(keys: StudyKeys, space: Space, trials: Spec, node: Node) -> Iterator[Problem]:
    """What of the study doesn't go with the space."""
    samplers: list[tuple[KeyPath, Named]] = [(("sampler",), keys.sampler)]
    for name, control in keys.controls.items():
        if control.sampler is not None:
            samplers.append((("controls", name, "sampler"), control.sampler))
    for path, named in samplers:
        message = unfit(named, space, len(keys.objectives))
        if message:
            yield node.problem(path, message)
    for index, rank in enumerate(keys.objectives):
        for of, spec in space.variants(trials):
            reason = out_of_reach(rank.metric, [spec])
            if reason:
                where = ("objectives", index, "metric")
                yield node.problem(where, f"no trial{of} can have {rank.metric}: {reason}")
                break
