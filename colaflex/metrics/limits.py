"""What stands between a latent model's samples and real text: its representation, or its prior.

The decoder makes text of the encoder's own latents of held-out documents (`oracle_latents`). What
that is short of real text is the representation's loss, whatever the prior; what samples are short
of it is the prior's. A decoder that was adapted to the prior mends what that does wrong, so that
what each of them loses by the decoder before stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

from colaflex.interfaces.metric import Measurement
from colaflex.metrics.names import describe
from colaflex.metrics.numbers import decimals, number, with_unit

__all__ = ["what_limits"]

MEASURES = ("coherent_documents", "judge_nll")
"""Of generated text, by which it is told: the first that a run has."""

ADVICE = {
    "representation": "train stage 1 for longer, or give it latents that hold more, before the "
    "prior is worked on",
    "prior": "a better representation can win no more than that",
}


def what_limits(metrics: Mapping[str, Measurement]) -> str:
    """A sentence on which of the two loses more, or "" where that can't be told.

    Neither is named where what it loses is within the 95 % intervals of both texts.

    Args:
        metrics: by full name.
    """
    for measure in MEASURES:
        names = [f"generation.{row}{measure}" for row in ("real.", "oracle_latents.", "")]
        if all(name in metrics for name in names):
            break
    else:
        return ""
    info, found = describe(names[-1]), [metrics[name] for name in names]
    real, oracle, samples = found
    sign = -1.0 if info.better == "lower" else 1.0
    losses = {
        "representation": sign * (real.value - oracle.value),
        "prior": sign * (oracle.value - samples.value),
    }
    told = {"representation": _apart(real, oracle), "prior": _apart(oracle, samples)}
    places = decimals(found, info.unit)
    shown = [with_unit(number(one.value, info.unit, places), info.unit) for one in found]
    facts = (
        f"{info.label}: {shown[0]} in real text, {shown[1]} from the encoder's own latents, "
        f"{shown[2]} from the prior's"
    )
    worst = max(losses, key=lambda part: losses[part])
    before = _before_adaptation(metrics, measure)
    if not (losses[worst] > 0 and told[worst]):
        return f"what limits: neither part loses anything that these samples show ({facts}){before}"
    return f"what limits: the {worst} loses most ({facts}); {ADVICE[worst]}{before}"


def _before_adaptation(metrics: Mapping[str, Measurement], measure: str) -> str:
    """The same figures by a decoder that was not adapted yet, as a clause; "" without one."""
    names = [f"generation.{row}.{measure}" for row in ("oracle_unadapted", "unadapted")]
    if not all(name in metrics for name in names):
        return ""
    found, unit = [metrics[name] for name in names], describe(names[0]).unit
    places = decimals(found, unit)
    oracle, samples = (with_unit(number(one.value, unit, places), unit) for one in found)
    return (
        f"; by the decoder before it was adapted to the prior, {oracle} from the encoder's own "
        f"latents, {samples} from the prior's"
    )


def _apart(one: Measurement, other: Measurement) -> bool:
    """Whether their intervals don't meet."""
    return max(one.low, other.low) > min(one.high, other.high)
