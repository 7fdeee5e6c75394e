"""What a representation promises of its training."""

from __future__ import annotations

import torch
from torch import Tensor

from colaflex.interfaces.representation import Encoding, Representation
from colaflex.interfaces.values import Segmentation
from colaflex.testing.probes import demand_close, demand_gradients, demand_own_draws, objective
from colaflex.testing.representation_cases import Case
from colaflex.testing.results import Fault
from colaflex.testing.subject import Subject

__all__ = ()

FIT_STEPS, FIT_ROWS, FIT_RATE = 60, 8, 1e-2


def _encoding(case: Case, model: Representation, step: int = 0) -> Encoding:
    tokens, segmentation = case.batch()
    return model.losses(tokens, segmentation, case.noise(step))


def _totals(encoding: Encoding) -> list[Tensor]:
    return [term.total for term in encoding.losses.values()]


def losses(subject: Subject) -> None:
    """Loss terms are finite scalars with a unit, functions of weights, batch and noise alone."""
    case = Case(subject)
    model = case.shaken()
    encoding = _encoding(case, model)
    objective(encoding.losses)
    if not encoding.losses:
        raise Fault("losses() returns no term")
    for name, term in encoding.losses.items():
        if term.per not in ("tokens", "latents", "rows"):
            raise Fault(f"the loss term {name!r} is per {term.per!r}")
    if encoding.sample.shape != encoding.posterior.mean.shape:
        raise Fault(f"the sample has shape {tuple(encoding.sample.shape)}")
    demand_own_draws(lambda: [*_totals(_encoding(case, model)), encoding.sample], "losses()")
    if subject.capabilities.continuous_density and "rate" not in encoding.losses:
        raise Fault('it declares a density, and no loss term is named "rate"')


def rate(subject: Subject) -> None:
    """The term "rate", where there is one, is not negative."""
    case = Case(subject)
    for model in (case.fresh(), case.shaken()):
        term = _encoding(case, model).losses.get("rate")
        if term is not None and term.total.item() < -1e-9:
            raise Fault(f"the rate is {term.total.item():.3g}")


def additive(subject: Subject) -> None:
    """Loss totals are sums over rows: the parts of a split batch add up to the whole."""
    case = Case(subject)
    model = case.shaken()
    tokens, segmentation = case.batch()
    rows = len(tokens.lengths)
    for step in range(2):
        whole = model.losses(tokens, segmentation, case.noise(step))
        parts = [
            model.losses(
                tokens.rows(slice(a, b)),
                Segmentation(segmentation.lengths[a:b]),
                case.noise(step, a),
            )
            for a, b in ((0, 1), (1, rows))
        ]
        for name, term in whole.losses.items():
            joined = parts[0].losses[name].total + parts[1].losses[name].total
            what = f"the parts' {name!r} don't add up (statistics of the batch, or a mean?)"
            demand_close(joined, term.total, 1e-9, what)


def padding(subject: Subject) -> None:
    """Empty segments behind a row's last change no loss."""
    case = Case(subject)
    model = case.shaken()
    row = [case.lengths[0]]
    longer = [(*case.lengths[0], 0, 0)]
    results = []
    for lengths in (row, longer):
        tokens, segmentation = case.batch(row)
        segmentation = Segmentation(torch.tensor(lengths))
        encoding = model.losses(tokens, segmentation, case.noise())
        term = encoding.losses.get("rate")
        results.append((encoding.posterior.mean[:, : len(row[0])], term))
    demand_close(results[1][0], results[0][0], 1e-9, "latents change with empty segments")
    if results[0][1] is not None and results[1][1] is not None:
        demand_close(results[1][1].total, results[0][1].total, 1e-9, "the rate of empty segments")


def gradients(subject: Subject) -> None:
    """After three steps, a finite gradient that is not zero in every weight that learns."""
    case = Case(subject)
    model = case.fresh(double=False)

    def loss(step: int) -> Tensor:
        return objective(_encoding(case, model, step).losses) / 20

    demand_gradients(model, [p for p in model.parameters() if p.requires_grad], loss)


def learns(subject: Subject) -> None:
    """A few steps on a few rows improve their reconstruction."""
    case = Case(subject)
    model = case.fresh(double=False)
    lengths = [case.lengths[i % 3] for i in range(FIT_ROWS)]
    tokens, segmentation = case.batch(lengths, seed=2)
    grid, slots = segmentation.slots(tokens.tokens, case.slots)

    def error() -> float:
        with torch.no_grad():
            logits = model.decode(model.encode(tokens, segmentation).mode()).log_softmax(-1)
        return -float(logits.gather(-1, grid[..., None])[..., 0][slots].mean())

    learned = [p for p in model.parameters() if p.requires_grad]
    before, optimizer = error(), torch.optim.AdamW(learned, lr=FIT_RATE)
    for step in range(FIT_STEPS):
        noise = type(case.noise())(7, step, "check")
        terms = model.losses(tokens, segmentation, noise).losses
        (objective(terms) / tokens.lengths.sum()).backward()
        optimizer.step()
        optimizer.zero_grad()
    if not error() < 0.7 * before:
        raise Fault(
            f"-log p(x | z) of its training tokens is {error():.2f} nats after {FIT_STEPS} steps, "
            f"{before:.2f} before"
        )


def autocast(subject: Subject) -> None:
    """Under bf16 autocast, losses and gradients stay finite."""
    case = Case(subject)
    model = case.shaken(double=False)
    with torch.autocast("cpu", torch.bfloat16):
        total = objective(_encoding(case, model).losses)
    total.backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            raise Fault(f"the gradient of {name} is not finite")


def state_dict(subject: Subject) -> None:
    """All that is learned is in the state dict: loaded into a new one, it encodes the same."""
    case = Case(subject)
    one, other = case.shaken(), case.fresh()
    other.load_state_dict(one.state_dict())
    tokens, segmentation = case.batch()
    with torch.no_grad():
        means = [model.encode(tokens, segmentation).mean for model in (one, other)]
        logits = [model.decode(means[0]) for model in (one, other)]
    demand_close(means[1], means[0], 0.0, "latents of a loaded copy")
    demand_close(logits[1], logits[0], 0.0, "logits of a loaded copy")


def flops(subject: Subject) -> None:
    """FLOPs are positive, linear in rows, and grow with the number of segments."""
    model = Case(subject).fresh()
    one, two, four = (model.flops(rows, 8) for rows in (16, 32, 64))
    if not 0 < one < two or abs((four - two) - 2 * (two - one)) > 0.01 * four:
        raise Fault(f"FLOPs are {one}, {two}, {four} for 16, 32, 64 rows")
    if model.flops(16, 16) <= one:
        raise Fault("FLOPs don't grow with the number of segments")
