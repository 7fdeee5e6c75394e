"""A smooth surface over all searched settings: what each does, and what pairs do only together.

    y = mean + Σ f_i(x_i) + Σ f_ij(x_i, x_j) + error

Each f is a Gaussian process that is orthogonal to all the others if every setting is uniform over
its range (functional analysis of variance). How much each f varies is estimated by restricted
maximum likelihood, so that no trial has to be held out, and the surface stays flat where trials say
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from colaflex.statistics.intervals import Floats
from colaflex.studies.explanation.basis import Basis, basis_of
from colaflex.studies.explanation.evidence import Evidence

__all__ = ["Surface", "Term", "fit_surface"]

STEPS = 60
VARIANCES = 50
"""Draws of them, behind draws of surfaces."""
LEAST = 0.003
"""Of the objective's variance: no f is held for exactly flat."""


@dataclass(frozen=True, slots=True)
class Term:
    """An f.

    Attributes:
        paths: of its one or two settings.
        basis: the functions it is made of.
        kernel: (trials, trials) its covariance at unit variance.
    """

    paths: tuple[str, ...]
    basis: Basis
    kernel: Floats

    @classmethod
    def of(cls, paths: tuple[str, ...], basis: Basis) -> Term:
        """The f that is made of these functions."""
        scaled = basis.columns * np.sqrt(basis.weights)
        return cls(paths, basis, scaled @ scaled.T)


@dataclass(frozen=True, slots=True)
class Surface:
    """The fitted surface.

    Attributes:
        y: (trials,) the objective, with mean 0 and variance 1.
        terms: all f.
        variances: (terms + 1,) how much each varies; the errors last.
    """

    y: Floats
    terms: tuple[Term, ...]
    variances: Floats

    @property
    def explained(self) -> float:
        """The share of the objective's variance that is not error."""
        return float(1 - self.variances[-1] / self.variances.sum())

    def without(self, flat: Sequence[Term]) -> Surface:
        """The surface fitted without some f."""
        keep = [not any(term is left for left in flat) for term in self.terms]
        terms = tuple(term for term, stays in zip(self.terms, keep, strict=True) if stays)
        start = self.variances[np.array([*keep, True])]
        return Surface(self.y, terms, _variances(self.y, terms, start, STEPS // 2))

    def draws(self, rng: np.random.Generator, times: int) -> Floats:
        """(times, terms) how much each f varies, in surfaces drawn from the posterior.

        Variances are drawn first, by the curvature of their restricted likelihood.
        """
        information = self._information()
        root = np.linalg.inv(np.linalg.cholesky(information)).T
        drawn = rng.standard_normal((VARIANCES, len(information))) @ root.T
        each = -(-times // VARIANCES)
        squares = [self._squares(self.variances * np.exp(moved), rng, each) for moved in drawn]
        return np.concatenate(squares)[:times]

    def _information(self) -> Floats:
        """On the logarithms of the variances; they may be off by a factor e, for all we know."""
        _, precision = _precision(self.terms, self.variances, len(self.y))
        kernels = [term.kernel for term in self.terms] + [np.eye(len(self.y))]
        parts = [v * precision @ k for v, k in zip(self.variances, kernels, strict=True)]
        flat = np.stack([part.ravel() for part in parts])
        turned = np.stack([part.T.ravel() for part in parts])
        return np.asarray(0.5 * flat @ turned.T + np.eye(len(parts)))

    def _squares(self, variances: Floats, rng: np.random.Generator, times: int) -> Floats:
        """(times, terms) how much each f varies if variances are these."""
        _, precision = _precision(self.terms, variances, len(self.y))
        columns = np.concatenate([term.basis.columns for term in self.terms], 1)
        prior = np.concatenate(
            [v * term.basis.weights for term, v in zip(self.terms, variances[:-1], strict=True)]
        )
        pull = prior[:, None] * (columns.T @ precision)
        # A draw of the prior and of errors, corrected by what it says of the trials.
        weights = np.sqrt(prior) * rng.standard_normal((times, len(prior)))
        errors = np.sqrt(variances[-1]) * rng.standard_normal((times, len(self.y)))
        squares = (weights + (self.y - weights @ columns.T - errors) @ pull.T) ** 2
        ends = np.cumsum([0] + [len(term.basis.weights) for term in self.terms])[:-1]
        return np.asarray(np.add.reduceat(squares, ends, axis=1))

    def p_value(self, flat: Sequence[Term], rng: np.random.Generator, times: int) -> float:
        """Of the hypothesis that some f are flat: a score test, by simulation of the rest."""
        rest = self.without(flat)
        covariance, precision = _precision(rest.terms, rest.variances, len(self.y))
        root = np.linalg.cholesky(covariance)
        drawn = precision @ (root @ rng.standard_normal((len(self.y), times)))
        kernel = np.sum([term.kernel for term in flat], axis=0)

        def score(left: Floats) -> Floats:
            spread = np.einsum("ij,ij->j", left, covariance @ left)
            return np.asarray(np.einsum("ij,ij->j", left, kernel @ left) / spread)

        measured = score((precision @ self.y)[:, None])[0]
        return (1 + int((score(drawn) >= measured).sum())) / (1 + times)


def fit_surface(trials: Evidence) -> Surface | None:
    """Fit it; None where nothing varies."""
    spread = float(trials.y.std()) if len(trials.y) else 0.0
    bases = [(knob.path, basis) for knob in trials.knobs if (basis := basis_of(knob)) is not None]
    if not bases or spread <= 1e-12 * float(np.abs(trials.y).max()):
        return None
    y = (trials.y - trials.y.mean()) / spread
    terms = [Term.of((path,), basis) for path, basis in bases]
    for (first, one), (second, other) in combinations(bases, 2):
        product = one.times(other)
        if product.columns.any():
            terms.append(Term.of((first, second), product))
    start = np.full(len(terms) + 1, 1 / (len(terms) + 1))
    return Surface(y, tuple(terms), _variances(y, terms, start, STEPS))


def _precision(terms: Sequence[Term], variances: Floats, n: int) -> tuple[Floats, Floats]:
    """Covariance of n trials, and its inverse on what is orthogonal to the mean."""
    covariance = variances[-1] * np.eye(n)
    for term, variance in zip(terms, variances[:-1], strict=True):
        covariance += variance * term.kernel
    inverse = np.linalg.inv(covariance)
    sums = inverse.sum(1)
    return covariance, np.asarray(inverse - np.outer(sums, sums) / sums.sum())


def _variances(y: Floats, terms: Sequence[Term], start: Floats, steps: int) -> Floats:
    """Restricted maximum likelihood, by Zhou et al.'s steps, which never lower it."""
    variances = np.maximum(start, LEAST)
    for _ in range(steps):
        _, precision = _precision(terms, variances, len(y))
        left = precision @ y
        ratios = [
            (left @ term.kernel @ left) / max(float((precision * term.kernel).sum()), 1e-12)
            for term in terms
        ]
        ratios.append((left @ left) / float(np.trace(precision)))
        variances = np.maximum(variances * np.sqrt(ratios), LEAST)
    return variances
