"""One bell over a setting, whose centre may move along another: fitted on a grid, without starts.

    y = linear part + a · exp(−½ ((x − c − slope · v) / w)²),   a ≥ 0

Only w, c and the slope enter non-linearly. At every point of a grid of them the rest is linear
regression, so that the sum of squares is known all over the grid, for many columns y at once: there
are no starting values, no local minima, and a profile of the slope comes with the fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from colaflex.statistics.intervals import Floats

__all__ = ["Bell", "Fit", "Grid", "linear_basis"]

_TINY = 1e-9


def linear_basis(columns: Floats) -> Floats:
    """An orthonormal basis of what columns span."""
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, sizes > 1e-8 * max(float(sizes[0]), _TINY)])


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the bell may be: widths, centres at v = 0, and slopes."""

    widths: Floats
    centres: Floats
    slopes: Floats

    @classmethod
    def over(cls, low: float, high: float, spread: float) -> Grid:
        """All that a range of x allows; beyond its ends, too.

        Args:
            low: end of the range of x.
            high: the other end.
            spread: of v, from least to greatest.
        """
        size = high - low
        steepest = 1.2 * size / spread
        return cls(
            np.geomspace(size / 10, 0.7 * size, 7),
            np.linspace(low - 0.4 * size, high + 0.4 * size, 46),
            np.linspace(-steepest, steepest, 61),
        )


@dataclass(frozen=True, slots=True)
class Fit:
    """The best bell.

    Attributes:
        width: its standard deviation.
        centre: at v = 0.
        slope: of the centre in v.
        height: at the centre, over the linear part.
        values: (n,) fitted.
        leverages: (n,) how far each value pulls the fit towards itself.
        weights: of the linear part's columns.
    """

    width: float
    centre: float
    slope: float
    height: float
    values: Floats
    leverages: Floats
    weights: Floats


@dataclass(frozen=True, slots=True)
class Bell:
    """The model with its data, but for y.

    Attributes:
        x: (n,) the setting that has an optimum.
        v: (n,) the one that may move it, centred.
        linear: (n, columns) the linear part.
        basis: (n, rank) the same, orthonormal.
    """

    x: Floats
    v: Floats
    linear: Floats
    basis: Floats

    @classmethod
    def of(cls, x: Floats, v: Floats, linear: Floats) -> Bell:
        """The model of these columns."""
        return cls(x, v, linear, linear_basis(linear))

    @property
    def freedom(self) -> int:
        """Degrees of freedom left to the errors."""
        return len(self.x) - int(self.basis.shape[1]) - 4

    def residual(self, y: Floats) -> Floats:
        """What the linear part leaves of columns y."""
        return np.asarray(y - self.basis @ (self.basis.T @ y))

    def gains(self, y: Floats, width: float, grid: Grid) -> Floats:
        """(centres, slopes, columns): by how much bells of a width lower the sums of squares.

        Args:
            y: (n, columns) what the linear part leaves.
            width: of the bells.
            grid: their centres and slopes.
        """
        moved = self.x - grid.slopes[:, None] * self.v
        bells = np.exp(-0.5 * ((moved - grid.centres[:, None, None]) / width) ** 2)
        bells = bells.reshape(-1, len(self.x))
        bells -= (bells @ self.basis) @ self.basis.T
        norms = np.sqrt(np.maximum(np.einsum("ij,ij->i", bells, bells), _TINY))
        along = np.maximum(bells @ y, 0) / norms[:, None]
        return np.asarray(along**2).reshape(len(grid.centres), len(grid.slopes), -1)

    def profile(self, y: Floats, grid: Grid) -> Floats:
        """(slopes, columns) the greatest gain at each slope."""
        best = [self.gains(y, width, grid).max(0) for width in grid.widths]
        return np.asarray(np.max(best, axis=0))

    def near(self, y: Floats, grid: Grid, loss: float) -> Grid:
        """The finer grid of all bells that gain at most `loss` less than the best.

        Args:
            y: (n,) what the linear part leaves.
            grid: a coarse one.
            loss: of the sum of squares.
        """
        gains = np.stack([self.gains(y[:, None], w, grid)[..., 0] for w in grid.widths])
        near = np.nonzero(gains >= gains.max() - loss)

        def ends(values: Floats, at: np.ndarray) -> tuple[float, float]:
            first, last = max(int(at.min()) - 1, 0), min(int(at.max()) + 1, len(values) - 1)
            return float(values[first]), float(values[last])

        return Grid(
            np.geomspace(*ends(grid.widths, near[0]), 6),
            np.linspace(*ends(grid.centres, near[1]), 21),
            np.linspace(*ends(grid.slopes, near[2]), 41),
        )

    def fit(self, y: Floats, grid: Grid, slope: float) -> Fit:
        """The best bell of a slope.

        Args:
            y: (n,) as measured.
            grid: of widths and centres.
            slope: of the centre.
        """
        grid, left = replace(grid, slopes=np.array([slope])), self.residual(y)[:, None]
        gains = np.stack([self.gains(left, w, grid)[:, 0, 0] for w in grid.widths])
        i, j = np.unravel_index(int(gains.argmax()), gains.shape)
        width, centre = float(grid.widths[i]), float(grid.centres[j])
        z = (self.x - centre - slope * self.v) / width
        bell = np.exp(-0.5 * z * z)
        columns = np.column_stack([self.linear, bell])
        weights = np.linalg.lstsq(columns, y, rcond=1e-10)[0]
        moves = linear_basis(np.column_stack([columns, bell * z, bell * z * self.v, bell * z * z]))
        return Fit(
            width,
            centre,
            slope,
            float(weights[-1]),
            columns @ weights,
            np.einsum("ij,ij->i", moves, moves),
            weights[:-1],
        )
