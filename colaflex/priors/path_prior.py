"""Base of the priors that learn on paths between noise and data: blocks, history, conditioning.

What the network's prediction means, and how a sample is made of it, the derived classes say.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from colaflex.errors import UserError
from colaflex.interfaces.component import Builder
from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.network import Network
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known, NoiseLevel, Prior
from colaflex.interfaces.readout import EndingReadout, Readout
from colaflex.interfaces.solver import Coupling, VelocityField
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.flow_config import PathPriorConfig, Schedule
from colaflex.priors.guided import LastCall, block_times, guided
from colaflex.priors.paths import Path, Predict
from colaflex.priors.prefix import LatentLift, Prefix
from colaflex.priors.reading import Listener, Reading, content_of
from colaflex.priors.renoising import Estimate, grid_times, renoised

__all__ = ["Draw", "PathPrior"]

Draw = Callable[[int], Tensor]
"""(k) -> standard-normal points for the k-th step of a sampler, pinned positions clean."""

LEAST_TIME = 0.001
"""The smallest t that a predicted z0 is divided by at all; densities begin no earlier."""

SMALLEST_TIME = 0.02
"""Where z0 is predicted, samplers divide by no t smaller than this: they coast to the data.

Nor does a loss of velocities, whose weight 1 / t^2 would leave all else behind.
"""


class PathPrior(Prior):
    """Block-causal prior given by a field of velocities along paths from noise to data."""

    n_times: ClassVar[int] = 1
    learns_ends: ClassVar[bool] = True
    """Whether its readout is told the text wherever a sampler's last step may ask for an end."""

    def __init__(self, config: PathPriorConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__()
        self.config, self.latent_dim, self.block_size = config, latent_dim, config.block_size
        self.network: Network = build(config.network, n_times=self.n_times)
        self.coupling: Coupling = build(config.coupling)
        self.lift = LatentLift(latent_dim, self.network.width)
        self.head: nn.Module = linear_head(self.network.width, latent_dim)
        self.reader: nn.Module | None = None

    # What the representation offers.

    @property
    def state_width(self) -> int:
        """Channels of the network's states."""
        return self.network.width

    @property
    def needs_content(self) -> bool:
        """Where it has a readout, or reads its history by the representation's module."""
        return self.reads_out or self.reader is not None

    @property
    def reads_out(self) -> bool:
        """Whether clean latents are predicted through a readout."""
        return isinstance(self.head, Readout)

    def take(self, readout: Readout | None, history: nn.Module | None) -> None:
        """Put a readout in the head's place, and read history by a module; see `Prior.take`."""
        if readout is not None:
            self.head = readout
        if history is not None:
            self.reader = history

    # Training.

    def objective(self, path: Path, predict: Predict) -> Tensor:
        """The loss of every position, (samples · batch, blocks, block); here, flow matching.

        Args:
            path: points between data and noise.
            predict: the network's prediction, given the batch's history.
        """
        predicted = predict(path.point(), path.times[..., None])
        return self.weighed(predicted - path.velocity(), path.times).square().mean(-1)

    def weighed(self, error: Tensor, times: Tensor) -> Tensor:
        """An error of velocities; of a readout's, less near the data, where it is divided by t.

        Args:
            error: (samples · batch, blocks, block, dim).
            times: (samples · batch, blocks).
        """
        if not self.reads_out:
            return error
        return error * (times / times.clamp(min=SMALLEST_TIME))[..., None, None]

    def losses(self, latents: LatentBatch, noise: Noise | None = None) -> Losses:
        """The objective, "flow", mean over channels; of a readout "content", in nats; per latent.

        The latter is what the truth costs by what the readout said of it.
        """
        noise = noise or Noise(0)
        path = self.draw_path(latents, noise, self.config.noisings)
        reading, history = self.reading(latents, self.config.noisings), self.history(latents)
        more = self.recalled(history, path, noise)
        if reading is not None:
            more = {**more, "reading": reading}
        predict = self.predictor(history, path, self.trained, **more)
        flow = self.objective(path, predict)
        return {
            "flow": self.flow_term(flow, path, latents, noise),
            **self.content_terms(reading, path, latents, noise),
        }

    def recalled(self, history: Tensor, path: Path, noise: Noise) -> Mapping[str, Any]:
        """What else `predictor` is given in training: by default, nothing.

        Args:
            history: of the batch.
            path: whose points the network is asked about.
            noise: of the step.
        """
        del history, path, noise
        return {}

    def history(self, latents: LatentBatch) -> Tensor:
        """(batch, blocks, block, any) what it reads of the past: clean latents or their content.

        Latents carry no gradient to the encoder there, as in Cola DLM, section 2.2.3.
        """
        if self.reader is None:
            return self.blocks(latents.values.detach())
        return self.blocks(content_of(latents))

    def reading(self, latents: LatentBatch, samples: int) -> Reading | None:
        """What a readout is to be taught of a batch, repeated for each noising; None without."""
        if not self.reads_out:
            return None
        content = self.blocks(content_of(latents))
        return Reading(content.repeat(samples, *(1 for _ in content.shape[1:])))

    def content_terms(
        self,
        reading: Reading | None,
        path: Path,
        latents: LatentBatch,
        noise: Noise,
        told: Tensor | None = None,
        share: float = 1.0,
    ) -> Losses:
        """Term "content": what a readout said of the data, in nats per latent; none without.

        Args:
            reading: after the calls that it was given to.
            path: whose points the readout was asked about.
            latents: the batch.
            noise: drew the path.
            told: (samples · batch, 1 or blocks) bool, where the data is what was asked for; all.
            share: expected share of these.
        """
        if reading is None or not reading.losses or not share:
            return {}
        assert isinstance(self.head, Readout)
        nats = reading.mean() * self.head.gate(path.times)[..., None]
        if told is not None:
            nats = torch.where(told[..., None], nats, 0.0) / share
        return {"content": self.flow_term(nats, path, latents, noise, self.head.weight)}

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
        """The modules that give the prediction: network, lift, head, and a reader of history."""
        parts = {"network": self.network, "lift": self.lift, "head": self.head}
        return parts if self.reader is None else {**parts, "reader": self.reader}

    def blocks(self, values: Tensor) -> Tensor:
        """(batch, segments, ...) -> (batch, blocks, block, ...)."""
        blocks: Tensor = values.unflatten(1, (-1, self.block_size))
        return blocks

    def past(self, history: Tensor, modules: Any) -> Any:
        """The network's history of a batch; its last block is history to nobody."""
        network, earlier = modules["network"], history[:, :-1]
        clean = self.read_by(modules)(earlier)
        return network.commit(clean, network.begin(clean.shape[0], clean))

    def read_by(self, modules: Any) -> nn.Module:
        """What lifts the history: the representation's module, or what lifts noisy latents."""
        lift: nn.Module = modules["lift"] if self.reader is None else modules["reader"]
        return lift

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
        reading: Listener | None = None,
    ) -> Predict:
        """The prediction of some modules at any points and times, given the batch's history.

        Args:
            history: (batch, blocks, block, any), see `history`.
            path: its pinned positions and blind rows hold.
            modules: network, lift and head.
            told: (samples · batch, blocks, block, width), what is added to the lifted points.
            past: of `history`, where it is there already.
            reading: teaches or hears the readout at every call.
        """
        pinned = path.pinned if bool(path.pinned.any()) else None
        blind = path.blind if bool(path.blind.any()) else None
        network, lift, head = modules["network"], modules["lift"], modules["head"]
        opens = self.opening(path)
        seen = self.past(history, modules) if past is None else past

        def predict(points: Tensor, times: Tensor) -> Tensor:
            lifted = lift(points, opens) if told is None else lift(points, opens) + told
            states = network.parallel(lifted, times, seen, pinned, blind)
            found = head(states) if reading is None else reading.read(head, states)
            return self.predicted(found, points, times)

        return predict

    def predicted(self, found: Tensor, points: Tensor, times: Tensor) -> Tensor:
        """What is predicted, by what the head gives: a readout gives clean latents.

        Args:
            found: (..., block, dim).
            points: of that shape.
            times: (..., blocks or 1, n_times) of blocks, or (rows or 1, block or 1, n_times).
        """
        found = found.to(points.dtype)
        if not self.reads_out:
            return found
        t = self.noise_time(times)
        return self.meant(found, points, t[..., None] if points.ndim > times.ndim else t)

    def noise_time(self, times: Tensor) -> Tensor:
        """(..., 1): the time t of the points among those that the network is told."""
        return times[..., :1]

    def meant(self, clean: Tensor, points: Tensor, time: Tensor) -> Tensor:
        """The prediction that clean latents mean at given points and times; here, a velocity.

        Of average velocities as well: their ends then move along one line to the data.
        """
        return (points - clean) / time.clamp(min=LEAST_TIME)

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
        network = self.network.flops(batch, blocks, self.block_size, n)
        latents = batch * segments
        learned = 3 * (network + self.past_flops(latents) + n * self.end_flops(latents))
        return learned + n * self.telling_flops(batch, segments)

    def telling_flops(self, batch: int, segments: int) -> int:
        """What teaching a readout its content takes in a noising, beyond its latents."""
        if not isinstance(self.head, Readout):
            return 0
        return self.head.taught_flops(batch, segments) - 3 * self.head.flops(batch * segments)

    def past_flops(self, latents: int) -> int:
        """Model FLOPs of reading so many latents of history."""
        if self.reader is None:
            return 2 * latents * self.latent_dim * self.network.width
        layers = (m for m in self.reader.modules() if isinstance(m, nn.Linear))
        return 2 * latents * sum(layer.weight.numel() for layer in layers)

    def end_flops(self, latents: int) -> int:
        """Model FLOPs of lifting so many noisy latents, and of the head on their states."""
        lift = 2 * latents * self.latent_dim * self.network.width
        return lift + (self.head.flops(latents) if isinstance(self.head, Readout) else lift)

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
        clean = once - noisy
        if isinstance(self.head, Readout):
            noisy += self.head.flops(batch * segments)
        return clean, noisy

    def clean(self, prediction: Tensor, points: Tensor, times: Tensor) -> Tensor:
        """The clean latents that a prediction means; times (...) of points (..., block, dim)."""
        return points - times[..., None, None] * prediction

    @torch.no_grad()
    def loss_by_noise(
        self, latents: LatentBatch, logit_times: Sequence[float], noise: Noise
    ) -> Sequence[NoiseLevel]:
        """See `Prior.loss_by_noise`; one noising at each level, the same noise at all."""
        drawn = self.draw_path(latents, noise, 1)
        nowhere = torch.zeros_like(drawn.pinned)
        path = replace(drawn, pinned=nowhere, blind=nowhere[:, 0, 0])
        history = self.history(latents)
        past = self.past(history, self.trained)
        found = []
        for logit in logit_times:
            times = torch.full_like(path.times, 1 / (1 + math.exp(-logit)))
            points, reading = path.point(times), self.reading(latents, 1)
            predict = self.predictor(history, path, self.trained, past=past, reading=reading)
            asked = nn.functional.pad(times[..., None], (0, self.n_times - 1))
            error = (self.clean(predict(points, asked), points, times) - path.data).square()
            nats = None if reading is None else reading.mean().flatten(1)
            found.append(NoiseLevel(logit, error.mean(-1).flatten(1), nats))
        return found

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
        if self.reader is not None:
            raise ValueError("this prior reads its history by what latents stand for: commit_told")
        return self._committed(state, latents, counts)

    def commit_told(
        self, state: Any, latents: Tensor, content: Tensor, counts: Tensor | None = None
    ) -> Any:
        """Append clean latents, or what they stand for, to the prefix."""
        return self._committed(state, latents if self.reader is None else content, counts)

    def _committed(self, state: Any, latents: Tensor, counts: Tensor | None) -> Any:
        lifted = self.read_by(self.trained)(self.blocks(latents))
        history = self.network.commit(lifted, state.history, counts)
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

        pinned = None if known is None else known.mask
        field = LastCall(self.field(state, options.guidance, pinned, told))

        def ended(points: Tensor) -> Tensor:
            if not self._ends_apart:
                return points
            return self._end(field, state, options.guidance, pinned, told)

        if options.along_the_flow:
            points = self.descend(field, draw, options.steps)
            return held(ended(points))
        drawn: Estimate | None = None
        if options.estimate == "draw":
            drawn = self.drawn(state, noise, options.guidance, pinned, told)

        def estimate(step: int, time: Tensor, points: Tensor) -> Tensor:
            if drawn is not None and step < options.steps - 1:
                return drawn(step, time, points)
            return points - time.to(points.dtype) * field(time, points)

        times = grid_times(options.grid, options.steps)
        return held(ended(renoised(estimate, draw, held, times, options.renoise)))

    def _end(
        self,
        last: LastCall,
        state: Any,
        guidance: float,
        pinned: Tensor | None,
        told: Tensor | None,
    ) -> Tensor:
        """The end that a readout gives, guided, where the field was asked last.

        It is asked by the points alone: without the estimate of self-conditioning.
        """
        assert isinstance(self.head, EndingReadout)
        made = guided(self.head.said, self.network, self.lift, state, guidance, told)
        times = block_times(self.end_time(last.time), last.points, pinned)
        return self.head.end(made(last.points, times)).to(last.points.dtype)

    def end_time(self, time: Tensor) -> Tensor:
        """What the network is told for an end, where the field was asked at this time."""
        return time

    @property
    def _ends_apart(self) -> bool:
        return self.learns_ends and isinstance(self.head, EndingReadout)

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
        made = guided(self.head, self.network, self.lift, state, guidance, told)

        def velocity(time: Tensor, points: Tensor) -> Tensor:
            times = block_times(time, points, pinned)
            prediction = self.predicted(made(points, times), points, times)
            moved = self.as_velocity(prediction, points, self.noise_time(times))
            return moved if pinned is None else torch.where(pinned[..., None], 0.0, moved)

        return velocity

    def drawn(
        self,
        state: Any,
        noise: SampleNoise,
        guidance: float = 1.0,
        pinned: Tensor | None = None,
        told: Tensor | None = None,
    ) -> Estimate:
        """Clean latents of the next block, drawn from what the readout says, guided.

        Raises:
            UserError: this prior has no readout.
        """
        head = self.head
        if not isinstance(head, Readout):
            raise UserError(
                "estimate: a linear readout says nothing of the text from which estimates could be "
                "drawn; ask for mean"
            )
        made = guided(head.said, self.network, self.lift, state, guidance, told)

        def estimate(step: int, time: Tensor, points: Tensor) -> Tensor:
            said = made(points, block_times(time, points, pinned))
            try:
                latents = head.drawn(said, noise, f"flow content {step}")
            except NotImplementedError as error:
                raise UserError(f"estimate: {error}; ask for mean") from None
            return latents.to(points.dtype)

        return estimate

    def network_evaluations(self, options: SamplingOptions) -> int | None:
        """Network evaluations per block: one a step and for an end, times guidance branches."""
        steps = options.steps + self._ends_apart
        return steps * (1 if options.guidance == 1.0 else 2)


def linear_head(width: int, latent_dim: int) -> nn.Linear:
    """States to predictions; at first, these are 0."""
    head = nn.Linear(width, latent_dim)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head
