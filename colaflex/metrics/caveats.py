"""What keeps a run's figures from meaning what they seem to: collapse, a judge that knows little.

The rules, all of figures of one run:

- **collapse**: the words' entropy is below real text's by more than ln 2, as if half of the words
  or more were gone; or less than half as many of the texts differ as of real ones. A judge finds
  such text easy, so that a low NLL is no quality, and one right story told again and again is no
  model.
- **weak judge**: on real text its NLL is above 0.8 of that of a uniform guess; or it finds real
  text by less than half a nat easier than a heap of its tokens (the unigram sampler's). What it
  says of anything else then means little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from colaflex.interfaces.metric import Measurement

__all__ = ["caveats", "collapse", "weak_judge"]

HALF = math.log(2)
NEAR_UNIFORM = 0.8
LEAST_GAP = 0.5

Metrics = Mapping[str, Measurement]


def caveats(metrics: Metrics, vocabulary: int | None = None) -> list[str]:
    """A sentence for each rule that holds.

    Args:
        metrics: by full name.
        vocabulary: number of tokens, where it is known.
    """
    return [rule for rule in (collapse(metrics), weak_judge(metrics, vocabulary)) if rule]


def collapse(metrics: Metrics) -> str:
    """Why the model's texts are too much alike, or ""."""
    entropy, real = _pair(metrics, "unigram_entropy")
    different, usual = _pair(metrics, "distinct_documents")
    if entropy < real - HALF:
        reason = f"unigram entropy {entropy:.2f} against {real:.2f} nats of real text"
    elif different < usual / 2:
        reason = f"{100 * different:.0f} % of the texts differ, {100 * usual:.0f} % of real ones"
    else:
        return ""
    judged = math.isfinite(_value(metrics, "generation.judge_nll"))
    no_quality = "a low judge NLL is" if judged else "what they get right is"
    return f"collapsed: the texts repeat themselves ({reason}), so that {no_quality} no quality"


def weak_judge(metrics: Metrics, vocabulary: int | None = None) -> str:
    """Why the judge's opinion means little, or ""."""
    real = _value(metrics, "generation.real.judge_nll")
    real = real if math.isfinite(real) else _value(metrics, "judge.held_out_nll")
    uniform = math.log(vocabulary) if vocabulary and vocabulary > 1 else math.nan
    heap = _value(metrics, "generation.unigram.judge_nll")
    if real > NEAR_UNIFORM * uniform:
        reason = f"{real:.2f} nats a token on real text, where a uniform guess has {uniform:.2f}"
    elif heap - real < LEAST_GAP:
        reason = f"{real:.2f} nats a token on real text, {heap:.2f} on a heap of its tokens"
    else:
        return ""
    return f"weak judge: it knows little of the text ({reason}), so that judge NLLs mean little"


def _pair(metrics: Metrics, metric: str) -> tuple[float, float]:
    """The model's value and real text's; NaN, which no rule takes, where there is none."""
    return _value(metrics, f"generation.{metric}"), _value(metrics, f"generation.real.{metric}")


def _value(metrics: Metrics, name: str) -> float:
    return metrics[name].value if name in metrics else math.nan
