"""Solves of every kind, each as a solver that is asked and told and as the call of a function."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.optimize import NoConvergence

import problems
import raphson


@dataclass(frozen=True)
class Solve:
    name: str
    solver: Callable[..., raphson.Solver]
    start: NDArray
    residual: Callable[[NDArray], Any]
    jacobian: Callable[[NDArray], Any] | None
    # What the class gets, beside the start.
    options: dict[str, Any]
    # The function: its callables and the options that differ from those of the class.
    function: Callable[..., Any] = field(repr=False)

    def __str__(self) -> str:
        return self.name

    def make(self) -> raphson.Solver:
        return self.solver(self.start, **self.options)

    def value(self, what: str, x: NDArray) -> Any:
        return self.jacobian(x) if what == "jacobian" else self.residual(x)

    def call(self, residual, jacobian, callback=None):
        return self.function(self, residual, jacobian, callback)


def _broyden(solve, residual, _, callback):
    options = dict(solve.options)
    try:
        return raphson.broyden1(residual, solve.start, callback=callback, **options)
    except NoConvergence as error:
        return error.args[0]


def _root(solve, residual, jacobian, callback):
    options = dict(solve.options)
    rule = options.pop("jac", None)
    return raphson.root(
        residual,
        solve.start,
        jac=jacobian or rule,
        callback=callback,
        options=options,
        method="newton",
    ).x


def _after(calls, function, recorded):
    """The function as it is called by a solver: SciPy calls it so often at x0 before it begins."""
    left = iter(range(calls))
    return lambda x: recorded(x) if next(left, None) is None else function(x)


def _hybr(solve, residual, jacobian, callback):
    options = dict(solve.options)
    options.pop("jac", None)
    residual = _after(2, solve.residual, residual)
    jacobian = jacobian and _after(1, solve.jacobian, jacobian)
    return raphson.root(residual, solve.start, jac=jacobian, callback=callback, options=options).x


def _lsqtr(solve, residual, jacobian, callback):
    options = dict(solve.options)
    rule = options.pop("jac", None)
    return raphson.lsqtr(
        residual, solve.start, jacobian or rule, callback=callback, verbose=0, **options
    ).x


def _chain(x):
    """Zero where each number is half the cosine of a mixture of two."""
    return x - 0.5 * np.cos(x + 0.3 * np.roll(x, 1))


def _broyden_solves():
    start = np.linspace(-1, 2, 30)
    small = problems.two_curves()
    searches = {"armijo": {}, "wolfe": {"line_search": "wolfe"}, "full": {"line_search": None}}
    ranks = {
        "unlimited": {},
        "restart": {"max_rank": 4},
        # It comes to nothing, but not before it has dropped a few pairs.
        "simple": {"max_rank": 4, "reduction_method": "simple", "maxiter": 12},
        "svd": {"max_rank": 4, "reduction_method": "svd", "maxiter": 60},
    }
    for search, search_options in searches.items():
        for rank, rank_options in ranks.items():
            options = {"f_tol": 1e-8, **search_options, **rank_options}
            name = f"broyden1: {search}, {rank}"
            yield name, start, _chain, options
        # The rank soon passes the number of unknowns.
        options = {"f_tol": 1e-9, "maxiter": 40, **search_options}
        yield f"broyden1: {search}, dense", small.start * 0.6, small.residual, options
    yield (
        "broyden1: single",
        start.astype(np.float32),
        lambda x: _chain(x).astype(np.float32),
        {"f_tol": 1e-4, "max_rank": 5},
    )
    complex_system = problems.complex_quadratics()
    yield "broyden1: complex", complex_system.start, complex_system.residual, {"f_tol": 1e-8}
    yield (
        "broyden1: real, then complex",
        np.array([[1.0, 0.5], [0.25, 2.0]]),
        lambda x: x**2 + (1 + 2j) * x - 3,
        {"f_tol": 1e-8},
    )
    yield "broyden1: six iterations", start, _chain, {"iter": 6}


def _newton_solves():
    for problem in (problems.two_curves(), problems.wood(), problems.broyden_tridiagonal(80)):
        exact = (problem.residual, problem.jacobian)
        yield f"newton: {problem}, exact", problem.start, *exact, {}
        yield f"newton: {problem}, full", problem.start, *exact, {"line_search": None}
        for rule in ("2-point", "3-point", "cs"):
            options = {"jac": rule}
            yield f"newton: {problem}, {rule}", problem.start, problem.residual, None, options
    banded = problems.broyden_tridiagonal(40)
    yield (
        "newton: sparse",
        banded.start,
        banded.residual,
        lambda x: scipy.sparse.csr_array(banded.jacobian(x)),
        {},
    )
    system = problems.complex_quadratics()
    yield "newton: complex", system.start, system.residual, system.jacobian, {}
    single = problems.two_curves()
    start = single.start.astype(np.float32)
    yield "newton: single", start, single.residual, single.jacobian, {}


def _hybrid_solves():
    for problem in (problems.two_curves(), problems.wood(), problems.broyden_tridiagonal(80)):
        exact = (problem.residual, problem.jacobian)
        yield f"hybr: {problem}, exact", problem.start, *exact, {}
        options = {"jac": "2-point"}
        yield f"hybr: {problem}, 2-point", problem.start, problem.residual, None, options
    banded = problems.broyden_tridiagonal(40)
    options = {"jac": "2-point", "band": (1, 1), "factor": 0.5, "diag": np.linspace(1, 3, 40)}
    yield "hybr: band", banded.start, banded.residual, None, options
    transposed = {"col_deriv": True}
    yield (
        "hybr: by columns",
        banded.start,
        banded.residual,
        lambda x: banded.jacobian(x).T,
        transposed,
    )


def _least_squares():
    t = np.linspace(0, 4, 60)
    y = 2.5 * np.exp(-1.3 * t) + 0.1 + 0.01 * np.cos(7 * t)

    def residual(x):
        return x[0] * np.exp(-x[1] * t) + x[2] - y

    def jacobian(x):
        decay = np.exp(-x[1] * t)
        return np.stack([decay, -x[0] * t * decay, np.ones_like(t)], axis=1)

    start = np.array([1.0, 1.0, 0.0])
    bounded = {"bounds": ([0.0, 0.0, -1.0], [2.4, 5.0, np.inf])}
    for method in ("qr", "svd", "cho"):
        options = {"options": {"tr_method": method}}
        yield f"lsqtr: {method}", start, residual, jacobian, options
        yield f"lsqtr: {method}, bounds", start, residual, jacobian, options | bounded
    for rule in ("2-point", "3-point", "cs"):
        yield f"lsqtr: {rule}", start, residual, None, {"jac": rule, **bounded}
    # The factors are merged by LAPACK, and the radius is small enough to be needed.
    system = problems.broyden_tridiagonal(60)
    radius = {"options": {"initial_trust_radius": 0.3, "max_trust_radius": 1.0}}
    yield "lsqtr: large", system.start, system.residual, system.jacobian, radius
    hard = problems.rosenbrock()
    yield "lsqtr: Rosenbrock", hard.start, hard.residual, hard.jacobian, {}


SOLVES = [
    *(
        Solve(name, raphson.Broyden1, start, residual, None, options, _broyden)
        for name, start, residual, options in _broyden_solves()
    ),
    *(
        Solve(name, raphson.NewtonSystem, start, residual, jacobian, options, _root)
        for name, start, residual, jacobian, options in _newton_solves()
    ),
    *(
        Solve(name, raphson.PowellHybrid, start, residual, jacobian, options, _hybr)
        for name, start, residual, jacobian, options in _hybrid_solves()
    ),
    *(
        Solve(name, raphson.LeastSquares, start, residual, jacobian, options, _lsqtr)
        for name, start, residual, jacobian, options in _least_squares()
    ),
]

# One of each class, for what does not depend on the method.
_NAMES = {solve.name: solve for solve in SOLVES}
SIMPLE = [
    _NAMES[name]
    for name in (
        "broyden1: armijo, restart",
        "newton: Wood, exact",
        "hybr: Wood, exact",
        "lsqtr: qr, bounds",
    )
]
