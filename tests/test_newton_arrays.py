"""`newton` from arrays of starting points, call by call against SciPy."""

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import raphson
from recording import record, same

LINE = np.linspace(-2, 3, 7)
# name: f, f', f'', starting points, args
PROBLEMS = {
    "squares": (
        lambda x, a: x**2 - a,
        lambda x, a: 2 * x,
        lambda x, a: 2 + 0 * x,
        LINE + 0.1,
        2.0,
    ),
    "cubes, one a point": (
        lambda x, a: x**3 - a,
        lambda x, a: 3 * x**2,
        lambda x, a: 6 * x,
        np.ones(5),
        np.arange(-2.0, 3.0),
    ),
    "zero derivative in one": (
        lambda x, a: x**2 - a,
        lambda x, a: 2 * x,
        lambda x, a: 2 + 0 * x,
        np.array([0.0, 1.0, 4.0]),
        2.0,
    ),
    "zero derivative in all": (
        lambda x, a: x**2 + a,
        lambda x, a: 0 * x,
        lambda x, a: 2 + 0 * x,
        np.zeros(3),
        1.0,
    ),
    "no root": (
        lambda x, a: x**2 + a,
        lambda x, a: 2 * x,
        lambda x, a: 2 + 0 * x,
        LINE + 0.3,
        1.0,
    ),
    "flat": (lambda x, a: a + 0 * x, lambda x, a: 0 * x, lambda x, a: 0 * x, np.ones(3), 1.0),
    "flat in some": (
        lambda x, a: np.where(x > 0, x - a, 5.0),
        lambda x, a: np.where(x > 0, 1.0, 0.0),
        lambda x, a: 0 * x,
        np.array([-3.0, -1.0, 1.0, 2.0]),
        0.5,
    ),
    "roots at the start": (
        lambda x, a: x - a,
        lambda x, a: np.ones_like(x),
        lambda x, a: 0 * x,
        np.full(3, 2.0),
        2.0,
    ),
    "two dimensions": (
        lambda x, a: np.exp(x) - a,
        lambda x, a: np.exp(x),
        lambda x, a: np.exp(x),
        np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]),
        3.0,
    ),
    "integers": (
        lambda x, a: x**2 - a,
        lambda x, a: 2 * x,
        lambda x, a: 2 + 0 * x,
        np.array([1, 2, 3]),
        5,
    ),
    "single precision": (
        lambda x, a: x**2 - a,
        lambda x, a: 2 * x,
        lambda x, a: 2 + 0 * x,
        np.array([1, 2, 3.3], dtype=np.float32),
        np.float32(5),
    ),
    "complex": (
        lambda x, a: x**2 + a,
        lambda x, a: 2 * x,
        lambda x, a: 2 + 0 * x,
        np.array([1 + 1j, -2 - 1j, 0.5j]),
        4.0,
    ),
    "complex, single precision": (
        lambda x, a: x**2 + a,
        lambda x, a: 2 * x,
        lambda x, a: 2 + 0 * x,
        np.array([1 + 1j, -2 - 1j, 0.5j], dtype=np.complex64),
        np.float32(4.0),
    ),
    "real points, complex values": (
        lambda x, a: x**2 + a,
        lambda x, a: 2 * x,
        lambda x, a: 2 + 0 * x,
        np.array([1.0, 2.0]),
        2j,
    ),
    "not a number in some": (
        lambda x, a: np.where(x < 0, np.nan, x**2 - a),
        lambda x, a: 2 * x,
        lambda x, a: 2 + 0 * x,
        LINE + 0.1,
        2.0,
    ),
    "lists": (
        lambda x, a: list(x**2 - a),
        lambda x, a: [2 * v for v in x],
        lambda x, a: [2.0] * len(x),
        [1.0, 3.0],
        2.0,
    ),
    "constant derivative": (lambda x, a: 2 * x - a, lambda x, a: 2.0, None, LINE, 3.0),
}
OPTIONS = [
    {},
    {"full_output": True},
    {"maxiter": 1},
    {"maxiter": 4, "full_output": True},
    {"tol": 1e-3},
]


def run_both(name, method, **options):
    f, fprime, fprime2, x0, a = PROBLEMS[name]
    functions = {"func": f}
    if method != "secant":
        functions["fprime"] = fprime
    if method == "halley":
        functions["fprime2"] = fprime2
    before = np.array(x0, copy=True)
    runs = [
        record(solver, functions, x0=x0, args=(a,), **options)
        for solver in (raphson.newton, scipy.optimize.newton)
    ]
    assert np.array_equal(x0, before)
    return runs


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("method", ["newton", "halley", "secant"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_same_calls_results_and_complaints(name, method, options):
    ours, theirs = run_both(name, method, **options)
    # NumPy's complex products of arrays use fused operations where the processor has them. In
    # single precision the first step is a few ulp of that precision off.
    ulps = {"complex": 16, "real points, complex values": 16}.get(name, 0)
    if name == "complex, single precision":
        ulps = 2**31
    assert [name for name, _ in ours.calls] == [name for name, _ in theirs.calls]
    for (_, our_x), (_, their_x) in zip(ours.calls, theirs.calls, strict=True):
        assert same(our_x, their_x, ulps), (our_x, their_x)
    assert ours.error == theirs.error
    assert ours.warnings == [w for w in theirs.warnings if "encountered" not in w[1]]
    if options.get("full_output") and theirs.result is not None:
        assert type(ours.result).__name__ == type(theirs.result).__name__ == "result"
        assert ours.result._fields == theirs.result._fields
        for a, b in zip(ours.result, theirs.result, strict=True):
            assert same(a, b, ulps)
    else:
        assert same(ours.result, theirs.result, ulps)


def test_points_may_be_kept_and_changed():
    kept = []

    def f(x):
        kept.append(x)
        value = x**2 - 2
        x[:] = 77
        return value

    root = raphson.newton(f, np.array([1.0, 2.0]), lambda x: np.array([2.0, 2.0]), maxiter=100)
    assert np.allclose(root, np.sqrt(2))
    assert all(np.all(x == 77) for x in kept)
    assert len({id(x) for x in kept}) == len(kept)


@pytest.mark.parametrize(
    ("returned", "shape"), [([1.0, 2.0, 3.0], "(3,)"), (1.0, "float"), ([[1.0, 2.0]], "(1, 2)")]
)
def test_the_wrong_number_of_values_is_refused(returned, shape):
    with pytest.raises(ValueError, match="func: expected one value for each element of x0") as e:
        raphson.newton(lambda x: np.array(returned), np.ones(2), lambda x: x)
    assert shape in str(e.value) or shape == "float"


@settings(max_examples=200, deadline=None)
@given(
    x0=hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.int32]),
        st.integers(2, 8),
        elements=st.integers(-9, 9),
    ),
    coefficients=st.lists(st.integers(-9, 9), min_size=2, max_size=4),
    method=st.sampled_from(["newton", "halley", "secant"]),
    maxiter=st.integers(1, 20),
)
def test_polynomials_are_iterated_like_scipy(x0, coefficients, method, maxiter):
    p = np.polynomial.Polynomial(coefficients)
    functions = {"func": p}
    if method != "secant":
        functions["fprime"] = p.deriv()
    if method == "halley":
        functions["fprime2"] = p.deriv(2)
    options = {"x0": x0, "maxiter": maxiter, "full_output": True}
    ours = record(raphson.newton, functions, **options)
    theirs = record(scipy.optimize.newton, functions, **options)
    assert len(ours.calls) == len(theirs.calls)
    for (_, our_x), (_, their_x) in zip(ours.calls, theirs.calls, strict=True):
        assert same(our_x, their_x)
    assert ours.error == theirs.error
    if theirs.result is not None:
        assert all(same(a, b) for a, b in zip(ours.result, theirs.result, strict=True))
