"""What can be wrong with a study, found before anything runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from colaflex import hints
from colaflex.files.problems import KeyPath, Origin, Problem
from colaflex.files.yaml import Node
from colaflex.metrics.names import is_known, near_metric
from colaflex.metrics.rank import Rank, out_of_reach
from colaflex.studies.file.file_forms import as_written
from colaflex.studies.sampling.named import Named
from colaflex.studies.sampling.pruners import check_pruner
from colaflex.studies.sampling.samplers import check_sampler, unfit

if TYPE_CHECKING:
    from colaflex.studies.file.study_file import StudyFile

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


def problems_of(file: StudyFile, node: Node) -> Iterator[Problem]:
    """What is wrong with a study, its spec and its space aside."""
    if not NAME.fullmatch(file.study):
        yield _problem(node, ("study",), f"{file.study!r} is no name", LETTERS)
    yield from _objectives(file, node)
    yield from _budget(file, node)
    yield from _controls(file, node)
    yield from _named(node, ("sampler",), file.sampler, check_sampler)
    if file.pruner is not None:
        yield from _named(node, ("pruner",), file.pruner, check_pruner)
    yield from _pruning(file, node)
    if not STORAGE.fullmatch(file.storage):
        yield _problem(node, ("storage",), f"{file.storage!r} is no storage", _scheme(file.storage))


def _scheme(storage: str) -> str:
    """The forms of storages, or the nearest scheme."""
    scheme = storage.partition(":")[0]
    close = hints.nearest(scheme, [name for name in STORAGES if name != scheme])
    near = f"did you mean `{close}`? " if close and scheme not in STORAGES else ""
    return f"{near}expected {FORMS}"


def _objectives(file: StudyFile, node: Node) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, rank in enumerate(file.objectives):
        path: KeyPath = ("objectives", index, "metric")
        if rank.metric in seen:
            yield _problem(node, path, f"{rank.metric} stands twice", "remove one")
        seen.add(rank.metric)
        problem = _metric(rank)
        if problem is not None:
            yield _problem(node, path, *problem)


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


def _budget(file: StudyFile, node: Node) -> Iterator[Problem]:
    limits = (file.budget.trials, file.budget.minutes, file.budget.flops)
    if all(limit is None for limit in limits):
        message = "nothing ends the search"
        yield _problem(node, ("budget",), message, "give trials, minutes or flops")


def _controls(file: StudyFile, node: Node) -> Iterator[Problem]:
    for name, control in file.controls.items():
        path = ("controls", name)
        place = node.entries["controls"].entries[name].key
        if not NAME.fullmatch(name):
            yield Problem(place, path, f"{name!r} is no name", LETTERS)
        if name in TAKEN:
            yield Problem(place, path, f"{TAKEN[name]} this name", "take another")
        if (control.sampler is None) == (control.point is None):
            both = control.sampler is not None
            message = "both a sampler and a point" if both else "neither a sampler nor a point"
            hint = "give one: `sampler` searches, `point` is run as it is"
            yield Problem(place, path, message, hint)
        if control.point is not None and not control.point:
            yield _problem(node, (*path, "point"), "expected values by key path")
        if control.point is not None and file.fresh.seeds == 0:
            message = "a point is run on fresh seeds, and fresh.seeds is 0"
            yield _problem(node, (*path, "point"), message, "give fresh.seeds")
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
    told = [o for o in named.options if re.search(rf"(?<!\w){re.escape(o)}(?!\w)", message)]
    where = (*path, "options", told[0]) if told else (*path, "type")
    yield as_written(_problem(node, where, message))


def _pruning(file: StudyFile, node: Node) -> Iterator[Problem]:
    """Rungs prune within a training, seeds between the trainings of a trial."""
    for index, (before, rung) in enumerate(zip(file.rungs, file.rungs[1:], strict=False), 1):
        if rung <= before:
            message = f"expected increasing shares, {rung:g} follows {before:g}"
            yield _problem(node, ("rungs", index), message)
    if file.rungs and file.seeds > 1:
        message = "rungs prune within a training, seeds between those of a trial"
        yield _problem(node, ("rungs",), message, "choose one: leave out `rungs` or `seeds`")
    if len(file.objectives) > 1 and (file.pruner is not None or file.rungs):
        where = ("pruner",) if file.pruner is not None else ("rungs",)
        message = "trials of several objectives can't be pruned"
        yield _problem(node, where, message, "leave it out, or keep one objective")
    elif file.pruner is not None and not file.rungs and file.seeds == 1:
        message = "a trial is measured but once, at its end: there is nothing to prune"
        yield _problem(node, ("pruner",), message, "give rungs, e.g. [0.33, 0.66], or seeds")
    elif file.pruner is not None and file.pruner.type == "wilcoxon" and file.seeds == 1:
        message = "wilcoxon compares seed by seed, and a trial has one"
        yield _problem(node, ("pruner",), message, "give seeds, or choose successive_halving")


def space_problems(file: StudyFile, node: Node) -> Iterator[Problem]:
    """What of the study doesn't go with the space."""
    samplers: list[tuple[KeyPath, Named]] = [(("sampler",), file.sampler)]
    for name, control in file.controls.items():
        if control.sampler is not None:
            samplers.append((("controls", name, "sampler"), control.sampler))
    for path, named in samplers:
        message = unfit(named, file.searched, len(file.objectives))
        if message:
            yield _problem(node, path, message)
    for index, rank in enumerate(file.objectives):
        for of, spec in file.searched.variants(file.trial_spec):
            reason = out_of_reach(rank.metric, [spec])
            if reason:
                where = ("objectives", index, "metric")
                yield _problem(node, where, f"no trial{of} can have {rank.metric}: {reason}")
                break


def _problem(node: Node, path: KeyPath, message: str, hint: str = "") -> Problem:
    """A problem at a path, or where the path's last given part stands."""
    origin: Origin = node.origin
    for key in path:
        child = node.child(key)
        if child is None:
            break
        node, origin = child, child.origin
    return Problem(origin, path, message, hint)
