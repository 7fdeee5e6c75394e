"""Masked diffusion: its loss and bound against enumeration, its canvas, its cost, and a world."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations, product
from typing import Any

import pytest
import torch
from scipy.special import betainc, comb
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import colaflex
from colaflex.baselines.configs import MaskedDiffusionConfig
from colaflex.baselines.masked_diffusion import MaskedDiffusion
from colaflex.corpora.token_index import Data, prepare_data
from colaflex.corpora.worlds import Worlds
from colaflex.corpora.worlds_process import WorldsConfig
from colaflex.errors import UserError
from colaflex.generation.text import GenerationOptions, TextGenerator
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.stage import StageStep
from colaflex.interfaces.values import TokenBatch, Vocabulary
from colaflex.testing.probes import shake
from colaflex.training.batches import TrainingBatches, evaluation_batches
from colaflex.training.optimizers import NamedGroup, build_optimizers, hidden_matrices

SIZE, END, MASK = 5, 0, 1
CANVAS = 4
SMALL: dict[str, Any] = {"width": 8, "layers": 1, "heads": 2}


def built(canvas: int = CANVAS, **options: Any) -> MaskedDiffusion:
    """A small one with large random weights, so that its predictions depend on what it sees."""
    torch.manual_seed(0)
    made: MaskedDiffusion = colaflex.build(
        "baseline",
        "masked_diffusion",
        vocabulary=Vocabulary(SIZE, END, MASK),
        max_tokens=canvas,
        **{**SMALL, **options},
    )
    shake(made, 0.5)
    return made.double().eval()


def batch(*rows: list[int], complete: bool = True) -> TokenBatch:
    """Rows that end with what is given; a complete one has its end-of-text."""
    width = max(map(len, rows))
    tokens = torch.tensor([[*row, *[END] * (width - len(row))] for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return TokenBatch(tokens, lengths, torch.full((len(rows),), complete))


def documents() -> Iterator[list[int]]:
    """All that fit on the canvas, each with its end-of-text."""
    letters = [token for token in range(SIZE) if token not in (END, MASK)]
    for length in range(CANVAS):
        for row in product(letters, repeat=length):
            yield [*row, END]


@torch.no_grad()
def hidden_nll(model: MaskedDiffusion, row: Tensor, hidden: tuple[int, ...], gone: int) -> Tensor:
    """-log p of each hidden token, where those and the last `gone` ones are masked."""
    index = torch.tensor(hidden)
    seen = row.clone()
    seen[index] = MASK
    seen[len(row) - gone :] = MASK
    return -model.logits(seen[None])[0].log_softmax(-1)[index, row[index]]


def maskings(
    model: MaskedDiffusion, tokens: list[int], complete: bool = True
) -> list[tuple[int, int, float]]:
    """For every set of masked tokens: its size, how many there are, and the sum of -log p."""
    row = torch.tensor([*tokens, *[END] * (CANVAS - len(tokens))])
    length = CANVAS if complete else len(tokens)
    return [
        (size, length, float(hidden_nll(model, row, hidden, CANVAS - length).sum()))
        for size in range(1, length + 1)
        for hidden in combinations(range(length), size)
    ]


def exact_bound(model: MaskedDiffusion, tokens: list[int], complete: bool = True) -> float:
    """The evidence lower bound: Σ over sets m of |m|!(n - |m|)!/(n! |m|) Σ log p."""
    return -sum(
        nll / size / comb(length, size) for size, length, nll in maskings(model, tokens, complete)
    )


def deviation(model: MaskedDiffusion, tokens: list[int], complete: bool = True) -> float:
    """Standard deviation of n/l · Σ log p over l ~ U{1..n} and the sets of l tokens."""
    sets = maskings(model, tokens, complete)
    square = sum((n / size * nll) ** 2 / n / comb(n, size) for size, n, nll in sets)
    return math.sqrt(square - exact_bound(model, tokens, complete) ** 2)


def by_orders(model: MaskedDiffusion, tokens: list[int]) -> Tensor:
    """(orders,) log p of a whole canvas when it is filled in each order."""
    row, found = torch.tensor(tokens), []
    for order in permutations(range(CANVAS)):
        steps = (
            hidden_nll(model, row, tuple(sorted(order[i:])), 0)[sorted(order[i:]).index(order[i])]
            for i in range(CANVAS)
        )
        found.append(-torch.stack(list(steps)).sum())
    return torch.stack(found)


class Consistent(MaskedDiffusion):
    """One whose predictions are the conditionals of one known distribution over canvases."""

    def known(self) -> tuple[Tensor, Tensor]:
        """All documents on their canvas, and the log-probability of each."""
        rows = [[*row, *[END] * (CANVAS - len(row))] for row in documents()]
        weights = torch.randn(len(rows), generator=torch.Generator().manual_seed(3)).double()
        return torch.tensor(rows), weights.log_softmax(0)

    def logits(self, canvas: Tensor, places: Tensor | None = None) -> Tensor:
        """log p(token at each place | those that are known)."""
        assert places is None
        rows, log_p = self.known()
        fits = ((canvas[:, None] == rows) | (canvas[:, None] == MASK)).all(-1)
        weight = (fits * log_p.exp())[:, :, None, None] * (rows[..., None] == torch.arange(SIZE))
        mass: Tensor = weight.sum(1)
        return mass.log() - mass.sum(-1, keepdim=True).log()


@pytest.mark.parametrize("tokens", [[2, 3, 4, END], [4, END], [END]], ids=str)
def test_the_bound_is_the_enumerated_one_but_for_the_error_of_its_samples(
    tokens: list[int],
) -> None:
    samples = 2000
    model = built(likelihood_samples=samples)
    found = float(model.log_likelihood(batch(tokens)))
    error = deviation(model, tokens) / math.sqrt(samples)
    assert error < 0.3
    assert abs(found - exact_bound(model, tokens)) < 4 * error


def test_of_consistent_conditionals_the_bound_is_the_likelihood() -> None:
    config = MaskedDiffusionConfig(**SMALL, likelihood_samples=3000)
    model = Consistent(config, vocabulary=Vocabulary(SIZE, END, MASK), max_tokens=CANVAS)
    _, log_p = model.known()
    for row, truth in zip(documents(), log_p.tolist(), strict=True):
        assert exact_bound(model, row) == pytest.approx(truth, abs=1e-9)
    error = deviation(model, [2, 3, END]) / math.sqrt(3000)
    index = list(documents()).index([2, 3, END])
    found = float(model.log_likelihood(batch([2, 3, END])))
    assert abs(found - float(log_p[index])) < 4 * error + 1e-9


def test_what_follows_a_window_of_a_longer_document_is_marginalised() -> None:
    samples = 3000
    config = MaskedDiffusionConfig(**SMALL, likelihood_samples=samples)
    model = Consistent(config, vocabulary=Vocabulary(SIZE, END, MASK), max_tokens=CANVAS)
    rows, log_p = model.known()
    truth = float(log_p[(rows[:, :2] == torch.tensor([3, 2])).all(1)].logsumexp(0))
    assert exact_bound(model, [3, 2], complete=False) == pytest.approx(truth, abs=1e-9)
    found = float(model.log_likelihood(batch([3, 2], complete=False)))
    error = deviation(model, [3, 2], complete=False) / math.sqrt(samples)
    assert error < 0.05
    assert abs(found - truth) < 4 * error


def test_the_bound_is_below_the_likelihood_of_filling_in_a_random_order() -> None:
    model = built()
    rows = [[*row, *[END] * (CANVAS - len(row))] for row in documents()]
    total = 0.0
    for row in rows[:: len(rows) // 8]:
        orders = by_orders(model, row)
        assert exact_bound(model, row) == pytest.approx(float(orders.mean()), abs=1e-9)
        exact = float(orders.logsumexp(0)) - math.log(len(orders))
        assert exact_bound(model, row) <= exact
    for row in documents():
        total += math.exp(exact_bound(model, row))
    assert total < 1.0


def mean_loss(model: MaskedDiffusion, tokens: list[int], steps: int, rows: int) -> Tensor:
    """(steps,) loss of a row, averaged over `rows` of its maskings."""
    stage = model.stages()[0]
    repeated = batch(*[tokens] * rows)
    with torch.no_grad():
        return (
            torch.stack(
                [
                    stage.losses(repeated, StageStep(i, steps, Noise(1, i, "baseline")))[
                        "nll"
                    ].total
                    for i in range(steps)
                ]
            )
            / rows
        )


@pytest.mark.parametrize("floor", [1e-3, 0.2])
def test_the_loss_is_an_unbiased_estimate_of_the_bound(floor: float) -> None:
    model, tokens = built(mask_floor=floor), [2, 4, END]
    losses = mean_loss(model, tokens, 60, 200)
    expected = 0.0
    for size, n, nll in maskings(model, tokens):
        # ∫ p^(|m|-1) (1-p)^(n-|m|) dp over p ~ U(floor, 1).
        beta = math.gamma(size) * math.gamma(n - size + 1) / math.gamma(n + 1)
        expected += nll * beta * (1 - betainc(size, n - size + 1, floor)) / (1 - floor)
    error = float(losses.std()) / math.sqrt(len(losses))
    assert abs(float(losses.mean()) - expected) < 4 * error
    assert error < 0.03 * expected
    if floor == 1e-3:
        assert expected == pytest.approx(-exact_bound(model, tokens), rel=0.01)


def test_masking_is_spread_evenly_over_the_rows_of_a_batch_and_of_its_parts() -> None:
    model = built()
    whole = Noise(0, 3, "baseline", total=8)
    step = StageStep(3, 10, whole)
    probabilities = model._mask_probability(8, step)
    assert sorted((probabilities * 8).long().tolist()) == list(range(8))
    part = StageStep(3, 10, Noise(0, 3, "baseline", first=5, total=8))
    assert torch.equal(model._mask_probability(3, part), probabilities[5:])


def test_the_bound_of_a_row_is_a_function_of_the_row() -> None:
    model = built(likelihood_samples=16)
    rows = [[2, 3, END], [4, END], [2, 3, END], [3, 3, 4, END]]
    found = model.log_likelihood(batch(*rows))
    assert torch.equal(found.flip(0), model.log_likelihood(batch(*rows[::-1])))
    assert found[0] == found[2]
    alone = torch.cat([model.log_likelihood(batch(row)) for row in rows])
    assert torch.equal(found, alone)


def test_nothing_is_certain() -> None:
    none = torch.zeros(1, 0, dtype=torch.int64)
    nothing = TokenBatch(none, torch.tensor([0]), torch.tensor([False]))
    assert built().log_likelihood(nothing).tolist() == [0.0]


def test_a_row_longer_than_the_canvas_is_refused() -> None:
    with pytest.raises(UserError, match=r"5 tokens is longer .*training.max_tokens, 4"):
        built().log_likelihood(batch([2, 3, 2, 3, END]))
    wide = batch([2, 3, END, END, END])
    narrow = TokenBatch(wide.tokens, torch.tensor([3]), wide.complete)
    assert torch.equal(built().log_likelihood(narrow), built().log_likelihood(batch([2, 3, END])))


def test_the_mask_is_never_predicted() -> None:
    canvas = torch.full((1, CANVAS), MASK)
    probability = built().logits(canvas).softmax(-1)
    assert (probability[..., MASK] == 0).all()
    assert probability.isfinite().all()


def test_places_of_an_empty_canvas_do_not_look_alike() -> None:
    logits = built().logits(torch.full((1, CANVAS), MASK))[0, :, 2:]
    assert torch.cdist(logits, logits).fill_diagonal_(1.0).min() > 1e-3


def test_model_flops_agree_with_torch() -> None:
    model = built(24, width=32, layers=2, heads=4).float().train()
    rows = batch(*[[2, 3, 4, END]] * 6)
    stage = model.stages()[0]
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        stage.losses(rows, StageStep(0, 1, Noise(0)))["nll"].total.backward()
    assert stage.flops(rows) == pytest.approx(counter.get_total_flops(), rel=0.03)


# A world.

WIDTH, STEPS, ROWS, RATE = 28, 500, 32, 1e-2


@dataclass(frozen=True)
class Learned:
    """A model of a small world, with its bound on held-out documents early in training and late."""

    model: MaskedDiffusion
    data: Data
    corpus: Worlds
    early: float
    late: float


def bound(model: MaskedDiffusion, data: Data) -> float:
    """Nats per document."""
    batches = evaluation_batches(data.index, "test", WIDTH, 50)
    return -float(torch.cat([model.log_likelihood(rows) for _, rows in batches]).mean())


@pytest.fixture(scope="module")
def learned() -> Learned:
    splits = {"validation_documents": 10, "test_documents": 100, "judge_documents": 10}
    world = {"factors": 2, "values": 2, "sentences": 2, "paraphrases": 2}
    corpus = Worlds(WorldsConfig(**world, documents=2000, **splits))
    data = prepare_data(corpus, 330)  # every word is one token
    torch.manual_seed(0)
    vocabulary = Vocabulary(data.tokenizer.size, data.tokenizer.end_of_text, data.tokenizer.mask)
    sizes = {"width": 64, "layers": 2, "heads": 4, "block_size": 8, "likelihood_samples": 32}
    model: MaskedDiffusion = colaflex.build(
        "baseline", "masked_diffusion", vocabulary=vocabulary, max_tokens=WIDTH, **sizes
    )
    order, stage = TrainingBatches(data.index, WIDTH, ROWS, 0), model.stages()[0]
    optimizer = build_optimizers(
        "muon",
        [NamedGroup(dict(model.named_parameters()))],
        betas=(0.9, 0.95),
        weight_decay=0.01,
        hidden=hidden_matrices(model, vocabulary.size),
    )
    early = math.inf
    for step in range(STEPS):
        optimizer.set_learning_rate(RATE * min(1, (step + 1) / 50) * (1 - step / STEPS))
        rows = order.batch(step)
        terms = stage.losses(rows, StageStep(step, STEPS, Noise(0, step, "baseline", 0, ROWS)))
        (terms["nll"].total / stage.counts(rows)["tokens"]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step == STEPS // 4:
            early = bound(model, data)
    return Learned(model.eval(), data, corpus, early, bound(model, data))


def test_the_bound_on_a_world_approaches_its_entropy_from_above(learned: Learned) -> None:
    # Two factors of two values, two wordings of two sentences: 4 ln 2 = 2.77 nats a document.
    # Found: 8.8 after a quarter of the steps, 3.5 at the end.
    entropy = 4 * math.log(2)
    assert entropy < learned.late < entropy + 1.2
    assert learned.late < learned.early - 1.0


def test_documents_of_a_world_are_valid_and_end(learned: Learned) -> None:
    generator = TextGenerator(learned.model, learned.data.tokenizer)
    options = GenerationOptions(max_new_tokens=40, steps=8, temperature=1.0)
    made = generator.generate([""] * 100, options)
    assert sum(each.finish == "end" for each in made) >= 95
    found = learned.corpus.truth().measure([each.text for each in made])
    assert found["valid_documents"].value > 0.9  # found: 1.00
    assert len({each.text for each in made}) > 8  # of the 16 that there are
