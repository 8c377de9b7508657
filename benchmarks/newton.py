"""Newton's method against SciPy: `python benchmarks/newton.py`."""

import math

import numpy as np
import scipy.optimize

import raphson
from harness import Calls, Row, measure, print_table


def scalar(name, f, fprime, x0, **options) -> Row:
    calls = Calls()
    derivatives = {} if fprime is None else {"fprime": calls.record(fprime)}
    raphson.newton(calls.record(f), x0, **derivatives, **options)
    return measure(
        name,
        raphson=lambda: raphson.newton(f, x0, fprime, **options),
        scipy=lambda: scipy.optimize.newton(f, x0, fprime, **options),
        bare=calls.repeat,
    )


def system(name, fun, jac, x0) -> Row:
    calls = Calls()
    raphson.root(calls.record(fun), x0, jac=calls.record(jac), method="newton")
    ours = raphson.root(fun, x0, jac=jac, method="newton")
    theirs = scipy.optimize.root(fun, x0, jac=jac)
    assert ours.success
    assert theirs.success
    assert np.allclose(ours.x, theirs.x, atol=1e-6)
    return measure(
        name,
        raphson=lambda: raphson.root(fun, x0, jac=jac, method="newton"),
        scipy=lambda: scipy.optimize.root(fun, x0, jac=jac),
        bare=calls.repeat,
    )


def two_curves(v):
    x, y = v
    return [math.exp(x) + y - 2, x * x + 2 * y * y - 6]


def two_curves_jacobian(v):
    x, y = v
    return [[math.exp(x), 1.0], [2 * x, 4 * y]]


def two_curves_floats(v):
    x, y = v.tolist()
    return [math.exp(x) + y - 2, x * x + 2 * y * y - 6]


def two_curves_floats_jacobian(v):
    x, y = v.tolist()
    return [[math.exp(x), 1.0], [2 * x, 4 * y]]


def tridiagonal(x):
    f = (3 - 2 * x) * x + 1
    f[1:] -= x[:-1]
    f[:-1] -= 2 * x[1:]
    return f


def tridiagonal_jacobian(x):
    n = x.size
    j = np.zeros((n, n))
    j.flat[:: n + 1] = 3 - 4 * x
    j.flat[1 :: n + 1] = -2
    j.flat[n :: n + 1] = -1
    return j


def cube(x):
    return x**3 - 2.0


def cube_slope(x):
    return 3.0 * x**2


def rows() -> list[Row]:
    rng = np.random.default_rng(0)
    return [
        scalar("newton: x² = 2", lambda x: x * x - 2.0, lambda x: 2.0 * x, 1.5),
        scalar(
            "newton: eˣ = x + 2",
            lambda x: math.exp(x) - x - 2.0,
            lambda x: math.exp(x) - 1.0,
            1.0,
        ),
        scalar("newton: secant, x² = 2", lambda x: x * x - 2.0, None, 1.5),
        scalar("newton: 10³ starting points", cube, cube_slope, rng.uniform(1, 2, 10**3)),
        scalar("newton: 10⁶ starting points", cube, cube_slope, rng.uniform(1, 2, 10**6)),
        system("root: 2 unknowns", two_curves, two_curves_jacobian, [2.0, -2.0]),
        system(
            "root: 2 unknowns, Python floats",
            two_curves_floats,
            two_curves_floats_jacobian,
            [2.0, -2.0],
        ),
        system("root: 50 unknowns", tridiagonal, tridiagonal_jacobian, np.full(50, -1.0)),
        system("root: 1000 unknowns", tridiagonal, tridiagonal_jacobian, np.full(1000, -1.0)),
    ]


if __name__ == "__main__":
    print_table(rows(), "scipy")
