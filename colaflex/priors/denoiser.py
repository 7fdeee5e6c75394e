"""The denoiser: a block-causal network, what lifts noisy latents to it, and what reads its states.

References:
    Elucidating the Design Space of Diffusion-Based Generative Models (Karras et al., 2022), for a
    denoiser as a network with what stands before and behind it, https://arxiv.org/abs/2206.00364.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from colaflex.interfaces.network import Network
from colaflex.interfaces.readout import Readout
from colaflex.priors.path import Masks, Predict, over_channels
from colaflex.priors.readout_calls import ReadoutCall

__all__ = ["LEAST_TIME", "SMALLEST_TIME", "Denoiser", "EstimateLift", "LatentLift"]

LEAST_TIME = 0.001
"""The smallest t that a predicted z0 is divided by at all; densities begin no earlier."""

SMALLEST_TIME = 0.02
"""Where z0 is predicted, samplers divide by no t smaller than this: they coast to the data.

Nor does a loss of velocities, whose weight 1 / t^2 would leave all else behind.
"""


class LatentLift(nn.Module):
    """Latents to the network's width, with a mark on the block that opens a document.

    Without the mark, a document's first block and the unconditional branch of guidance, which both
    have an empty history, would be one and the same to the network.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, width)
        self.opening = nn.Parameter(torch.zeros(width))

    @property
    def weight(self) -> Tensor:
        """Of the linear map; tells device and dtype."""
        return self.linear.weight

    def forward(self, latents: Tensor, opens: Tensor | None = None) -> Tensor:
        """(..., block, dim) -> (..., block, width).

        Args:
            latents: blocks of latents.
            opens: (...) bool, blocks that open a document.
        """
        lifted: Tensor = self.linear(latents)
        return lifted if opens is None else lifted + opens[..., None, None] * self.opening


class EstimateLift(nn.Module):
    """Lifts an estimate of the clean latents to the network's width; at first to 0, as if none.

    Attributes:
        guidance: g in g · with + (1 - g) · without an estimate when sampling; 1 is off.
    """

    def __init__(self, dim: int, width: int, guidance: float = 1.0) -> None:
        super().__init__()
        self.guidance = guidance
        self.linear = nn.Linear(dim, width, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, estimate: Tensor) -> Tensor:
        """(..., dim) -> (..., width)."""
        lifted: Tensor = self.linear(estimate)
        return lifted


class Denoiser(nn.Module):
    """Predicts, from noisy blocks and the clean ones before, which way the data is.

    Attributes:
        network: between `lift` and `head`.
        lift: noisy latents to the network's width; clean ones too, where there is no `reader`.
        head: states to predictions, zero at first; or a readout, which gives clean latents.
        reader: reads the history by what its latents stand for; None: the latents are read.
        recall: lifts an estimate of the clean latents (self-conditioning); None without.
        prediction: the velocity eps - z0 (or its average over a step), or the clean latents z0.
        time_scale: factor on the times that the network sees.

    Example:
        >>> from colaflex.priors.path import Masks
        >>> network = colaflex.build("network", "block_causal", width=16, layers=1, heads=2)
        >>> denoiser = Denoiser(network, latent_dim=8, prediction="x0")
        >>> masks = Masks.free(torch.ones(2, 3, 4, dtype=torch.bool))
        >>> predict = denoiser.predictor(denoiser.past(torch.zeros(2, 3, 4, 8)), masks)
        >>> predict(torch.zeros(2, 3, 4, 8), torch.full((2, 3, 1), 0.5)).shape
        torch.Size([2, 3, 4, 8])
    """

    reader: nn.Module | None
    recall: EstimateLift | None

    def __init__(
        self,
        network: Network,
        latent_dim: int,
        prediction: Literal["velocity", "x0"] = "velocity",
        time_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.network, self.prediction, self.time_scale = network, prediction, time_scale
        self.lift = LatentLift(latent_dim, network.width)
        self.head: nn.Module = nn.Linear(network.width, latent_dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_module("reader", None)
        self.register_module("recall", None)

    @property
    def readout(self) -> Readout | None:
        """The head, where clean latents are predicted through a readout."""
        return self.head if isinstance(self.head, Readout) else None

    @property
    def knows_clean(self) -> bool:
        """Whether clean latents are what the network gives, so that velocities divide by t."""
        return self.prediction == "x0" or self.readout is not None

    # History.

    def past(self, history: Tensor) -> Any:
        """The network's history of a batch; its last block is history to nobody.

        Args:
            history: (batch, blocks, block, any), clean latents or what they stand for.
        """
        clean = self.read(history[:, :-1])
        return self.network.commit(clean, self.network.begin(clean.shape[0], clean))

    def read(self, blocks: Tensor) -> Tensor:
        """(batch, blocks, block, width): blocks as the history has them."""
        read: Tensor = (self.lift if self.reader is None else self.reader)(blocks)
        return read

    # Predictions.

    def predictor(
        self,
        past: Any,
        masks: Masks,
        condition: Tensor | None = None,
        call: ReadoutCall | None = None,
    ) -> Predict:
        """The prediction of all blocks at any points and times.

        Args:
            past: from `past`.
            masks: pinned positions are at time 0, and blind rows see no history.
            condition: (samples · batch, blocks, block, width), added to the lifted points.
            call: of the readout, each time.
        """
        pinned = masks.pinned if bool(masks.pinned.any()) else None
        blind = masks.blind if bool(masks.blind.any()) else None
        opens = masks.opening()

        def predict(points: Tensor, times: Tensor) -> Tensor:
            times = self.time_scale * times
            lifted = self.lifted(points, opens, condition)
            states = self.network.parallel(lifted, times, past, pinned, blind)
            return self.predicted(self._output(states, call), points, times)

        return predict

    def alone(
        self, points: Tensor, times: Tensor, pinned: Tensor, call: ReadoutCall | None = None
    ) -> Tensor:
        """The prediction of every block without history, (rows, blocks, block, dim).

        Args:
            points: of that shape.
            times: (rows, blocks, n_times), or (1, 1, n_times).
            pinned: (rows, blocks, block) bool.
            call: of the readout.
        """
        times = (self.time_scale * times).flatten(0, 1)[:, None]
        if bool(pinned.any()):
            times = torch.where(pinned.flatten(0, 1)[..., None], 0.0, times)
        blocks = points.flatten(0, 1)
        output = self._output(self.network(self.lift(blocks), times, None), call)
        return self.predicted(output, blocks, times).view_as(points)

    def lifted(self, points: Tensor, opens: Tensor | None, condition: Tensor | None) -> Tensor:
        """(..., block, width): noisy points as the network reads them."""
        lifted: Tensor = self.lift(points, opens)
        return lifted if condition is None else lifted + condition

    def _output(self, states: Tensor, call: ReadoutCall | None) -> Tensor:
        if call is not None and isinstance(self.head, Readout):
            return call.read(self.head, states)
        output: Tensor = self.head(states)
        return output

    # What a prediction means.

    def predicted(self, output: Tensor, points: Tensor, times: Tensor) -> Tensor:
        """The prediction, by what the head gives: a readout gives clean latents.

        Args:
            output: (..., block, dim).
            points: of that shape.
            times: scaled, (..., blocks or 1, n_times) of blocks, or (rows or 1, block or 1,
                n_times).
        """
        output = output.to(points.dtype)
        if self.readout is None or self.prediction == "x0":
            return output
        t = self.noise_time(times)
        return _towards(points, output, t[..., None] if points.ndim > times.ndim else t)

    def noise_time(self, times: Tensor) -> Tensor:
        """(..., 1): the time t of the points, of the scaled times that the network sees."""
        return times[..., :1] / self.time_scale

    def clean(self, prediction: Tensor, points: Tensor, times: Tensor) -> Tensor:
        """The clean latents that a prediction means; times as in `over_channels`."""
        if self.prediction == "x0":
            return prediction
        return points - over_channels(times, points) * prediction

    def velocity(self, prediction: Tensor, points: Tensor, times: Tensor) -> Tensor:
        """The velocity that a prediction means; times broadcast to points."""
        return prediction if self.prediction == "velocity" else _towards(points, prediction, times)

    # Model FLOPs.

    def past_flops(self, latents: int) -> int:
        """Of reading so many latents of history."""
        if self.reader is None:
            return 2 * latents * self.lift.linear.weight.numel()
        layers = (m for m in self.reader.modules() if isinstance(m, nn.Linear))
        return 2 * latents * sum(layer.weight.numel() for layer in layers)

    def end_flops(self, latents: int) -> int:
        """Of lifting so many noisy latents, and of the head on their states."""
        lift = 2 * latents * self.lift.linear.weight.numel()
        return lift + (lift if self.readout is None else self.readout.flops(latents))

    def content_flops(self, batch: int, segments: int) -> int:
        """What teaching a readout its content takes in a noising, beyond its latents."""
        head = self.readout
        if head is None:
            return 0
        return head.taught_flops(batch, segments) - 3 * head.flops(batch * segments)

    def forward_flops(
        self, batch: int, blocks: int, block: int, times: int | None = None
    ) -> tuple[int, int]:
        """Of the history's pass, and of one forward pass of one noising.

        Args:
            batch: documents.
            blocks: of each.
            block: latents of a block.
            times: distinct times of a document's noising; None is one a block.
        """
        once = self.network.flops(batch, blocks, block, 1, times)
        noisy = self.network.flops(batch, blocks, block, 2, times) - once
        head = 0 if self.readout is None else self.readout.flops(batch * blocks * block)
        return once - noisy, noisy + head


def _towards(points: Tensor, clean: Tensor, times: Tensor) -> Tensor:
    """The velocity along a straight line to the clean latents.

    Of average velocities as well: their ends then move along one line to the data.
    """
    return (points - clean) / times.clamp(min=LEAST_TIME)
