"""Newton's method for systems: `root(method='newton')`."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import raphson
from problems import PROBLEMS, broyden_tridiagonal, two_curves

CURVES = two_curves()
REAL = [problem for problem in PROBLEMS if problem.start.dtype.kind == "f"]


def jacobians(problem):
    """The ways in which `jac` can be given for a problem."""
    ways = {
        "callable": problem.jacobian,
        "2-point": "2-point",
        "3-point": "3-point",
        "csr matrix": lambda x: scipy.sparse.csr_matrix(problem.jacobian(x)),
        "csc array": lambda x: scipy.sparse.csc_array(problem.jacobian(x)),
        "Fortran order": lambda x: np.asfortranarray(problem.jacobian(x)),
    }
    if problem.analytic and problem in REAL:
        ways["cs"] = "cs"
    return ways


CASES = [
    pytest.param(problem, jac, id=f"{problem}-{way}")
    for problem in PROBLEMS
    for way, jac in jacobians(problem).items()
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_the_table_has_the_right_jacobians(problem):
    rng = np.random.default_rng(0)
    x = problem.start + rng.uniform(0.1, 0.2, problem.start.shape)
    exact = problem.jacobian(x)
    for column, direction in enumerate(np.eye(x.size)):
        h = 1e-6
        ahead, behind = problem.residual(x + h * direction), problem.residual(x - h * direction)
        assert np.allclose(exact[:, column], (ahead - behind) / (2 * h), rtol=1e-5, atol=1e-5)


# Finite differences lose what these problems turn on: a singular Jacobian at the solution, and a
# row of the Jacobian that is lost beside the constant in its equation.
NOT_SOLVED = {
    ("Powell singular", "2-point"): 0,
    ("Brown almost linear", "2-point"): -1,
    ("Brown almost linear", "3-point"): -1,
}


@pytest.mark.parametrize(("problem", "jac"), CASES)
def test_problems_are_solved(problem, jac):
    # Towards a singular root at zero nothing but the residual itself says how near it is.
    options = {"ftol": 1e-20} if problem.singular else {}
    solution = raphson.root(
        problem.residual, problem.start, jac=jac, options=options, method="newton"
    )
    if isinstance(jac, str) and (problem.name, jac) in NOT_SOLVED:
        assert not solution.success
        assert solution.status == NOT_SOLVED[problem.name, jac]
        return
    assert solution.success, solution.message
    assert np.array_equal(solution.fun, problem.residual(solution.x))
    # Rounding x alone changes F by this much.
    noise = np.abs(problem.jacobian(solution.x)) @ np.abs(solution.x) + 1e-9
    assert np.all(np.abs(solution.fun) <= 1e-10 * noise)
    if problem.solution is not None:
        accuracy = 1e-9 if not problem.singular else 1e-6
        assert np.allclose(solution.x, problem.solution, rtol=accuracy, atol=accuracy)


@pytest.mark.parametrize("problem", REAL, ids=str)
def test_agrees_with_hybr_where_hybr_converges(problem):
    theirs = scipy.optimize.root(problem.residual, problem.start, jac=problem.jacobian)
    ours = raphson.root(problem.residual, problem.start, jac=problem.jacobian, method="newton")
    assert ours.success or not theirs.success
    assert np.max(np.abs(ours.fun)) <= max(np.max(np.abs(theirs.fun)), 1e-12)


def test_the_result_is_scipys_and_complete():
    calls = {"fun": 0, "jac": 0}

    def fun(x):
        calls["fun"] += 1
        return CURVES.residual(x)

    def jac(x):
        calls["jac"] += 1
        return CURVES.jacobian(x)

    points = []
    result = raphson.root(
        fun, CURVES.start, jac=jac, callback=lambda x, f: points.append((x, f)), method="newton"
    )
    assert isinstance(result, scipy.optimize.OptimizeResult)
    assert result.success is True
    assert result.status in (1, 2)
    assert result.message.startswith("Converged")
    assert result.method == "newton"
    assert (result.nfev, result.njev) == (calls["fun"], calls["jac"])
    assert result.nit == len(points)
    assert np.array_equal(points[-1][0], result.x)
    assert all(np.array_equal(CURVES.residual(x), f) for x, f in points)
    # The Jacobian is the one at the point before the last.
    assert np.array_equal(result.jac, CURVES.jacobian(points[-2][0]))


def test_function_calls_for_differences_are_counted():
    calls = []
    result = raphson.root(
        lambda x: calls.append(x) or CURVES.residual(x), CURVES.start, method="newton"
    )
    assert result.nfev == len(calls) == result.nit + 1 + 2 * result.njev


def test_jacobian_from_the_function_itself():
    pair = raphson.root(
        lambda x: (CURVES.residual(x), CURVES.jacobian(x)), CURVES.start, jac=True, method="newton"
    )
    separate = raphson.root(CURVES.residual, CURVES.start, jac=CURVES.jacobian, method="newton")
    assert np.array_equal(pair.x, separate.x)
    assert pair.nfev == separate.nfev


@pytest.mark.parametrize("shape", [(4, 5), (20, 1), (2, 2, 5)])
def test_any_shape(shape):
    flat = broyden_tridiagonal()
    start = flat.start.reshape(shape)

    def fun(x):
        assert x.shape == shape
        return flat.residual(x.ravel()).reshape(shape)

    expected = raphson.root(flat.residual, flat.start, jac=flat.jacobian, method="newton")
    for jac in (
        lambda x: flat.jacobian(x.ravel()),
        lambda x: flat.jacobian(x.ravel()).reshape(shape + shape),
    ):
        result = raphson.root(fun, start, jac=jac, method="newton")
        assert result.x.shape == result.fun.shape == shape
        assert np.array_equal(result.x.ravel(), expected.x)


@pytest.mark.parametrize("x0", [4.0, [4.0], np.array(4), np.array([[4.0]])], ids=repr)
def test_one_unknown(x0):
    result = raphson.root(lambda x: x**2 - 2, x0, jac=lambda x: 2 * x, method="newton")
    assert result.success
    assert result.x.shape == np.shape(x0)
    assert abs(result.x.item() - np.sqrt(2)) < 1e-15


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.complex64, np.complex128, np.int32, np.float16]
)
def test_the_dtype_of_x0(dtype):
    seen = set()

    def fun(x):
        seen.add(x.dtype)
        return CURVES.residual(x)

    result = raphson.root(
        fun, np.array([2, -2], dtype=dtype), jac=CURVES.jacobian, method="newton"
    )
    kept = np.dtype(dtype).char in "fdFD"
    expected = np.dtype(dtype) if kept else np.dtype(float)
    assert seen == {expected}
    assert result.success
    assert result.x.dtype == expected
    digits = 5e-6 if expected.char in "fF" else 1e-12
    assert np.allclose(result.x, CURVES.solution, rtol=digits)


def test_callables_may_keep_and_change_what_they_get():
    kept = []

    def fun(x):
        kept.append(x)
        value = CURVES.residual(x)
        x[:] = np.nan
        return value

    def jac(x):
        kept.append(x)
        value = CURVES.jacobian(x)
        x[:] = np.nan
        return value

    start = CURVES.start.copy()
    result = raphson.root(
        fun, start, jac=jac, callback=lambda x, f: kept.extend([x, f]), method="newton"
    )
    assert np.allclose(result.x, CURVES.solution)
    assert np.array_equal(start, CURVES.start)
    assert len({x.ctypes.data for x in kept}) == len(kept)


def test_a_function_may_return_the_same_buffer_each_time():
    f, j = np.empty(2), np.empty((2, 2))

    def fun(x):
        f[:] = CURVES.residual(x)
        return f

    def jac(x):
        j[:] = CURVES.jacobian(x)
        return j

    assert np.allclose(
        raphson.root(fun, CURVES.start, jac=jac, method="newton").x, CURVES.solution
    )


# What can go wrong, each with its own status.


def test_the_line_search_saves_what_plain_newton_loses():
    def fun(x):
        return np.arctan(x)

    def jac(x):
        with np.errstate(over="ignore"):
            return np.diag(1 / (1 + x**2))

    plain = raphson.root(fun, [2.0, 3.0], jac=jac, options={"line_search": None}, method="newton")
    assert not plain.success
    assert plain.status in (-1, -3)
    searched = raphson.root(fun, [2.0, 3.0], jac=jac, method="newton")
    assert searched.success
    assert np.max(np.abs(searched.x)) < 1e-12


def test_singular_jacobian():
    for jac in (
        lambda x: np.ones((2, 2)),
        lambda x: scipy.sparse.csc_array(np.ones((2, 2))),
        lambda x: np.zeros((2, 2)),
    ):
        result = raphson.root(lambda x: x - [1, 2], [0.0, 0.0], jac=jac, method="newton")
        assert (result.success, result.status) == (False, -1)
        assert "singular at iteration 1" in result.message


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_jacobian_that_is_not_finite(bad):
    def jac(x):
        j = CURVES.jacobian(x)
        if x[0] != 2.0:
            j[0, 1] = bad
        return j

    for way in (jac, lambda x: scipy.sparse.csr_array(jac(x))):
        result = raphson.root(CURVES.residual, CURVES.start, jac=way, method="newton")
        assert (result.success, result.status, result.nit) == (False, -2, 1)
        assert "iteration 2" in result.message


def test_residual_that_is_not_finite():
    at_start = raphson.root(lambda x: x * np.nan, [1.0, 2.0], method="newton")
    assert (at_start.success, at_start.status) == (False, -3)
    assert "at x0" in at_start.message
    assert np.array_equal(at_start.x, [1.0, 2.0])

    def fun(x):
        return CURVES.residual(x) if x[0] == 2.0 else np.full(2, np.nan)

    later = raphson.root(fun, CURVES.start, jac=CURVES.jacobian, method="newton")
    assert (later.success, later.status) == (False, -3)
    assert np.array_equal(later.x, CURVES.start)
    assert np.array_equal(later.fun, CURVES.residual(CURVES.start))


def test_a_domain_error_along_the_step_is_stepped_back_from():
    def fun(x):
        with np.errstate(invalid="ignore"):
            return np.sqrt(x) - 0.1

    result = raphson.root(fun, [1.0], jac=lambda x: 0.5 / np.sqrt(x), method="newton")
    assert result.success
    assert abs(result.x[0] - 0.01) < 1e-15


def test_no_root():
    result = raphson.root(lambda x: x**2 + 1, [3.0], jac=lambda x: 2 * x, method="newton")
    assert not result.success
    assert result.status in (-1, -4, 0)
    assert abs(result.fun[0]) < 1.01


def test_a_local_minimum_is_not_called_a_root():
    # Freudenstein and Roth: the start lies in the basin of a minimum of the norm.
    def fun(v):
        x, y = v
        return [-13 + x + ((5 - y) * y - 2) * y, -29 + x + ((y + 1) * y - 14) * y]

    def jac(v):
        y = v[1]
        return [[1, (10 - 3 * y) * y - 2], [1, (3 * y + 2) * y - 14]]

    result = raphson.root(fun, [0.5, -2.0], jac=jac, method="newton")
    assert not result.success
    assert np.max(np.abs(result.fun)) > 1
    assert raphson.root(fun, [6.0, 5.0], jac=jac, method="newton").success


# What must not be called a root, with the status that each has.
NO_ROOTS = {
    "a pole": (lambda x: 1 / (x - 2), lambda x: -1 / (x - 2) ** 2, 2 + 1e-12),
    "a jump": (lambda x: np.where(x < 0.3, -1.0, 1e6), "2-point", 0.3 - 1e-9),
    "a huge wrong slope": (lambda x: x * x - 2, lambda x: [[1e13]], 1.0),
    "no root, by differences": (lambda x: x * x + 1e-6, "3-point", 1.0),
}


@pytest.mark.parametrize(("fun", "jac", "x0"), NO_ROOTS.values(), ids=NO_ROOTS)
def test_success_is_not_claimed_for_what_is_no_root(fun, jac, x0):
    with np.errstate(all="ignore"):
        result = raphson.root(fun, [x0], jac=jac, method="newton")
    assert not result.success


@pytest.mark.parametrize("jac", ["2-point", "3-point"])
def test_inconsistent_equations_have_no_root(jac):
    matrix = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    result = raphson.root(
        lambda x: matrix @ x - [1, 2, 4], [-1.0, -1, -1], jac=jac, method="newton"
    )
    assert not result.success


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e-9, 1.0, 1e9, 1e30])
@pytest.mark.parametrize("jac", ["2-point", "3-point", "cs", "exact"])
def test_the_scale_of_the_unknowns_does_not_matter(scale, jac):
    if jac == "exact":
        jac = lambda x: 2 * x / scale**2  # noqa: E731
    result = raphson.root(lambda x: (x / scale) ** 2 - 2, [scale], jac=jac, method="newton")
    assert result.success
    assert abs(result.x[0] / scale - np.sqrt(2)) < 1e-14


def test_a_small_unknown_beside_a_large_one_is_resolved():
    s = 1e-9
    result = raphson.root(
        lambda x: [np.exp(x[0] / s) - 2, x[1] - 1000.0],
        [5 * s, 3.0],
        jac=lambda x: [[np.exp(x[0] / s) / s, 0], [0, 1.0]],
        method="newton",
    )
    assert result.success
    assert abs(result.x[0] / s - np.log(2)) < 1e-12


@pytest.mark.parametrize("jac", [True, np.True_, 1])
@pytest.mark.parametrize("pair", [tuple, list, lambda items: (*items, "more")])
def test_a_jacobian_with_the_residual_may_come_in_any_sequence(jac, pair):
    def fun(x):
        return pair([CURVES.residual(x), CURVES.jacobian(x)])

    assert raphson.root(fun, CURVES.start, jac=jac, method="newton").success


def test_infinite_tolerance_stops_at_once():
    result = raphson.root(
        CURVES.residual, CURVES.start, jac=CURVES.jacobian, tol=np.inf, method="newton"
    )
    assert result.nit == 1


def test_too_few_iterations():
    result = raphson.root(
        CURVES.residual, CURVES.start, jac=CURVES.jacobian, options={"maxiter": 2}, method="newton"
    )
    assert (result.success, result.status, result.nit) == (False, 0, 2)
    assert "after 2 iterations" in result.message


def test_the_best_point_is_returned_without_success():
    seen = []

    def fun(x):
        seen.append((abs(np.arctan(x[0])), x[0]))
        return np.arctan(x)

    result = raphson.root(
        fun,
        [1.6],
        jac=lambda x: 1 / (1 + x**2),
        options={"line_search": None, "maxiter": 3},
        method="newton",
    )
    assert not result.success
    assert result.x[0] == min(seen)[1]


def test_a_wrong_jacobian_stalls():
    result = raphson.root(
        CURVES.residual, CURVES.start, jac=lambda x: -CURVES.jacobian(x), method="newton"
    )
    assert (result.success, result.status) == (False, -4)
    assert "Jacobian is wrong" in result.message


def test_a_callback_stops_the_solve():
    def callback(x, f):
        points.append(x)
        if len(points) == 2:
            raise StopIteration

    points = []
    result = raphson.root(
        CURVES.residual, CURVES.start, jac=CURVES.jacobian, callback=callback, method="newton"
    )
    assert (result.success, result.status, result.nit) == (False, -5, 2)
    assert np.array_equal(result.x, points[-1])


def test_a_root_at_the_start_needs_no_iteration():
    result = raphson.root(lambda x: x - [1, 2], [1.0, 2.0], method="newton")
    assert (result.success, result.status, result.nit, result.nfev) == (True, 1, 0, 1)
    assert result.jac is None


def test_tolerances():
    loose = raphson.root(
        CURVES.residual, CURVES.start, jac=CURVES.jacobian, tol=1e-2, method="newton"
    )
    assert loose.success
    assert (
        loose.nit
        < raphson.root(CURVES.residual, CURVES.start, jac=CURVES.jacobian, method="newton").nit
    )
    by_residual = raphson.root(
        CURVES.residual,
        CURVES.start,
        jac=CURVES.jacobian,
        options={"ftol": 1e-2, "xtol": 0},
        method="newton",
    )
    assert by_residual.status == 1
    assert 0 < np.max(np.abs(by_residual.fun)) <= 1e-2


def test_large_systems_are_solved_without_the_gil():
    problem = broyden_tridiagonal(200)
    result = raphson.root(problem.residual, problem.start, jac=problem.jacobian, method="newton")
    assert result.success


# Properties


@settings(max_examples=60, deadline=None)
@given(
    matrix=hnp.arrays(float, (2, 2), elements=st.integers(-4, 4)),
    problem=st.sampled_from([p for p in REAL if p.start.size == 2]),
)
def test_iterates_are_invariant_under_a_linear_change_of_the_unknowns(matrix, problem):
    if abs(np.linalg.det(matrix)) < 0.5:
        matrix = matrix + 9 * np.eye(2)

    def points(fun, jac, start):
        kept = []
        raphson.root(
            fun,
            start,
            jac=jac,
            callback=lambda x, f: kept.append(x),
            options={"maxiter": 4, "xtol": 0},
            method="newton",
        )
        return np.array(kept)

    plain = points(problem.residual, problem.jacobian, problem.start)
    changed = points(
        lambda y: problem.residual(matrix @ y),
        lambda y: problem.jacobian(matrix @ y) @ matrix,
        np.linalg.solve(matrix, problem.start),
    )
    count = min(len(plain), len(changed))
    assert np.allclose((changed @ matrix.T)[:count], plain[:count], rtol=1e-6, atol=1e-8)


@settings(max_examples=60, deadline=None)
@given(
    problem=st.sampled_from([p for p in REAL if p.analytic and not p.singular]),
    seed=st.integers(0, 2**32 - 1),
)
def test_approximate_jacobians_agree_with_the_exact_one(problem, seed):
    x = problem.start + np.random.default_rng(seed).uniform(-0.5, 0.5, problem.start.shape)
    exact = problem.jacobian(x)
    size = np.max(np.abs(exact)) + np.max(np.abs(problem.residual(x)))
    for jac, accuracy in (("2-point", 1e-5), ("3-point", 1e-7), ("cs", 1e-13)):
        result = raphson.root(
            problem.residual, x, jac=jac, options={"maxiter": 1}, method="newton"
        )
        assert np.max(np.abs(result.jac - exact)) <= accuracy * size


@settings(max_examples=60, deadline=None)
@given(
    jac=st.sampled_from(["2-point", "3-point", "cs"]),
    step=st.floats(1e-6, 1e-3),
    x0=hnp.arrays(float, 2, elements=st.floats(0.5, 5)),
)
def test_chosen_difference_steps_are_used(jac, step, x0):
    seen = []
    raphson.root(
        lambda x: seen.append(x) or CURVES.residual(x),
        x0,
        jac=jac,
        options={"diff_step": step, "maxiter": 1},
        method="newton",
    )
    moved = seen[1] - x0
    assert np.allclose(abs(moved[0]), step * x0[0], rtol=1e-6)
    assert moved[1] == 0
