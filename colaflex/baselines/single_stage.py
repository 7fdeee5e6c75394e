"""Base of baselines that learn all their weights in one stage."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.losses import Counts, Losses
from colaflex.interfaces.stage import ParameterGroup, Stage, StageStep
from colaflex.interfaces.values import TokenBatch, Vocabulary

__all__ = ["SingleStageBaseline"]


class SingleStageBaseline(LanguageModel):
    """A language model without latents, trained in the one stage `baseline`.

    Attributes:
        vocabulary: the token ids it deals in.

    Example:
        >>> from colaflex.interfaces.values import Vocabulary
        >>> sizes = {"width": 16, "layers": 1, "heads": 2, "vocabulary": Vocabulary(300, 256, 257)}
        >>> model = colaflex.build("baseline", "autoregressive", **sizes)
        >>> isinstance(model, SingleStageBaseline), [stage.name for stage in model.stages()]
        (True, ['baseline'])
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vocabulary = vocabulary

    @abstractmethod
    def losses(self, batch: TokenBatch, step: StageStep) -> Losses:
        """Loss terms of a batch: sums over its rows."""

    @abstractmethod
    def training_flops(self, batch: TokenBatch) -> int:
        """Model FLOPs of one training step."""

    def stages(self) -> Sequence[Stage]:
        """One stage, `baseline`, in which every weight learns."""
        return [BaselineStage(self)]

    def reconstruct(self, tokens: TokenBatch) -> None:
        """Nothing: there are no latents."""
        del tokens


class BaselineStage(Stage):
    """The one stage of a baseline.

    Args:
        model: all of which learns.
    """

    name = settings = "baseline"

    def __init__(self, model: SingleStageBaseline) -> None:
        self.model = model
        self.groups = [ParameterGroup("baseline", list(model.parameters()))]

    def counts(self, batch: TokenBatch) -> Counts:
        """Tokens, end-of-text of complete rows included, and rows; no latents."""
        return {"tokens": int(batch.lengths.sum()), "latents": 0, "rows": len(batch.lengths)}

    def flops(self, batch: TokenBatch) -> int:
        """The baseline's."""
        return self.model.training_flops(batch)

    def losses(self, batch: TokenBatch, step: StageStep) -> Losses:
        """The baseline's."""
        return self.model.losses(batch, step)
