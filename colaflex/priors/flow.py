"""Base of flow-type priors: a velocity field over blocks, and the samplers that follow it.

A new flow-type prior states an objective (`objective`) and, where it differs, its velocity.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from colaflex.interfaces.component import Builder
from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.network import Network
from colaflex.interfaces.noise import Noise, SampleNoise, generator_for
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known, Prior
from colaflex.interfaces.solver import Coupling, Solver, VelocityField
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.flow_config import FlowPriorConfig, Schedule

__all__ = ["FlowPrior", "Path", "Predict"]

Predict = Callable[[Tensor, Tensor], Tensor]
"""(points, times (samples · batch, blocks or 1, n_times)) -> prediction of the points' shape."""

PINNED_STEPS = 0.25
"""Share of the steps in which blocks with pinned positions are trained."""

SMALLEST_TIME = 0.02
"""x0 prediction divides by t, and says nothing of the velocity where t is smaller than this."""


@dataclass(frozen=True)
class Path:
    """Points on the paths between data and noise, block-wise.

    Attributes:
        data: (samples · batch, blocks, block, dim) clean latents.
        noise: the noise each path starts from, of the same shape.
        times: (samples · batch, blocks) in (0, 1).
        pinned: (samples · batch, blocks, block) bool, positions given clean.
        counted: (samples · batch, blocks, block) bool, positions that count in the loss.
        blind: (samples · batch,) bool, rows that see no history.
    """

    data: Tensor
    noise: Tensor
    times: Tensor
    pinned: Tensor
    counted: Tensor
    blind: Tensor

    def point(self) -> Tensor:
        """z_t = (1 - t) z0 + t eps, pinned positions clean."""
        t = self.times[..., None, None]
        return torch.where(self.pinned[..., None], self.data, torch.lerp(self.data, self.noise, t))

    def velocity(self) -> Tensor:
        """dz_t / dt = eps - z0."""
        return self.noise - self.data


@dataclass(frozen=True, slots=True)
class Prefix:
    """What stands before the next block.

    Attributes:
        history: the network's.
        lengths: (rows,) latents committed.
    """

    history: Any
    lengths: Tensor


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


class FlowPrior(Prior):
    """Block-causal prior given by a velocity field v(z_t, t; history) from noise to data."""

    n_times: ClassVar[int] = 1

    def __init__(self, config: FlowPriorConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__()
        self.config, self.latent_dim, self.block_size = config, latent_dim, config.block_size
        self.network: Network = build(config.network, n_times=self.n_times)
        self.solver: Solver = build(config.solver)
        self.coupling: Coupling = build(config.coupling)
        self.lift = LatentLift(latent_dim, self.network.width)
        self.head = nn.Linear(self.network.width, latent_dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    # Training.

    @abstractmethod
    def objective(self, path: Path, predict: Predict) -> Tensor:
        """The loss of every position, (samples · batch, blocks, block).

        Args:
            path: points between data and noise.
            predict: the network's prediction, given the batch's history.
        """

    def losses(self, latents: LatentBatch, noise: Noise | None = None) -> Losses:
        """One term, "flow": the objective, mean over channels, per latent."""
        noise = noise or Noise(0)
        path = self.draw_path(latents, noise, self.config.noisings)
        # The history carries no gradient to the encoder (Cola DLM, section 2.2.3).
        return {"flow": self.flow_term(self.blocks(latents.values.detach()), path, noise)}

    def flow_term(self, history: Tensor, path: Path, noise: Noise) -> LossTerm:
        """The objective over all counted positions of all noisings; `noise` drew the path."""
        per_position = self.objective(path, self.predictor(history, path, self.trained))
        total = torch.where(path.counted, per_position, 0.0).sum()
        share = path.data.shape[0] / history.shape[0] * self.free_share(noise)
        return LossTerm(total / share, "latents")

    def free_share(self, noise: Noise) -> float:
        """Expected share of positions that are not pinned in this step, known beforehand."""
        # Of a pinned block, 0 to block - 1 positions do not count.
        return 1.0 - self._pinned_share(noise) * (self.block_size - 1) / (2 * self.block_size)

    @property
    def trained(self) -> Mapping[str, nn.Module]:
        """The modules that give the prediction: network, lift and head."""
        return {"network": self.network, "lift": self.lift, "head": self.head}

    def blocks(self, values: Tensor) -> Tensor:
        """(batch, segments, ...) -> (batch, blocks, block, ...)."""
        blocks: Tensor = values.unflatten(1, (-1, self.block_size))
        return blocks

    def predictor(self, history: Tensor, path: Path, modules: Any) -> Predict:
        """The prediction of some modules at any points and times, given the batch's history."""
        pinned = path.pinned if bool(path.pinned.any()) else None
        blind = path.blind if bool(path.blind.any()) else None
        network, lift, head = modules["network"], modules["lift"], modules["head"]
        opens = torch.zeros(path.data.shape[:2], dtype=torch.bool, device=path.data.device)
        opens[:, 0] = ~path.blind
        # The last block is history to nobody.
        clean = lift(history[:, :-1])
        past = network.commit(clean, network.begin(clean.shape[0], clean))

        def predict(points: Tensor, times: Tensor) -> Tensor:
            states = network.parallel(lift(points, opens), times, past, pinned, blind)
            predicted: Tensor = head(states)
            return predicted.to(points.dtype)

        return predict

    def draw_path(self, latents: LatentBatch, noise: Noise, samples: int) -> Path:
        """Draw noise, times, pinned prefixes and blind rows of a batch, `samples` times."""
        config, n = self.config, samples
        data, mask = self.blocks(latents.values), self.blocks(latents.mask)
        batch, blocks, block, dim = data.shape
        eps = noise.normal("flow noise", (batch, n, blocks * block, dim), data).unbind(1)
        paired = [self.coupling.pair(latents.values, e, latents.mask, noise) for e in eps]
        draws = noise.uniform("flow prefix", (batch, n, blocks, 2), data)
        draws = draws.transpose(0, 1).flatten(0, 1)
        prefix = torch.where(draws[..., 0] < self._pinned_share(noise), draws[..., 1] * block, 0.0)
        pinned = torch.arange(block, device=data.device) < prefix.long()[..., None]
        blind = noise.uniform("flow blind", (batch, n), data).T.flatten()
        return Path(
            data=data.repeat(n, 1, 1, 1),
            noise=torch.stack(paired).unflatten(2, (blocks, block)).flatten(0, 1),
            times=self.draw_times(self.config.schedule, noise, n, data),
            pinned=pinned,
            counted=mask.repeat(n, 1, 1) & ~pinned,
            blind=blind < config.history_dropout,
        )

    def _pinned_share(self, noise: Noise) -> float:
        """Share of pinned blocks in this step: 0 in most, as pinned positions cost extra time."""
        draw = generator_for(noise.seed, noise.scope, "pinned step", noise.step)
        often = max(PINNED_STEPS, self.config.pinned_blocks)
        chosen = float(torch.rand((), generator=draw)) < often
        return self.config.pinned_blocks / often if chosen else 0.0

    def draw_times(self, schedule: Schedule, noise: Noise, samples: int, data: Tensor) -> Tensor:
        """(samples · batch, blocks) times from a schedule."""
        shape = (data.shape[0], samples, data.shape[1])
        if schedule.distribution == "uniform":
            times = noise.uniform("flow times", shape, data)
        else:
            normal = noise.normal("flow times", shape, data)
            times = torch.sigmoid(schedule.loc + schedule.scale * normal)
        return times.transpose(0, 1).flatten(0, 1)

    def training_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one training step."""
        blocks, n = segments // self.block_size, self.config.noisings
        heads = 2 * self.latent_dim * self.network.width * segments
        network = self.network.flops(batch, blocks, self.block_size, n)
        return 3 * (network + batch * heads * (1 + 2 * n))

    def as_velocity(self, prediction: Tensor, points: Tensor, times: Tensor) -> Tensor:
        """The velocity that a prediction means at given points and times."""
        if self.config.prediction == "velocity":
            return prediction
        return (points - prediction) / times.clamp(min=SMALLEST_TIME)

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
        """Follow the guided velocity from noise to data; see `Prior.sample_block`."""
        weight = self.lift.weight
        start = noise.normal("flow", (self.block_size, self.latent_dim), weight)
        if known is None:
            return self.follow(self.field(state, options.guidance), start, options.steps)
        held = known.mask[..., None]
        start = torch.where(held, known.values, start)
        velocity = self.field(state, options.guidance, known.mask)
        drawn = self.follow(velocity, start, options.steps)
        return torch.where(held, known.values, drawn)

    def follow(self, velocity: VelocityField, start: Tensor, steps: int) -> Tensor:
        """The solver's way along a velocity field, from noise to data."""
        if self.config.prediction == "x0":
            velocity = _coasting(velocity)
        return self.solver.solve(velocity, start, steps)

    def field(
        self, state: Any, guidance: float = 1.0, pinned: Tensor | None = None
    ) -> VelocityField:
        """The (guided) velocity field of the next block given a prefix.

        Guidance is off in rows whose history is empty.
        """
        opens = state.lengths == 0
        guided = guidance != 1.0 and not bool(opens.all())

        def velocity(time: Tensor, points: Tensor) -> Tensor:
            times = time.to(points.dtype).reshape(1, 1, 1)
            if pinned is not None:
                times = torch.where(pinned, 0.0, times[..., 0])[..., None]
            conditional = self.head(self.network(self.lift(points, opens), times, state.history))
            if guided:
                free = self.head(self.network(self.lift(points), times, None))
                mixed = torch.lerp(free, conditional, guidance)
                conditional = torch.where(opens[:, None, None], conditional, mixed)
            moved = self.as_velocity(conditional.to(points.dtype), points, times)
            return moved if pinned is None else torch.where(pinned[..., None], 0.0, moved)

        return velocity

    @torch.no_grad()
    def straightness(self, state: Any, noise: SampleNoise, steps: int = 16) -> Tensor:
        """(rows,): mean of |(z_1 - z_0) - v(z_t, t)|^2 along each row's sampling path.

        0 for straight paths, which one step follows exactly (Liu et al., 2023, eq. 7,
        https://arxiv.org/abs/2209.03003); Euler's path of `steps` steps, mean over channels.
        """
        field, weight = self.field(state), self.lift.weight
        point = noise.normal("flow", (self.block_size, self.latent_dim), weight)
        start, velocities = point, []
        for time in torch.linspace(1, 0, steps + 1, device=weight.device)[:-1]:
            velocities.append(field(time, point))
            point = point - velocities[-1] / steps
        straight = start - point
        errors = [(straight - v).square().mean((1, 2)) for v in velocities]
        return torch.stack(errors).mean(0)

    def network_evaluations(self, options: SamplingOptions) -> int | None:
        """Network evaluations per block: solver stages times guidance branches."""
        branches = 1 if options.guidance == 1.0 else 2
        evaluations = self.config.solver.evaluations(options.steps)
        return None if evaluations is None else evaluations * branches


def _coasting(velocity: VelocityField) -> VelocityField:
    """The field with its last velocity kept where t is too small to divide by.

    Solvers that ask at t = 0 (Heun, Runge-Kutta) then land on the last prediction of the data.
    """
    last: Tensor | None = None

    def kept(time: Tensor, points: Tensor) -> Tensor:
        nonlocal last
        if last is None or time >= SMALLEST_TIME:
            last = velocity(time, points)
        return last

    return kept
