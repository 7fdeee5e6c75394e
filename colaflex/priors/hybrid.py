"""Hybrid prior: for each latent a code, sampled first, and a flow for what the code leaves.

References:
    Cola DLM (2026), the hybrid continuous-discrete latents of its outlook,
    https://arxiv.org/abs/2605.06548.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from colaflex.interfaces.component import Builder
from colaflex.interfaces.conformance import Conformance
from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.codebook import Codebook, CodeModel
from colaflex.priors.flow import FlowPrior
from colaflex.priors.flow_config import HybridConfig
from colaflex.priors.path import Masks

__all__ = ["Hybrid"]


class Hybrid(FlowPrior):
    """z_i = e(c_i) + r_i: p(c | history) over a block's codes, then p(r | c, history) by a flow.

    The codes of a block are drawn one after the other, the residuals together. One network, over
    one history, serves both; where it is asked for codes, positions hold a question, at t = 1.
    """

    config: HybridConfig
    conformance: ClassVar[Conformance] = Conformance(options={"codes": 8, "code_layers": 1})

    def __init__(self, config: HybridConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__(config, latent_dim=latent_dim, build=build)
        width = self.network.width
        self.codebook = Codebook(config.codes, latent_dim)
        self.code_model = CodeModel(config.codes, width, config.code_layers)
        self.told = nn.Embedding(config.codes, width)  # so named in checkpoints
        self.question = nn.Parameter(torch.randn(width))

    # Training.

    def losses(self, latents: LatentBatch, noise: Noise | None = None) -> Losses:
        """Terms "code", "flow" (of the residuals), "codebook", and "code_entropy".

        "code" is -log p(c) in nats per latent; "codebook" pulls the entries to the latents;
        "code_entropy", that of the codes' overall frequencies in nats, teaches nothing but
        these, and "code" falls short of it by what history tells.
        """
        noise = noise or Noise(0)
        values = latents.values
        codes = self.codebook.nearest(values) if latents.code is None else latents.code
        residuals = latents.with_values(values - self.codebook(codes))
        path = self.draw_path(residuals, noise, self.config.noisings)
        past, by_block = self.denoiser.past(self.history(latents)), self.blocks(codes)
        condition = self.told(by_block).repeat(self.config.noisings, 1, 1, 1)
        flow = self.objective(path, self.denoiser.predictor(past, path.masks, condition))
        once = path.masks.rows(torch.arange(len(values), device=values.device))
        clean = self.blocks(latents.values.detach())
        surprise = -self._code_log_probs(clean, past, once, by_block)
        mask = latents.mask
        return {
            "code": self.flow_term(
                surprise, once, latents, noise, self.config.code_weight / self.latent_dim
            ),
            "flow": self.flow_term(flow, path.masks, latents, noise),
            "codebook": _over(self.codebook.distortion(values), mask),
            "code_entropy": _over(self.codebook.surprise(codes), mask),
        }

    def _code_log_probs(self, clean: Tensor, past: Any, masks: Masks, codes: Tensor) -> Tensor:
        """(batch, blocks, block) nats of the codes, given pinned latents and those before."""
        queries = self._queries(clean, masks.pinned, masks.opening())
        times = queries.new_ones(1, 1, self.n_times)
        blind = masks.blind if bool(masks.blind.any()) else None
        pinned = masks.pinned if bool(masks.pinned.any()) else None
        states = self.network.parallel(queries, times, past, pinned, blind)
        return self.code_model.log_probs(states, codes)

    def _queries(self, values: Tensor, known: Tensor, opens: Tensor | None) -> Tensor:
        """Known latents lifted, and the question in place of all others."""
        lifted: Tensor = self.lift(torch.where(known[..., None], values, 0.0), opens)
        return lifted + torch.where(known[..., None], 0.0, self.question)

    def training_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one step; the nearest entries are looked for once, codes at one time."""
        _, noisy = self.forward_flops(batch, segments, 1)
        blocks = batch * segments // self.block_size
        lift = 2 * batch * segments * self.lift.weight.numel()
        codes = self.code_model.flops(blocks, self.block_size)
        nearest = 2 * batch * segments * self.codebook.places.numel()
        return self.matching_flops(batch, segments) + 3 * (noisy + lift + codes + nearest)

    def one_step(self, latents: LatentBatch, noise: Noise) -> None:
        """None: its flow expects what a code leaves of latents, and the code is drawn."""
        del latents, noise

    # Sampling.

    @torch.no_grad()
    def sample_block(
        self, state: Any, noise: SampleNoise, options: SamplingOptions, known: Known | None = None
    ) -> Tensor:
        """Codes by keyed draws, then residuals along the field; see `Prior.sample_block`."""
        codes = self._sample_codes(state, noise, options.guidance, known)
        entries, residual = self.codebook(codes), known
        if known is not None:
            residual = Known(known.values - entries, known.mask)
        block = entries + self.descended(state, noise, options, residual, self.told(codes))
        return block if known is None else torch.where(known.mask[..., None], known.values, block)

    def _sample_codes(
        self, state: Any, noise: SampleNoise, guidance: float, known: Known | None
    ) -> Tensor:
        """(rows, block): codes of the next block, those of known latents the nearest."""
        weight, opens = self.lift.weight, state.lengths == 0
        shape = (len(opens), self.block_size)
        if known is None:
            known = Known(weight.new_zeros(*shape, self.latent_dim), opens.new_zeros(shape))
        times = torch.where(known.mask, 0.0, 1.0)[..., None].to(weight)
        times = times.expand(-1, -1, self.n_times)
        queries = self._queries(known.values, known.mask, opens)
        states = [self.network(queries, times, state.history)]
        guided = torch.where(opens, 1.0, guidance)
        if not bool((guided == 1).all()):
            free = self._queries(known.values, known.mask, None)
            states.append(self.network(free, times, None))
        return self.code_model.sample(
            torch.stack(states),
            noise.uniform("code", (self.block_size,), weight),
            self.codebook.nearest(known.values),
            known.mask,
            guided[:, None],
        )

    def network_evaluations(self, options: SamplingOptions) -> int | None:
        """The flow's, and one for the codes, times guidance branches.

        Beside these, the small model of the codes runs once for each latent of the block.
        """
        flow = super().network_evaluations(options)
        branches = 1 if options.guidance == 1.0 else 2
        return None if flow is None else flow + branches


def _over(per_position: Tensor, mask: Tensor) -> LossTerm:
    return LossTerm(torch.where(mask, per_position, 0.0).sum(), "latents")
