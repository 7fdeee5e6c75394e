"""Token embeddings: one latent a token, learned so that tokens are read back through noise.

The contrast to latents of segments: nothing is compressed, no latent knows its context.

References:
    Diffusion-LM (2022), embeddings learned with a rounding loss, https://arxiv.org/abs/2205.14217;
    CDCD (2022), normalised embeddings, https://arxiv.org/abs/2211.15089.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.losses import LossTerm
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.representation import Encoding
from colaflex.interfaces.values import Posterior, Segmentation, TokenBatch, Vocabulary
from colaflex.representations.configs import TokenEmbeddingConfig
from colaflex.representations.segment_decoder import wide
from colaflex.representations.token_representation import TokenRepresentation

__all__ = ["TokenEmbedding"]


class TokenEmbedding(TokenRepresentation):
    """q(z | x) is the point e(x); p(x | z) is proportional to p(x) N(z; e(x), noise^2).

    Embeddings have mean 0 and mean square 1 over their channels, so that the decoder is linear:
    log p(x | z) = z · e(x) / noise^2 + bias(x) up to a constant, the bias being log p(x).

    Raises:
        ValueError: segments of more than one token.
    """

    def __init__(
        self, config: TokenEmbeddingConfig, *, vocabulary: Vocabulary, max_segment_tokens: int
    ) -> None:
        super().__init__()
        if max_segment_tokens != 1:
            raise ValueError(f"one latent a token: segments of {max_segment_tokens} have no place")
        self.config, self.latent_dim, self.slots = config, config.latent_dim, 1
        self.end_of_segment, self.offers = vocabulary.size, config.readout
        # One embedding more, for slots that hold no token.
        self.embedding = nn.Embedding(vocabulary.size + 1, config.latent_dim)
        self.bias = nn.Parameter(torch.zeros(vocabulary.size + 1))

    @property
    def token_table(self) -> Tensor:
        """The embeddings, which are the decoder's as well."""
        return self._normalised(self.embedding.weight)

    def encode(self, tokens: TokenBatch, segmentation: Segmentation) -> Posterior:
        """Every token's embedding; see `Representation.encode`."""
        return Posterior(self._normalised(self.embedding(self._grid(tokens, segmentation)[0])))

    def _grid(self, tokens: TokenBatch, segmentation: Segmentation) -> tuple[Tensor, Tensor]:
        grid, token_mask = (part.squeeze(-1) for part in segmentation.slots(tokens.tokens, 1))
        return torch.where(token_mask, grid, self.end_of_segment), token_mask

    def _normalised(self, embeddings: Tensor) -> Tensor:
        return functional.layer_norm(embeddings, (self.latent_dim,))

    def decode(self, latents: Tensor) -> Tensor:
        """Logits of the one slot; see `Representation.decode`."""
        table = self._normalised(self.embedding.weight)
        logits = functional.linear(latents / self.config.decoder_noise**2, table, self.bias)
        return logits[..., None, :]

    def begin_decoding(self, rows: int) -> None:
        """Nothing: no token depends on earlier latents."""
        del rows

    def decode_next(
        self, latents: Tensor, state: None, counts: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """Logits of further latents; see `Representation.decode_next`."""
        del state, counts
        return self.decode(latents), None

    def select_decoding(self, state: None, rows: Tensor) -> None:
        """Nothing, of whichever rows."""
        del state, rows

    def losses(self, tokens: TokenBatch, segmentation: Segmentation, noise: Noise) -> Encoding:
        """Term "realisation", nats: tokens read from noisy embeddings."""
        grid, token_mask = self._grid(tokens, segmentation)
        posterior = Posterior(self._normalised(self.embedding(grid)))
        sample = posterior.mode()
        drawn = noise.normal("decoder noise", sample.shape, sample)
        logits = self.decode(sample + self.config.decoder_noise * drawn).squeeze(-2)[token_mask]
        realisation = functional.cross_entropy(wide(logits), grid[token_mask], reduction="sum")
        return Encoding({"realisation": LossTerm(realisation, "tokens")}, posterior, sample)

    def flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one forward pass of `losses`: the decoder's product."""
        return self.decoding_flops(batch, segments)

    def decoding_flops(self, batch: int, segments: int) -> int:
        """See `TokenRepresentation.decoding_flops`."""
        return 2 * batch * segments * self.embedding.weight.numel()
