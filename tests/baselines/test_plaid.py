from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import colaflex
from colaflex.baselines.noise_schedule import signal_and_noise
from colaflex.baselines.plaid import Blocks, Plaid
from colaflex.corpora.worlds_process import World, WorldsConfig
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.stage import StageStep
from colaflex.interfaces.values import TokenBatch, Vocabulary
from colaflex.statistics.draws import keyed_rng
from colaflex.testing.probes import shake
from colaflex.training.optimizers import NamedGroup, build_optimizers, hidden_matrices

SIZE, END, MASK = 7, 0, 1
NETWORK = {"type": "block_causal", "width": 16, "layers": 2, "heads": 2, "time_width": 16}
STEPS = 600


def plaid(**options: Any) -> Plaid:
    """A small model, in float64, with its first weights."""
    options = {"block_size": 4, "embedding_dim": 4, "network": NETWORK, **options}
    vocabulary = Vocabulary(options.pop("size", SIZE), END, MASK)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = colaflex.build("baseline", "plaid", vocabulary=vocabulary, **options)
    assert isinstance(made, Plaid)
    return made.double()


def shaken(**options: Any) -> Plaid:
    made = plaid(**options)
    shake(made, 0.3)
    return made


def rows(*texts: list[int], width: int = 0, complete: bool = True) -> TokenBatch:
    """Rows of tokens, filled with end-of-text."""
    lengths = torch.tensor([len(text) for text in texts])
    width = max(width, int(lengths.max()))
    filled = torch.tensor([text + [END] * (width - len(text)) for text in texts])
    return TokenBatch(filled, lengths, torch.full((len(texts),), complete))


def losses(model: Plaid, batch: TokenBatch, index: int = 0) -> dict[str, Tensor]:
    step = StageStep(index, 10, Noise(0, index, "baseline", 0, len(batch.lengths), 10))
    (stage,) = model.stages()
    return {name: term.total for name, term in stage.losses(batch, step).items()}


# The bound.


def test_embeddings_have_mean_square_one() -> None:
    table = shaken().denoiser.table()
    assert table.dtype == torch.float64
    torch.testing.assert_close(table.square().mean(-1), torch.ones(SIZE, dtype=torch.float64))


def test_the_prior_term_is_a_gaussian_divergence() -> None:
    model = shaken(last_gamma=0.5)
    clean = model.denoiser.clean(torch.arange(SIZE)[None, None], model.denoiser.table())
    alpha, sigma = signal_and_noise(model.schedule.ends()[1])
    one = torch.distributions.Normal(alpha * clean, sigma.expand_as(clean))
    normal = torch.distributions.Normal(torch.zeros_like(clean), 1.0)
    expected = torch.distributions.kl_divergence(one, normal).sum(-1)
    torch.testing.assert_close(model._prior_kl(clean), expected)


def test_the_first_guess_is_the_posterior_of_the_noise_alone() -> None:
    """Before training, p(x | z) is Bayes' rule under a uniform prior of each token."""
    model = plaid()
    table = model.denoiser.table()
    clean = model.denoiser.clean(torch.tensor([[[2, 5, 3, 0]]]), table)
    gamma = torch.tensor([[0.3]], dtype=torch.float64)
    eps = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)).double()
    nothing = torch.zeros(1, 1, 4, dtype=torch.bool)
    points = model._noised(clean, gamma, eps, nothing, nothing)
    found = model.denoiser.log_probs(points, table, model.denoiser.past(clean))
    alpha, sigma = signal_and_noise(gamma)
    normal = torch.distributions.Normal(alpha * table, sigma.expand_as(table))
    likelihood = normal.log_prob(points.values[..., None, :]).sum(-1)
    torch.testing.assert_close(found, likelihood.log_softmax(-1))
    expected = (likelihood.softmax(-1)[..., None] * table).sum(-2)
    torch.testing.assert_close(model.denoiser.guess(found, table), expected)


def exact(law: list[float], **options: Any) -> Plaid:
    """A model of independent tokens of a known law, whose guess is the exact posterior mean."""
    model = plaid(size=len(law), prompt_share=0.0, self_conditioning=0.0, **options)
    with torch.no_grad():
        model.denoiser.head.bias.copy_(torch.tensor(law).log())
    return model


def test_with_the_exact_posterior_mean_the_bound_is_log_p() -> None:
    """The reverse process is exact then, so that the bound is tight for every token."""
    law = [0.5, 0.3, 0.1, 0.08, 0.02]
    model = exact(law, block_size=1, first_gamma=-2.0, last_gamma=8.0)
    table = model.denoiser.table().detach()
    gammas = torch.linspace(-2.0, 8.0, 101, dtype=torch.float64)
    draws = torch.randn(101, 1000, 1, 4, generator=torch.Generator().manual_seed(1)).double()

    def posterior(gamma: Tensor, eps: Tensor) -> Tensor:
        alpha, sigma = signal_and_noise(gamma)
        z = alpha * table + sigma * eps
        return (alpha / sigma**2 * z @ table.T + torch.tensor(law).log()).softmax(-1)

    every = [posterior(*pair) for pair in zip(gammas, draws, strict=True)]
    reconstruction = -every[0].diagonal(dim1=1, dim2=2).log().mean(0)
    errors = torch.stack([(table - p @ table).square().sum(-1).mean(0) for p in every])
    diffusion = torch.trapezoid(0.5 * torch.exp(-gammas)[:, None] * errors, gammas, dim=0)
    kl = model._prior_kl(table).detach()
    count = 20_000
    for token, p in enumerate(law):
        with torch.no_grad():
            found = losses(model, rows(*([[token]] * count), complete=False))
        parts = {name: float(total) / count for name, total in found.items()}
        assert parts["prior"] == pytest.approx(float(kl[token]))
        # Monte Carlo errors: terms deviate by up to 4 nats from draw to draw, 4/√2500 = 0.08 of
        # the reconstruction's eighth of the rows and 4/√17500 = 0.03 of the others.
        assert parts["reconstruction"] == pytest.approx(float(reconstruction[token]), abs=0.12)
        assert parts["diffusion"] == pytest.approx(float(diffusion[token]), abs=0.12)
        assert sum(parts.values()) == pytest.approx(-math.log(p), abs=0.12)
        assert float(reconstruction[token] + diffusion[token] + kl[token]) == pytest.approx(
            -math.log(p), abs=0.12
        )


def test_training_estimates_the_bound_that_is_reported() -> None:
    model = shaken(prompt_share=0.0, self_conditioning=0.0, likelihood_samples=256)
    batch = rows([2, 3, 4, 5, 6, 0], [5, 0], [4, 4, 4, 0])
    expected = -model.log_likelihood(batch).sum()
    many = TokenBatch(
        batch.tokens.repeat(64, 1), batch.lengths.repeat(64), batch.complete.repeat(64)
    )
    with torch.no_grad():
        totals = torch.stack([sum(losses(model, many, s).values()) / 64 for s in range(12)])  # type: ignore[arg-type]
    error = float(totals.std() / 12**0.5 + 0.02 * expected)
    assert float(totals.mean()) == pytest.approx(float(expected), abs=3 * error)


def test_the_bound_counts_end_of_text_up_to_the_blocks_end() -> None:
    batch = rows([2, 3, 0], [2, 3, 4, 5, 0], width=9)
    blocks = Blocks.of(batch, 4, END)
    assert blocks.tokens.shape == (2, 3, 4)
    assert blocks.counted.sum((1, 2)).tolist() == [4, 8] and not bool(blocks.unknown.any())
    open_rows = Blocks.of(rows([2, 3, 4, 5, 6], complete=False), 4, END)
    assert open_rows.counted.flatten().tolist() == [True] * 5 + [False] * 3
    assert open_rows.unknown.flatten().tolist() == [False] * 5 + [True] * 3


def test_what_is_unknown_is_not_looked_at() -> None:
    model = shaken()
    batch = rows([2, 3, 4, 5, 6], width=8, complete=False)
    other = TokenBatch(batch.tokens.clone(), batch.lengths, batch.complete)
    other.tokens[0, 5:] = 3
    torch.testing.assert_close(model.log_likelihood(batch), model.log_likelihood(other))


def test_a_bound_is_the_same_every_time_and_in_any_company() -> None:
    model = shaken()
    batch = rows([2, 3, 4, 5, 6, 0], [5, 0], [4, 4, 4, 0], width=13)
    found = model.log_likelihood(batch)
    assert torch.equal(found, model.log_likelihood(batch))
    turned = model.log_likelihood(batch.rows(torch.tensor([2, 0, 1])))
    torch.testing.assert_close(turned, found[[2, 0, 1]], rtol=1e-12, atol=1e-12)
    alone = model.log_likelihood(rows([5, 0]))
    torch.testing.assert_close(alone, found[1:2], rtol=1e-12, atol=1e-12)


def test_later_blocks_know_earlier_ones_and_not_the_reverse() -> None:
    model = shaken()
    blocks = torch.tensor([[[2, 3, 4, 5], [6, 5, 4, 3]]])
    table = model.denoiser.table()

    def seen(tokens: Tensor) -> Tensor:
        clean = model.denoiser.clean(tokens, table)
        nothing = torch.zeros(tokens.shape, dtype=torch.bool)
        gamma = torch.ones(1, 2, dtype=torch.float64)
        points = model._noised(clean, gamma, torch.zeros_like(clean), nothing, nothing)
        return model.denoiser.log_probs(points, table, model.denoiser.past(clean))

    changed_last, changed_first = blocks.clone(), blocks.clone()
    changed_last[0, 1, 2] = 2
    changed_first[0, 0, 2] = 2
    torch.testing.assert_close(seen(changed_last)[:, 0], seen(blocks)[:, 0])
    assert not torch.allclose(seen(changed_first)[:, 1], seen(blocks)[:, 1])


def test_times_and_first_guesses_are_spread_over_the_whole_batch() -> None:
    from colaflex.baselines.plaid import _stratified

    whole = _stratified(Noise(0, 3, "baseline", 0, 8), 8, 2)
    parts = [_stratified(Noise(0, 3, "baseline", first, 8), 4, 2) for first in (0, 4)]
    assert torch.equal(whole, torch.cat(parts))
    assert sorted((whole[:, 0] * 8).floor().tolist()) == list(range(8))
    model = plaid()
    for step in range(5):
        told = [model._conditioned(Noise(0, step, "b", first, 8), 4) + first for first in (0, 4)]
        assert len(torch.cat(told)) == 2


# What it costs.


def test_flops_agree_with_torch() -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    network = {**NETWORK, "width": 32, "heads": 4}
    for self_conditioning in (0.0, 0.25):
        model = plaid(
            block_size=16,
            network=network,
            prompt_share=0.0,
            self_conditioning=self_conditioning,
            size=40,
        ).float()
        batch = rows(*([2] * 15 + [0] for _ in range(8)))
        (stage,) = model.stages()
        step = StageStep(0, 10, Noise(0, 0, "baseline", 0, 8, 10))
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            torch.stack([t.total for t in stage.losses(batch, step).values()]).sum().backward()
        assert counter.get_total_flops() == pytest.approx(stage.flops(batch), rel=0.03)


# Generation.


def made(model: Plaid, prompts: list[list[int]], most: int, **options: Any) -> list[list[int]]:
    gained: list[list[int]] = [[] for _ in prompts]
    for step in model.generate_tokens(
        prompts, 3, most, SamplingOptions(**options), TokenSampling(temperature=1.0)
    ):
        for each in step:
            gained[each.row].extend(each.tokens)
    return gained


def test_evaluations_are_counted() -> None:
    model, calls = plaid(), []
    model.denoiser.network.register_forward_hook(lambda *_: calls.append(1))
    for guidance, branches in ((1.0, 1), (2.0, 2)):
        options = SamplingOptions(steps=3, guidance=guidance)
        calls.clear()
        list(model.generate_tokens([[2, 3]], 0, 2, options, TokenSampling()))
        assert len(calls) == model.network_evaluations(options).evaluations == 4 * branches


def test_guidance_between_its_branches_is_no_change_without_a_prompt() -> None:
    model = shaken()
    assert made(model, [[]], 3, steps=3, guidance=1.0) == made(model, [[]], 3, steps=3, guidance=3)
    pair = [[2, 3, 4, 5, 6]] * 8
    assert made(model, pair, 3, steps=3, guidance=1.0) != made(model, pair, 3, steps=3, guidance=3)


def test_with_the_exact_posterior_mean_samples_have_the_right_law() -> None:
    law = torch.tensor([1e-6, 1e-6, 0.2, 0.3, 0.5])
    model = exact(law.tolist(), block_size=16, score_temperature=1.0)
    prompts = [[token] * n for token in (2, 3, 4) for n in range(8)]
    step_count = SamplingOptions(steps=64)
    drawn = [
        token
        for step in model.generate_tokens(prompts, 0, 16, step_count, TokenSampling())
        for each in step
        for token in each.tokens
    ]
    counts = torch.bincount(torch.tensor(drawn), minlength=5).double()
    share, error = counts / counts.sum(), (law * (1 - law) / counts.sum()).sqrt()
    assert counts.sum() > 350
    assert bool(((share - law).abs() < 3.5 * error + 1e-3).all())


# A world.


@dataclass(frozen=True)
class Learned:
    """A model of a small world, and all its documents."""

    model: Plaid
    documents: list[list[int]]
    entropy: float
    before: float
    after: float


def bound_of(model: Plaid, documents: list[list[int]], times: int = 400) -> float:
    """Nats a document, all of them as likely, by the terms of training at many levels of noise."""
    with torch.no_grad():
        found = losses(model, rows(*(documents * times)))
    return float(sum(found.values())) / (len(documents) * times)


@pytest.fixture(scope="module")
def learned() -> Learned:
    """Two factors of two values, in two sentences that mention both: four documents."""
    world = World(WorldsConfig(factors=2, values=2, sentences=2, paraphrases=1))
    draws = world.draws(keyed_rng("plaid"), 100)
    texts = sorted({world.render(derivation) for derivation in draws})
    split = [re.findall(r"\w+|[.,]", text) for text in texts]
    ids = {word: i + 2 for i, word in enumerate(sorted({w for words in split for w in words}))}
    documents = [[*(ids[word] for word in words), END] for words in split]
    model = plaid(
        size=len(ids) + 2,
        block_size=28,
        embedding_dim=16,
        first_gamma=-2.0,
        last_gamma=5.0,
        prompt_share=0.0,
        network={**NETWORK, "width": 32, "time_width": 32},
    ).float()
    before = bound_of(model, documents)
    optimizer = build_optimizers(
        "muon",
        [NamedGroup(dict(model.named_parameters()))],
        betas=(0.9, 0.95),
        weight_decay=0.0,
        hidden=hidden_matrices(model),
    )
    for step in range(STEPS):
        cosine = 0.5 + 0.5 * math.cos(math.pi * step / STEPS)
        optimizer.set_learning_rate(1e-2 * min(1, (step + 1) / 50) * cosine)
        torch.stack([*losses(model, rows(*(documents * 8)), step).values()]).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return Learned(model.eval(), documents, world.entropy(), before, bound_of(model, documents))


def test_the_bound_on_a_world_approaches_its_entropy_from_above(learned: Learned) -> None:
    # Two factors of two values: 2 ln 2 = 1.39 nats a document, and 2.77 to a model for which the
    # mentions of a factor are independent. Found: 77 before training, 2.2 after it.
    assert learned.entropy == pytest.approx(2 * math.log(2))
    assert learned.before > 20 * learned.entropy
    assert learned.entropy < learned.after < learned.entropy + 1.6


def test_samples_of_a_world_are_sentences_of_its_grammar(learned: Learned) -> None:
    # Found: all 100 valid, 43 of them coherent; 25 were to be expected of independent mentions.
    found = made(learned.model, [[]] * 100, 28, steps=32)
    places = [set(tokens) for tokens in zip(*learned.documents, strict=True)]
    valid = [
        len(tokens) == len(places) - 1
        and all(token in place for token, place in zip(tokens, places, strict=False))
        for tokens in found
    ]
    assert sum(valid) >= 80
