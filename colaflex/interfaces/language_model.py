"""LanguageModel: what the trainer, the generator and the evaluation deal with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from colaflex.interfaces.one_line import one_line
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.stage import Stage
from colaflex.interfaces.values import TokenBatch

__all__ = ["BlockCost", "GeneratedTokens", "LanguageModel", "Reconstructed"]


@dataclass(frozen=True, slots=True)
class GeneratedTokens:
    """What one row has gained by one step of generation (one block).

    Attributes:
        row: index of the prompt.
        tokens: the new token ids, end-of-text not included.
        finish: "end" after an end-of-text, "length" when the limit is reached, None to go on.

    Example:
        >>> GeneratedTokens(row=0, tokens=(17, 4, 90), finish=None).finish is None  # it goes on
        True
    """

    row: int
    tokens: tuple[int, ...]
    finish: str | None


@dataclass(frozen=True, slots=True)
class BlockCost:
    """What one block of generation costs.

    Attributes:
        evaluations: of the network, guidance branches and solver stages included.
        tokens: of the block, or None where their number varies.

    Example:
        >>> BlockCost(evaluations=16, tokens=32).tokens
        32
    """

    evaluations: int
    tokens: int | None = None


@dataclass(frozen=True)
class Reconstructed:
    """Rows through encoder (mode) and decoder (most probable tokens).

    Attributes:
        tokens: of each row, the decoded tokens, end-of-text not included.
        correct: (batch,) tokens that came back.
        counted: (batch,) tokens of the row.
        nll: (batch,) -log p(x | z) at the posterior's mode, nats.

    Example:
        >>> back = Reconstructed([[5, 7]], torch.tensor([2]), torch.tensor([2]), torch.zeros(1))
        >>> (back.correct.sum() / back.counted.sum()).item()  # reconstruction accuracy
        1.0
    """

    tokens: list[list[int]]
    correct: Tensor
    counted: Tensor
    nll: Tensor

    __repr__ = one_line


class LanguageModel(nn.Module, ABC):
    """A distribution over text: a latent model, or a baseline that needs no latents.

    Attributes:
        hidden: names of its hidden matrices, noted when its weights were new; None before.

    Example:
        >>> model = colaflex.load("runs/first").model
        >>> [stage.name for stage in model.stages()]
        ['representation', 'prior']
        >>> list(model.parts())
        ['segmenter', 'representation', 'prior']
    """

    hidden: frozenset[str] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {', '.join(self._made_of())}\n{super().__repr__()}"

    def _made_of(self) -> Iterator[str]:
        for name, part in self.parts().items():
            count = sum(p.numel() for p in part.parameters() if p.requires_grad)
            yield f"{name} {type(part).__name__} ({count:,} parameters)"

    @abstractmethod
    def stages(self) -> Sequence[Stage]:
        """The stages of training, in order."""

    @abstractmethod
    def parts(self) -> Mapping[str, nn.Module]:
        """Named parts whose parameters are counted separately.

        They share none, and together they hold all that learns; what only training looks at, such
        as a frozen reference, may be in none of them.
        """

    @abstractmethod
    def generate_tokens(
        self,
        prompts: Sequence[Sequence[int]],
        seed: int,
        max_new_tokens: int,
        latent_sampling: SamplingOptions,
        token_sampling: TokenSampling,
        earlier: Sequence[Sequence[int]] = (),
    ) -> Iterator[Sequence[GeneratedTokens]]:
        """Continue every prompt, block by block; a row never depends on its neighbours.

        The draws of a row are keyed by (seed, prompt, how many times the same prompt came before,
        in this call and among the `earlier` prompts).
        """

    def heard(self, length: int) -> int:
        """Of a prompt of so many tokens, how many are heard, from its end; all, by default."""
        return length

    @abstractmethod
    def reconstruct(self, tokens: TokenBatch) -> Reconstructed | None:
        """What comes back of whole rows through the latents; None where there are none."""

    @abstractmethod
    def log_likelihood(self, tokens: TokenBatch) -> Tensor | None:
        """(batch,) nats: exact, or a bound, as declared; None where there is none."""

    def log_weights(self, tokens: TokenBatch) -> Tensor | None:
        """(draws, batch) nats whose mean over the draws is `log_likelihood`."""
        found = self.log_likelihood(tokens)
        return None if found is None else found[None]

    def content_log_weights(self, tokens: TokenBatch) -> Tensor | None:
        """(draws, batch) nats: the same of a text drawn by a readout in one step from noise.

        The log of their mean weight is a bound as well. None where no readout draws text.
        """
        del tokens
        return None

    @property
    def weighs_draws(self) -> bool:
        """Whether the log of the draws' mean weight is a bound too: no weight is an estimate."""
        return False

    def likelihood_change(self, tokens: TokenBatch) -> Tensor | None:
        """(batch,) nats that log p gains on a finer integration; None where there is none."""
        del tokens
        return None

    def network_evaluations(self, options: SamplingOptions) -> BlockCost | None:
        """What a block costs, sampled so; None where that is not known beforehand."""
        del options
        return None
