"""`newton` from one starting point, call by call against SciPy."""

import cmath
import fractions
import itertools
import math

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

import raphson
from recording import record, same

# name: f, f', f'', and starting points
PROBLEMS = {
    "square root": (lambda x: x * x - 2, lambda x: 2 * x, lambda x: 2.0, [1.0, -3.0, 100.0, 0.0]),
    "exponential": (
        lambda x: np.exp(x) - x - 2,
        lambda x: np.exp(x) - 1,
        np.exp,
        [1.0, 0.0, -5.0, 30.0],
    ),
    "math functions": (lambda x: math.cos(x) - x, lambda x: -math.sin(x) - 1, None, [0.5, 4, -1]),
    "arctangent, divergent": (
        np.arctan,
        lambda x: 1 / (1 + x * x),
        lambda x: -2 * x / (1 + x * x) ** 2,
        [0.5, 1.3, 1.5, 20.0],
    ),
    "double root": (lambda x: (x - 1) ** 2, lambda x: 2 * (x - 1), lambda x: 2.0, [3.0, 1.0]),
    "no real root": (lambda x: x * x + 1, lambda x: 2 * x, lambda x: 2, [0.3, 1.0, 1j, 0.5 + 2j]),
    "cubic with a cycle": (
        lambda x: x**3 - 2 * x + 2,
        lambda x: 3 * x**2 - 2,
        lambda x: 6 * x,
        [0.0, 1.0, -2.0, 0.5 + 0.5j],
    ),
    "constant": (lambda x: 3.0, lambda x: 0.0, lambda x: 0.0, [1.0, 2 + 1j]),
    "identically zero": (lambda x: 0.0, lambda x: 1.0, lambda x: 0.0, [1.0]),
    "complex coefficients": (
        lambda x: x * x - (3 + 4j),
        lambda x: 2 * x,
        lambda x: 2,
        [1.0, 1 + 1j, -2 - 1j, complex(-0.0, -0.0)],
    ),
    "complex math": (lambda x: cmath.exp(x) + 1, lambda x: cmath.exp(x), None, [1 + 3j, 0.5 + 2j]),
    "not a number": (
        lambda x: np.float64("nan"),
        lambda x: 1.0,
        lambda x: 1.0,
        [1.0],
    ),
    "infinite": (lambda x: np.float64("inf"), lambda x: 1.0, lambda x: 1.0, [1.0]),
    "integers": (lambda x: round(float(x)) - 3, lambda x: 1, lambda x: 0, [7, 10.0]),
    "arrays of one": (
        lambda x: np.array([x * x - 2]).ravel(),
        lambda x: np.array([2 * x]).ravel(),
        None,
        [1.0],
    ),
}
OPTIONS = [
    {},
    {"tol": 1e-3},
    {"tol": 1e-300, "rtol": 1e-10},
    {"maxiter": 3},
    {"maxiter": 1},
    {"disp": False},
    {"full_output": True, "disp": False},
    {"full_output": True, "maxiter": 5},
]
CASES = [
    pytest.param(name, x0, method, id=f"{name}-{x0}-{method}")
    for name, (_, _, _, starts) in PROBLEMS.items()
    for x0, method in itertools.product(starts, ["newton", "halley", "secant"])
]


def compare(name, method, x0, **options):
    f, fprime, fprime2, _ = PROBLEMS[name]
    functions = {"func": f}
    if method != "secant":
        functions["fprime"] = fprime
    if method == "halley":
        functions["fprime2"] = fprime2
    ours = record(raphson.newton, functions, x0=x0, **options)
    theirs = record(scipy.optimize.newton, functions, x0=x0, **options)
    # Python's own complex division rounds differently from NumPy's, which ours follows.
    ulps = 100 if name == "complex math" else 0
    assert [name for name, _ in ours.calls] == [name for name, _ in theirs.calls]
    for (_, our_x), (_, their_x) in zip(ours.calls, theirs.calls, strict=True):
        assert same(our_x, their_x, ulps), (our_x, their_x)
    if ulps == 0:
        assert ours.error == theirs.error
    assert (ours.error is None) == (theirs.error is None)
    own_warnings = [w for w in theirs.warnings if "encountered" not in w[1]]
    assert ours.warnings == own_warnings
    return ours.result, theirs.result, ulps


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("name", "x0", "method"), CASES)
def test_same_calls_results_and_complaints(name, x0, method, options):
    ours, theirs, ulps = compare(name, method, x0, **options)
    if options.get("full_output") and theirs is not None:
        assert type(ours[1]) is type(theirs[1])
        for key in ("converged", "flag", "function_calls", "iterations", "method"):
            assert ours[1][key] == theirs[1][key]
        assert same(ours[1].root, theirs[1].root, ulps)
        ours, theirs = ours[0], theirs[0]
    assert same(ours, theirs, ulps)


@pytest.mark.parametrize("x1", [2.0, 3, np.complex128(1.5j), np.float32(1.25)])
@pytest.mark.parametrize("name", ["square root", "constant", "complex coefficients"])
def test_second_starting_point(name, x1):
    ours, theirs, _ = compare(name, "secant", 1.0, x1=x1, disp=False)
    assert same(ours, theirs)


@pytest.mark.parametrize(
    "x0",
    [
        np.float32(1.5),
        np.complex64(1.5 + 1j),
        np.array(1.5),
        np.array([1.5]),
        np.array([[1.5]], dtype=np.float32),
        [2],
        True,
        np.int8(3),
    ],
    ids=repr,
)
@pytest.mark.parametrize("method", ["newton", "halley", "secant"])
def test_the_type_of_x0_is_kept(x0, method):
    ours, theirs, _ = compare("square root", method, x0)
    assert same(ours, theirs)


TYPES = {
    "float": float,
    "float32": np.float32,
    "float64": np.float64,
    "int32": lambda value: np.int32(round(value)),
    "0-d": lambda value: np.array(value, dtype=np.float32),
    "complex64": np.complex64,
    "complex128": np.complex128,
}


@pytest.mark.parametrize(
    "x0", [1.5, np.float32(1.5), np.complex64(1.5 + 1j), 1.5 + 0.5j], ids=repr
)
@pytest.mark.parametrize("method", ["newton", "halley", "secant"])
def test_mixed_types_are_promoted_as_numpy_promotes_them(x0, method):
    def cast(function, to):
        def converted(x):
            value = np.asarray(function(x)).item()
            return TYPES[to](value if "complex" in to else value.real)

        return converted

    f, fprime, fprime2, _ = PROBLEMS["square root"]
    for of_f, of_fprime, of_fprime2 in itertools.product(TYPES, TYPES, ["float", "float32"]):
        functions = {"func": cast(f, of_f)}
        if method != "secant":
            functions["fprime"] = cast(fprime, of_fprime)
        if method == "halley":
            functions["fprime2"] = cast(fprime2, of_fprime2)
        ours = record(raphson.newton, functions, x0=x0, disp=False, maxiter=12)
        theirs = record(scipy.optimize.newton, functions, x0=x0, disp=False, maxiter=12)
        assert len(ours.calls) == len(theirs.calls), (of_f, of_fprime, of_fprime2)
        for (_, our_x), (_, their_x) in zip(ours.calls, theirs.calls, strict=True):
            assert same(our_x, their_x), (of_f, of_fprime, of_fprime2)
        assert same(ours.result, theirs.result)


@pytest.mark.parametrize("scale", [1e-50, 1e50])
def test_python_floats_outside_single_precision(scale):
    def solve(solver, **options):
        return solver(lambda x: scale * (float(x) - 3), np.float32(1.5), **options)

    for options in ({"fprime": lambda x: scale}, {}):
        ours, theirs = (
            solve(solver, **options) for solver in (raphson.newton, scipy.optimize.newton)
        )
        assert same(ours, theirs)
        assert ours == 3


@pytest.mark.parametrize(
    "x0", [np.longdouble(1.5), fractions.Fraction(3, 2), np.float16(1.5)], ids=repr
)
def test_arithmetic_that_the_kernels_do_not_have_is_left_to_scipy(x0):
    ours = record(raphson.newton, {"func": lambda x: x * x - 2}, x0=x0, fprime=lambda x: 2 * x)
    theirs = record(
        scipy.optimize.newton, {"func": lambda x: x * x - 2}, x0=x0, fprime=lambda x: 2 * x
    )
    assert type(ours.result) is type(theirs.result)
    assert ours.error == theirs.error
    assert ours.result == theirs.result


def test_further_arguments():
    def f(x, a, b):
        return x * x - a * b

    assert raphson.newton(f, 1.0, args=(2, 8)) == scipy.optimize.newton(f, 1.0, args=(2, 8))
    assert raphson.newton(f, 1.0, args=[2, 8]) == 4.0


def test_scalars_come_as_numpy_scalars():
    def f(x):
        assert x.dtype == np.float64
        return x - 1

    assert raphson.newton(f, 3, lambda x: x.dtype.type(1)) == 1


@pytest.mark.parametrize("ignored", [False, 0, "", [], None])
def test_a_second_derivative_that_is_false_is_none(ignored):
    f, fprime = PROBLEMS["square root"][:2]
    assert raphson.newton(f, 1.0, fprime, fprime2=ignored) == raphson.newton(f, 1.0, fprime)


def test_warnings_point_to_the_caller():
    with pytest.warns(RuntimeWarning, match="Derivative was zero") as caught:
        raphson.newton(lambda x: 1.0, 1.0, lambda x: 0.0, disp=False)
    assert caught[0].filename == __file__


@settings(max_examples=300, deadline=None)
@given(
    coefficients=st.lists(st.floats(-10, 10), min_size=2, max_size=5),
    x0=st.one_of(st.floats(-100, 100), st.complex_numbers(max_magnitude=100)),
    method=st.sampled_from(["newton", "halley", "secant"]),
    maxiter=st.integers(1, 60),
)
def test_polynomials_are_iterated_like_scipy(coefficients, x0, method, maxiter):
    p = np.polynomial.Polynomial(coefficients)
    functions = {"func": p}
    if method != "secant":
        functions["fprime"] = p.deriv()
    if method == "halley":
        functions["fprime2"] = p.deriv(2)
    ours = record(raphson.newton, functions, x0=x0, maxiter=maxiter)
    theirs = record(scipy.optimize.newton, functions, x0=x0, maxiter=maxiter)
    assert len(ours.calls) == len(theirs.calls)
    assert all(
        a == b and same(x, y) for (a, x), (b, y) in zip(ours.calls, theirs.calls, strict=True)
    )
    assert same(ours.result, theirs.result)
    assert ours.error == theirs.error
