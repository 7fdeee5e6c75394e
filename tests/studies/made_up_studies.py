"""Studies with a planted ridge: the best loc is 1 + ½ ln(d / 16), or it isn't."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from colaflex.studies.explanation.explanation import (
    Drift,
    Explanation,
    Importance,
    Interaction,
    Interval,
    LevelOptimum,
)
from colaflex.studies.summary import ArmSummary, FreshRow, Goal, Law, SpaceRow, StudySummary
from colaflex.studies.trials import TrialRecord

D, SNR = "representation.latent_dim", "representation.log_snr"
LOC, BLOCK, PRIOR = "prior.schedule.loc", "prior.block_size", "prior"
METRIC = "generation.coherent_documents"
DIMS, SNRS, BLOCKS = (8, 16, 32, 64), (1, 2, 3, 4), (1, 4, 8)

SPACE = (
    SpaceRow(D, choices=DIMS, base=16),
    SpaceRow(SNR, choices=SNRS, base=2),
    SpaceRow(LOC, low=-1.0, high=3.0, base=0.5),
    SpaceRow(BLOCK, choices=BLOCKS, base=1),
)
PAPER = {D: 16, SNR: 3, LOC: 1.0, BLOCK: 1}


def quality(point: Any) -> float:
    """Share of coherent documents: a ridge in (ln d, loc)."""
    off = point[LOC] - (1 + 0.5 * math.log(point[D] / 16))
    snr = 0.05 * (point[SNR] - 2) ** 2
    return 0.82 * math.exp(-0.6 * off**2 - snr) - 0.02 * math.log(point[BLOCK])


def measure(value: float, half: float = 0.04) -> dict[str, float]:
    """As in result.json."""
    return {"value": value, "low": value - half, "high": value + half, "n": 96}


def record(
    number: int, point: Any, value: float, state: Any = "complete", **more: Any
) -> TrialRecord:
    """A trial of one seed."""
    known = {
        "values": (value,) if state == "complete" else (),
        "metrics": {METRIC: measure(value)} if state == "complete" else {},
        "flops": 2.1e13 if state == "complete" else 0.8e13,
        "seconds": 61.0 + number,
        "stage1": {f"{point.get(D)}-{point.get(SNR)}": 0.7e13 * (1 + point.get(D, 16) / 64)},
        "seeds": (0,),
    }
    return TrialRecord(number, state, point=point, **{**known, **more})


def search(rng: np.random.Generator, count: int, spread: float) -> list[TrialRecord]:
    """A search that draws near the optimum more and more."""
    records = []
    for number in range(count):
        d, snr = int(rng.choice(DIMS)), int(rng.choice(SNRS, p=(0.2, 0.4, 0.3, 0.1)))
        centre = 1 + 0.5 * math.log(d / 16)
        loc = float(np.clip(rng.normal(centre, spread), -1, 3))
        point = {D: d, SNR: snr, LOC: loc, BLOCK: int(rng.choice(BLOCKS, p=(0.5, 0.3, 0.2)))}
        value = float(np.clip(quality(point) + rng.normal(0, 0.03), 0, 1))
        if number % 11 == 7:
            steps = {1: value - 0.2, 2: value - 0.1}
            records.append(record(number, point, value, "pruned", intermediate=steps))
        elif number % 23 == 19:
            reason = "training.stages.prior: the loss was not finite at step 120"
            records.append(record(number, point, value, "failed", reason=reason))
        else:
            records.append(record(number, point, value))
    return records


def arm(records: list[TrialRecord], sampler: str, sign: float = 1.0) -> ArmSummary:
    """What a study says of an arm."""
    done = [r for r in records if r.state == "complete"]
    stages = {k: v for r in records for k, v in r.stage1.items()}
    counts = {
        state: sum(r.state == state for r in records) for state in ("complete", "pruned", "failed")
    }
    return ArmSummary(
        records,
        sampler,
        counts,
        sum(r.flops for r in records) + sum(stages.values()),
        sum(r.seconds for r in records),
        max(done, key=lambda r: sign * r.values[0]) if done else None,
    )


def fresh(name: str, point: Any, rng: np.random.Generator, seeds: int = 5) -> FreshRow:
    """A point on fresh seeds."""
    records = [
        record(
            i, point, quality(point) + float(rng.normal(0, 0.015)), seeds=(1000 + i,), split="test"
        )
        for i in range(seeds)
    ]
    return FreshRow(name, point, records)


def drift(along: str, levels: Any, slope: Interval, p: float, law: float | None) -> Drift:
    """A drift with curves at each level."""
    log, found = along in (D, BLOCK), []
    rng = np.random.default_rng(3)
    for level in levels:
        t = math.log(level / 16) if along == D else math.log(level) if log else level - 2.5
        best = 1 + slope.value * t
        xs = tuple(float(x) for x in np.linspace(-1, 3, 41))
        points = tuple(
            (float(x), float(0.8 - 0.12 * (x - best) ** 2 + rng.normal(0, 0.03)))
            for x in rng.uniform(max(-1, best - 1.2), min(3, best + 1.2), 14)
        )
        found.append(
            LevelOptimum(
                level,
                14,
                Interval(best + 0.05, best - 0.25, best + 0.3),
                xs,
                tuple(0.8 - 0.12 * (x - best) ** 2 for x in xs),
                points,
                at_edge=level == 64,
            )
        )
    return Drift(LOC, along, log, tuple(found), slope, p, law)


def explanation() -> Explanation:
    """What explains the planted ridge."""
    return Explanation(
        60,
        (
            Importance(LOC, 0.52, 0.41, 0.63),
            Importance(D, 0.21, 0.12, 0.3),
            Importance(SNR, 0.12, 0.05, 0.2),
            Importance(BLOCK, 0.03, 0.0, 0.07),
        ),
        (
            Interaction(D, LOC, Interval(0.28, 0.15, 0.39), 0.0004),
            Interaction(SNR, LOC, Interval(0.04, 0.0, 0.1), 0.21),
            Interaction(LOC, BLOCK, Interval(0.01, 0.0, 0.06), 0.6),
            Interaction(D, SNR, Interval(0.01, 0.0, 0.05), 0.7),
        ),
        (
            drift(SNR, SNRS, Interval(0.04, -0.11, 0.2), 0.6, None),
            drift(D, DIMS, Interval(0.47, 0.3, 0.65), 0.0002, 0.5),
            drift(BLOCK, BLOCKS, Interval(-0.05, -0.3, 0.2), 0.7, None),
        ),
        ("Whether loc depends on block_size at 8 rests on few trials.",),
    )


def ridge(seed: int = 0) -> StudySummary:
    """60 trials, three arms, five fresh seeds."""
    rng = np.random.default_rng(seed)
    joint = arm(search(rng, 60, 0.6), "tpe")
    single = arm(search(rng, 60, 1.1), "one_at_a_time")
    assert joint.best and single.best
    other = {**single.best.point, LOC: 0.4}
    return StudySummary(
        "worlds",
        "Four knobs of worlds, searched together",
        "Latent dimension, log-SNR, schedule location and block size are one coupled problem. "
        "Does searching them together pay?",
        "specs/studies/worlds.yaml",
        "worlds",
        SPACE,
        (Goal(METRIC, "higher"),),
        {"search": joint, "one_at_a_time": single},
        (
            fresh("search", joint.best.point, rng),
            fresh("one_at_a_time", other, rng),
            fresh("paper", PAPER, rng),
        ),
        explanation(),
        Law(LOC, D),
        (("machine", "2 threads of a laptop"), ("budget", "60 minutes an arm")),
    )


def empty() -> StudySummary:
    """A study that nothing has begun."""
    return StudySummary(
        "nothing", space=SPACE, goals=(Goal(METRIC),), arms={"search": ArmSummary()}
    )


def few(count: int = 3) -> StudySummary:
    """A study with some complete trials and nothing else."""
    rng = np.random.default_rng(1)
    records = [r for r in search(rng, count + 2, 0.6) if r.state == "complete"][:count]
    return replace(empty(), study="few", arms={"search": arm(records, "random")})


def none_complete() -> StudySummary:
    """Trials that were pruned, failed or still run."""
    point = {D: 16, SNR: 2, LOC: 0.3, BLOCK: 1}
    records = [
        record(0, point, 0.1, "pruned", intermediate={1: 0.1}),
        record(1, point, 0.1, "failed", reason="out of memory"),
        record(2, point, 0.1, "running", flops=0.0, seconds=0.0),
        record(3, {}, math.nan, "waiting", flops=0.0, seconds=0.0, stage1={}),
    ]
    notes = Explanation(0, notes=("No trial is complete.",))
    return replace(empty(), arms={"search": arm(records, "tpe")}, explanation=notes)


def two_goals(seed: int = 2) -> StudySummary:
    """Quality and code length at once, with a component that is searched as well."""
    rng = np.random.default_rng(seed)
    records = []
    for r in search(rng, 40, 0.7):
        point = {**r.point, PRIOR: str(rng.choice(["flow_matching", "rectified_flow"]))}
        if point[PRIOR] == "rectified_flow":
            del point[BLOCK]
        length = 2.2 - 0.5 * (r.values[0] if r.values else 0) + float(rng.normal(0, 0.08))
        values = (r.values[0], length) if r.values else ()
        records.append(replace(r, point=point, values=values))
    space = (
        SpaceRow(PRIOR, choices=("flow_matching", "rectified_flow"), base="flow_matching"),
        *SPACE,
    )
    goals = (Goal(METRIC), Goal("likelihood.bits_per_byte", "lower"))
    return StudySummary(
        "both", "Two objectives", space=space, goals=goals, arms={"search": arm(records, "nsga2")}
    )


HARM = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7919 * 7 }}\x00\u2028"


def hostile() -> StudySummary:
    """A study in which every text that a stranger could choose is harmful."""
    known = two_goals()
    records = [
        replace(r, reason=HARM, point={**r.point, HARM: HARM}) for r in known.arms["search"].records
    ]
    rng = np.random.default_rng(5)
    told = explanation()
    return replace(
        known,
        study=HARM,
        title=HARM,
        summary=HARM,
        path=HARM,
        base=HARM,
        space=(*known.space, SpaceRow(HARM, choices=(HARM, "b"), base=HARM, component=HARM)),
        goals=(known.goals[0], Goal(HARM, "lower")),
        arms={HARM: replace(arm(records, "nsga2"), sampler=HARM)},
        fresh=(fresh(HARM, {**PAPER, HARM: HARM}, rng), fresh(HARM + "2", PAPER, rng)),
        explanation=replace(
            told,
            importances=(*told.importances, Importance(HARM, 0.1, 0.0, 0.2)),
            interactions=(Interaction(HARM, LOC, Interval(0.9, 0.8, 0.95), 0.01),),
            drifts=(
                replace(
                    told.drifts[0],
                    along=HARM,
                    levels=tuple(replace(one, label=HARM) for one in told.drifts[0].levels),
                ),
            ),
            notes=(HARM,),
        ),
        facts=((HARM, HARM),),
    )


def unknown() -> StudySummary:
    """A study whose explanation and measurements are not numbers."""
    nan = float("nan")
    lost = Interval(nan, nan, nan)
    known = ridge(4)
    curve = LevelOptimum(8, 1, lost, (), (), ())
    drifts = (
        Drift(LOC, D, True, (curve, replace(curve, level=16)), lost, nan, 0.5),
        Drift(LOC, PRIOR, False, (replace(curve, level=0, label="a"),), lost, 0.3),
    )
    told = Explanation(
        60,
        (Importance(LOC, nan, nan, nan),),
        (Interaction(LOC, D, lost, nan),),
        drifts,
        ("Too few trials at each level.",),
    )
    one = FreshRow("search", PAPER, known.fresh[0].records[:1])
    broken = FreshRow("paper", PAPER, [replace(known.fresh[0].records[0], values=(nan,))])
    return replace(known, explanation=told, fresh=(one, broken))
