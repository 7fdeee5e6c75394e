"""Gaussian prior: each block is Gaussian, its mean linear in the latents before it.

The sums that determine it are gathered while training, and the conditional is their closed form:
the Cholesky factor of the moments of features and block holds regression and covariance.

References:
    Pattern Recognition and Machine Learning (Bishop, 2006), sections 2.3 and 3.3;
    Prequential analysis (Dawid, 1984), https://doi.org/10.2307/2981683, for the loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch import distributed as dist

from colaflex.interfaces.component import Builder
from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.interfaces.one_line import one_line
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known, Prior
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.density_config import GaussianConfig

__all__ = ["Conditional", "Gaussian"]


@dataclass(frozen=True, slots=True)
class Conditional:
    """N(weight · features, root rootᵀ), index 0 for the block that opens a document, 1 for others.

    Attributes:
        weight: (2, block · dim, features).
        root: (2, block · dim, block · dim), lower triangular.
    """

    weight: Tensor
    root: Tensor

    __repr__ = one_line

    def mean(self, features: Tensor, opens: Tensor) -> Tensor:
        """(rows, features), (rows,) bool -> (rows, block · dim)."""
        first, later = (features @ weight.T for weight in self.weight)
        return torch.where(opens[:, None], first, later)

    def coloured(self, noise: Tensor, opens: Tensor) -> Tensor:
        """Standard-normal noise (rows, block · dim) with the covariance of each row's block."""
        first, later = (noise @ root.T for root in self.root)
        return torch.where(opens[:, None], first, later)

    def log_prob(self, residual: Tensor, opens: Tensor) -> Tensor:
        """(rows,) log density in nats of block minus mean, (rows, block · dim)."""
        first, later = (
            -0.5 * torch.linalg.solve_triangular(root, residual.T, upper=False).square().sum(0)
            - root.diagonal().log().sum()
            for root in self.root
        )
        constant = 0.5 * residual.shape[1] * math.log(2 * math.pi)
        return torch.where(opens, first, later) - constant

    def log_prob_of(self, residual: Tensor, opens: Tensor, chosen: Tensor) -> Tensor:
        """(rows,) log density of some of the channels, (rows, block · dim) bool, of each row."""
        covariance = _among(self.covariance(opens), chosen)
        root = torch.linalg.cholesky(covariance)
        white = torch.linalg.solve_triangular(root, (residual * chosen)[..., None], upper=False)
        normal = white.square().sum((1, 2)) + chosen.to(white.dtype).sum(1) * math.log(2 * math.pi)
        density: Tensor = -0.5 * normal - root.diagonal(dim1=1, dim2=2).log().sum(1)
        return density

    def pinned(self, drawn: Tensor, opens: Tensor, values: Tensor, known: Tensor) -> Tensor:
        """Samples of a block turned into samples given the known channels (Matheron's rule).

        Args:
            drawn: (rows, block · dim), samples of the whole block.
            opens: (rows,) bool.
            values: (rows, block · dim), read where known.
            known: (rows, block · dim) bool.
        """
        covariance = self.covariance(opens)
        wrong = torch.where(known, values - drawn, 0.0)[..., None]
        moved = covariance @ torch.linalg.solve(_among(covariance, known), wrong)
        return torch.where(known, values, drawn + moved[..., 0])

    def covariance(self, opens: Tensor) -> Tensor:
        """(rows, block · dim, block · dim)."""
        both: Tensor = self.root @ self.root.mT
        return both[(~opens).long()]


def _among(covariance: Tensor, chosen: Tensor) -> Tensor:
    """Covariances of the chosen channels; the identity among the others."""
    both = chosen[:, :, None] & chosen[:, None, :]
    identity = torch.eye(chosen.shape[1], dtype=covariance.dtype, device=covariance.device)
    return torch.where(both, covariance, identity)


@dataclass(frozen=True, slots=True)
class Prefix:
    """What stands before the next block.

    Attributes:
        window: (rows, context, dim), the last latents; zeros before the document's start.
        lengths: (rows,) latents committed.
        conditional: of the next block.
    """

    window: Tensor
    lengths: Tensor
    conditional: Conditional

    __repr__ = one_line


class Gaussian(Prior):
    """p(block | context) = N(W · features, Σ), the features the window, what it lacks, and 1.

    Fitted to the moments of all batches whose loss was differentiated, so that batches may be split
    in any way, and to `ridge` pseudo-observations of N(0, I). What the optimizer learns is their
    number: a batch's loss is its negative log density under what earlier batches determine.
    """

    settled: Tensor
    fresh: Tensor

    def __init__(self, config: GaussianConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__()
        del build
        self.config, self.latent_dim, self.block_size = config, latent_dim, config.block_size
        self.features = 1 + config.context * (1 + latent_dim)
        self.log_ridge = nn.Parameter(torch.full((1,), math.log(config.ridge)))
        size = self.features + self.block_size * latent_dim
        for name in ("settled", "fresh"):
            self.register_buffer(name, torch.zeros(2, size, size, dtype=torch.float64))

    # Training.

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def losses(self, latents: LatentBatch, noise: Noise | None = None) -> Losses:
        """One term, "nll": negative log density under the batches before, nats per latent.

        Its backward pass takes the batch into the moments.
        """
        del noise
        if self.log_ridge.grad is None:  # the gradients of the batches gathered have been used
            self._settle()
        density = self._log_prob(latents, self._solve(self.settled))
        total = -density.sum().to(latents.values.dtype)
        if total.requires_grad:
            moments = self._moments(latents)
            total.register_hook(lambda gradient: self._gather(moments))
        # Per channel, as other priors' losses are, where it is weighed against the representation.
        return {"nll": LossTerm(total, "latents", 1.0 / self.latent_dim)}

    def _gather(self, moments: Tensor) -> None:
        self.fresh += moments

    @torch.no_grad()
    def _settle(self) -> None:
        """The batches of a finished step join those before; nothing where there are none."""
        if bool(self.fresh[:, 0, 0].any()):
            self.settled.copy_(self._gathered())
            self.fresh.zero_()

    def _gathered(self) -> Tensor:
        """Moments of all batches so far, the last step's among them."""
        memory = self.config.memory
        if memory == "all" or not bool(self.fresh[:, 0, 0].any()):
            return self.settled + self.fresh
        return self.settled * math.exp(-1 / memory) + self.fresh

    def _solve(self, moments: Tensor) -> Conditional:
        """Ridge regression on the features, from the Cholesky factor of all moments."""
        ridge = self.log_ridge.to(moments.dtype).exp()
        identity = torch.eye(moments.shape[-1], dtype=moments.dtype, device=moments.device)
        root = torch.linalg.cholesky(moments + ridge * identity)
        n = self.features
        weight = torch.linalg.solve_triangular(
            root[:, :n, :n], root[:, n:, :n], upper=False, left=False
        )
        spread = root[:, n:, n:]
        if self.config.covariance == "diagonal":
            spread = torch.diag_embed(spread.square().sum(2).sqrt())
        count = moments[:, :1, :1] + ridge
        return Conditional(weight, spread * count.rsqrt())

    @torch.no_grad()
    def _moments(self, latents: LatentBatch) -> Tensor:
        """Sums of products of features and block, over blocks of learned latents, by `opens`."""
        features, opens, blocks = self._rows(latents.values)
        learned = latents.mask.reshape(len(blocks), -1).all(1)
        joint = torch.cat([features, blocks.flatten(1)], 1)
        rows = (joint[learned & opens], joint[learned & ~opens])
        moments = torch.stack([part.T @ part for part in rows])
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(moments)
        return moments

    def _rows(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features, whether it opens the document, and latents of every block, document-major."""
        context, values = self.config.context, values.to(self.settled.dtype)
        starts = torch.arange(0, values.shape[1], self.block_size, device=values.device)
        # The history carries no gradient to the encoder, as in other priors.
        padded = nn.functional.pad(values.detach(), (0, 0, context, 0))
        index = starts[:, None] + torch.arange(context, device=values.device)
        windows = padded[:, index].flatten(0, 1)
        blocks = values.unflatten(1, (-1, self.block_size)).flatten(0, 1)
        lengths = starts.repeat(len(values))
        return self._features(windows, lengths), lengths == 0, blocks

    def _features(self, windows: Tensor, lengths: Tensor) -> Tensor:
        """(rows, features): 1, which latents of the window do not exist, and the window."""
        context = self.config.context
        missing = torch.arange(context, device=lengths.device) < context - lengths[:, None]
        windows = windows.to(self.settled.dtype)
        one = windows.new_ones(len(windows), 1)
        return torch.cat([one, missing.to(windows.dtype), windows.flatten(1)], 1)

    def training_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one step: moments, closed form, and density of a batch."""
        rows = batch * (segments // self.block_size)
        size = self.settled.shape[-1]
        block = size - self.features
        density = 4 * rows * block * self.features + 2 * rows * block * block
        return 2 * rows * size * size + 3 * (2 * size**3 // 3 + density)

    # Density.

    def log_prob(self, latents: LatentBatch) -> Tensor:
        """(batch,) log density of the learned latents in nats, others before them given."""
        return self._log_prob(latents, self._solve(self._gathered())).to(latents.values.dtype)

    def _log_prob(self, latents: LatentBatch, conditional: Conditional) -> Tensor:
        mask = latents.mask
        # What is known is history as well, and carries no gradient to the encoder.
        values = torch.where(mask[..., None], latents.values, latents.values.detach())
        features, opens, blocks = self._rows(values)
        # Known is what stands before a learned latent; what stands behind them all is nothing.
        known = ~mask & mask.flip(1).cumsum(1).flip(1).bool()
        residual = blocks.flatten(1) - conditional.mean(features, opens)
        learned, known = (
            part.reshape(len(blocks), -1).repeat_interleave(self.latent_dim, 1)
            for part in (mask, known)
        )
        residual = torch.where(learned | known, residual, 0.0)
        whole = learned.all(1)
        density = torch.where(whole, conditional.log_prob(residual, opens), 0.0)
        some = (learned.any(1) & ~whole).nonzero()[:, 0]
        if len(some):
            part, first = residual[some], opens[some]
            both = conditional.log_prob_of(part, first, (learned | known)[some])
            density = density.index_add(0, some, both)
            density = density.index_add(0, some, -conditional.log_prob_of(part, first, known[some]))
        return density.view(len(mask), -1).sum(1)

    # Sampling.

    def begin(self, rows: int) -> Prefix:
        """An empty prefix, and the conditional that the moments so far determine."""
        like = self.settled
        window = like.new_zeros(rows, self.config.context, self.latent_dim)
        lengths = torch.zeros(rows, dtype=torch.int64, device=like.device)
        with torch.no_grad():
            return Prefix(window, lengths, self._solve(self._gathered()))

    def commit(self, state: Prefix, latents: Tensor, counts: Tensor | None = None) -> Prefix:
        """Append clean latents to the prefix."""
        if counts is None:
            counts = torch.full_like(state.lengths, latents.shape[1])
        joined = torch.cat([state.window, latents.to(state.window.dtype)], 1)
        offset = torch.arange(self.config.context, device=counts.device)
        index = (counts[:, None] + offset)[..., None].expand(-1, -1, self.latent_dim)
        return Prefix(joined.gather(1, index), state.lengths + counts, state.conditional)

    def select(self, state: Prefix, rows: Tensor) -> Prefix:
        """The prefix of some of the rows."""
        return Prefix(state.window[rows], state.lengths[rows], state.conditional)

    @torch.no_grad()
    def sample_block(
        self,
        state: Prefix,
        noise: SampleNoise,
        options: SamplingOptions,
        known: Known | None = None,
    ) -> Tensor:
        """Draw the block, given the known positions where there are any."""
        del options
        opens, conditional = state.lengths == 0, state.conditional
        drawn = noise.normal("gaussian", (self.block_size, self.latent_dim), state.window)
        mean = conditional.mean(self._features(state.window, state.lengths), opens)
        block = mean + conditional.coloured(drawn.flatten(1), opens)
        if known is not None:
            pinned = known.mask.repeat_interleave(self.latent_dim, 1)
            block = conditional.pinned(block, opens, known.values.flatten(1).to(block), pinned)
        return block.view_as(drawn).to(self.log_ridge.dtype)

    def network_evaluations(self, options: SamplingOptions) -> int | None:
        """One evaluation of the linear map."""
        del options
        return 1
