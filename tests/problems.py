"""Systems of equations from the literature, shared by the tests of all solvers.

Each problem has a residual, its exact Jacobian, the usual starting point and, where it is known
and unique near there, the solution. Unless a comment says otherwise they are those of J. J. Moré,
B. S. Garbow, K. E. Hillstrom, "Testing unconstrained optimization software", ACM TOMS 7(1), 1981.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Problem:
    name: str
    residual: Callable[[NDArray], NDArray]
    jacobian: Callable[[NDArray], NDArray]
    start: NDArray
    solution: NDArray | None = None
    # The residual is an analytic function and takes complex arrays.
    analytic: bool = True
    # The Jacobian is singular at the solution, so it is found to fewer digits.
    singular: bool = False

    def __str__(self) -> str:
        return self.name


def two_curves() -> Problem:
    """The system of the reference text on Newton's method."""

    def residual(v):
        x, y = v
        return np.array([np.exp(x) + y - 2, x**2 + 2 * y**2 - 6])

    def jacobian(v):
        x, y = v
        return np.array([[np.exp(x), 1], [2 * x, 4 * y]])

    solution = np.array([1.2497963831827195, -1.48963233728719])
    return Problem("two curves", residual, jacobian, np.array([2.0, -2.0]), solution)


def rosenbrock() -> Problem:
    def residual(v):
        x, y = v
        return np.array([10 * (y - x**2), 1 - x])

    def jacobian(v):
        return np.array([[-20 * v[0], 10], [-1, 0]])

    return Problem("Rosenbrock", residual, jacobian, np.array([-1.2, 1.0]), np.ones(2))


def powell_singular() -> Problem:
    def residual(v):
        a, b, c, d = v
        return np.array(
            [a + 10 * b, np.sqrt(5) * (c - d), (b - 2 * c) ** 2, np.sqrt(10) * (a - d) ** 2]
        )

    def jacobian(v):
        a, b, c, d = v
        return np.array(
            [
                [1, 10, 0, 0],
                [0, 0, np.sqrt(5), -np.sqrt(5)],
                [0, 2 * (b - 2 * c), -4 * (b - 2 * c), 0],
                [2 * np.sqrt(10) * (a - d), 0, 0, -2 * np.sqrt(10) * (a - d)],
            ]
        )

    start = np.array([3.0, -1.0, 0.0, 1.0])
    return Problem("Powell singular", residual, jacobian, start, np.zeros(4), singular=True)


def powell_badly_scaled() -> Problem:
    def residual(v):
        x, y = v
        return np.array([1e4 * x * y - 1, np.exp(-x) + np.exp(-y) - 1.0001])

    def jacobian(v):
        x, y = v
        return np.array([[1e4 * y, 1e4 * x], [-np.exp(-x), -np.exp(-y)]])

    solution = np.array([1.0981593296998e-5, 9.106146739867])
    return Problem("Powell badly scaled", residual, jacobian, np.array([0.0, 1.0]), solution)


def wood() -> Problem:
    """The gradient of Wood's function."""

    def residual(v):
        a, b, c, d = v
        return np.array(
            [
                -200 * a * (b - a**2) - (1 - a),
                100 * (b - a**2) + 10.1 * (b - 1) + 9.9 * (d - 1),
                -180 * c * (d - c**2) - (1 - c),
                90 * (d - c**2) + 10.1 * (d - 1) + 9.9 * (b - 1),
            ]
        )

    def jacobian(v):
        a, b, c, d = v
        return np.array(
            [
                [-200 * (b - 3 * a**2) + 1, -200 * a, 0, 0],
                [-200 * a, 110.1, 0, 9.9],
                [0, 0, -180 * (d - 3 * c**2) + 1, -180 * c],
                [0, 9.9, -180 * c, 100.1],
            ]
        )

    return Problem("Wood", residual, jacobian, np.array([-3.0, -1.0, -3.0, -1.0]))


def helical_valley() -> Problem:
    def residual(v):
        x, y, z = v
        turns = np.arctan(y / x) / (2 * np.pi) + (0.5 if x < 0 else 0)
        return np.array([10 * (z - 10 * turns), 10 * (np.hypot(x, y) - 1), z])

    def jacobian(v):
        x, y, _ = v
        r = np.hypot(x, y)
        return np.array(
            [
                [50 * y / (np.pi * r**2), -50 * x / (np.pi * r**2), 10],
                [10 * x / r, 10 * y / r, 0],
                [0, 0, 1],
            ]
        )

    start, solution = np.array([-1.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.0])
    return Problem("helical valley", residual, jacobian, start, solution, analytic=False)


def brown_almost_linear(n: int = 10) -> Problem:
    def residual(x):
        f = x + x.sum() - (n + 1)
        f[-1] = x.prod() - 1
        return f

    def jacobian(x):
        j = np.eye(n, dtype=x.dtype) + 1
        j[-1] = [np.delete(x, k).prod() for k in range(n)]
        return j

    return Problem("Brown almost linear", residual, jacobian, np.full(n, 0.5))


def discrete_boundary_value(n: int = 20) -> Problem:
    h = 1 / (n + 1)
    t = h * np.arange(1, n + 1)

    def residual(x):
        f = 2 * x + h**2 * (x + t + 1) ** 3 / 2
        f[1:] -= x[:-1]
        f[:-1] -= x[1:]
        return f

    def jacobian(x):
        return np.diag(2 + 1.5 * h**2 * (x + t + 1) ** 2) - np.eye(n, k=1) - np.eye(n, k=-1)

    return Problem("discrete boundary value", residual, jacobian, t * (t - 1))


def discrete_integral(n: int = 10) -> Problem:
    h = 1 / (n + 1)
    t = h * np.arange(1, n + 1)
    kernel = h / 2 * np.minimum.outer(t, t) * (1 - np.maximum.outer(t, t))

    def residual(x):
        return x + kernel @ (x + t + 1) ** 3

    def jacobian(x):
        return np.eye(n) + 3 * kernel * (x + t + 1) ** 2

    return Problem("discrete integral", residual, jacobian, t * (t - 1))


def trigonometric(n: int = 10) -> Problem:
    i = np.arange(1, n + 1)

    def residual(x):
        return n - np.cos(x).sum() + i * (1 - np.cos(x)) - np.sin(x)

    def jacobian(x):
        return np.sin(x)[np.newaxis, :] + np.diag(i * np.sin(x) - np.cos(x))

    return Problem("trigonometric", residual, jacobian, np.full(n, 1 / n))


def variably_dimensioned(n: int = 10) -> Problem:
    i = np.arange(1, n + 1)

    def residual(x):
        s = (i * (x - 1)).sum()
        return x - 1 + i * s * (1 + 2 * s**2)

    def jacobian(x):
        s = (i * (x - 1)).sum()
        return np.eye(n) + np.outer(i, i) * (1 + 6 * s**2)

    return Problem("variably dimensioned", residual, jacobian, 1 - i / n, np.ones(n))


def broyden_tridiagonal(n: int = 20) -> Problem:
    def residual(x):
        f = (3 - 2 * x) * x + 1
        f[1:] -= x[:-1]
        f[:-1] -= 2 * x[1:]
        return f

    def jacobian(x):
        return np.diag(3 - 4 * x) - np.eye(n, k=-1) - 2 * np.eye(n, k=1)

    return Problem("Broyden tridiagonal", residual, jacobian, np.full(n, -1.0))


def broyden_banded(n: int = 20, lower: int = 5, upper: int = 1) -> Problem:
    offset = np.subtract.outer(np.arange(n), np.arange(n))
    band = ((offset <= lower) & (offset >= -upper) & (offset != 0)).astype(float)

    def residual(x):
        return x * (2 + 5 * x**2) + 1 - band @ (x * (1 + x))

    def jacobian(x):
        return np.diag(2 + 15 * x**2) - band * (1 + 2 * x)

    return Problem("Broyden banded", residual, jacobian, np.full(n, -1.0))


def complex_quadratics() -> Problem:
    """Two quadratic equations whose nearest solution is not real."""

    def residual(v):
        x, y = v
        return np.array([x**2 + y**2 + 5, x * y - 2])

    def jacobian(v):
        x, y = v
        return np.array([[2 * x, 2 * y], [y, x]])

    return Problem("complex quadratics", residual, jacobian, np.array([1 + 2j, 1 - 1j]))


PROBLEMS = [
    two_curves(),
    rosenbrock(),
    powell_singular(),
    powell_badly_scaled(),
    wood(),
    helical_valley(),
    brown_almost_linear(),
    discrete_boundary_value(),
    discrete_integral(),
    trigonometric(),
    variably_dimensioned(),
    broyden_tridiagonal(),
    broyden_banded(),
    complex_quadratics(),
]
