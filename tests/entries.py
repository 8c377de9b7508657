"""Every way into every solver, behind one call, for tests that do not care which one it is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse

import raphson

# Enough for the solves as they are, and soon reached by those that lead nowhere.
MAXITER = 20


class Unsuccessful(Exception):
    """A result that says so itself."""


def _found(result):
    if not result.success:
        raise Unsuccessful(result.message)
    return result.x


Functions = dict[str, Callable[..., Any]]


@dataclass(frozen=True)
class Entry:
    name: str
    start: Any
    # The functions by the names that the solver has for them.
    functions: Functions
    # Begins a solve; what it returns answers it with functions, again where an error broke it off.
    begin: Callable[[Any], Callable[[Functions], Any]] = field(repr=False)
    # Several functions get the same x.
    shares_points: bool = False
    # The first value says how many there are.
    free_count: bool = False
    # Values are of the shape of x, not just as many.
    same_shape: bool = False
    takes_complex: bool = False

    def __str__(self) -> str:
        return self.name

    def solve(self, functions: Functions | None = None) -> Any:
        return self.begin(self.start)(functions or self.functions)


def _once(call):
    """A function that solves has no memory: it begins anew each time."""
    return lambda start: lambda functions: call(start, functions)


def _chain(x):
    """Zero where each number is half the cosine of a mixture of two."""
    return x - 0.5 * np.cos(x + 0.3 * np.roll(x, 1))


def _chain_jacobian(x):
    slope = 0.5 * np.sin(x + 0.3 * np.roll(x, 1))
    unit = np.eye(x.size)
    return unit + np.diag(slope) + 0.3 * slope[:, None] * np.roll(unit, 1, axis=0)


CHAIN_START = np.array([-1.0, 0.5, 2.0])
_TIMES = np.linspace(0, 3, 5)


def _fit(x):
    return x[0] * np.exp(-x[1] * _TIMES) - 2.5 * np.exp(-1.3 * _TIMES) - 0.01 * _TIMES


def _fit_jacobian(x):
    decay = np.exp(-x[1] * _TIMES)
    return np.stack([decay, -x[0] * _TIMES * decay], axis=1)


FIT_START = np.array([1.0, 1.0])
BOUNDS = (np.array([0.0, 0.0]), np.array([2.4, 5.0]))


def _newton():
    cube = {"func": lambda x: x**3 - 2, "fprime": lambda x: 3 * x**2, "fprime2": lambda x: 6 * x}

    def entry(name, start, count, **kinds):
        functions = dict(list(cube.items())[:count])
        call = _once(lambda start, functions: raphson.newton(x0=start, **functions))
        shares = count > 1 and np.size(start) > 1
        return Entry(f"newton: {name}", start, functions, call, shares_points=shares, **kinds)

    yield entry("secant", 1.0, 1, takes_complex=True)
    yield entry("tangent", 1.0, 2, takes_complex=True)
    yield entry("Halley", 1.0, 3, takes_complex=True)
    several = np.array([1.0, 1.5, 2.0])
    kinds = {"same_shape": True, "takes_complex": True}
    yield entry("several, secant", several, 1, **kinds)
    yield entry("several, tangent", several, 2, **kinds)
    yield entry("several, Halley", several, 3, **kinds)


def _broyden():
    # Not far from the inverse of the Jacobian, for a short solve.
    options = {"f_tol": 1e-3, "alpha": -0.9, "maxiter": MAXITER}
    for name, more in {
        "armijo": {},
        "wolfe": {"line_search": "wolfe"},
        "full": {"line_search": None},
        "svd": {"reduction_method": "svd", "max_rank": 2, "f_tol": 1e-5},
    }.items():
        call = _once(
            lambda start, functions, more=more: raphson.broyden1(
                xin=start, **functions, **(options | more)
            )
        )
        yield Entry(f"broyden1: {name}", CHAIN_START, {"F": _chain}, call, takes_complex=True)
    by_root_options = {"fatol": 1e-3, "maxiter": MAXITER, "jac_options": {"alpha": -0.9}}
    by_root = _once(
        lambda start, functions: _found(
            raphson.root(x0=start, method="broyden1", options=by_root_options, **functions)
        )
    )
    yield Entry("root: broyden1", CHAIN_START, {"fun": _chain}, by_root, takes_complex=True)


def _root():
    def call(start, functions, jac=None):
        options = {"maxiter": MAXITER}
        functions = {"jac": jac} | functions
        return _found(
            raphson.root(x0=start, tol=1e-3, options=options, **functions, method="newton")
        )

    exact = {"fun": _chain, "jac": _chain_jacobian}
    sparse = {"fun": _chain, "jac": lambda x: scipy.sparse.csr_array(_chain_jacobian(x))}
    yield Entry("root: exact", CHAIN_START, exact, _once(call))
    yield Entry("root: sparse", CHAIN_START, sparse, _once(call))
    pair = {"fun": lambda x: (_chain(x), _chain_jacobian(x))}
    with_residual = _once(lambda start, functions: call(start, functions, True))
    yield Entry("root: pair", CHAIN_START, pair, with_residual)
    for rule in ("2-point", "3-point", "cs"):
        by_rule = _once(lambda start, functions, rule=rule: call(start, functions, rule))
        yield Entry(
            f"root: {rule}", CHAIN_START, {"fun": _chain}, by_rule, takes_complex=rule == "cs"
        )


def _lsqtr():
    def call(start, functions, jac=None, **options):
        jac = {} if jac is None else {"jac": jac}
        options = {"maxiter": MAXITER} | options
        return _found(raphson.lsqtr(x0=start, verbose=0, **functions, **jac, **options))

    exact = {"fun": _fit, "jac": _fit_jacobian}
    for method in ("qr", "svd", "cho"):
        solve = _once(
            lambda start, functions, method=method: call(
                start, functions, bounds=BOUNDS, options={"tr_method": method}
            )
        )
        yield Entry(f"lsqtr: {method}", FIT_START, exact, solve, free_count=True)
    for rule in ("2-point", "cs"):
        by_rule = _once(lambda start, functions, rule=rule: call(start, functions, rule))
        yield Entry(
            f"lsqtr: {rule}",
            FIT_START,
            {"fun": _fit},
            by_rule,
            free_count=True,
            takes_complex=rule == "cs",
        )


def _solver(name, make, start, residual, jacobian, **kinds):
    """A class, asked and told by hand, and with its own loop."""

    def by_hand(start):
        solver = make(start)

        def go_on(functions):
            while not solver.done:
                what, x = solver.ask()
                solver.tell(functions[what](x))
            return _found(solver.result())

        return go_on

    def with_loop(start):
        solver = make(start)
        return lambda functions: _found(solver.solve(**functions))

    functions = {"residual": residual, "jacobian": jacobian}
    asked = {what: function for what, function in functions.items() if function}
    names = {"residual": "fun", "jacobian": "jac"}
    called = {names[what]: function for what, function in asked.items()}
    yield Entry(f"{name}, by hand", start, asked, by_hand, **kinds)
    yield Entry(f"{name}, with its loop", start, called, with_loop, **kinds)


def _classes():
    broyden = lambda start: raphson.Broyden1(  # noqa: E731
        start, f_tol=1e-3, alpha=-0.9, maxiter=MAXITER
    )
    yield from _solver("Broyden1", broyden, CHAIN_START, _chain, None, takes_complex=True)
    newton = raphson.NewtonSystem
    yield from _solver("NewtonSystem", newton, CHAIN_START, _chain, _chain_jacobian)
    hybrid = raphson.PowellHybrid
    yield from _solver("PowellHybrid", hybrid, CHAIN_START, _chain, _chain_jacobian)
    approximated = lambda start: newton(start, "2-point", xtol=1e-3, maxiter=20)  # noqa: E731
    yield from _solver("NewtonSystem: 2-point", approximated, CHAIN_START, _chain, None)
    least = lambda start: raphson.LeastSquares(start, bounds=BOUNDS)  # noqa: E731
    yield from _solver("LeastSquares", least, FIT_START, _fit, _fit_jacobian, free_count=True)
    by_differences = lambda start: raphson.LeastSquares(start, "3-point", ftol=1e-2)  # noqa: E731
    yield from _solver(
        "LeastSquares: 3-point", by_differences, FIT_START, _fit, None, free_count=True
    )


ENTRIES = [*_newton(), *_broyden(), *_root(), *_lsqtr(), *_classes()]
