"""Flow matching: regress the velocity of straight paths between noise and latents.

References:
    Flow Matching for Generative Modeling (Lipman et al., 2023), https://arxiv.org/abs/2210.02747;
    Cola DLM (2026), eq. 2.1.7, https://arxiv.org/abs/2605.06548.
"""

from __future__ import annotations

import torch
from torch import Tensor

from colaflex.interfaces.values import LatentBatch
from colaflex.priors.density_start import density_start, probe
from colaflex.priors.flow import FlowPrior, Path, Predict
from colaflex.priors.flow_matching_config import FlowMatchingConfig
from colaflex.priors.likelihood import Integration, block_directions, log_density
from colaflex.priors.path_prior import LEAST_TIME

__all__ = ["FlowMatching"]


class FlowMatching(FlowPrior):
    """E ||v(z_t, t; history) - (eps - z0)||^2, or the same for z0, mean over channels."""

    config: FlowMatchingConfig

    def objective(self, path: Path, predict: Predict) -> Tensor:
        """Squared error of the prediction at every position."""
        return self.matching_error(path, predict)

    def log_prob(self, latents: LatentBatch) -> Tensor:
        """(batch,) log density in nats of the unguided flow, to the solver's precision.

        Each block's is given the blocks before it. Latents outside the mask that stand in a block
        with latents inside are conditioned on.
        """
        return self._integrated(latents, self.config.likelihood_steps, self.density_start())

    def density_change(self, latents: LatentBatch) -> Tensor:
        """(batch,) nats that `log_prob` gains on twice as many steps."""
        steps, first = self.config.likelihood_steps, self.density_start()
        finer = self._integrated(latents, 2 * steps, first)
        return finer - self._integrated(latents, steps, first)

    @torch.no_grad()
    def _integrated(self, latents: LatentBatch, steps: int, first: float) -> Tensor:
        data, counted = self.blocks(latents.values), self.blocks(latents.mask)
        batch, blocks = data.shape[:2]
        path = Path(
            data=data,
            noise=data,
            times=data.new_zeros(batch, blocks),
            pinned=unlearned(counted),
            counted=counted,
            blind=torch.zeros(batch, dtype=torch.bool, device=data.device),
        )
        exact = self.config.divergence == "exact"
        direction = None if exact else block_directions(data)
        integration = Integration(steps, direction, first=first)
        density = self.path_density(self.history(latents), path, integration)
        return torch.where(counted.any(-1), density, 0.0).sum(1)

    @torch.no_grad()
    def density_start(self) -> float:
        """The time that stands for the data's: 0, or more where z0 is predicted."""
        if not self.knows_clean:
            return 0.0
        path = probe((self.block_size, self.latent_dim), self.lift.weight)
        nothing = self.network.begin(len(path.data), self.lift.weight)
        predict = self.predictor(path.data, path, self.trained, past=nothing)
        if self.config.prediction == "x0":
            return density_start(path, predict)

        def clean(points: Tensor, times: Tensor) -> Tensor:
            return points - times[..., None].clamp(min=LEAST_TIME) * predict(points, times)

        return density_start(path, clean)

    def path_density(self, history: Tensor, path: Path, integration: Integration) -> Tensor:
        """(batch, blocks) nats: log p of each block's positions that are not pinned.

        Args:
            history: (batch, blocks, block, any), see `history`.
            path: its data, pinned positions and blind rows hold; one noising.
            integration: how.
        """
        predict = self.predictor(history, path, self.trained)
        held = path.pinned[..., None]

        def velocity(time: Tensor, points: Tensor) -> Tensor:
            times = torch.atleast_2d(time.to(points.dtype))[..., None]
            moved = self.as_velocity(predict(points, times), points, times[..., None])
            return torch.where(held, 0.0, moved)

        return log_density(velocity, path.held(path.data), ~path.pinned, integration)


def unlearned(counted: Tensor) -> Tensor:
    """(..., block) bool: positions that do not count, in blocks with positions that do."""
    return ~counted & counted.any(-1, keepdim=True)
