"""Minibatch optimal transport by torchcfm.

Source: Improving and generalizing flow-based generative models with minibatch optimal transport
(Tong et al., 2023), https://arxiv.org/abs/2302.00482.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchcfm.optimal_transport import OTPlanSampler

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.solver import Coupling
from colaflex_torchcfm.config import TorchCFMTransportConfig

__all__ = ["TorchCFMTransport"]


class TorchCFMTransport(Coupling):
    """Rows of noise are given to rows of data along the plan of least squared distance."""

    def __init__(self, config: TorchCFMTransportConfig) -> None:
        self.config = config
        self.sampler = OTPlanSampler(
            config.method,
            reg=config.regularisation,
            normalize_cost=config.method == "sinkhorn",
        )

    def pair(self, data: Tensor, noise: Tensor, mask: Tensor, draws: Noise) -> Tensor:
        """The noise, by rows of the plan; positions that don't count cost the same everywhere."""
        counted = (data.detach() * mask[..., None]).float()
        plan = torch.as_tensor(self.sampler.get_map(counted, noise.float()), device=data.device)
        if self.config.method == "exact":
            return noise[plan.argmax(1)]  # between equally many points the plan is a permutation
        places = draws.uniform("torchcfm_ot", (len(data), 1), plan) * plan.sum(1, keepdim=True)
        chosen = torch.searchsorted(plan.cumsum(1), places).flatten()
        return noise[chosen.clamp(max=len(noise) - 1)]
