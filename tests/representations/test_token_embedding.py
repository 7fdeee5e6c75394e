"""Token embeddings: the exact decoder under noise, and that learning parts the tokens."""

from __future__ import annotations

import pytest
import torch
from segments import SIZE, batch, build, noise, trained
from torch.distributions import Normal

import colaflex
from colaflex.errors import UserError
from colaflex.interfaces.values import Segmentation, TokenBatch
from colaflex.representations.configs import TokenEmbeddingConfig

ALL = torch.arange(SIZE)[None]


def every_token() -> tuple[TokenBatch, Segmentation]:
    row = torch.tensor([SIZE])
    return TokenBatch(ALL, row, row > 0), Segmentation(torch.ones_like(ALL))


def test_the_decoder_is_the_posterior_of_a_token_seen_through_noise() -> None:
    made = build(name="token_embedding", slots=1, latent_dim=8, decoder_noise=0.7)
    with torch.no_grad():
        made.bias.normal_(generator=torch.Generator().manual_seed(0))
    embedded = made.encode(*every_token()).mode()[0]
    square = embedded.square().mean(-1)
    # LayerNorm's epsilon of 1e-5 beside variances near 1.
    torch.testing.assert_close(square, torch.ones_like(square), atol=1e-4, rtol=0)
    latents = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(1)).double()
    densities = Normal(embedded, 0.7).log_prob(latents[:, :, None]).sum(-1)
    expected = (densities + made.bias[:SIZE]).log_softmax(-1)
    found = made.decode(latents)[:, :, 0, :SIZE].log_softmax(-1)
    # Embeddings are equally long up to that epsilon: 8 channels, 1e-5 over 2 · 0.7^2.
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)


def test_the_loss_is_the_cross_entropy_of_tokens_read_from_noisy_embeddings() -> None:
    made = build(name="token_embedding", slots=1)
    tokens, segmentation = batch([[1, 1, 1, 1], [1, 1, 0, 0]])
    encoding = made.losses(tokens, segmentation, noise())
    latents = made.encode(tokens, segmentation).mode()
    assert torch.equal(encoding.sample, latents)
    assert encoding.posterior.log_variance is None
    drawn = noise().normal("decoder noise", latents.shape, latents)
    log_probabilities = made.decode(latents + 0.5 * drawn).log_softmax(-1)
    expected = -sum(
        log_probabilities[row, place, 0, tokens.tokens[row, place]].item()
        for row, length in enumerate((4, 2))
        for place in range(length)
    )
    (term,) = encoding.losses.values()
    assert (term.per, term.weight) == ("tokens", 1.0)
    assert term.total.item() == pytest.approx(expected)


def test_learning_parts_the_tokens_so_that_noise_confuses_fewer() -> None:
    def right() -> float:
        with torch.no_grad():
            latents = made.encode(*every_token()).mode().expand(400, -1, -1)
            drawn = torch.randn(latents.shape, generator=torch.Generator().manual_seed(2))
            best = made.decode(latents + 0.5 * drawn)[:, :, 0].argmax(-1)
        return (best == ALL)[:, 2:].float().mean().item()  # 0 and 1 are not in the text

    made = build(False, "token_embedding", 1, latent_dim=6)
    before = right()
    trained(made, steps=150, choices=([1] * 12,))
    assert right() > max(before, 0.9)
    best = made.decode(made.encode(*every_token()).mode()).argmax(-1)[0, 2:, 0]
    assert torch.equal(best, ALL[0, 2:])


def test_only_segments_of_one_token_have_a_place() -> None:
    with pytest.raises(ValueError, match="segments of 3"):
        build(name="token_embedding", slots=3)
    declared = TokenEmbeddingConfig().capabilities()
    assert declared.token_aligned and not declared.continuous_density
    spec = {"corpus": "bible", "representation": "token_embedding"}
    with pytest.raises(UserError, match="one latent a token"):
        colaflex.Spec.parse(spec)
    colaflex.Spec.parse({**spec, "segmenter": {"size": 1}})
