"""The shared config base of every component kind. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from colaflex.interfaces.capabilities import (
    BaselineCapabilities,
    NetworkCapabilities,
    PriorCapabilities,
    RepresentationCapabilities,
    ScheduleCapabilities,
    SegmenterCapabilities,
    TaskCapabilities,
)
from colaflex.interfaces.component import ComponentConfig, Slot
from colaflex.interfaces.options import MAX_NEW_TOKENS
from colaflex.interfaces.search import SearchRange

__all__ = [
    "BaselineConfig",
    "CorpusConfig",
    "CouplingConfig",
    "GaussianRepresentationConfig",
    "NetworkConfig",
    "PriorConfig",
    "RepresentationConfig",
    "ScheduleConfig",
    "ScoredTaskConfig",
    "ScorerConfig",
    "SegmenterConfig",
    "SolverConfig",
    "TaskConfig",
    "TransformerSizes",
    "check_heads",
    "heads_divide_width",
]


class SegmenterConfig(ComponentConfig):
    """Shared base of segmenter configs.

    Example:
        >>> from colaflex.interfaces.capabilities import SegmenterCapabilities
        >>> class WordsConfig(SegmenterConfig):
        ...     def capabilities(self):
        ...         return SegmenterCapabilities(max_segment_tokens=8, variable=True)
        >>> WordsConfig().capabilities().max_segment_tokens
        8
    """

    kind: ClassVar[str] = "segmenter"

    def capabilities(self) -> SegmenterCapabilities:
        """Longest segment, and whether lengths vary, are learned or need token states."""
        raise NotImplementedError


class RepresentationConfig(ComponentConfig):
    """Shared base of representation configs.

    `for_priors` names the options that stage 1 has nothing of: they are none of its digest.

    Example:
        >>> from colaflex.interfaces.capabilities import RepresentationCapabilities
        >>> class MineConfig(RepresentationConfig):
        ...     def capabilities(self):
        ...         return RepresentationCapabilities(continuous_density=False)
        >>> MineConfig(latent_dim=8).latent_dim
        8
    """

    kind: ClassVar[str] = "representation"
    for_priors: ClassVar[tuple[str, ...]] = ()

    latent_dim: Annotated[int, SearchRange(choices=(8, 16, 32, 64))] = Field(
        16, ge=1, le=4096, description="Channels of one latent."
    )

    def capabilities(self) -> RepresentationCapabilities:
        """What the representation reads and whether its latents have a density."""
        raise NotImplementedError

    def tokenizer_file(self) -> Path | None:
        """The tokenizer.json of one that reads its own tokenizer, None otherwise.

        Raises:
            UserError: it can't be found.
        """
        return None


class GaussianRepresentationConfig(RepresentationConfig):
    """Shared base of the configs of representations whose posterior is Gaussian.

    Example:
        >>> GaussianRepresentationConfig(log_snr=2.0).log_snr
        2.0
        >>> GaussianRepresentationConfig().log_snr
        'learned'
    """

    log_snr: Annotated[
        Annotated[float, Field(ge=-30, le=30)] | Literal["learned"],
        SearchRange(choices=(1.0, 2.0, 3.0, 4.0)),
    ] = Field(
        "learned",
        description="log(mean mu^2 / mean sigma^2) of the posterior (nats): learned, or fixed, "
        "then means pass a LayerNorm without affine and sigma^2 = exp(-log_snr).",
    )


class PriorConfig(ComponentConfig):
    """Shared base of prior configs.

    Example:
        >>> from colaflex.interfaces.capabilities import PriorCapabilities
        >>> class MineConfig(PriorConfig):
        ...     def capabilities(self):
        ...         return PriorCapabilities(likelihood="exact")
        >>> MineConfig(block_size=4).capabilities().guidance
        True
    """

    kind: ClassVar[str] = "prior"

    block_size: Annotated[int, SearchRange(choices=(1, 4, 8, 16))] = Field(
        16, ge=1, le=4096, description="Latents that the prior generates together."
    )

    def capabilities(self) -> PriorCapabilities:
        """Likelihood, fewest useful steps, guidance and order."""
        raise NotImplementedError


class BaselineConfig(ComponentConfig):
    """Shared base of the configs of language models without latents.

    Example:
        >>> from pydantic import Field
        >>> class MineConfig(BaselineConfig):
        ...     width: int = Field(64, ge=8, le=4096, description="Channels of the states.")
        >>> MineConfig().capabilities().likelihood
        'none'
    """

    kind: ClassVar[str] = "baseline"

    def capabilities(self) -> BaselineCapabilities:
        """Whether it has a likelihood."""
        return BaselineCapabilities()


class NetworkConfig(ComponentConfig):
    """Shared base of network configs.

    Example:
        >>> from colaflex.interfaces.capabilities import NetworkCapabilities
        >>> class MineConfig(NetworkConfig):
        ...     def capabilities(self):
        ...         return NetworkCapabilities(max_times=1)
        >>> MineConfig().capabilities().cache
        True
    """

    kind: ClassVar[str] = "network"

    def capabilities(self) -> NetworkCapabilities:
        """Cache, forward-mode differentiation and number of times."""
        return NetworkCapabilities()


class SolverConfig(ComponentConfig):
    """Shared base of solver configs.

    Example:
        >>> class MidpointConfig(SolverConfig):
        ...     def evaluations(self, steps):
        ...         return 2 * steps
        >>> MidpointConfig().evaluations(8)
        16
    """

    kind: ClassVar[str] = "solver"

    def evaluations(self, steps: int) -> int | None:
        """Velocity evaluations over `steps` intervals; None where the solver adapts its steps."""
        raise NotImplementedError


class CouplingConfig(ComponentConfig):
    """Shared base of coupling configs.

    Example:
        >>> class MineConfig(CouplingConfig):
        ...     '''No options.'''
        >>> MineConfig.kind
        'coupling'
    """

    kind: ClassVar[str] = "coupling"


class ScheduleConfig(ComponentConfig):
    """Shared base of schedule configs.

    Example:
        >>> from pydantic import Field
        >>> class SquaredConfig(ScheduleConfig):
        ...     power: float = Field(2.0, gt=0, le=10, description="Of a uniform draw.")
        >>> SquaredConfig(stratified=True).power
        2.0
    """

    kind: ClassVar[str] = "schedule"

    stratified: bool = Field(
        False,
        description="Whether the times of a batch are drawn one out of each of as many equal "
        "shares of the law: the loss varies less from step to step.",
    )

    def capabilities(self) -> ScheduleCapabilities:
        """What it follows in training; here, nothing."""
        return ScheduleCapabilities()


class CorpusConfig(ComponentConfig):
    """Shared base of corpus configs.

    Example:
        >>> from pydantic import Field
        >>> class MineConfig(CorpusConfig):
        ...     path: str = Field(..., description="File of poems, one a line.")
        >>> MineConfig(path="poems.txt").path
        'poems.txt'
    """

    kind: ClassVar[str] = "corpus"


class ScorerConfig(ComponentConfig):
    """Shared base of scorer configs.

    Example:
        >>> from pydantic import Field
        >>> class MineConfig(ScorerConfig):
        ...     case: bool = Field(False, description="Whether capital letters count.")
        >>> MineConfig(case=True).case
        True
    """

    kind: ClassVar[str] = "scorer"


class TaskConfig(ComponentConfig):
    """Shared base of task configs.

    Example:
        >>> from colaflex.interfaces.capabilities import TaskCapabilities
        >>> class MineConfig(TaskConfig):
        ...     def capabilities(self):
        ...         return TaskCapabilities(scored=False)
        >>> MineConfig(name="rhymes", max_new_tokens=8).title
        'rhymes'
    """

    kind: ClassVar[str] = "task"

    name: str | None = Field(
        None,
        pattern=r"^\w+$",
        max_length=100,
        description="What it is called in metrics; by default as its type.",
    )
    max_new_tokens: int = Field(
        32, ge=1, le=MAX_NEW_TOKENS, description="Length of an answer at most (tokens)."
    )

    @property
    def title(self) -> str:
        """What it is called in metrics."""
        return self.name or self.type.rpartition(":")[2]

    def capabilities(self) -> TaskCapabilities:
        """Where items come from, and whether a scorer judges the answers."""
        raise NotImplementedError


class ScoredTaskConfig(TaskConfig):
    """Shared base of the configs of tasks whose answers a scorer judges.

    Example:
        >>> from colaflex.host.registry import registry
        >>> names = registry().names("scorer")  # from here on, names stand for components
        >>> ScoredTaskConfig(scorer="best_option").scorer.type
        'best_option'
    """

    scorer: Annotated[ScorerConfig, Slot("scorer")] = Field(
        "exact", description="What tells right answers from wrong ones."
    )  # type: ignore[assignment]


def check_heads(width: int, heads: int) -> None:
    """Raise ValueError unless heads of equal and even width make up the whole width.

    Rotary positions turn channels by pairs.
    """
    if width % (2 * heads):
        raise ValueError(f"width {width} does not split into {heads} heads of even width")


class _WithHeads(Protocol):
    @property
    def width(self) -> int: ...  # pragma: no cover
    @property
    def heads(self) -> int: ...  # pragma: no cover


Config = TypeVar("Config", bound=_WithHeads)


def heads_divide_width(config: Config) -> Config:
    """A config's own validator: `_rule = model_validator(mode="after")(heads_divide_width)`."""
    check_heads(config.width, config.heads)
    return config


class TransformerSizes(BaseModel):
    """Sizes of a transformer, for configs that have one.

    Example:
        >>> class MineConfig(TransformerSizes, NetworkConfig):
        ...     '''A transformer of mine.'''
        >>> MineConfig(width=64, heads=2).layers
        6
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(256, ge=8, le=16384, description="Channels of the states.")
    layers: int = Field(6, ge=1, le=256, description="Transformer layers.")
    heads: int = Field(4, ge=1, le=256, description="Attention heads; must divide the width.")
    feed_forward_ratio: float = Field(
        4.0, gt=0, le=16, description="Feed-forward cost, as the width ratio of a plain MLP."
    )

    _heads_divide_width = model_validator(mode="after")(heads_divide_width)
