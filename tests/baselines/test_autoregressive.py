"""The autoregressive baseline: exact, cached, independent of its batch, and able to learn."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from colaflex.baselines.autoregressive import Autoregressive
from colaflex.baselines.configs import AutoregressiveConfig
from colaflex.baselines.continuation import gained_tokens, padded_prompts
from colaflex.corpora.worlds_process import World, WorldsConfig
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.values import TokenBatch, Vocabulary

END, MASK, SIZE = 0, 1, 9
VOCABULARY = Vocabulary(SIZE, END, MASK)
SMALL = {"width": 16, "layers": 2, "heads": 2}
PROMPTS: list[list[int]] = [[2, 3, 4, 5], [], [6], [2, 3, 4, 5], [7, 7]]


def small(seed: int = 0, **options: object) -> Autoregressive:
    """Random weights that don't die out, in float64."""
    torch.manual_seed(seed)
    model = Autoregressive(AutoregressiveConfig(**SMALL | options), vocabulary=VOCABULARY)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.double().eval()


def batch(rows: Sequence[Sequence[int]], complete: bool | Sequence[bool] = False) -> TokenBatch:
    """Rows of several lengths."""
    width = max(map(len, rows))
    tokens = torch.tensor([[*row, *[END] * (width - len(row))] for row in rows])
    whole = [complete] * len(rows) if isinstance(complete, bool) else list(complete)
    return TokenBatch(tokens, torch.tensor([len(row) for row in rows]), torch.tensor(whole))


def generate(
    model: Autoregressive, prompts: list[list[int]], most: int = 8, seed: int = 3, **how: float
) -> list[tuple[list[int], str | None]]:
    """Tokens and finish of every prompt."""
    made: list[tuple[list[int], str | None]] = [([], None) for _ in prompts]
    options = TokenSampling(**how)  # type: ignore[arg-type]
    for step in model.generate_tokens(prompts, seed, most, SamplingOptions(), options):
        for gained in step:
            tokens, finish = made[gained.row]
            assert finish is None
            made[gained.row] = ([*tokens, *gained.tokens], gained.finish)
    return made


def next_token(model: Autoregressive, prefix: list[int]) -> torch.Tensor:
    """(size,) log p(token | prefix), by whole passes."""
    rows = batch([[*prefix, token] for token in range(SIZE)], [t == END for t in range(SIZE)])
    after = model.log_likelihood(rows)
    return after - after.logsumexp(0)


@pytest.mark.parametrize("tied", [True, False])
def test_all_texts_of_two_tokens_and_all_that_are_longer_sum_to_one(tied: bool) -> None:
    """Exact: complete documents below three tokens, and the prefixes of three of all others."""
    model = small(tie_embeddings=tied)
    words = [token for token in range(SIZE) if token != END]
    done = [[*start, END] for n in range(3) for start in product(words, repeat=n)]
    longer = [list(start) for start in product(words, repeat=3)]
    total = (
        model.log_likelihood(batch(done, True)).exp().sum()
        + model.log_likelihood(batch(longer)).exp().sum()
    )
    assert total.item() == pytest.approx(1.0, abs=1e-12)


def test_the_mask_has_no_probability_and_is_never_drawn() -> None:
    model = small()
    assert model.log_likelihood(batch([[2, MASK]])).item() == -math.inf
    drawn = generate(model, [[2]] * 200, most=12, temperature=3.0)
    assert all({END, MASK}.isdisjoint(tokens) for tokens, _ in drawn)


@given(st.lists(st.lists(st.integers(2, SIZE - 1), max_size=6), min_size=1, max_size=5))
def test_the_likelihood_of_a_row_is_its_own(rows: list[list[int]]) -> None:
    """Neighbours, their lengths and what fills the row behind its end change nothing."""
    model, whole = small(), [[*row, END] for row in rows]
    together = model.log_likelihood(batch(whole, True))
    alone = torch.cat([model.log_likelihood(batch([row], True)) for row in whole])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-10)


def test_greedy_text_is_what_whole_passes_find_most_probable() -> None:
    """Cached = uncached: prompts of several lengths in one batch, and no chance at 0."""
    model = small()
    for prompt, (tokens, finish) in zip(PROMPTS, generate(model, PROMPTS), strict=True):
        prefix = list(prompt)
        for token in [*tokens, *([END] if finish == "end" else [])]:
            assert token == int(next_token(model, prefix).argmax())
            prefix.append(token)
        assert finish == "end" or len(tokens) == 8


@pytest.mark.parametrize(
    "how",
    [
        {"temperature": 1.0},
        {"temperature": 1.3, "top_k": 3, "repetition_penalty": 1.5},
        {"temperature": 0.9, "top_p": 0.7},
        {"temperature": 0.0, "repetition_penalty": 2.0},
    ],
)
def test_a_row_is_its_own_and_says_the_same_again(how: dict[str, float]) -> None:
    model = small()
    together = generate(model, PROMPTS, **how)
    assert together == generate(model, PROMPTS, **how)
    for row in (0, 1, 2, 4):
        assert generate(model, [PROMPTS[row]], **how) == [together[row]]
    if how["temperature"]:
        assert together[0] != together[3]  # the same prompt again draws anew
        assert together != generate(model, PROMPTS, seed=4, **how)


def test_a_shorter_limit_gives_the_beginning() -> None:
    model = small()
    long = generate(model, PROMPTS, most=8, temperature=1.0)
    for most in (0, 1, 3):
        for (few, finish), (many, _) in zip(
            generate(model, PROMPTS, most=most, temperature=1.0), long, strict=True
        ):
            assert few == many[:most]
            assert finish == ("length" if len(few) == most else "end")
    assert generate(model, [], temperature=1.0) == []


def test_a_repetition_penalty_weighs_every_token_seen() -> None:
    """Also the last of the vocabulary, and those of the prompt; by whole passes."""
    model, penalty = small(), 3.0
    with torch.no_grad():  # the last token is the favourite
        model.embedding.weight[SIZE - 1] *= 3
    for prompt in PROMPTS:
        ((tokens, _),) = generate(model, [prompt], repetition_penalty=penalty)
        said = list(prompt)
        for token in tokens:
            states = model.trunk(model._embedded(torch.tensor([[END, *said]])))
            logits = model._logits(states)[0, -1].detach()
            for old in set(said):
                logits[old] *= 1 / penalty if logits[old] > 0 else penalty
            assert token == int(logits.argmax())
            said.append(token)


def test_it_draws_what_the_likelihood_says() -> None:
    """Pairs of tokens behind a prompt: 4,000 draws, within 5 standard deviations."""
    model, draws = small(), 4000
    made = generate(model, [[2]] * draws, most=2, temperature=1.0)
    first = next_token(model, [2]).exp()
    for one, two in product((2, 5, 8), (3, 8)):
        p = (first[one] * next_token(model, [2, one]).exp()[two]).item()
        share = sum(tokens == [one, two] for tokens, _ in made) / draws
        assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / draws) + 1 / draws


@pytest.mark.parametrize("tied", [True, False])
def test_flops_agree_with_torchs_counter(tied: bool) -> None:
    """A pass and its gradients; the counter sees whole squares of pairs, the mask allows fewer."""
    width, layers, rows, positions = 32, 3, 4, 24
    model = small(width=width, layers=layers, tie_embeddings=tied).float()
    tokens = TokenBatch(
        torch.randint(2, SIZE, (rows, positions)),
        torch.full((rows,), positions),
        torch.zeros(rows, dtype=torch.bool),
    )
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.log_likelihood(tokens).sum().backward()
    masked = positions**2 - positions * (positions + 1) // 2
    unseen = 3 * layers * rows * 4 * masked * width
    counted = counter.get_total_flops() - unseen
    assert model.stages()[0].flops(tokens) == pytest.approx(counted, rel=0.03)


def test_checkpointing_changes_no_gradient() -> None:
    model, rows = small().train(), batch([[2, 3, 4, 5], [6, 7]])
    found = []
    for recomputed in (False, True):
        model.trunk.gradient_checkpointing = recomputed
        model.zero_grad()
        model.log_likelihood(rows).sum().backward()
        found.append([parameter.grad.clone() for parameter in model.parameters()])  # type: ignore[union-attr]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_under_autocast_the_likelihood_is_near_and_in_fp32() -> None:
    model, rows = small().float(), batch([[2, 3, 4, 5], [6, 7]])
    exact = model.log_likelihood(rows)
    with torch.autocast("cpu", torch.bfloat16):
        near = model.log_likelihood(rows)
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, exact, rtol=0.05, atol=0.1)  # bf16 holds 8 bits of each logit


def test_tied_weights_are_counted_once() -> None:
    tied, own = small(), small(tie_embeddings=False)
    assert list(tied.parts()) == ["embedding", "trunk"]
    more = sum(p.numel() for p in own.parameters()) - sum(p.numel() for p in tied.parameters())
    assert more == SIZE * SMALL["width"]


def test_heads_divide_the_width() -> None:
    with pytest.raises(ValueError, match="width 20 does not split into 4 heads of even width"):
        AutoregressiveConfig(width=20, heads=4)


def test_what_baselines_share() -> None:
    tokens, lengths = padded_prompts([[4, 5], [], [6]], VOCABULARY, torch.device("cpu"))
    assert tokens.tolist() == [[END, 4, 5], [END, END, END], [END, 6, END]]
    assert lengths.tolist() == [3, 1, 2]
    assert gained_tokens(1, [4, END, 5], END, 9).tokens == (4,)
    assert gained_tokens(1, [4, END, 5], END, 9).finish == "end"
    assert gained_tokens(1, [4, 5, END], END, 2).finish == "length"
    assert gained_tokens(1, [4, 5], END, 3).finish is None


class Stories:
    """All documents of a small world, a word a token: each has the same known probability."""

    def __init__(self) -> None:
        self.world = World(WorldsConfig(factors=2, values=4, sentences=2, paraphrases=2))
        drawn = self.world.draws(np.random.default_rng(1), 4000)
        self.texts = sorted({self.world.render(derivation) for derivation in drawn})
        split = [re.findall(r"\w+|[^\w\s]", text) for text in self.texts]
        self.words = ["<end>", "<mask>", *sorted({word for words in split for word in words})]
        ids = {word: index for index, word in enumerate(self.words)}
        self.all = batch([[*(ids[word] for word in words), END] for words in split], True)

    def text(self, tokens: list[int]) -> str:
        """The text of tokens."""
        return re.sub(r" (?=[^\w\s])", "", " ".join(self.words[token] for token in tokens))


def test_it_approaches_the_entropy_of_a_known_world_and_never_passes_it() -> None:
    """Cross entropy over every document of the world, so that nothing here is sampled.

    No distribution's is below the entropy (Gibbs); after 400 steps it lies within 3 %.
    """
    stories = Stories()
    entropy = stories.world.entropy()
    assert len(stories.texts) == pytest.approx(math.exp(entropy))
    torch.manual_seed(0)
    config = AutoregressiveConfig(width=48, layers=2, heads=4)
    model = Autoregressive(config, vocabulary=Vocabulary(len(stories.words), END, MASK))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95))
    draws, steps = torch.Generator().manual_seed(1), 400
    for step in range(steps):
        rate = min(1.0, (step + 1) / 20) * (0.1 + 0.45 * (1 + math.cos(math.pi * step / steps)))
        optimizer.param_groups[0]["lr"] = 1e-2 * rate
        rows = stories.all.rows(torch.randint(len(stories.texts), (32,), generator=draws))
        loss = -model.log_likelihood(rows).sum() / rows.lengths.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model = model.double().eval()
    with torch.no_grad():
        log_p = model.log_likelihood(stories.all)
    assert log_p.exp().sum() <= 1.0
    assert entropy <= -log_p.mean().item() <= 1.03 * entropy
    made = generate(model, [[] for _ in range(200)], most=64, temperature=1.0)
    told = [stories.text(tokens) for tokens, finish in made if finish == "end"]
    right = sum(stories.world.document_judgement(text).coherent for text in told) / len(made)
    # The model's mass on documents of the world, within 4 standard deviations of 200 draws.
    mass = float(log_p.exp().sum())
    assert abs(right - mass) < 4 * math.sqrt(mass * (1 - mass) / len(made)) + 1 / len(made)
    assert mass > 0.9
