"""Nonlinear least squares problems from the literature, with their published minima.

Those of section "nonlinear least squares" of J. J. Moré, B. S. Garbow, K. E. Hillstrom, "Testing
unconstrained optimization software", ACM TOMS 7(1), 1981, with which the programs of MINPACK were
tested, each from its standard starting point. The minima are sums of squares to the six digits
of the paper.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

import problems
from fixtures.desc import lsq_problems


@dataclass(frozen=True)
class LeastSquaresProblem:
    name: str
    residual: Callable[[NDArray], NDArray]
    jacobian: Callable[[NDArray], NDArray]
    start: NDArray
    # Sums of squares at all published local minima, also those with parameters at infinity.
    minima: tuple[float, ...]

    def __str__(self) -> str:
        return self.name


def published(shared, *minima: float, name: str | None = None) -> LeastSquaresProblem:
    """Take a problem of the other tables."""
    return LeastSquaresProblem(
        name or shared.name, shared.residual, shared.jacobian, shared.start, minima
    )


def linear(name: str, matrix: NDArray, minimum: float) -> LeastSquaresProblem:
    return LeastSquaresProblem(
        f"{name}, m = {len(matrix)}",
        lambda x: matrix @ x - 1,
        lambda x: matrix.copy(),
        np.ones(matrix.shape[1]),
        (minimum,),
    )


def linear_full_rank(n: int, m: int) -> LeastSquaresProblem:
    return linear("linear full rank", np.eye(m, n) - 2 / m, m - n)


def linear_rank_1(n: int, m: int) -> LeastSquaresProblem:
    matrix = np.outer(np.arange(1.0, m + 1), np.arange(1.0, n + 1))
    return linear("linear rank 1", matrix, m * (m - 1) / (2 * (2 * m + 1)))


def linear_rank_1_with_zeros(n: int, m: int) -> LeastSquaresProblem:
    rows, columns = np.arange(float(m)), np.arange(1.0, n + 1)
    rows[-1] = columns[0] = columns[-1] = 0.0
    minimum = (m * m + 3 * m - 6) / (2 * (2 * m - 3))
    return linear("linear rank 1, zero columns and rows", np.outer(rows, columns), minimum)


def watson(n: int, minimum: float) -> LeastSquaresProblem:
    t = np.arange(1.0, 30) / 29
    powers = t[:, np.newaxis] ** np.arange(n)
    slopes = np.zeros((29, n))
    slopes[:, 1:] = np.arange(1, n) * powers[:, :-1]

    def residual(x):
        return np.concatenate([slopes @ x - (powers @ x) ** 2 - 1, [x[0], x[1] - x[0] ** 2 - 1]])

    def jacobian(x):
        ends = np.zeros((2, n))
        ends[0, 0], ends[1, 0], ends[1, 1] = 1.0, -2 * x[0], 1.0
        return np.vstack([slopes - 2 * (powers @ x)[:, np.newaxis] * powers, ends])

    return LeastSquaresProblem(f"watson, n = {n}", residual, jacobian, np.zeros(n), (minimum,))


def chebyquad(n: int, minimum: float) -> LeastSquaresProblem:
    """Abscissas for equal weights: the Chebyshev polynomials on [0, 1] are to have no error."""
    degree = np.arange(1, n + 1)
    even = degree % 2 == 0
    integral = np.zeros(n)
    integral[even] = -1 / (degree[even] ** 2 - 1.0)
    derivative = chebyshev.chebder(np.eye(n + 1))

    def residual(x):
        return chebyshev.chebvander(2 * x - 1, n)[:, 1:].mean(axis=0) - integral

    def jacobian(x):
        return 2 / n * (chebyshev.chebvander(2 * x - 1, n - 1) @ derivative)[:, 1:].T

    start = degree / (n + 1)
    return LeastSquaresProblem(f"chebyquad, n = {n}", residual, jacobian, start, (minimum,))


def brown_almost_linear(n: int) -> LeastSquaresProblem:
    # The second one is at (0, ..., 0, n + 1).
    return published(
        problems.brown_almost_linear(n), 0.0, 1.0, name=f"brown almost linear, n = {n}"
    )


def osborne_2() -> LeastSquaresProblem:
    y = lsq_problems.column("""
        1.366 1.191 1.112 1.013 0.991 0.885 0.831 0.847 0.786 0.725 0.746 0.679 0.608
        0.655 0.616 0.606 0.602 0.626 0.651 0.724 0.649 0.649 0.694 0.644 0.624 0.661
        0.612 0.558 0.533 0.495 0.500 0.423 0.395 0.375 0.372 0.391 0.396 0.405 0.428
        0.429 0.523 0.562 0.607 0.653 0.672 0.708 0.633 0.668 0.645 0.632 0.591 0.559
        0.597 0.625 0.739 0.710 0.729 0.720 0.636 0.581 0.428 0.292 0.162 0.098 0.054
    """)
    t = np.arange(65) / 10

    def terms(x):
        """Shapes of the decay and of the three bells, and the distances from their centres."""
        distance = t - x[8:, np.newaxis]
        bells = np.exp(-(distance**2) * x[5:8, np.newaxis])
        return np.exp(-t * x[4]), bells, distance

    def residual(x):
        decay, bells, _ = terms(x)
        return y - x[0] * decay - x[1:4] @ bells

    def jacobian(x):
        decay, bells, distance = terms(x)
        heights, widths = x[1:4, np.newaxis], x[5:8, np.newaxis]
        rows = [
            -decay[np.newaxis],
            -bells,
            (x[0] * t * decay)[np.newaxis],
            heights * distance**2 * bells,
            -2 * heights * widths * distance * bells,
        ]
        return np.concatenate(rows).T

    start = np.array([1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5])
    return LeastSquaresProblem("osborne 2", residual, jacobian, start, (4.01377e-2,))


PROBLEMS = [
    linear_full_rank(5, 10),
    linear_full_rank(5, 50),
    linear_rank_1(5, 10),
    linear_rank_1(5, 50),
    linear_rank_1_with_zeros(5, 10),
    linear_rank_1_with_zeros(5, 50),
    published(lsq_problems.rosenbrock(), 0.0),
    published(lsq_problems.helical_valley(), 0.0),
    published(lsq_problems.powell_singular(), 0.0),
    published(lsq_problems.freudenstein_roth(), 0.0, 48.9842),
    # The second ones of these two are at (0.8406..., -inf, -inf) and (inf, -14.07..., -inf, -inf).
    published(lsq_problems.bard(), 8.21487e-3, 17.4286),
    published(lsq_problems.kowalik_osborne(), 3.07505e-4, 1.02734e-3),
    published(lsq_problems.meyer(), 87.9458),
    watson(6, 2.28767e-3),
    watson(9, 1.39976e-6),
    watson(12, 4.72238e-10),
    published(lsq_problems.box_3d(), 0.0),
    published(lsq_problems.jennrich_sampson(), 124.362),
    published(lsq_problems.brown_dennis(), 85822.2),
    *(chebyquad(n, 0.0) for n in range(1, 8)),
    chebyquad(8, 3.51687e-3),
    chebyquad(9, 0.0),
    chebyquad(10, 6.50395e-3),
    brown_almost_linear(10),
    brown_almost_linear(30),
    brown_almost_linear(40),
    published(lsq_problems.osborne_1(), 5.46489e-5),
    osborne_2(),
]
