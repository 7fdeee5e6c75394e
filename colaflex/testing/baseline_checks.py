"""What a language model without latents promises."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from colaflex.interfaces.capabilities import Place
from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.losses import Losses
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.stage import Stage, StageStep
from colaflex.interfaces.values import TokenBatch, Vocabulary
from colaflex.testing.probes import (
    demand_close,
    demand_gradients,
    demand_own_draws,
    objective,
    shake,
)
from colaflex.testing.results import Fault, NotApplicable
from colaflex.testing.subject import Subject

__all__ = ()

SIZE, END, MASK = 11, 0, 1
LENGTHS, WIDTH = (8, 5, 8, 1), 8
PROMPTS: tuple[list[int], ...] = ([2, 3, 4], [], [5], [2, 3, 4])
STEPS = 100
DRAWS = 2000
Rows = dict[int, tuple[list[int], str | None]]


@dataclass(frozen=True)
class Case:
    """A baseline under test."""

    subject: Subject

    def fresh(self) -> LanguageModel:
        """A new one with its first weights."""
        vocabulary = Vocabulary(SIZE, END, MASK)
        model: LanguageModel = self.subject.build(vocabulary=vocabulary, max_tokens=WIDTH)
        return model.float()

    def shaken(self) -> LanguageModel:
        """One whose weights are all random, in float64."""
        model = self.fresh()
        shake(model, 0.3)
        return model.double().eval()

    @property
    def batch(self) -> TokenBatch:
        """Documents and windows of several lengths."""
        draws = torch.Generator().manual_seed(2)
        tokens = torch.randint(2, SIZE, (len(LENGTHS), WIDTH), generator=draws)
        lengths = torch.tensor(LENGTHS)
        complete = torch.tensor([True, True, False, True])
        tokens[torch.arange(WIDTH) >= (lengths - complete.long())[:, None]] = END
        return TokenBatch(tokens, lengths, complete)

    def losses(
        self, stage: Stage, batch: TokenBatch, index: int = 0, first: int = 0, total: int = 4
    ) -> Losses:
        """Of a batch that is prepared as the stage wants it."""
        whole = StageStep(index, STEPS, Noise(3, index, stage.name, 0, total, STEPS))
        own = replace(whole, noise=replace(whole.noise, first=first))
        prepared = stage.prepare(self.batch, whole).rows(slice(first, first + len(batch.lengths)))
        return stage.losses(prepared, own)

    def generated(self, model: LanguageModel, prompts: tuple[list[int], ...], most: int) -> Rows:
        """Tokens and finish of every prompt, drawn at temperature 1."""
        sampling, drawn = SamplingOptions(4), TokenSampling(temperature=1.0)
        rows: Rows = {row: ([], None) for row in range(len(prompts))}
        for step in model.generate_tokens(prompts, 5, most, sampling, drawn):
            for gained in step:
                tokens, finish = rows[gained.row]
                if finish is not None:
                    raise Fault(f"row {gained.row} goes on behind its finish, {finish!r}")
                rows[gained.row] = ([*tokens, *gained.tokens], gained.finish)
        return rows


def losses(subject: Subject) -> None:
    """Every stage's loss terms are finite scalars, functions of weights, batch and noise alone."""
    case = Case(subject)
    model = case.shaken()
    for stage in model.stages():
        terms = case.losses(stage, case.batch)
        objective(terms)
        if not terms:
            raise Fault(f"the stage {stage.name!r} has no loss term")

        def totals(stage: Stage = stage) -> list[Tensor]:
            return [term.total for term in case.losses(stage, case.batch).values()]

        demand_own_draws(totals, "losses()")


def additive(subject: Subject) -> None:
    """Loss totals are sums over rows: the parts of a split batch add up to the whole."""
    case = Case(subject)
    model = case.shaken()
    for stage in model.stages():
        whole = case.losses(stage, case.batch)
        parts = [
            case.losses(stage, case.batch.rows(slice(a, b)), first=a) for a, b in ((0, 1), (1, 4))
        ]
        for name, term in whole.items():
            joined = parts[0][name].total + parts[1][name].total
            what = f"the parts' {name!r} don't add up (statistics of the batch, or a mean?)"
            demand_close(joined, term.total, 1e-9, what)


def gradients(subject: Subject) -> None:
    """After three steps, a finite gradient that is not zero in every weight that learns."""
    case = Case(subject)
    model = case.fresh()
    for stage in model.stages():
        stage.start()

        def loss(step: int, stage: Stage = stage) -> Tensor:
            return objective(case.losses(stage, case.batch, step)) / 20

        demand_gradients(model, [p for group in stage.groups for p in group.parameters], loss)


def parts(subject: Subject) -> None:
    """The named parts share no weight, and hold all that learn."""
    model = Case(subject).fresh()
    inside = [id(p) for part in model.parts().values() for p in part.parameters()]
    if len(set(inside)) != len(inside):
        raise Fault("two parts hold the same weight")
    learned = {id(p) for s in model.stages() for g in s.groups for p in g.parameters}
    if learned - set(inside):
        raise Fault(f"{len(learned - set(inside))} weights learn and are in no part")


def flops(subject: Subject) -> None:
    """Every stage costs something, and twice as many rows twice as much."""
    case = Case(subject)
    batch = case.batch
    twice = TokenBatch(batch.tokens.repeat(2, 1), batch.lengths.repeat(2), batch.complete.repeat(2))
    for stage in case.fresh().stages():
        once, both = stage.flops(batch), stage.flops(twice)
        if once <= 0 or both != 2 * once:
            raise Fault(f"{len(batch.lengths)} rows cost {once:,} FLOPs, twice as many {both:,}")


def generates(subject: Subject) -> None:
    """Rows end with "end" or, after as many tokens as were asked for, "length"; no special ones."""
    case = Case(subject)
    model = case.shaken()
    for most in (0, 1, 6):
        for row, (tokens, finish) in case.generated(model, PROMPTS, most).items():
            if finish not in ("end", "length"):
                raise Fault(f"row {row} ends with {finish!r}")
            if len(tokens) > most or (finish == "length" and len(tokens) < most):
                raise Fault(f"of at most {most} tokens, row {row} gains {len(tokens)}: {finish!r}")
            if {END, MASK} & set(tokens):
                raise Fault(f"row {row} holds end-of-text or the mask")


def own_rows(subject: Subject) -> None:
    """A row depends on its prompt, seed and repetition alone, not on its neighbours."""
    case = Case(subject)
    model = case.shaken()
    together = case.generated(model, PROMPTS, 6)
    demand_own_draws(
        lambda: [torch.tensor(case.generated(model, PROMPTS, 6)[row][0]) for row in together],
        "generate_tokens()",
    )
    for row in (0, 1, 2):
        alone = case.generated(model, (PROMPTS[row],), 6)[0]
        if alone != together[row]:
            raise Fault(f"row {row} alone gives {alone}, among others {together[row]}")


def likelihood(subject: Subject) -> None:
    """A declared likelihood is exact: it sums to one over the next token, whatever the padding."""
    case = Case(subject)
    model = case.shaken()
    declared = subject.capabilities.likelihood
    log_p = model.log_likelihood(case.batch)
    if declared == "none":
        if log_p is not None:
            raise Fault("it declares no likelihood, and log_likelihood() gives one")
        raise NotApplicable("it declares no likelihood")
    if log_p is None or log_p.shape != (len(LENGTHS),):
        raise Fault("log_likelihood() gives no number a row")
    row = case.batch.rows(slice(1, 2))
    alone = model.log_likelihood(replace(row, tokens=row.tokens[:, : LENGTHS[1]]))
    assert alone is not None
    demand_close(alone, log_p[1:2], 1e-9, "a row's likelihood depends on neighbours or fillers")
    if declared != "exact":
        return
    tokens = torch.tensor([[2, 3, token] for token in range(SIZE)])
    rows = TokenBatch(tokens, torch.full((SIZE,), 3), torch.arange(SIZE) == END)
    before = model.log_likelihood(
        TokenBatch(tokens[:1, :2], torch.tensor([2]), torch.tensor([False]))
    )
    after = model.log_likelihood(rows)
    assert before is not None
    assert after is not None
    demand_close(
        after.logsumexp(0, keepdim=True), before, 1e-6, "over the next token it does not sum to one"
    )


def drawn(subject: Subject) -> None:
    """Tokens drawn behind a prompt at temperature 1 are as frequent as a declared likelihood says.

    The mask apart, which is never drawn. Of a token of probability p, the share among n draws lies
    within 5 sqrt(p (1 - p) / n) + 1 / n of it: a sound baseline fails in one of 10^5 cases.
    """
    if subject.capabilities.likelihood != "exact":
        raise NotApplicable("it declares no exact likelihood")
    case = Case(subject)
    model = case.shaken()
    continuations = case.generated(model, ([2],) * DRAWS, 1).values()
    shares = torch.zeros(SIZE, dtype=torch.float64)
    for tokens, _ in continuations:
        shares[tokens[0] if tokens else END] += 1 / DRAWS
    rows = torch.tensor([[2, token] for token in range(SIZE)])
    complete = torch.arange(SIZE) == END
    log_p = model.log_likelihood(TokenBatch(rows, torch.full((SIZE,), 2), complete))
    assert log_p is not None
    probability = log_p.detach().masked_fill(torch.arange(SIZE) == MASK, -torch.inf).softmax(0)
    allowed = 5 * (probability * (1 - probability) / DRAWS).sqrt() + 1 / DRAWS
    for token in ((shares - probability).abs() > allowed).nonzero()[:, 0].tolist():
        raise Fault(
            f"token {token} is {shares[token]:.3f} of {DRAWS:,} draws, and by log_likelihood() "
            f"its probability is {probability[token]:.3f}"
        )


def place(subject: Subject) -> None:
    """A place among models that is declared is told in full."""
    declared = subject.capabilities.place
    if declared is None:
        raise NotApplicable("it declares no place among models")
    if not isinstance(declared, Place):
        raise Fault(f"its place is {declared!r}, expected a colaflex.interfaces.capabilities.Place")
    for name, value in asdict(declared).items():
        if name != "explicit_latent" and not (isinstance(value, str) and value.strip()):
            raise Fault(f"its place says nothing of {name}")
