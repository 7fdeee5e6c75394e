"""Latents from the states of a frozen pretrained encoder, and a decoder trained through noise.

References:
    COSMOS (2025), frozen text encoder with reconstruction of its states,
    https://arxiv.org/abs/2506.21170; RAE (2025), normalised states and a noise-augmented decoder,
    https://arxiv.org/abs/2510.11690.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.errors import UserError
from colaflex.interfaces.losses import LossTerm
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.representation import Encoding
from colaflex.interfaces.values import Posterior, Segmentation, TokenBatch, Vocabulary
from colaflex.networks.causal import CausalTransformer
from colaflex.representations.frozen_configs import FrozenEncoderConfig
from colaflex.representations.pretrained_encoder import PretrainedEncoder
from colaflex.representations.pretrained_folder import brackets, encoder_folder, weights_digest
from colaflex.representations.segment_decoder import SegmentDecoder, wide
from colaflex.representations.windows import cut_windows

__all__ = ["FrozenEncoder"]

STATISTICS_TOKENS = 8192
"""Tokens from which the states' mean and std are fitted: within about 1 % of a std."""


class FrozenEncoder(SegmentDecoder):
    """q(z | x) is a point of mean 0 and mean square 1, made from the states of its block's tokens.

    Every block of segments is read in a window of its own, [context | block] within the encoder's
    special tokens. The slots' states, normalised by statistics of the training data, are joined in
    order and projected; what the frozen encoder computes depends on no later block.

    Args:
        config: the encoder, its windows, and the sizes of what is trained.
        vocabulary: the encoder's own tokens.
        max_segment_tokens: slots of a segment.

    Raises:
        UserError: the encoder is missing, of another family, or too short for its windows.

    Example:
        >>> from colaflex.representations.pretrained_encoder import BertEncoder
        >>> class FrozenBert(FrozenEncoder):
        ...     load = BertEncoder  # one line a family of encoders
    """

    config: FrozenEncoderConfig
    load: Callable[[Path, int], PretrainedEncoder]
    mean: Tensor
    deviation: Tensor
    weights: Tensor

    def __init__(
        self, config: FrozenEncoderConfig, *, vocabulary: Vocabulary, max_segment_tokens: int
    ) -> None:
        super().__init__(config, vocabulary, max_segment_tokens)
        folder = encoder_folder(config.encoder)
        self.brackets = brackets(folder)
        self.pretrained = type(self).load(folder, config.layer)
        self._check_sizes()
        states, width = self.pretrained.width, config.width
        self.join = nn.Linear(self.slots * states, width)
        self.encoder = CausalTransformer(width, config.encoder_layers, config.heads)
        self.posterior = nn.Linear(width, config.latent_dim)
        self._add_decoder()
        self.restore = nn.Linear(width, self.slots * states) if config.hidden_weight else None
        self.register_buffer("mean", torch.zeros(states))
        self.register_buffer("deviation", torch.ones(states))
        digest = bytearray.fromhex(weights_digest(folder))
        self.register_buffer("weights", torch.tensor(list(digest), dtype=torch.uint8))

    @property
    def window(self) -> int:
        """Most tokens of a window."""
        special = len(self.brackets.before) + len(self.brackets.behind)
        return self.config.context + self.config.block_size * self.slots + special

    def _check_sizes(self) -> None:
        frozen, config = self.pretrained, self.config
        if frozen.limit is not None and self.window > frozen.limit:
            room = frozen.limit - (self.window - config.block_size * self.slots)
            raise UserError(
                f"representation.block_size: {config.block_size} segments of up to {self.slots} "
                f"tokens, {config.context} of context and the special tokens make windows of "
                f"{self.window} tokens; {config.encoder} has positions for {frozen.limit}: a block "
                f"of at most {max(0, room // self.slots)} segments fits"
            )
        if self.vocabulary.size > frozen.size:
            raise UserError(
                f"representation.encoder: {config.encoder} embeds {frozen.size} tokens, the "
                f"tokenizer has {self.vocabulary.size}; is it another model's tokenizer.json?"
            )

    # The frozen part follows where the module goes, and is in no state.

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.pretrained.apply(fn)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        saved = state_dict.get(f"{prefix}weights")
        if saved is not None and not torch.equal(saved.cpu(), self.weights.cpu()):
            raise UserError(
                f"representation.encoder: {self.config.encoder} has other weights than the encoder "
                "with which this representation was trained; put the former back, or train anew"
            )
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def frozen_states(
        self, tokens: TokenBatch, segmentation: Segmentation
    ) -> tuple[Tensor, Tensor]:
        """The encoder's states as they are, (batch, segments, slots, width), and slots that count.

        Slots without a token have state 0.
        """
        windows = cut_windows(
            tokens,
            segmentation,
            self.slots,
            block=self.config.block_size,
            context=self.config.context,
            brackets=self.brackets,
        )
        if windows is None:
            empty = self.mean.new_zeros(*segmentation.lengths.shape, self.slots, len(self.mean))
            return empty, torch.zeros_like(empty[..., 0], dtype=torch.bool)
        states = wide(self.pretrained.states(windows.tokens, windows.mask))
        return windows.slots(states), windows.token_mask

    def _states(self, tokens: TokenBatch, segmentation: Segmentation) -> tuple[Tensor, Tensor]:
        states, token_mask = self.frozen_states(tokens, segmentation)
        return (states - self.mean) / self.deviation * token_mask[..., None], token_mask

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[TokenBatch, Segmentation]]) -> None:
        """Fit the states' mean and std to tokens of the training data; see `Representation.fit`."""
        total = torch.zeros(2, len(self.mean), dtype=torch.float64, device=self.mean.device)
        count = 0
        for tokens, segmentation in batches:
            states, token_mask = self.frozen_states(tokens, segmentation)
            counted = states[token_mask].double()
            total += torch.stack([counted.sum(0), counted.square().sum(0)])
            count += len(counted)
            if count >= STATISTICS_TOKENS:
                break
        if not count:
            return
        mean, square = total / count
        self.mean.copy_(mean)
        self.deviation.copy_((square - mean.square()).clamp(min=1e-8).sqrt())

    def encode(self, tokens: TokenBatch, segmentation: Segmentation) -> Posterior:
        """The point of every segment; see `Representation.encode`."""
        return self._posterior(self._states(tokens, segmentation)[0])

    def _posterior(self, states: Tensor) -> Posterior:
        mixed = self.encoder(self.join(states.flatten(2)))
        return Posterior(functional.layer_norm(wide(self.posterior(mixed)), (self.latent_dim,)))

    def losses(self, tokens: TokenBatch, segmentation: Segmentation, noise: Noise) -> Encoding:
        """Terms "realisation" and "hidden"; see `Representation.losses`."""
        states, token_mask = self._states(tokens, segmentation)
        grid, _ = segmentation.slots(tokens.tokens, self.slots)
        posterior = self._posterior(states)
        decoded = self.decoder(self.lift(self._disturbed(posterior.mode(), noise)))
        logits = self._told(decoded, self.content(tokens, segmentation), noise)
        realisation = self._realisation(logits, grid, token_mask, segmentation.mask)
        terms = {"realisation": LossTerm(realisation, "tokens")}
        if self.restore is not None:
            restored = wide(self.restore(decoded)).unflatten(-1, (self.slots, -1))
            error = (restored - states).square().mean(-1)[token_mask].sum()
            terms["hidden"] = LossTerm(error, "tokens", self.config.hidden_weight)
        return Encoding(terms, posterior, posterior.mode())

    def _noise_share(self, sample: Tensor, noise: Noise) -> Tensor:
        return noise.uniform("decoder noise level", (*sample.shape[:-1], 1), sample)

    def frozen_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of the frozen encoder, which has no backward pass."""
        windows = batch * -(-segments // self.config.block_size)
        return self.pretrained.flops(windows, self.window)

    def flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one forward pass of `losses`."""
        linear = [self.join, self.posterior]
        linear += [] if self.restore is None else [self.restore]
        per_segment = 2 * sum(m.weight.numel() for m in linear)
        trained = self.encoder.flops(batch, segments) + self.decoding_flops(batch, segments)
        return batch * segments * per_segment + trained + self.frozen_flops(batch, segments)
