"""What components declare of themselves; combinations are judged by these, before training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "LATENT_MODEL",
    "AnswerForm",
    "BaselineCapabilities",
    "Likelihood",
    "NetworkCapabilities",
    "Place",
    "PriorCapabilities",
    "RepresentationCapabilities",
    "ScheduleCapabilities",
    "SegmenterCapabilities",
    "TaskCapabilities",
]

AnswerForm = Literal["first_word", "text", "option"]

Likelihood = Literal["exact", "ode", "bound", "none"]
"""What a prior's `log_prob` is: the density, the same integrated along an ODE, less, or nothing."""


@dataclass(frozen=True, slots=True)
class SegmenterCapabilities:
    """A segmenter's declaration.

    One that needs the vocabulary is built with `vocabulary=`, one that needs token states with
    their channels, `width=`. One that is not `aligned` begins no segment at the end of a prompt.
    Of two levels, the first of every `group` segments is coarse and stands for the fine ones that
    follow in the group, which no block's end may separate; a representation that reads two levels
    is then built with `group=`.

    Example:
        >>> spec = colaflex.Spec.parse({"corpus": "bible", "segmenter": "phrase"})
        >>> spec.segmenter.capabilities().variable
        True
    """

    max_segment_tokens: int
    variable: bool = False
    learned: bool = False
    needs_states: bool = False
    needs_vocabulary: bool = False
    levels: int = 1
    aligned: bool = True
    group: int = 1


@dataclass(frozen=True, slots=True)
class RepresentationCapabilities:
    """A representation's declaration.

    `token_states` are causal states of tokens, for a segmenter that needs them; `levels` is how
    many levels of segments it can read; `stage_one_options` are options in use that act on the
    rate to the base alone, which an open gate leaves behind. A block-causal one encodes
    `block_size` segments together, counted from the row's start or the last forced boundary.
    `readouts` are the names of those it makes for priors, the best first, and `undrawn` of those
    among them from which no estimates can be drawn; `costs` tells whether it says what contents
    cost by its decoder, `decoder_alone` whether that can learn by these costs while the encoder
    rests (`Representation.decoder_parameters`), and `history` whether it makes a module by
    which a prior reads its history as text rather than as latents.

    Example:
        >>> spec = colaflex.Spec.parse({"corpus": "bible", "representation": "text_ae"})
        >>> declared = spec.representation.capabilities()
        >>> declared.continuous_density, declared.causality
        (False, 'causal')
    """

    continuous_density: bool
    reads: Literal["tokens", "bytes", "own_tokenizer"] = "tokens"
    variable_length: bool = True
    token_aligned: bool = False
    token_states: bool = False
    levels: int = 1
    stage_one_options: tuple[str, ...] = ()
    causality: Literal["causal", "block_causal", "bidirectional"] = "causal"
    block_size: int = 1
    readouts: tuple[str, ...] = ()
    history: bool = False
    undrawn: tuple[str, ...] = ()
    costs: bool = False
    decoder_alone: bool = False


@dataclass(frozen=True, slots=True)
class PriorCapabilities:
    """A prior's declaration; `fewest_steps` is the fewest solver steps that are useful.

    One of `maximum_likelihood` learns by its negative log density per channel, which falls without
    end where latents shrink to a point; other losses are at least 0. `readout` and `history` tell
    whether it takes those that a representation offers (`Prior.take`), `estimates` whether it
    samples by `estimate`, `renoise` and `grid` of `SamplingOptions`, and `guided_by_time` whether
    it does by `guidance_interval`, `guidance_law` and `noise_temperature`. One that is `watched`
    tells its schedule what it loses; of `one_step`, it tells what it expects (`Prior.one_step`).

    Example:
        >>> spec = colaflex.Spec.parse({"corpus": "bible", "prior": "mean_flow"})
        >>> spec.prior.capabilities().likelihood, spec.prior.capabilities().fewest_steps
        ('none', 1)
    """

    likelihood: Likelihood
    fewest_steps: int = 1
    guidance: bool = True
    order: Literal["block", "latent"] = "block"
    needs_teacher: bool = False
    maximum_likelihood: bool = False
    readout: bool = False
    history: bool = False
    estimates: bool = False
    guided_by_time: bool = False
    watched: bool = False
    one_step: bool = False


@dataclass(frozen=True, slots=True)
class ScheduleCapabilities:
    """A schedule's declaration: what it follows in training, if anything.

    Example:
        >>> spec = colaflex.Spec.parse({"corpus": "bible", "prior": {"schedule": "adaptive"}})
        >>> spec.prior.schedule.capabilities()
        ScheduleCapabilities(source='x0')
    """

    source: Literal["none", "x0", "readout", "decoder"] = "none"


@dataclass(frozen=True, slots=True)
class Place:
    """A model's place in the view of generation as a stochastic path (Cola DLM, 2026, section 11).

    Attributes:
        state_space: what the path runs over, e.g. "prefixes of tokens".
        path: its role: direct generation, recovery of an observation (it runs over text, or over
            what is text up to rounding), or transport of a prior (over a latent that a decoder
            then realises as text).
        factorisation: of the density, e.g. "∏ p(x_i | x_<i)".
        continuity: where continuous values come in, e.g. "nowhere".
        explicit_latent: whether there is a latent apart from the text, with a posterior.

    Example:
        >>> place = Place(
        ...     state_space="prefixes of tokens",
        ...     path="direct generation",
        ...     factorisation="∏ p(x_i | x_<i)",
        ...     continuity="nowhere",
        ... )
        >>> place.explicit_latent
        False
    """

    state_space: str
    path: str
    factorisation: str
    continuity: str
    explicit_latent: bool = False


LATENT_MODEL = Place(
    state_space="compressed latent sequences",
    path="transport of a prior",
    factorisation="∫ p(x | z0) p(z0) dz0",
    continuity="the latent",
    explicit_latent=True,
)
"""The place of segmenter, representation and prior together."""


@dataclass(frozen=True, slots=True)
class BaselineCapabilities:
    """A baseline's declaration: what its `log_likelihood` is, and its place among models.

    `steps` and `guidance` tell whether it samples by those of `SamplingOptions`: what does not is
    measured at no sweep over them, and refused a guidance.
    One that needs the length of the longest row in training is built with `max_tokens=`.

    Example:
        >>> spec = colaflex.Spec.parse({"corpus": "bible", "baseline": "autoregressive"})
        >>> spec.baseline.capabilities().likelihood
        'exact'
    """

    likelihood: Literal["exact", "bound", "none"] = "none"
    place: Place | None = None
    steps: bool = True
    guidance: bool = True
    needs_max_tokens: bool = False


@dataclass(frozen=True, slots=True)
class NetworkCapabilities:
    """A network's declaration; `max_times` is how many times it can condition on (None: any).

    `position_times` tells whether `Network.parallel` takes times of positions.

    Example:
        >>> spec = colaflex.Spec.parse({"corpus": "bible", "prior": "flow_matching"})
        >>> spec.prior.network.capabilities()
        NetworkCapabilities(cache=True, forward_ad=True, max_times=None, position_times=True)
    """

    cache: bool = True
    forward_ad: bool = True
    max_times: int | None = None
    position_times: bool = False


@dataclass(frozen=True, slots=True)
class TaskCapabilities:
    """A task's declaration: where its items come from, and whether a scorer judges the answers.

    `data` is a folder of the user's, `corpus` the run's own; a task without a scorer judges for
    itself.

    Example:
        >>> TaskCapabilities(source="corpus").scored
        True
    """

    source: Literal["data", "corpus"] = "data"
    scored: bool = True
