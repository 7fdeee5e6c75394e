"""Flow matching: regress the velocity of straight paths between noise and latents.

References:
    Flow Matching for Generative Modeling (Lipman et al., 2023), https://arxiv.org/abs/2210.02747;
    Cola DLM (2026), eq. 2.1.7, https://arxiv.org/abs/2605.06548.
"""

from __future__ import annotations

from torch import Tensor

from colaflex.priors.flow import FlowPrior, Path, Predict

__all__ = ["FlowMatching"]


class FlowMatching(FlowPrior):
    """E ||v(z_t, t; history) - (eps - z0)||^2, or the same for z0, mean over channels."""

    def objective(self, path: Path, predict: Predict) -> Tensor:
        """Squared error of the prediction at every position."""
        predicted = predict(path.point(), path.times[..., None])
        target = path.velocity() if self.config.prediction == "velocity" else path.data
        return (predicted - target).square().mean(-1)
