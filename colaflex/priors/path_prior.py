"""Base of the priors that learn on paths between noise and data: blocks, history, conditioning.

What the network's prediction means, and how a sample is made of it, the derived classes say.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from colaflex.interfaces.component import Builder
from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.network import Network
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known, Prior
from colaflex.interfaces.solver import Coupling, VelocityField
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.path_config import PathPriorConfig, Schedule
from colaflex.priors.paths import Path, Predict
from colaflex.priors.prefix import LatentLift, Prefix

__all__ = ["Draw", "PathPrior"]

Draw = Callable[[int], Tensor]
"""(k) -> standard-normal points for the k-th step of a sampler, pinned positions clean."""


class PathPrior(Prior):
    """Block-causal prior given by a field of velocities along paths from noise to data."""

    n_times: ClassVar[int] = 1

    def __init__(self, config: PathPriorConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__()
        self.config, self.latent_dim, self.block_size = config, latent_dim, config.block_size
        self.network: Network = build(config.network, n_times=self.n_times)
        self.coupling: Coupling = build(config.coupling)
        self.lift = LatentLift(latent_dim, self.network.width)
        self.head = nn.Linear(self.network.width, latent_dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    # Training.

    def objective(self, path: Path, predict: Predict) -> Tensor:
        """The loss of every position, (samples · batch, blocks, block); here, flow matching.

        Args:
            path: points between data and noise.
            predict: the network's prediction, given the batch's history.
        """
        predicted = predict(path.point(), path.times[..., None])
        error: Tensor = (predicted - path.velocity()).square().mean(-1)
        return error

    def losses(self, latents: LatentBatch, noise: Noise | None = None) -> Losses:
        """One term, "flow": the objective, mean over channels, per latent."""
        noise = noise or Noise(0)
        path = self.draw_path(latents, noise, self.config.noisings)
        predict = self.predictor(self.history(latents), path, self.trained)
        return {"flow": self.flow_term(self.objective(path, predict), path, latents, noise)}

    def history(self, latents: LatentBatch) -> Tensor:
        """(batch, blocks, block, dim) clean latents, which carry no gradient to the encoder.

        As in Cola DLM, section 2.2.3.
        """
        return self.blocks(latents.values.detach())

    def flow_term(
        self,
        per_position: Tensor,
        path: Path,
        latents: LatentBatch,
        noise: Noise,
        weight: float = 1.0,
    ) -> LossTerm:
        """A loss over all counted positions of all noisings; `noise` drew the path."""
        total = torch.where(path.counted, per_position, 0.0).sum()
        share = path.data.shape[0] / latents.values.shape[0] * self.free_share(noise)
        return LossTerm(total / share, "latents", weight)

    def free_share(self, noise: Noise) -> float:
        """Expected share of positions that are not pinned in this step, known beforehand."""
        # Of a pinned block, 0 to block - 1 positions do not count.
        return 1.0 - noise.in_some_steps(self.config.pinned_blocks) * (self.block_size - 1) / (
            2 * self.block_size
        )

    @property
    def trained(self) -> Mapping[str, nn.Module]:
        """The modules that give the prediction: network, lift and head."""
        return {"network": self.network, "lift": self.lift, "head": self.head}

    def blocks(self, values: Tensor) -> Tensor:
        """(batch, segments, ...) -> (batch, blocks, block, ...)."""
        blocks: Tensor = values.unflatten(1, (-1, self.block_size))
        return blocks

    def past(self, history: Tensor, modules: Any) -> Any:
        """The network's history of a batch; its last block is history to nobody."""
        clean = modules["lift"](history[:, :-1])
        network = modules["network"]
        return network.commit(clean, network.begin(clean.shape[0], clean))

    def opening(self, path: Path) -> Tensor:
        """(samples · batch, blocks) bool: blocks that open a document, and know it."""
        opens = torch.zeros(path.data.shape[:2], dtype=torch.bool, device=path.data.device)
        opens[:, 0] = ~path.blind
        return opens

    def predictor(
        self,
        history: Tensor,
        path: Path,
        modules: Any,
        told: Tensor | None = None,
        past: Any = None,
    ) -> Predict:
        """The prediction of some modules at any points and times, given the batch's history.

        Args:
            history: (batch, blocks, block, dim) clean latents.
            path: its pinned positions and blind rows hold.
            modules: network, lift and head.
            told: (samples · batch, blocks, block, width), what is added to the lifted points.
            past: of `history`, where it is there already.
        """
        pinned = path.pinned if bool(path.pinned.any()) else None
        blind = path.blind if bool(path.blind.any()) else None
        network, lift, head = modules["network"], modules["lift"], modules["head"]
        opens = self.opening(path)
        seen = self.past(history, modules) if past is None else past

        def predict(points: Tensor, times: Tensor) -> Tensor:
            lifted = lift(points, opens) if told is None else lift(points, opens) + told
            states = network.parallel(lifted, times, seen, pinned, blind)
            predicted: Tensor = head(states)
            return predicted.to(points.dtype)

        return predict

    def draw_path(self, latents: LatentBatch, noise: Noise, samples: int) -> Path:
        """Draw noise, times, pinned prefixes and blind rows of a batch, `samples` times."""
        config, n = self.config, samples
        data, mask = self.blocks(latents.values), self.blocks(latents.mask)
        batch, blocks, block, dim = data.shape
        eps = noise.normal("flow noise", (batch, n, blocks, block, dim), data)
        draws = noise.uniform("flow prefix", (batch, n, blocks, 2), data)
        draws = draws.transpose(0, 1).flatten(0, 1)
        prefix = torch.where(
            draws[..., 0] < noise.in_some_steps(self.config.pinned_blocks),
            draws[..., 1] * block,
            0.0,
        )
        pinned = torch.arange(block, device=data.device) < prefix.long()[..., None]
        # What is not learned before what is (the end of a prompt) is given, as when sampling.
        behind = mask.flip(2).cumsum(2).flip(2) > 0
        pinned |= (~mask & behind).repeat(n, 1, 1)
        blind = noise.uniform("flow blind", (batch, n), data).T.flatten()
        return Path(
            data=data.repeat(n, 1, 1, 1),
            noise=self.coupling.pair_all(data, eps.transpose(0, 1), mask, noise).flatten(0, 1),
            times=self.draw_times(config.schedule, noise, n, data),
            pinned=pinned,
            counted=mask.repeat(n, 1, 1) & ~pinned,
            blind=blind < config.history_dropout,
        )

    def draw_times(
        self,
        schedule: Schedule,
        noise: Noise,
        samples: int,
        data: Tensor,
        purpose: str = "flow times",
    ) -> Tensor:
        """(samples · batch, blocks) times from a schedule; data is (batch, blocks, ...)."""
        shape = (data.shape[0], samples, data.shape[1])
        if schedule.distribution == "uniform":
            times = noise.uniform(purpose, shape, data)
        else:
            normal = noise.normal(purpose, shape, data)
            times = torch.sigmoid(schedule.loc + schedule.scale * normal)
        return times.transpose(0, 1).flatten(0, 1)

    def training_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one training step."""
        blocks, n = segments // self.block_size, self.config.noisings
        heads = 2 * self.latent_dim * self.network.width * segments
        network = self.network.flops(batch, blocks, self.block_size, n)
        return 3 * (network + batch * heads * (1 + 2 * n))

    def forward_flops(self, batch: int, segments: int, times: int | None = None) -> tuple[int, int]:
        """Model FLOPs of the history's pass, and of one forward pass of one noising.

        Args:
            batch: documents.
            segments: latents of each.
            times: distinct times of a document's noising; None is one a block.
        """
        blocks, block = segments // self.block_size, self.block_size
        once = self.network.flops(batch, blocks, block, 1, times)
        noisy = self.network.flops(batch, blocks, block, 2, times) - once
        return once - noisy, noisy

    def as_velocity(self, prediction: Tensor, points: Tensor, times: Tensor) -> Tensor:
        """The velocity that a prediction means at given points and times; here, itself."""
        del points, times
        return prediction

    # Sampling.

    def begin(self, rows: int) -> Any:
        """An empty prefix."""
        weight = self.lift.weight
        lengths = torch.zeros(rows, dtype=torch.int64, device=weight.device)
        return Prefix(self.network.begin(rows, weight), lengths)

    def commit(self, state: Any, latents: Tensor, counts: Tensor | None = None) -> Any:
        """Append clean latents to the prefix."""
        history = self.network.commit(self.lift(self.blocks(latents)), state.history, counts)
        return Prefix(history, state.lengths + (latents.shape[1] if counts is None else counts))

    def select(self, state: Any, rows: Tensor) -> Any:
        """The prefix of some of the rows."""
        return Prefix(state.history.select(rows), state.lengths[rows])

    def sample_block(
        self,
        state: Any,
        noise: SampleNoise,
        options: SamplingOptions,
        known: Known | None = None,
    ) -> Tensor:
        """Descend from noise to data along the guided field; see `Prior.sample_block`."""
        return self.descended(state, noise, options, known)

    def descended(
        self,
        state: Any,
        noise: SampleNoise,
        options: SamplingOptions,
        known: Known | None,
        told: Tensor | None = None,
    ) -> Tensor:
        """The same where positions are told something; see `field`."""
        weight = self.lift.weight

        def held(points: Tensor) -> Tensor:
            if known is None:
                return points
            return torch.where(known.mask[..., None], known.values, points)

        def draw(step: int) -> Tensor:
            purpose = f"flow {step}" if step else "flow"
            return held(noise.normal(purpose, (self.block_size, self.latent_dim), weight))

        field = self.field(state, options.guidance, None if known is None else known.mask, told)
        return held(self.descend(field, draw, options.steps))

    @abstractmethod
    def descend(self, field: VelocityField, draw: Draw, steps: int) -> Tensor:
        """From noise to data.

        Args:
            field: (time, points) -> velocity, 0 at pinned positions; see `field`.
            draw: the noise to begin with, draw(0), and further noise.
            steps: intervals of [0, 1].
        """

    def field(
        self,
        state: Any,
        guidance: float = 1.0,
        pinned: Tensor | None = None,
        told: Tensor | None = None,
    ) -> VelocityField:
        """The (guided) velocity field of the next block given a prefix.

        It is asked at a scalar time, or (n_times,) where the prior conditions on several. Guidance
        is off in rows whose history is empty. `told` (rows, block, width) is added to the lifted
        points.
        """
        opens = state.lengths == 0
        guided = guidance != 1.0 and not bool(opens.all())

        def lifted(points: Tensor, opens: Tensor | None) -> Tensor:
            found: Tensor = self.lift(points, opens)
            return found if told is None else found + told

        def velocity(time: Tensor, points: Tensor) -> Tensor:
            times = time.to(points.dtype).reshape(1, 1, -1)
            if pinned is not None:
                times = torch.where(pinned[..., None], 0.0, times)
            conditional = self.head(self.network(lifted(points, opens), times, state.history))
            if guided:
                free = self.head(self.network(lifted(points, None), times, None))
                mixed = torch.lerp(free, conditional, guidance)
                conditional = torch.where(opens[:, None, None], conditional, mixed)
            moved = self.as_velocity(conditional.to(points.dtype), points, times)
            return moved if pinned is None else torch.where(pinned[..., None], 0.0, moved)

        return velocity

    def network_evaluations(self, options: SamplingOptions) -> int | None:
        """Network evaluations per block: one a step, times guidance branches."""
        return options.steps * (1 if options.guidance == 1.0 else 2)
