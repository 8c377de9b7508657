"""`broyden1` and `root(method='broyden1')`, call by call against SciPy.

Broyden's iterations amplify rounding errors, some of them until nothing is left. So each case is
first run several times by SciPy itself, with the last bit of F disturbed at random: what that does
to the points is what rounding alone does, and ours may differ by as much. Where ours differ by
more, SciPy's own sums may be what was rounded; they depend on the machine. The judge is then the
same iteration with sixty digits (exact.py): ours must be as near to it as SciPy's, or nearer.
"""

import copy
import itertools
import os
import pickle
import re
import subprocess
import sys
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

import exact
import raphson
from problems import PROBLEMS, broyden_tridiagonal, two_curves

FIRST = 25
CHAOS = 1e-3


def tridiagonal_1000():
    return broyden_tridiagonal(1000)


def square_2d():
    """A problem whose unknowns are a matrix: its own inverse square root."""
    a = np.array([[2.0, 0.5, 0.1], [0.5, 3.0, 0.2], [0.1, 0.2, 1.0]])

    class Matrix:
        name = "matrix"
        start = np.eye(3)

        @staticmethod
        def residual(x):
            return x @ a @ x - np.eye(3)

    return Matrix


SUITE = [*PROBLEMS, square_2d(), tridiagonal_1000()]
SEARCHES = [None, "armijo", "wolfe"]
REDUCTIONS = [
    {},
    {"max_rank": 4},
    {"reduction_method": "simple", "max_rank": 4},
    {"reduction_method": "svd", "max_rank": 4},
    {"reduction_method": ("svd", 2), "max_rank": 5},
    {"alpha": 0.1},
    {"iter": 7},
    {"f_tol": 1e-10, "x_rtol": 1e-3},
    {"f_rtol": 1e-3, "f_tol": np.inf},
    {"tol_norm": lambda v: np.sqrt(np.mean(np.abs(v) ** 2))},
]


def run(solver, problem, noise=None, **options):
    """Run a solver; the points it asked F at, and its result or error."""
    points = []

    def residual(x):
        points.append(np.array(x))
        value = np.asarray(problem.residual(x))
        if noise is not None:
            value = value * (1 + 1.1e-16 * noise.choice([-1, 1], size=value.shape))
        return value

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            outcome = solver(residual, problem.start, **options)
        except Exception as error:
            outcome = error
    return points, outcome


def distances(points, reference):
    """How far corresponding points are apart, relative to their size."""
    pairs = list(zip(points, reference, strict=False))[:FIRST]
    with np.errstate(all="ignore"):
        return np.array([np.max(np.abs(x - y)) / max(np.max(np.abs(y)), 1e-300) for x, y in pairs])


def effect_of_rounding(problem, reference, runs=5, **options):
    """What disturbing the last bit of F does to SciPy's points, and to the number of calls."""
    effect = np.zeros(FIRST)
    same_calls = True
    for seed in range(runs):
        noise = np.random.default_rng(seed)
        points, _ = run(scipy.optimize.broyden1, problem, noise, **options)
        moved = distances(points, reference)
        effect[: len(moved)] = np.maximum(effect[: len(moved)], moved)
        effect[len(moved) :] = 1
        same_calls &= len(points) == len(reference)
    return np.maximum.accumulate(effect), same_calls


@pytest.mark.parametrize("reduction", REDUCTIONS, ids=str)
@pytest.mark.parametrize("line_search", SEARCHES)
@pytest.mark.parametrize("problem", SUITE, ids=lambda problem: problem.name)
def test_same_points(problem, line_search, reduction):
    options = {"line_search": line_search, "maxiter": 40, **reduction}
    theirs, their_outcome = run(scipy.optimize.broyden1, problem, **options)
    ours, our_outcome = run(raphson.broyden1, problem, **options)
    effect, same_calls = effect_of_rounding(problem, theirs, **options)
    count = orderly_calls(ours, theirs, effect)
    assert count >= 1
    reference = exactly(problem, line_search, reduction)
    if not expect_same_points(ours[:count], theirs[:count], effect, reference):
        return
    if (
        same_calls
        and count == min(len(ours), len(theirs), FIRST)
        and not isinstance(their_outcome, OverflowError)
    ):
        assert len(ours) == len(theirs)
        assert isinstance(our_outcome, type(their_outcome))
        if isinstance(their_outcome, np.ndarray):
            assert our_outcome.shape == their_outcome.shape
            assert our_outcome.dtype == their_outcome.dtype


def orderly_calls(ours, theirs, effect):
    """How many points can be compared before SciPy's are at the mercy of rounding."""
    shared = min(len(ours), len(theirs), FIRST)
    return int(np.argmin(np.append(effect[:shared] < CHAOS, False)))


def expect_same_points(ours, theirs, effect, reference):
    """Ours are SciPy's but for rounding, which is True, or as near to the exact points as SciPy's.

    `effect` is what rounding F does to SciPy's points.
    """
    allowed = np.maximum(1e-10, 1000 * effect[: len(ours)])
    if np.all(distances(ours, theirs) <= allowed):
        return True
    exact.expect_as_near(ours, theirs, reference, allowed)
    return False


def exactly(problem, line_search, reduction):
    """The points that are asked without rounding errors."""
    options = {name: reduction[name] for name in SHAPES_THE_PATH if name in reduction}
    return exact.broyden1(problem.residual, problem.start, line_search=line_search, **options)


# The other options say when to stop.
SHAPES_THE_PATH = ["alpha", "reduction_method", "max_rank"]


@pytest.mark.parametrize("reduction", REDUCTIONS[1:6], ids=str)
@pytest.mark.parametrize("line_search", SEARCHES)
@pytest.mark.parametrize("name", ["Wood", "complex quadratics", "helical valley"])
def test_the_exact_iteration_is_scipys(name, line_search, reduction):
    problem = next(problem for problem in PROBLEMS if problem.name == name)
    options = {"line_search": line_search, "maxiter": 20, **reduction}
    theirs, _ = run(scipy.optimize.broyden1, problem, **options)
    effect, _ = effect_of_rounding(problem, theirs, **options)
    far = exact.errors(theirs[:FIRST], exactly(problem, line_search, reduction))
    orderly = np.maximum.accumulate(far) < CHAOS
    assert np.sum(orderly) >= 5
    assert np.all(orderly[effect[: len(far)] < 1e-9])


@pytest.mark.parametrize("line_search", SEARCHES)
def test_wild_steps_cost_no_more_digits_than_scipys(line_search):
    # From 3 to 600, to 4000 and back, by steps of 1e-14 to 1 times the direction.
    wood = next(problem for problem in PROBLEMS if problem.name == "Wood")
    options = {"line_search": line_search, "maxiter": 20, "alpha": 0.1}
    ours, _ = run(raphson.broyden1, wood, **options)
    theirs, _ = run(scipy.optimize.broyden1, wood, **options)
    effect, _ = effect_of_rounding(wood, theirs, **options)
    count = orderly_calls(ours, theirs, effect)
    assert count >= 12
    allowed = np.maximum(1e-10, 10 * effect[:count])
    exact.expect_as_near(ours, theirs, exactly(wood, line_search, {"alpha": 0.1}), allowed)


@pytest.mark.parametrize("problem", SUITE, ids=lambda problem: problem.name)
def test_what_scipy_solves_ours_solves(problem):
    for line_search, reduction in itertools.product(SEARCHES, REDUCTIONS[:5]):
        options = {"line_search": line_search, "maxiter": 150, **reduction}

        def solves(solver, seed=None, options=options):
            noise = None if seed is None else np.random.default_rng(seed)
            return isinstance(run(solver, problem, noise, **options)[1], np.ndarray)

        # Some of these converge or not by the luck of rounding, in SciPy as in ours.
        if all(solves(scipy.optimize.broyden1, seed) for seed in (None, 0, 1, 2, 3)):
            assert solves(raphson.broyden1), options


CURVES = two_curves()


def near_curves(x0=(1.3, -1.4)):
    return np.array(x0)


def test_the_example_of_the_reference_page():
    def fun(x):
        return [x[0] + 0.5 * (x[0] - x[1]) ** 3 - 1.0, 0.5 * (x[1] - x[0]) ** 3 + x[1]]

    ours, theirs = (solver(fun, [0, 0]) for solver in (raphson.broyden1, scipy.optimize.broyden1))
    assert repr(ours) == repr(theirs) == "array([0.84116396, 0.15883641])"


class Labelled(np.ndarray):
    """A subclass of ndarray."""


@pytest.mark.parametrize(
    ("x0", "kind", "dtype"),
    [
        (0.3, np.ndarray, float),
        ([1, 2], np.ndarray, float),
        ((1.0, 2.0), np.ndarray, float),
        (np.float32([[0.3, 0.4]]), np.ndarray, np.float32),
        (np.array([0.3 + 1j]), np.ndarray, complex),
        (np.complex64([0.3 + 1j]), np.ndarray, np.complex64),
        (np.array([0.3, 0.4]).view(Labelled), Labelled, float),
    ],
    ids=repr,
)
def test_f_sees_the_kind_of_x0(x0, kind, dtype):
    seen = []

    def fun(x):
        seen.append((type(x), x.shape, x.dtype))
        return 2 * x - 1

    root = raphson.broyden1(fun, x0)
    assert set(seen) == {(kind, np.shape(x0), np.dtype(dtype))}
    assert (type(root), root.shape, root.dtype) == seen[0]
    assert np.allclose(root, 0.5, atol=1e-5)


def test_real_x0_and_complex_values():
    ours = raphson.broyden1(lambda x: x * x + 2j, np.array([1.0]), alpha=0.3)
    theirs = scipy.optimize.broyden1(lambda x: x * x + 2j, np.array([1.0]), alpha=0.3)
    assert ours.dtype == theirs.dtype == np.complex128
    assert np.allclose(ours, theirs, atol=1e-9)


def test_points_may_be_kept_and_changed():
    kept = []

    def fun(x):
        value = CURVES.residual(x)
        kept.append(x)
        x[:] = np.nan
        return value

    start = near_curves()
    root = raphson.broyden1(fun, start, callback=lambda x, f: kept.extend([x, f]))
    assert np.allclose(root, CURVES.solution, atol=1e-5)
    assert np.array_equal(start, near_curves())
    assert len({x.ctypes.data for x in kept}) == len(kept)


def test_long_points_that_are_kept_stay_as_they_were():
    kept = []
    n = 10_000

    def fun(x):
        # Some points are kept, as a whole or as a view; the others may be used again.
        if fun.calls % 4 == 0:
            kept.append((x, x.copy()))
        elif fun.calls % 4 == 2:
            kept.append((x[::2], x[::2].copy()))
        elif fun.calls % 8 == 1:
            x.flags.writeable = False
        elif fun.calls % 8 == 3:
            x.resize((2, n // 2), refcheck=False)
            x = x.ravel()
        fun.calls += 1
        return x - 0.3 * np.cos(x)

    fun.calls = 0
    root = raphson.broyden1(fun, np.linspace(0, 3, n), f_tol=1e-12)
    assert np.abs(root - 0.3 * np.cos(root)).max() <= 1e-12
    assert len(kept) > 5
    assert all(np.array_equal(x, copy) for x, copy in kept)


def test_a_weak_reference_to_a_long_point_dies_with_it():
    references = []

    def fun(x):
        assert all(reference() is None for reference in references)
        references.append(weakref.ref(x))
        return x - 0.3 * np.cos(x)

    raphson.broyden1(fun, np.linspace(0, 3, 10_000), f_tol=1e-9)
    assert len(references) > 3


def test_verbose_prints_what_scipy_prints(capsys):
    options = {"verbose": True, "tol_norm": lambda v: np.linalg.norm(v)}
    for x0, extra in itertools.product([near_curves()], [{}, options]):
        raphson.broyden1(CURVES.residual, x0, **({"verbose": True} | extra))
        ours = capsys.readouterr().out
        scipy.optimize.broyden1(CURVES.residual, x0, **({"verbose": True} | extra))
        theirs = capsys.readouterr().out
        assert ours.count("\n") == theirs.count("\n") > 3
        # The last digits of a residual at rounding level are not the same.
        assert ours.splitlines()[:4] == theirs.splitlines()[:4]


def test_no_convergence_carries_the_last_point_and_the_result():
    with pytest.raises(scipy.optimize.NoConvergence) as ours:
        raphson.broyden1(CURVES.residual, near_curves(), maxiter=2, f_tol=1e-14)
    with pytest.raises(scipy.optimize.NoConvergence) as theirs:
        scipy.optimize.broyden1(CURVES.residual, near_curves(), maxiter=2, f_tol=1e-14)
    assert len(ours.value.args) == 1
    assert np.allclose(ours.value.args[0], theirs.value.args[0], rtol=1e-12)
    result = ours.value.result
    assert isinstance(result, scipy.optimize.OptimizeResult)
    assert np.array_equal(result.x, ours.value.args[0])
    assert np.array_equal(result.fun, CURVES.residual(result.x))
    assert (result.nit, result.status, result.success) == (2, 2, False)
    assert result.nfev >= 3


def test_a_callback_stops_the_solve():
    seen = []

    def callback(x, f):
        seen.append((x, f))
        if len(seen) == 2:
            raise StopIteration

    stopped = raphson.broyden1(CURVES.residual, near_curves(), callback=callback)
    assert np.array_equal(stopped, seen[-1][0])
    assert np.array_equal(CURVES.residual(stopped), seen[-1][1])


def test_callback_sees_what_it_sees_in_scipy():
    def record(solver):
        seen = []
        solver(
            lambda x: np.ravel(CURVES.residual(np.ravel(x))),
            near_curves().reshape(1, 2),
            callback=lambda x, f: seen.append((x.copy(), f.copy())),
        )
        return seen

    ours, theirs = record(raphson.broyden1), record(scipy.optimize.broyden1)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert all(x.shape == y.shape == (2,) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"spam": 1}, TypeError, "unexpected keyword argument 'spam'"),
        ({"line_search": "golden"}, ValueError, "Invalid line search"),
        ({"reduction_method": "qr"}, ValueError, "Unknown rank reduction method 'qr'"),
        ({"reduction_method": ("restart", 1)}, ValueError, "'restart' has no parameters"),
        ({"reduction_method": ("svd", 1, 2)}, ValueError, "'svd' has one parameter"),
        ({"reduction_method": 3}, TypeError, "reduction_method must be a name"),
        ({"reduction_method": ()}, TypeError, "reduction_method must be a name"),
        ({"max_rank": 1}, ValueError, "max_rank must be at least 2"),
        ({"max_rank": "x"}, TypeError, "max_rank: expected a number"),
        ({"maxiter": 1.5}, TypeError, "maxiter: expected an integer"),
        ({"iter": "x"}, TypeError, "iter: expected an integer"),
        ({"f_tol": "x"}, TypeError, "f_tol: expected a number"),
        ({"alpha": "x"}, TypeError, "alpha: expected a number"),
        ({"alpha": 1j}, TypeError, "alpha is complex"),
        ({"alpha": 0.0}, ValueError, "Jacobian inversion yielded zero vector"),
        ({"tol_norm": 3}, TypeError, "tol_norm must be callable"),
        ({"tol_norm": lambda v: None}, TypeError, "tol_norm: the result: expected a number"),
        ({"callback": 3}, TypeError, "callback must be callable"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_options_are_named(options, error, message):
    with pytest.raises(error, match=message):
        raphson.broyden1(CURVES.residual, near_curves(), **options)


def test_residuals_that_change_their_length_are_refused():
    lengths = iter([2, 2, 3])
    with pytest.raises(ValueError, match="F: expected 2 values, one for each element of xin"):
        raphson.broyden1(lambda x: np.ones(next(lengths)), near_curves())
    with pytest.raises(ValueError, match="xin is empty"):
        raphson.broyden1(lambda x: x, [])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("line_search", SEARCHES)
@pytest.mark.parametrize("when", range(8))
def test_values_that_are_not_finite_end_like_scipys(bad, line_search, when):
    def outcome(solver):
        calls = itertools.count()

        def fun(x):
            value = CURVES.residual(x)
            return value * bad if next(calls) == when else value

        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                root = solver(fun, near_curves(), line_search=line_search, maxiter=30)
            except Exception as error:
                # Ours is one of SciPy's, with words.
                kind = scipy.optimize.NoConvergence
                return kind if isinstance(error, kind) else type(error), next(calls)
            return np.round(root, 4).tolist(), next(calls)

    assert outcome(raphson.broyden1) == outcome(scipy.optimize.broyden1)


@pytest.mark.parametrize("fault", [ValueError, StopIteration, KeyboardInterrupt, SystemExit])
def test_exceptions_come_through_unchanged(fault):
    raised = fault("mine")

    def fail(x):
        raise raised

    for call in (
        lambda: raphson.broyden1(fail, [1.0]),
        lambda: raphson.broyden1(CURVES.residual, near_curves(), tol_norm=fail),
    ):
        with pytest.raises(fault) as caught:
            call()
        assert caught.value is raised


# root(method='broyden1')

ROOT_OPTIONS = [
    {},
    {"nit": 3},
    {"maxiter": 2},
    {"fatol": 1e-10},
    {"ftol": 1e-2, "xtol": 1e-2},
    {"xatol": 1e-3, "line_search": "wolfe"},
    {"jac_options": {"alpha": 0.2, "reduction_method": "simple", "max_rank": 3}},
    {"tol_norm": lambda v: np.max(np.abs(v))},
]


@pytest.mark.parametrize("options", ROOT_OPTIONS, ids=str)
@pytest.mark.parametrize("tol", [None, 1e-3])
def test_root_is_scipys(options, tol):
    def result(root):
        return root(
            lambda x, shift: CURVES.residual(x) + shift,
            near_curves(),
            args=(1e-3,),
            method="broyden1",
            tol=tol,
            options=options,
        )

    ours, theirs = result(raphson.root), result(scipy.optimize.root)
    assert isinstance(ours, type(theirs))
    # Before SciPy 1.14 the result had no nfev.
    assert set(ours) == set(theirs) | {"nfev", "calls"}
    assert np.allclose(ours.x, theirs.x, rtol=1e-9)
    for key in set(theirs) - {"x", "fun"}:
        assert ours[key] == theirs[key], key


def test_root_warns_as_scipys():
    for keywords, category in (
        ({"jac": CURVES.jacobian}, RuntimeWarning),
        ({"options": {"spam": 1}}, scipy.optimize.OptimizeWarning),
    ):
        messages = []
        for root in (raphson.root, scipy.optimize.root):
            with pytest.warns(category) as caught:
                root(CURVES.residual, near_curves(), method="broyden1", **keywords)
            messages.append(str(caught[0].message))
            assert caught[0].filename == __file__ or root is scipy.optimize.root
        assert messages[0] == messages[1]
    with pytest.raises(TypeError, match="jac_options: unknown option 'spam'"):
        raphson.root(
            CURVES.residual,
            near_curves(),
            method="broyden1",
            options={"jac_options": {"spam": 1}},
        )


def test_root_leaves_the_jacobian_of_a_pair_alone():
    def pair(x):
        return CURVES.residual(x), None

    found = raphson.root(pair, near_curves(), jac=True, method="broyden1")
    alone = raphson.root(CURVES.residual, near_curves(), method="broyden1")
    assert np.array_equal(found.x, alone.x)
    assert found.nfev == alone.nfev
    with pytest.raises(ValueError, match=r"fun must return a pair \(F, J\) where jac is True"):
        raphson.root(lambda x: x[0], [1.0], jac=True, method="broyden1")


# Properties


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(2, 30))
def test_convergence_is_superlinear(seed, size):
    rng = np.random.default_rng(seed)
    matrix = np.eye(size) + 0.3 * rng.normal(size=(size, size)) / np.sqrt(size)
    root = rng.uniform(-1, 1, size)
    norms = []
    raphson.broyden1(
        lambda x: matrix @ (x - root) + 0.05 * (x - root) ** 2,
        root + 0.1 * rng.normal(size=size),
        alpha=1.0,
        line_search=None,
        f_tol=1e-13,
        maxiter=20 * size,
        callback=lambda x, f: norms.append(np.linalg.norm(x - root)),
    )
    ratios = [b / a for a, b in itertools.pairwise(norms) if b > 1e-12]
    assert min(ratios[-4:]) < max(min(ratios[:3]), 0.5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(3, 40), rank=st.integers(2, 8))
def test_linear_problems_do_not_care_for_the_reduction_before_it_is_due(seed, size, rank):
    rng = np.random.default_rng(seed)
    matrix = np.eye(size) + 0.2 * rng.normal(size=(size, size)) / np.sqrt(size)

    def points(**options):
        kept = []
        raphson.broyden1(
            lambda x: kept.append(x) or matrix @ x - 1,
            np.zeros(size),
            alpha=1.0,
            line_search=None,
            iter=rank,
            **options,
        )
        return np.array(kept)

    unlimited = points()
    for method in ("restart", "simple"):
        limited = points(max_rank=rank + 1, reduction_method=method)
        assert np.allclose(limited, unlimited, rtol=1e-9, atol=1e-10)


# Large problems


def large_linear(n=100_000, seed=0):
    rng = np.random.default_rng(seed)
    diagonal, shift = 1 + rng.uniform(-0.3, 0.3, n), rng.uniform(-1, 1, n)

    def fun(x):
        f = diagonal * x - shift
        f[1:] += 0.1 * x[:-1]
        return f

    return fun, np.zeros(n)


@pytest.mark.parametrize("reduction", REDUCTIONS[:5], ids=str)
def test_large_problems_follow_scipy(reduction):
    class Large:
        residual, start = large_linear(40_000)

    Large.residual = staticmethod(Large.residual)
    options = {"alpha": 1.0, "line_search": None, "iter": 12, **reduction}
    ours, _ = run(raphson.broyden1, Large, **options)
    theirs, _ = run(scipy.optimize.broyden1, Large, **options)
    effect, _ = effect_of_rounding(Large, theirs, runs=2, **options)
    assert len(ours) == len(theirs)
    expect_same_points(ours, theirs, effect, exactly(Large, None, {"alpha": 1.0, **reduction}))


def test_threads_get_the_same_bits_as_alone():
    def solve(seed):
        fun, x0 = large_linear(50_000, seed)
        return raphson.broyden1(fun, x0, alpha=1.0, f_tol=1e-10)

    alone = [solve(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(solve, range(4)))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_goes_on_without_its_parents_threads():
    program = """
import os, signal, numpy as np, raphson
solve = lambda: raphson.broyden1(lambda x: 0.9 * x - 1, np.zeros(100_000), alpha=1.0)
first = solve()
child = os.fork()
if child == 0:
    signal.alarm(30)
    os._exit(0 if np.array_equal(solve(), first) else 1)
print(os.waitpid(child, 0)[1])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "0\n", done.stderr


def test_a_step_that_does_not_move_x_drops_the_approximation():
    m = 30

    def bratu(u):
        u = u.reshape(m, m)
        f = 4 * u - (1 / (m + 1)) ** 2 * 5.0 * np.exp(u)
        f[1:] -= u[:-1]
        f[:-1] -= u[1:]
        f[:, 1:] -= u[:, :-1]
        f[:, :-1] -= u[:, 1:]
        return f.ravel()

    accepted = [np.zeros(m * m)]
    asked = []

    def fun(u):
        asked.append(u.copy())
        return bratu(u)

    raphson.broyden1(
        fun, accepted[0], alpha=-0.25, f_tol=1e-8, callback=lambda x, f: accepted.append(x)
    )
    steps = itertools.pairwise(accepted)
    still = [after for before, after in steps if np.array_equal(before, after)]
    assert len(still) == 1
    last = max(i for i, x in enumerate(asked) if np.array_equal(x, still[0]))
    assert np.allclose(asked[last + 1] - still[0], -0.25 * bratu(still[0]), rtol=1e-9)


def test_no_convergence_says_how_far_it_came_and_what_to_try():
    with pytest.raises(scipy.optimize.NoConvergence) as caught:
        raphson.broyden1(lambda x: np.cosh(x) + x, [1.0, 2.0], maxiter=3, alpha=0.3, x_tol=1e-3)
    error = caught.value
    said = re.match(
        r"no convergence after 3 iterations: max \|F\| = (\S+) "
        r"\(f_tol = 6.055e-06, x_tol = 1.000e-03; alpha = 3.000e-01\)\. Try an alpha of ",
        str(error),
    )
    assert float(said[1]) == pytest.approx(np.abs(error.result.fun).max(), rel=1e-3)
    assert np.array_equal(error.args[0], error.result.x)
    for copied in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(copied) is type(error)
        assert str(copied) == str(error)
        assert np.array_equal(copied.args[0], error.args[0])
        assert np.array_equal(copied.result.x, error.result.x)
    with pytest.raises(scipy.optimize.NoConvergence, match=r"alpha = 2\.500e-01\)"):
        # The size that is chosen: max(1, |x|) / 2 |F|.
        raphson.broyden1(lambda x: 0 * x + 2, [0.5], maxiter=1)
    with pytest.raises(
        scipy.optimize.NoConvergence, match=r"alpha = 0\.000e\+00 \+ 1\.000e\+00j\)"
    ):
        raphson.broyden1(lambda x: x**2 + 1j, [0.5j], maxiter=1, alpha=1j)
    with pytest.raises(scipy.optimize.NoConvergence, match="are in the norm of tol_norm"):
        raphson.broyden1(np.cosh, [1.0], maxiter=1, tol_norm=lambda v: 1e-3 * abs(v).max())


def test_options_of_another_call_are_named():
    for options, meant in (
        ({"alpha": -1}, "for 'alpha' write options={'jac_options': {'alpha': ...}}"),
        ({"f_tol": 1}, "for 'f_tol' write 'fatol'"),
        ({"diff_step": 1}, "'diff_step' is one of method 'newton'"),
    ):
        (name,) = options
        message = f"Unknown solver options: {name}; {meant}"
        with pytest.warns(scipy.optimize.OptimizeWarning, match=re.escape(message) + "$"):
            raphson.root(lambda x: x - 1, [0.0], method="broyden1", options=options)
    with pytest.raises(TypeError, match=r"unknown option 'spam'.* which has alpha, reduction_m"):
        options = {"jac_options": {"spam": 1}}
        raphson.root(lambda x: x - 1, [0.0], method="broyden1", options=options)
    with pytest.raises(TypeError, match=r"argument 'fatol'\. Did you mean 'f_tol'\?"):
        raphson.broyden1(lambda x: x - 1, [0.0], fatol=1)
    with pytest.raises(TypeError, match=r"argument 'linesearch'\. Did you mean 'line_search'\?"):
        raphson.Broyden1([0.0], linesearch=None)
    for name, meant in (
        ("maxfev", "Did you mean 'maxiter'?"),
        ("eps", "Did you mean 'diff_step'?"),
        ("fatol", "Did you mean 'ftol'?"),
        ("alpha", "'alpha' is one of method 'broyden1'."),
    ):
        expected = f"has xtol, ftol, maxiter, line_search, diff_step. {meant}"
        with pytest.raises(ValueError, match=re.escape(expected)):
            raphson.root(lambda x: x - 1, [0.0], options={name: 1}, method="newton")


def test_the_svd_keeps_three_less_than_the_largest_rank():
    """As SciPy's code does; its documentation says two less."""
    problem = broyden_tridiagonal(8)
    runs = [
        run(raphson.broyden1, problem, line_search=None, max_rank=6, reduction_method=method)[0]
        for method in ("svd", ("svd", None), ("svd", 3), ("svd", 4))
    ]
    assert len(runs[0]) > 12
    assert np.array_equal(runs[0], runs[1])
    assert np.array_equal(runs[0], runs[2])
    assert not np.array_equal(runs[0], runs[3][: len(runs[0])])
